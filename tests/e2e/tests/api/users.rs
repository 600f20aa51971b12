//! Profiles, the look-up of many users, and the search.

use plaza_e2e::check;
use plaza_e2e::routes::NOBODY;
use plaza_test_support::{Credentials, Page, Person, User, World};
use serde_json::{Value, json};

async fn look_up(person: &Person, ids: &[&str]) -> Vec<User> {
    let answer = person.client.get("/api/users").query(&[("user_ids", &ids.join(","))]).answer().await;
    let body: Value = answer.ok(200);
    let items = body.get("items").unwrap_or(&body);
    serde_json::from_value(items.clone()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

async fn search(person: &Person, q: &str) -> Vec<String> {
    let page: Page<User> = person.client.get("/api/users/search").query(&[("q", q)]).answer().await.ok(200);
    assert!(page.items.iter().all(|user| user.email.is_none()), "an address is shown: {page:?}");
    page.items.into_iter().map(|user| user.id).collect()
}

#[tokio::test]
async fn the_own_profile_has_the_address_and_others_do_not() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let me: User = anna.get("/api/profile/me").await;
    assert_eq!(me, anna.user);
    assert_eq!(me.email.as_ref(), Some(&anna.credentials.email));

    let seen: Value = ben.get(format!("/api/profile/{}", anna.id())).await;
    check::has_members(&seen, &["id", "username", "display_name", "profile_image_url", "created_at"]);
    assert_eq!(seen["id"], anna.id());
    assert!(seen.get("email").is_none() && !seen.to_string().contains('@'), "{seen}");
    let self_seen: Value = anna.get(format!("/api/profile/{}", anna.id())).await;
    assert!(self_seen.get("email").is_none(), "the public profile is the same for everyone: {self_seen}");
}

#[tokio::test]
async fn a_profile_changes_where_it_is_told_to() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let patch = async |body: Value| anna.client.patch("/api/profile/me").json(&body).answer().await;
    let changed: User = patch(json!({ "display_name": "  안나  " })).await.ok(200);
    assert_eq!(changed.display_name.as_deref(), Some("안나"));
    assert_eq!(changed.username, anna.user.username);
    let seen: User = ben.get(format!("/api/profile/{}", anna.id())).await;
    assert_eq!(seen.display_name.as_deref(), Some("안나"));
    let unchanged: User = patch(json!({})).await.ok(200);
    assert_eq!(unchanged, changed);

    for value in [json!(5), json!("   "), json!("x".repeat(51)), json!("a\nb"), json!("evil\u{202e}txt")] {
        patch(json!({ "display_name": value })).await.problem(422, "validation_failed").field("display_name");
    }
    let me: User = anna.get("/api/profile/me").await;
    assert_eq!(me, changed, "a refused change changes nothing");
}

#[tokio::test]
async fn whatever_markup_a_name_has_comes_back_as_text() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let name = r#"<img src=x onerror="alert('1')"> & \ "#.trim();
    let changed: User =
        anna.client.patch("/api/profile/me").json(&json!({ "display_name": name })).answer().await.ok(200);
    assert_eq!(changed.display_name.as_deref(), Some(name));
}

#[tokio::test]
async fn a_profile_of_nobody_is_not_found() {
    let world = World::shared();
    let anna = world.person("anna").await;
    for id in [NOBODY, "0", "nonsense", "%00", "..%2fme", "%F0%9F%8C%B1", "' or 1=1 --"] {
        anna.client.get(format!("/api/profile/{id}")).answer().await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn many_users_are_looked_up_at_once() {
    let world = World::shared();
    let (anna, ben, cleo) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cleo"));
    let mut found: Vec<String> = look_up(&anna, &[ben.id(), NOBODY, cleo.id(), ben.id(), anna.id()])
        .await
        .into_iter()
        .map(|user| {
            assert_eq!(user.email, None);
            user.id
        })
        .collect();
    found.sort_unstable();
    let mut expected = vec![anna.id().to_owned(), ben.id().to_owned(), cleo.id().to_owned()];
    expected.sort_unstable();
    assert_eq!(found, expected, "each once, unknown ones left out");
    assert!(look_up(&anna, &[NOBODY]).await.is_empty());
    assert!(look_up(&anna, &[NOBODY; 100]).await.is_empty());
}

#[tokio::test]
async fn a_look_up_without_users_or_of_too_many_is_refused() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let too_many: Vec<String> = (0..101).map(|n| format!("{}{n:012x}", &NOBODY[..24])).collect();
    let too_many = too_many.join(",");
    for ids in [too_many.as_str(), ""] {
        let answer = anna.client.get("/api/users").query(&[("user_ids", ids)]).answer().await;
        answer.problem(422, "validation_failed").field("user_ids");
    }
    anna.client.get("/api/users").answer().await.problem(422, "validation_failed").field("user_ids");
}

#[tokio::test]
async fn the_search_finds_names_by_their_beginning_and_addresses_as_a_whole() {
    let world = World::shared();
    let credentials = Credentials::unique("Findable");
    let mut body = credentials.registration();
    let display_name = format!("표시 {}", &credentials.username[9..]);
    body["display_name"] = display_name.as_str().into();
    let target: User = world.client().post("/api/auth/register").json(&body).answer().await.ok(201);
    let anna = world.person("anna").await;

    for q in [
        credentials.username.as_str(),
        &credentials.username[..credentials.username.len() - 1],
        &credentials.username.to_lowercase(),
        &credentials.email,
        &credentials.email.to_uppercase(),
        &display_name,
    ] {
        assert!(search(&anna, q).await.contains(&target.id), "not found by {q:?}");
    }
    for q in [
        &credentials.username[1..],
        &credentials.email[..credentials.email.len() - 1],
        "%%",
        "__",
        "*a",
        "Findable%",
        "' or '1'='1",
        "\" or 1=1 --",
        "Findable*",
        "NEAR(a b)",
    ] {
        assert!(!search(&anna, q).await.contains(&target.id), "found by {q:?}");
    }
}

#[tokio::test]
async fn a_search_by_too_little_or_with_an_unreasonable_limit_is_refused() {
    let world = World::shared();
    let anna = world.person("anna").await;
    for path in ["/api/users/search", "/api/users/search?q=", "/api/users/search?q=a", "/api/users/search?q=%20%20a"] {
        anna.client.get(path).answer().await.problem(422, "validation_failed").field("q");
    }
    let of_two = "/api/users/search?q=%EC%95%88%EB%82%98";
    let _: Page<User> = anna.get(of_two).await;
    for limit in ["0", "101", "-1", "many", "1.5", "99999999999999999999"] {
        let answer = anna.client.get(format!("{of_two}&limit={limit}")).answer().await;
        answer.problem(422, "validation_failed").field("limit");
    }
}
