//! Rooms and messages.

mod emoji;
pub mod search;

pub use emoji::{Emoji, NotAnEmoji};

use crate::event::{Action, Channel, Event, Topic};
use crate::id::{MessageId, RoomId, UserId};
use crate::input::{self, FromValue, Invalid};
use crate::problem::Problem;
use crate::schema::schema;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// The most characters of a message.
pub const CONTENT_LENGTH_MAX: usize = 4_000;
/// The most characters of a `client_message_id`.
pub const CLIENT_MESSAGE_ID_LENGTH_MAX: usize = 64;
/// The most characters of a group's name.
pub const ROOM_NAME_LENGTH_MAX: usize = 100;
/// The most users that one request may name as participants; also the look-up's limit.
pub const PARTICIPANTS_PER_REQUEST_MAX: usize = crate::user::LOOKUP_USERS_MAX;

/// The most people in a group. Each is a row that a message's notifications are made for, and an entry of every answer that
/// shows the room: about 150 bytes, so 150 KB for the largest.
pub const PARTICIPANTS_MAX: usize = 1_000;
/// How often a message can be edited: each time what it said before is kept.
pub const EDITS_MAX: u32 = 100;
/// The most different emoji on one message.
pub const EMOJI_PER_MESSAGE_MAX: usize = 20;
/// The most reactions on one message in all: each is a user's id in every answer that shows the message, 40 KB for the most.
pub const REACTIONS_PER_MESSAGE_MAX: usize = 1_000;
/// The name of those whose account is gone. Nobody can be called so.
pub const NAME_OF_THE_DELETED: &str = "(deleted)";
/// How long somebody counts as typing who does not say so again.
pub const TYPING_LIFETIME: Duration = Duration::from_secs(8);

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

    /// From its stored name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Direct, Self::Group].into_iter().find(|room_type| room_type.name() == name)
    }
}

impl FromValue for RoomType {
    fn from_value(value: &Value) -> Result<Self, Invalid> {
        let name = value.as_str().ok_or_else(|| Invalid::type_of("a string"))?;
        Self::from_name(name).ok_or_else(|| Invalid::new("unknown_value", "must be \"direct\" or \"group\""))
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
    /// Up to which message they have read; 0 where none.
    #[serde(default)]
    pub last_read_seq: u64,
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

/// What a message said before it was edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Edit {
    /// What it said.
    pub content: String,
    /// Until when.
    pub replaced_at: Timestamp,
}

/// A message with what it said before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MessageDetail {
    /// The message as it is now.
    #[serde(flatten)]
    pub message: Message,
    /// What it said before, the oldest first. Empty once it is deleted.
    pub edits: Vec<Edit>,
}

impl Message {
    /// Its author says it in other words. Gives what it said before; nothing where that is the same.
    pub fn edit(&mut self, by: UserId, content: &Content, now: Timestamp) -> Result<Option<Edit>, Problem> {
        if by != self.user_id {
            return Err(Problem::new(403, "not_author", "Only its author can edit a message."));
        }
        self.must_be_there()?;
        if self.message_type != MessageType::Text {
            return Err(Problem::conflict("not_editable", "Only text can be edited."));
        }
        if self.content.as_deref() == Some(content.as_str()) {
            return Ok(None);
        }
        let before = self.content.replace(content.as_str().to_owned()).unwrap_or_default();
        self.edited_at = Some(now);
        Ok(Some(Edit { content: before, replaced_at: now }))
    }

    /// Its author takes it back, or the owner of the group takes it away: its place stays, with nothing in it. `false` where that
    /// was done before.
    pub fn delete(&mut self, by: UserId, owner: Option<UserId>) -> Result<bool, Problem> {
        if by != self.user_id && Some(by) != owner {
            return Err(Problem::new(
                403,
                "not_author",
                "Only its author can delete a message, and in a group the owner.",
            ));
        }
        if self.deleted {
            return Ok(false);
        }
        self.deleted = true;
        self.content = None;
        self.reactions.clear();
        Ok(true)
    }

    /// Somebody reacts. `false` where they have done so before, with this emoji.
    pub fn react(&mut self, by: UserId, emoji: &Emoji) -> Result<bool, Problem> {
        self.must_be_there()?;
        let all: usize = self.reactions.iter().map(|reaction| reaction.user_ids.len()).sum();
        let different = self.reactions.len();
        let refuse = |detail: String| Err(Problem::conflict("too_many_reactions", detail));
        let with_it = self.reactions.iter_mut().find(|reaction| reaction.emoji == emoji.as_str());
        match with_it {
            Some(reaction) if reaction.user_ids.contains(&by) => return Ok(false),
            _ if all >= REACTIONS_PER_MESSAGE_MAX => {
                return refuse(format!("A message can have at most {REACTIONS_PER_MESSAGE_MAX} reactions."));
            }
            Some(reaction) => reaction.user_ids.push(by),
            None if different >= EMOJI_PER_MESSAGE_MAX => {
                return refuse(format!("A message can have at most {EMOJI_PER_MESSAGE_MAX} different emoji."));
            }
            None => self.reactions.push(Reaction { emoji: emoji.as_str().to_owned(), user_ids: vec![by] }),
        }
        Ok(true)
    }

    /// Somebody takes their reaction back. `false` where there was none.
    pub fn unreact(&mut self, by: UserId, emoji: &Emoji) -> bool {
        let Some(place) = self.reactions.iter().position(|reaction| reaction.emoji == emoji.as_str()) else {
            return false;
        };
        let users = &mut self.reactions[place].user_ids;
        let before = users.len();
        users.retain(|user| *user != by);
        let changed = users.len() < before;
        if users.is_empty() {
            self.reactions.remove(place);
        }
        changed
    }

    fn must_be_there(&self) -> Result<(), Problem> {
        if self.deleted { Err(Problem::conflict("message_deleted", "This message was deleted.")) } else { Ok(()) }
    }
}

/// Whether somebody can write in a room that they are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// They can.
    Open,
    /// It is a direct room, and they block the other.
    Blocks,
    /// It is a direct room, and the other blocks them, or is gone. They cannot know which.
    Closed,
}

impl Standing {
    /// Refuses those who cannot write.
    pub fn may_write(self) -> Result<(), Problem> {
        match self {
            Self::Open => Ok(()),
            Self::Blocks => Err(Problem::conflict("blocked", "You block this user: unblock them first.")),
            Self::Closed => Err(Problem::new(403, "cannot_message", "You cannot send messages to this user.")),
        }
    }
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

/// What [`room_updated`] tells: what of a room can change but for who is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomUpdated {
    /// Which.
    pub id: RoomId,
    /// Its name now.
    pub name: Option<String>,
    /// Who owns it now.
    pub owner_id: Option<UserId>,
    /// When that changed.
    pub updated_at: Timestamp,
}

/// A room has another name or owner.
pub fn room_updated(update: &RoomUpdated) -> Event {
    Event::new(Topic::CHAT, update.id, "plaza.chat.ChatRoomUpdated.v1", update)
}

/// What [`room_deleted`] tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomDeleted {
    /// Which.
    pub id: RoomId,
    /// When.
    pub deleted_at: Timestamp,
}

/// A room is gone, for everyone who was in it. Their streams stop listening to it; who is away hears of it as well, when they are
/// back and may no longer listen to the room.
pub fn room_deleted(deletion: &RoomDeleted, members: &[UserId]) -> Event {
    Event::new(Topic::CHAT, deletion.id, "plaza.chat.ChatRoomDeleted.v1", deletion)
        .also_to([Channel::room(deletion.id)])
        .also_to(members.iter().copied().map(Channel::user))
        .with_action(Action::Hint)
}

/// What [`participant_joined`] tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantJoined {
    /// Where.
    pub room_id: RoomId,
    /// Who, and since when.
    #[serde(flatten)]
    pub participant: Participant,
    /// Who added them.
    pub added_by: UserId,
}

/// Somebody came into a group. Their streams begin to listen to it.
pub fn participant_joined(joined: &ParticipantJoined) -> Event {
    Event::new(Topic::CHAT, joined.room_id, "plaza.chat.ParticipantJoined.v1", joined)
        .also_to([Channel::user(joined.participant.user_id)])
        .with_action(Action::Hint)
}

/// What [`participant_left`] tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantLeft {
    /// Where.
    pub room_id: RoomId,
    /// Who.
    pub user_id: UserId,
    /// Their unique name.
    pub username: String,
    /// Who removed them; null where they left.
    pub removed_by: Option<UserId>,
    /// When.
    pub left_at: Timestamp,
}

/// Somebody is in a room no longer. Their streams stop listening to it.
pub fn participant_left(left: &ParticipantLeft) -> Event {
    Event::new(Topic::CHAT, left.room_id, "plaza.chat.ParticipantLeft.v1", left)
        .also_to([Channel::user(left.user_id), Channel::membership(left.room_id, left.user_id)])
        .with_action(Action::Hint)
}

/// Something was said.
pub fn message_sent(message: &Message) -> Event {
    Event::new(Topic::MESSAGE, message.room_id, "plaza.chat.MessageSent.v1", message)
}

/// Something was said in other words.
pub fn message_edited(message: &Message) -> Event {
    Event::new(Topic::MESSAGE, message.room_id, "plaza.chat.MessageEdited.v1", message)
}

/// Something was taken back.
pub fn message_deleted(message: &Message) -> Event {
    Event::new(Topic::MESSAGE, message.room_id, "plaza.chat.MessageDeleted.v1", message)
}

/// What [`reaction_changed`] tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactionChanged {
    /// Where.
    pub room_id: RoomId,
    /// To which message.
    pub message_id: MessageId,
    /// Its place.
    pub seq: u64,
    /// Who reacted, or took it back.
    pub user_id: UserId,
    /// With what.
    pub emoji: String,
    /// Whether it came; else it went.
    pub added: bool,
    /// All reactions to the message after that.
    pub reactions: Vec<Reaction>,
    /// When.
    pub changed_at: Timestamp,
}

/// Somebody reacted, or took it back.
pub fn reaction_changed(change: &ReactionChanged) -> Event {
    Event::new(Topic::MESSAGE, change.room_id, "plaza.chat.ReactionChanged.v1", change)
}

/// A place in a room, as a client names it: 0 is before the first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seq(u64);

impl Seq {
    /// The place.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromValue for Seq {
    fn from_value(value: &Value) -> Result<Self, Invalid> {
        // What is stored is at most i64::MAX: beyond it there is no message either.
        let seq = value.as_u64().ok_or_else(|| Invalid::type_of("a whole number of 0 or more"))?;
        Ok(Self(seq.min(i64::MAX.unsigned_abs())))
    }
}

schema!(Seq, { "type": "integer", "minimum": 0, "description": "A place in a room; 0 is before the first message." });

/// What [`message_read`] tells: up to where somebody has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadPosition {
    /// Where.
    pub room_id: RoomId,
    /// Who.
    pub user_id: UserId,
    /// Up to which message.
    pub seq: u64,
    /// When.
    pub read_at: Timestamp,
}

/// What whoever has read is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReadUpTo {
    /// Where.
    pub room_id: RoomId,
    /// Up to which message they have read now.
    pub last_read_seq: u64,
    /// How many are left.
    pub unread_count: u64,
}

/// Somebody has read more than before.
pub fn message_read(position: &ReadPosition) -> Event {
    Event::new(Topic::MESSAGE, position.room_id, "plaza.chat.MessageRead.v1", position)
}

/// What [`typing`] tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typing {
    /// Where.
    pub room_id: RoomId,
    /// Who.
    pub user_id: UserId,
    /// Their unique name.
    pub username: String,
    /// When that is over, unless they say it again.
    pub expires_at: Timestamp,
}

/// Somebody is typing. Whoever listens to the room's messages gets it, and nobody keeps it for long.
pub fn typing(typing: &Typing) -> Event {
    Event::new(Topic::TYPING, typing.room_id, "plaza.chat.Typing.v1", typing)
        .also_to([Channel::messages(typing.room_id)])
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
            participants: vec![Participant {
                user_id: user,
                username: "minji".into(),
                joined_at: at,
                last_read_seq: 0,
            }],
            last_message: None,
            unread_count: 0,
            created_at: at,
        };
        let event = room_created(&room);
        assert_eq!(event.channels, [Channel::user(user)]);
        assert_eq!(event.action, Action::Hint);
        assert_eq!(serde_json::from_str::<Room>(&event.data).unwrap(), room);
    }

    fn user(n: u8) -> UserId {
        UserId::new(Timestamp::from_unix_ms(0), [n; 10])
    }

    fn message() -> Message {
        let at = Timestamp::from_unix_ms(0);
        Message {
            id: MessageId::new(at, [1; 10]),
            room_id: RoomId::new(at, [2; 10]),
            seq: 1,
            user_id: user(1),
            username: "minji".into(),
            content: Some("before".into()),
            message_type: MessageType::Text,
            client_message_id: None,
            reply_to: None,
            reactions: Vec::new(),
            created_at: at,
            edited_at: None,
            deleted: false,
        }
    }

    fn content(text: &str) -> Content {
        Content::from_value(&json!(text)).unwrap()
    }

    fn emoji(text: &str) -> Emoji {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_author_edits_and_only_text_that_is_there() {
        let now = Timestamp::from_unix_ms(9);
        let mut edited = message();
        assert_eq!(edited.edit(user(1), &content("before"), now), Ok(None));
        assert_eq!((&edited, edited.edited_at), (&message(), None), "the same words are no change");
        let edit = edited.edit(user(1), &content("after"), now).unwrap();
        assert_eq!(edit, Some(Edit { content: "before".into(), replaced_at: now }));
        assert_eq!((edited.content.as_deref(), edited.edited_at), (Some("after"), Some(now)));
        assert_eq!(message().edit(user(2), &content("x"), now).unwrap_err().code, "not_author");
        let mut picture = Message { message_type: MessageType::Image, ..message() };
        assert_eq!(picture.edit(user(1), &content("x"), now).unwrap_err().code, "not_editable");
        let mut deleted = message();
        deleted.delete(user(1), None).unwrap();
        assert_eq!(deleted.edit(user(1), &content("x"), now).unwrap_err().code, "message_deleted");
        assert_eq!(deleted.edit(user(2), &content("x"), now).unwrap_err().status, 403);
    }

    #[test]
    fn a_deleted_message_keeps_its_place_and_nothing_else() {
        let mut deleted = message();
        deleted.react(user(2), &emoji("👍")).unwrap();
        assert_eq!(deleted.delete(user(2), None).unwrap_err().code, "not_author");
        assert_eq!(deleted.delete(user(2), Some(user(3))).unwrap_err().status, 403);
        assert_eq!(deleted.delete(user(3), Some(user(3))), Ok(true), "the group's owner may, too");
        assert_eq!(deleted, Message { content: None, deleted: true, ..message() });
        assert_eq!(deleted.delete(user(1), None), Ok(false));
        assert_eq!(deleted.react(user(2), &emoji("👍")).unwrap_err().code, "message_deleted");
        assert!(!deleted.unreact(user(2), &emoji("👍")));
    }

    #[test]
    fn a_message_has_so_many_reactions_and_no_more() {
        let mut full = message();
        for n in 0..EMOJI_PER_MESSAGE_MAX {
            let face = char::from_u32(0x1f600 + u32::try_from(n).unwrap()).unwrap().to_string();
            assert_eq!(full.react(user(1), &emoji(&face)), Ok(true));
        }
        assert_eq!(full.react(user(1), &emoji("👍")).unwrap_err().code, "too_many_reactions");
        assert_eq!(full.react(user(2), &emoji("😀")), Ok(true), "one that is there already");
        let everybody = |n: usize| UserId::new(Timestamp::from_unix_ms(i64::try_from(n).unwrap()), [0; 10]);
        let mut loved = message();
        for n in 0..REACTIONS_PER_MESSAGE_MAX {
            loved.react(everybody(n), &emoji("👍")).unwrap();
        }
        assert_eq!(loved.react(user(1), &emoji("👍")).unwrap_err().status, 409);
        assert_eq!(loved.react(everybody(0), &emoji("👍")), Ok(false), "who has reacted already has");
        let json = serde_json::to_string(&loved.reactions).unwrap();
        assert!(json.len() < 65_535, "it fits its column: {} bytes", json.len());
    }

    #[test]
    fn the_blocked_one_and_the_one_whose_friend_is_gone_read_the_same() {
        assert_eq!(Standing::Open.may_write(), Ok(()));
        assert_eq!(Standing::Blocks.may_write().unwrap_err().code, "blocked");
        assert_eq!(Standing::Closed.may_write().unwrap_err().status, 403);
    }

    proptest! {
        #[test]
        fn reactions_are_a_set_of_users_and_emoji(steps: Vec<(bool, u8, bool)>) {
            let mut message = message();
            let mut model = std::collections::BTreeSet::new();
            for (add, by, thumb) in steps {
                let (by, with) = (by % 4, if thumb { "👍" } else { "❤" });
                let changed = if add {
                    message.react(user(by), &emoji(with)).unwrap()
                } else {
                    message.unreact(user(by), &emoji(with))
                };
                let key = (emoji(with).as_str().to_owned(), user(by));
                prop_assert_eq!(changed, if add { model.insert(key) } else { model.remove(&key) });
            }
            let all: Vec<_> = message
                .reactions
                .iter()
                .flat_map(|reaction| reaction.user_ids.iter().map(|user| (reaction.emoji.clone(), *user)))
                .collect();
            prop_assert_eq!(all.len(), model.len());
            prop_assert_eq!(all.into_iter().collect::<std::collections::BTreeSet<_>>(), model);
            prop_assert!(message.reactions.iter().all(|reaction| !reaction.user_ids.is_empty()));
        }

        #[test]
        fn whatever_content_is_taken_comes_back_unchanged(text: String) {
            if let Ok(content) = Content::from_value(&json!(text)) {
                prop_assert_eq!(content.as_str(), text);
            }
        }
    }
}
