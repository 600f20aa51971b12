//! Holding a stream: headers, delivery, ends, limits.

mod support;

use http::{Response, StatusCode};
use plaza_http::{Server, ServerSettings, Upstream, full};
use plaza_relay::{Action, Observer, Published, Relay, Settings, StartError, memory::MemoryLog};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

fn log() -> MemoryLog {
    MemoryLog::new(&[("room", 2), ("user", 1)])
}

#[tokio::test]
async fn a_held_stream_gets_what_is_published() {
    let app = App::new(|_| {
        let fields = [
            ("grip-status", "200 OK"),
            ("cache-control", "no-store"),
            ("content-length", "11"),
            ("grip-set-meta", "a=b"),
        ];
        let mut response = hold(&["room:1, room:2", "user:7"], &fields);
        *response.body_mut() = full(": hello\n\n");
        *response.status_mut() = StatusCode::ACCEPTED;
        response
    });
    let log = log();
    let relay = start(&app, &log, settings()).await;
    let mut client = Client::open(&relay, get("/stream")).await;
    assert_eq!(client.status, StatusCode::OK);
    assert_eq!(client.headers["content-type"], "text/event-stream");
    assert_eq!(client.headers["cache-control"], "no-store");
    assert_eq!(client.headers.len(), 2, "{:?}", client.headers);
    assert_eq!(client.frame().await.expect("the function's own words").comments, 1);
    let first = client.frame().await.expect("an id");
    assert_eq!((first.id, first.event), (Some(relay.position()), String::new()));

    log.append([
        record("room", 0, "1", r#"{"n":1}"#),
        record("room", 1, "3", "not for us"),
        record("room", 1, "2", "{}"),
    ]);
    let event = client.frame().await.expect("an event");
    assert_eq!((event.event.as_str(), event.data.as_str()), ("Said", r#"{"n":1}"#));
    assert!(event.id.is_some());
    assert_eq!(client.data().await, "{}");
    assert_eq!(client.last_id, relay.position());
    assert_eq!(relay.streams(), 1);
    drop(client);
    assert_eq!(relay.streams(), 0);
}

#[tokio::test]
async fn ordinary_requests_pass_and_are_signed() {
    let app = App::new(|_| {
        Response::builder()
            .status(404)
            .header("grip-channel", "a")
            .header("x-a", "b")
            .body(full("no"))
            .expect("response")
    });
    let relay = start(&app, &log(), Settings { grip_key: b"a secret of enough bytes".to_vec(), ..settings() }).await;
    let mut request = get("/somewhere?a=b");
    request.headers_mut().insert("grip-sig", "forged".parse().expect("value"));
    let response = relay.call(request).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.headers()["x-a"], "b");
    assert_eq!(response.headers().len(), 1);
    let (uri, headers) = app.asked.lock().expect("lock")[0].clone();
    assert_eq!(uri, "/somewhere?a=b");
    let signatures: Vec<_> = headers.get_all("grip-sig").iter().collect();
    assert_eq!(signatures.len(), 1);
    assert_ne!(signatures[0], "forged");
    assert_eq!(signatures[0].to_str().expect("ASCII").split('.').count(), 3);
}

#[tokio::test]
async fn without_a_key_nobody_can_claim_to_be_the_relay() {
    let app = App::holding(&["room:1"]);
    let relay = start(&app, &log(), settings()).await;
    let mut request = get("/stream");
    request.headers_mut().insert("grip-sig", "forged".parse().expect("value"));
    relay.call(request).await;
    assert!(app.asked.lock().expect("lock")[0].1.get("grip-sig").is_none());
}

#[tokio::test]
async fn instructions_that_cannot_be_followed_are_a_bad_gateway() {
    for (field, value, code) in [
        ("grip-hold", "response", "grip_hold_not_offered"),
        ("grip-hold", "forever", "grip_instruction_invalid"),
        ("content-type", "text/plain", "grip_instruction_invalid"),
        ("grip-timeout", "soon", "grip_instruction_invalid"),
        ("grip-link", "<http://elsewhere/>; rel=next", "grip_instruction_invalid"),
    ] {
        let app = App::new(move |_| {
            let mut response = hold(&["room:1"], &[("x-request-id", "request-1")]);
            response.headers_mut().insert(field, value.parse().expect("value"));
            response
        });
        let relay = start(&app, &log(), settings()).await;
        let client = Client::open(&relay, get("/stream")).await;
        assert_eq!(client.status, StatusCode::BAD_GATEWAY, "{field}");
        assert_eq!(client.headers["content-type"], "application/problem+json");
        let problem = client.problem().await;
        assert_eq!(problem["code"], code, "{field}");
        assert_eq!(problem["request_id"], "request-1");
        assert_eq!(relay.streams(), 0);
    }
}

#[tokio::test]
async fn a_record_on_several_channels_and_one_published_twice_come_once() {
    let app = App::holding(&["room:1", "user:7", "user:8"]);
    let log = log();
    let relay = start(&app, &log, settings()).await;
    let mut client = Client::open(&relay, get("/stream")).await;
    let first = Published {
        channels: vec!["user:7".into(), "user:8".into(), "room:1".into()],
        ..record("room", 0, "1", "first")
    };
    log.append([first.clone(), first.clone(), record("room", 0, "1", "second"), first]);
    assert_eq!(client.data().await, "first");
    assert_eq!(client.data().await, "second");
    log.append([record("room", 0, "1", "third")]);
    assert_eq!(client.data().await, "third");
}

#[tokio::test]
async fn what_is_published_while_the_function_thinks_is_not_lost() {
    let log = log();
    let app = App::new({
        let log = log.clone();
        move |_| {
            log.append([record("room", 0, "1", "early")]);
            hold(&["room:1"], &[])
        }
    });
    let relay = start(&app, &log, settings()).await;
    let mut client = Client::open(&relay, get("/stream")).await;
    assert_eq!(client.data().await, "early");
}

#[tokio::test]
async fn close_ends_the_streams_that_hold_the_channel() {
    let app = App::new(|request| match request.uri().path() {
        "/mine" => hold(&["room:1", "session:7"], &[]),
        _ => hold(&["room:1"], &[]),
    });
    let log = log();
    let relay = start(&app, &log, settings()).await;
    let mut mine = Client::open(&relay, get("/mine")).await;
    let mut other = Client::open(&relay, get("/other")).await;
    log.append([
        record("room", 0, "1", "before"),
        signal("room", "1", "closing", Action::Close, &["session:7"]),
        record("room", 0, "1", "after"),
    ]);
    assert_eq!(mine.data().await, "before");
    let end = mine.event().await.expect("an end");
    assert_eq!((end.event.as_str(), end.data.as_str(), end.id), ("end", r#"{"reason":"closed"}"#, None));
    assert_eq!(mine.event().await, None);
    for expected in ["before", "closing", "after"] {
        assert_eq!(other.data().await, expected);
    }
    // A client that comes back with a session that is in order is not ended by what ended the last one, and does not see it there.
    let mut back = Client::open(&relay, resume("/mine", &mine.last_id)).await;
    assert_eq!(back.data().await, "closing");
    assert_eq!(back.data().await, "after");
}

#[tokio::test]
async fn a_session_closed_while_its_function_answers_is_closed() {
    let log = log();
    let closed = Arc::new(AtomicUsize::new(0));
    let app = App::new({
        let (log, closed) = (log.clone(), Arc::clone(&closed));
        move |_| {
            if closed.fetch_add(1, Ordering::SeqCst) == 0 {
                log.append([signal("user", "7", "{}", Action::Close, &["session:7"])]);
            }
            hold(&["session:7"], &[])
        }
    });
    let relay = start(&app, &log, settings()).await;
    let mut client = Client::open(&relay, get("/stream")).await;
    assert_eq!(client.event().await.expect("an end").data, r#"{"reason":"closed"}"#);
}

#[tokio::test]
async fn quiet_streams_are_kept_awake_and_their_ids_young() {
    let app = App::new(|_| hold(&["room:1"], &[("grip-keep-alive", ":still here\\n\\n; format=cstring; timeout=1")]));
    let log = log();
    let relay = start(&app, &log, settings()).await;
    let mut client = Client::open(&relay, get("/stream")).await;
    let first = client.frame().await.expect("an id").id;
    log.append([record("room", 1, "another", "{}")]);
    assert_eq!(client.frame().await.expect("a comment").comments, 1);
    let frame = client.frame().await.expect("an id");
    assert_eq!(frame.id, Some(relay.position()));
    assert_ne!(frame.id, first);
}

#[tokio::test]
async fn a_stream_ends_with_its_grip_timeout() {
    let app = App::new(|_| hold(&["room:1"], &[("grip-timeout", "1")]));
    let log = log();
    let relay = start(&app, &log, settings()).await;
    let opened = tokio::time::Instant::now();
    let mut client = Client::open(&relay, get("/stream")).await;
    log.append([record("room", 0, "1", "first")]);
    assert_eq!(client.data().await, "first");
    assert_eq!(client.event().await.expect("an end").data, r#"{"reason":"expired"}"#);
    assert_eq!(client.event().await, None);
    assert!(opened.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn there_are_no_more_streams_than_allowed() {
    let app = App::holding(&["room:1"]);
    let relay = start(&app, &log(), Settings { streams_max: 2, ..settings() }).await;
    let first = Client::open(&relay, get("/stream")).await;
    let _second = Client::open(&relay, get("/stream")).await;
    let third = Client::open(&relay, get("/stream")).await;
    assert_eq!(third.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(third.headers.contains_key("retry-after"));
    assert_eq!(third.problem().await["code"], "streams_unavailable");
    drop(first);
    assert_eq!(Client::open(&relay, get("/stream")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_body_that_is_not_read_is_cut_and_resumes_without_loss() {
    let app = App::holding(&["room:1"]);
    let log = log();
    let relay = start(&app, &log, Settings { stream_records_max: 50, ..settings() }).await;
    let mut client = Client::open(&relay, get("/stream")).await;
    client.frame().await.expect("an id");
    log.append((0..200).map(|n| record("room", 0, "1", &n.to_string())));
    let end = client.event().await.expect("an end");
    assert_eq!(end.data, r#"{"reason":"slow"}"#);
    assert_eq!(client.event().await, None);
    // However often it happens again, while the relay is still reading.
    let mut next = 0;
    while next < 200 {
        client = Client::open(&relay, resume("/stream", &client.last_id)).await;
        while next < 200
            && let Some(event) = client.event().await
        {
            if event.event != "end" {
                assert_eq!(event.data, next.to_string());
                next += 1;
            }
        }
    }
}

#[tokio::test]
async fn a_key_that_is_too_short_is_refused_at_the_start() {
    let app: Arc<dyn Upstream> = App::holding(&["room:1"]);
    let settings = Settings { grip_key: b"short".to_vec(), ..settings() };
    assert!(matches!(Relay::start(app, Arc::new(log()), settings).await, Err(StartError::Key(_))));
}

/// Serves a relay over TCP.
fn serve(relay: Arc<Relay>) -> (std::net::SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
    let (server, addr) = Server::bind(([127, 0, 0, 1], 0).into(), ServerSettings::default()).expect("bind");
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.run(relay as Arc<dyn Upstream>, stop.clone()));
    (addr, stop, serving)
}

#[tokio::test]
async fn a_connection_that_takes_nothing_is_closed_under_it() {
    let app = App::holding(&["room:1"]);
    let log = log();
    let relay = start(&app, &log, settings()).await;
    let (addr, ..) = serve(Arc::clone(&relay));
    let mut socket = tokio::net::TcpStream::connect(addr).await.expect("connect");
    socket.write_all(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("write");
    let mut some = [0; 16];
    socket.read_exact(&mut some).await.expect("the head");
    // More than the kernel's buffers take, and then more than the stream's.
    let big = "x".repeat(100_000);
    let gone = async {
        while relay.streams() > 0 {
            log.append([record("room", 0, "1", &big)]);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the stream is cut");
}

#[tokio::test]
async fn a_stop_sends_clients_away_with_a_time_to_come_back() {
    let app = App::holding(&["room:1"]);
    let relay = start(&app, &log(), settings()).await;
    let (addr, stop, serving) = serve(Arc::clone(&relay));
    let mut socket = tokio::net::TcpStream::connect(addr).await.expect("connect");
    socket.write_all(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("write");
    let mut head = vec![0; 1_024];
    let read = socket.read(&mut head).await.expect("the head");
    assert!(head[..read].starts_with(b"HTTP/1.1 200"));
    stop.cancel();
    relay.shutdown(PATIENCE).await;
    tokio::time::timeout(PATIENCE, serving).await.expect("the server stops").expect("serving");
    let mut rest = String::new();
    socket.read_to_string(&mut rest).await.expect("the end");
    let retry = rest.split("retry: ").nth(1).and_then(|rest| rest.split('\n').next()).expect("a retry");
    assert!((500..=3_000).contains(&retry.parse().expect("milliseconds")), "{retry}");
    assert!(rest.contains("event: end\ndata: {\"reason\":\"shutdown\"}\n\n"), "{rest}");
    assert!(rest.ends_with("0\r\n\r\n"), "the body is complete");
    let late = Client::open(&relay, get("/stream")).await;
    assert_eq!(late.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[derive(Default)]
struct Noted(Mutex<Vec<String>>);

impl Observer for Noted {
    fn first(&self, channel: &str) {
        self.0.lock().expect("lock").push(format!("+{channel}"));
    }
    fn last(&self, channel: &str) {
        self.0.lock().expect("lock").push(format!("-{channel}"));
    }
}

#[tokio::test]
async fn an_observer_sees_first_and_last_streams() {
    let noted = Arc::new(Noted::default());
    let app = App::holding(&["user:7"]);
    let observer: Arc<dyn Observer> = noted.clone();
    let relay = start(&app, &log(), Settings { observer: Some(observer), ..settings() }).await;
    let first = Client::open(&relay, get("/stream")).await;
    let second = Client::open(&relay, get("/stream")).await;
    drop(first);
    drop(second);
    assert_eq!(*noted.0.lock().expect("lock"), ["+user:7", "-user:7"]);
}
