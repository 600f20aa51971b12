//! What a component gets at with a grant, and does not without.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::MANIFEST;
use crate::support::{App, client};

/// One component of each kind: granted nothing, and granted some of everything that is outside it.
const MANIFEST_OF_TWO: &str = r#"
spin_manifest_version = 2
[application]
name = "grants"
[variables]
backend = { default = "PORT" }
[[trigger.http]]
route = "/bare/..."
component = "bare"
[[trigger.http]]
route = "/t/..."
component = "granted"
[[trigger.http]]
route = { private = true }
component = "back"
[component.bare]
source = "GUEST"
[component.granted]
source = "GUEST"
key_value_stores = ["default"]
sqlite_databases = ["chat"]
allowed_outbound_hosts = [
    "http://127.0.0.1:{{ backend }}", "http://back.spin.internal", "http://unheard-of.spin.internal",
    "http://worker.spin.internal", "http://granted.spin.internal", "http://self",
]
[component.back]
source = "GUEST"
[component.worker]
source = "GUEST"
"#;

#[tokio::test]
async fn key_value_stores() {
    let app = App::start(MANIFEST).await;
    let put = |path, value| app.send(client("PUT", path, value));
    assert_eq!(app.get("/t/kv/default/key").await.text(), "None");
    put("/t/kv/default/key", "value").await;
    put("/t/kv/default/key2", "").await;
    put("/t/kv/other/key", "elsewhere").await;
    assert_eq!(app.get("/t/kv/default/key").await.text(), "Some(\"value\")");
    assert_eq!(app.get("/t/kv/other/key").await.text(), "Some(\"elsewhere\")");
    assert_eq!(app.send(client("OPTIONS", "/t/kv/default", "")).await.text(), r#"["key", "key2"]"#);
    assert_eq!(app.send(client("HEAD", "/t/kv/default/key", "")).await.text(), "true");
    app.send(client("DELETE", "/t/kv/default/key", "")).await;
    assert_eq!(app.send(client("HEAD", "/t/kv/default/key", "")).await.text(), "false");
    assert_eq!(app.get("/t/kv/default/key").await.text(), "None");
    assert_eq!(app.get("/t/kv/ungranted/key").await.text(), "Error::AccessDenied");
    assert!(app.directory.path().join("state/kv/default.db").exists());
}

#[tokio::test]
async fn databases() {
    let app = App::start(MANIFEST).await;
    let run = |statements| app.post("/t/sql/default", statements);
    assert_eq!(
        run("SELECT ?1 AS a, ?2 AS b, ?3 AS c, ?4 AS d, ?5 AS e").await.text(),
        r#"["a", "b", "c", "d", "e"] [[Value::Integer(-1), Value::Real(0.5), Value::Text("tëxt"), Value::Blob([0, 255]), Value::Null]] 0 0"#
    );
    assert_eq!(
        run("CREATE TABLE t (x UNIQUE)\nINSERT INTO t VALUES (1), (2)\nINSERT INTO t VALUES (3), (4)").await.text(),
        "[] [] 4 2"
    );
    // A connection that is dropped takes its transaction with it.
    run("BEGIN\nDELETE FROM t").await;
    assert_eq!(run("SELECT count(*) AS n FROM t").await.text(), r#"["n"] [[Value::Integer(4)]] 0 0"#);
    let conflict = run("INSERT INTO t VALUES (1)").await;
    assert_eq!((conflict.status, conflict.text().as_str()), (400, r#"Error::Io("UNIQUE constraint failed: t.x")"#));
    assert!(run("nonsense").await.text().contains("syntax error"));
    assert_eq!(app.post("/t/sql/ungranted", "SELECT 1").await.text(), "Error::AccessDenied");
    assert_eq!(app.get("/t/open/default").await.text(), r#"8 Error::Io("too many connections opened")"#);
    assert!(app.host.databases().contains_key("default"));
}

#[tokio::test]
async fn variables_and_environment() {
    let app = App::with(MANIFEST, |settings| {
        settings.variables.insert("place".to_owned(), "moon".to_owned());
    })
    .await;
    assert_eq!(app.get("/t/variable/greeting").await.text(), "hello, moon!");
    assert_eq!(app.get("/t/variable/token").await.text(), "hunter2");
    assert_eq!(app.get("/t/variable/place").await.text(), r#"Error::Undefined("no variable for \"guest\".\"place\"")"#);
    assert!(app.get("/t/variable/Not-A-Name").await.text().starts_with("Error::InvalidName"));
    assert_eq!(app.get("/t/environment").await.text(), r#"[("ONLY", "this")]"#);
}

#[tokio::test]
async fn nothing_is_granted_by_default() {
    let app = App::start(&MANIFEST_OF_TWO.replace("PORT", "1")).await;
    assert_eq!(app.get("/bare/kv/default/key").await.text(), "Error::AccessDenied");
    assert_eq!(app.post("/bare/sql/chat", "SELECT 1").await.text(), "Error::AccessDenied");
    assert!(app.get("/bare/variable/backend").await.text().starts_with("Error::Undefined"));
    for url in ["http://127.0.0.1:1/", "http://back.spin.internal/t/hello", "/t/hello", "http://self.alt/t/hello"] {
        let answer = app.post("/bare/fetch", url).await;
        assert_eq!((answer.status, answer.text().as_str()), (502, "ErrorCode::HttpRequestDenied"), "{url}");
    }
}

#[tokio::test]
async fn outbound_requests_go_where_they_are_granted() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        stream.write_all(b"HTTP/1.1 418 I'm a teapot\r\ncontent-length: 5\r\n\r\nhello").await.unwrap();
        String::from_utf8(request[..length].to_vec()).unwrap()
    });
    let app = App::start(&MANIFEST_OF_TWO.replace("PORT", &port.to_string())).await;
    let answer = app.post("/t/fetch", &format!("http://127.0.0.1:{port}/path?q")).await;
    assert_eq!((answer.status, answer.text().as_str()), (418, "hello"));
    let request = server.await.unwrap();
    assert!(request.starts_with("GET /path?q HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: 127.0.0.1:{port}\r\n")), "{request}");
    for url in
        [format!("http://localhost:{port}/"), format!("https://127.0.0.1:{port}/"), "http://127.0.0.1/".to_owned()]
    {
        assert_eq!(app.post("/t/fetch", &url).await.text(), "ErrorCode::HttpRequestDenied", "{url}");
    }
    // Nobody listens there any longer.
    assert_eq!(app.post("/t/fetch", &format!("http://127.0.0.1:{port}/")).await.status, 502);
}

#[tokio::test]
async fn components_call_one_another_where_it_is_granted() {
    let app = App::start(&MANIFEST_OF_TWO.replace("PORT", "1")).await;
    let mut request = client("POST", "/t/fetch", "http://back.spin.internal/any/headers?x=1");
    request.headers_mut().insert("x-request-id", "outer".parse().unwrap());
    let text = app.send(request).await.text();
    for line in [
        "authority: back.spin.internal",
        "spin-path-info: /any/headers",
        "spin-matched-route: /...",
        "spin-raw-component-route: /...",
        "spin-component-route: ",
        "spin-client-addr: 0.0.0.0:0",
        "spin-full-url: http://localhost/any/headers?x=1",
        "x-request-id: outer",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    let fetch = |url| app.post("/t/fetch", url);
    assert_eq!(fetch("http://bare.spin.internal/t/hello").await.text(), "ErrorCode::HttpRequestDenied");
    assert_eq!(fetch("http://unheard-of.spin.internal/t/hello").await.text(), "ErrorCode::DestinationNotFound");
    // As in Spin: only a component with an HTTP trigger, be it private, can be called.
    assert_eq!(fetch("http://worker.spin.internal/t/hello").await.text(), "ErrorCode::DestinationNotFound");
    // A fault there is an answer here.
    let answer = fetch("http://back.spin.internal/t/panic").await;
    assert_eq!((answer.status, answer.text().contains("function_failed")), (500, true));
    // The application itself, by its routes.
    assert_eq!(fetch("/t/hello").await.text(), "hello");
    assert_eq!(fetch("http://self.alt/t/hello").await.text(), "hello");
    assert_eq!(fetch("/nowhere").await.status, 404);
}

#[tokio::test]
async fn calls_among_components_have_a_depth() {
    // One instance for callers is enough: they do not wait for what they hold themselves.
    let app = App::with(&MANIFEST_OF_TWO.replace("PORT", "1"), |settings| {
        settings.limits.instances_max = 1;
        settings.limits.chained_instances_max = 8;
    })
    .await;
    for host in ["granted.spin.internal", "self.alt"] {
        assert_eq!(app.get(&format!("/t/recurse/{host}")).await.text(), "........ErrorCode::LoopDetected");
    }
}
