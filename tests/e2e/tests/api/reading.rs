//! Read positions, unread counts, and who is typing.

use plaza_e2e::check;
use plaza_e2e::routes::NOBODY;
use plaza_test_support::{Answer, PATIENCE, Page, Person, Room, World};
use serde_json::{Value, json};

async fn read(person: &Person, room: &Room, body: &Value) -> Answer {
    person.client.post(format!("/api/messages/{}/read", room.id)).json(body).answer().await
}

async fn type_in(person: &Person, room: &Room) -> Answer {
    person.client.post(format!("/api/messages/{}/typing", room.id)).answer().await
}

async fn position(person: &Person, room: &Room, of: &Person) -> (u64, u64) {
    let seen: Room = person.get(format!("/api/chat-rooms/{}", room.id)).await;
    let participant = seen.participants.iter().find(|participant| participant.user_id == of.id());
    (participant.expect("somebody in the room").last_read_seq, seen.unread_count)
}

#[tokio::test]
async fn whoever_has_read_has_less_to_read_and_others_see_it() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let room = anna.direct_room(&ben).await;
    let mut messages = Vec::new();
    for n in 1..=5 {
        messages.push(anna.say(&room, &format!("{n}")).await);
    }
    assert_eq!(position(&anna, &room, &ben).await, (0, 0));
    let mut stream = anna.stream("/api/stream").await;
    for (body, last_read_seq, unread_count) in [
        (json!({ "seq": 2 }), 2, 3),
        (json!({ "message_id": messages[2].id }), 3, 2),
        // It never goes back.
        (json!({ "seq": 1 }), 3, 2),
        (json!({ "message_id": messages[0].id }), 3, 2),
        (json!({ "seq": 0 }), 3, 2),
        // Beyond the newest there is nothing to read.
        (json!({ "seq": 18_446_744_073_709_551_615_u64 }), 5, 0),
        (json!({ "seq": 5, "message_id": null }), 5, 0),
    ] {
        let answer: Value = read(&ben, &room, &body).await.ok(200);
        let expected = json!({ "room_id": room.id, "last_read_seq": last_read_seq, "unread_count": unread_count });
        assert_eq!(answer, expected, "{body}");
        assert_eq!(position(&anna, &room, &ben).await, (last_read_seq, 0));
        assert_eq!(position(&ben, &room, &ben).await, (last_read_seq, unread_count));
    }
    for seq in [2, 3, 5] {
        let event = stream.find("the position", PATIENCE, |event| event.event == "MessageRead").await.json();
        assert_eq!((event["seq"].as_u64(), event["user_id"].as_str()), (Some(seq), Some(ben.id())));
        assert_eq!(event["room_id"], room.id.as_str());
        check::is_time(event["read_at"].as_str().unwrap());
    }
    anna.say(&room, "6").await;
    let rooms: Page<Room> = ben.get("/api/chat-rooms").await;
    assert_eq!(rooms.items[0].unread_count, 1);
    ben.say(&room, "7").await;
    assert_eq!(position(&anna, &room, &ben).await, (7, 1), "whoever writes has read what came before");
}

#[tokio::test]
async fn a_position_that_makes_no_sense_is_refused() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    let (room, other) = (anna.direct_room(&ben).await, anna.direct_room(&cleo).await);
    let message = anna.say(&room, "here").await;
    let elsewhere = anna.say(&other, "there").await;
    for (field, body) in [
        ("message_id", json!({})),
        ("message_id", json!({ "message_id": message.id, "seq": 1 })),
        ("message_id", json!({ "message_id": "nonsense" })),
        ("message_id", json!({ "message_id": NOBODY })),
        ("message_id", json!({ "message_id": elsewhere.id })),
        ("seq", json!({ "seq": -1 })),
        ("seq", json!({ "seq": 1.5 })),
        ("seq", json!({ "seq": "1" })),
    ] {
        read(&ben, &room, &body).await.problem(422, "validation_failed").field(field);
    }
    assert_eq!(position(&ben, &room, &ben).await, (0, 1));
    let nowhere = Room { id: NOBODY.to_owned(), ..room.clone() };
    for room in [&room, &nowhere] {
        read(&cleo, room, &json!({ "seq": 1 })).await.problem(404, "not_found");
        type_in(&cleo, room).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn typing_is_seen_by_those_in_the_room() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let room = anna.direct_room(&ben).await;
    for path in ["/api/stream".to_owned(), format!("/api/stream/messages/{}", room.id)] {
        let mut stream = ben.stream(&path).await;
        let _ = type_in(&anna, &room).await.is(204);
        let event = stream.find("who is typing", PATIENCE, |event| event.event == "Typing").await.json();
        assert_eq!((event["room_id"].as_str(), event["user_id"].as_str()), (Some(room.id.as_str()), Some(anna.id())));
        assert_eq!(event["username"], anna.name());
        check::is_time(event["expires_at"].as_str().unwrap());
    }
    assert!(ben.messages(&room.id, "").await.items.is_empty(), "nothing of it stays");
}
