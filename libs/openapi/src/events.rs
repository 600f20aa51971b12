//! CloudEvents that arrive over HTTP.

use crate::example::{AT, MINJI, REQUEST_TO_MINJI, SEOYEON, friend_request};
use crate::operation::{Body, Operation, post};
use serde_json::{Value, json};

const EVENT: &str = "01990000-0000-7000-8000-000000000091";

pub(crate) fn operations() -> Vec<Operation> {
    let taken = |operation: Operation| operation.answers_nothing(204, "They are taken.");
    vec![
        taken(receives(
            "/events/notification",
            "receiveForNotification",
            "Events that somebody is told of",
            &request(),
        )),
        taken(receives("/events/chat", "receiveForChat", "Events that the chat context needs", &request())),
        taken(receives("/events/chat-index", "receiveForSearch", "Events that are made findable", &request())),
        taken(receives("/events/friend", "receiveForFriend", "Events that the friend context needs", &request())),
        taken(receives("/events/analytics", "receiveForAnalytics", "Events that are counted", &request())),
        receives("/events/presence", "receiveForPresence", "A relay's reports of who holds streams there", &report())
            .answers_as(
                200,
                "They are taken.",
                "application/json",
                json!({
                    "type": "object", "required": ["again_ms"],
                    "properties": { "again_ms": {
                        "type": "integer", "minimum": 1, "description": "Milliseconds until the next report is wanted.",
                    } },
                }),
                Some(json!({ "again_ms": 5001 })),
            )
            .refuses(410, &["relay_unknown"]),
    ]
}

fn request() -> Value {
    json!({
        "specversion": "1.0", "id": EVENT, "source": "/plaza/friend", "time": AT,
        "type": "plaza.friend.FriendRequestSent.v1", "datacontenttype": "application/json",
        "data": friend_request(REQUEST_TO_MINJI, SEOYEON, MINJI, "pending"),
    })
}

fn report() -> Value {
    json!({
        "specversion": "1.0", "id": EVENT, "source": "/plaza/relay", "time": AT,
        "type": "plaza.relay.ChannelsHeld.v1", "datacontenttype": "application/json",
        "data": { "relay_id": "an-example", "seq": 1, "opened": [format!("presence:{MINJI}")], "closed": [] },
    })
}

/// An operation that takes events in structured or batched mode (HTTP protocol binding 1.0, section 3). Binary mode has its attributes in headers.
fn receives(route: &'static str, id: &'static str, summary: &'static str, example: &Value) -> Operation {
    let event = json!({
        "type": "object",
        "required": ["id", "type"],
        "properties": {
            // These are not looked at.
            "specversion": { "examples": ["1.0"] },
            "source": { "examples": ["/plaza/friend"] },
            "time": { "examples": [AT] },
            "id": { "type": "string", "minLength": 1, "maxLength": 255, "description": "At most 255 bytes of UTF-8." },
            "type": { "type": "string" },
            "data": {},
        },
    });
    post(route, id, summary)
        .about("A repeat is known by the event's id and has no effect. Events of types that nobody waits for are taken and ignored.")
        .by_events_key()
        .takes(Body::whole("application/cloudevents+json", event).example("event", example.clone()))
        .refuses(400, &["malformed_event"])
        .refuses(422, &["invalid_event"])
}
