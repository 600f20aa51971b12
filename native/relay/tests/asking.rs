//! Asking a function again: channels that come and go under a stream, without gap or repeat.

mod support;

use http::{Response, StatusCode};
use plaza_http::{Body, full};
use plaza_relay::{Action, Published, Settings, memory::MemoryLog};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use support::*;

const LINK: (&str, &str) = ("grip-link", "</stream?pass=p>; rel=next; timeout=600");

fn log() -> MemoryLog {
    MemoryLog::new(&[("chat", 1), ("message", 4)])
}

/// A function whose answer is a set that the test changes.
fn member(channels: &[&str]) -> (Arc<App>, Arc<Mutex<Vec<String>>>) {
    let set: Vec<String> = channels.iter().map(|&name| name.to_owned()).collect();
    let set = Arc::new(Mutex::new(set));
    let app = App::new({
        let set = Arc::clone(&set);
        move |_| hold(&set.lock().expect("lock").clone(), &[LINK])
    });
    (app, set)
}

#[tokio::test]
async fn a_hint_has_the_function_asked_with_the_callers_credentials() {
    let (app, set) = member(&["user:7"]);
    let log = log();
    let relay = start(&app, &log, Settings { grip_key: b"a secret of enough bytes".to_vec(), ..settings() }).await;
    let mut request = get("/stream?ticket=t");
    request.headers_mut().insert("authorization", "Bearer x".parse().expect("value"));
    request.headers_mut().insert("x-other", "1".parse().expect("value"));
    let mut client = Client::open(&relay, request).await;
    set.lock().expect("lock").push("message:1".into());
    log.append([signal("chat", "1", "joined", Action::Hint, &["user:7"]), record("message", 0, "1", "welcome")]);
    assert_eq!(client.data().await, "joined");
    assert_eq!(client.data().await, "welcome");
    let asked = app.asked.lock().expect("lock").clone();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1].0, "/stream?pass=p");
    assert_eq!(asked[1].1["authorization"], "Bearer x");
    assert!(asked[1].1.contains_key("grip-sig"));
    assert!(!asked[1].1.contains_key("x-other"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joining_and_leaving_take_effect_exactly_where_they_happened() {
    for round in 0..40_u64 {
        let (app, set) = member(&["user:7"]);
        let log = log();
        let relay = start(&app, &log, settings()).await;
        let mut client = Client::open(&relay, get("/stream")).await;
        client.frame().await.expect("an id");
        let publishing = tokio::spawn({
            let (log, set) = (log.clone(), Arc::clone(&set));
            async move {
                let mut n = 0;
                // All times are one: only the order of the log counts.
                let time_ms = now_ms();
                let mut say = |count: usize| {
                    let records: Vec<_> = (0..count)
                        .map(|_| {
                            n += 1;
                            Published { time_ms: time_ms + n, ..record("message", 2, "1", &n.to_string()) }
                        })
                        .collect();
                    log.append(records);
                    n
                };
                let pause = || tokio::time::sleep(Duration::from_micros(200 + round * 20));
                for _ in 0..10 {
                    say(2);
                    pause().await;
                }
                set.lock().expect("lock").push("message:1".into());
                let joined = say(0);
                let time = time_ms + joined + 1;
                log.append([Published { time_ms: time, ..signal("chat", "1", "joined", Action::Hint, &["user:7"]) }]);
                say(1);
                for _ in 0..20 {
                    say(3);
                    pause().await;
                }
                set.lock().expect("lock").retain(|name| name != "message:1");
                let left = say(0);
                log.append([Published {
                    time_ms: time_ms + left + 1,
                    ..signal("chat", "1", "left", Action::Hint, &["user:7"])
                }]);
                for _ in 0..10 {
                    say(2);
                    pause().await;
                }
                log.append([signal("chat", "1", "done", Action::Send, &["user:7"])]);
                (joined, left)
            }
        });
        let mut got = Vec::new();
        loop {
            match client.data().await.as_str() {
                "done" => break,
                data => got.push(data.to_owned()),
            }
        }
        let (joined, left) = publishing.await.expect("publishing");
        let mut expected = vec!["joined".to_owned()];
        expected.extend((joined + 1..=left).map(|n| n.to_string()));
        expected.push("left".to_owned());
        assert_eq!(got, expected, "round {round}");
    }
}

#[tokio::test]
async fn what_overtook_its_hint_is_delivered_with_it() {
    let (app, set) = member(&["user:7"]);
    let log = log();
    let relay = start(&app, &log, settings()).await;
    let mut client = Client::open(&relay, get("/stream")).await;
    client.frame().await.expect("an id");
    set.lock().expect("lock").push("message:1".into());
    let time_ms = now_ms();
    let hint = Published { time_ms, ..signal("chat", "1", "joined", Action::Hint, &["user:7"]) };
    log.append([
        Published { time_ms: time_ms - 5, ..record("message", 0, "1", "before the join") },
        Published { time_ms: time_ms + 5, ..record("message", 1, "1", "after the join") },
        hint,
        Published { time_ms: time_ms + 6, ..record("message", 0, "1", "later") },
    ]);
    for expected in ["joined", "after the join", "later"] {
        assert_eq!(client.data().await, expected);
    }
    assert_eq!(client.last_id, relay.position());
}

#[tokio::test]
async fn a_hint_that_comes_while_the_function_answers_is_not_missed() {
    let log = log();
    let calls = Arc::new(AtomicUsize::new(0));
    let app = App::new({
        let (log, calls) = (log.clone(), Arc::clone(&calls));
        move |_| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => {
                log.append([
                    signal("chat", "1", "joined", Action::Hint, &["user:7"]),
                    record("message", 0, "1", "welcome"),
                ]);
                hold(&["user:7"], &[LINK])
            }
            _ => hold(&["user:7", "message:1"], &[LINK]),
        }
    });
    let relay = start(&app, &log, settings()).await;
    let mut client = Client::open(&relay, get("/stream")).await;
    assert_eq!(client.data().await, "joined");
    assert_eq!(client.data().await, "welcome");
}

#[tokio::test]
async fn many_hints_are_few_questions_and_nothing_is_stuck() {
    let (app, set) = member(&["user:7"]);
    let log = log();
    let relay = start(&app, &log, settings()).await;
    let mut client = Client::open(&relay, get("/stream")).await;
    client.frame().await.expect("an id");
    for n in 0..50 {
        set.lock().expect("lock").push(format!("message:{n}"));
        log.append([signal("chat", "1", &format!("joined {n}"), Action::Hint, &["user:7"])]);
        log.append([record("message", n % 4, &n.to_string(), &format!("welcome {n}"))]);
    }
    for n in 0..50 {
        assert_eq!(client.data().await, format!("joined {n}"));
        assert_eq!(client.data().await, format!("welcome {n}"));
    }
    assert!(app.asked().len() <= 51);
}

async fn refused(answer: impl Fn() -> Response<Body> + Send + Sync + 'static) -> (String, usize) {
    let first = AtomicBool::new(true);
    let app =
        App::new(move |_| if first.swap(false, Ordering::SeqCst) { hold(&["user:7"], &[LINK]) } else { answer() });
    let log = log();
    let relay = start(&app, &log, settings()).await;
    let mut client = Client::open(&relay, get("/stream")).await;
    client.frame().await.expect("an id");
    log.append([
        signal("chat", "1", "hint", Action::Hint, &["user:7"]),
        signal("chat", "1", "not for you", Action::Send, &["user:7"]),
    ]);
    assert_eq!(client.data().await, "hint");
    let end = client.event().await.expect("an end");
    assert_eq!(client.event().await, None);
    (end.data, app.asked().len())
}

#[tokio::test]
async fn a_stream_that_is_not_held_again_ends() {
    let status = |status: StatusCode| Response::builder().status(status).body(full("")).expect("response");
    assert_eq!(refused(move || status(StatusCode::UNAUTHORIZED)).await, (r#"{"reason":"refused"}"#.into(), 2));
    assert_eq!(refused(move || status(StatusCode::OK)).await, (r#"{"reason":"refused"}"#.into(), 2));
    // Who cannot answer is asked again, but not for ever.
    assert_eq!(refused(move || status(StatusCode::BAD_GATEWAY)).await, (r#"{"reason":"unverified"}"#.into(), 4));
    assert_eq!(refused(|| hold(&["user:7"], &[("grip-timeout", "?")])).await, (r#"{"reason":"unverified"}"#.into(), 2));
}

#[tokio::test]
async fn the_link_is_asked_again_in_its_time() {
    let calls = Arc::new(AtomicUsize::new(0));
    let app = App::new({
        let calls = Arc::clone(&calls);
        move |_| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => hold(&["user:7"], &[("grip-link", "</stream?pass=1>; rel=next; timeout=1")]),
            1 => hold(&["user:7", "message:1"], &[("grip-link", "</stream?pass=2>; rel=next; timeout=1")]),
            _ => Response::builder().status(StatusCode::UNAUTHORIZED).body(full("")).expect("response"),
        }
    });
    let log = log();
    let relay = start(&app, &log, settings()).await;
    let mut client = Client::open(&relay, get("/stream")).await;
    client.frame().await.expect("an id");
    // Until the channel is there, nothing of it arrives.
    let publishing = tokio::spawn(async move {
        loop {
            log.append([record("message", 0, "1", "hello")]);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(client.data().await, "hello");
    assert_eq!(app.asked(), ["/stream", "/stream?pass=1"]);
    let end = loop {
        let event = client.event().await.expect("an event");
        if event.event == "end" {
            break event;
        }
    };
    assert_eq!(end.data, r#"{"reason":"refused"}"#);
    assert_eq!(app.asked(), ["/stream", "/stream?pass=1", "/stream?pass=2"]);
    publishing.abort();
}
