//! Chat rooms.

use std::collections::BTreeSet;

use plaza_e2e::check;
use plaza_e2e::routes::NOBODY;
use plaza_test_support::{Page, Room, World};
use serde_json::{Value, json};

#[tokio::test]
async fn a_direct_room_is_one_per_pair() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    let room = anna.direct_room(&ben).await;
    assert_eq!(room.room_type, "direct");
    assert_eq!((room.last_message.as_ref(), room.unread_count), (None, 0));
    check::is_time(&room.created_at);
    let who: BTreeSet<&str> = room.participants.iter().map(|participant| participant.user_id.as_str()).collect();
    assert_eq!(who, BTreeSet::from([anna.id(), ben.id()]));
    for participant in &room.participants {
        let person = if participant.user_id == anna.id() { &anna } else { &ben };
        assert_eq!(participant.username, person.name());
        check::is_time(&participant.joined_at);
    }
    for (one, other) in [(&anna, &ben), (&ben, &anna)] {
        let body = json!({ "room_type": "direct", "participant_ids": [other.id()] });
        let again: Room = one.create_room(&body).await.ok(200);
        assert_eq!(again.id, room.id);
    }
    let with_self = json!({ "room_type": "direct", "participant_ids": [anna.id(), ben.id()] });
    let answer = anna.create_room(&with_self).await;
    assert!(answer.status == 200 || answer.status == 422, "naming oneself too is harmless or refused: {answer}");
    assert_ne!(anna.direct_room(&cleo).await.id, room.id);
}

#[tokio::test]
async fn a_direct_room_that_both_open_at_once_is_one() {
    let world = World::shared();
    for _ in 0..5 {
        let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
        let body = |other: &str| json!({ "room_type": "direct", "participant_ids": [other] });
        let (for_anna, for_ben) = (body(ben.id()), body(anna.id()));
        let answers = tokio::join!(
            anna.create_room(&for_anna),
            ben.create_room(&for_ben),
            anna.create_room(&for_anna),
            ben.create_room(&for_ben)
        );
        let answers = [answers.0, answers.1, answers.2, answers.3];
        let ids: BTreeSet<String> = answers.iter().map(|answer| answer.read::<Room>().id).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        let created = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(created, 1, "one of them made it");
    }
}

#[tokio::test]
async fn a_group_has_a_name_an_owner_and_any_number() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    let room = anna.group("주말 모임 🌱", &[&ben, &cleo]).await;
    assert_eq!((room.room_type.as_str(), room.name.as_deref()), ("group", Some("주말 모임 🌱")));
    assert_eq!(room.owner_id.as_deref(), Some(anna.id()));
    let who: BTreeSet<&str> = room.participants.iter().map(|participant| participant.user_id.as_str()).collect();
    assert_eq!(who, BTreeSet::from([anna.id(), ben.id(), cleo.id()]));
    assert_ne!(anna.group("주말 모임 🌱", &[&ben, &cleo]).await.id, room.id, "groups may be alike");
    for person in [&anna, &ben, &cleo] {
        let seen: Room = person.get(format!("/api/chat-rooms/{}", room.id)).await;
        assert_eq!((seen.id, seen.participants.len()), (room.id.clone(), 3));
    }
}

/// Well-formed ids of nobody, all different.
fn distinct_ids(count: u32) -> Vec<String> {
    (0..count).map(|n| format!("{}{n:012x}", &NOBODY[..24])).collect()
}

#[tokio::test]
async fn rooms_that_make_no_sense_are_refused() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    let refused: Vec<(&str, Value)> = vec![
        ("room_type", json!({ "participant_ids": [ben.id()] })),
        ("room_type", json!({ "room_type": "salon", "participant_ids": [ben.id()] })),
        ("room_type", json!({ "room_type": 1, "participant_ids": [ben.id()] })),
        ("participant_ids", json!({ "room_type": "direct" })),
        ("participant_ids", json!({ "room_type": "direct", "participant_ids": [] })),
        ("participant_ids", json!({ "room_type": "direct", "participant_ids": ben.id() })),
        ("participant_ids", json!({ "room_type": "direct", "participant_ids": [ben.id(), cleo.id()] })),
        ("participant_ids", json!({ "room_type": "direct", "participant_ids": [anna.id()] })),
        ("participant_ids", json!({ "room_type": "group", "name": "g", "participant_ids": [1, 2] })),
        ("participant_ids", json!({ "room_type": "group", "name": "g", "participant_ids": distinct_ids(101) })),
        ("name", json!({ "room_type": "group", "name": "x".repeat(101), "participant_ids": [ben.id()] })),
        ("name", json!({ "room_type": "group", "name": "a\nb", "participant_ids": [ben.id()] })),
        ("name", json!({ "room_type": "group", "name": 7, "participant_ids": [ben.id()] })),
    ];
    for (field, body) in refused {
        let problem = anna.create_room(&body).await.problem(422, "validation_failed");
        assert!(problem.errors.iter().any(|error| error.field.starts_with(field)), "{field}: {problem:?}");
    }
    for room_type in ["direct", "group"] {
        let body = json!({ "room_type": room_type, "participant_ids": [NOBODY] });
        anna.create_room(&body).await.problem(404, "user_not_found");
    }
    let rooms: Page<Room> = anna.get("/api/chat-rooms").await;
    assert!(rooms.items.is_empty(), "a refused room is no room: {rooms:?}");
}

#[tokio::test]
async fn anothers_room_is_not_found() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    let room = anna.direct_room(&ben).await;
    for id in [room.id.as_str(), NOBODY, "nonsense", "%00"] {
        cleo.client.get(format!("/api/chat-rooms/{id}")).answer().await.problem(404, "not_found");
    }
    let rooms: Page<Room> = cleo.get("/api/chat-rooms").await;
    assert!(rooms.items.is_empty(), "{rooms:?}");
}

#[tokio::test]
async fn own_rooms_are_listed_by_last_activity_in_pages() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let mut rooms = Vec::new();
    for name in ["one", "two", "three", "four", "five"] {
        rooms.push(anna.group(name, &[&ben]).await);
    }
    // A message brings the oldest to the front.
    let last = ben.say(&rooms[0], "hello").await;
    let all: Page<Room> = anna.get("/api/chat-rooms").await;
    let names: Vec<&str> = all.items.iter().filter_map(|room| room.name.as_deref()).collect();
    assert_eq!(names, ["one", "five", "four", "three", "two"]);
    assert_eq!(all.items[0].last_message.as_ref(), Some(&last));
    assert_eq!(all.items[0].unread_count, 1, "what Ben wrote, Anna has not read");
    let for_ben: Page<Room> = ben.get("/api/chat-rooms").await;
    assert_eq!(for_ben.items[0].unread_count, 0, "what one wrote oneself is read");

    let mut paged = Vec::new();
    let mut path = "/api/chat-rooms?limit=2".to_owned();
    loop {
        let page: Page<Room> = anna.get(path).await;
        assert!(page.items.len() <= 2);
        paged.extend(page.items.into_iter().filter_map(|room| room.name));
        let Some(cursor) = page.next_cursor else { break };
        path = format!("/api/chat-rooms?limit=2&cursor={cursor}");
    }
    assert_eq!(paged, names);
    anna.client.get("/api/chat-rooms?cursor=nonsense!").answer().await.problem(400, "invalid_cursor");
    for limit in ["0", "101", "x"] {
        let answer = anna.client.get(format!("/api/chat-rooms?limit={limit}")).answer().await;
        answer.problem(422, "validation_failed").field("limit");
    }
}
