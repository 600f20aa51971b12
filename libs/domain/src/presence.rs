//! Whether somebody is there: what is told of it, and how long a sign of life counts.
//!
//! A user is online as long as anything holds them so: a relay with a stream of theirs, or a heartbeat.

use crate::event::{Event, Topic};
use crate::id::UserId;
use crate::time::Timestamp;
use crate::user::Presence;

/// The most users that one report of a relay names.
pub const REPORT_USERS_MAX: usize = 1_000;

/// What the channel of somebody's streams begins with; their id follows.
pub const CHANNEL_PREFIX: &str = "presence:";

/// The user whose streams a channel stands for.
pub fn user_of(channel: &str) -> Option<UserId> {
    channel.strip_prefix(CHANNEL_PREFIX)?.parse().ok()
}

/// Something that holds a user online.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// When it ends; open where it lasts until it is let go.
    pub until: Option<Timestamp>,
    /// When the user was last known to be there by it.
    pub seen_at: Timestamp,
}

impl Hold {
    /// Whether it has ended.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// Whether a user is online by these holds, and since when, or until when, they are known to have been there. `before` is how
/// it stood; nothing where that has not changed.
pub fn change(before: &Presence, holds: &[Hold], now: Timestamp) -> Option<Presence> {
    let online = holds.iter().any(|hold| !hold.is_over(now));
    if online == before.online {
        return None;
    }
    let last_seen = holds.iter().map(|hold| hold.seen_at).max().or(before.last_seen_at);
    let last_seen_at = if online { Some(now) } else { last_seen };
    Some(Presence { user_id: before.user_id, online, last_seen_at })
}

/// Somebody came or went.
pub fn status_changed(presence: &Presence) -> Event {
    Event::new(Topic::ONLINE_STATUS, presence.user_id, "plaza.user.UserOnlineStatusChanged.v1", presence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Channel;

    fn at(unix_ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(unix_ms)
    }

    fn anna(online: bool, last_seen_at: Option<i64>) -> Presence {
        Presence { user_id: UserId::new(at(0), [1; 10]), online, last_seen_at: last_seen_at.map(at) }
    }

    fn hold(until: Option<i64>, seen_at: i64) -> Hold {
        Hold { until: until.map(at), seen_at: at(seen_at) }
    }

    #[test]
    fn one_hold_is_enough_and_the_last_one_counts() {
        let now = at(1_000);
        let (open, grace, over) = (hold(None, 0), hold(Some(1_001), 500), hold(Some(1_000), 700));
        assert_eq!(change(&anna(false, None), &[over, open], now), Some(anna(true, Some(1_000))));
        assert_eq!(change(&anna(true, Some(3)), &[over, grace], now), None);
        assert_eq!(change(&anna(true, Some(3)), &[over, hold(Some(9), 900)], now), Some(anna(false, Some(900))));
        assert_eq!(change(&anna(false, Some(3)), &[over], now), None);
        assert_eq!(change(&anna(true, Some(3)), &[], now), Some(anna(false, Some(3))));
    }

    #[test]
    fn a_channel_names_its_user() {
        let user = anna(true, None).user_id;
        assert_eq!(user_of(Channel::presence(user).name()), Some(user));
        assert_eq!(user_of("presence:nobody"), None);
        assert_eq!(user_of(&format!("user:{user}")), None);
    }
}
