//! Sending messages and paging through them.

use plaza_e2e::check;
use plaza_e2e::routes::NOBODY;
use plaza_test_support::{Message, PATIENCE, Page, Person, Room, World, eventually, unique};
use serde_json::{Value, json};

/// A room of two with `count` messages, which say their `seq`.
async fn room_with(world: &World, count: u64) -> (Person, Person, Room, Vec<Message>) {
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let room = anna.direct_room(&ben).await;
    let mut messages = Vec::new();
    for seq in 1..=count {
        let sender = if seq % 2 == 1 { &anna } else { &ben };
        messages.push(sender.say(&room, &format!("message {seq}")).await);
    }
    (anna, ben, room, messages)
}

fn seqs(page: &Page<Message>) -> Vec<u64> {
    page.items.iter().map(|message| message.seq).collect()
}

#[tokio::test]
async fn a_message_has_its_place_and_its_shape() {
    let world = World::shared();
    let (anna, _ben, room, messages) = room_with(&world, 3).await;
    check::gapless(&messages).unwrap_or_else(|why| panic!("{why}"));
    let first = &messages[0];
    assert_eq!((first.room_id.as_str(), first.user_id.as_str()), (room.id.as_str(), anna.id()));
    assert_eq!((first.username.as_str(), first.content.as_deref()), (anna.name(), Some("message 1")));
    assert_eq!((first.message_type.as_str(), first.deleted), ("text", false));
    assert_eq!((&first.reply_to, &first.edited_at, first.reactions.len()), (&None, &None, 0));
    check::is_time(&first.created_at);
    let page: Page<Value> = anna.get(format!("/api/messages/{}", room.id)).await;
    let members = [
        "id",
        "room_id",
        "seq",
        "user_id",
        "username",
        "content",
        "message_type",
        "client_message_id",
        "reply_to",
        "reactions",
        "created_at",
        "edited_at",
        "deleted",
    ];
    check::has_members(&page.items[0], &members);
}

#[tokio::test]
async fn what_is_said_comes_back_as_it_was_said() {
    let world = World::shared();
    let (anna, ben, room, _) = room_with(&world, 0).await;
    let contents = [
        "a".to_owned(),
        "가".repeat(4_000),
        "🌱".repeat(4_000),
        "첫 줄\n둘째 줄\t끝".to_owned(),
        r#"<script>alert("x")</script> \ ' " ; DROP TABLE messages; -- %s {} ${x}"#.to_owned(),
        "\u{202e}right to left\u{202c} and \u{200d} joiners".to_owned(),
        "data: not a frame\n\nevent: forged\nid: 1\n\n".trim_end().to_owned(),
    ];
    let mut stream = ben.stream(&format!("/api/stream/messages/{}", room.id)).await;
    for content in &contents {
        let sent = anna.say(&room, content).await;
        assert_eq!(sent.content.as_ref(), Some(content));
        let event = stream.find("the message", PATIENCE, |event| event.event == "MessageSent").await;
        assert_eq!(event.json()["content"].as_str(), Some(content.as_str()));
    }
    let stored = ben.all_messages(&room.id).await;
    let stored: Vec<_> = stored.into_iter().filter_map(|message| message.content).collect();
    assert_eq!(stored, contents);
}

#[tokio::test]
async fn a_repeated_send_is_the_first_message_again() {
    let world = World::shared();
    let (anna, ben, room, _) = room_with(&world, 0).await;
    let id = unique("client");
    let first: Message = anna.sending(&room.id, "once", Some(&id)).answer().await.ok(201);
    assert_eq!(first.client_message_id.as_ref(), Some(&id));
    for content in ["once", "something else"] {
        let again: Message = anna.sending(&room.id, content, Some(&id)).answer().await.ok(200);
        assert_eq!(again, first);
    }
    let of_ben: Message = ben.sending(&room.id, "mine", Some(&id)).answer().await.ok(201);
    assert_eq!(of_ben.seq, 2, "the id is the sender's own");
    assert_eq!(anna.all_messages(&room.id).await, [first, of_ben]);
}

#[tokio::test]
async fn a_send_that_is_repeated_at_once_is_stored_once() {
    let world = World::shared();
    let (anna, _ben, room, _) = room_with(&world, 0).await;
    for round in 1..=5 {
        let id = unique("client");
        let sends = (0..6).map(|_| anna.sending(&room.id, "once", Some(&id)).answer());
        let answers = futures::future::join_all(sends).await;
        let created = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(created, 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
        for answer in answers {
            assert!(matches!(answer.status.as_u16(), 200 | 201), "{answer}");
            assert_eq!(answer.read::<Message>().seq, round);
        }
    }
    check::gapless(&anna.all_messages(&room.id).await).unwrap_or_else(|why| panic!("{why}"));
}

#[tokio::test]
async fn many_who_write_at_once_get_places_without_a_gap() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    let room = anna.group("busy", &[&ben, &cleo]).await;
    let sends = [&anna, &ben, &cleo].into_iter().cycle().take(60).map(|person| person.say(&room, "at once"));
    let mut sent = futures::future::join_all(sends).await;
    sent.sort_by_key(|message| message.seq);
    check::gapless(&sent).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(cleo.all_messages(&room.id).await, sent);
}

#[tokio::test]
async fn messages_that_make_no_sense_are_refused() {
    let world = World::shared();
    let (anna, _ben, room, _) = room_with(&world, 0).await;
    let refused: Vec<(&str, Value)> = vec![
        ("content", json!({})),
        ("content", json!({ "content": null })),
        ("content", json!({ "content": 5 })),
        ("content", json!({ "content": "" })),
        ("content", json!({ "content": " \n\t " })),
        ("content", json!({ "content": "가".repeat(4_001) })),
        ("content", json!({ "content": "a\u{0}b" })),
        ("message_type", json!({ "content": "x", "message_type": "hologram" })),
        ("message_type", json!({ "content": "x", "message_type": 1 })),
        ("client_message_id", json!({ "content": "x", "client_message_id": "" })),
        ("client_message_id", json!({ "content": "x", "client_message_id": "x".repeat(1_000) })),
        ("client_message_id", json!({ "content": "x", "client_message_id": 1 })),
        ("reply_to", json!({ "content": "x", "reply_to": 1 })),
    ];
    let send = async |body: &Value| anna.client.post(format!("/api/messages/{}", room.id)).json(body).answer().await;
    for (field, body) in &refused {
        send(body).await.problem(422, "validation_failed").field(field);
    }
    let to_nothing = send(&json!({ "content": "x", "reply_to": NOBODY })).await;
    assert!(matches!(to_nothing.status.as_u16(), 404 | 422), "{to_nothing}");
    for message_type in ["text", "image", "file"] {
        let message: Message = send(&json!({ "content": "x", "message_type": message_type })).await.ok(201);
        assert_eq!(message.message_type, message_type);
    }
    assert_eq!(anna.all_messages(&room.id).await.len(), 3, "a refused message takes no place");
}

#[tokio::test]
async fn a_reply_stays_in_its_room() {
    let world = World::shared();
    let (anna, ben, room, messages) = room_with(&world, 1).await;
    let elsewhere = anna.group("elsewhere", &[&ben]).await;
    let body = json!({ "content": "re", "reply_to": messages[0].id });
    let call = anna.client.post(format!("/api/messages/{}", elsewhere.id)).json(&body);
    let answer = call.answer().await;
    assert!(matches!(answer.status.as_u16(), 404 | 422), "{answer}");
    let reply: Message = ben.client.post(format!("/api/messages/{}", room.id)).json(&body).answer().await.ok(201);
    assert_eq!(reply.reply_to.as_ref(), Some(&messages[0].id));
}

#[tokio::test]
async fn a_block_holds_in_direct_rooms_soon_after_it_is_made() {
    let world = World::shared();
    let (anna, ben, room, _) = room_with(&world, 1).await;
    let _ = anna.client.post("/api/friends/blocks").json(&json!({ "user_id": ben.id() })).answer().await.is(201);
    eventually(PATIENCE, "the block", async || {
        let answer = ben.sending(&room.id, "x", None).answer().await;
        (answer.status != 201).then(|| drop(answer.problem(403, "cannot_message")))
    })
    .await;
    anna.sending(&room.id, "x", None).answer().await.problem(409, "blocked");
    let _ = anna.client.delete(format!("/api/friends/blocks/{}", ben.id())).answer().await.is(204);
    eventually(PATIENCE, "the end of the block", async || {
        (ben.sending(&room.id, "x", None).answer().await.status == 201).then_some(())
    })
    .await;
    anna.say(&room, "and on").await;
}

#[tokio::test]
async fn anothers_room_can_neither_be_read_nor_written() {
    let world = World::shared();
    let (_, _, room, messages) = room_with(&world, 1).await;
    let cleo = world.person("cleo").await;
    for id in [room.id.as_str(), NOBODY, "nonsense"] {
        cleo.client.get(format!("/api/messages/{id}")).answer().await.problem(404, "not_found");
        let around = format!("/api/messages/{id}?around={}", messages[0].id);
        cleo.client.get(around).answer().await.problem(404, "not_found");
        cleo.sending(id, "let me in", None).answer().await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn pages_lead_backwards_to_the_first_and_forwards_to_the_last() {
    let world = World::shared();
    let (anna, _, room, messages) = room_with(&world, 23).await;
    let page = anna.messages(&room.id, "?limit=10").await;
    assert_eq!(seqs(&page), (14..=23).collect::<Vec<_>>(), "the latest, oldest of them first");

    let mut backwards = Vec::new();
    let mut current = page;
    loop {
        backwards.splice(0..0, current.items);
        let Some(cursor) = current.prev_cursor else { break };
        current = anna.messages(&room.id, &format!("?limit=10&cursor={cursor}")).await;
    }
    assert_eq!(backwards, messages);

    let mut forwards = Vec::new();
    let mut current = anna.messages(&room.id, "?limit=10&after=0").await;
    loop {
        forwards.extend(current.items);
        let Some(cursor) = current.next_cursor else { break };
        current = anna.messages(&room.id, &format!("?limit=10&cursor={cursor}")).await;
    }
    assert_eq!(forwards, messages);
}

#[tokio::test]
async fn a_page_can_begin_anywhere_by_seq_or_by_id() {
    let world = World::shared();
    let (anna, _, room, messages) = room_with(&world, 12).await;
    let id = |seq: usize| messages[seq - 1].id.as_str();
    for middle in ["6", id(6)] {
        let before = anna.messages(&room.id, &format!("?limit=3&before={middle}")).await;
        assert_eq!(seqs(&before), [3, 4, 5]);
        let after = anna.messages(&room.id, &format!("?limit=3&after={middle}")).await;
        assert_eq!(seqs(&after), [7, 8, 9]);
        let around = anna.messages(&room.id, &format!("?limit=5&around={middle}")).await;
        assert_eq!(seqs(&around), [4, 5, 6, 7, 8]);
        assert!(around.prev_cursor.is_some() && around.next_cursor.is_some(), "{around:?}");
    }
    assert_eq!(seqs(&anna.messages(&room.id, "?before=1").await), [0; 0]);
    assert_eq!(seqs(&anna.messages(&room.id, "?after=12").await), [0; 0]);
    let first = anna.messages(&room.id, "?limit=5&around=1").await;
    assert_eq!((first.items[0].seq, first.prev_cursor.as_ref()), (1, None));
    let whole = anna.messages(&room.id, "").await;
    assert_eq!((whole.items.len(), whole.prev_cursor, whole.next_cursor), (12, None, None));
}

#[tokio::test]
async fn from_around_any_message_pages_lead_to_both_ends() {
    let world = World::shared();
    let (anna, _, room, messages) = room_with(&world, 11).await;
    for (around, limit) in (1..=11).flat_map(|seq| [1, 4, 11, 12].map(|limit| (seq, limit))) {
        let middle = anna.messages(&room.id, &format!("?around={around}&limit={limit}")).await;
        assert!(seqs(&middle).contains(&around), "{around} by {limit}: {:?}", seqs(&middle));
        assert_eq!(middle.items.len(), limit.min(11), "{around} by {limit}");
        let mut all = middle.items;
        let mut cursor = middle.prev_cursor;
        while let Some(prev) = cursor {
            let page = anna.messages(&room.id, &format!("?limit={limit}&cursor={prev}")).await;
            assert!(!page.items.is_empty(), "a cursor leads to something");
            all.splice(0..0, page.items);
            cursor = page.prev_cursor;
        }
        let mut cursor = middle.next_cursor;
        while let Some(next) = cursor {
            let page = anna.messages(&room.id, &format!("?limit={limit}&cursor={next}")).await;
            assert!(!page.items.is_empty(), "a cursor leads to something");
            all.extend(page.items);
            cursor = page.next_cursor;
        }
        assert_eq!(all, messages, "around {around} by {limit}");
    }
    let beyond = anna.messages(&room.id, "?around=99&limit=4").await;
    assert_eq!((seqs(&beyond), beyond.next_cursor), (vec![8, 9, 10, 11], None));
    let empty = anna.group("empty", &[&world.person("ben").await]).await;
    let nothing = anna.messages(&empty.id, "?around=1").await;
    assert!(nothing.items.is_empty() && nothing.prev_cursor.is_none() && nothing.next_cursor.is_none());
}

#[tokio::test]
async fn pages_that_make_no_sense_are_refused() {
    let world = World::shared();
    let (anna, _, room, _) = room_with(&world, 1).await;
    let get = async |query: &str| anna.client.get(format!("/api/messages/{}{query}", room.id)).answer().await;
    for limit in ["0", "101", "-1", "x"] {
        get(&format!("?limit={limit}")).await.problem(422, "validation_failed").field("limit");
    }
    for cursor in ["nonsense!", "AAAA", &"A".repeat(4_000)] {
        get(&format!("?cursor={cursor}")).await.problem(400, "invalid_cursor");
    }
    for (parameter, value) in [("before", "x"), ("after", "-1"), ("around", "1.5")] {
        let answer = get(&format!("?{parameter}={value}")).await;
        answer.problem(422, "validation_failed").field(parameter);
    }
}
