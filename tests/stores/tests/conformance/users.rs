//! The user context: accounts and profiles.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use plaza_test_stores::World;
use plaza_test_support::{Page, Person, User, unique};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{at_once, count};

const AT_ONCE: usize = 8;

/// In every script: composed and decomposed Hangul, letters with marks, four-byte emoji, one of several joined.
const NAMES: [&str; 7] = [
    "김민지",
    "\u{1100}\u{1175}\u{11b7}\u{1106}\u{1175}\u{11ab}\u{110c}\u{1175}",
    "Zoë Ångström",
    "🌱🌳",
    "👩‍👩‍👧‍👦 가족",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "' \" \\ ; -- /* %_!`",
];

async fn rename(person: &Person, name: &str) -> User {
    person.client.patch("/api/profile/me").json(&json!({ "display_name": name })).answer().await.ok(200)
}

async fn find(person: &Person, text: &str) -> Vec<User> {
    let call = person.client.get("/api/users/search").query(&[("q", text), ("limit", "100")]);
    call.answer().await.ok::<Page<User>>(200).items
}

async fn finds(person: &Person, text: &str, other: &Person) -> bool {
    find(person, text).await.iter().any(|user| user.id == other.id())
}

pub(crate) async fn names_and_addresses_are_taken_whatever_their_case(world: &World) {
    let name = unique("MinJi");
    let address = |name: &str| format!("{name}@example.com");
    let _ = world.registering(&name, &address(&name)).answer().await.is(201);
    let other = unique("other");
    let taken = world.registering(&name.to_lowercase(), &address(&other)).answer().await;
    taken.problem(409, "username_taken");
    let taken = world.registering(&other, &address(&name).to_uppercase()).answer().await;
    taken.problem(409, "email_taken");
    let _ = world.registering(&other, &address(&other)).answer().await.is(201);
}

pub(crate) async fn of_those_who_want_a_name_at_once_one_gets_it(world: &World) {
    for _ in 0..3 {
        let name = unique("wanted");
        let answers = at_once((0..AT_ONCE).map(|n| world.registering(&name, &format!("{name}-{n}@example.com")))).await;
        assert_eq!(count(&answers, [201, 409]), [1, AT_ONCE - 1]);
        let lost = answers.iter().filter(|answer| answer.status == 409);
        lost.for_each(|answer| drop(answer.problem(409, "username_taken")));
    }
}

pub(crate) async fn of_those_who_want_an_address_at_once_one_gets_it(world: &World) {
    for _ in 0..3 {
        let address = format!("{}@example.com", unique("wanted"));
        let answers = at_once((0..AT_ONCE).map(|_| world.registering(&unique("name"), &address))).await;
        assert_eq!(count(&answers, [201, 409]), [1, AT_ONCE - 1]);
        let lost = answers.iter().filter(|answer| answer.status == 409);
        lost.for_each(|answer| drop(answer.problem(409, "email_taken")));
    }
}

pub(crate) async fn a_login_takes_a_name_to_the_letter(world: &World) {
    let anna = world.person("Anna").await;
    let login = async |name: String| {
        let form = [("username", name.as_str()), ("password", &anna.credentials.password)];
        world.client().post("/api/auth/login").form(&form).answer().await
    };
    let (name, address) = (anna.name().to_owned(), anna.credentials.email.clone());
    for good in [name.clone(), name.to_uppercase(), address.clone(), address.to_uppercase()] {
        let _ = login(good).await.is(200);
    }
    // A space at the end makes another name, and so does a letter that only looks or sorts alike.
    let alike = |text: &str| text.replacen(['a', 'A'], "á", 1);
    for bad in [
        format!("{name} "),
        format!(" {name}"),
        format!("{address} "),
        alike(&name),
        alike(&address),
        format!("{name}\0"),
    ] {
        login(bad).await.problem(401, "invalid_credentials");
    }
}

pub(crate) async fn names_of_every_script_come_back_as_they_were_given(world: &World) {
    let (anna, ben) = world.two().await;
    for name in NAMES {
        assert_eq!(rename(&anna, name).await.display_name.as_deref(), Some(name));
        let own: User = anna.get("/api/profile/me").await;
        let seen: User = ben.get(format!("/api/profile/{}", anna.id())).await;
        let listed: Value = ben.get(format!("/api/users?user_ids={}", anna.id())).await;
        assert_eq!(listed["items"][0]["display_name"], name);
        for user in [&own, &seen] {
            assert_eq!(user.display_name.as_deref(), Some(name));
        }
        assert!(finds(&ben, name, &anna).await, "{name:?} is found");
    }
}

pub(crate) async fn the_longest_values_have_room(world: &World) {
    let anna = world.person("anna").await;
    for name in ["🌱".repeat(50), "가".repeat(50), "İ".repeat(50), "x".repeat(50)] {
        assert_eq!(rename(&anna, &name).await.display_name, Some(name.clone()));
        assert!(finds(&anna, &name, &anna).await, "{name:?} is found");
    }
    let too_long = json!({ "display_name": "🌱".repeat(51) });
    anna.client.patch("/api/profile/me").json(&too_long).answer().await.problem(422, "validation_failed");

    // 50 characters; 254 of them.
    let name = format!("{:x<50}", unique("long"));
    let domain = format!("{0}.{0}.{0}.co", "d".repeat(61));
    let address = format!("{:y<64}@{domain}", unique("long"));
    let address: String = address + &"m".repeat(254 - 64 - 1 - domain.len());
    assert_eq!((name.len(), address.len()), (50, 254));
    let _ = world.registering(&name, &address).answer().await.is(201);
    world.registering(&unique("other"), &address).answer().await.problem(409, "email_taken");
    let login = json!({ "email": address, "password": "correct horse battery" });
    let call = world.client().post("/api/auth/login/json").json(&login).header("user-agent", &"A".repeat(300));
    let _ = call.answer().await.is(200);
}

pub(crate) async fn signs_that_mean_something_to_sql_mean_themselves_in_a_search(world: &World) {
    let (anna, ben) = world.two().await;
    let mark = unique("s");
    for (mine, theirs) in
        [("100%", "100x"), ("a_b", "axb"), ("a\\b", "a\\\\b"), ("a!b", "ab!"), ("a%", "a_"), ("a'b", "a''b")]
    {
        let (mine, theirs) = (format!("{mark}{mine}"), format!("{mark}{theirs}"));
        rename(&anna, &format!("{mine} end")).await;
        rename(&ben, &format!("{theirs} end")).await;
        assert!(finds(&ben, &mine, &anna).await && !finds(&ben, &mine, &ben).await, "{mine:?} finds only itself");
        assert!(finds(&ben, &theirs, &ben).await && !finds(&ben, &theirs, &anna).await, "{theirs:?} finds only itself");
    }
    // The same in user names, which know only one such sign.
    let (first, second) = (unique("u_a"), unique("uxa"));
    for name in [&first, &second] {
        let _ = world.registering(name, &format!("{name}@example.com")).answer().await.is(201);
    }
    let found = find(&anna, "u_a").await;
    assert!(found.iter().any(|user| user.username == first) && found.iter().all(|user| user.username != second));
}

pub(crate) async fn composed_and_decomposed_names_are_different_names(world: &World) {
    let (anna, ben) = world.two().await;
    let mark = unique("n");
    let (composed, decomposed) = (format!("{mark}한"), format!("{mark}\u{1112}\u{1161}\u{11ab}"));
    rename(&anna, &composed).await;
    rename(&ben, &decomposed).await;
    assert!(finds(&ben, &composed, &anna).await && !finds(&ben, &composed, &ben).await);
    assert!(finds(&ben, &decomposed, &ben).await && !finds(&ben, &decomposed, &anna).await);
    // Nor are letters with and without marks, wide and narrow ones.
    rename(&anna, &format!("{mark}e")).await;
    for other in ["é", "ｅ", "e\u{301}"] {
        rename(&ben, &format!("{mark}{other}")).await;
        assert!(!finds(&ben, &format!("{mark}{other}"), &anna).await, "{other:?} is not e");
    }
}

pub(crate) async fn a_search_pages_through_equal_names(world: &World) {
    let anna = world.person("anna").await;
    let mark = unique("same");
    let mut expected = Vec::new();
    for _ in 0..7 {
        let twin = world.person("twin").await;
        rename(&twin, &mark).await;
        expected.push(twin.user.username);
    }
    expected.sort_unstable();
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page: Page<User> = anna.get(format!("/api/users/search?q={mark}&limit=2{cursor}")).await;
        found.extend(page.items.into_iter().map(|user| user.username));
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, expected);
}

pub(crate) async fn changes_of_a_profile_at_once_are_all_made(world: &World) {
    let anna = world.person("anna").await;
    let change = |n: usize| anna.client.patch("/api/profile/me").json(&json!({ "display_name": format!("name {n}") }));
    let answers = at_once((0..AT_ONCE).map(change)).await;
    assert_eq!(count(&answers, [200]), [AT_ONCE]);
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.read::<Value>()["display_name"], format!("name {n}"));
    }
    if let Some(mariadb) = world.mariadb() {
        // Nobody publishes here, so every event is still there: the last one says what the profile is now.
        let sql = format!("SELECT data FROM outbox WHERE `key` = '{}' ORDER BY id DESC LIMIT 1", anna.id());
        let newest = mariadb.sql("user", &sql)[0][0].clone();
        let profile: User = anna.get("/api/profile/me").await;
        let event: Value = serde_json::from_str(&newest.replace("\\\\", "\\")).expect("JSON");
        assert_eq!(event["display_name"].as_str(), profile.display_name.as_deref());
    }
}

pub(crate) async fn an_account_is_deleted_once_and_its_name_is_free(world: &World) {
    let anna = world.person("anna").await;
    let phone = anna.on_another_device().await;
    let _ = anna.client.post("/api/users/me/heartbeat").answer().await.is(204);
    let delete = |person: &Person| {
        person.client.delete("/api/profile/me").json(&json!({ "password": anna.credentials.password }))
    };
    let answers = at_once([delete(&anna), delete(&phone), delete(&anna), delete(&phone)]).await;
    // Whoever comes second knows a password of nobody, by a token of nobody.
    assert_eq!(count(&answers, [204, 401, 403])[0], 1);
    for person in [&anna, &phone] {
        person.client.get("/api/profile/me").answer().await.unauthorized();
    }
    let again = anna.credentials.register(world.client()).await;
    assert_ne!(again.id, anna.id());
    if let Some(mariadb) = world.mariadb() {
        let told = |kind: &str| {
            let sql =
                format!("SELECT COUNT(*) FROM outbox WHERE type = 'plaza.user.{kind}.v1' AND `key` = '{}'", anna.id());
            mariadb.sql("user", &sql)[0][0].clone()
        };
        assert_eq!((told("UserDeleted").as_str(), told("SessionRevoked").as_str()), ("1", "2"));
        assert_eq!(told("UserOnlineStatusChanged"), "2", "that she was there, and that she no longer is");
        let everything = [
            ("users", "id"),
            ("sessions", "user_id"),
            ("presences", "user_id"),
            ("presence_holds", "user_id"),
            ("idempotency_keys", "scope"),
        ];
        for (table, column) in everything {
            let left = mariadb.sql("user", &format!("SELECT COUNT(*) FROM {table} WHERE {column} = '{}'", anna.id()));
            assert_eq!(left[0][0], "0", "{table}");
        }
    }
}

pub(crate) async fn an_account_is_deleted_while_it_is_used(world: &World) {
    for _ in 0..3 {
        let anna = world.person("anna").await;
        let password = &anna.credentials.password;
        let new = json!({ "current_password": password, "new_password": "another horse" });
        let refresh = json!({ "refresh_token": anna.tokens.refresh_token });
        let answers = at_once([
            anna.client.patch("/api/profile/me").json(&json!({ "display_name": "still here" })),
            world.client().post("/api/auth/login/json").json(&anna.credentials.login()),
            anna.client.delete("/api/profile/me").json(&json!({ "password": password })),
            anna.client.put("/api/auth/password").json(&new),
            world.client().post("/api/auth/refresh").json(&refresh),
            anna.client.post("/api/auth/logout").json(&json!({ "all": true })),
        ])
        .await;
        count(&answers, [200, 204, 401, 403, 404]);
        if answers[2].status == 204 {
            anna.client.get("/api/profile/me").answer().await.unauthorized();
            for answer in [&answers[1], &answers[4]].into_iter().filter(|answer| answer.status == 200) {
                let tokens: plaza_test_support::Tokens = answer.read();
                let client = anna.client.with_token(&tokens.access_token);
                client.get("/api/profile/me").answer().await.unauthorized();
            }
        }
    }
}

pub(crate) async fn pictures_survive_byte_for_byte(world: &World) {
    let pictures: [&[u8]; 3] = [
        include_bytes!("../../../../libs/picture/tests/pictures/rotated.jpg"),
        include_bytes!("../../../../libs/picture/tests/pictures/largest-lossy.webp"),
        include_bytes!("../../../../libs/picture/tests/pictures/palette.png"),
    ];
    let anna = world.person("anna").await;
    let putting = |picture: &'static [u8]| anna.client.put("/api/profile/me/image").body("image/*", picture);
    for picture in pictures {
        let user: User = putting(picture).answer().await.ok(200);
        let url = user.profile_image_url.expect("an address");
        for size in [64, 256, 1024] {
            let answer = world.client().get(format!("{url}&size={size}")).answer().await.is(200);
            // The tag is the hash of what was to be stored.
            let hash = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&answer.body));
            assert_eq!(answer.header("etag"), format!("\"{hash}\""));
        }
    }
    // Whichever of those that come at once is the last: its three sizes belong together, and the profile names it.
    let answers = at_once(pictures.map(putting).into_iter().chain([anna.client.delete("/api/profile/me/image")])).await;
    count(&answers, [200, 204]);
    let me: User = anna.get("/api/profile/me").await;
    match me.profile_image_url {
        Some(url) => {
            for size in [64, 256, 1024] {
                let answer = world.client().get(format!("{url}&size={size}")).answer().await.is(200);
                assert!(
                    answer.header("cache-control").contains("immutable"),
                    "not the version of the profile: {answer}"
                );
            }
        }
        None => drop(
            world.client().get(format!("/api/profile/{}/image", anna.id())).answer().await.problem(404, "not_found"),
        ),
    }
}
