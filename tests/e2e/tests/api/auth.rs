//! Registration, login, refresh and logout.

use std::collections::HashSet;

use plaza_e2e::{check, forge};
use plaza_test_support::{Client, Credentials, Person, Tokens, User, World};
use serde_json::{Value, json};

async fn register(client: &Client, body: &Value) -> plaza_test_support::Answer {
    client.post("/api/auth/register").json(body).answer().await
}

async fn refresh(client: &Client, token: &str) -> plaza_test_support::Answer {
    client.post("/api/auth/refresh").json(&json!({ "refresh_token": token })).answer().await
}

#[tokio::test]
async fn a_registered_user_is_shown_to_themselves() {
    let world = World::shared();
    let credentials = Credentials::unique("anna");
    let mut body = credentials.registration();
    body["display_name"] = "안나 🌱".into();
    let user: Value = register(world.client(), &body).await.ok(201);
    check::has_members(&user, &["id", "username", "display_name", "profile_image_url", "created_at", "email"]);
    assert_eq!(user["username"], credentials.username.as_str());
    assert_eq!(user["email"], credentials.email.as_str());
    assert_eq!(user["display_name"], "안나 🌱");
    check::is_time(user["created_at"].as_str().unwrap_or_default());
    assert!(!user.to_string().contains(&credentials.password), "the password comes back: {user}");
    assert!(!user.to_string().contains("argon2"), "the hash comes back: {user}");
}

#[tokio::test]
async fn taken_names_are_taken_in_any_case() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let taken = [
        (anna.name().to_owned(), Credentials::unique("x").email, "username_taken"),
        (anna.name().to_uppercase(), Credentials::unique("x").email, "username_taken"),
        (Credentials::unique("x").username, anna.credentials.email.clone(), "email_taken"),
        (Credentials::unique("x").username, anna.credentials.email.to_uppercase(), "email_taken"),
    ];
    for (username, email, code) in taken {
        let body = json!({ "email": email, "username": username, "password": "correct horse battery" });
        register(world.client(), &body).await.problem(409, code);
    }
}

#[tokio::test]
async fn of_many_who_want_one_name_one_gets_it() {
    let world = World::shared();
    let name = Credentials::unique("race").username;
    let contenders = (0..8).map(async |_| {
        let email = Credentials::unique("race").email;
        let body = json!({ "email": email, "username": name, "password": "correct horse battery" });
        register(world.client(), &body).await
    });
    let answers = futures::future::join_all(contenders).await;
    let winners = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(winners, 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    for loser in answers.iter().filter(|answer| answer.status != 201) {
        loser.problem(409, "username_taken");
    }
}

#[tokio::test]
async fn each_wrong_field_of_a_registration_is_named() {
    let world = World::shared();
    let wrong: [(&str, Vec<Value>); 4] = [
        (
            "username",
            vec![
                json!(null),
                json!(7),
                json!(""),
                json!("ab"),
                json!("x".repeat(51)),
                json!("two words"),
                json!("안나안나"),
                json!("a@b.example"),
                json!("anna\u{0}"),
            ],
        ),
        (
            "email",
            vec![
                json!(null),
                json!(true),
                json!(""),
                json!("anna"),
                json!("@example.com"),
                json!("anna@"),
                json!("an na@example.com"),
                json!(format!("{}@example.com", "a".repeat(300))),
            ],
        ),
        (
            "password",
            vec![
                json!(null),
                json!(12_345_678),
                json!("short"),
                json!("x".repeat(129)),
                json!("password"),
                json!("12345678"),
                json!("Password1"),
            ],
        ),
        ("display_name", vec![json!(5), json!("x".repeat(51)), json!("a\nb"), json!("evil\u{202e}txt")]),
    ];
    for (field, values) in wrong {
        for value in values {
            let mut body = Credentials::unique("anna").registration();
            body[field] = value.clone();
            let problem = register(world.client(), &body).await.problem(422, "validation_failed");
            problem.field(field);
            assert_eq!(problem.errors.len(), 1, "only {field} = {value} is wrong: {problem:?}");
        }
    }
    let problem = register(world.client(), &json!({})).await.problem(422, "validation_failed");
    for field in ["username", "email", "password"] {
        problem.field(field);
    }
}

#[tokio::test]
async fn a_password_may_be_of_any_script_and_up_to_128_characters() {
    let world = World::shared();
    for password in ["비밀번호는 길어야 합니다".to_owned(), "🌱".repeat(128), " leading and trailing ".to_owned()]
    {
        let credentials = Credentials { password, ..Credentials::unique("anna") };
        credentials.register(world.client()).await;
        credentials.log_in(world.client()).await;
    }
}

#[tokio::test]
async fn every_form_of_login_opens_a_session() {
    let world = World::shared();
    let credentials = Credentials::unique("anna");
    let user = credentials.register(world.client()).await;
    let form = async |name: &str| -> Tokens {
        let fields = [("grant_type", "password"), ("username", name), ("password", &credentials.password)];
        world.client().post("/api/auth/login").form(&fields).answer().await.ok(200)
    };
    let sessions = [
        form(&credentials.username).await,
        form(&credentials.email).await,
        form(&credentials.email.to_uppercase()).await,
        form(&credentials.username.to_uppercase()).await,
        credentials.log_in(world.client()).await,
    ];
    let mut seen = HashSet::new();
    for tokens in sessions {
        assert_eq!(tokens.token_type, "bearer");
        assert!(tokens.expires_in > 0);
        assert!(
            seen.insert(tokens.access_token.clone()) && seen.insert(tokens.refresh_token.clone()),
            "sessions differ"
        );
        let header = forge::header(&tokens.access_token);
        assert_eq!(header["typ"], "at+jwt", "RFC 9068, section 2.1");
        assert!(header["kid"].is_string(), "{header}");
        let claims = forge::claims(&tokens.access_token);
        assert_eq!(claims["sub"], user.id.as_str());
        for claim in ["iss", "exp", "aud", "iat", "jti", "client_id"] {
            assert!(!claims[claim].is_null(), "RFC 9068, section 2.2 requires {claim}: {claims}");
        }
        let me: User = world.client().with_token(&tokens.access_token).get("/api/profile/me").answer().await.ok(200);
        assert_eq!(me.id, user.id);
    }
}

#[tokio::test]
async fn a_failed_login_does_not_tell_who_exists() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let nobody = Credentials::unique("nobody");
    let attempt = async |email: &str| {
        let body = json!({ "email": email, "password": "not the password" });
        world.client().post("/api/auth/login/json").json(&body).answer().await
    };
    let (known, unknown) = (attempt(&anna.credentials.email).await, attempt(&nobody.email).await);
    let (known, unknown) = (known.problem(401, "invalid_credentials"), unknown.problem(401, "invalid_credentials"));
    assert_eq!((known.kind, known.title, known.detail), (unknown.kind, unknown.title, unknown.detail));
    for name in [anna.name(), &nobody.username, &anna.credentials.email, &nobody.email] {
        let fields = [("username", name), ("password", "not the password")];
        world.client().post("/api/auth/login").form(&fields).answer().await.problem(401, "invalid_credentials");
    }
}

#[tokio::test]
async fn a_login_without_its_fields_names_them() {
    let world = World::shared();
    let answer = world.client().post("/api/auth/login/json").json(&json!({})).answer().await;
    let problem = answer.problem(422, "validation_failed");
    problem.field("email");
    problem.field("password");
    let problem = world.client().post("/api/auth/login").form(&[]).answer().await.problem(422, "validation_failed");
    problem.field("username");
    problem.field("password");
}

#[tokio::test]
async fn a_refresh_gives_a_new_pair_and_the_session_goes_on() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let mut tokens = anna.tokens.clone();
    for _ in 0..3 {
        let next: Tokens = refresh(world.client(), &tokens.refresh_token).await.ok(200);
        assert_ne!(next.refresh_token, tokens.refresh_token);
        assert_ne!(next.access_token, tokens.access_token);
        let me: User = world.client().with_token(&next.access_token).get("/api/profile/me").answer().await.ok(200);
        assert_eq!(me.id, anna.id());
        tokens = next;
    }
}

#[tokio::test]
async fn a_rotated_refresh_token_that_comes_back_ends_the_whole_family() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let other_device = anna.on_another_device().await;
    let second: Tokens = refresh(world.client(), &anna.tokens.refresh_token).await.ok(200);
    let third: Tokens = refresh(world.client(), &second.refresh_token).await.ok(200);

    refresh(world.client(), &anna.tokens.refresh_token).await.problem(401, "invalid_refresh_token");
    refresh(world.client(), &third.refresh_token).await.problem(401, "invalid_refresh_token");
    for token in [&anna.tokens.access_token, &second.access_token, &third.access_token] {
        world.client().with_token(token).get("/api/profile/me").answer().await.unauthorized();
    }
    let _: User = other_device.get("/api/profile/me").await;
}

#[tokio::test]
async fn of_two_refreshes_at_once_at_most_one_succeeds() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let attempts = (0..6).map(|_| refresh(world.client(), &anna.tokens.refresh_token));
    let answers = futures::future::join_all(attempts).await;
    let successes = answers.iter().filter(|answer| answer.status == 200).count();
    assert!(successes <= 1, "{successes} of one refresh token");
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.problem(401, "invalid_refresh_token");
    }
    // One of them was a reuse, so the session is over, whoever got its tokens and in whatever order all this was done.
    for success in answers.iter().filter(|answer| answer.status == 200) {
        let tokens: Tokens = success.read();
        world.client().with_token(&tokens.access_token).get("/api/profile/me").answer().await.unauthorized();
        refresh(world.client(), &tokens.refresh_token).await.problem(401, "invalid_refresh_token");
    }
}

#[tokio::test]
async fn a_refresh_token_that_is_none_is_refused() {
    let world = World::shared();
    let anna = world.person("anna").await;
    for token in ["", "nothing", "a.b.c", anna.tokens.access_token.as_str()] {
        let answer = refresh(world.client(), token).await;
        assert!(matches!(answer.status.as_u16(), 401 | 422), "{answer}");
    }
    let answer = world.client().post("/api/auth/refresh").json(&json!({})).answer().await;
    answer.problem(422, "validation_failed").field("refresh_token");
    let answer = world.client().post("/api/auth/refresh").json(&json!({ "refresh_token": 5 })).answer().await;
    answer.problem(422, "validation_failed").field("refresh_token");
}

async fn works(person: &Person) -> bool {
    let answer = person.client.get("/api/profile/me").answer().await;
    if answer.status != 200 {
        answer.unauthorized();
        let again = refresh(&person.client.anonymous(), &person.tokens.refresh_token).await;
        again.problem(401, "invalid_refresh_token");
    }
    answer.status == 200
}

#[tokio::test]
async fn a_logout_ends_this_session_at_once_and_no_other() {
    let world = World::shared();
    let phone = world.person("anna").await;
    let laptop = phone.on_another_device().await;
    let answer = phone.client.post("/api/auth/logout").answer().await;
    assert!(matches!(answer.status.as_u16(), 200 | 204), "{answer}");
    assert!(!works(&phone).await);
    assert!(works(&laptop).await);
}

#[tokio::test]
async fn a_logout_of_all_ends_every_session_of_this_user() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let laptop = anna.on_another_device().await;
    let answer = laptop.client.post("/api/auth/logout").json(&json!({ "all": true })).answer().await;
    assert!(matches!(answer.status.as_u16(), 200 | 204), "{answer}");
    assert!(!works(&anna).await);
    assert!(!works(&laptop).await);
    assert!(works(&ben).await);
    anna.credentials.log_in(world.client()).await;
}

#[tokio::test]
async fn a_logout_takes_only_a_truth_value_for_all() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let answer = anna.client.post("/api/auth/logout").json(&json!({ "all": "yes" })).answer().await;
    answer.problem(422, "validation_failed").field("all");
    assert!(works(&anna).await);
}
