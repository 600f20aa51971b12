//! `Idempotency-Key`, in every context that has changes.

use plaza_test_stores::World;
use plaza_test_support::{Answer, Call, Credentials, FriendRequest, Message, Room, Tokens, User, unique};
use serde_json::{Value, json};

use crate::at_once;

/// The most changes until old keys are gone: each removes some with a chance of one in eight.
const CHANGES_MAX: usize = 400;

fn keyed(call: Call, key: &str) -> Call {
    call.header("idempotency-key", key)
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == "true"
}

/// Makes the call twice with one key, and gives its only answer.
async fn twice(call: impl Fn() -> Call, status: u16) -> Answer {
    let key = unique("key");
    let first = keyed(call(), &key).answer().await.is(status);
    let second = keyed(call(), &key).answer().await.is(status);
    assert!(!is_replayed(&first) && is_replayed(&second), "{first}\n{second}");
    assert_eq!(first.body, second.body);
    assert_eq!(first.header("content-type"), second.header("content-type"));
    first
}

pub(crate) async fn a_repeat_gets_the_first_answer_and_changes_nothing(world: &World) {
    let (anna, ben) = world.two().await;
    let asking = || anna.client.post("/api/friends/request").json(&json!({ "target_user_id": ben.id() }));
    let asked: FriendRequest = twice(asking, 201).await.read();
    let accepting = || ben.client.post(format!("/api/friends/requests/{}/accept", asked.id));
    let accepted: FriendRequest = twice(accepting, 200).await.read();
    assert_eq!(accepted.status, "accepted");
    let blocking = || anna.client.post("/api/friends/blocks").json(&json!({ "user_id": ben.id() }));
    let blocked: Value = twice(blocking, 201).await.read();
    assert_eq!(blocked["user"]["id"], ben.id());
    let _ = anna.client.delete(format!("/api/friends/blocks/{}", ben.id())).answer().await.is(204);

    let body = json!({ "room_type": "group", "participant_ids": [ben.id()], "name": "one" });
    let room: Room = twice(|| anna.client.post("/api/chat-rooms").json(&body), 201).await.read();
    let sent: Message = twice(|| anna.sending(&room.id, "once", None), 201).await.read();
    assert_eq!(sent.seq, 1);
    assert_eq!(anna.say(&room, "and then").await.seq, 2);
    let rooms: Vec<Room> = anna.all("/api/chat-rooms?x=").await;
    assert_eq!(rooms.len(), 1);
}

pub(crate) async fn a_registration_may_be_repeated(world: &World) {
    let new = Credentials::unique("new");
    let registering = |body: &Value| world.client().post("/api/auth/register").json(body);
    let user: User = twice(|| registering(&new.registration()), 201).await.read();
    assert_eq!(user.username, new.username);
    // Without its key, or with another, it is somebody else who wants the name.
    registering(&new.registration()).answer().await.problem(409, "username_taken");
    keyed(registering(&new.registration()), &unique("key")).answer().await.problem(409, "username_taken");
}

pub(crate) async fn a_refresh_whose_answer_was_lost_may_be_repeated(world: &World) {
    let anna = world.person("anna").await;
    let refreshing = |token: &str| world.client().post("/api/auth/refresh").json(&json!({ "refresh_token": token }));
    let next: Tokens = twice(|| refreshing(&anna.tokens.refresh_token), 200).await.read();
    let client = anna.client.with_token(&next.access_token);
    let _: User = client.get("/api/profile/me").answer().await.ok(200);
    let last: Tokens = refreshing(&next.refresh_token).answer().await.ok(200);
    // Whoever has only the token, and not the key that it was used with, is a thief.
    keyed(refreshing(&next.refresh_token), &unique("key")).answer().await.problem(401, "invalid_refresh_token");
    client.get("/api/profile/me").answer().await.unauthorized();
    refreshing(&last.refresh_token).answer().await.problem(401, "invalid_refresh_token");
}

pub(crate) async fn a_login_may_be_repeated_and_its_answer_is_nowhere_to_be_read(world: &World) {
    let anna = world.person("anna").await;
    let login = || world.client().post("/api/auth/login/json").json(&anna.credentials.login());
    let answer = twice(login, 200).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let tokens: Tokens = answer.read();
    let _: User = anna.client.with_token(&tokens.access_token).get("/api/profile/me").answer().await.ok(200);
    if let Some(mariadb) = world.mariadb() {
        let sql = format!("SELECT answer FROM idempotency_keys WHERE scope = '{}'", anna.id());
        let stored = mariadb.sql("user", &sql);
        assert_eq!(stored.len(), 1);
        assert!(!stored[0][0].contains("bearer") && stored[0][0].len() > answer.body.len(), "{stored:?}");
    }
}

pub(crate) async fn a_key_stands_for_one_request(world: &World) {
    let (anna, ben) = world.two().await;
    let room = anna.group("room", &[&ben]).await;
    let other = anna.group("other", &[&ben]).await;
    let key = unique("key");
    let first: Message = keyed(anna.sending(&room.id, "this", None), &key).answer().await.ok(201);
    for call in [
        anna.sending(&room.id, "that", None),
        anna.sending(&other.id, "this", None),
        anna.client.post("/api/chat-rooms").json(&json!({ "room_type": "group", "participant_ids": [ben.id()] })),
    ] {
        keyed(call, &key).answer().await.problem(422, "idempotency_key_reused");
    }
    // It is its caller's: another one's is another key.
    let bens: Message = keyed(ben.sending(&room.id, "this", None), &key).answer().await.ok(201);
    assert_eq!((first.seq, bens.seq), (1, 2));
    // Nobody registers with the key of somebody else's registration, not even with another password for the same name.
    let (one, registering) = (Credentials::unique("one"), world.client().post("/api/auth/register"));
    let _ = keyed(registering.json(&one.registration()), &key).answer().await.is(201);
    let mut other = one.registration();
    other["password"] = "another horse battery".into();
    let answer = keyed(world.client().post("/api/auth/register").json(&other), &key).answer().await;
    answer.problem(422, "idempotency_key_reused");
}

pub(crate) async fn a_key_has_a_form(world: &World) {
    let (anna, ben) = world.two().await;
    let room = anna.group("room", &[&ben]).await;
    let long = "k".repeat(256);
    let calls = || {
        [
            anna.sending(&room.id, "this", None),
            anna.client.post("/api/friends/request").json(&json!({ "target_user_id": ben.id() })),
            anna.client.post("/api/stream/ticket"),
            anna.client.post("/api/auth/logout"),
            world.client().post("/api/auth/login/json").json(&anna.credentials.login()),
            world.client().post("/api/auth/refresh").json(&json!({ "refresh_token": anna.tokens.refresh_token })),
            world.client().post("/api/auth/register").json(&Credentials::unique("x").registration()),
        ]
    };
    for key in ["", "two words", &long] {
        for call in calls() {
            keyed(call, key).answer().await.problem(400, "invalid_idempotency_key");
        }
    }
    assert_eq!(anna.all_messages(&room.id).await.len(), 0, "nothing was done");
    let _: Tokens = anna.credentials.log_in(world.client()).await;
}

pub(crate) async fn of_repeats_at_once_one_is_made(world: &World) {
    let (anna, ben) = world.two().await;
    let room = anna.group("room", &[&ben]).await;
    let body = json!({ "room_type": "group", "participant_ids": [ben.id()], "name": "another" });
    let new = Credentials::unique("new");
    let calls: [&dyn Fn() -> Call; 5] = [
        &|| anna.sending(&room.id, "once", None),
        &|| anna.client.post("/api/chat-rooms").json(&body),
        &|| anna.client.post("/api/friends/request").json(&json!({ "target_user_id": ben.id() })),
        &|| world.client().post("/api/auth/register").json(&new.registration()),
        &|| world.client().post("/api/auth/refresh").json(&json!({ "refresh_token": ben.tokens.refresh_token })),
    ];
    for call in calls {
        let key = unique("key");
        let answers = at_once((0..6).map(|_| keyed(call(), &key))).await;
        let made = answers.iter().filter(|answer| answer.status.is_success() && !is_replayed(answer)).count();
        assert_eq!(made, 1, "{answers:?}");
        assert!(answers.iter().all(|answer| answer.body == answers[0].body), "{answers:?}");
    }
    let next: Tokens = ben.credentials.log_in(world.client()).await;
    let _: User = ben.client.with_token(&next.access_token).get("/api/profile/me").answer().await.ok(200);
    assert_eq!(anna.all_messages(&room.id).await.len(), 1);
    let rooms: Vec<Room> = anna.all("/api/chat-rooms?x=").await;
    assert_eq!(rooms.len(), 2);
}

pub(crate) async fn a_refusal_may_be_tried_again_with_its_key(world: &World) {
    let (anna, ben) = world.two().await;
    let asking = || anna.client.post("/api/friends/request").json(&json!({ "target_user_id": ben.id() }));
    let first: FriendRequest = asking().answer().await.ok(201);
    let key = unique("key");
    keyed(asking(), &key).answer().await.problem(409, "request_exists");
    let reject = ben.client.post(format!("/api/friends/requests/{}/reject", first.id));
    let _ = reject.answer().await.is(200);
    let second: FriendRequest = keyed(asking(), &key).answer().await.ok(201);
    assert_ne!(first.id, second.id);
}

/// Where time can be turned back: what is a day old is forgotten, and goes.
pub(crate) async fn a_key_is_kept_for_a_day(world: &World) {
    let Some(mariadb) = world.mariadb() else { return };
    let (anna, ben) = world.two().await;
    let room = anna.group("room", &[&ben]).await;
    let (old, young) = (unique("key"), unique("key"));
    for key in [&old, &young] {
        let _ = keyed(anna.sending(&room.id, "this", None), key).answer().await.is(201);
    }
    let of = |person: &plaza_test_support::Person| format!("FROM idempotency_keys WHERE scope = '{}'", person.id());
    let count = |person| mariadb.sql("chat", &format!("SELECT COUNT(*) {}", of(person)))[0][0].clone();
    let age = |hours: u32| {
        let back = format!("created_at = created_at - {hours} * 3600 * 1000");
        mariadb.sql("chat", &format!("UPDATE idempotency_keys SET {back} WHERE scope = '{}'", anna.id()));
    };
    age(23);
    let again = keyed(anna.sending(&room.id, "this", None), &young).answer().await.is(201);
    assert!(is_replayed(&again));
    assert_eq!(count(&anna), "2");
    age(2);
    let anew = keyed(anna.sending(&room.id, "this", None), &old).answer().await.is(201);
    assert!(!is_replayed(&anew), "{anew}");
    assert_eq!(anew.read::<Message>().seq, 3);
    age(25);
    // From here on any change may take them away, also one of another test.
    for _ in 0..CHANGES_MAX {
        let _ = keyed(ben.sending(&room.id, "that", None), &unique("key")).answer().await.is(201);
        if count(&anna) == "0" {
            return;
        }
    }
    panic!("old keys do not go: {}", count(&anna));
}
