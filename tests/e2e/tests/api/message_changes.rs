//! What can be done to a message after it was sent: in other words, taken back, reacted to, answered.

use plaza_e2e::check;
use plaza_e2e::routes::NOBODY;
use plaza_test_support::{Answer, Message, PATIENCE, Page, Person, Room, World};
use serde_json::{Value, json};

async fn said(world: &World) -> (Person, Person, Room, Message) {
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let room = anna.direct_room(&ben).await;
    let message = anna.say(&room, "first words").await;
    (anna, ben, room, message)
}

fn path(message: &Message) -> String {
    format!("/api/messages/{}/{}", message.room_id, message.id)
}

async fn edit(person: &Person, message: &Message, content: &str) -> Answer {
    person.client.patch(path(message)).json(&json!({ "content": content })).answer().await
}

async fn delete(person: &Person, message: &Message) -> Answer {
    person.client.delete(path(message)).answer().await
}

fn reaction(person: &Person, message: &Message, add: bool, emoji: &str) -> plaza_test_support::Call {
    let path = format!("{}/reactions", path(message));
    let call = if add { person.client.put(path) } else { person.client.delete(path) };
    call.query(&[("emoji", emoji)])
}

async fn react(person: &Person, message: &Message, emoji: &str) -> Message {
    reaction(person, message, true, emoji).answer().await.ok(200)
}

#[tokio::test]
async fn an_edit_shows_everywhere_and_what_was_said_before_is_kept() {
    let world = World::shared();
    let (anna, ben, room, message) = said(&world).await;
    let mut stream = ben.stream("/api/stream").await;
    let mut before = vec![message.content.clone().unwrap()];
    for content in ["second words", "세 번째 말 🌱"] {
        let edited: Message = edit(&anna, &message, content).await.ok(200);
        assert_eq!(edited.content.as_deref(), Some(content));
        check::is_time(edited.edited_at.as_deref().unwrap());
        let untouched = Message { content: message.content.clone(), edited_at: None, ..edited.clone() };
        assert_eq!(untouched, message, "nothing else has changed");
        let event = stream.find("the edit", PATIENCE, |event| event.event == "MessageEdited").await;
        assert_eq!(serde_json::from_value::<Message>(event.json()).unwrap(), edited);
        let page = ben.messages(&room.id, "").await;
        assert_eq!(page.items, std::slice::from_ref(&edited));
        let of_ben: Room = ben.get(format!("/api/chat-rooms/{}", room.id)).await;
        assert_eq!((of_ben.last_message, of_ben.unread_count), (Some(edited.clone()), 1));

        let detail: Value = ben.get(path(&message)).await;
        assert_eq!(serde_json::from_value::<Message>(detail.clone()).unwrap(), edited);
        let edits: Vec<&str> =
            detail["edits"].as_array().unwrap().iter().map(|edit| edit["content"].as_str().unwrap()).collect();
        assert_eq!(edits, before, "the oldest first");
        check::is_time(detail["edits"][0]["replaced_at"].as_str().unwrap());
        before.push(content.to_owned());
    }
    // The same words are no edit.
    let same: Message = edit(&anna, &message, "세 번째 말 🌱").await.ok(200);
    let detail: Value = anna.get(path(&message)).await;
    assert_eq!(
        (detail["edits"].as_array().unwrap().len(), detail["edited_at"].as_str()),
        (2, same.edited_at.as_deref())
    );
}

#[tokio::test]
async fn only_its_author_edits_a_message_and_only_text_that_is_there() {
    let world = World::shared();
    let (anna, ben, room, message) = said(&world).await;
    edit(&ben, &message, "I never said that").await.problem(403, "not_author");
    let refused: [(&str, Value); 5] = [
        ("content", json!({})),
        ("content", json!({ "content": null })),
        ("content", json!({ "content": " " })),
        ("content", json!({ "content": "x".repeat(4_001) })),
        ("content", json!({ "content": "a\u{0}b" })),
    ];
    for (field, body) in refused {
        let answer = anna.client.patch(path(&message)).json(&body).answer().await;
        answer.problem(422, "validation_failed").field(field);
    }
    let body = json!({ "content": "https://example.com/a.png", "message_type": "image" });
    let picture: Message = anna.client.post(format!("/api/messages/{}", room.id)).json(&body).answer().await.ok(201);
    edit(&anna, &picture, "x").await.problem(409, "not_editable");
    let _ = delete(&anna, &message).await.is(204);
    edit(&anna, &message, "x").await.problem(409, "message_deleted");
    let detail: Value = ben.get(path(&message)).await;
    assert_eq!(detail["content"], Value::Null);
}

#[tokio::test]
async fn a_deleted_message_keeps_its_place_and_loses_its_words() {
    let world = World::shared();
    let (anna, ben, room, message) = said(&world).await;
    let _: Message = edit(&anna, &message, "other words").await.ok(200);
    react(&ben, &message, "👍").await;
    let mut stream = ben.stream("/api/stream").await;
    delete(&ben, &message).await.problem(403, "not_author");
    for _ in 0..2 {
        let _ = delete(&anna, &message).await.is(204);
    }
    let event = stream.find("the deletion", PATIENCE, |event| event.event == "MessageDeleted").await;
    let told: Message = serde_json::from_value(event.json()).unwrap();
    let page = ben.messages(&room.id, "").await;
    assert_eq!(page.items, std::slice::from_ref(&told));
    assert!(told.edited_at.is_some(), "it keeps its times");
    let tombstone = Message { content: None, deleted: true, edited_at: told.edited_at.clone(), ..message.clone() };
    assert_eq!(told, tombstone);
    let detail: Value = ben.get(path(&message)).await;
    assert_eq!((&detail["content"], &detail["edits"]), (&Value::Null, &json!([])), "earlier words are gone, too");
    let next = ben.say(&room, "and on").await;
    assert_eq!(next.seq, 2, "its place is not given again");
    let event = stream.find("an event", PATIENCE, |event| event.event.starts_with("Message")).await;
    assert_eq!(event.event, "MessageSent", "a second deletion tells nothing");
    reaction(&ben, &message, true, "👍").answer().await.problem(409, "message_deleted");
    let again: Message = reaction(&ben, &message, false, "👍").answer().await.ok(200);
    assert_eq!(again, tombstone);
}

#[tokio::test]
async fn the_owner_of_a_group_deletes_anybodys_message() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    let room = anna.group("tidy", &[&ben, &cleo]).await;
    let message = ben.say(&room, "rubbish").await;
    delete(&cleo, &message).await.problem(403, "not_author");
    edit(&anna, &message, "not rubbish").await.problem(403, "not_author");
    let _ = delete(&anna, &message).await.is(204);
    assert!(cleo.messages(&room.id, "").await.items[0].deleted);
}

#[tokio::test]
async fn a_message_that_was_sent_twice_is_found_as_it_is_now() {
    let world = World::shared();
    let (anna, ben, room, _) = said(&world).await;
    let sent: Message = anna.sending(&room.id, "once", Some("a")).answer().await.ok(201);
    let edited: Message = edit(&anna, &sent, "edited").await.ok(200);
    let reacted = react(&ben, &sent, "👍").await;
    assert_eq!(reacted.content, edited.content);
    let again: Message = anna.sending(&room.id, "once", Some("a")).answer().await.ok(200);
    assert_eq!(again, reacted);
    let _ = delete(&anna, &sent).await.is(204);
    let again: Message = anna.sending(&room.id, "once", Some("a")).answer().await.ok(200);
    assert!(again.deleted && again.content.is_none(), "it is not said again: {again:?}");
}

#[tokio::test]
async fn reactions_are_seen_wherever_the_message_is() {
    let world = World::shared();
    let (anna, ben, room, message) = said(&world).await;
    let other = anna.say(&room, "nobody reacts to this").await;
    let mut stream = anna.stream(&format!("/api/stream/messages/{}", room.id)).await;
    let mut changes = Vec::new();
    for (person, add, emoji, after) in [
        (&ben, true, "👍", json!([{ "emoji": "👍", "user_ids": [ben.id()] }])),
        (&anna, true, "👍", json!([{ "emoji": "👍", "user_ids": [ben.id(), anna.id()] }])),
        (
            &ben,
            true,
            "❤",
            json!([{ "emoji": "👍", "user_ids": [ben.id(), anna.id()] }, { "emoji": "❤️", "user_ids": [ben.id()] }]),
        ),
        (
            &ben,
            false,
            "👍",
            json!([{ "emoji": "👍", "user_ids": [anna.id()] }, { "emoji": "❤️", "user_ids": [ben.id()] }]),
        ),
        (&anna, false, "👍", json!([{ "emoji": "❤️", "user_ids": [ben.id()] }])),
    ] {
        // A second time it is the same, and nobody is told.
        for _ in 0..2 {
            let answer: Message = reaction(person, &message, add, emoji).answer().await.ok(200);
            assert_eq!(json!(answer.reactions), after);
        }
        changes.push((person.id().to_owned(), add, after));
    }
    for (user, added, after) in changes {
        let event = stream.find("the reaction", PATIENCE, |event| event.event == "ReactionChanged").await.json();
        assert_eq!((event["user_id"].as_str(), event["added"].as_bool()), (Some(user.as_str()), Some(added)));
        assert_eq!((event["message_id"].as_str(), event["seq"].as_u64()), (Some(message.id.as_str()), Some(1)));
        assert_eq!(event["reactions"], after);
        check::is_time(event["changed_at"].as_str().unwrap());
    }
    let hearts = vec![json!({ "emoji": "❤️", "user_ids": [ben.id()] })];
    let page = anna.messages(&room.id, "").await;
    assert_eq!((&page.items[0].reactions, page.items[1].reactions.len()), (&hearts, 0));
    let detail: Message = anna.get(path(&message)).await;
    assert_eq!(detail.reactions, hearts);
    react(&anna, &other, "🎉").await;
    let rooms: Page<Room> = ben.get("/api/chat-rooms").await;
    let party = vec![json!({ "emoji": "🎉", "user_ids": [anna.id()] })];
    assert_eq!(rooms.items[0].last_message.as_ref().unwrap().reactions, party);
    let body = json!({ "content": "re", "reply_to": message.id });
    let reply: Message = ben.client.post(format!("/api/messages/{}", room.id)).json(&body).answer().await.ok(201);
    assert_eq!(reply.reactions, Vec::<Value>::new());
}

#[tokio::test]
async fn a_reaction_is_exactly_one_emoji_of_at_most_twenty() {
    let world = World::shared();
    let (anna, _ben, _room, message) = said(&world).await;
    for emoji in ["a", "1", "👍👍", "👍 ", "가", "<script>", "' OR 1=1 --", "%", "🇰", "e\u{301}", "\u{200d}", "👍\u{0}"]
    {
        for add in [true, false] {
            let answer = reaction(&anna, &message, add, emoji).answer().await;
            answer.problem(422, "validation_failed").field("emoji");
        }
    }
    for query in ["", "?emoji=", "?other=1"] {
        let answer = anna.client.put(format!("{}/reactions{query}", path(&message))).answer().await;
        answer.problem(422, "validation_failed").field("emoji");
    }
    let families = ["👨‍👩‍👧‍👦", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "👍🏿", "1️⃣", "🇰🇷"];
    let faces = (0..15).map(|n| char::from_u32(0x1f600 + n).unwrap().to_string());
    let emoji: Vec<String> = families.into_iter().map(str::to_owned).chain(faces).collect();
    for emoji in &emoji {
        react(&anna, &message, emoji).await;
    }
    reaction(&anna, &message, true, "🎉").answer().await.problem(409, "too_many_reactions");
    let detail: Message = anna.get(path(&message)).await;
    let shown: Vec<&str> = detail.reactions.iter().map(|reaction| reaction["emoji"].as_str().unwrap()).collect();
    assert_eq!(shown, emoji, "in the order in which they came");
}

#[tokio::test]
async fn a_reply_may_answer_what_was_deleted() {
    let world = World::shared();
    let (anna, ben, room, message) = said(&world).await;
    let _ = delete(&anna, &message).await.is(204);
    let body = json!({ "content": "what was that?", "reply_to": message.id });
    let reply: Message = ben.client.post(format!("/api/messages/{}", room.id)).json(&body).answer().await.ok(201);
    assert_eq!(reply.reply_to.as_ref(), Some(&message.id));
    let _ = delete(&ben, &reply).await.is(204);
    let page = anna.messages(&room.id, "").await;
    assert_eq!(page.items[1].reply_to.as_ref(), Some(&message.id), "what it answered stays");
}

#[tokio::test]
async fn anothers_message_is_not_found() {
    let world = World::shared();
    let (anna, ben, room, message) = said(&world).await;
    let cleo = world.person("cleo").await;
    let elsewhere = cleo.group("elsewhere", &[&anna]).await;
    let in_other_room = Message { room_id: elsewhere.id, ..message.clone() };
    let no_message = Message { id: NOBODY.to_owned(), ..message.clone() };
    let no_id = Message { id: "nonsense".to_owned(), ..message.clone() };
    let no_room = Message { room_id: NOBODY.to_owned(), ..message.clone() };
    for (person, message) in [
        (&cleo, &message),
        (&cleo, &in_other_room),
        (&anna, &in_other_room),
        (&anna, &no_message),
        (&anna, &no_id),
        (&anna, &no_room),
    ] {
        person.client.get(path(message)).answer().await.problem(404, "not_found");
        edit(person, message, "x").await.problem(404, "not_found");
        delete(person, message).await.problem(404, "not_found");
        for add in [true, false] {
            reaction(person, message, add, "👍").answer().await.problem(404, "not_found");
        }
    }
    assert_eq!(ben.messages(&room.id, "").await.items, [message]);
}
