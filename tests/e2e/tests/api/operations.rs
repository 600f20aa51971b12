//! What operators and every client rely on beside the API itself.

use plaza_test_support::{PATIENCE, World, eventually, unique};
use serde_json::{Value, json};

#[tokio::test]
async fn it_says_that_it_lives_and_is_ready() {
    let world = World::shared();
    let health: Value = world.client().get("/health").answer().await.ok(200);
    assert_eq!(health, json!({ "status": "ok" }));
    let ready: Value = world.client().get("/ready").answer().await.ok(200);
    let text = ready.to_string();
    for store in ["user", "friend", "chat", "notification", "analytics"] {
        assert!(text.contains(store), "the store {store} is not named in {ready}");
    }
}

#[tokio::test]
async fn a_request_id_is_taken_over_or_made() {
    let world = World::shared();
    let anna = world.person("anna").await;
    for path in ["/health", "/api/profile/me", "/api/nothing", "/api/users?user_ids="] {
        let mine = unique("request");
        let answer = anna.client.get(path).header("x-request-id", &mine).answer().await;
        assert_eq!(answer.header("x-request-id"), mine, "{answer}");
        let (one, other) = (anna.client.get(path).answer().await, anna.client.get(path).answer().await);
        assert!(!one.header("x-request-id").is_empty(), "{one}");
        assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
    }
}

#[tokio::test]
async fn a_request_id_that_could_deceive_a_log_is_not_taken_over() {
    let world = World::shared();
    for id in ["a b\"c", "<script>", &"x".repeat(1_000)] {
        let answer = world.client().get("/api/nothing").header("x-request-id", id).answer().await;
        assert_ne!(answer.header("x-request-id"), id, "{answer}");
        answer.problem(404, "not_found");
    }
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let _: Value = anna.get("/api/profile/me").await;
    let answer = world.client().get("/metrics").answer().await.is(200);
    assert!(answer.header("content-type").starts_with("text/plain"), "{answer}");
    let text = String::from_utf8(answer.body.to_vec()).expect("UTF-8");
    let mut names = std::collections::BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a sample: {line:?}"));
        assert!(value.parse::<f64>().is_ok(), "not a number: {line:?}");
        names.insert(series.split('{').next().unwrap_or_default().to_owned());
    }
    let ours: Vec<_> = names.iter().filter(|name| name.starts_with("plaza_")).collect();
    for part in ["request", "stream", "outbox"] {
        assert!(ours.iter().any(|name| name.contains(part)), "no metric of {part} among {ours:?}");
    }
    // It is looked at from time to time.
    eventually(PATIENCE, "the lag of the triggers is told", async || {
        let answer = world.client().get("/metrics").answer().await.is(200);
        String::from_utf8_lossy(&answer.body).contains("plaza_trigger_lag{").then_some(())
    })
    .await;
}

#[tokio::test]
async fn tokens_are_not_kept_by_caches() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let login = world.client().post("/api/auth/login/json").json(&anna.credentials.login()).answer().await.is(200);
    assert!(login.header("cache-control").contains("no-store"), "RFC 6749, section 5.1: {login}");
}
