//! What the chat context knows of the others: who blocks whom, and whose account is gone.

use futures::future::join_all;
use plaza_test_stores::World;
use plaza_test_support::{Message, Page, Person, Room, unique};
use serde_json::{Value, json};

use crate::{at_once, count};

const CONTEXT: &str = "chat";

fn event(kind: &str, data: &Value) -> Value {
    json!({ "specversion": "1.0", "id": unique("event"), "source": "/test", "type": kind, "data": data })
}

fn blocked(blocker: &Person, other: &Person, ends: bool) -> Value {
    let kind = if ends { "plaza.friend.UserUnblocked.v1" } else { "plaza.friend.UserBlocked.v1" };
    event(kind, &json!({ "user_id": blocker.id(), "blocked_user_id": other.id(), "at": "2026-01-31T09:30:00.000Z" }))
}

fn gone(person: &Person) -> Value {
    let data = json!({ "user_id": person.id(), "deleted_at": "2026-01-31T09:30:00.000Z" });
    event("plaza.user.UserDeleted.v1", &data)
}

async fn bring(world: &World, events: &[Value]) {
    let _ = world.bringing_to(CONTEXT, events).answer().await.is(204);
}

pub(crate) async fn a_block_stops_direct_messages_and_is_not_told(world: &World) {
    let (anna, ben) = world.two().await;
    let cleo = world.person("cleo").await;
    let (direct, group) = (anna.direct_room(&ben).await, anna.group("a group", &[&ben]).await);
    let message = ben.say(&direct, "before").await;
    let path = format!("/api/messages/{}/{}", direct.id, message.id);
    bring(world, &[blocked(&anna, &ben, false)]).await;

    ben.sending(&direct.id, "x", None).answer().await.problem(403, "cannot_message");
    anna.sending(&direct.id, "x", None).answer().await.problem(409, "blocked");
    // Other words and reactions are messages, too.
    let edit = ben.client.patch(path.clone()).json(&json!({ "content": "after" }));
    edit.answer().await.problem(403, "cannot_message");
    let react = |person: &Person| person.client.put(format!("{path}/reactions")).query(&[("emoji", "👍")]);
    react(&ben).answer().await.problem(403, "cannot_message");
    react(&anna).answer().await.problem(409, "blocked");
    // Typing is not refused, and not told.
    let typing = ben.client.post(format!("/api/messages/{}/typing", direct.id));
    let _ = typing.answer().await.is(204);
    // What is there can be read, and one's own taken back; groups are as they were.
    assert_eq!(ben.messages(&direct.id, "").await.items, [message]);
    let _ = ben.client.delete(path.clone()).answer().await.is(204);
    ben.say(&group, "still here").await;
    let same: Room = ben.create_room(&json!({ "room_type": "direct", "participant_ids": [anna.id()] })).await.ok(200);
    assert_eq!(same.id, direct.id, "a room that is there is found");

    bring(world, &[blocked(&anna, &cleo, false)]).await;
    let with = |other: &Person| json!({ "room_type": "direct", "participant_ids": [other.id()] });
    cleo.create_room(&with(&anna)).await.problem(403, "cannot_message");
    anna.create_room(&with(&cleo)).await.problem(409, "blocked");
    let both: Room = cleo.group("with both", &[&anna]).await;
    cleo.say(&both, "in a group").await;
    // Both block each other: each is told of their own.
    bring(world, &[blocked(&cleo, &anna, false)]).await;
    cleo.create_room(&with(&anna)).await.problem(409, "blocked");
    bring(world, &[blocked(&anna, &cleo, true)]).await;
    anna.create_room(&with(&cleo)).await.problem(403, "cannot_message");
    bring(world, &[blocked(&cleo, &anna, true), blocked(&anna, &ben, true)]).await;
    let _ = anna.create_room(&with(&cleo)).await.is(201);
    anna.say(&direct, "and on").await;
    ben.say(&direct, "and on").await;
    if let Some(mariadb) = world.mariadb() {
        let sql = format!("SELECT COUNT(*) FROM outbox WHERE `key` = '{}' AND type LIKE '%Typing%'", direct.id);
        assert_eq!(mariadb.sql("chat", &sql)[0][0], "0");
    }
}

pub(crate) async fn blocks_that_come_twice_count_once_in_any_order(world: &World) {
    for round in 0..4 {
        let (anna, ben) = world.two().await;
        let room = anna.direct_room(&ben).await;
        let (on, off, on_again) =
            (blocked(&anna, &ben, false), blocked(&anna, &ben, true), blocked(&anna, &ben, false));
        let ends_blocked = round % 2 == 0;
        let first = if ends_blocked { vec![on, off, on_again] } else { vec![on, off] };
        bring(world, &first).await;
        // Again, all of it, in pieces, backwards and at once.
        let backwards: Vec<Value> = first.iter().rev().cloned().collect();
        bring(world, &first[1..2]).await;
        let calls = [&first[..], &backwards[..], &first[..1], &backwards[..1]];
        let answers = at_once(calls.map(|events| world.bringing_to(CONTEXT, events))).await;
        assert_eq!(count(&answers, [204]), [4]);
        let answer = ben.sending(&room.id, "x", None).answer().await;
        assert_eq!(answer.status, if ends_blocked { 403 } else { 201 }, "{answer}");
    }
}

pub(crate) async fn whoever_is_gone_leaves_every_room_and_their_words_stay(world: &World) {
    let people = join_all((0..3).map(|_| world.person("member"))).await;
    let (anna, ben, cleo) = (&people[0], &people[1], &people[2]);
    let owned = anna.group("owned", &[ben, cleo]).await;
    let joined = ben.group("joined", &[anna]).await;
    let alone = anna.group("alone", &[ben]).await;
    let leave = ben.client.delete(format!("/api/chat-rooms/{}/participants/{}", alone.id, ben.id()));
    let _ = leave.answer().await.is(204);
    let direct = anna.direct_room(ben).await;
    let mut said: Vec<Message> = Vec::new();
    for n in 0..300 {
        said.push(anna.say(if n % 3 == 0 { &direct } else { &owned }, &format!("{n}")).await);
    }
    let once = anna.sending(&direct.id, "once", None).header("idempotency-key", "once");
    said.push(once.answer().await.ok(201));
    let of_ben = ben.say(&direct, "who is there?").await;
    bring(world, &[gone(anna)]).await;
    // Again: nothing is left to do.
    let answers = at_once([(); 3].map(|()| world.bringing_to(CONTEXT, &[gone(anna)]))).await;
    assert_eq!(count(&answers, [204]), [3]);

    let rooms: Page<Room> = anna.get("/api/chat-rooms").await;
    assert!(rooms.items.is_empty(), "the token of the test still works: {rooms:?}");
    let seen: Room = cleo.get(format!("/api/chat-rooms/{}", owned.id)).await;
    let there: Vec<&str> = seen.participants.iter().map(|participant| participant.user_id.as_str()).collect();
    assert!(there.len() == 2 && !there.contains(&anna.id()), "{there:?}");
    assert!(seen.owner_id.as_deref().is_some_and(|owner| there.contains(&owner)));
    let seen: Room = ben.get(format!("/api/chat-rooms/{}", joined.id)).await;
    assert_eq!((seen.participants.len(), seen.owner_id.as_deref()), (1, Some(ben.id())));
    for (room, reader) in [(&direct, ben), (&owned, cleo)] {
        for message in reader.all_messages(&room.id).await {
            if message.id == of_ben.id {
                assert_eq!(message, of_ben);
                continue;
            }
            let before = said.iter().find(|said| said.id == message.id).expect("one of hers");
            assert_eq!(message, Message { username: "(deleted)".to_owned(), ..before.clone() });
        }
    }
    ben.sending(&direct.id, "anybody?", None).answer().await.problem(403, "cannot_message");
    if let Some(mariadb) = world.mariadb() {
        let sql = format!(
            "SELECT (SELECT COUNT(*) FROM outbox WHERE data LIKE '%{name}%' AND type = 'plaza.chat.ParticipantLeft.v1'),
                 (SELECT COUNT(*) FROM messages WHERE username = '{name}'),
                 (SELECT COUNT(*) FROM participants WHERE username = '{name}'),
                 (SELECT COUNT(*) FROM idempotency_keys WHERE scope = '{id}')",
            name = anna.name(),
            id = anna.id()
        );
        assert_eq!(mariadb.sql("chat", &sql)[0], ["0", "0", "0", "0"], "her name is gone");
    }
}

pub(crate) async fn what_is_no_block_is_ignored_or_refused(world: &World) {
    let anna = world.person("anna").await;
    bring(world, &[event("plaza.friend.FriendRequestSent.v1", &json!({})), event("plaza.log.Record.v1", &json!(1))])
        .await;
    for data in [json!({}), json!({ "user_id": anna.id() }), json!({ "user_id": 1, "blocked_user_id": 2 })] {
        let events = [event("plaza.friend.UserBlocked.v1", &data)];
        world.bringing_to(CONTEXT, &events).answer().await.problem(422, "invalid_event");
    }
    world
        .bringing_to(CONTEXT, &[event("plaza.user.UserDeleted.v1", &json!({}))])
        .answer()
        .await
        .problem(422, "invalid_event");
}
