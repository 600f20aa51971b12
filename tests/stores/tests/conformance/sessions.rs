//! The user context: sessions and their refresh tokens.

use plaza_test_stores::World;
use plaza_test_support::Tokens;
use serde_json::json;

use crate::{at_once, count};

pub(crate) async fn a_refresh_token_used_at_once_is_good_at_most_once(world: &World) {
    for _ in 0..3 {
        let anna = world.person("anna").await;
        let refresh = |token: &str| world.client().post("/api/auth/refresh").json(&json!({ "refresh_token": token }));
        let answers = at_once((0..4).map(|_| refresh(&anna.tokens.refresh_token))).await;
        let [good, _] = count(&answers, [200, 401]);
        assert!(good <= 1, "one of those who use a token at once gets the next");
        // Whoever came second has shown that the token is in two hands: the session is over for both.
        for answer in answers.iter().filter(|answer| answer.status == 200) {
            let next: Tokens = answer.read();
            refresh(&next.refresh_token).answer().await.problem(401, "invalid_refresh_token");
            anna.client.with_token(&next.access_token).get("/api/profile/me").answer().await.unauthorized();
        }
        anna.client.get("/api/profile/me").answer().await.unauthorized();
    }
}

pub(crate) async fn a_session_ends_once_however_often_it_is_told_to(world: &World) {
    let anna = world.person("anna").await;
    let answers = at_once((0..6).map(|_| anna.client.post("/api/auth/logout"))).await;
    count(&answers, [204, 401]);
    anna.client.get("/api/profile/me").answer().await.unauthorized();
    if let Some(mariadb) = world.mariadb() {
        let sql = "SELECT COUNT(*) FROM outbox WHERE type = 'plaza.user.SessionRevoked.v1'";
        let told = mariadb.sql("user", &format!("{sql} AND `key` = '{}'", anna.id()));
        assert_eq!(told[0][0], "1", "its end is told once");
    }
}

pub(crate) async fn all_sessions_end_while_others_begin(world: &World) {
    let anna = world.person("anna").await;
    let phone = anna.on_another_device().await;
    let all = anna.client.post("/api/auth/logout").json(&json!({ "all": true }));
    let login = || world.client().post("/api/auth/login/json").json(&anna.credentials.login());
    let answers = at_once([all, login(), login(), login()]).await;
    assert_eq!(count(&answers, [204, 200, 401])[0], 1);
    for person in [&anna, &phone] {
        person.client.get("/api/profile/me").answer().await.unauthorized();
    }
    let _ = login().answer().await.is(200);
}

pub(crate) async fn of_passwords_changed_at_once_one_stays(world: &World) {
    for _ in 0..2 {
        let anna = world.person("anna").await;
        let new: Vec<String> = (0..4).map(|n| format!("another horse {n}")).collect();
        let change = |new: &String| {
            let body = json!({ "current_password": anna.credentials.password, "new_password": new });
            anna.client.put("/api/auth/password").json(&body)
        };
        let answers = at_once(new.iter().map(change)).await;
        assert_eq!(count(&answers, [204, 403]), [1, 3], "only the first still knows the password");
        let good = answers.iter().position(|answer| answer.status == 204).unwrap_or_default();
        for (n, password) in new.iter().enumerate() {
            let login = json!({ "email": anna.credentials.email, "password": password });
            let answer = world.client().post("/api/auth/login/json").json(&login).answer().await;
            assert_eq!(answer.status, if n == good { 200 } else { 401 }, "{answer}");
        }
        let _ = anna.client.get("/api/profile/me").answer().await.is(200);
    }
}

/// Whoever logs in with the old password while it is changed is either too late, or thrown out.
pub(crate) async fn no_session_of_the_old_password_outlives_it(world: &World) {
    for _ in 0..3 {
        let anna = world.person("anna").await;
        let body = json!({ "current_password": anna.credentials.password, "new_password": "another horse" });
        let change = anna.client.put("/api/auth/password").json(&body);
        let login = || world.client().post("/api/auth/login/json").json(&anna.credentials.login());
        let answers = at_once([login(), change, login(), login(), login()]).await;
        assert_eq!(count(&answers, [204, 200, 401])[0], 1);
        for answer in answers.iter().filter(|answer| answer.status == 200) {
            let tokens: Tokens = answer.read();
            let old = anna.client.with_token(&tokens.access_token);
            old.get("/api/profile/me").answer().await.unauthorized();
        }
        let _ = anna.client.get("/api/profile/me").answer().await.is(200);
    }
}

pub(crate) async fn a_login_too_many_ends_the_session_that_was_not_used_for_longest(world: &World) {
    const SESSIONS_MAX: usize = 100;
    let anna = world.person("anna").await;
    let login = || world.client().post("/api/auth/login/json").json(&anna.credentials.login());
    let second: Tokens = login().answer().await.ok(200);
    for _ in 0..(SESSIONS_MAX - 1) / 9 {
        let answers = at_once((0..9).map(|_| login())).await;
        assert_eq!(count(&answers, [200]), [9]);
    }
    // Hers, the second and 99 more: one too many.
    anna.client.get("/api/profile/me").answer().await.unauthorized();
    let second = anna.client.with_token(&second.access_token);
    let page: plaza_test_support::Page<serde_json::Value> =
        second.get("/api/auth/sessions?limit=100").answer().await.ok(200);
    assert_eq!((page.items.len(), page.next_cursor), (SESSIONS_MAX, None));
}
