//! The two things that no pure function can make: the time, and identifiers that nobody has had.

use crate::secret;
use plaza_domain::{Timestamp, id};
use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now.
pub fn now() -> Timestamp {
    Timestamp::from_unix_ms(i64::try_from(since_epoch().as_millis()).unwrap_or(i64::MAX))
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Something that is made of a point in time and chance.
pub trait Fresh {
    /// Makes one.
    fn fresh() -> Self;
}

thread_local! {
    static NEWEST: Cell<u64> = const { Cell::new(0) };
}

/// The time and the chance that an identifier is made of. Identifiers sort in the order in which they are made: the first
/// twelve bits after the milliseconds are the fraction of the millisecond (RFC 9562, section 6.2, method 3), and one that is
/// made within the same 244 ns counts on from the last.
fn material() -> (Timestamp, [u8; 10]) {
    let since_epoch = since_epoch();
    let fraction = u64::from(since_epoch.subsec_nanos() % 1_000_000) * 4096 / 1_000_000;
    let ticks = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX >> 12) << 12 | fraction;
    let ticks = ticks.max(NEWEST.get() + 1);
    NEWEST.set(ticks);
    let mut chance = secret::random::<10>();
    chance[..2].copy_from_slice(&u16::try_from(ticks & 0xfff).unwrap_or_default().to_be_bytes());
    (Timestamp::from_unix_ms(i64::try_from(ticks >> 12).unwrap_or(i64::MAX)), chance)
}

macro_rules! fresh {
    ($($id:ident)*) => {$(
        impl Fresh for id::$id {
            fn fresh() -> Self {
                let (now, chance) = material();
                Self::new(now, chance)
            }
        }
    )*};
}

fresh! { UserId SessionId FriendRequestId RoomId MessageId NotificationId EventId }
