//! What somebody is told of later.

use crate::example::{self, AT, NOTIFICATION, REQUEST_TO_MINJI, ROOM, SEOYEON};
use crate::operation::{Body, Operation, get, post, put};
use plaza_domain::id::NotificationId;
use plaza_domain::notification::{Kinds, MutedRooms, Notification, Preferences, READ_AT_ONCE_MAX, Unread};
use plaza_domain::page::Page;
use serde_json::{Value, json};

fn preferences() -> Value {
    json!({
        "kinds": { "friend_request": true, "friend_request_accepted": true, "message": true, "welcome": false },
        "muted_rooms": [{ "room_id": ROOM, "muted_until": null }],
    })
}

pub(crate) fn operations() -> Vec<Operation> {
    let notification = json!({
        "id": NOTIFICATION, "kind": "friend_request", "created_at": AT, "read_at": null,
        "data": { "friend_request_id": REQUEST_TO_MINJI, "user_id": SEOYEON },
    });
    vec![
        get("/api/notifications", "listNotifications", "The own notifications")
            .about("Newest first.")
            .query("unread", "Only those not read.", json!({ "type": "boolean", "default": false }))
            .list()
            .answers::<Page<Notification>>(200, "The notifications.", example::page(&notification)),
        get("/api/notifications/unread-count", "countUnread", "How many notifications are not read")
            .answers::<Unread>(200, "So many.", json!({ "unread_count": 1 })),
        post("/api/notifications/read", "readNotifications", "Marks notifications as read")
            .about("Some of them, or all. Ids that the caller does not have are passed over.")
            .takes(
                Body::json()
                    .optional::<Vec<NotificationId>>("ids")
                    .optional::<bool>("all")
                    .also(
                        "oneOf",
                        json!([
                            { "required": ["ids"], "properties": {
                                "ids": { "type": "array", "maxItems": READ_AT_ONCE_MAX },
                                "all": { "enum": [false, null] },
                            } },
                            { "required": ["all"], "properties": { "all": { "const": true }, "ids": { "type": "null" } } },
                        ]),
                    )
                    .example("all", json!({ "all": true }))
                    .example("some", json!({ "ids": [NOTIFICATION] })),
            )
            .answers::<Unread>(200, "What is left.", json!({ "unread_count": 0 })),
        get("/api/notifications/preferences", "getPreferences", "Which notifications the caller wants")
            .answers::<Preferences>(200, "The preferences.", preferences()),
        put("/api/notifications/preferences", "putPreferences", "Says which notifications the caller wants")
            .about("As a whole. It counts for what happens from then on.")
            .takes(
                Body::json().required::<Kinds>("kinds").required::<MutedRooms>("muted_rooms").example("muted", preferences()),
            )
            .answers::<Preferences>(200, "The preferences.", preferences()),
    ]
}
