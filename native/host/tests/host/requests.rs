//! What a component sees of a request, and a client of its answer.

use std::cell::RefCell;
use std::sync::Once;

use http_body_util::BodyExt;
use plaza_http::Upstream;

use crate::MANIFEST;
use crate::support::{Answer, App, client};

const ROUTES: &str = r#"
spin_manifest_version = 2
[application]
name = "routes"
[[trigger.http]]
route = "/t/..."
component = "wild"
[[trigger.http]]
route = "/t/headers/:room_id"
component = "named"
[[trigger.http]]
route = "/t/headers"
component = "exact"
[[trigger.http]]
route = { private = true }
component = "private"
[component.wild]
source = "GUEST"
[component.named]
source = "GUEST"
[component.exact]
source = "GUEST"
[component.private]
source = "GUEST"
"#;

#[tokio::test]
async fn bodies_and_methods_arrive_and_come_back() {
    let app = App::start(MANIFEST).await;
    assert_eq!(app.get("/t/hello").await.text(), "hello");
    for body in ["", "x", &"long ".repeat(100_000)] {
        assert_eq!(app.post("/t/echo", body).await.text(), body);
    }
    assert_eq!(app.send(client("PATCH", "/t/method", "")).await.text(), "Method::Patch");
    assert_eq!(app.get("/t/large/5000000").await.text().len(), 5_000_000);
}

#[tokio::test]
async fn the_route_decides_and_the_headers_tell() {
    let app = App::start(ROUTES).await;
    for (path, expected) in [
        ("/t/headers", vec!["spin-matched-route: /t/headers", "spin-path-info: \n"]),
        ("/t/headers/a%20b?x=1", vec!["spin-matched-route: /t/headers/:room_id", "spin-path-match-room-id: a%20b"]),
        (
            "/t/headers/a/b/",
            vec!["spin-matched-route: /t/...", "spin-component-route: /t\n", "spin-path-info: /headers/a/b/\n"],
        ),
    ] {
        let text = app.get(path).await.text();
        assert!(expected.iter().all(|line| text.contains(line)), "{path}: {text}");
        assert!(text.contains(&format!("spin-full-url: http://plaza.test{path}\n")), "{text}");
        assert!(text.contains("spin-client-addr: 192.0.2.7:4321\n"), "{text}");
        assert!(text.contains("authority: plaza.test\n"), "{text}");
    }
    for path in ["/", "/u", "/.well-known/spin/nothing"] {
        let answer = app.get(path).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}");
    }
}

#[tokio::test]
async fn a_client_cannot_forge_what_the_host_says() {
    let app = App::start(MANIFEST).await;
    let mut request = client("GET", "/t/headers", "");
    for name in ["spin-client-addr", "spin-path-match-user-id", "Spin-Full-Url"] {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, "forged".parse().unwrap());
    }
    let text = app.send(request).await.text();
    assert!(!text.contains("forged"), "{text}");
}

#[tokio::test]
async fn request_ids_go_in_and_come_out() {
    let app = App::start(MANIFEST).await;
    let mut request = client("GET", "/t/headers", "");
    request.headers_mut().insert("x-request-id", "from.client-1".parse().unwrap());
    let answer = app.send(request).await;
    assert_eq!(answer.headers["x-request-id"], "from.client-1");
    assert!(answer.text().contains("x-request-id: from.client-1\n"));
    let mut request = client("GET", "/nowhere", "");
    request.headers_mut().insert("x-request-id", "not well-formed".parse().unwrap());
    let answer = app.send(request).await;
    assert_ne!(answer.headers["x-request-id"], "not well-formed");
    assert_eq!(answer.code(), "not_found");
}

#[tokio::test]
async fn well_known_paths_answer_as_spins_do() {
    let app = App::start(MANIFEST).await;
    assert_eq!(app.get("/.well-known/spin/health").await.text(), "OK");
    let info: serde_json::Value = serde_json::from_str(&app.get("/.well-known/spin/info").await.text()).unwrap();
    assert_eq!(info, serde_json::json!({ "name": "tests", "version": "1.2.3" }));
}

#[tokio::test]
async fn only_the_inside_reaches_a_component_by_name() {
    let app = App::start(ROUTES).await;
    let inside = |uri: &str| http::Request::builder().uri(uri).body(plaza_http::full("")).unwrap();
    let text = app.send(inside("http://private.spin.internal/t/headers")).await.text();
    assert!(text.contains("spin-path-info: /t/headers\n"), "{text}");
    assert!(text.contains("spin-client-addr: 0.0.0.0:0\n"), "{text}");
    assert_eq!(app.send(inside("http://nobody.spin.internal/t/hello")).await.code(), "not_found");
    assert_eq!(app.send(inside("/t/hello")).await.text(), "hello");

    // A client may put what it likes into the request line, into Host, or into :authority.
    for (uri, host) in [
        ("http://private.spin.internal/t/hello", None),
        ("http://private.spin.internal/t/hello", Some("plaza.test")),
        ("/t/hello", Some("private.spin.internal")),
        ("/t/hello", Some("private.spin.internal:80")),
        ("http://plaza.test/t/hello", Some("other.test")),
        ("/t/hello", None),
    ] {
        let mut request = client("GET", uri, "");
        request.headers_mut().remove("host");
        if let Some(host) = host {
            request.headers_mut().insert("host", host.parse().unwrap());
        }
        let answer = app.send(request).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_host"), "{uri} {host:?}");
    }
}

#[tokio::test]
async fn a_response_may_be_streamed() {
    let app = App::start(MANIFEST).await;
    assert_eq!(app.get("/t/stream/1").await.text(), "firstsecond");

    // The first part comes while the guest still waits; when the client goes, so does the guest.
    let response = app.host.call(client("GET", "/t/stream/3600000", "")).await;
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    drop(body);
    app.host.stop(std::time::Duration::from_secs(20)).await;
    assert_eq!(app.get("/t/hello").await.code(), "stopping");
}

#[tokio::test]
async fn a_response_that_is_not_whole_is_never_passed_off_as_whole() {
    let app = App::start(MANIFEST).await;
    assert_eq!(app.get("/t/nothing").await.code(), "no_response");
    assert_eq!(app.get("/t/short").await.code(), "response_incomplete");
    let answer = app.get("/t/stream-panic/1").await;
    assert!(answer.body.is_err(), "{answer:?}");
    // What was complete before the fault counts.
    assert_eq!(app.get("/t/panic-after").await.text(), "complete");
}

#[tokio::test]
async fn what_a_guest_prints_is_logged_with_its_name_line_by_line_and_within_bounds() {
    let log = Log::start();
    let app = App::start(MANIFEST).await;
    app.get("/t/print/3").await;
    app.get("/t/print/20000").await;
    app.get("/t/print/200000").await;
    let lines = log.lines();
    let find = |text: &str| lines.iter().filter(|line| line.contains(text)).collect::<Vec<_>>();
    let [first, second, ..] = find("to standard output: ooo")[..] else { panic!("{lines:?}") };
    assert!(first.contains("component=\"guest\"") && first.contains("request_id="), "{first}");
    assert!((8_000..8_500).contains(&second.len()), "{}", second.len());
    assert_eq!(find("to standard error, unfinished").len(), 2, "the third request had written too much already");
}

#[tokio::test]
async fn a_trap_is_logged_once_and_every_request_has_its_line() {
    let log = Log::start();
    let app = App::start(MANIFEST).await;
    let answer = app.get("/t/panic?secret").await;
    assert_eq!((answer.status, answer.code().as_str()), (500, "function_failed"));
    let request_id = answer.headers["x-request-id"].to_str().unwrap();
    let lines = log.lines();
    let traps: Vec<_> = lines.iter().filter(|line| line.contains("function failed")).collect();
    let [trap] = traps[..] else { panic!("{lines:?}") };
    assert!(trap.contains("wasm trap") && trap.contains("component=\"guest\"") && trap.contains(request_id), "{trap}");
    let [access] = lines.iter().filter(|line| line.contains("plaza::access")).collect::<Vec<_>>()[..] else {
        panic!("{lines:?}")
    };
    assert!(
        access.contains("status=500") && access.contains("path=\"/t/panic\"") && !access.contains("secret"),
        "{access}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_stay_in_their_own_request() {
    let app = std::sync::Arc::new(App::start(MANIFEST).await);
    let requests: Vec<_> = (0..60)
        .map(|number| {
            let app = app.clone();
            tokio::spawn(async move {
                let (path, status) = [("/t/hello", 200), ("/t/panic", 500), ("/t/nothing", 500)][number % 3];
                (app.get(path).await.status, status)
            })
        })
        .collect();
    for request in requests {
        let (status, expected) = request.await.unwrap();
        assert_eq!(status, expected);
    }
}

#[tokio::test]
async fn requests_without_a_body_that_say_so_and_chunks() {
    let app = App::start(MANIFEST).await;
    let chunks = ["a", "", "bc", "d"].map(|chunk| Ok::<_, plaza_http::BoxError>(http_body::Frame::data(chunk.into())));
    let body = http_body_util::StreamBody::new(futures::stream::iter(chunks)).boxed_unsync();
    let request = client("POST", "/t/echo", "").map(|_| body);
    assert_eq!(Answer::of(app.host.call(request).await).await.text(), "abcd");
}

/// What is logged on the current thread, which is where a `tokio::test` runs everything. The subscriber is the whole
/// process's: one that comes and goes per test races with others that log for the first time.
struct Log;

thread_local! {
    static LOG: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

impl Log {
    fn start() -> Self {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            tracing_subscriber::fmt().with_ansi(false).with_writer(|| Log).init();
        });
        LOG.set(Some(Vec::new()));
        Self
    }

    fn lines(&self) -> Vec<String> {
        let Self = self;
        String::from_utf8(LOG.take().unwrap()).unwrap().lines().map(str::to_owned).collect()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.with_borrow_mut(|log| {
            if let Some(log) = log {
                log.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_task_that_does_much_in_one_go_loses_nothing() {
    let app = App::start(MANIFEST).await;
    let answers = futures::future::join_all((0..300).map(|_| app.post("/t/echo", "all of it"))).await;
    for answer in answers {
        assert_eq!((answer.status, answer.text().as_str()), (200, "all of it"));
    }
}
