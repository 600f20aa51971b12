//! The notification context: events come in, more than once and at once, and each has its effect once.

use plaza_test_stores::World;
use plaza_test_support::{Notification, PATIENCE, Page, Person, Room, eventually, unique};
use serde_json::{Value, json};

use crate::{at_once, count};

/// A well-formed id of a user and of a friend request that nobody has.
const SOMEBODY: &str = "016f5e66-e800-7000-8000-000000000001";

/// An event of this kind.
fn of_kind(id: &str, kind: &str, data: &Value) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/test", "type": format!("plaza.{kind}.v1"), "data": data })
}

/// A friend request from nobody to `person`.
fn request(id: &str, person: &Person) -> Value {
    json!({
        "id": id, "requester_id": SOMEBODY, "addressee_id": person.id(), "status": "pending",
        "created_at": "2026-01-31T09:30:00.000Z",
    })
}

/// An event by which `person` is told of a friend request.
fn event(id: &str, person: &Person) -> Value {
    of_kind(id, "friend.FriendRequestSent", &request(SOMEBODY, person))
}

/// An event by which `person` has read the room.
fn reading(person: &Person, room: &Room, seq: u64) -> Value {
    let read_at = "2026-01-31T09:30:00.000Z";
    let data = json!({ "room_id": room.id, "user_id": person.id(), "seq": seq, "read_at": read_at });
    of_kind(&unique("event"), "chat.MessageRead", &data)
}

async fn bring(world: &World, events: &[Value]) {
    let _ = world.bringing(events).answer().await.is(204);
}

/// Everything but the welcome, which comes when it comes.
async fn told(person: &Person) -> Vec<Notification> {
    let mut all: Vec<Notification> = person.all("/api/notifications?unread=false").await;
    all.retain(|notification| notification.kind != "welcome");
    all
}

/// An event by which `by` wrote to the room. It is made up, so that it comes where nothing brings events by itself, too.
fn message(by: &Person, room: &Room, seq: u64, content: &str) -> Value {
    message_event("chat.MessageSent", by, room, seq, Some(content))
}

fn message_event(kind: &str, by: &Person, room: &Room, seq: u64, content: Option<&str>) -> Value {
    let data = json!({
        "id": SOMEBODY, "room_id": room.id, "seq": seq, "user_id": by.id(), "username": by.name(), "content": content,
        "message_type": "text", "client_message_id": null, "reply_to": null, "reactions": [],
        "created_at": "2026-01-31T09:30:00.000Z", "edited_at": null, "deleted": false,
    });
    of_kind(&unique("event"), kind, &data)
}

/// How many are unread, when the welcome has come and was read.
async fn unread(person: &Person) -> u64 {
    let answer: Value = person.get("/api/notifications/unread-count").await;
    answer["unread_count"].as_u64().expect("a number")
}

/// Waits for the welcome, and reads it. The functions on MariaDB stand alone: nothing brings it there.
async fn settle(world: &World, person: &Person) {
    if world.mariadb().is_some() {
        return;
    }
    eventually(PATIENCE, "the welcome", async || (unread(person).await == 1).then_some(())).await;
    let all = person.client.post("/api/notifications/read").json(&json!({ "all": true })).answer().await;
    assert_eq!(all.ok::<Value>(200), json!({ "unread_count": 0 }));
}

/// Counting and looking agree.
async fn counted(person: &Person, expected: u64) {
    let left: Vec<Notification> = person.all("/api/notifications?unread=true").await;
    assert_eq!((left.len() as u64, unread(person).await), (expected, expected));
}

pub(crate) async fn an_event_that_comes_at_once_counts_once(world: &World) {
    for _ in 0..5 {
        let (anna, ben) = world.two().await;
        let ids: Vec<String> = (0..4).map(|_| unique("event")).collect();
        let forwards: Vec<Value> = ids.iter().map(|id| event(id, &anna)).collect();
        let backwards: Vec<Value> = forwards.iter().rev().cloned().chain([event(&unique("event"), &ben)]).collect();
        let answers =
            at_once([&forwards, &backwards, &forwards, &backwards].map(|events| world.bringing(events))).await;
        assert_eq!(count(&answers, [204]), [4]);
        assert_eq!((told(&anna).await.len(), told(&ben).await.len()), (4, 1));
    }
    let anna = world.person("anna").await;
    let id = unique("event");
    let twice = [event(&id, &anna), event(&id, &anna)];
    let _ = world.bringing(&twice).answer().await.is(204);
    assert_eq!(told(&anna).await.len(), 1);
}

pub(crate) async fn events_are_told_apart_to_the_byte(world: &World) {
    let anna = world.person("anna").await;
    let id = unique("Event");
    let ids = [
        id.clone(),
        id.to_lowercase(),
        format!("{id} "),
        format!("{id}é"),
        format!("{id}e\u{301}"),
        format!("{id}🌱"),
        format!("{id:.<255}"),
    ];
    for _ in 0..2 {
        for id in &ids {
            let _ = world.bringing(&[event(id, &anna)]).answer().await.is(204);
        }
    }
    assert_eq!(told(&anna).await.len(), ids.len());
    for bad in [String::new(), format!("{id:.<256}")] {
        world.bringing(&[event(&bad, &anna)]).answer().await.problem(400, "malformed_event");
    }
}

pub(crate) async fn notifications_come_in_pages(world: &World) {
    let anna = world.person("anna").await;
    // More than are inserted at once, and no power of two.
    let events: Vec<Value> = (0..77).map(|_| event(&unique("event"), &anna)).collect();
    let _ = world.bringing(&events).answer().await.is(204);
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page: Page<Notification> = anna.get(format!("/api/notifications?unread=true&limit=10{cursor}")).await;
        assert!(page.items.iter().all(|notification| notification.read_at.is_none()));
        found.extend(page.items.into_iter().map(|notification| notification.id));
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    // The welcome may be among them.
    assert!((77..=78).contains(&found.len()), "{}", found.len());
    assert!(found.is_sorted_by(|one, next| one > next), "the newest first, each once");
}

pub(crate) async fn without_the_key_no_event_is_taken(world: &World) {
    let anna = world.person("anna").await;
    let events = Value::from(vec![event(&unique("event"), &anna)]).to_string();
    let bring = |client: &plaza_test_support::Client| {
        client.post("/events/notification").body("application/cloudevents-batch+json", events.clone())
    };
    bring(world.client()).answer().await.unauthorized();
    bring(&anna.client).answer().await.unauthorized();
    bring(&world.client().with_token(&plaza_test_stores::EVENTS_KEY[1..])).answer().await.unauthorized();
    assert!(told(&anna).await.is_empty());
}

pub(crate) async fn readings_at_once_are_counted_once(world: &World) {
    let anna = world.person("anna").await;
    settle(world, &anna).await;
    let events: Vec<Value> = (0..20).map(|_| event(&unique("event"), &anna)).collect();
    bring(world, &events).await;
    counted(&anna, 20).await;
    let ids: Vec<String> = told(&anna).await.into_iter().map(|notification| notification.id).collect();
    let read = |ids: &[String]| anna.client.post("/api/notifications/read").json(&json!({ "ids": ids }));
    let more: Vec<Value> = (0..4).map(|_| event(&unique("event"), &anna)).collect();
    let calls = [read(&ids[..8]), read(&ids[4..12]), read(&ids[..8]), read(&ids[6..10])];
    let answers =
        at_once(calls.into_iter().chain(more.iter().map(|event| world.bringing(std::slice::from_ref(event))))).await;
    assert_eq!(count(&answers, [200, 204]), [4, 4]);
    counted(&anna, 12).await;
    let _ = anna.client.post("/api/notifications/read").json(&json!({ "all": true })).answer().await.is(200);
    counted(&anna, 0).await;
}

pub(crate) async fn reading_a_room_reads_what_was_told_of_it(world: &World) {
    let (anna, ben) = world.two().await;
    settle(world, &ben).await;
    let (room, other) = (anna.group("one", &[&ben]).await, anna.group("other", &[&ben]).await);
    let here = (1..=4).map(|seq| message(&anna, &room, seq, "here"));
    bring(world, &here.chain([message(&anna, &other, 1, "there")]).collect::<Vec<_>>()).await;
    counted(&ben, 5).await;
    bring(world, &[reading(&ben, &room, 3), reading(&ben, &room, 1)]).await;
    counted(&ben, 2).await;
    let left: Vec<Notification> = ben.all("/api/notifications?unread=true").await;
    let of = |room: &Room| {
        left.iter().find(|left| left.data["room_id"] == room.id.as_str()).map(|left| left.data["seq"].clone())
    };
    assert_eq!((of(&other), of(&room)), (Some(json!(1)), Some(json!(4))));

    // A message and its reading may come in one batch.
    bring(world, &[message(&anna, &room, 5, "read at once"), reading(&ben, &room, 5)]).await;
    counted(&ben, 1).await;
    assert_eq!(told(&ben).await.len(), 6);

    // Who writes has read what came before, and not what comes after, in the same batch or another.
    let answered = [message(&anna, &room, 6, "?"), message(&ben, &room, 7, "!"), message(&anna, &room, 8, "news")];
    bring(world, &answered).await;
    counted(&ben, 2).await;
    bring(world, &[message(&ben, &room, 9, "so it is")]).await;
    counted(&ben, 1).await;
    assert_eq!(told(&ben).await.len(), 8);
}

pub(crate) async fn what_a_message_no_longer_says_is_not_told(world: &World) {
    let (anna, ben) = world.two().await;
    settle(world, &ben).await;
    let room = anna.group("one", &[&ben]).await;
    let long = "가".repeat(101);
    bring(
        world,
        &[message(&anna, &room, 1, "first"), message(&anna, &room, 2, "second"), message(&anna, &room, 3, &long)],
    )
    .await;
    let previews = async || {
        let told = told(&ben).await;
        let mut previews: Vec<_> =
            told.iter().map(|one| (one.data["seq"].clone(), one.data["preview"].clone())).collect();
        previews.sort_by_key(|(seq, _)| seq.as_u64());
        previews.into_iter().map(|(_, preview)| preview).collect::<Vec<Value>>()
    };
    let cut = format!("{}…", "가".repeat(99));
    assert_eq!(previews().await, [json!("first"), json!("second"), json!(cut)]);
    let edited = message_event("chat.MessageEdited", &anna, &room, 1, Some("changed"));
    let deleted = message_event("chat.MessageDeleted", &anna, &room, 2, None);
    bring(world, &[edited, deleted]).await;
    assert_eq!(previews().await, [json!("changed"), Value::Null, json!(cut)]);
    counted(&ben, 3).await;
    // What was never told, and what comes in the same batch.
    let (new, gone) =
        (message(&anna, &room, 4, "in passing"), |seq| message_event("chat.MessageDeleted", &anna, &room, seq, None));
    bring(world, &[gone(9), new, gone(4)]).await;
    assert_eq!(previews().await[3], Value::Null);
}

pub(crate) async fn a_request_that_is_taken_back_is_no_news(world: &World) {
    let anna = world.person("anna").await;
    settle(world, &anna).await;
    bring(world, &[event(&unique("event"), &anna)]).await;
    counted(&anna, 1).await;
    let cancelled = of_kind(&unique("event"), "friend.FriendRequestCancelled", &request(SOMEBODY, &anna));
    bring(world, &[cancelled.clone(), cancelled]).await;
    counted(&anna, 0).await;
    assert_eq!(told(&anna).await.len(), 1, "it stays in the list");
}

pub(crate) async fn of_preferences_at_once_one_counts_whole(world: &World) {
    let anna = world.person("anna").await;
    let documents = [json!([]), json!([{ "room_id": SOMEBODY, "muted_until": null }])].map(|rooms| {
        let message = rooms == json!([]);
        let kinds =
            json!({ "friend_request": true, "friend_request_accepted": true, "message": message, "welcome": true });
        json!({ "kinds": kinds, "muted_rooms": rooms })
    });
    for _ in 0..5 {
        let puts = documents.iter().cycle().take(6);
        let puts = puts.map(|document| anna.client.put("/api/notifications/preferences").json(document));
        assert_eq!(count(&at_once(puts).await, [200]), [6]);
        let stored: Value = anna.get("/api/notifications/preferences").await;
        assert!(documents.contains(&stored), "{stored}");
    }
}

pub(crate) async fn nothing_is_left_of_a_deleted_account(world: &World) {
    let (anna, ben) = world.two().await;
    settle(world, &ben).await;
    let room = anna.group("one", &[&ben]).await;
    bring(world, &[message(&anna, &room, 1, "my words stay")]).await;
    assert_eq!(told(&ben).await[0].data["username"], anna.name());
    settle(world, &anna).await;
    bring(world, &[event(&unique("event"), &anna)]).await;
    counted(&anna, 1).await;
    let once =
        anna.client.post("/api/notifications/read").json(&json!({ "all": true })).header("idempotency-key", "once");
    let _ = once.answer().await.is(200);

    let gone = |person: &Person| {
        let data = json!({ "user_id": person.id(), "deleted_at": "2026-01-31T09:30:00.000Z" });
        of_kind(&unique("event"), "user.UserDeleted", &data)
    };
    bring(world, &[gone(&anna)]).await;
    counted(&anna, 0).await;
    assert!(anna.all::<Notification>("/api/notifications?unread=false").await.is_empty());
    if let Some(mariadb) = world.mariadb() {
        let sql = format!("SELECT COUNT(*) FROM idempotency_keys WHERE scope = '{}'", anna.id());
        assert_eq!(mariadb.sql("notification", &sql)[0][0], "0");
    }
    let with_ben = told(&ben).await;
    assert_eq!(
        (&with_ben[0].data["username"], &with_ben[0].data["preview"]),
        (&json!("(deleted)"), &json!("my words stay"))
    );
    counted(&ben, 1).await;

    // What comes late finds nobody, and names nobody.
    let late = [message(&ben, &room, 2, "late"), message(&anna, &room, 3, "late"), event(&unique("event"), &anna)];
    bring(world, &late).await;
    counted(&anna, 0).await;
    assert_eq!(told(&ben).await[0].data["username"], "(deleted)");
    // Ben has written since the first.
    counted(&ben, 1).await;
}
