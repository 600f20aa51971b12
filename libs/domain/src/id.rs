//! Identifiers: UUID version 7 (RFC 9562), one type per kind of thing, so that a room's id cannot stand where a
//! user's is wanted. To clients they are opaque strings.

use crate::input::{FromValue, Invalid};
use crate::schema::schema;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// A string that is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id")
    }
}

impl std::error::Error for NotAnId {}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identifier. Those made later sort after those made earlier, to the millisecond.
            pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
                Self(uuid_v7(now, random))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            /// Takes only the canonical form (36 characters, lower case), so that one thing has one name.
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let id = Uuid::try_parse(text).map_err(|_| NotAnId)?;
                let mut canonical = Uuid::encode_buffer();
                if id.as_hyphenated().encode_lower(&mut canonical) != text {
                    return Err(NotAnId);
                }
                Ok(Self(id))
            }
        }

        impl FromValue for $name {
            fn from_value(value: &serde_json::Value) -> Result<Self, Invalid> {
                let text = value.as_str().ok_or(Invalid::type_of("a string"))?;
                text.parse().map_err(|_| Invalid::new("invalid_id", "is not an id"))
            }
        }

        schema!($name, { "type": "string", "format": "uuid", "pattern": crate::schema::ID_PATTERN });
    )*};
}

ids! {
    /// An account.
    UserId
    /// A signed-in device: the family of refresh tokens that began with one login.
    SessionId
    /// A request to become friends.
    FriendRequestId
    /// A chat room.
    RoomId
    /// A message in a room.
    MessageId
    /// A notification of one user.
    NotificationId
    /// An event: CloudEvents `id`, the key by which everyone downstream knows a repeat.
    EventId
}

/// UUID version 7: 48 bits of Unix time in milliseconds, 74 random bits (RFC 9562, section 5.7).
fn uuid_v7(now: Timestamp, random: [u8; 10]) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&now.unix_ms().to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&random);
    bytes[6] = bytes[6] & 0x0f | 0x70;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_survives_its_text_form_and_is_version_7(ms in 0..=253_402_300_799_999i64, random: [u8; 10]) {
            let id = UserId::new(Timestamp::from_unix_ms(ms), random);
            prop_assert_eq!(id.to_string().parse::<UserId>(), Ok(id));
            prop_assert_eq!(id.0.get_version_num(), 7);
            prop_assert_eq!(id.0.get_variant(), uuid::Variant::RFC4122);
        }

        #[test]
        fn later_ids_sort_after_earlier_ones(ms in 0..1_000_000_000_000i64, a: [u8; 10], b: [u8; 10]) {
            let earlier = RoomId::new(Timestamp::from_unix_ms(ms), a);
            let later = RoomId::new(Timestamp::from_unix_ms(ms + 1), b);
            prop_assert!(earlier < later && earlier.to_string() < later.to_string());
        }
    }

    #[test]
    fn only_the_canonical_form_is_an_id() {
        for text in [
            "",
            "1",
            "0190A1B2-0000-7000-8000-000000000000",
            "{0190a1b2-0000-7000-8000-000000000000}",
            "0190a1b2000070008000000000000000",
            "0190a1b2-0000-7000-8000-000000000000 ",
        ] {
            assert_eq!(text.parse::<UserId>(), Err(NotAnId), "{text:?}");
        }
    }
}
