//! What every route refuses in the same way. They are those of the OpenAPI document,
//! which is compared with the manifest, so none is left out.

use std::time::Duration;

use plaza_e2e::forge;
use plaza_e2e::routes::{self, Access, Operation, Takes};
use plaza_test_support::{Answer, Call, Client, Plaza, World, eventually};
use reqwest::Method;
use serde_json::json;

/// More than any route takes but for pictures, and little enough to be on its way whole before it is refused.
const LARGE_BODY_BYTES: usize = 128 * 1024;

/// The most that is taken of a picture.
const PICTURE_BYTES_MAX: usize = 1024 * 1024;

/// So much that a server which reads on to the end could be kept busy with it.
const HUGE_BODY_BYTES: usize = 16 * 1024 * 1024;

fn with_body(call: Call, operation: &Operation) -> Call {
    match operation.takes {
        Takes::Json | Takes::OptionalJson => call.json(&operation.body()),
        Takes::Form => call.form(&[("username", "nobody"), ("password", "not a password of anyone")]),
        Takes::Nothing | Takes::Other => call,
    }
}

fn call(client: &Client, operation: &Operation) -> Call {
    with_body(client.call(operation.method.clone(), operation.path()), operation)
}

#[tokio::test]
async fn whoever_is_not_known_is_turned_away() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let token = &anna.tokens.access_token;
    let authorizations = [
        ("garbage", "Bearer garbage".to_owned()),
        ("empty", "Bearer ".to_owned()),
        ("another scheme", "Basic YW5uYTpzZWNyZXQ=".to_owned()),
        ("no scheme", token.clone()),
        ("three dots", "Bearer ...".to_owned()),
        ("a refresh token", format!("Bearer {}", anna.tokens.refresh_token)),
        ("no signature", format!("Bearer {}", forge::unsigned(token))),
        ("another algorithm", format!("Bearer {}", forge::other_algorithm(token))),
        ("another subject", format!("Bearer {}", forge::other_subject(token, ben.id()))),
        ("a later end", format!("Bearer {}", forge::prolonged(token))),
        ("a broken signature", format!("Bearer {}", forge::broken_signature(token))),
        ("a very long one", format!("Bearer {}", "a".repeat(6_000))),
    ];
    for operation in routes::operations().iter().filter(|operation| operation.access != Access::Public) {
        call(world.client(), operation).answer().await.unauthorized();
        for (what, authorization) in &authorizations {
            let answer = call(world.client(), operation).authorization(authorization).answer().await;
            assert_eq!(answer.status, 401, "{what}: {answer}");
            answer.unauthorized();
        }
    }
    let me: serde_json::Value = anna.get("/api/profile/me").await;
    assert_eq!(me["id"], anna.id(), "the untouched token works");
}

#[tokio::test]
async fn a_token_ends_when_its_session_does() {
    let world = World::shared();
    let anna = world.person("anna").await;
    anna.client.post("/api/auth/logout").answer().await;
    for operation in routes::operations().iter().filter(|operation| operation.access != Access::Public) {
        call(&anna.client, operation).answer().await.unauthorized();
    }
}

#[tokio::test]
async fn a_token_ends_when_its_time_is_over() {
    let plaza = tokio::task::spawn_blocking(|| {
        Plaza::options().variable("access_token_ttl_seconds", "1").start().unwrap_or_else(|why| panic!("{why}"))
    });
    let plaza = plaza.await.expect("the start does not panic");
    let anna = plaza_test_support::Person::new(&plaza.client(), "anna").await;
    assert_eq!(anna.tokens.expires_in, 1);
    let refused = eventually(Duration::from_secs(10), "the token's end", async || {
        let answer = anna.client.get("/api/profile/me").answer().await;
        (answer.status != 200).then_some(answer)
    });
    refused.await.unauthorized();
    for operation in routes::operations().iter().filter(|operation| operation.access != Access::Public) {
        call(&anna.client, operation).answer().await.unauthorized();
    }
    let body = json!({ "refresh_token": anna.tokens.refresh_token });
    let tokens: plaza_test_support::Tokens =
        plaza.client().post("/api/auth/refresh").json(&body).answer().await.ok(200);
    assert_ne!(tokens.access_token, anna.tokens.access_token, "the session itself goes on");
}

#[tokio::test]
async fn a_method_that_a_route_does_not_have_is_named_with_those_it_has() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let operations = routes::operations();
    let all = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    for route in operations.iter().map(|operation| &operation.route) {
        let of_route: Vec<_> = operations.iter().filter(|operation| operation.route == *route).collect();
        let methods: Vec<_> = of_route.iter().map(|operation| operation.method.clone()).collect();
        for method in all.iter().filter(|method| !methods.contains(method)) {
            let answer = anna.client.call(method.clone(), of_route[0].path()).json(&json!({})).answer().await;
            answer.problem(405, "method_not_allowed");
            let mut allow: Vec<&str> = answer.header("allow").split(',').map(str::trim).collect();
            let mut described: Vec<&str> = methods.iter().map(Method::as_str).collect();
            allow.sort_unstable();
            described.sort_unstable();
            assert_eq!(allow, described, "Allow has the methods that the document has: {answer}");
        }
    }
}

#[tokio::test]
async fn a_path_that_is_no_route_is_not_found() {
    let world = World::shared();
    let anna = world.person("anna").await;
    for path in
        ["/api", "/clientele", "/api/nothing", "/api/auth", "/api/messages", "/api/messages/a/b/c/d", "/apix/users"]
    {
        for client in [world.client(), &anna.client] {
            client.get(path).answer().await.problem(404, "not_found");
            client.post(path).json(&json!({})).answer().await.problem(404, "not_found");
        }
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_for_what_it_is() {
    let world = World::shared();
    let anna = world.person("anna").await;
    for operation in routes::operations() {
        let send = async |content_type: &str, body: &str| -> Answer {
            anna.client
                .call(operation.method.clone(), operation.path())
                .body(content_type, body.to_owned())
                .answer()
                .await
        };
        match operation.takes {
            Takes::Other if operation.takes_picture() => {
                for body in ["", "nonsense", "GIF89a", "<svg xmlns='http://www.w3.org/2000/svg'/>"] {
                    send("image/png", body).await.problem(415, "unsupported_media_type");
                }
            }
            Takes::Nothing | Takes::Other => {}
            Takes::Json | Takes::OptionalJson => {
                for body in ["{", "{\"a\":1}}", "{'a':1}", "\u{feff}{", "nonsense", "{\"a\":\"\\ud800\"}"] {
                    send("application/json", body).await.problem(400, "malformed_json");
                }
                // Deeper than any shape of the API: neither a crash nor a stack overflow.
                send("application/json", &"[".repeat(50_000)).await.problem(400, "malformed_json");
                for content_type in ["text/plain", "application/xml", "multipart/form-data; boundary=x", "json"] {
                    send(content_type, &operation.body().to_string()).await.problem(415, "unsupported_media_type");
                }
            }
            Takes::Form => {
                for content_type in ["text/plain", "multipart/form-data; boundary=x"] {
                    send(content_type, "username=a&password=b").await.problem(415, "unsupported_media_type");
                }
            }
        }
    }
}

#[tokio::test]
async fn json_is_json_with_parameters_and_in_capitals() {
    let world = World::shared();
    let anna = world.person("anna").await;
    for content_type in ["application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8"] {
        let call = anna.client.patch("/api/profile/me").body(content_type, r#"{"display_name":"Anna"}"#.to_owned());
        let _: serde_json::Value = call.answer().await.ok(200);
    }
}

#[tokio::test]
async fn a_body_that_is_not_an_object_is_refused() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let takes_json = |operation: &Operation| operation.takes == Takes::Json;
    for operation in routes::operations().into_iter().filter(takes_json) {
        for body in ["[]", "null", "1", "\"text\"", "true"] {
            let call = anna.client.call(operation.method.clone(), operation.path());
            let answer = call.body("application/json", body.to_owned()).answer().await;
            assert!(matches!(answer.status.as_u16(), 400 | 422), "{body}: {answer}");
            let code = if answer.status == 422 { "validation_failed" } else { "malformed_json" };
            answer.problem(answer.status.as_u16(), code);
        }
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let world = World::shared();
    let anna = world.person("anna").await;
    for operation in routes::operations()
        .into_iter()
        .filter(|operation| operation.access != Access::EventsKey && operation.takes != Takes::Nothing)
    {
        let (content_type, start) = match operation.takes {
            Takes::Form => ("application/x-www-form-urlencoded", "username="),
            Takes::Other => (operation.media_type(), "\u{7f}"),
            _ => ("application/json", "{\"content\":\""),
        };
        let send = |bytes: usize| {
            let body = start.to_owned() + &"x".repeat(bytes);
            anna.client.call(operation.method.clone(), operation.path()).body(content_type, body).send()
        };
        let large = if operation.takes_picture() { PICTURE_BYTES_MAX + 1 } else { LARGE_BODY_BYTES };
        let answer = send(large).await.unwrap_or_else(|lost| panic!("{lost}"));
        answer.problem(413, "payload_too_large");
        // A server may answer and close while the rest of the body is still on its way; the answer can be lost then,
        // but the body must not have been taken.
        match send(HUGE_BODY_BYTES).await {
            Ok(answer) => drop(answer.problem(413, "payload_too_large")),
            Err(lost) => eprintln!("no answer to a huge body: {lost}"),
        }
    }
    let _: serde_json::Value = world.client().get("/health").answer().await.ok(200);
}

/// The same without the race: a client that announces a huge body and waits to be asked for it is told at once.
#[tokio::test]
async fn an_announced_huge_body_is_refused_before_it_is_sent() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::shared();
    let anna = world.person("anna").await;
    let mut socket = tokio::net::TcpStream::connect(world.plaza().address()).await.expect("a connection");
    let head = format!(
        "POST /api/messages/{} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {HUGE_BODY_BYTES}\r\nexpect: 100-continue\r\n\r\n",
        routes::NOBODY,
        world.plaza().address(),
        anna.tokens.access_token,
    );
    socket.write_all(head.as_bytes()).await.expect("the head is taken");
    let mut answer = vec![0; 12];
    let read = tokio::time::timeout(plaza_test_support::PATIENCE, socket.read_exact(&mut answer)).await;
    read.expect("an answer in time").expect("an answer");
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413");
}
