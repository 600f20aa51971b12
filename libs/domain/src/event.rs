//! Events: what other contexts, programs on Kafka and open streams learn of a change.
//!
//! An event is a CloudEvent 1.0 with JSON data. It is made where the change is made and committed with it. The three
//! routing words follow the transports: `topic` and `key` are Kafka's (one key, one order), `channels` and `action` are
//! GRIP's (who on a stream gets it beyond those who listen to the key, and what the stream then does).

use crate::id::{RoomId, SessionId, UserId};
use serde::Serialize;

/// A topic of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic(&'static str);

impl Topic {
    /// Accounts. Key: user id.
    pub const USER: Self = Self("user.events");
    /// Friend requests, friendships and blocks. Key: user id.
    pub const FRIEND: Self = Self("friend.events");
    /// Messages. Key: room id.
    pub const MESSAGE: Self = Self("message.events");
    /// Rooms and who is in them. Key: room id.
    pub const CHAT: Self = Self("chat.events");
    /// Notifications. Key: user id.
    pub const NOTIFICATION: Self = Self("notification.events");
    /// Who is online. Key: user id.
    pub const ONLINE_STATUS: Self = Self("user.online_status");
    /// Who is typing. Key: room id.
    pub const TYPING: Self = Self("chat.typing");

    /// The topic's name.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// What a stream does with an event (GRIP's content action).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Delivers it.
    Send,
    /// Delivers it, and then has the streams of the event's `channels` ask again what they may listen to.
    Hint,
    /// Ends the streams of the event's `channels`.
    Close,
}

impl Action {
    /// As the outbox and the transports write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Hint => "hint",
            Self::Close => "close",
        }
    }
}

/// What a stream listens to. A relay gives each event to the channel of its topic and key, and to its extra channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel(String);

impl Channel {
    /// Everything of one key of one topic.
    fn of_key(topic: Topic, key: impl std::fmt::Display) -> Self {
        Self(format!("{}:{key}", topic.name()))
    }

    /// The messages of a room.
    pub fn messages(room: RoomId) -> Self {
        Self::of_key(Topic::MESSAGE, room)
    }

    /// What happens to a room itself.
    pub fn room(room: RoomId) -> Self {
        Self::of_key(Topic::CHAT, room)
    }

    /// The friend requests and friendships of a user.
    pub fn friends(user: UserId) -> Self {
        Self::of_key(Topic::FRIEND, user)
    }

    /// Who becomes a friend of a user, and who no longer is one.
    pub fn friendships(user: UserId) -> Self {
        Self(format!("friendships:{user}"))
    }

    /// The notifications of a user.
    pub fn notifications(user: UserId) -> Self {
        Self::of_key(Topic::NOTIFICATION, user)
    }

    /// Whether a user is online.
    pub fn online_status(user: UserId) -> Self {
        Self::of_key(Topic::ONLINE_STATUS, user)
    }

    /// What is addressed to a person, whatever its key.
    pub fn user(user: UserId) -> Self {
        Self(format!("user:{user}"))
    }

    /// Whether a person is in a room: for the streams of that one room.
    pub fn membership(room: RoomId, user: UserId) -> Self {
        Self(format!("member:{room}:{user}"))
    }

    /// That somebody holds a stream. Nothing is sent there: the relay tells the user context which of these channels have streams.
    pub fn presence(user: UserId) -> Self {
        Self(format!("{}{user}", crate::presence::CHANNEL_PREFIX))
    }

    /// The end of a session.
    pub fn session(session: SessionId) -> Self {
        Self(format!("session:{session}"))
    }

    /// The channel's name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// An event, before it is given an id and a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where it goes.
    pub topic: Topic,
    /// Events of one key keep their order.
    pub key: String,
    /// CloudEvents `type`: `plaza.<context>.<Event>.v1`.
    pub kind: &'static str,
    /// CloudEvents `data`: JSON.
    pub data: String,
    /// Who on a stream gets it beyond those who listen to its key.
    pub channels: Vec<Channel>,
    /// What streams do with it.
    pub action: Action,
}

impl Event {
    /// An event for those who listen to its key.
    pub fn new(topic: Topic, key: impl std::fmt::Display, kind: &'static str, data: &impl Serialize) -> Self {
        // The shapes of this crate have string keys and no foreign serializers: they cannot fail to serialize.
        let data = serde_json::to_string(data).unwrap_or_default();
        Self { topic, key: key.to_string(), kind, data, channels: Vec::new(), action: Action::Send }
    }

    /// The same, for these as well.
    #[must_use]
    pub fn also_to(mut self, channels: impl IntoIterator<Item = Channel>) -> Self {
        self.channels.extend(channels);
        self
    }

    /// The same, with another action on streams.
    #[must_use]
    pub fn with_action(mut self, action: Action) -> Self {
        self.action = action;
        self
    }
}
