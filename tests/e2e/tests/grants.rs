//! Each entry of the manifest grants what its component uses, and nothing else. The host counts the use of every grant;
//! here every component is driven through everything that it does, and then no count may be 0, and none refused.

use plaza_test_support::{Credentials, Person, Plaza, Stack, Tokens, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// More tokens of one session than the sessions store remembers: used in turn, each is unknown again when its turn comes,
/// so that every component has to ask the one that examines tokens.
const TOKENS: usize = 6;

/// By which events are brought.
const EVENTS_KEY: &str = "the key of the grants' test";

struct Caller {
    person: Person,
    tokens: Vec<String>,
    turn: usize,
}

impl Caller {
    async fn new(plaza: &Plaza, credentials: Credentials) -> Self {
        let person = Person::registered(&plaza.client(), credentials).await;
        let mut tokens = vec![person.tokens.access_token.clone()];
        let mut refresh_token = person.tokens.refresh_token.clone();
        while tokens.len() < TOKENS {
            let body = json!({ "refresh_token": refresh_token });
            let new: Tokens = plaza.client().post("/api/auth/refresh").json(&body).answer().await.ok(200);
            tokens.push(new.access_token);
            refresh_token = new.refresh_token;
        }
        Self { person, tokens, turn: 0 }
    }

    fn token(&mut self) -> String {
        self.turn = (self.turn + 1) % self.tokens.len();
        self.tokens[self.turn].clone()
    }

    async fn call(&mut self, method: Method, path: &str, body: Option<Value>, status: u16) -> Value {
        let token = self.token();
        let client = self.person.client.with_token(&token);
        let call = client.call(method, path);
        let call = if let Some(body) = body { call.json(&body) } else { call };
        let answer = call.answer().await.is(status);
        if status == 204 { Value::Null } else { answer.read() }
    }

    async fn get(&mut self, path: &str) -> Value {
        self.call(Method::GET, path, None, 200).await
    }

    async fn post(&mut self, path: &str, body: Value, status: u16) -> Value {
        self.call(Method::POST, path, Some(body), status).await
    }
}

/// What people do in a group, and with a message of this room.
async fn in_rooms(minji: &mut Caller, junho: &mut Caller, third: &Person, room_id: &str) {
    let group = json!({ "room_type": "group", "participant_ids": [junho.person.id()] });
    let group = minji.post("/api/chat-rooms", group, 201).await;
    let participants = format!("/api/chat-rooms/{}/participants", group["id"].as_str().expect("an id"));
    minji.post(&participants, json!({ "user_ids": [third.id()] }), 200).await;
    minji.call(Method::DELETE, &format!("{participants}/{}", third.id()), None, 204).await;
    let message = minji.post(&format!("/api/messages/{room_id}"), json!({ "content": "안녕" }), 201).await;
    let message = format!("/api/messages/{room_id}/{}", message["id"].as_str().expect("an id"));
    minji.get(&message).await;
    minji.call(Method::PUT, &format!("{message}/reactions?emoji=%F0%9F%91%8D"), None, 200).await;
    junho.post(&format!("/api/messages/{room_id}/read"), json!({ "seq": 1 }), 200).await;
    junho.call(Method::POST, &format!("/api/messages/{room_id}/typing"), None, 204).await;
}

/// Everything that one can do with notifications but list them.
async fn notifications(person: &mut Caller) {
    person.get("/api/notifications/unread-count").await;
    let preferences = person.get("/api/notifications/preferences").await;
    person.call(Method::PUT, "/api/notifications/preferences", Some(preferences), 200).await;
    person.post("/api/notifications/read", json!({ "all": true }), 200).await;
}

#[tokio::test]
async fn every_grant_is_used_and_none_is_missing() {
    let operator = Credentials::unique("minji");
    let options = Plaza::options().variable("operators", &operator.email).variable("events_key", EVENTS_KEY);
    // Limits count only where there are any.
    let limits = [
        "login_per_account_per_minute",
        "login_per_address_per_minute",
        "register_per_address_per_hour",
        "send_per_user_per_minute",
        "search_per_user_per_minute",
    ];
    let options = limits.iter().fold(options, |options, limit| options.variable(limit, "1000000"));
    let plaza = options.start().unwrap_or_else(|why| panic!("{why}"));
    let mut minji = Caller::new(&plaza, operator).await;
    let mut junho = Caller::new(&plaza, Credentials::unique("junho")).await;
    let third = Person::new(&plaza.client(), "third").await;
    let junho_id = junho.person.id().to_owned();
    log_in(&plaza, &minji).await;
    profiles(&plaza, &mut minji, &junho_id).await;
    friends(&mut minji, &mut junho, &third).await;

    let room =
        minji.post("/api/chat-rooms", json!({ "room_type": "direct", "participant_ids": [junho_id] }), 201).await;
    let room_id = room["id"].as_str().unwrap().to_owned();
    minji.get(&format!("/api/chat-rooms/{room_id}")).await;
    in_rooms(&mut minji, &mut junho, &third, &room_id).await;
    junho.get(&format!("/api/chat-rooms/{room_id}")).await;

    for path in [
        "/api/stream".to_owned(),
        "/api/stream/notifications".to_owned(),
        "/api/stream/online-status".to_owned(),
        format!("/api/stream/messages/{room_id}"),
    ] {
        let ticket = minji.post("/api/stream/ticket", json!({}), 200).await;
        let by_ticket = format!("{path}?ticket={}", ticket["ticket"].as_str().unwrap());
        drop(Person { client: plaza.client(), ..third.clone() }.stream(&by_ticket).await);
        let by_token = Person { client: third.client.with_token(&minji.token()), ..third.clone() };
        drop(by_token.stream(&path).await);
    }
    eventually(Duration::from_secs(10), "the notification of the message", async || {
        let page = junho.get("/api/notifications").await;
        page["items"].as_array().unwrap().iter().any(|item| item["kind"] == "message").then_some(())
    })
    .await;
    notifications(&mut junho).await;
    eventually(Duration::from_secs(10), "the message in the statistics", async || {
        let stats = minji.get("/api/stats").await;
        stats["items"].as_array().unwrap().iter().any(|day| day["messages_sent"] != 0).then_some(())
    })
    .await;
    let gone = json!({ "user_id": third.id(), "deleted_at": "2026-01-31T09:30:00.000Z" });
    let event = plaza.client().with_token(EVENTS_KEY).post("/events/friend").json(&gone);
    let event = event.header("ce-id", "gone").header("ce-type", "plaza.user.UserDeleted.v1");
    let _ = event.answer().await.is(204);
    let block = json!({ "user_id": junho_id, "blocked_user_id": third.id() });
    let event = plaza.client().with_token(EVENTS_KEY).post("/events/chat").json(&block);
    let event = event.header("ce-id", "block").header("ce-type", "plaza.friend.UserBlocked.v1");
    let _ = event.answer().await.is(204);
    minji.get("/api/messages/search?q=%EC%95%88%EB%85%95").await;
    let _ = plaza.client().get("/ready").answer().await.is(200);
    minji.call(Method::POST, "/api/auth/logout", None, 204).await;

    grants_are_as_they_are_used(&plaza).await;
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

async fn log_in(plaza: &Plaza, minji: &Caller) {
    // Both ways to log in are one component; the form is the other one's.
    let form = [("username", minji.person.name()), ("password", &minji.person.credentials.password)];
    let _ = plaza.client().post("/api/auth/login").form(&form).answer().await.is(200);
    // Only where there is no account, a password is hashed anew.
    let nobody = [("username", "nobody"), ("password", "nothing at all")];
    let _ = plaza.client().post("/api/auth/login").form(&nobody).answer().await.is(401);
    // Answers that are secrets are stored sealed for whoever may have to repeat the request.
    let keyed = async |path: &str, body: Value, status| {
        let answer = plaza.client().post(path).json(&body).header("idempotency-key", path).answer().await;
        answer.is(status).read::<Value>()
    };
    let fourth = Credentials::unique("fourth");
    keyed("/api/auth/register", fourth.registration(), 201).await;
    let tokens = keyed("/api/auth/login/json", fourth.login(), 200).await;
    keyed("/api/auth/refresh", json!({ "refresh_token": tokens["refresh_token"] }), 200).await;
    let leaving = plaza.client().with_token(text(&tokens["access_token"])).delete("/api/profile/me");
    let _ = leaving.json(&json!({ "password": fourth.password })).answer().await.is(204);
}

/// Their own account, and how they see others.
async fn profiles(plaza: &Plaza, minji: &mut Caller, junho_id: &str) {
    let other = minji.person.on_another_device().await;
    let sessions = minji.get("/api/auth/sessions").await;
    let newest = text(&sessions["items"][0]["id"]);
    minji.call(Method::DELETE, &format!("/api/auth/sessions/{newest}"), None, 204).await;
    other.client.get("/api/profile/me").answer().await.unauthorized();
    let password = json!({ "current_password": minji.person.credentials.password, "new_password": "another horse" });
    minji.call(Method::PUT, "/api/auth/password", Some(password), 204).await;
    minji.get("/api/profile/me").await;
    let mut export = "/api/profile/me/export".to_owned();
    while let Some(cursor) = minji.get(&export).await["next_cursor"].as_str() {
        export = format!("/api/profile/me/export?cursor={cursor}");
    }
    minji.get(&format!("/api/profile/{junho_id}")).await;
    minji.call(Method::DELETE, "/api/profile/me/image", None, 204).await;
    plaza.client().get(format!("/api/profile/{junho_id}/image")).answer().await.problem(404, "not_found");
    minji.get(&format!("/api/users?user_ids={junho_id}")).await;
    minji.get("/api/users/search?q=ju").await;
    minji.get(&format!("/api/users/presence?user_ids={junho_id}")).await;
    minji.call(Method::POST, "/api/users/me/heartbeat", None, 204).await;
}

async fn friends(minji: &mut Caller, junho: &mut Caller, third: &Person) {
    let junho_id = junho.person.id().to_owned();
    let asked = minji.post("/api/friends/request", json!({ "target_user_id": junho_id }), 201).await;
    junho.get("/api/friends/requests").await;
    junho.post(&format!("/api/friends/requests/{}/accept", text(&asked["id"])), json!({}), 200).await;
    minji.get("/api/friends").await;
    let asked: Value = third.request(&minji.person).await.ok(201);
    minji.post(&format!("/api/friends/requests/{}/reject", text(&asked["id"])), json!({}), 200).await;

    let asked = minji.post("/api/friends/request", json!({ "target_user_id": third.id() }), 201).await;
    let request = format!("/api/friends/requests/{}", text(&asked["id"]));
    minji.call(Method::DELETE, &request, None, 204).await;
    minji.get("/api/friends/search?q=ju").await;
    minji.post("/api/friends/blocks", json!({ "user_id": third.id() }), 201).await;
    minji.get("/api/friends/blocks").await;
    minji.call(Method::DELETE, &format!("/api/friends/blocks/{}", third.id()), None, 204).await;
    minji.call(Method::DELETE, &format!("/api/friends/{junho_id}"), None, 204).await;
}

async fn grants_are_as_they_are_used(plaza: &Plaza) {
    let metrics = plaza.client().get("/metrics").answer().await.is(200);
    let metrics = String::from_utf8(metrics.body.to_vec()).expect("text");
    let of = |name: &'static str| metrics.lines().filter(move |line| line.starts_with(name));
    let count = |line: &str| line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok()).expect("a number");
    // A component has its database in two places, and uses the one that it is told to.
    let elsewhere = match plaza.stack() {
        Stack::Embedded => "name=\"mysql://",
        Stack::Servers(_) => "kind=\"sqlite_databases\"",
    };
    let used: Vec<&str> = of("plaza_grants_used_total{").filter(|line| !line.contains(elsewhere)).collect();
    assert!(used.len() > 60, "the host counts the use of every grant; there are only {}", used.len());
    let idle: Vec<&&str> = used.iter().filter(|line| count(line) == 0.0).collect();
    assert!(idle.is_empty(), "granted in spin.toml and not used:\n{idle:#?}");
    let refused: Vec<&str> = of("plaza_grants_refused_total{").filter(|line| count(line) > 0.0).collect();
    assert!(refused.is_empty(), "used and not granted in spin.toml:\n{refused:#?}");
}
