//! Groups that several people change at once.

use std::collections::BTreeSet;

use futures::future::join_all;
use plaza_test_stores::World;
use plaza_test_support::{Call, Message, Page, Participant, Person, Room};
use serde_json::json;

use crate::{at_once, count};

fn adding(person: &Person, room: &Room, users: &[&Person]) -> Call {
    let ids: Vec<&str> = users.iter().map(|user| user.id()).collect();
    person.client.post(format!("/api/chat-rooms/{}/participants", room.id)).json(&json!({ "user_ids": ids }))
}

fn removing(person: &Person, room: &Room, user: &Person) -> Call {
    person.client.delete(format!("/api/chat-rooms/{}/participants/{}", room.id, user.id()))
}

fn deleting(person: &Person, room: &Room) -> Call {
    person.client.delete(format!("/api/chat-rooms/{}", room.id))
}

async fn seen(person: &Person, room: &Room) -> Room {
    person.get(format!("/api/chat-rooms/{}", room.id)).await
}

async fn people(world: &World, count: usize) -> Vec<Person> {
    join_all((0..count).map(|_| world.person("member"))).await
}

/// How often each type of event about this room stands in the outbox that nobody empties; on SQLite nobody can look.
fn told(world: &World, room: &Room, kind: &str) -> Option<usize> {
    let sql = format!("SELECT COUNT(*) FROM outbox WHERE `key` = '{}' AND type = 'plaza.chat.{kind}.v1'", room.id);
    world.mariadb().map(|mariadb| mariadb.sql("chat", &sql)[0][0].parse().expect("a number"))
}

pub(crate) async fn people_added_at_once_are_there_once(world: &World) {
    let people = people(world, 9).await;
    let room = people[0].group("a group", &[&people[1]]).await;
    people[0].say(&room, "before").await;
    let all: Vec<&Person> = people.iter().collect();
    let calls = [&all[2..7], &all[4..9], &all[..], &all[2..9]].map(|some| adding(&people[1], &room, some));
    assert_eq!(count(&at_once(calls).await, [200]), [4]);
    let room = seen(&people[8], &room).await;
    let ids: Vec<&str> = room.participants.iter().map(|participant| participant.user_id.as_str()).collect();
    assert_eq!(ids.len(), 9);
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), people.iter().map(Person::id).collect());
    assert_eq!(room.unread_count, 0, "what was said before does not count");
    assert!(told(world, &room, "ParticipantJoined").is_none_or(|count| count == 7));
}

pub(crate) async fn a_group_that_all_leave_at_once_is_gone(world: &World) {
    for round in 0..3 {
        let people = people(world, 4).await;
        let room = people[0].group("a group", &people[1..].iter().collect::<Vec<_>>()).await;
        // The owner among them; in other rounds one stays and has it.
        let stays = usize::from(round > 0);
        let calls = people[..people.len() - stays].iter().map(|person| removing(person, &room, person));
        let answers = at_once(calls).await;
        assert_eq!(count(&answers, [204]), [4 - stays]);
        if stays == 1 {
            let room = seen(&people[3], &room).await;
            assert_eq!((room.owner_id.as_deref(), room.participants.len()), (Some(people[3].id()), 1));
        } else {
            assert!(told(world, &room, "ChatRoomDeleted").is_none_or(|count| count == 1));
            people[3].client.get(format!("/api/chat-rooms/{}", room.id)).answer().await.problem(404, "not_found");
        }
        assert!(told(world, &room, "ParticipantLeft").is_none_or(|count| count == 4 - stays));
    }
}

pub(crate) async fn whoever_leaves_and_is_removed_at_once_leaves_once(world: &World) {
    for _ in 0..3 {
        let people = people(world, 3).await;
        let room = people[0].group("a group", &[&people[1], &people[2]]).await;
        let calls = [
            removing(&people[1], &room, &people[1]),
            removing(&people[0], &room, &people[1]),
            // The owner leaves meanwhile: whom they wanted to remove, they may not have been able to.
            removing(&people[0], &room, &people[0]),
        ];
        let answers = at_once(calls).await;
        count(&answers, [204, 404]);
        assert_eq!(answers[2].status, 204);
        let room = seen(&people[2], &room).await;
        assert_eq!((room.owner_id.as_deref(), room.participants.len()), (Some(people[2].id()), 1));
        assert!(told(world, &room, "ParticipantLeft").is_none_or(|count| count == 2));
    }
}

pub(crate) async fn a_group_that_is_deleted_while_people_write_and_come_is_gone(world: &World) {
    for _ in 0..3 {
        let people = people(world, 5).await;
        let room = people[0].group("a group", &[&people[1], &people[2]]).await;
        people[1].say(&room, "before").await;
        let mut calls: Vec<Call> = (0..3).map(|n| people[n].sending(&room.id, "meanwhile", None)).collect();
        calls.push(deleting(&people[0], &room));
        calls.push(adding(&people[1], &room, &[&people[3], &people[4]]));
        calls.extend((0..3).map(|n| people[n].sending(&room.id, "meanwhile", None)));
        let answers = at_once(calls).await;
        assert_eq!(answers[3].status, 204);
        assert!(matches!(answers[4].status.as_u16(), 200 | 404), "{}", answers[4]);
        let mut seqs = Vec::new();
        for answer in answers.iter().take(3).chain(&answers[5..]) {
            match answer.status.as_u16() {
                201 => seqs.push(answer.read::<Message>().seq),
                _ => drop(answer.problem(404, "not_found")),
            }
        }
        seqs.sort_unstable();
        assert_eq!(seqs, (2..2 + seqs.len() as u64).collect::<Vec<_>>(), "without a gap until the end");
        for person in &people {
            person.client.get(format!("/api/chat-rooms/{}", room.id)).answer().await.problem(404, "not_found");
            let rooms: Page<Room> = person.get("/api/chat-rooms").await;
            assert!(rooms.items.is_empty());
        }
        assert!(told(world, &room, "ChatRoomDeleted").is_none_or(|count| count == 1));
    }
}

pub(crate) async fn participants_come_in_pages(world: &World) {
    let people = people(world, 11).await;
    let room = people[0].group("a group", &people[1..7].iter().collect::<Vec<_>>()).await;
    for person in &people[7..] {
        let _ = adding(&people[1], &room, &[person]).answer().await.is(200);
    }
    let pages = async |limit: usize| {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/chat-rooms/{}/participants?limit={limit}{cursor}", room.id);
            let page: Page<Participant> = people[3].get(path).await;
            found.extend(page.items.into_iter().map(|participant| participant.user_id));
            let Some(next) = page.next_cursor else { return found };
            cursor = format!("&cursor={next}");
        }
    };
    let all = pages(100).await;
    assert_eq!(all.len(), 11);
    assert_eq!(all[7..], people[7..].iter().map(|person| person.id().to_owned()).collect::<Vec<_>>());
    for limit in [1, 2, 5] {
        assert_eq!(pages(limit).await, all);
    }
}

pub(crate) async fn what_is_asked_for_twice_under_one_key_is_done_once(world: &World) {
    let people = people(world, 3).await;
    let room = people[0].group("a group", &[&people[1]]).await;
    people[0].say(&room, "unread").await;
    let keyed = |call: Call, key: &str| call.header("idempotency-key", key);
    let add = || keyed(adding(&people[0], &room, &[&people[2]]), "add");
    let first: Page<Participant> = add().answer().await.ok(200);
    let _ = removing(&people[0], &room, &people[2]).answer().await.is(204);
    let again: Page<Participant> = add().answer().await.ok(200);
    assert_eq!(again.items, first.items);
    assert_eq!(seen(&people[0], &room).await.participants.len(), 2, "the second time nobody was added");
    for (path, body) in [("read", json!({ "seq": 1 })), ("typing", json!({}))] {
        let call = || keyed(people[1].client.post(format!("/api/messages/{}/{path}", room.id)).json(&body), path);
        let (first, again) = (call().answer().await, call().answer().await);
        assert_eq!((first.status, first.body), (again.status, again.body.clone()));
        assert_eq!(again.header("idempotency-replayed"), "true", "{again}");
        keyed(people[1].sending(&room.id, "x", None), path).answer().await.problem(422, "idempotency_key_reused");
    }
}
