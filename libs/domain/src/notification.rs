//! What a user is told of later: somebody asked to be friends, somebody wrote.

use crate::chat::Message;
use crate::event::{Event, Topic};
use crate::friend::FriendRequest;
use crate::id::{NotificationId, RoomId, UserId};
use crate::input::{FromValue, Invalid};
use crate::schema::schema;
use crate::time::Timestamp;
use crate::user::{DELETED_USERNAME, User};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};

/// The most characters of a message that a notification repeats.
pub const PREVIEW_LENGTH_MAX: usize = 100;
/// The most notifications that one request marks as read by their ids, and that one event names.
pub const READ_AT_ONCE_MAX: usize = 100;
/// The most rooms that a user has muted.
pub const MUTED_ROOMS_MAX: usize = 500;

/// What a notification tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Somebody asks to be friends.
    FriendRequest,
    /// Somebody said yes.
    FriendRequestAccepted,
    /// Somebody wrote.
    Message,
    /// The account is there.
    Welcome,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::FriendRequest, Self::FriendRequestAccepted, Self::Message, Self::Welcome];

    /// As stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FriendRequest => "friend_request",
            Self::FriendRequestAccepted => "friend_request_accepted",
            Self::Message => "message",
            Self::Welcome => "welcome",
        }
    }

    /// From its stored name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A notification, as its user sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Notification {
    /// Which.
    pub id: NotificationId,
    /// What it tells of.
    pub kind: Kind,
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
    pub kind: Kind,
    /// What it is about, so that it can be found again: a friend request, or a room and the message's place there.
    pub about: About,
    /// The notification's data.
    pub data: Value,
}

/// What a notification is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct About {
    /// The id of the friend request, or of the room.
    pub subject: Option<String>,
    /// The message's place in its room.
    pub seq: Option<u64>,
    /// Whose name stands in the data: should their account go, it is taken out.
    pub actor: Option<UserId>,
}

/// How much somebody has not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Unread {
    /// How many notifications.
    pub unread_count: u64,
}

/// Somebody asks to be friends.
pub fn of_request(request: &FriendRequest) -> Notice {
    let data = json!({"friend_request_id": request.id, "user_id": request.requester_id});
    let about = About { subject: Some(request.id.to_string()), ..About::default() };
    Notice { user_id: request.addressee_id, kind: Kind::FriendRequest, about, data }
}

/// Somebody said yes.
pub fn of_acceptance(request: &FriendRequest) -> Notice {
    let data = json!({"friend_request_id": request.id, "user_id": request.addressee_id});
    let about = About { subject: Some(request.id.to_string()), ..About::default() };
    Notice { user_id: request.requester_id, kind: Kind::FriendRequestAccepted, about, data }
}

/// Somebody wrote: a notice for everyone in the room but the one who wrote.
pub fn of_message(message: &Message, participants: &[UserId]) -> Vec<Notice> {
    let data = json!({
        "room_id": message.room_id, "message_id": message.id, "seq": message.seq,
        "user_id": message.user_id, "username": message.username, "preview": preview(message),
    });
    let about =
        About { subject: Some(message.room_id.to_string()), seq: Some(message.seq), actor: Some(message.user_id) };
    let notice =
        |user: &UserId| Notice { user_id: *user, kind: Kind::Message, about: about.clone(), data: data.clone() };
    participants.iter().filter(|user| **user != message.user_id).map(notice).collect()
}

/// The account is there.
pub fn of_registration(user: &User) -> Notice {
    let data = json!({"user_id": user.id, "username": user.username});
    Notice { user_id: user.id, kind: Kind::Welcome, about: About::default(), data }
}

/// What a user wants to be told of. Whoever has never said wants everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Preferences {
    /// Whether each kind is wanted.
    pub kinds: BTreeMap<Kind, bool>,
    /// The rooms whose messages are not told of.
    pub muted_rooms: Vec<MutedRoom>,
}

/// A room whose messages its user is not told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MutedRoom {
    /// Which.
    pub room_id: RoomId,
    /// Until when; for ever where there is no such time.
    pub muted_until: Option<Timestamp>,
}

impl MutedRoom {
    /// Whether it is muted now.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.muted_until.is_none_or(|until| until > now)
    }
}

/// Which kinds are wanted, as a client writes it: `{"message": false}`. Kinds that it does not name are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kinds(pub BTreeMap<Kind, bool>);

impl FromValue for Kinds {
    fn from_value(value: &Value) -> Result<Self, Invalid> {
        let mut kinds: BTreeMap<Kind, bool> = Kind::ALL.into_iter().map(|kind| (kind, true)).collect();
        for (name, wanted) in value.as_object().ok_or_else(|| Invalid::type_of("an object"))? {
            let kind = Kind::from_name(name)
                .ok_or_else(|| Invalid::new("unknown_kind", "has a kind of notification that there is not"))?;
            kinds.insert(kind, bool::from_value(wanted).map_err(|_| Invalid::type_of("an object of true and false"))?);
        }
        Ok(Self(kinds))
    }
}

schema!(Kinds, {
    "type": "object",
    "description": "Which kinds are wanted. Those that are not named are.",
    "properties": {
        "friend_request": { "type": "boolean" },
        "friend_request_accepted": { "type": "boolean" },
        "message": { "type": "boolean" },
        "welcome": { "type": "boolean" },
    },
    "additionalProperties": false,
});

/// Muted rooms, as a client writes them: `[{"room_id": …, "muted_until": …}]`, each room once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MutedRooms(pub Vec<MutedRoom>);

impl FromValue for MutedRooms {
    fn from_value(value: &Value) -> Result<Self, Invalid> {
        let items = value.as_array().ok_or_else(|| Invalid::type_of("an array"))?;
        if items.len() > MUTED_ROOMS_MAX {
            return Err(Invalid::new("too_many", format!("may have at most {MUTED_ROOMS_MAX} rooms")));
        }
        let rooms = items.iter().map(muted_room).collect::<Result<Vec<_>, _>>()?;
        let different: HashSet<RoomId> = rooms.iter().map(|room| room.room_id).collect();
        if different.len() < rooms.len() {
            return Err(Invalid::new("duplicate", "has a room twice"));
        }
        Ok(Self(rooms))
    }
}

schema!(MutedRooms, {
    "type": "array",
    "description": "Each room once.",
    "maxItems": MUTED_ROOMS_MAX,
    "items": {
        "type": "object",
        "required": ["room_id"],
        "properties": {
            "room_id": { "type": "string", "pattern": crate::schema::ID_PATTERN },
            "muted_until": { "anyOf": [{ "type": "string", "format": "date-time" }, { "type": "null" }] },
        },
    },
});

fn muted_room(value: &Value) -> Result<MutedRoom, Invalid> {
    let fields = value.as_object().ok_or_else(|| Invalid::type_of("an array of objects"))?;
    let room_id = RoomId::from_value(fields.get("room_id").unwrap_or(&Value::Null))?;
    let muted_until = match fields.get("muted_until") {
        None | Some(Value::Null) => None,
        Some(until) => Some(Timestamp::from_value(until)?),
    };
    Ok(MutedRoom { room_id, muted_until })
}

/// What [`sent`] tells.
#[derive(Debug, Serialize)]
struct Sent<'a> {
    user_id: UserId,
    #[serde(flatten)]
    notification: &'a Notification,
    unread_count: u64,
}

/// Somebody has a new notification, and so many that they have not read.
pub fn sent(user_id: UserId, notification: &Notification, unread_count: u64) -> Event {
    let data = Sent { user_id, notification, unread_count };
    Event::new(Topic::NOTIFICATION, user_id, "plaza.notification.NotificationSent.v1", &data)
}

/// Which notifications were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// These: at most [`READ_AT_ONCE_MAX`].
    Ids(Vec<NotificationId>),
    /// Those of the messages of a room, up to this place.
    Room(RoomId, u64),
    /// Every one that there was.
    All,
}

/// Somebody has read notifications, and there are so many left that they have not.
pub fn read(user_id: UserId, which: &Which, read_at: Timestamp, unread_count: u64) -> Event {
    let mut data = json!({
        "user_id": user_id, "ids": [], "room_id": null, "seq": null, "all": false, "read_at": read_at,
        "unread_count": unread_count,
    });
    match which {
        Which::Ids(ids) => data["ids"] = json!(ids),
        Which::Room(room, seq) => (data["room_id"], data["seq"]) = (json!(room), json!(seq)),
        Which::All => data["all"] = json!(true),
    }
    Event::new(Topic::NOTIFICATION, user_id, "plaza.notification.NotificationRead.v1", &data)
}

/// The beginning of what a message says; nothing once it is deleted.
fn preview(message: &Message) -> Option<String> {
    let content = message.content.as_ref()?;
    let mut rest = content.chars();
    let beginning: String = rest.by_ref().take(PREVIEW_LENGTH_MAX).collect();
    if rest.next().is_none() {
        return Some(beginning);
    }
    // The sign of what is left out takes a character's place.
    Some(content.chars().take(PREVIEW_LENGTH_MAX - 1).chain(['…']).collect())
}

/// The data of a notification of a message, as the message is now.
pub fn with_words_of(mut data: Value, message: &Message) -> Value {
    data["preview"] = json!(preview(message));
    data
}

/// The data of a notification without the name of somebody whose account is gone.
pub fn without_name(mut data: Value) -> Value {
    data["username"] = json!(DELETED_USERNAME);
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T: FromValue + std::fmt::Debug>(value: &Value) -> &'static str {
        T::from_value(value).unwrap_err().code
    }

    fn room(n: u8) -> RoomId {
        RoomId::new(Timestamp::from_unix_ms(0), [n; 10])
    }

    #[test]
    fn a_kind_survives_its_stored_name_and_its_json() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }

    #[test]
    fn kinds_that_are_not_named_are_wanted() {
        let kinds = Kinds::from_value(&json!({"message": false})).unwrap().0;
        let wanted: Vec<bool> = Kind::ALL.iter().map(|kind| kinds[kind]).collect();
        assert_eq!(wanted, [true, true, false, true]);
        assert_eq!(code::<Kinds>(&json!({"poke": true})), "unknown_kind");
        assert_eq!(code::<Kinds>(&json!({"message": "no"})), "wrong_type");
        assert_eq!(code::<Kinds>(&json!([])), "wrong_type");
    }

    #[test]
    fn rooms_are_muted_for_ever_or_for_a_while() {
        let now = Timestamp::from_unix_ms(1_000_000);
        let later = now.after(std::time::Duration::from_secs(1));
        let written = json!([{"room_id": room(1)}, {"room_id": room(2), "muted_until": later}, {"room_id": room(3), "muted_until": now}]);
        let rooms = MutedRooms::from_value(&written).unwrap().0;
        assert_eq!(rooms.iter().map(|room| room.holds(now)).collect::<Vec<_>>(), [true, true, false]);
    }

    #[test]
    fn what_is_no_list_of_rooms_is_refused() {
        let many: Vec<Value> = (0..=MUTED_ROOMS_MAX).map(|_| json!({"room_id": room(1)})).collect();
        for (written, refused) in [
            (json!({}), "wrong_type"),
            (json!([1]), "wrong_type"),
            (json!([{}]), "wrong_type"),
            (json!([{"room_id": "x"}]), "invalid_id"),
            (json!([{"room_id": room(1), "muted_until": "tomorrow"}]), "invalid_time"),
            (json!([{"room_id": room(1)}, {"room_id": room(1)}]), "duplicate"),
            (Value::from(many), "too_many"),
        ] {
            assert_eq!(code::<MutedRooms>(&written), refused, "{written}");
        }
    }

    #[test]
    fn the_events_say_how_many_are_unread() {
        let user = UserId::new(Timestamp::from_unix_ms(0), [1; 10]);
        let id = NotificationId::new(Timestamp::from_unix_ms(0), [2; 10]);
        let at = Timestamp::from_unix_ms(0);
        let notification = Notification { id, kind: Kind::Welcome, data: json!({}), created_at: at, read_at: None };
        let event = sent(user, &notification, 3);
        let data: Value = serde_json::from_str(&event.data).unwrap();
        let expected = json!({
            "user_id": user, "id": id, "kind": "welcome", "data": {}, "created_at": at, "read_at": null, "unread_count": 3,
        });
        assert_eq!((event.topic, event.key, data), (Topic::NOTIFICATION, user.to_string(), expected));
        let data: Value = serde_json::from_str(&read(user, &Which::All, at, 0).data).unwrap();
        let expected = json!({
            "user_id": user, "ids": [], "room_id": null, "seq": null, "all": true, "read_at": at, "unread_count": 0,
        });
        assert_eq!(data, expected);
        let data: Value = serde_json::from_str(&read(user, &Which::Room(room(1), 7), at, 2).data).unwrap();
        assert_eq!((&data["room_id"], &data["seq"], &data["all"]), (&json!(room(1)), &json!(7), &json!(false)));
    }
}
