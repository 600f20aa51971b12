//! What a user is told of later: somebody asked to be friends, somebody wrote.

use crate::chat::Message;
use crate::friend::FriendRequest;
use crate::id::{NotificationId, UserId};
use crate::time::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

/// A notification, as its user sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Notification {
    /// Which.
    pub id: NotificationId,
    /// What it tells of: `friend_request`, `friend_request_accepted` or `message`.
    pub kind: String,
    /// The ids to look up, and what is needed to show it without.
    pub data: Value,
    /// When it came.
    pub created_at: Timestamp,
    /// When it was read.
    pub read_at: Option<Timestamp>,
}

/// What is to be told, and to whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// To whom.
    pub user_id: UserId,
    /// The notification's kind.
    pub kind: &'static str,
    /// The notification's data.
    pub data: Value,
}

/// The most characters of a message that a notification repeats.
pub const PREVIEW_LENGTH_MAX: usize = 100;

/// Somebody asks to be friends.
pub fn of_request(request: &FriendRequest) -> Notice {
    let data = json!({"friend_request_id": request.id, "user_id": request.requester_id});
    Notice { user_id: request.addressee_id, kind: "friend_request", data }
}

/// Somebody said yes.
pub fn of_acceptance(request: &FriendRequest) -> Notice {
    let data = json!({"friend_request_id": request.id, "user_id": request.addressee_id});
    Notice { user_id: request.requester_id, kind: "friend_request_accepted", data }
}

/// Somebody wrote: a notice for everyone in the room but the one who wrote.
pub fn of_message(message: &Message, participants: &[UserId]) -> Vec<Notice> {
    let preview: Option<String> =
        message.content.as_ref().map(|content| content.chars().take(PREVIEW_LENGTH_MAX).collect());
    let data = json!({
        "room_id": message.room_id, "message_id": message.id, "seq": message.seq,
        "user_id": message.user_id, "username": message.username, "preview": preview,
    });
    let others = participants.iter().filter(|user| **user != message.user_id);
    others.map(|user| Notice { user_id: *user, kind: "message", data: data.clone() }).collect()
}
