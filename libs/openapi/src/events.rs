//! CloudEvents that arrive over HTTP.

use crate::example::{AT, MINJI, REQUEST_TO_MINJI, SEOYEON, friend_request};
use crate::operation::{Body, Operation, post};
use serde_json::json;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        receives("/events/notification", "receiveForNotification", "Events that somebody is told of"),
        receives("/events/chat", "receiveForChat", "Events that the chat context needs"),
        receives("/events/chat-index", "receiveForSearch", "Events that are made findable"),
        receives("/events/friend", "receiveForFriend", "Events that the friend context needs"),
        receives("/events/analytics", "receiveForAnalytics", "Events that are counted"),
    ]
}

/// An operation that takes events in structured or batched mode (HTTP protocol binding 1.0, section 3). Binary mode has its attributes in headers.
fn receives(route: &'static str, id: &'static str, summary: &'static str) -> Operation {
    let event = json!({
        "type": "object",
        "required": ["id", "type"],
        "properties": {
            // These are not looked at.
            "specversion": { "examples": ["1.0"] },
            "source": { "examples": ["/plaza/friend"] },
            "time": { "examples": [AT] },
            "id": { "type": "string", "minLength": 1, "maxLength": 255 },
            "type": { "type": "string" },
            "data": {},
        },
    });
    let example = json!({
        "specversion": "1.0", "id": "01990000-0000-7000-8000-000000000091", "source": "/plaza/friend", "time": AT,
        "type": "plaza.friend.FriendRequestSent.v1", "datacontenttype": "application/json",
        "data": friend_request(REQUEST_TO_MINJI, SEOYEON, MINJI, "pending"),
    });
    post(route, id, summary)
        .about("A repeat is known by the event's id and has no effect. Events of types that nobody waits for are taken and ignored.")
        .by_events_key()
        .takes(Body::whole("application/cloudevents+json", event).example("request", example))
        .answers_nothing(204, "They are taken.")
        .refuses(400, &["malformed_event"])
        .refuses(422, &["invalid_event"])
}
