//! The people, rooms and things that the examples speak of, and the calls that make them.
//!
//! The ids stand for real ones: whoever makes the town (a test, the page at `/docs`) takes the ids that the answers give, and puts
//! them where these stand.

use serde_json::{Value, json};

pub(crate) const MINJI: &str = "01990000-0000-7000-8000-000000000001";
pub(crate) const JUNHO: &str = "01990000-0000-7000-8000-000000000002";
pub(crate) const SEOYEON: &str = "01990000-0000-7000-8000-000000000003";
pub(crate) const HARU: &str = "01990000-0000-7000-8000-000000000004";
/// Minji blocks them.
pub(crate) const GARAM: &str = "01990000-0000-7000-8000-000000000005";
/// Minji's and Junho's direct room.
pub(crate) const ROOM: &str = "01990000-0000-7000-8000-000000000011";
/// Minji's group, with Junho.
pub(crate) const GROUP: &str = "01990000-0000-7000-8000-000000000012";
/// What Minji wrote in the direct room.
pub(crate) const MESSAGE: &str = "01990000-0000-7000-8000-000000000021";
/// What Junho answered.
pub(crate) const ANSWER: &str = "01990000-0000-7000-8000-000000000022";
/// Seoyeon asks Minji.
pub(crate) const REQUEST_TO_MINJI: &str = "01990000-0000-7000-8000-000000000031";
/// Minji asks Haru.
pub(crate) const REQUEST_BY_MINJI: &str = "01990000-0000-7000-8000-000000000032";
pub(crate) const NOTIFICATION: &str = "01990000-0000-7000-8000-000000000041";
/// A refresh token of another session of Minji's.
pub(crate) const REFRESH_TOKEN: &str = "example-refresh-token";
/// That session.
pub(crate) const SESSION: &str = "01990000-0000-7000-8000-000000000051";
/// Where the access tokens stand in the calls. The documents' examples show Minji's.
const TOKENS: [&str; 5] =
    ["minji-access-token", "junho-access-token", "seoyeon-access-token", "haru-access-token", "garam-access-token"];

pub(crate) const PASSWORD: &str = "correct horse battery";
/// When everything of the examples happened.
pub(crate) const AT: &str = "2026-01-31T09:30:00.000Z";

/// Who has an account, and who has none yet.
const NAMES: [&str; 6] = ["minji.kim", "junho.park", "seoyeon.lee", "haru.choi", "garam.yun", "dana.jung"];

/// How to make the town. `names` are to be made unique, wherever they stand. Then each call in turn, its answer's status as given;
/// what `take` points to (RFC 6901) in the answer is put wherever its name stands, in the calls that follow and in the document.
pub(crate) fn town() -> Value {
    let call = |token: Option<usize>, method: &str, path: String, body: Value, status: u16, take: Value| {
        json!({
            "method": method, "path": path, "token": token.map(|who| TOKENS[who]), "body": body, "status": status,
            "take": take,
        })
    };
    let mut calls = Vec::new();
    for (who, id) in [MINJI, JUNHO, SEOYEON, HARU, GARAM].into_iter().enumerate() {
        let (name, register) = (NAMES[who], "/api/auth/register".to_owned());
        let account = json!({ "email": format!("{name}@example.com"), "username": name, "password": PASSWORD });
        calls.push(call(None, "POST", register, account, 201, json!({ id: "/id" })));
        calls.push(call(None, "POST", login(), credentials(name), 200, json!({ TOKENS[who]: "/access_token" })));
    }
    let (minji, junho, seoyeon) = (Some(0), Some(1), Some(2));
    let post = |who, path: &str, body, status, take| call(who, "POST", path.to_owned(), body, status, take);
    let ask = |who, target, status, take| {
        post(who, "/api/friends/request", json!({ "target_user_id": target }), status, take)
    };
    calls.extend([
        call(None, "POST", login(), credentials(NAMES[0]), 200, json!({ REFRESH_TOKEN: "/refresh_token" })),
        call(minji, "GET", "/api/auth/sessions".to_owned(), Value::Null, 200, json!({ SESSION: "/items/0/id" })),
        ask(minji, JUNHO, 201, json!({})),
        ask(junho, MINJI, 200, json!({})),
        ask(seoyeon, MINJI, 201, json!({ REQUEST_TO_MINJI: "/id" })),
        ask(minji, HARU, 201, json!({ REQUEST_BY_MINJI: "/id" })),
        post(minji, "/api/friends/blocks", json!({ "user_id": GARAM }), 201, json!({})),
        picture(minji),
        post(
            minji,
            "/api/chat-rooms",
            json!({ "room_type": "direct", "participant_ids": [JUNHO] }),
            201,
            json!({ ROOM: "/id" }),
        ),
        post(
            minji,
            "/api/chat-rooms",
            json!({ "room_type": "group", "participant_ids": [JUNHO], "name": "산책" }),
            201,
            json!({ GROUP: "/id" }),
        ),
        post(
            minji,
            &format!("/api/messages/{ROOM}"),
            json!({ "content": "안녕, 준호!" }),
            201,
            json!({ MESSAGE: "/id" }),
        ),
        post(
            junho,
            &format!("/api/messages/{ROOM}"),
            json!({ "content": "반가워 🌱", "reply_to": MESSAGE }),
            201,
            json!({ ANSWER: "/id" }),
        ),
    ]);
    json!({ "names": NAMES, "caller": TOKENS[0], "calls": calls })
}

/// A call whose body is a PNG of one pixel, in base64 here.
fn picture(token: Option<usize>) -> Value {
    const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGOQj98PAAHeAT6KpYphAAAAAElFTkSuQmCC";
    json!({
        "method": "PUT", "path": "/api/profile/me/image", "token": token.map(|who| TOKENS[who]), "body": null,
        "picture": PNG, "status": 200, "take": {},
    })
}

fn login() -> String {
    "/api/auth/login/json".to_owned()
}

fn credentials(name: &str) -> Value {
    json!({ "email": format!("{name}@example.com"), "password": PASSWORD })
}

/// A page of a list with one item.
pub(crate) fn page(item: &Value) -> Value {
    json!({ "items": [item], "next_cursor": null, "prev_cursor": null })
}

pub(crate) fn user(id: &str, username: &str, display_name: &str) -> Value {
    json!({ "id": id, "username": username, "display_name": display_name, "profile_image_url": null, "created_at": AT })
}

pub(crate) fn minji() -> Value {
    user(MINJI, "minji.kim", "김민지")
}

pub(crate) fn junho() -> Value {
    user(JUNHO, "junho.park", "박준호")
}

pub(crate) fn profile() -> Value {
    let mut profile = minji();
    profile["email"] = "minji.kim@example.com".into();
    profile
}

pub(crate) fn profile_with_picture() -> Value {
    let mut profile = profile();
    profile["profile_image_url"] = format!("/api/profile/{MINJI}/image?v=fVd0zIeFfPjcMvWP").into();
    profile
}

pub(crate) fn tokens() -> Value {
    json!({ "access_token": TOKENS[0], "token_type": "bearer", "expires_in": 900, "refresh_token": REFRESH_TOKEN })
}

pub(crate) fn friend_request(id: &str, requester: &str, addressee: &str, status: &str) -> Value {
    json!({ "id": id, "requester_id": requester, "addressee_id": addressee, "status": status, "created_at": AT })
}

pub(crate) fn message() -> Value {
    json!({
        "id": MESSAGE, "room_id": ROOM, "seq": 1, "user_id": MINJI, "username": "minji.kim", "content": "안녕, 준호!",
        "message_type": "text", "client_message_id": null, "reply_to": null, "reactions": [], "created_at": AT,
        "edited_at": null, "deleted": false,
    })
}

pub(crate) fn room() -> Value {
    json!({
        "id": ROOM, "room_type": "direct", "name": null, "owner_id": null,
        "participants": [participant(MINJI, "minji.kim"), participant(JUNHO, "junho.park")],
        "last_message": message(), "unread_count": 0, "created_at": AT,
    })
}

pub(crate) fn participant(id: &str, username: &str) -> Value {
    json!({ "user_id": id, "username": username, "joined_at": AT, "last_read_seq": 1 })
}

pub(crate) fn group() -> Value {
    let mut group = room();
    for (field, value) in
        [("id", json!(GROUP)), ("room_type", json!("group")), ("name", json!("산책 🌳")), ("owner_id", json!(MINJI))]
    {
        group[field] = value;
    }
    group["last_message"] = Value::Null;
    group
}
