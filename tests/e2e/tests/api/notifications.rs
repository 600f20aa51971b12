//! Notifications, which a function makes of the events of others.

use plaza_e2e::check;
use plaza_e2e::routes::NOBODY;
use plaza_test_support::{Answer, Event, Notification, PATIENCE, Page, Person, Room, Stream, World, eventually};
use serde_json::{Value, json};

/// Everything but the welcome, which comes when it comes.
async fn notifications(person: &Person, count: usize) -> Vec<Notification> {
    eventually(PATIENCE, &format!("{count} notifications"), async || {
        let mut page: Page<Notification> = person.get("/api/notifications").await;
        page.items.retain(|notification| notification.kind != "welcome");
        (page.items.len() >= count).then_some(page.items)
    })
    .await
}

/// Somebody who has had their welcome, and has read it.
async fn settled(world: &World, hint: &str) -> Person {
    let person = world.person(hint).await;
    eventually(PATIENCE, "the welcome", async || (unread(&person).await == 1).then_some(())).await;
    // What is told of it has gone by before anybody listens to something else.
    let mut stream = person.stream("/api/stream/notifications").await;
    assert_eq!(read(&person, &json!({ "all": true })).await.ok::<Value>(200)["unread_count"], 0);
    told(&mut stream, "NotificationRead").await;
    person
}

async fn unread(person: &Person) -> u64 {
    let answer: Value = person.get("/api/notifications/unread-count").await;
    answer["unread_count"].as_u64().expect("a number")
}

async fn read(person: &Person, body: &Value) -> Answer {
    person.client.post("/api/notifications/read").json(body).answer().await
}

async fn preferences(person: &Person, body: &Value) -> Answer {
    person.client.put("/api/notifications/preferences").json(body).answer().await
}

async fn told(stream: &mut Stream, name: &str) -> Value {
    stream.find(name, PATIENCE, |event: &Event| event.event == name).await.json()
}

/// What says that everything before it has been told.
async fn say_last(from: &Person, room: &Room, stream: &mut Stream) -> Value {
    let last = from.say(room, "the last").await;
    let event = told(stream, "NotificationSent").await;
    assert_eq!(event["data"]["message_id"], last.id.as_str(), "nothing came before it: {event}");
    event
}

#[tokio::test]
async fn a_request_and_its_acceptance_are_told() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let request = anna.befriend(&ben).await;
    let for_ben = notifications(&ben, 1).await;
    assert_eq!(for_ben[0].kind, "friend_request");
    let for_anna = notifications(&anna, 1).await;
    assert_eq!(for_anna[0].kind, "friend_request_accepted");
    for (notification, other) in [(&for_ben[0], &anna), (&for_anna[0], &ben)] {
        assert_eq!(notification.data["friend_request_id"], request.id.as_str(), "{notification:?}");
        assert_eq!(notification.data["user_id"], other.id(), "{notification:?}");
        check::is_time(&notification.created_at);
        assert_eq!(notification.read_at, None);
    }
}

#[tokio::test]
async fn a_message_is_told_to_everyone_but_its_sender() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    let room = anna.group("three", &[&ben, &cleo]).await;
    let one = anna.say(&room, "one").await;
    let two = ben.say(&room, "two").await;
    let data = |notification: &Notification| {
        let data = &notification.data;
        assert_eq!(notification.kind, "message");
        assert_eq!(data["room_id"], room.id.as_str(), "{notification:?}");
        (
            data["message_id"].as_str().map(str::to_owned),
            data["seq"].as_u64(),
            data["username"].as_str().map(str::to_owned),
        )
    };
    let expected = |message: &plaza_test_support::Message| {
        (Some(message.id.clone()), Some(message.seq), Some(message.username.clone()))
    };
    let for_cleo: Vec<_> = notifications(&cleo, 2).await.iter().map(data).collect();
    assert_eq!(for_cleo, [expected(&two), expected(&one)], "newest first");
    assert_eq!(notifications(&anna, 1).await.iter().map(data).collect::<Vec<_>>(), [expected(&two)]);
    assert_eq!(notifications(&ben, 1).await.iter().map(data).collect::<Vec<_>>(), [expected(&one)]);
}

#[tokio::test]
async fn notifications_come_on_the_stream() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), settled(&world, "ben"));
    let room = anna.direct_room(&ben).await;
    for path in ["/api/stream", "/api/stream/notifications"] {
        let mut stream = ben.stream(path).await;
        let message = anna.say(&room, "hello").await;
        let event = told(&mut stream, "NotificationSent").await;
        assert_eq!((event["kind"].as_str(), event["user_id"].as_str()), (Some("message"), Some(ben.id())));
        assert_eq!(event["data"]["message_id"], message.id.as_str(), "{event}");
        // The event and the list are of one mind.
        let in_list = &notifications(&ben, 1).await[0];
        assert_eq!((event["id"].as_str(), &event["read_at"]), (Some(&*in_list.id), &Value::Null));
        assert_eq!(event["unread_count"], unread(&ben).await);
    }
}

#[tokio::test]
async fn a_stream_of_notifications_carries_nothing_else() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), settled(&world, "ben"));
    let mut stream = ben.stream("/api/stream/notifications").await;
    let room = anna.direct_room(&ben).await;
    for n in 1..=3 {
        anna.say(&room, "hello").await;
        let event = stream.next(PATIENCE).await;
        assert_eq!((event.event.as_str(), &event.json()["data"]["seq"]), ("NotificationSent", &json!(n)));
    }
}

#[tokio::test]
async fn a_new_account_is_welcomed() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let welcome = eventually(PATIENCE, "the welcome", async || {
        let page: Page<Notification> = anna.get("/api/notifications").await;
        page.items.into_iter().next()
    });
    let welcome = welcome.await;
    assert_eq!((welcome.kind.as_str(), &welcome.data["username"]), ("welcome", &json!(anna.name())));
    assert_eq!(unread(&anna).await, 1);
}

#[tokio::test]
async fn what_one_device_reads_is_read_on_the_others() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), settled(&world, "ben"));
    let room = anna.direct_room(&ben).await;
    for _ in 0..3 {
        anna.say(&room, "hello").await;
    }
    let news = notifications(&ben, 3).await;
    assert_eq!(unread(&ben).await, 3);
    let mut elsewhere = ben.on_another_device().await.stream("/api/stream").await;

    let ids = json!({ "ids": [news[0].id, news[2].id, NOBODY] });
    let answer: Value = read(&ben, &ids).await.ok(200);
    assert_eq!(answer, json!({ "unread_count": 1 }));
    let event = told(&mut elsewhere, "NotificationRead").await;
    let mut read_ids = vec![news[0].id.as_str(), news[2].id.as_str()];
    read_ids.sort_unstable();
    let mut told_ids: Vec<&str> = event["ids"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    told_ids.sort_unstable();
    assert_eq!((told_ids, &event["all"], &event["unread_count"]), (read_ids, &json!(false), &json!(1)));

    let left: Page<Notification> = ben.get("/api/notifications?unread=true").await;
    assert_eq!(left.items.iter().map(|left| left.id.as_str()).collect::<Vec<_>>(), [news[1].id.as_str()]);
    let first = notifications(&ben, 3).await[0].read_at.clone().expect("it was read");
    check::is_time(&first);
    // Again changes nothing: not the time, not the count, and nobody is told.
    assert_eq!(read(&ben, &ids).await.ok::<Value>(200)["unread_count"], 1);
    assert_eq!(notifications(&ben, 3).await[0].read_at.as_deref(), Some(first.as_str()));

    assert_eq!(read(&ben, &json!({ "all": true })).await.ok::<Value>(200)["unread_count"], 0);
    let event = told(&mut elsewhere, "NotificationRead").await;
    assert_eq!((&event["all"], &event["unread_count"]), (&json!(true), &json!(0)));
    let left: Page<Notification> = ben.get("/api/notifications?unread=true").await;
    assert!(left.items.is_empty(), "{left:?}");
}

#[tokio::test]
async fn who_answers_has_read_what_was_said() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), settled(&world, "ben"));
    let (room, other) = (anna.direct_room(&ben).await, anna.group("other", &[&ben]).await);
    anna.say(&other, "somewhere else").await;
    notifications(&ben, 1).await;
    anna.say(&room, "are you there?").await;
    notifications(&ben, 2).await;
    let mut elsewhere = ben.on_another_device().await.stream("/api/stream").await;
    ben.say(&room, "I am").await;
    let event = told(&mut elsewhere, "NotificationRead").await;
    assert_eq!((&event["room_id"], &event["unread_count"]), (&json!(room.id), &json!(1)));
    let left: Page<Notification> = ben.get("/api/notifications?unread=true").await;
    assert_eq!(left.items.iter().map(|left| &left.data["room_id"]).collect::<Vec<_>>(), [other.id.as_str()]);
}

#[tokio::test]
async fn nobody_reads_anothers_notifications() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(settled(&world, "anna"), settled(&world, "ben"));
    anna.request(&ben).await;
    let notification = notifications(&ben, 1).await.remove(0);
    assert_eq!(read(&anna, &json!({ "ids": [notification.id] })).await.ok::<Value>(200)["unread_count"], 0);
    assert_eq!(notifications(&ben, 1).await[0].read_at, None);
    assert_eq!(unread(&ben).await, 1);
}

#[tokio::test]
async fn a_reading_says_what_it_means() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let many = vec![NOBODY; 101];
    for (body, code) in [
        (json!({}), "required"),
        (json!({ "all": false }), "required"),
        (json!({ "ids": [NOBODY], "all": true }), "contradiction"),
        (json!({ "ids": many }), "too_many"),
        (json!({ "ids": ["nonsense"] }), "invalid_id"),
        (json!({ "ids": NOBODY }), "wrong_type"),
    ] {
        let problem = read(&anna, &body).await.problem(422, "validation_failed");
        assert_eq!(problem.field("ids").code, code, "{body}");
    }
    read(&anna, &json!({ "all": "yes" })).await.problem(422, "validation_failed").field("all");
}

#[tokio::test]
async fn what_is_not_wanted_is_not_told() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), settled(&world, "ben"), settled(&world, "cleo"));
    let everything: Value = ben.get("/api/notifications/preferences").await;
    let kinds = |message: bool| json!({ "friend_request": true, "friend_request_accepted": true, "message": message, "welcome": true });
    assert_eq!(everything, json!({ "kinds": kinds(true), "muted_rooms": [] }));
    let (loud, muted, passed) = (
        anna.group("loud", &[&ben, &cleo]).await,
        anna.group("muted", &[&ben, &cleo]).await,
        anna.group("passed", &[&ben]).await,
    );
    let mut stream = ben.stream("/api/stream/notifications").await;
    // Both hear of a message at the same time: what Cleo was told, Ben was told as well, or not at all.
    let mut with_cleo = cleo.stream("/api/stream/notifications").await;

    let for_ever = json!({ "room_id": muted.id, "muted_until": null });
    let until_2100 = json!({ "room_id": muted.id, "muted_until": "2100-01-01T00:00:00.000Z" });
    let until_1999 = json!({ "room_id": passed.id, "muted_until": "1999-01-01T00:00:00.000Z" });
    for room in [for_ever, until_2100] {
        let wanted = json!({ "kinds": {}, "muted_rooms": [room, until_1999] });
        let stored: Value = preferences(&ben, &wanted).await.ok(200);
        assert_eq!(stored, json!({ "kinds": kinds(true), "muted_rooms": [room] }), "what has passed is gone");
        assert_eq!(ben.get::<Value>("/api/notifications/preferences").await, stored);
        say_last(&anna, &muted, &mut with_cleo).await;
        say_last(&anna, &loud, &mut stream).await;
        told(&mut with_cleo, "NotificationSent").await;
        say_last(&anna, &passed, &mut stream).await;
    }

    // A kind that is switched off.
    let off: Value = preferences(&ben, &json!({ "kinds": { "message": false }, "muted_rooms": [] })).await.ok(200);
    assert_eq!(off["kinds"], kinds(false));
    say_last(&anna, &loud, &mut with_cleo).await;
    anna.request(&ben).await;
    assert_eq!(told(&mut stream, "NotificationSent").await["kind"], "friend_request");
    let _ = preferences(&ben, &everything).await.is(200);
    say_last(&anna, &loud, &mut stream).await;
    assert_eq!(unread(&ben).await, 6);
}

#[tokio::test]
async fn preferences_that_say_nothing_clear_are_refused() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let twice = json!({ "room_id": NOBODY });
    let many: Vec<Value> = (0..501).map(|_| twice.clone()).collect();
    for (kinds, rooms, field, code) in [
        (json!(null), json!([]), "kinds", "required"),
        (json!({}), json!(null), "muted_rooms", "required"),
        (json!({ "poke": true }), json!([]), "kinds", "unknown_kind"),
        (json!({ "message": "no" }), json!([]), "kinds", "wrong_type"),
        (json!({}), json!({}), "muted_rooms", "wrong_type"),
        (json!({}), json!([twice, twice]), "muted_rooms", "duplicate"),
        (json!({}), json!([{ "room_id": "x" }]), "muted_rooms", "invalid_id"),
        (json!({}), json!([{ "room_id": NOBODY, "muted_until": "soon" }]), "muted_rooms", "invalid_time"),
        (json!({}), Value::from(many), "muted_rooms", "too_many"),
    ] {
        let answer = preferences(&anna, &json!({ "kinds": kinds, "muted_rooms": rooms })).await;
        assert_eq!(answer.problem(422, "validation_failed").field(field).code, code, "{answer}");
    }
}

#[tokio::test]
async fn notifications_come_in_pages_and_filtered() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let room = anna.direct_room(&ben).await;
    for n in 0..5 {
        anna.say(&room, &format!("message {n}")).await;
    }
    notifications(&ben, 5).await;
    let mut seqs = Vec::new();
    let mut path = "/api/notifications?unread=true&limit=2".to_owned();
    loop {
        let page: Page<Notification> = ben.get(path).await;
        assert!(page.items.len() <= 2);
        seqs.extend(page.items.iter().filter_map(|notification| notification.data["seq"].as_u64()));
        let Some(cursor) = page.next_cursor else { break };
        path = format!("/api/notifications?unread=true&limit=2&cursor={cursor}");
    }
    assert_eq!(seqs, [5, 4, 3, 2, 1]);
    ben.client.get("/api/notifications?cursor=nonsense!").answer().await.problem(400, "invalid_cursor");
    for (parameter, value) in [("limit", "0"), ("limit", "101"), ("limit", "x"), ("unread", "perhaps")] {
        let answer = ben.client.get(format!("/api/notifications?{parameter}={value}")).answer().await;
        answer.problem(422, "validation_failed").field(parameter);
    }
    assert!(notifications(&world.person("cleo").await, 0).await.is_empty());
}
