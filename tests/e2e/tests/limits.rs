//! How often somebody may ask, and from where: the limits of functions, and the front door. Each test has a Plaza of its own, with the
//! limits that it is about.
//!
//! Windows of time pass while a test runs: between a window's requests and twice as many are let through.

use plaza_test_support::{Answer, Call, Credentials, Options, Person, Plaza, Stack, unique};
use reqwest::Method;
use serde_json::{Value, json};

fn start(options: Options) -> Plaza {
    tokio::task::block_in_place(|| options.start().unwrap_or_else(|why| panic!("{why}")))
}

/// Makes calls until one is refused for being one too many; checks that it was neither too early nor too late, and gives the refusal.
async fn until_refused(quota: usize, call: impl Fn() -> Call) -> Answer {
    for made in 0..=2 * quota {
        let answer = call().answer().await;
        if answer.status == 429 {
            assert!(made >= quota, "only {made} of {quota} were let through: {answer}");
            answer.problem(429, "rate_limited");
            let wait: u64 = answer.header("retry-after").parse().expect("seconds");
            assert!((1..=3600).contains(&wait), "{answer}");
            return answer;
        }
    }
    panic!("more than {quota} in a window were let through, twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_of_one_account_are_tried_so_often_and_no_more() {
    let plaza = start(Plaza::options().variable("login_per_account_per_minute", "3"));
    let client = plaza.client();
    let anna = Credentials::unique("anna");
    anna.register(&client).await;
    let login = |name: &str, password: &str| {
        client.post("/api/auth/login/json").json(&json!({ "email": name, "password": password }))
    };
    let first = login(&anna.email, "wrong wrong").answer().await;
    first.problem(401, "invalid_credentials");
    assert_eq!(first.header("ratelimit-policy"), "\"login-account\";q=3;w=60");
    assert!(first.header("ratelimit").starts_with("\"login-account\";r=2;t="), "{first}");
    let refusal = until_refused(2, || login(&anna.email, "wrong wrong")).await;
    assert!(refusal.header("ratelimit").starts_with("\"login-account\";r=0;t="), "{refusal}");
    // Neither the right password nor other letters help, and it is the same for a name that nobody has.
    until_refused(0, || login(&anna.email.to_uppercase(), &anna.password)).await;
    let nobody = format!("{}@example.com", unique("nobody"));
    until_refused(3, || login(&nobody, "wrong wrong")).await;
    // Others are not concerned.
    let ben = Person::new(&client, "ben").await;
    assert_eq!(ben.tokens.token_type, "bearer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_tried_from_one_address_so_often_whatever_it_calls_itself() {
    let plaza = start(Plaza::options().variable("login_per_address_per_minute", "3"));
    let client = plaza.client();
    let login = || {
        let body = json!({ "username": unique("nobody"), "password": "wrong wrong" });
        let claimed = format!("203.0.113.{}", fastrand::u8(..));
        client.post("/api/auth/login/json").json(&body).header("x-forwarded-for", &claimed)
    };
    until_refused(3, login).await;

    let plaza =
        start(Plaza::options().variable("login_per_address_per_minute", "3").argument("--trusted-proxy=127.0.0.1"));
    let client = plaza.client();
    let login = |address: &str| {
        let body = json!({ "username": unique("nobody"), "password": "wrong wrong" });
        client.post("/api/auth/login/json").json(&body).header("x-forwarded-for", address)
    };
    until_refused(3, || login("198.51.100.1, 203.0.113.7")).await;
    login("203.0.113.8").answer().await.problem(401, "invalid_credentials");
    until_refused(3, || login("2001:db8::1")).await;
    until_refused(0, || login("2001:db8::ffff")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registration_sending_and_searching_have_limits_of_their_own() {
    let options = Plaza::options().variable("register_per_address_per_hour", "4");
    let plaza = start(options.variable("send_per_user_per_minute", "2").variable("search_per_user_per_minute", "2"));
    let client = plaza.client();
    let (anna, ben) = (Person::new(&client, "anna").await, Person::new(&client, "ben").await);
    let room = anna.direct_room(&ben).await;
    let refusal = until_refused(2, || anna.sending(&room.id, "again", None)).await;
    assert_eq!(refusal.header("ratelimit-policy"), "\"send\";q=2;w=60");
    let _ = ben.sending(&room.id, "hello", None).answer().await.is(201);
    let searched = ben.client.get("/api/users/search?q=an").answer().await.is(200);
    assert!(searched.header("ratelimit").starts_with("\"search\";r=1;t="), "{searched}");
    until_refused(1, || ben.client.get("/api/users/search?q=an")).await;
    let registering = || client.post("/api/auth/register").json(&Credentials::unique("new").registration());
    until_refused(2, registering).await;
    // What has no limit says nothing of one.
    assert_eq!(anna.client.get("/api/profile/me").answer().await.is(200).header("ratelimit"), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_does_not_answer_locks_nobody_out() {
    // Nobody listens there.
    let options = Plaza::options().stack(&Stack::Embedded).argument("--redis=redis://127.0.0.1:9");
    let plaza = start(options.variable("login_per_account_per_minute", "1").variable("send_per_user_per_minute", "1"));
    let client = plaza.client();
    let (anna, ben) = (Person::new(&client, "anna").await, Person::new(&client, "ben").await);
    for _ in 0..3 {
        anna.credentials.log_in(&client).await;
    }
    let room = anna.direct_room(&ben).await;
    for _ in 0..3 {
        anna.say(&room, "still here").await;
    }
    assert!(plaza.log().contains("limits"), "it is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_so_many_requests_a_minute() {
    let plaza =
        start(Plaza::options().argument("--requests-per-minute=5").argument("--cors-origin=https://chat.example"));
    let client = plaza.client();
    let asking = || client.get("/api/users").header("origin", "https://chat.example").header("x-request-id", "mine");
    let first = asking().answer().await;
    first.unauthorized();
    assert_eq!(first.header("ratelimit-policy"), "\"address\";q=5;w=60");
    assert!(first.header("ratelimit").starts_with("\"address\";r=4;t="), "{first}");
    let refusal = until_refused(4, asking).await;
    assert_eq!(refusal.header("x-request-id"), "mine");
    assert_eq!(refusal.header("access-control-allow-origin"), "https://chat.example", "a page must be able to read it");
    until_refused(0, || client.get("/api/nothing").header("x-forwarded-for", "203.0.113.9")).await;
    for path in ["/health", "/ready", "/metrics"] {
        for _ in 0..6 {
            let answer = client.get(path).answer().await.is(200);
            assert_eq!(answer.header("ratelimit"), "");
        }
    }
    let metrics = client.get("/metrics").answer().await;
    assert!(String::from_utf8_lossy(&metrics.body).contains("plaza_rate_limited_total{limit=\"address\"}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_proxy_each_client_has_its_own_requests() {
    let plaza =
        start(Plaza::options().argument("--requests-per-minute=3").argument("--trusted-proxy=127.0.0.0/8,10.0.0.0/8"));
    let client = plaza.client();
    let asking = |via: &str| client.get("/api/users").header("x-forwarded-for", via);
    until_refused(3, || asking("203.0.113.1, 10.1.1.1")).await;
    until_refused(3, || asking("203.0.113.2")).await;
    // The proxy's own requests are not counted: health checks, or a relay's.
    for _ in 0..7 {
        client.get("/api/users").answer().await.unauthorized();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_an_allowed_origin_may_use_the_api() {
    let options =
        Plaza::options().argument("--cors-origin=https://chat.example").argument("--cors-origin=http://localhost:8080");
    let plaza = start(options);
    let client = plaza.client();
    let asking_first = |origin: &str| {
        let call = client.call(Method::OPTIONS, "/api/chat-rooms").header("origin", origin);
        let call = call.header("access-control-request-method", "POST");
        call.header("access-control-request-headers", "authorization,content-type,idempotency-key")
    };
    for origin in ["https://chat.example", "http://localhost:8080"] {
        let answer = asking_first(origin).answer().await.is(204);
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert!(answer.header("vary").contains("Origin"), "{answer}");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            assert!(answer.header("access-control-allow-methods").contains(method), "{answer}");
        }
        let headers = answer.header("access-control-allow-headers").to_lowercase();
        for header in ["authorization", "content-type", "idempotency-key", "last-event-id"] {
            assert!(headers.contains(header), "{answer}");
        }
        assert!(answer.header("access-control-max-age").parse::<u32>().is_ok());
        let refused = client.get("/api/chat-rooms").header("origin", origin).answer().await;
        refused.unauthorized();
        assert_eq!(refused.header("access-control-allow-origin"), origin);
        for header in ["X-Request-Id", "RateLimit", "Retry-After", "Idempotency-Replayed"] {
            assert!(refused.header("access-control-expose-headers").contains(header), "{refused}");
        }
        assert_eq!(refused.header("access-control-allow-credentials"), "");
    }
    for origin in ["https://evil.example", "https://chat.example.evil.example", "null", "http://chat.example"] {
        for call in [asking_first(origin), client.get("/health").header("origin", origin)] {
            let answer = call.answer().await;
            assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}: {answer}");
            assert!(answer.header("vary").contains("Origin"), "{answer}");
        }
    }
    let everyone = start(Plaza::options().argument("--cors-origin=*"));
    let answer = everyone.client().get("/health").header("origin", "https://any.example").answer().await.is(200);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.header("vary"), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_has_the_requests_id_and_is_what_it_says() {
    let plaza = start(Plaza::options());
    let client = plaza.client();
    for path in
        ["/health", "/ready", "/metrics", "/api/nothing", "/api/users", "/api/stream", "/.well-known/spin/health"]
    {
        for method in [Method::GET, Method::POST, Method::OPTIONS] {
            let answer = client.call(method.clone(), path).header("x-request-id", "mine.1").answer().await;
            assert_eq!(answer.header("x-request-id"), "mine.1", "{answer}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{answer}");
            assert_eq!(answer.header("access-control-allow-origin"), "", "{answer}");
            let other = client.call(method, path).header("x-request-id", "not one").answer().await;
            assert_eq!(other.header("x-request-id").len(), 36, "{other}");
            if other.status.is_client_error() {
                let problem: Value = other.read();
                assert_eq!(problem["request_id"], other.header("x-request-id"), "{other}");
            }
        }
    }
}
