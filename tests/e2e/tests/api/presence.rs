//! Who is online, and who is told.

use std::sync::OnceLock;

use plaza_e2e::check;
use plaza_e2e::routes::NOBODY;
use plaza_test_support::{Event, PATIENCE, Person, Plaza, Stream, eventually};
use serde_json::{Value, json};

/// A server where signs of life count only for moments, so that their ends can be waited for.
fn plaza() -> &'static Plaza {
    static SHARED: OnceLock<Plaza> = OnceLock::new();
    SHARED.get_or_init(|| {
        let options = Plaza::options().variable("presence_grace_ms", "700").variable("presence_lease_ms", "3000");
        options.variable("heartbeat_lifetime_ms", "1500").start().unwrap_or_else(|why| panic!("{why}"))
    })
}

async fn person(hint: &str) -> Person {
    Person::new(&plaza().client(), hint).await
}

async fn presence(of: &Person, by: &Person) -> Value {
    let answer: Value = by.get(format!("/api/users/presence?user_ids={}", of.id())).await;
    let items = answer["items"].as_array().expect("a list");
    assert_eq!((items.len(), &items[0]["user_id"]), (1, &json!(of.id())), "{answer}");
    items[0].clone()
}

/// Waits until `of` is seen as online, or offline.
async fn seen(of: &Person, by: &Person, online: bool) -> Value {
    eventually(PATIENCE, if online { "online" } else { "offline" }, async || {
        let presence = presence(of, by).await;
        (presence["online"] == online).then_some(presence)
    })
    .await
}

#[tokio::test]
async fn whoever_holds_a_stream_is_online() {
    let (anna, ben) = tokio::join!(person("anna"), person("ben"));
    assert_eq!(presence(&ben, &anna).await, json!({ "user_id": ben.id(), "online": false, "last_seen_at": null }));
    let room = anna.direct_room(&ben).await;
    // Whatever stream it is.
    for path in
        ["/api/stream".to_owned(), "/api/stream/notifications".to_owned(), format!("/api/stream/messages/{}", room.id)]
    {
        let stream = ben.stream(&path).await;
        let online = seen(&ben, &anna, true).await;
        drop(stream);
        let offline = seen(&ben, &anna, false).await;
        let times = [&online, &offline].map(|presence| presence["last_seen_at"].as_str().expect("a time").to_owned());
        for time in &times {
            check::is_time(time);
        }
        assert!(times[0] <= times[1], "{times:?}");
    }
    assert_eq!(presence(&anna, &ben).await["online"], false, "a request alone is no presence");
}

#[tokio::test]
async fn of_two_devices_one_is_enough() {
    let (anna, ben, cleo) = tokio::join!(person("anna"), person("ben"), person("cleo"));
    let laptop = ben.on_another_device().await;
    let (one, other, meanwhile) =
        (ben.stream("/api/stream").await, laptop.stream("/api/stream").await, cleo.stream("/api/stream").await);
    let since = seen(&ben, &anna, true).await;
    seen(&cleo, &anna, true).await;
    drop(one);
    drop(meanwhile);
    // By the time that one who left at the same moment is gone, Ben would be, too.
    seen(&cleo, &anna, false).await;
    assert_eq!(presence(&ben, &anna).await, since);
    drop(other);
    seen(&ben, &anna, false).await;
}

#[tokio::test]
async fn a_heartbeat_counts_for_a_while() {
    let (anna, ben) = tokio::join!(person("anna"), person("ben"));
    let beat = async || {
        let _ = ben.client.post("/api/users/me/heartbeat").answer().await.is(204);
    };
    beat().await;
    let since = presence(&ben, &anna).await;
    assert_eq!(since["online"], true, "at once");
    beat().await;
    assert_eq!(presence(&ben, &anna).await, since, "another changes nothing");
    seen(&ben, &anna, false).await;
    beat().await;
    assert_eq!(presence(&ben, &anna).await["online"], true);
}

#[tokio::test]
async fn a_session_that_ends_leaves_nobody_online() {
    let (anna, ben) = tokio::join!(person("anna"), person("ben"));
    let mut stream = ben.stream("/api/stream").await;
    seen(&ben, &anna, true).await;
    let _ = ben.client.post("/api/auth/logout").answer().await.is(204);
    stream.find("the end", PATIENCE, |event: &Event| event.event == "end").await;
    drop::<Stream>(stream);
    seen(&ben, &anna, false).await;
}

#[tokio::test]
async fn after_a_crash_nobody_is_online_who_is_not() {
    let start = || Plaza::options().variable("presence_lease_ms", "1000").start().unwrap_or_else(|why| panic!("{why}"));
    let mut plaza = tokio::task::spawn_blocking(start).await.expect("the start does not panic");
    let client = plaza.client();
    let (anna, ben) = tokio::join!(Person::new(&client, "anna"), Person::new(&client, "ben"));
    let stream = ben.stream("/api/stream").await;
    seen(&ben, &anna, true).await;
    plaza.kill();
    drop(stream);
    let plaza = tokio::task::spawn_blocking(move || {
        plaza.restart();
        plaza
    });
    let _plaza = plaza.await.expect("it starts again");
    seen(&ben, &anna, false).await;
}

#[tokio::test]
async fn a_look_up_answers_for_those_who_are_there() {
    let (anna, ben) = tokio::join!(person("anna"), person("ben"));
    let answer: Value =
        anna.get(format!("/api/users/presence?user_ids={},{NOBODY},nonsense,{}", ben.id(), anna.id())).await;
    let ids: Vec<&Value> = answer["items"].as_array().expect("a list").iter().map(|item| &item["user_id"]).collect();
    assert_eq!(ids, [ben.id(), anna.id()]);
    let many = vec![NOBODY; 101].join(",");
    for (query, code) in [(String::new(), "required"), (format!("?user_ids={many}"), "too_many")] {
        let answer = anna.client.get(format!("/api/users/presence{query}")).answer().await;
        assert_eq!(answer.problem(422, "validation_failed").field("user_ids").code, code);
    }
}

/// The next change of presence on a stream.
async fn told(stream: &mut Stream) -> (String, bool) {
    let event =
        stream.find("a change", PATIENCE, |event: &Event| event.event == "UserOnlineStatusChanged").await.json();
    (event["user_id"].as_str().unwrap_or_default().to_owned(), event["online"] == true)
}

#[tokio::test]
async fn friends_are_told_of_each_change_once() {
    let (anna, ben, cleo) = tokio::join!(person("anna"), person("ben"), person("cleo"));
    anna.befriend(&ben).await;
    anna.befriend(&cleo).await;
    for path in ["/api/stream", "/api/stream/online-status"] {
        let mut stream = anna.stream(path).await;
        let first = ben.stream("/api/stream").await;
        assert_eq!(told(&mut stream).await, (ben.id().to_owned(), true));
        // Another device, and a reconnection inside the grace, are no news: Cleo, who comes after them, is.
        let second = ben.on_another_device().await.stream("/api/stream").await;
        drop(first);
        let third = ben.stream("/api/stream/notifications").await;
        drop(second);
        let with_cleo = cleo.stream("/api/stream").await;
        assert_eq!(told(&mut stream).await, (cleo.id().to_owned(), true));
        drop(with_cleo);
        assert_eq!(told(&mut stream).await, (cleo.id().to_owned(), false));
        drop(third);
        assert_eq!(told(&mut stream).await, (ben.id().to_owned(), false));
        // What was told and what is looked up agree.
        assert_eq!(presence(&ben, &anna).await["online"], false);
    }
}

#[tokio::test]
async fn a_new_friend_is_heard_on_an_open_stream_and_one_who_is_none_is_not() {
    let (anna, ben, cleo) = tokio::join!(person("anna"), person("ben"), person("cleo"));
    anna.befriend(&cleo).await;
    let mut streams = [anna.stream("/api/stream").await, anna.stream("/api/stream/online-status").await];
    // Ben is nobody to Anna yet.
    let stream = ben.stream("/api/stream").await;
    seen(&ben, &anna, true).await;
    drop(stream);
    seen(&ben, &anna, false).await;
    anna.befriend(&ben).await;
    let stream = ben.stream("/api/stream").await;
    for mine in &mut streams {
        assert_eq!(told(mine).await, (ben.id().to_owned(), true));
    }
    let _ = anna.client.delete(format!("/api/friends/{}", ben.id())).answer().await.is(204);
    drop(stream);
    seen(&ben, &anna, false).await;
    let _with_cleo = cleo.stream("/api/stream").await;
    for mine in &mut streams {
        assert_eq!(told(mine).await, (cleo.id().to_owned(), true), "nothing of Ben's");
    }
}

#[tokio::test]
async fn the_list_of_friends_says_who_is_there() {
    let (anna, ben) = tokio::join!(person("anna"), person("ben"));
    anna.befriend(&ben).await;
    let _stream = ben.stream("/api/stream").await;
    let online = seen(&ben, &anna, true).await;
    let friends: Value = anna.get("/api/friends").await;
    assert_eq!(friends["items"][0]["presence"], online);
}

#[tokio::test]
async fn a_block_hides_presence_both_ways() {
    let (anna, ben) = tokio::join!(person("anna"), person("ben"));
    let (_with_anna, _with_ben) = (anna.stream("/api/stream").await, ben.stream("/api/stream").await);
    seen(&ben, &anna, true).await;
    seen(&anna, &ben, true).await;
    let _ = anna.client.post("/api/friends/blocks").json(&json!({ "user_id": ben.id() })).answer().await.is(201);
    for (of, by) in [(&ben, &anna), (&anna, &ben)] {
        let hidden = json!({ "user_id": of.id(), "online": false, "last_seen_at": null });
        assert_eq!(presence(of, by).await, hidden);
    }
}

#[tokio::test]
async fn who_comes_back_inside_the_grace_was_never_gone() {
    let start =
        || Plaza::options().variable("presence_grace_ms", "600000").start().unwrap_or_else(|why| panic!("{why}"));
    let plaza = tokio::task::spawn_blocking(start).await.expect("the start does not panic");
    let client = plaza.client();
    let (anna, ben, cleo) =
        tokio::join!(Person::new(&client, "anna"), Person::new(&client, "ben"), Person::new(&client, "cleo"));
    anna.befriend(&ben).await;
    anna.befriend(&cleo).await;
    let mut stream = anna.stream("/api/stream/online-status").await;
    let first = ben.stream("/api/stream").await;
    assert_eq!(told(&mut stream).await, (ben.id().to_owned(), true));
    let since = presence(&ben, &anna).await;
    drop(first);
    let _again = ben.stream("/api/stream").await;
    let _with_cleo = cleo.stream("/api/stream").await;
    assert_eq!(told(&mut stream).await, (cleo.id().to_owned(), true), "nothing of Ben's");
    assert_eq!(presence(&ben, &anna).await, since);
}
