//! What happens to messages after they were sent, by several at once.

use std::collections::BTreeSet;

use futures::future::join_all;
use plaza_test_stores::World;
use plaza_test_support::{Call, Message, Person, Room, unique};
use serde_json::{Value, json};

use crate::{at_once, count};

fn path(message: &Message) -> String {
    format!("/api/messages/{}/{}", message.room_id, message.id)
}

fn editing(person: &Person, message: &Message, content: &str) -> Call {
    person.client.patch(path(message)).json(&json!({ "content": content }))
}

fn reacting(person: &Person, message: &Message, add: bool, emoji: &str) -> Call {
    let path = format!("{}/reactions", path(message));
    let call = if add { person.client.put(path) } else { person.client.delete(path) };
    call.query(&[("emoji", emoji)])
}

async fn detail(person: &Person, message: &Message) -> Value {
    person.get(path(message)).await
}

pub(crate) async fn edits_at_once_are_all_kept(world: &World) {
    let (anna, ben) = world.two().await;
    let room = anna.direct_room(&ben).await;
    let message = anna.say(&room, "0").await;
    let contents: Vec<String> = (1..=8).map(|n| format!("{n} 🌱 ' \\ %")).collect();
    let answers = at_once(contents.iter().map(|content| editing(&anna, &message, content))).await;
    assert_eq!(count(&answers, [200]), [8]);
    let detail = detail(&ben, &message).await;
    let mut said: Vec<&str> = detail["edits"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|edit| edit["content"].as_str().expect("a text"))
        .collect();
    assert_eq!(said[0], "0", "the first words are the oldest");
    said.push(detail["content"].as_str().expect("a text"));
    let expected: BTreeSet<&str> = contents.iter().map(String::as_str).chain(["0"]).collect();
    assert_eq!((said.len(), said.into_iter().collect::<BTreeSet<_>>()), (9, expected));
}

pub(crate) async fn a_message_is_edited_so_often_and_no_more(world: &World) {
    let (anna, ben) = world.two().await;
    let room = anna.direct_room(&ben).await;
    let message = anna.say(&room, "0").await;
    for n in 1..=100 {
        let _ = editing(&anna, &message, &n.to_string()).answer().await.is(200);
    }
    editing(&anna, &message, "101").answer().await.problem(409, "too_many_edits");
    let same: Message = editing(&anna, &message, "100").answer().await.ok(200);
    assert_eq!(same.content.as_deref(), Some("100"));
    assert_eq!(detail(&ben, &message).await["edits"].as_array().expect("an array").len(), 100);
}

pub(crate) async fn an_edit_and_a_deletion_at_once_leave_a_deleted_message(world: &World) {
    let (anna, ben) = world.two().await;
    let room = anna.direct_room(&ben).await;
    for _ in 0..5 {
        let message = anna.say(&room, "words").await;
        let delete = || anna.client.delete(path(&message));
        let calls = [editing(&anna, &message, "a"), delete(), reacting(&ben, &message, true, "👍"), delete()];
        let answers = at_once(calls).await;
        assert_eq!(answers[1].status, 204);
        assert_eq!(answers[3].status, 204);
        for answer in [&answers[0], &answers[2]] {
            assert!(matches!(answer.status.as_u16(), 200 | 409), "{answer}");
        }
        let left = detail(&ben, &message).await;
        assert_eq!((&left["deleted"], &left["content"]), (&json!(true), &Value::Null));
        assert_eq!((&left["reactions"], &left["edits"]), (&json!([]), &json!([])));
    }
    if let Some(mariadb) = world.mariadb() {
        let sql = format!(
            "SELECT COUNT(*) FROM outbox WHERE `key` = '{}' AND type = 'plaza.chat.MessageDeleted.v1'",
            room.id
        );
        assert_eq!(mariadb.sql("chat", &sql)[0][0], "5", "each deletion is told once");
    }
}

pub(crate) async fn reactions_at_once_are_all_there_once(world: &World) {
    let people = join_all((0..8).map(|_| world.person("member"))).await;
    let room = people[0].group("a group", &people[1..].iter().collect::<Vec<_>>()).await;
    let message = people[0].say(&room, "what do you think?").await;
    let calls =
        people.iter().flat_map(|person| ["👍", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "👍"].map(|emoji| reacting(person, &message, true, emoji)));
    assert_eq!(count(&at_once(calls).await, [200]), [24]);
    let everybody: BTreeSet<&str> = people.iter().map(Person::id).collect();
    let left = detail(&people[1], &message).await;
    let reactions = left["reactions"].as_array().expect("an array");
    assert_eq!(reactions.len(), 2);
    for reaction in reactions {
        let users: Vec<&str> =
            reaction["user_ids"].as_array().expect("an array").iter().map(|id| id.as_str().expect("a text")).collect();
        assert_eq!((users.len(), users.into_iter().collect::<BTreeSet<_>>()), (8, everybody.clone()));
    }
    // Some take theirs back while others say it again: each has what they asked for.
    let calls = people.iter().enumerate().map(|(n, person)| reacting(person, &message, n % 2 == 0, "👍"));
    assert_eq!(count(&at_once(calls).await, [200]), [8]);
    let left = detail(&people[1], &message).await;
    let thumbs = left["reactions"]
        .as_array()
        .expect("an array")
        .iter()
        .find(|reaction| reaction["emoji"] == "👍")
        .expect("it is there");
    let users: BTreeSet<&str> =
        thumbs["user_ids"].as_array().expect("an array").iter().map(|id| id.as_str().expect("a text")).collect();
    assert_eq!(users, people.iter().step_by(2).map(Person::id).collect());
}

pub(crate) async fn read_positions_at_once_never_go_back(world: &World) {
    let (anna, ben) = world.two().await;
    let room = anna.direct_room(&ben).await;
    for n in 1..=20 {
        anna.say(&room, &format!("{n}")).await;
    }
    let reading = |seq: u64| ben.client.post(format!("/api/messages/{}/read", room.id)).json(&json!({ "seq": seq }));
    for highest in [9, 19] {
        let seqs = [3, highest, 1, 7, 2, highest, 5];
        let answers = at_once(seqs.map(reading)).await;
        assert_eq!(count(&answers, [200]), [7]);
        for (answer, seq) in answers.iter().zip(seqs) {
            let answer: Value = answer.read();
            let last = answer["last_read_seq"].as_u64().expect("a number");
            assert!(last >= seq, "{answer}");
            assert_eq!(answer["unread_count"].as_u64(), Some(20 - last));
        }
        let seen: Room = ben.get(format!("/api/chat-rooms/{}", room.id)).await;
        assert_eq!(seen.unread_count, 20 - highest);
    }
    // Messages that come meanwhile take nothing back, and nothing is lost to those who write.
    let name = unique("client");
    let answers = at_once([reading(20), ben.sending(&room.id, "x", Some(&name)), reading(4)]).await;
    assert_eq!(count(&answers, [200, 201]), [2, 1]);
    let seen: Room = ben.get(format!("/api/chat-rooms/{}", room.id)).await;
    assert_eq!(seen.unread_count, 0);
    if let Some(mariadb) = world.mariadb() {
        let sql = "SELECT JSON_VALUE(data, '$.seq') FROM outbox WHERE type = 'plaza.chat.MessageRead.v1'";
        let told = mariadb.sql("chat", &format!("{sql} AND `key` = '{}' ORDER BY id", room.id));
        let told: Vec<u64> = told.iter().map(|row| row[0].parse().expect("a seq")).collect();
        assert!(told.is_sorted_by(|one, next| one < next), "{told:?}");
    }
}
