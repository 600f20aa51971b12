//! Blocks: what they end, what they prevent, and that the blocked one cannot tell.

use plaza_e2e::check;
use plaza_e2e::routes::NOBODY;
use plaza_test_support::{
    Answer, Call, Event, FriendRequest, Notification, PATIENCE, Page, Person, Stream, World, eventually,
};
use reqwest::Method;
use serde_json::{Value, json};

fn blocking(person: &Person, other: &Person) -> Call {
    person.client.post("/api/friends/blocks").json(&json!({ "user_id": other.id() }))
}

async fn block(person: &Person, other: &Person) {
    let _ = blocking(person, other).answer().await.is(201);
}

async fn unblock(person: &Person, other: &Person) -> Answer {
    person.client.delete(format!("/api/friends/blocks/{}", other.id())).answer().await
}

async fn ids(person: &Person, path: &str) -> Vec<String> {
    let page: Page<Value> = person.get(path).await;
    page.items.iter().map(|item| item["id"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn finds(person: &Person, other: &Person) -> bool {
    let path = format!("/api/users/search?q={}", other.name());
    let by_name = ids(person, &path).await;
    let by_address = ids(person, &format!("/api/users/search?q={}", other.credentials.email)).await;
    assert_eq!(by_name, by_address, "by name and by address alike");
    by_name == [other.id()]
}

/// Has `person` ask a few people whom nobody knows: events of theirs that come after all before. One for each partition, as
/// likely as not.
async fn mark(world: &World, person: &Person) -> Vec<String> {
    let mut marks = Vec::new();
    for _ in 0..4 {
        let somebody = world.person("mark").await;
        marks.push(person.request(&somebody).await.ok::<FriendRequest>(201).id);
    }
    marks
}

/// What a stream carried until all marks had come.
async fn heard(stream: &mut Stream, marks: &[String]) -> Vec<Event> {
    let mut waiting = marks.to_vec();
    let mut events = Vec::new();
    while !waiting.is_empty() {
        let event = stream.next(PATIENCE).await;
        let before = waiting.len();
        waiting.retain(|mark| !event.data.contains(mark));
        if waiting.len() == before {
            events.push(event);
        }
    }
    events
}

/// Sorted: events of several keys have no order among each other.
fn names(events: &[Event]) -> Vec<&str> {
    let mut names: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn whom_one_blocks_is_listed_to_them_alone() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let first: Value = blocking(&anna, &ben).answer().await.ok(201);
    check::is_time(first["blocked_at"].as_str().unwrap_or_default());
    check::has_members(&first["user"], &["id", "username", "display_name", "profile_image_url", "created_at"]);
    assert!(first["user"].get("email").is_none(), "{first}");
    let again: Value = blocking(&anna, &ben).answer().await.ok(200);
    assert_eq!(again, first, "a block has one beginning");
    let page: Page<Value> = anna.get("/api/friends/blocks").await;
    assert_eq!(page.items, [first]);
    assert!(ids(&ben, "/api/friends/blocks").await.is_empty());
    unblock(&ben, &anna).await.problem(404, "not_found");
    let _ = unblock(&anna, &ben).await.is(204);
    unblock(&anna, &ben).await.problem(404, "not_found");
    assert!(ids(&anna, "/api/friends/blocks").await.is_empty());
}

#[tokio::test]
async fn a_block_that_makes_no_sense_is_refused() {
    let world = World::shared();
    let anna = world.person("anna").await;
    blocking(&anna, &anna).answer().await.problem(400, "cannot_block_yourself");
    let block = async |body: Value| anna.client.post("/api/friends/blocks").json(&body).answer().await;
    block(json!({ "user_id": NOBODY })).await.problem(404, "user_not_found");
    for body in [json!({}), json!({ "user_id": null }), json!({ "user_id": [] }), json!({ "user_id": "x" })] {
        block(body).await.problem(422, "validation_failed").field("user_id");
    }
    for id in [NOBODY, "nonsense", anna.id()] {
        anna.client.delete(format!("/api/friends/blocks/{id}")).answer().await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_block_ends_a_friendship_and_the_blocker_asks_in_vain() {
    let world = World::shared();
    let (anna, ben) = world.friends("anna", "ben").await;
    block(&anna, &ben).await;
    for (one, other) in [(&anna, &ben), (&ben, &anna)] {
        assert!(ids(one, "/api/friends").await.is_empty());
        one.client.delete(format!("/api/friends/{}", other.id())).answer().await.problem(404, "not_found");
    }
    anna.request(&ben).await.problem(409, "blocked");
    let _ = unblock(&anna, &ben).await.is(204);
    assert!(ids(&anna, "/api/friends").await.is_empty(), "an unblock brings no friendship back");
    anna.befriend(&ben).await;
}

#[tokio::test]
async fn the_two_do_not_find_each_other() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    assert!(finds(&anna, &ben).await && finds(&ben, &anna).await);
    block(&anna, &ben).await;
    assert!(!finds(&anna, &ben).await && !finds(&ben, &anna).await);
    assert!(finds(&cleo, &anna).await && finds(&cleo, &ben).await, "others do");
    let _ = unblock(&anna, &ben).await.is(204);
    assert!(finds(&anna, &ben).await && finds(&ben, &anna).await);
}

#[tokio::test]
async fn a_request_that_waited_is_gone_from_the_blockers_sight() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let request: FriendRequest = ben.request(&anna).await.ok(201);
    block(&anna, &ben).await;
    assert!(ids(&anna, "/api/friends/requests?direction=incoming").await.is_empty());
    assert_eq!(ids(&ben, "/api/friends/requests?direction=outgoing").await, [request.id.as_str()]);
    for word in ["accept", "reject"] {
        let path = format!("/api/friends/requests/{}/{word}", request.id);
        anna.client.post(path).answer().await.problem(404, "not_found");
    }
    anna.client.delete(format!("/api/friends/requests/{}", request.id)).answer().await.problem(404, "not_found");
    // The blocker's own request is taken back, and cannot be accepted any more.
    let (cleo, dan) = tokio::join!(world.person("cleo"), world.person("dan"));
    let request: FriendRequest = cleo.request(&dan).await.ok(201);
    block(&cleo, &dan).await;
    assert!(ids(&dan, "/api/friends/requests").await.is_empty());
    let accept = dan.client.post(format!("/api/friends/requests/{}/accept", request.id));
    accept.answer().await.problem(409, "request_not_pending");
}

#[tokio::test]
async fn a_request_made_under_a_block_is_seen_by_the_one_who_made_it_alone() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    block(&anna, &ben).await;
    let request: FriendRequest = ben.request(&anna).await.ok(201);
    assert_eq!(request.status, "pending");
    assert!(ids(&anna, "/api/friends/requests").await.is_empty());
    let accept = anna.client.post(format!("/api/friends/requests/{}/accept", request.id));
    accept.answer().await.problem(404, "not_found");
    let _ = unblock(&anna, &ben).await.is(204);
    assert!(ids(&anna, "/api/friends/requests").await.is_empty(), "what was asked under the block stays hidden");
    // Who asks again after the block is heard.
    let _ = ben.client.delete(format!("/api/friends/requests/{}", request.id)).answer().await.is(204);
    let request: FriendRequest = ben.request(&anna).await.ok(201);
    assert_eq!(ids(&anna, "/api/friends/requests").await, [request.id.as_str()]);
    let _ = ben.client.delete(format!("/api/friends/requests/{}", request.id)).answer().await.is(204);

    // And who is asked by the one who had blocked them is a friend at once: both want it.
    block(&anna, &ben).await;
    let _: FriendRequest = ben.request(&anna).await.ok(201);
    let _ = unblock(&anna, &ben).await.is(204);
    let accepted: FriendRequest = anna.request(&ben).await.ok(200);
    assert_eq!((accepted.status.as_str(), accepted.requester_id.as_str()), ("accepted", ben.id()));
    assert_eq!(ids(&ben, "/api/friends").await, [anna.id()]);
}

/// Everything that `person` can do about `other`, as text without what differs from one pair to the next: ids, names, times.
async fn everything(person: &Person, other: &Person) -> Vec<String> {
    let (me, them) = (person.id(), other.id());
    let mut answers = Vec::new();
    let mut request_id = String::new();
    let steps = [
        (Method::GET, "/api/friends".to_owned(), None),
        (Method::GET, "/api/friends/requests?direction=incoming".to_owned(), None),
        (Method::GET, "/api/friends/requests?direction=outgoing".to_owned(), None),
        (Method::POST, "/api/friends/request".to_owned(), Some(json!({ "target_user_id": them }))),
        (Method::POST, "/api/friends/request".to_owned(), Some(json!({ "target_user_id": them }))),
        (Method::GET, "/api/friends/requests?direction=outgoing".to_owned(), None),
        (Method::POST, "/api/friends/requests/REQUEST/accept".to_owned(), None),
        (Method::POST, "/api/friends/requests/REQUEST/reject".to_owned(), None),
        (Method::DELETE, "/api/friends/requests/REQUEST".to_owned(), None),
        (Method::DELETE, "/api/friends/requests/REQUEST".to_owned(), None),
        (Method::DELETE, format!("/api/friends/{them}"), None),
        (Method::GET, format!("/api/profile/{them}"), None),
        (Method::GET, format!("/api/users?user_ids={them}"), None),
        (Method::GET, format!("/api/friends/search?q={}", other.name()), None),
        (Method::DELETE, format!("/api/friends/blocks/{them}"), None),
        (Method::POST, "/api/friends/request".to_owned(), Some(json!({ "target_user_id": them }))),
        (Method::POST, "/api/friends/blocks".to_owned(), Some(json!({ "user_id": them }))),
        (Method::POST, "/api/friends/request".to_owned(), Some(json!({ "target_user_id": them }))),
        (Method::GET, "/api/friends/requests?direction=outgoing".to_owned(), None),
        (Method::GET, "/api/friends/blocks".to_owned(), None),
        (Method::DELETE, format!("/api/friends/blocks/{them}"), None),
    ];
    for (method, path, body) in steps {
        let call = person.client.call(method, path.replace("REQUEST", &request_id));
        let answer = if let Some(body) = body { call.json(&body) } else { call }.answer().await;
        let mut text = String::from_utf8_lossy(&answer.body).into_owned();
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        if json["status"] == "pending" {
            json["id"].as_str().unwrap_or_default().clone_into(&mut request_id);
        }
        for time in ["created_at", "blocked_at", "friends_since"] {
            for item in [&json, &json["items"][0], &json["user"], &json["items"][0]["user"]] {
                if let Some(time) = item[time].as_str() {
                    text = text.replace(time, "TIME");
                }
            }
        }
        for (what, name) in [
            (me, "ME"),
            (them, "THEM"),
            (&request_id, "REQUEST"),
            (person.name(), "MY NAME"),
            (other.name(), "THEIR NAME"),
            (answer.header("x-request-id"), "ID"),
        ] {
            if !what.is_empty() {
                text = text.replace(what, name);
            }
        }
        answers.push(format!("{} {} {text}", answer.status, answer.header("content-type")));
    }
    answers
}

#[tokio::test]
async fn the_blocked_one_is_answered_to_the_byte_as_by_somebody_who_does_not_block() {
    let world = World::shared();
    let (anna, ben) = world.friends("anna", "ben").await;
    let (cleo, dan) = world.friends("cleo", "dan").await;
    let (mut of_ben, mut of_dan) = (ben.stream("/api/stream").await, dan.stream("/api/stream").await);
    // One is blocked, the other only a friend no longer.
    block(&anna, &ben).await;
    let _ = cleo.client.delete(format!("/api/friends/{}", dan.id())).answer().await.is(204);
    let (blocked, ordinary) = (everything(&ben, &anna).await, everything(&dan, &cleo).await);
    for (blocked, ordinary) in blocked.iter().zip(&ordinary) {
        assert_eq!(blocked, ordinary);
    }
    // Nor does the stream tell.
    let text = |events: Vec<Event>, me: &Person, them: &Person| -> Vec<(String, Value)> {
        let read = |event: Event| {
            let mut data = event.json();
            for field in ["id", "at", "created_at"] {
                let _ = data.as_object_mut().map(|data| data.remove(field));
            }
            let text = data.to_string().replace(me.id(), "ME").replace(them.id(), "THEM");
            (event.event, serde_json::from_str(&text).expect("JSON"))
        };
        let mut events: Vec<(String, Value)> = events.into_iter().map(read).collect();
        // How they became friends, and that the friend was there then, may still have been on its way.
        events.retain(|(name, data)| data["addressee_id"] != "ME" && name != "NotificationSent");
        events.sort_by_key(|(name, data)| format!("{name} {data}"));
        events
    };
    let (marks_of_ben, marks_of_dan) = (mark(&world, &ben).await, mark(&world, &dan).await);
    let blocked = text(heard(&mut of_ben, &marks_of_ben).await, &ben, &anna);
    let ordinary = text(heard(&mut of_dan, &marks_of_dan).await, &dan, &cleo);
    assert_eq!(blocked, ordinary);
    let of_requests = |events: &[(String, Value)]| events.iter().filter(|(name, _)| name.contains("Request")).count();
    assert_eq!(of_requests(&blocked), 4, "asked and taken back, twice: {blocked:?}");
}

#[tokio::test]
async fn only_the_blockers_streams_tell_of_a_block() {
    let world = World::shared();
    let (anna, ben) = world.friends("anna", "ben").await;
    let phone = anna.on_another_device().await;
    let mut of_anna = [anna.stream("/api/stream").await, phone.stream("/api/stream").await];
    let mut of_ben = ben.stream("/api/stream").await;
    block(&anna, &ben).await;
    let _ = blocking(&anna, &ben).answer().await.is(200);
    let request: FriendRequest = ben.request(&anna).await.ok(201);
    let _ = unblock(&anna, &ben).await.is(204);
    // How they became friends may still have been on its way.
    let later = |mut events: Vec<Event>| {
        events.retain(|event| {
            let of_the_request = event.event != "NotificationSent" || event.data.contains(&request.id);
            let of_presence = event.event == "UserOnlineStatusChanged";
            of_the_request && !of_presence && event.json()["addressee_id"] != ben.id()
        });
        events
    };
    let (marks, marks_of_ben) = (mark(&world, &anna).await, mark(&world, &ben).await);
    for stream in &mut of_anna {
        let events = later(heard(stream, &marks).await);
        assert_eq!(names(&events), ["FriendRemoved", "UserBlocked", "UserUnblocked"], "{events:?}");
        for event in events.iter().filter(|event| event.event.ends_with("locked")) {
            let data = event.json();
            assert_eq!((&data["user_id"], &data["blocked_user_id"]), (&json!(anna.id()), &json!(ben.id())));
            check::is_time(data["at"].as_str().unwrap_or_default());
        }
    }
    let events = later(heard(&mut of_ben, &marks_of_ben).await);
    assert_eq!(names(&events), ["FriendRemoved", "FriendRequestSent"], "{events:?}");
    let data = |name: &str| events.iter().find(|event| event.event == name).expect("counted").json();
    let removed = data("FriendRemoved");
    assert_eq!((&removed["user_id"], &removed["friend_id"]), (&json!(anna.id()), &json!(ben.id())));
    assert_eq!(data("FriendRequestSent")["id"], request.id.as_str());
}

#[tokio::test]
async fn a_request_under_a_block_makes_no_notification() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    block(&anna, &ben).await;
    let _: FriendRequest = ben.request(&anna).await.ok(201);
    // Both requests are on partitions of one topic, and in one partition's order if their keys fall so; a third request, of Ben's own
    // key, tells that his first was looked at.
    let _: FriendRequest = cleo.request(&ben).await.ok(201);
    let _: FriendRequest = cleo.request(&anna).await.ok(201);
    let told = async |person: &Person| -> Vec<Notification> {
        eventually(PATIENCE, "a notification", async || {
            let page: Page<Notification> = person.get("/api/notifications").await;
            let told = page.items.into_iter().filter(|item| item.kind == "friend_request").collect::<Vec<_>>();
            (!told.is_empty()).then_some(told)
        })
        .await
    };
    for person in [&ben, &anna] {
        let told = told(person).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].data["user_id"], cleo.id(), "{told:?}");
    }
}
