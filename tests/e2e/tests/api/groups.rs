//! Groups: who is in them, who may change that, and what their streams hear of it.

use std::time::Duration;

use plaza_e2e::check;
use plaza_e2e::routes::NOBODY;
use plaza_test_support::{Answer, Event, Message, Next, PATIENCE, Page, Participant, Person, Room, World};
use serde_json::{Value, json};

async fn add(person: &Person, room: &Room, users: &[&Person]) -> Answer {
    let ids: Vec<&str> = users.iter().map(|user| user.id()).collect();
    let path = format!("/api/chat-rooms/{}/participants", room.id);
    person.client.post(path).json(&json!({ "user_ids": ids })).answer().await
}

async fn remove(person: &Person, room: &Room, user: &str) -> Answer {
    person.client.delete(format!("/api/chat-rooms/{}/participants/{user}", room.id)).answer().await
}

async fn rename(person: &Person, room: &Room, name: &str) -> Answer {
    person.client.patch(format!("/api/chat-rooms/{}", room.id)).json(&json!({ "name": name })).answer().await
}

async fn delete(person: &Person, room: &Room) -> Answer {
    person.client.delete(format!("/api/chat-rooms/{}", room.id)).answer().await
}

async fn seen(person: &Person, room: &Room) -> Room {
    person.get(format!("/api/chat-rooms/{}", room.id)).await
}

async fn members(person: &Person, room: &Room) -> Vec<String> {
    let all: Vec<Participant> = person.all(&format!("/api/chat-rooms/{}/participants?x=1", room.id)).await;
    all.into_iter().map(|participant| participant.user_id).collect()
}

/// That a room is none for somebody, by every route.
async fn is_gone(person: &Person, room: &Room) {
    person.client.get(format!("/api/chat-rooms/{}", room.id)).answer().await.problem(404, "not_found");
    person.client.get(format!("/api/messages/{}", room.id)).answer().await.problem(404, "not_found");
    person.client.get(format!("/api/chat-rooms/{}/participants", room.id)).answer().await.problem(404, "not_found");
    person.sending(&room.id, "x", None).answer().await.problem(404, "not_found");
    rename(person, room, "x").await.problem(404, "not_found");
    delete(person, room).await.problem(404, "not_found");
    add(person, room, &[person]).await.problem(404, "not_found");
    remove(person, room, person.id()).await.problem(404, "not_found");
    let rooms: Page<Room> = person.get("/api/chat-rooms").await;
    assert!(rooms.items.iter().all(|listed| listed.id != room.id));
}

fn is(name: &'static str) -> impl FnMut(&Event) -> bool {
    move |event| event.event == name
}

async fn three(world: &World) -> (Person, Person, Person, Room) {
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    let room = anna.group("three", &[&ben, &cleo]).await;
    (anna, ben, cleo, room)
}

#[tokio::test]
async fn anybody_in_a_group_names_it() {
    let world = World::shared();
    let (anna, ben, cleo, room) = three(&world).await;
    let mut stream = cleo.stream("/api/stream").await;
    for name in ["새 이름 🌱", "'; DROP TABLE rooms; --"] {
        for _ in 0..2 {
            let renamed: Room = rename(&ben, &room, name).await.ok(200);
            assert_eq!(renamed.name.as_deref(), Some(name));
        }
        let event = stream.find("the new name", PATIENCE, is("ChatRoomUpdated")).await.json();
        assert_eq!((event["id"].as_str(), event["name"].as_str()), (Some(room.id.as_str()), Some(name)));
        assert_eq!(event["owner_id"], anna.id());
        check::is_time(event["updated_at"].as_str().unwrap());
        assert_eq!(seen(&anna, &room).await.name.as_deref(), Some(name));
    }
    for name in [json!(null), json!(""), json!("  "), json!("a\nb"), json!("x".repeat(101)), json!(7)] {
        let call = ben.client.patch(format!("/api/chat-rooms/{}", room.id)).json(&json!({ "name": name }));
        call.answer().await.problem(422, "validation_failed").field("name");
    }
    let direct = anna.direct_room(&ben).await;
    rename(&anna, &direct, "us").await.problem(409, "direct_room");
}

#[tokio::test]
async fn newcomers_read_what_was_said_and_have_nothing_unread() {
    let world = World::shared();
    let (anna, ben, cleo, room) = three(&world).await;
    let dora = world.person("dora").await;
    let before = anna.say(&room, "before dora").await;
    let (mut of_dora, mut of_ben) = (dora.stream("/api/stream").await, ben.stream("/api/stream").await);
    // Anybody adds; whoever is there already is no error.
    let answer: Page<Participant> = add(&cleo, &room, &[&dora, &ben, &dora]).await.ok(200);
    let mut added: Vec<&str> = answer.items.iter().map(|participant| participant.user_id.as_str()).collect();
    added.sort_unstable();
    let mut expected = [dora.id(), ben.id()];
    expected.sort_unstable();
    assert_eq!(added, expected);
    let after = anna.say(&room, "welcome").await;
    for stream in [&mut of_dora, &mut of_ben] {
        let event = stream.find("who came", PATIENCE, is("ParticipantJoined")).await.json();
        assert_eq!((event["user_id"].as_str(), event["username"].as_str()), (Some(dora.id()), Some(dora.name())));
        assert_eq!((event["room_id"].as_str(), event["added_by"].as_str()), (Some(room.id.as_str()), Some(cleo.id())));
        check::is_time(event["joined_at"].as_str().unwrap());
        let event = stream.find("the message after", PATIENCE, is("MessageSent")).await.json();
        assert_eq!(event["id"], after.id.as_str());
    }
    assert_eq!(dora.all_messages(&room.id).await, [before, after]);
    assert_eq!(seen(&dora, &room).await.unread_count, 1);
    assert_eq!(members(&ben, &room).await.last().map(String::as_str), Some(dora.id()));
    assert_eq!(members(&ben, &room).await.len(), 4);

    let stranger = world.person("stranger").await;
    add(&stranger, &room, &[&stranger]).await.problem(404, "not_found");
    let path = format!("/api/chat-rooms/{}/participants", room.id);
    let ids = |count: usize| (0..count).map(|n| format!("{}{n:012x}", &NOBODY[..24])).collect::<Vec<_>>();
    for body in [
        json!({}),
        json!({ "user_ids": [] }),
        json!({ "user_ids": "x" }),
        json!({ "user_ids": ["x"] }),
        json!({ "user_ids": ids(101) }),
    ] {
        let answer = anna.client.post(path.clone()).json(&body).answer().await;
        answer.problem(422, "validation_failed").field("user_ids");
    }
    let call = anna.client.post(path).json(&json!({ "user_ids": [stranger.id(), NOBODY] }));
    call.answer().await.problem(404, "user_not_found");
    is_gone(&stranger, &room).await;
    let direct = anna.direct_room(&ben).await;
    add(&anna, &direct, &[&cleo]).await.problem(409, "direct_room");
    remove(&anna, &direct, anna.id()).await.problem(409, "direct_room");
    remove(&anna, &direct, ben.id()).await.problem(409, "direct_room");
    delete(&anna, &direct).await.problem(409, "direct_room");
}

#[tokio::test]
async fn participants_come_in_pages_in_the_order_in_which_they_came() {
    let world = World::shared();
    let (anna, ben, cleo, room) = three(&world).await;
    let mut expected = members(&anna, &room).await;
    assert_eq!(expected.len(), 3);
    for n in 0..4 {
        let newcomer = world.person(&format!("new{n}")).await;
        let _ = add(&ben, &room, &[&newcomer]).await.is(200);
        expected.push(newcomer.id().to_owned());
    }
    let mut found = Vec::new();
    let mut path = format!("/api/chat-rooms/{}/participants?limit=3", room.id);
    loop {
        let page: Page<Participant> = cleo.get(path).await;
        assert!(page.items.len() <= 3);
        found.extend(page.items.into_iter().map(|participant| participant.user_id));
        let Some(cursor) = page.next_cursor else { break };
        path = format!("/api/chat-rooms/{}/participants?limit=3&cursor={cursor}", room.id);
    }
    assert_eq!(found, expected);
    let path = format!("/api/chat-rooms/{}/participants?cursor=eA", room.id);
    cleo.client.get(path).answer().await.problem(400, "invalid_cursor");
}

#[tokio::test]
async fn whoever_is_removed_hears_no_later_word() {
    let world = World::shared();
    let (anna, ben, cleo, room) = three(&world).await;
    let other = anna.group("other", &[&ben]).await;
    let mut everything = ben.stream("/api/stream").await;
    let mut one_room = ben.stream(&format!("/api/stream/messages/{}", room.id)).await;
    let mut of_cleo = cleo.stream("/api/stream").await;
    remove(&cleo, &room, ben.id()).await.problem(403, "not_owner");
    remove(&anna, &room, NOBODY).await.problem(404, "not_found");
    remove(&anna, &room, "nonsense").await.problem(404, "not_found");
    anna.say(&room, "the last that ben hears").await;
    for stream in [&mut everything, &mut one_room] {
        stream.find("the last message", PATIENCE, is("MessageSent")).await;
    }
    let _ = remove(&anna, &room, ben.id()).await.is(204);
    for n in 0..5 {
        anna.say(&room, &format!("not for ben {n}")).await;
    }
    let after = anna.say(&other, "for ben").await;
    let mut heard = Vec::new();
    loop {
        let event = everything.next(PATIENCE).await;
        heard.push((event.event.clone(), event.json()["content"].as_str().unwrap_or_default().to_owned()));
        if event.json()["id"] == after.id.as_str() {
            break;
        }
    }
    let expected = [("ParticipantLeft".to_owned(), String::new()), ("MessageSent".to_owned(), "for ben".to_owned())];
    heard.retain(|(event, _)| ["MessageSent", "ParticipantLeft"].contains(&event.as_str()));
    assert_eq!(heard, expected);
    let last_words: Vec<Event> = one_room.ended(PATIENCE).await;
    let names: Vec<&str> = last_words.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(names, ["ParticipantLeft", "end"]);
    assert_eq!(last_words[1].json()["reason"], "refused");
    let event = of_cleo.find("who left", PATIENCE, is("ParticipantLeft")).await.json();
    assert_eq!((event["user_id"].as_str(), event["removed_by"].as_str()), (Some(ben.id()), Some(anna.id())));
    assert_eq!(event["username"], ben.name());
    check::is_time(event["left_at"].as_str().unwrap());
    is_gone(&ben, &room).await;
    remove(&anna, &room, ben.id()).await.problem(404, "not_found");

    // And back again: from then on they hear it.
    let _ = add(&anna, &room, &[&ben]).await.is(200);
    let back: Message = anna.say(&room, "ben is back").await;
    let event = everything.find("the message", PATIENCE, is("MessageSent")).await.json();
    assert_eq!(event["id"], back.id.as_str());
    assert_eq!(seen(&ben, &room).await.unread_count, 1);
}

#[tokio::test]
async fn a_group_passes_to_the_one_who_has_been_there_longest_and_goes_with_the_last() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let room = anna.group("heirs", &[&ben]).await;
    let cleo = world.person("cleo").await;
    let _ = add(&ben, &room, &[&cleo]).await.is(200);
    let mut stream = cleo.stream("/api/stream").await;
    let _ = remove(&anna, &room, anna.id()).await.is(204);
    let event = stream.find("who left", PATIENCE, is("ParticipantLeft")).await.json();
    assert_eq!((event["user_id"].as_str(), &event["removed_by"]), (Some(anna.id()), &Value::Null));
    let event = stream.find("the new owner", PATIENCE, is("ChatRoomUpdated")).await.json();
    assert_eq!(event["owner_id"], ben.id());
    assert_eq!(seen(&cleo, &room).await.owner_id.as_deref(), Some(ben.id()));
    is_gone(&anna, &room).await;
    // Who is no owner leaves without further ado.
    let _ = remove(&cleo, &room, cleo.id()).await.is(204);
    assert_eq!(seen(&ben, &room).await.owner_id.as_deref(), Some(ben.id()));
    let _ = remove(&ben, &room, ben.id()).await.is(204);
    is_gone(&ben, &room).await;
}

#[tokio::test]
async fn a_deleted_group_is_gone_for_everyone() {
    let world = World::shared();
    let (anna, ben, cleo, room) = three(&world).await;
    let message = ben.say(&room, "last words").await;
    let mut streams = [ben.stream("/api/stream").await, cleo.stream("/api/stream").await];
    let mut one_room = cleo.stream(&format!("/api/stream/messages/{}", room.id)).await;
    // Anna is away when it happens.
    let mut away = anna.stream("/api/stream").await;
    ben.say(&room, "the very last").await;
    let last_heard = away.find("the message", PATIENCE, is("MessageSent")).await.id;
    drop(away);
    delete(&ben, &room).await.problem(403, "not_owner");
    let _ = delete(&anna, &room).await.is(204);
    for stream in &mut streams {
        let event = stream.find("the end of the room", PATIENCE, is("ChatRoomDeleted")).await.json();
        assert_eq!(event["id"], room.id.as_str());
        check::is_time(event["deleted_at"].as_str().unwrap());
        assert!(!matches!(stream.poll(Duration::from_millis(1)).await, Next::Ended), "the stream itself goes on");
    }
    let mut back = anna.resume("/api/stream", &last_heard).await;
    let missed = back.find("the end of the room", PATIENCE, is("ChatRoomDeleted")).await.json();
    assert_eq!(missed["id"], room.id.as_str());
    let last = one_room.ended(PATIENCE).await;
    assert_eq!(last.last().map(|event| event.event.as_str()), Some("end"));
    for person in [&anna, &ben, &cleo] {
        is_gone(person, &room).await;
        let path = format!("/api/messages/{}/{}", room.id, message.id);
        person.client.get(path).answer().await.problem(404, "not_found");
    }
}
