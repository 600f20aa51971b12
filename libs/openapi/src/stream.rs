//! Server-sent events.

use crate::example::ROOM;
use crate::operation::{Operation, get, post};
use plaza_domain::id::RoomId;
use plaza_domain::user::Ticket;
use serde_json::json;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        post("/api/stream/ticket", "getTicket", "A ticket for a stream")
            .about("For clients that cannot set a header, such as `EventSource`. Good once, for 30 seconds.")
            .answers::<Ticket>(200, "The ticket.", json!({ "ticket": "0IbFq3…", "expires_in": 30 })),
        stream(get("/api/stream", "streamAll", "Everything for the caller, as it happens")),
        stream(get("/api/stream/notifications", "streamNotifications", "The own notifications, as they come")),
        stream(get("/api/stream/online-status", "streamOnlineStatus", "Which friends come and go, as they do")),
        stream(
            get("/api/stream/messages/:room_id", "streamRoom", "What happens in one room, as it happens")
                .segment::<RoomId>("room_id", "Which room.", ROOM),
        ),
    ]
}

/// What all streams have in common.
fn stream(operation: Operation) -> Operation {
    operation
        .about(
            "Server-sent events: each frame has `id`, `event` (the event's name) and `data` (its JSON). A comment every 25 s keeps \
             the connection. `Last-Event-ID` goes on after a break, without a gap; where that cannot be, `event: reset` says \
             so. The stream ends with its token, with `event: end`.",
        )
        .by_ticket()
        .header("Last-Event-ID", "The last id that was seen.", json!({ "type": "string" }))
        .query("last_event_id", "The same, for clients that cannot set the header.", json!({ "type": "string" }))
        .answers_as(
            200,
            "The stream.",
            "text/event-stream",
            json!({ "description": "Events, as the HTML standard has them." }),
            Some(json!("id: AQoBAAA\nevent: MessageSent\ndata: {\"seq\":42,\"content\":\"안녕!\"}\n\n")),
        )
        .refuses(501, &["no_grip_proxy"])
}
