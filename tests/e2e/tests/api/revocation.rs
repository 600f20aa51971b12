//! A stream ends when the right to it does.

use plaza_e2e::forge;
use plaza_test_support::{Event, PATIENCE, Person, Plaza, Refused, Stream, Tokens, World};
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Waits for the end of a stream and checks that its last frame says why.
async fn ends(stream: &mut Stream, reason: &str) {
    ends_by(stream, &[reason]).await;
}

/// A session that ends closes its streams by an event. Where another event has just made the relay ask the function again,
/// the refusal of that may come first.
async fn ends_with_the_session(stream: &mut Stream) {
    ends_by(stream, &["closed", "refused"]).await;
}

async fn ends_by(stream: &mut Stream, reasons: &[&str]) {
    let events = stream.ended(PATIENCE).await;
    let last = events.last().unwrap_or_else(|| panic!("it ended without a word"));
    assert_eq!(last.event, "end", "{events:?}");
    assert!(reasons.iter().any(|reason| last.json()["reason"] == *reason), "not {reasons:?}: {events:?}");
}

fn is_message(event: &Event) -> bool {
    event.event == "MessageSent"
}

#[tokio::test]
async fn a_logout_ends_the_streams_of_its_session_and_no_others() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let laptop = anna.on_another_device().await;
    let room = anna.direct_room(&ben).await;
    let of_room = format!("/api/stream/messages/{}", room.id);
    let mut ending = [anna.stream("/api/stream").await, anna.stream(&of_room).await];
    let ticket = anna.ticket().await;
    let call = world.client().get("/api/stream").query(&[("ticket", &ticket.ticket)]);
    let mut by_ticket = Stream::open(call, None).await.unwrap_or_else(|refused| panic!("{refused}"));
    let unused = anna.ticket().await;
    let mut staying = [laptop.stream("/api/stream").await, ben.stream("/api/stream").await];

    anna.client.post("/api/auth/logout").answer().await;
    for stream in ending.iter_mut().chain([&mut by_ticket]) {
        ends_with_the_session(stream).await;
    }
    let call = world.client().get("/api/stream").query(&[("ticket", &unused.ticket)]);
    match Stream::open(call, None).await {
        Err(Refused::Answer(answer)) => assert_eq!(answer.status, 401, "{answer}"),
        other => panic!("a ticket of an ended session: {other:?}"),
    }
    let message = ben.say(&room, "still there?").await;
    for stream in &mut staying {
        let event = stream.find("the message", PATIENCE, is_message).await;
        assert_eq!(event.json()["id"], message.id.as_str());
    }
}

#[tokio::test]
async fn a_logout_of_all_ends_every_stream_of_the_user() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let laptop = anna.on_another_device().await;
    let mut streams = [anna.stream("/api/stream").await, laptop.stream("/api/stream").await];
    laptop.client.post("/api/auth/logout").json(&json!({ "all": true })).answer().await;
    for stream in &mut streams {
        ends_with_the_session(stream).await;
    }
}

#[tokio::test]
async fn a_stolen_refresh_token_ends_the_streams_of_its_family() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let refresh = async || {
        let body = json!({ "refresh_token": anna.tokens.refresh_token });
        world.client().post("/api/auth/refresh").json(&body).answer().await
    };
    let _: Tokens = refresh().await.ok(200);
    let mut stream = anna.stream("/api/stream").await;
    refresh().await.problem(401, "invalid_refresh_token");
    ends_with_the_session(&mut stream).await;
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let plaza = tokio::task::spawn_blocking(|| {
        Plaza::options().variable("access_token_ttl_seconds", "4").start().unwrap_or_else(|why| panic!("{why}"))
    });
    let plaza = plaza.await.expect("the start does not panic");
    let anna = Person::new(&plaza.client(), "anna").await;
    let mut stream = anna.stream("/api/stream").await;
    ends(&mut stream, "expired").await;
    let end = forge::claims(&anna.tokens.access_token)["exp"].as_u64().map(Duration::from_secs);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    // Claims are in whole seconds.
    let now = now.map(|now| now + Duration::from_secs(1));
    assert!(now >= end, "at {now:?}, before the token's end at {end:?}");
}

#[tokio::test]
async fn a_server_that_stops_ends_streams_and_loses_nothing() {
    let mut plaza = tokio::task::spawn_blocking(Plaza::start).await.expect("the start does not panic");
    let (anna, ben) = (Person::new(&plaza.client(), "anna").await, Person::new(&plaza.client(), "ben").await);
    let room = anna.direct_room(&ben).await;
    let mut stream = ben.stream("/api/stream").await;
    let first = anna.say(&room, "before").await;
    let event = stream.find("the message", PATIENCE, is_message).await;
    let last = anna.say(&room, "just before").await;

    plaza.terminate();
    ends(&mut stream, "shutdown").await;
    drop(stream);
    let (status, _plaza) = tokio::task::spawn_blocking(move || {
        let status = plaza.wait();
        plaza.restart();
        (status, plaza)
    })
    .await
    .expect("the restart does not panic");
    assert!(status.success(), "{status}");

    // The same tokens, the same room, the same place in the stream.
    let mut stream = ben.resume("/api/stream", &event.id).await;
    let event = stream.find("the missed message", PATIENCE, is_message).await;
    assert_eq!(event.json()["id"], last.id.as_str());
    assert_eq!(ben.all_messages(&room.id).await, [first, last]);
}

#[test]
fn ctrl_c_is_a_clean_end() {
    let mut plaza = Plaza::start();
    plaza.interrupt();
    let status = plaza.wait();
    assert!(status.success(), "{status}");
}
