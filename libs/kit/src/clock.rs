//! The two things that no pure function can make: the time, and identifiers that nobody has had.

use crate::secret;
use plaza_domain::{Timestamp, id};
use std::time::{SystemTime, UNIX_EPOCH};

/// Now.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// Something that is made of a point in time and chance.
pub trait Fresh {
    /// Makes one.
    fn fresh() -> Self;
}

macro_rules! fresh {
    ($($id:ident)*) => {$(
        impl Fresh for id::$id {
            fn fresh() -> Self {
                Self::new(now(), secret::random())
            }
        }
    )*};
}

fresh! { UserId SessionId FriendRequestId RoomId MessageId NotificationId EventId }
