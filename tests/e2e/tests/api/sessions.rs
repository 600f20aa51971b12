//! The password, and the sessions that are open.

use plaza_e2e::check;
use plaza_e2e::routes::NOBODY;
use plaza_test_support::{Answer, Credentials, PATIENCE, Page, Person, Stream, World};
use serde_json::{Value, json};

async fn change_password(person: &Person, current: &str, new: &str) -> Answer {
    let body = json!({ "current_password": current, "new_password": new });
    person.client.put("/api/auth/password").json(&body).answer().await
}

async fn sessions(person: &Person) -> Vec<Value> {
    let page: Page<Value> = person.get("/api/auth/sessions").await;
    page.items
}

async fn session_id(person: &Person) -> String {
    let sessions = sessions(person).await;
    let current = sessions.iter().find(|session| session["current"] == true).expect("the own session is listed");
    current["id"].as_str().expect("an id").to_owned()
}

async fn is_over(person: &Person) {
    person.client.get("/api/profile/me").answer().await.unauthorized();
    let body = json!({ "refresh_token": person.tokens.refresh_token });
    let refresh = person.client.anonymous().post("/api/auth/refresh").json(&body);
    refresh.answer().await.problem(401, "invalid_refresh_token");
}

async fn goes_on(person: &Person) {
    let _: Value = person.get("/api/profile/me").await;
}

async fn ends(stream: &mut Stream) {
    let events = stream.ended(PATIENCE).await;
    assert_eq!(events.last().map(|event| event.event.as_str()), Some("end"), "{events:?}");
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions_and_their_streams() {
    let world = World::shared();
    let phone = world.person("anna").await;
    let laptop = phone.on_another_device().await;
    let ben = world.person("ben").await;
    let mut ending = laptop.stream("/api/stream").await;
    let mut staying = phone.stream("/api/stream").await;

    let new = "even more correct horses";
    let _ = change_password(&phone, &phone.credentials.password, new).await.is(204);
    ends(&mut ending).await;
    is_over(&laptop).await;
    goes_on(&phone).await;
    let room = phone.direct_room(&ben).await;
    let message = ben.say(&room, "still there?").await;
    let event = staying.find("the message", PATIENCE, |event| event.event == "MessageSent").await;
    assert_eq!(event.json()["id"], message.id.as_str());

    let old = world.client().post("/api/auth/login/json").json(&phone.credentials.login());
    old.answer().await.problem(401, "invalid_credentials");
    let credentials = Credentials { password: new.to_owned(), ..phone.credentials.clone() };
    credentials.log_in(world.client()).await;
}

#[tokio::test]
async fn a_wrong_password_changes_nothing_and_ends_no_session() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let laptop = anna.on_another_device().await;
    for wrong in ["", "not the password", &anna.credentials.password.to_uppercase(), &"x".repeat(10_000)] {
        let answer = change_password(&anna, wrong, "even more correct horses").await;
        answer.problem(403, "wrong_password");
    }
    goes_on(&anna).await;
    goes_on(&laptop).await;
    anna.credentials.log_in(world.client()).await;
}

#[tokio::test]
async fn a_new_password_follows_the_rules_of_a_registration() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let own = [anna.credentials.username.clone(), anna.credentials.email.to_uppercase()];
    let bad = [json!(null), json!(7), json!("short"), json!("x".repeat(129)), json!("Password1")];
    for new in bad.into_iter().chain(own.map(Value::from)) {
        let body = json!({ "current_password": anna.credentials.password, "new_password": new });
        let answer = anna.client.put("/api/auth/password").json(&body).answer().await;
        answer.problem(422, "validation_failed").field("new_password");
    }
    let answer = anna.client.put("/api/auth/password").json(&json!({})).answer().await;
    let problem = answer.problem(422, "validation_failed");
    problem.field("current_password");
    problem.field("new_password");
    anna.credentials.log_in(world.client()).await;
}

#[tokio::test]
async fn sessions_are_listed_with_their_devices_the_newest_first() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let log_in = |agent: &str| {
        let call = world.client().post("/api/auth/login/json").json(&anna.credentials.login());
        call.header("user-agent", agent).answer()
    };
    let _ = log_in("Plaza/1.0 (iPhone)").await.is(200);
    let _ = log_in(&"long ".repeat(100)).await.is(200);

    let listed = sessions(&anna).await;
    assert_eq!(listed.len(), 3, "{listed:?}");
    for session in &listed {
        check::has_members(session, &["id", "device", "created_at", "last_used_at", "current"]);
        check::is_time(session["created_at"].as_str().unwrap_or_default());
        check::is_time(session["last_used_at"].as_str().unwrap_or_default());
    }
    let current: Vec<bool> = listed.iter().map(|session| session["current"] == true).collect();
    assert_eq!(current, [false, false, true], "the own one began first");
    assert_eq!(listed[0]["device"].as_str().map(|device| device.chars().count()), Some(200));
    assert_eq!(listed[1]["device"], "Plaza/1.0 (iPhone)");

    let first: Page<Value> = anna.get("/api/auth/sessions?limit=2").await;
    let rest = format!("/api/auth/sessions?limit=2&cursor={}", first.next_cursor.as_deref().expect("there is more"));
    let rest: Page<Value> = anna.get(rest).await;
    assert_eq!([first.items, rest.items].concat(), listed);
    assert_eq!(rest.next_cursor, None);
}

#[tokio::test]
async fn a_revoked_session_ends_at_once_with_its_streams_and_is_listed_no_more() {
    let world = World::shared();
    let phone = world.person("anna").await;
    let lost = phone.on_another_device().await;
    let (own, other) = (session_id(&phone).await, session_id(&lost).await);
    let mut stream = lost.stream("/api/stream").await;

    let revoke = |id: &str| phone.client.delete(format!("/api/auth/sessions/{id}")).answer();
    let _ = revoke(&other).await.is(204);
    ends(&mut stream).await;
    is_over(&lost).await;
    goes_on(&phone).await;
    assert_eq!(sessions(&phone).await.len(), 1);
    revoke(&other).await.problem(404, "not_found");

    let _ = revoke(&own).await.is(204);
    is_over(&phone).await;
}

#[tokio::test]
async fn the_session_of_somebody_else_is_not_there() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let bens = session_id(&ben).await;
    for id in [bens.as_str(), NOBODY, "0", "nonsense", "%00", "' or 1=1 --"] {
        anna.client.delete(format!("/api/auth/sessions/{id}")).answer().await.problem(404, "not_found");
    }
    goes_on(&ben).await;
}
