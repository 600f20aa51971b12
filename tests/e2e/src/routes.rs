//! Every route of the application, with what the tests need to call it. A test compares this table with the manifest,
//! so a new route cannot come without its refusals being tested.

use reqwest::Method;
use serde_json::{Value, json};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Whoever has an access token.
    Token,
    /// Whoever has an access token or a ticket.
    TokenOrTicket,
    /// Whoever has the application's key for events.
    EventsKey,
}

/// What a route takes as its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// JSON.
    Json,
    /// JSON, or nothing.
    OptionalJson,
    /// A form.
    Form,
}

/// One method of one route.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The method.
    pub method: Method,
    /// The route as in the manifest.
    pub route: &'static str,
    /// Who may.
    pub access: Access,
    /// Its body.
    pub takes: Takes,
}

impl Operation {
    /// A path of this route: parameters stand for things that do not exist but could.
    pub fn path(&self) -> String {
        self.route
            .split('/')
            .map(|segment| if segment.starts_with(':') { NOBODY } else { segment })
            .collect::<Vec<_>>()
            .join("/")
    }
}

/// A well-formed id of nothing (UUID version 7 of the year 2020).
pub const NOBODY: &str = "016f5e66-e800-7000-8000-000000000000";

/// Every method of every route.
pub fn operations() -> Vec<Operation> {
    use Access::{EventsKey, Public, Token, TokenOrTicket};
    use Takes::{Form, Json, Nothing, OptionalJson};
    let (get, post, put, patch, delete) = (Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE);
    [
        (&post, "/api/auth/register", Public, Json),
        (&post, "/api/auth/login", Public, Form),
        (&post, "/api/auth/login/json", Public, Json),
        (&post, "/api/auth/refresh", Public, Json),
        (&post, "/api/auth/logout", Token, OptionalJson),
        (&put, "/api/auth/password", Token, Json),
        (&get, "/api/auth/sessions", Token, Nothing),
        (&delete, "/api/auth/sessions/:id", Token, Nothing),
        (&get, "/api/profile/me", Token, Nothing),
        (&patch, "/api/profile/me", Token, Json),
        (&delete, "/api/profile/me", Token, Json),
        (&get, "/api/profile/:user_id", Token, Nothing),
        (&get, "/api/users", Token, Nothing),
        (&get, "/api/users/search", Token, Nothing),
        (&get, "/api/users/presence", Token, Nothing),
        (&post, "/api/users/me/heartbeat", Token, Nothing),
        (&post, "/api/friends/request", Token, Json),
        (&get, "/api/friends/requests", Token, Nothing),
        (&post, "/api/friends/requests/:id/accept", Token, Nothing),
        (&post, "/api/friends/requests/:id/reject", Token, Nothing),
        (&delete, "/api/friends/requests/:id", Token, Nothing),
        (&get, "/api/friends", Token, Nothing),
        (&get, "/api/friends/search", Token, Nothing),
        (&get, "/api/friends/blocks", Token, Nothing),
        (&post, "/api/friends/blocks", Token, Json),
        (&delete, "/api/friends/blocks/:user_id", Token, Nothing),
        (&delete, "/api/friends/:user_id", Token, Nothing),
        (&get, "/api/chat-rooms", Token, Nothing),
        (&post, "/api/chat-rooms", Token, Json),
        (&get, "/api/chat-rooms/:room_id", Token, Nothing),
        (&patch, "/api/chat-rooms/:room_id", Token, Json),
        (&delete, "/api/chat-rooms/:room_id", Token, Nothing),
        (&get, "/api/chat-rooms/:room_id/participants", Token, Nothing),
        (&post, "/api/chat-rooms/:room_id/participants", Token, Json),
        (&delete, "/api/chat-rooms/:room_id/participants/:user_id", Token, Nothing),
        (&get, "/api/messages/:room_id", Token, Nothing),
        (&post, "/api/messages/:room_id", Token, Json),
        (&get, "/api/messages/:room_id/:message_id", Token, Nothing),
        (&patch, "/api/messages/:room_id/:message_id", Token, Json),
        (&delete, "/api/messages/:room_id/:message_id", Token, Nothing),
        (&put, "/api/messages/:room_id/:message_id/reactions", Token, Nothing),
        (&delete, "/api/messages/:room_id/:message_id/reactions", Token, Nothing),
        (&post, "/api/messages/:room_id/read", Token, Json),
        (&post, "/api/messages/:room_id/typing", Token, Nothing),
        (&get, "/api/notifications", Token, Nothing),
        (&get, "/api/notifications/unread-count", Token, Nothing),
        (&post, "/api/notifications/read", Token, Json),
        (&get, "/api/notifications/preferences", Token, Nothing),
        (&put, "/api/notifications/preferences", Token, Json),
        (&post, "/api/stream/ticket", Token, Nothing),
        (&get, "/api/stream", TokenOrTicket, Nothing),
        (&get, "/api/stream/messages/:room_id", TokenOrTicket, Nothing),
        (&get, "/api/stream/notifications", TokenOrTicket, Nothing),
        (&get, "/api/stream/online-status", TokenOrTicket, Nothing),
        (&get, "/api/stats", Token, Nothing),
        (&get, "/api/messages/search", Token, Nothing),
        (&post, "/events/chat", EventsKey, Nothing),
        (&post, "/events/chat-index", EventsKey, Nothing),
        (&post, "/events/notification", EventsKey, Nothing),
        (&post, "/events/friend", EventsKey, Nothing),
        (&post, "/events/analytics", EventsKey, Nothing),
        (&post, "/events/presence", EventsKey, Nothing),
        (&get, "/health", Public, Nothing),
        (&get, "/ready", Public, Nothing),
    ]
    .into_iter()
    .map(|(method, route, access, takes)| Operation { method: method.clone(), route, access, takes })
    .collect()
}

/// The public HTTP routes of a manifest (`spin.toml`, version 2), sorted. Private ones (`route = { private = true }`)
/// cannot be reached from outside.
///
/// # Errors
/// If the text is not a manifest.
pub fn manifest_routes(manifest: &str) -> Result<Vec<String>, String> {
    let manifest: toml::Table = manifest.parse().map_err(|error| format!("{error}"))?;
    let triggers = manifest.get("trigger").and_then(|trigger| trigger.get("http")).and_then(toml::Value::as_array);
    let triggers = triggers.ok_or("the manifest has no [[trigger.http]]")?;
    let routes = triggers.iter().filter_map(|trigger| trigger.get("route").and_then(toml::Value::as_str));
    let mut routes: Vec<String> = routes.map(str::to_owned).collect();
    routes.sort_unstable();
    Ok(routes)
}

/// A body that this operation would understand, though it names nothing that exists.
pub fn body(operation: &Operation) -> Value {
    match operation.route {
        "/api/auth/register" => json!({ "email": "x", "username": "x", "password": "x" }),
        "/api/auth/login/json" => json!({ "email": "nobody@example.com", "password": "not a password of anyone" }),
        "/api/auth/refresh" => json!({ "refresh_token": "nothing" }),
        "/api/auth/password" => json!({ "current_password": "x", "new_password": "not a password of anyone" }),
        "/api/profile/me" => json!({ "display_name": "x" }),
        "/api/friends/request" => json!({ "target_user_id": NOBODY }),
        "/api/friends/blocks" => json!({ "user_id": NOBODY }),
        "/api/chat-rooms" => json!({ "room_type": "direct", "participant_ids": [NOBODY] }),
        "/api/notifications/read" => json!({ "all": true }),
        "/api/notifications/preferences" => json!({ "kinds": {}, "muted_rooms": [] }),
        "/api/chat-rooms/:room_id" => json!({ "name": "x" }),
        "/api/chat-rooms/:room_id/participants" => json!({ "user_ids": [NOBODY] }),
        "/api/messages/:room_id" | "/api/messages/:room_id/:message_id" => json!({ "content": "x" }),
        "/api/messages/:room_id/read" => json!({ "seq": 1 }),
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifests_public_routes_are_read() {
        let manifest = r#"
            spin_manifest_version = 2
            [[trigger.http]]
            route = "/b/:id"
            component = "b"
            [[trigger.http]]
            route = { private = true }
            component = "c"
            [[trigger.http]]
            route = "/a"
            component = "a"
        "#;
        assert_eq!(manifest_routes(manifest).expect("a manifest"), ["/a", "/b/:id"]);
        assert!(manifest_routes("x = 1").is_err());
    }

    #[test]
    fn paths_stand_for_things_that_could_exist() {
        let operation =
            operations().into_iter().find(|o| o.route == "/api/friends/requests/:id/accept").expect("the route");
        assert_eq!(operation.path(), format!("/api/friends/requests/{NOBODY}/accept"));
    }
}
