//! What somebody tries who means harm (OWASP API Security Top 10, RFC 8725): none of it does anything, and none of it is a
//! fault of the server's.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use plaza_e2e::{forge, routes};
use plaza_test_support::{Credentials, Message, Notification, Person, Plaza, Room, World, eventually};
use serde_json::{Value, json};

/// Texts that mean something to a database, a shell, a template, a path, a header or a terminal. Here they mean themselves.
const HOSTILE: [&str; 18] = [
    "' OR '1'='1",
    "'; DROP TABLE users; --",
    "\" OR \"\"=\"",
    "1 UNION SELECT password_hash FROM users",
    "%",
    "_",
    "\\",
    "`",
    "*/ SELECT 1 /*",
    "../../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "$(id)",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "a\r\nSet-Cookie: stolen=1",
    "a\u{0}b",
    "\u{1b}[2J",
    "\u{202e}txt.exe",
];

/// Every parameter that some route reads.
const PARAMETERS: [&str; 14] = [
    "limit",
    "cursor",
    "q",
    "before",
    "after",
    "around",
    "user_ids",
    "direction",
    "unread",
    "emoji",
    "room_id",
    "size",
    "ticket",
    "pass",
];

#[tokio::test]
async fn fields_that_are_not_the_clients_to_set_are_not_set() {
    let world = World::shared();
    let ben = world.person("ben").await;
    let mut registration = Credentials::unique("mallory").registration();
    for (field, value) in [
        ("id", json!(ben.id())),
        ("created_at", json!("2001-01-01T00:00:00.000Z")),
        ("roles", json!(["operator"])),
        ("profile_image_url", json!("https://evil.example/x")),
        ("password_hash", json!("x")),
    ] {
        registration[field] = value;
    }
    let made: Value = world.client().post("/api/auth/register").json(&registration).answer().await.ok(201);
    assert_ne!(made["id"], ben.id());
    assert!(made["created_at"].as_str().is_some_and(|at| at > "2020"), "{made}");
    assert!(made["profile_image_url"].is_null(), "{made}");

    let anna = world.person("anna").await;
    let claims = forge::claims(&anna.tokens.access_token);
    assert!(claims.get("roles").is_none_or(|roles| roles == &json!([])), "{claims}");
    let wanted = json!({
        "display_name": "Anna", "id": ben.id(), "username": "root", "email": "root@example.com",
        "created_at": "2001-01-01T00:00:00.000Z", "roles": ["operator"], "password_hash": "x",
    });
    let changed: Value = anna.client.patch("/api/profile/me").json(&wanted).answer().await.ok(200);
    let expected = json!([anna.id(), anna.user.username, anna.credentials.email, anna.user.created_at]);
    assert_eq!(json!([changed["id"], changed["username"], changed["email"], changed["created_at"]]), expected);

    let body = json!({
        "room_type": "group", "name": "ours", "participant_ids": [ben.id()], "id": ben.id(), "owner_id": ben.id(),
        "created_at": "2001-01-01T00:00:00.000Z", "last_seq": 99, "unread_count": 99,
    });
    let room: Room = anna.create_room(&body).await.ok(201);
    assert_eq!((room.owner_id.as_deref(), room.unread_count), (Some(anna.id()), 0));
    assert_ne!(room.id, ben.id());
    let body = json!({
        "content": "hello", "id": ben.id(), "seq": 99, "user_id": ben.id(), "username": ben.name(), "deleted": true,
        "created_at": "2001-01-01T00:00:00.000Z", "edited_at": "2001-01-01T00:00:00.000Z", "room_id": ben.id(),
        "reactions": [{ "emoji": "👍", "user_ids": [ben.id()] }],
    });
    let path = format!("/api/messages/{}", room.id);
    let said: Message = anna.client.post(path).json(&body).answer().await.ok(201);
    assert_eq!((said.seq, said.user_id.as_str(), said.username.as_str()), (1, anna.id(), anna.name()));
    assert_eq!((said.deleted, said.edited_at, said.room_id, said.reactions), (false, None, room.id, Vec::new()));
    assert_ne!(said.id, ben.id());
}

/// Ids near a known one: what a client would try that takes ids for numbers.
fn neighbours(id: &str) -> Vec<String> {
    let number = u128::from_str_radix(&id.replace('-', ""), 16).expect("an id is hexadecimal");
    let near = [1, 2, 256, 1 << 64].into_iter().flat_map(|step: u128| [number + step, number - step]);
    near.map(|number| {
        let hex = format!("{number:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    })
    .collect()
}

#[tokio::test]
async fn what_belongs_to_others_cannot_be_had_by_its_id() {
    let world = World::shared();
    let (anna, ben) = world.friends("anna", "ben").await;
    let mallory = world.person("mallory").await;
    let theirs = anna.direct_room(&ben).await;
    let secret = anna.say(&theirs, "between us").await;
    let mine = mallory.group("mine", &[&anna]).await;
    for path in [
        format!("/api/chat-rooms/{}", theirs.id),
        format!("/api/messages/{}", theirs.id),
        // By way of a room that is one's own.
        format!("/api/messages/{}/{}", mine.id, secret.id),
        format!("/api/messages/{}/{}", theirs.id, secret.id),
    ] {
        mallory.client.get(path).answer().await.problem(404, "not_found");
    }
    for around in [&secret.id, "1"] {
        let answer = mallory.client.get(format!("/api/messages/{}?around={around}", theirs.id)).answer().await;
        answer.problem(404, "not_found");
    }
    let answer = mallory.client.get(format!("/api/messages/{}?around={}", mine.id, secret.id)).answer().await;
    assert_eq!(answer.status, 422, "{answer}");
    for id in neighbours(&mine.id) {
        mallory.client.get(format!("/api/chat-rooms/{id}")).answer().await.problem(404, "not_found");
    }
    for id in neighbours(mallory.id()) {
        mallory.client.get(format!("/api/profile/{id}")).answer().await.problem(404, "not_found");
    }

    let told: Notification = eventually(plaza_test_support::PATIENCE, "ben is told", async || {
        let all: Vec<Notification> = ben.all("/api/notifications").await;
        all.into_iter().find(|told| told.kind == "message")
    })
    .await;
    let body = json!({ "ids": [told.id] });
    let answer = mallory.client.post("/api/notifications/read").json(&body).answer().await;
    assert!(!answer.status.is_server_error(), "{answer}");
    let still: Vec<Notification> = ben.all("/api/notifications?unread=true").await;
    assert!(still.iter().any(|unread| unread.id == told.id), "somebody else marked it as read");
}

#[tokio::test]
async fn hostile_words_mean_themselves_wherever_they_stand() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let room = anna.group("ours", &[&ben]).await;
    for words in HOSTILE {
        // In the path.
        let segment: String = words
            .bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect();
        for operation in routes::operations().iter().filter(|operation| operation.route.contains('{')) {
            let path = operation.path().replace(routes::NOBODY, &segment);
            let answer = anna.client.call(operation.method.clone(), path).json(&operation.body()).answer().await;
            assert!(answer.status.is_client_error(), "{words:?}: {answer}");
        }
        // In the query.
        for path in ["/api/users/search?q=ab", "/api/users", "/api/friends/requests", "/api/notifications"] {
            for parameter in PARAMETERS {
                let answer = anna.client.get(path).query(&[(parameter, words)]).answer().await;
                assert!(answer.status == 200 || answer.status.is_client_error(), "{parameter}={words:?}: {answer}");
                assert!(!answer.headers.contains_key("set-cookie"), "{parameter}={words:?}: {answer}");
            }
        }
        // In what is said, as long as people can read it.
        let answer = anna.sending(&room.id, words, None).answer().await;
        if words.chars().any(|c| c.is_control() && c != '\r' && c != '\n') {
            answer.problem(422, "validation_failed");
        } else {
            let said: Message = answer.ok(201);
            assert_eq!(said.content.as_deref(), Some(words));
        }
        // As a name.
        let answer = anna.client.patch("/api/profile/me").json(&json!({ "display_name": words })).answer().await;
        let has_hidden = words.chars().any(|c| c.is_control() || c == '\u{202e}');
        assert_eq!(answer.status, if has_hidden { 422 } else { 200 }, "{words:?}: {answer}");
        // As who logs in.
        let login = json!({ "email": words, "password": words });
        let answer = world.client().post("/api/auth/login/json").json(&login).answer().await;
        assert!([401, 422].contains(&answer.status.as_u16()), "{words:?}: {answer}");
    }
    let me: Value = anna.get("/api/profile/me").await;
    assert_eq!(me["id"], anna.id(), "everything is still there");
}

#[tokio::test]
async fn deep_and_strange_json_is_refused_in_words() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let room = anna.group("ours", &[&ben]).await;
    let path = format!("/api/messages/{}", room.id);
    for (depth, open, close) in [(127, "[", "]"), (5_000, "[", "]"), (5_000, "{\"a\":", "}")] {
        let inner = if open == "[" { "" } else { "1" };
        let body = format!("{{\"content\": {}{inner}{}}}", open.repeat(depth), close.repeat(depth));
        let answer = anna.client.post(path.clone()).body("application/json", body).answer().await;
        assert!([400, 422].contains(&answer.status.as_u16()), "{depth} of {open}: {answer}");
    }
    for body in [
        r#"{"content": "\ud800"}"#,
        r#"{"content": 1e999}"#,
        r#"{"content": "x", "reply_to": 18446744073709551616}"#,
        r#"{"content": null}"#,
        r#"{"content": {"$gt": ""}}"#,
        r#"{"content": ["x"]}"#,
        r#"{"content": true}"#,
        "{\"content\": \"\u{0}\"}",
        "\u{feff}{\"content\": \"x\"}",
        "nul",
        "",
    ] {
        let answer = anna.client.post(path.clone()).body("application/json", body).answer().await;
        assert!([400, 422].contains(&answer.status.as_u16()), "{body:?}: {answer}");
    }
    let invalid_utf8 = b"{\"content\": \"\xff\xfe\"}".to_vec();
    let answer = anna.client.post(path.clone()).body("application/json", invalid_utf8).answer().await;
    answer.problem(400, "malformed_json");
    // Of a field that comes twice one counts, and it is valid.
    let twice = r#"{"content": "first", "content": "second"}"#;
    let said: Message = anna.client.post(path).body("application/json", twice).answer().await.ok(201);
    assert!(["first", "second"].contains(&said.content.as_deref().unwrap_or_default()));
}

#[tokio::test]
async fn names_that_look_like_others_or_like_nothing_are_refused() {
    let world = World::shared();
    let anna = world.person("anna").await;
    // A user name has one alphabet only, so none looks like another but for the case, and that counts as the same.
    for username in ["аdmin", "adm\u{131}n", "ＡＤＭＩＮ", "ad\u{200b}min", "ad min", "admin\n", "admin\u{301}", ""]
    {
        let mut registration = Credentials::unique("x").registration();
        registration["username"] = json!(username);
        let answer = world.client().post("/api/auth/register").json(&registration).answer().await;
        answer.problem(422, "validation_failed");
    }
    for display_name in ["\u{200b}", "\u{3164}", "\u{200e}", "a\u{202e}b", "a\u{2066}b", "a\nb", "\t", " ", "\u{feff}"]
    {
        let answer = anna.client.patch("/api/profile/me").json(&json!({ "display_name": display_name })).answer().await;
        answer.problem(422, "validation_failed");
    }
    for display_name in ["민지", "Zoë", "김 민지 🌱", "محمد", "O'Neill"] {
        let answer = anna.client.patch("/api/profile/me").json(&json!({ "display_name": display_name })).answer().await;
        let _ = answer.is(200);
    }
}

/// Tokens that are not ours, however well they are made.
#[tokio::test]
async fn a_token_cannot_choose_how_it_is_checked() {
    let plaza = Plaza::options().start().unwrap_or_else(|why| panic!("{why}"));
    let anna = Person::new(&plaza.client(), "anna").await;
    let token = &anna.tokens.access_token;
    let keys = std::fs::read_to_string(plaza.state().join("keys.json")).expect("the state has keys");
    let keys: Value = serde_json::from_str(&keys).expect("keys are JSON");
    // The public keys, as an attacker may have found them, in every form that a verifier may have them in.
    let set = keys["token_keys"]
        .as_str()
        .map_or_else(|| keys["token_keys"].clone(), |text| serde_json::from_str(text).expect("a JWK set"));
    let jwk = &set["keys"][0];
    let x = jwk["x"].as_str().expect("an Ed25519 key has x");
    let raw = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, x).expect("base64url");
    let mut header = forge::header(token);
    let kid = header["kid"].clone();
    let mut forged = Vec::new();
    for algorithm in ["HS256", "hs256", "HS256 "] {
        header["alg"] = algorithm.into();
        for key in [raw.as_slice(), x.as_bytes(), jwk.to_string().as_bytes(), set.to_string().as_bytes(), b""] {
            forged.push((format!("{algorithm} by a public key"), forge::hmac(token, &header, key)));
        }
    }
    forged.push(("a key that it brings along".to_owned(), forge::own_key(token)));
    for kid in [
        json!("../../../../dev/null"),
        json!("' UNION SELECT 'a"),
        json!(""),
        json!(null),
        json!(0),
        json!(["a", kid]),
        json!("a".repeat(4_000)),
        json!("https://evil.example/jwks.json"),
    ] {
        forged.push((format!("the key {kid}"), forge::other_key_id(token, &kid)));
    }
    for none in ["none", "None", "nOnE", ""] {
        header["alg"] = none.into();
        forged.push((format!("alg {none:?}"), forge::hmac(token, &header, b"")));
    }
    let good = anna.client.get("/api/profile/me").answer().await;
    assert_eq!(good.status, 200, "{good}");
    for (what, token) in forged {
        // Each is a token that the store does not know, so that it is really examined.
        let answer = plaza.client().with_token(&token).get("/api/profile/me").answer().await;
        assert_eq!(answer.status, 401, "{what}: {answer}");
    }
}

/// Sends bytes as they are and gives what comes back until the server closes.
fn raw(plaza: &Plaza, bytes: &[u8]) -> String {
    let address = plaza.client().base().trim_start_matches("http://").to_owned();
    let mut connection = TcpStream::connect(address).expect("the server listens");
    connection.set_read_timeout(Some(plaza_test_support::PATIENCE)).expect("a time limit");
    connection.write_all(bytes).expect("the server reads");
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn no_header_of_an_answer_can_be_made_up_by_a_request() {
    let world = World::shared();
    for target in
        ["/health%0d%0aSet-Cookie:%20a=1", "/health?x=%0d%0aSet-Cookie:%20a=1", "/api/users/search?q=%0d%0aX-Evil:1"]
    {
        for header in [
            "X-Request-Id: a%0d%0aSet-Cookie: b",
            "X-Request-Id: a\x0bb",
            "User-Agent: a\x7fb",
            "Origin: https://evil.example",
        ] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: plaza\r\nConnection: close\r\n{header}\r\n\r\n");
            let answer = raw(world.plaza(), request.as_bytes());
            let head = answer.split("\r\n\r\n").next().unwrap_or_default().to_lowercase();
            assert!(head.starts_with("http/1.1 "), "{target} {header}: {answer}");
            assert!(!head.starts_with("http/1.1 5"), "{target} {header}: {answer}");
            for forbidden in ["\r\nset-cookie", "\r\nx-evil", "access-control-allow-origin: https://evil"] {
                assert!(!head.contains(forbidden), "{target} {header}: {answer}");
            }
        }
    }
}

/// Two ways to say how long a body is: what one part takes for the next request, another takes for this one's body (RFC 9112,
/// section 11.2).
#[tokio::test]
async fn a_request_cannot_be_hidden_in_another() {
    let world = World::shared();
    let hidden = "GET /metrics HTTP/1.1\r\nHost: plaza\r\nConnection: close\r\n\r\n";
    for framing in [
        format!("Content-Length: 0\r\nContent-Length: {}", hidden.len()),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(),
        "Transfer-Encoding: \x0bchunked".to_owned(),
        "Content-Length: +5".to_owned(),
        "Content-Length: 5 5".to_owned(),
    ] {
        let request = format!("POST /health HTTP/1.1\r\nHost: plaza\r\n{framing}\r\n\r\n{hidden}");
        let answer = raw(world.plaza(), request.as_bytes());
        assert!(!answer.contains("plaza_requests_total"), "{framing}: {answer}");
        let statuses: HashSet<&str> = answer.lines().filter(|line| line.starts_with("HTTP/1.1 ")).collect();
        assert!(statuses.iter().all(|status| !status.starts_with("HTTP/1.1 2")), "{framing}: {answer}");
    }
}
