//! Rooms and messages.

use crate::event::{Action, Channel, Event, Topic};
use crate::id::{MessageId, RoomId, UserId};
use crate::input::{self, FromValue, Invalid};
use crate::schema::schema;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most characters of a message.
pub const CONTENT_LENGTH_MAX: usize = 4_000;
/// The most characters of a `client_message_id`.
pub const CLIENT_MESSAGE_ID_LENGTH_MAX: usize = 64;
/// The most characters of a group's name.
pub const ROOM_NAME_LENGTH_MAX: usize = 100;
/// The most users that one request may name as participants; also the look-up's limit.
pub const PARTICIPANTS_PER_REQUEST_MAX: usize = crate::user::LOOKUP_USERS_MAX;

/// Two people, or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum RoomType {
    /// Exactly two people; one room per pair.
    Direct,
    /// Any number, with a name and an owner.
    Group,
}

impl RoomType {
    /// As stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
        }
    }
}

impl FromValue for RoomType {
    fn from_value(value: &Value) -> Result<Self, Invalid> {
        match value.as_str().ok_or_else(|| Invalid::type_of("a string"))? {
            "direct" => Ok(Self::Direct),
            "group" => Ok(Self::Group),
            _ => Err(Invalid::new("unknown_value", "must be \"direct\" or \"group\"")),
        }
    }
}

/// The name of a group: 1 to 100 characters on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomName(String);

impl RoomName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromValue for RoomName {
    fn from_value(value: &Value) -> Result<Self, Invalid> {
        input::one_line(value, 1, ROOM_NAME_LENGTH_MAX).map(Self)
    }
}

schema!(RoomName, {
    "type": "string",
    "description": "The name of a group: on one line, in any script.",
    "minLength": 1,
    "maxLength": ROOM_NAME_LENGTH_MAX,
    "pattern": crate::schema::ONE_LINE_PATTERN,
});

/// Somebody in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Participant {
    /// Who.
    pub user_id: UserId,
    /// Their unique name.
    pub username: String,
    /// Since when.
    pub joined_at: Timestamp,
}

/// A room, as one of its participants sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Room {
    /// Which.
    pub id: RoomId,
    /// Two people, or a group.
    pub room_type: RoomType,
    /// A group's name, if it was given one.
    pub name: Option<String>,
    /// Who made the group; nobody owns a direct room.
    pub owner_id: Option<UserId>,
    /// Who is in it, in the order they came.
    pub participants: Vec<Participant>,
    /// The newest message.
    pub last_message: Option<Message>,
    /// How many messages the caller has not read.
    pub unread_count: u64,
    /// Since when.
    pub created_at: Timestamp,
}

/// What a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum MessageType {
    /// Words.
    Text,
    /// The URL of a picture.
    Image,
    /// The URL of a file.
    File,
}

impl MessageType {
    /// As stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::File => "file",
        }
    }

    /// From its stored name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Text, Self::Image, Self::File].into_iter().find(|kind| kind.name() == name)
    }
}

impl FromValue for MessageType {
    fn from_value(value: &Value) -> Result<Self, Invalid> {
        let name = value.as_str().ok_or_else(|| Invalid::type_of("a string"))?;
        Self::from_name(name).ok_or_else(|| Invalid::new("unknown_value", "must be \"text\", \"image\" or \"file\""))
    }
}

/// What was said: 1 to 4,000 characters, in any script, not only blank, without control characters other than
/// line breaks and tabs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content(String);

impl Content {
    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromValue for Content {
    fn from_value(value: &Value) -> Result<Self, Invalid> {
        let text = input::text(value, 1, CONTENT_LENGTH_MAX)?;
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err(Invalid::new(
                "invalid_characters",
                "must not have control characters other than line breaks and tabs",
            ));
        }
        if text.chars().all(char::is_whitespace) {
            return Err(Invalid::new("blank", "must not be blank"));
        }
        Ok(Self(text.to_owned()))
    }
}

schema!(Content, {
    "type": "string",
    "description": "What is said, in any script: not only blank, no control characters but line breaks and tabs.",
    "minLength": 1,
    "maxLength": CONTENT_LENGTH_MAX,
    "pattern": concat!(
        "^[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f]",
        "[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f]*$"
    ),
});

/// A name that the sender gives a message so that a repeated send is known as such: 1 to 64 visible ASCII characters,
/// unique per sender for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientMessageId(String);

impl ClientMessageId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromValue for ClientMessageId {
    fn from_value(value: &Value) -> Result<Self, Invalid> {
        let text = input::text(value, 1, CLIENT_MESSAGE_ID_LENGTH_MAX)?;
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Invalid::new("invalid_characters", "may have only visible ASCII characters"));
        }
        Ok(Self(text.to_owned()))
    }
}

schema!(ClientMessageId, {
    "type": "string",
    "description": "The sender's own name for a message, unique per sender for ever: whoever sends it again gets the first answer.",
    "minLength": 1,
    "maxLength": CLIENT_MESSAGE_ID_LENGTH_MAX,
    "pattern": "^[!-~]+$",
});

/// Who reacted with one emoji.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reaction {
    /// With what.
    pub emoji: String,
    /// Who.
    pub user_ids: Vec<UserId>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Message {
    /// Which.
    pub id: MessageId,
    /// Where.
    pub room_id: RoomId,
    /// Its place in the room: 1, 2, 3, … without a gap. The order everyone sees.
    pub seq: u64,
    /// Who said it.
    pub user_id: UserId,
    /// Their unique name when they said it.
    pub username: String,
    /// What was said; null once it is deleted.
    pub content: Option<String>,
    /// What it carries.
    pub message_type: MessageType,
    /// The sender's own name for it.
    pub client_message_id: Option<String>,
    /// Which message it answers.
    pub reply_to: Option<MessageId>,
    /// Who reacted, and how.
    pub reactions: Vec<Reaction>,
    /// When it was said.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub edited_at: Option<Timestamp>,
    /// Whether it was taken back.
    pub deleted: bool,
}

/// The key under which the one direct room of two people is unique.
pub fn direct_key(a: UserId, b: UserId) -> String {
    let (first, second) = crate::friend::pair(a, b);
    format!("{first}:{second}")
}

/// A room came to be. The streams of those in it begin to listen to it.
pub fn room_created(room: &Room) -> Event {
    Event::new(Topic::CHAT, room.id, "plaza.chat.ChatRoomCreated.v1", room)
        .also_to(room.participants.iter().map(|participant| Channel::user(participant.user_id)))
        .with_action(Action::Hint)
}

/// Something was said.
pub fn message_sent(message: &Message) -> Event {
    Event::new(Topic::MESSAGE, message.room_id, "plaza.chat.MessageSent.v1", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn content_is_counted_in_characters_not_bytes() {
        assert!(Content::from_value(&json!("가".repeat(4_000))).is_ok());
        assert_eq!(Content::from_value(&json!("가".repeat(4_001))).unwrap_err().code, "wrong_length");
        assert_eq!(Content::from_value(&json!("")).unwrap_err().code, "wrong_length");
        assert_eq!(Content::from_value(&json!(" \n\t")).unwrap_err().code, "blank");
        assert_eq!(Content::from_value(&json!("a\u{0}b")).unwrap_err().code, "invalid_characters");
        assert!(Content::from_value(&json!("첫 줄\n둘째 줄\t🌱")).is_ok());
    }

    #[test]
    fn an_event_tells_those_in_the_room_and_moves_their_streams() {
        let at = Timestamp::from_unix_ms(0);
        let user = UserId::new(at, [1; 10]);
        let room = Room {
            id: RoomId::new(at, [2; 10]),
            room_type: RoomType::Group,
            name: None,
            owner_id: Some(user),
            participants: vec![Participant { user_id: user, username: "minji".into(), joined_at: at }],
            last_message: None,
            unread_count: 0,
            created_at: at,
        };
        let event = room_created(&room);
        assert_eq!(event.channels, [Channel::user(user)]);
        assert_eq!(event.action, Action::Hint);
        assert_eq!(serde_json::from_str::<Room>(&event.data).unwrap(), room);
    }

    proptest! {
        #[test]
        fn whatever_content_is_taken_comes_back_unchanged(text: String) {
            if let Ok(content) = Content::from_value(&json!(text)) {
                prop_assert_eq!(content.as_str(), text);
            }
        }
    }
}
