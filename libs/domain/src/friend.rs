//! Friend requests and friendships.

use crate::event::{Channel, Event, Topic};
use crate::id::{FriendRequestId, UserId};
use crate::problem::Problem;
use crate::time::Timestamp;
use crate::user::{Presence, User};
use serde::{Deserialize, Serialize};

/// Where a friend request stands. Only `pending` moves on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Waits for the addressee.
    Pending,
    /// The two are friends.
    Accepted,
    /// The addressee said no.
    Rejected,
    /// The requester took it back.
    Cancelled,
}

impl Status {
    /// As stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }

    /// From its stored name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pending, Self::Accepted, Self::Rejected, Self::Cancelled]
            .into_iter()
            .find(|status| status.name() == name)
    }
}

/// One user asks another to become friends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FriendRequest {
    /// Which.
    pub id: FriendRequestId,
    /// Who asks.
    pub requester_id: UserId,
    /// Who is asked.
    pub addressee_id: UserId,
    /// Where it stands.
    pub status: Status,
    /// Since when.
    pub created_at: Timestamp,
}

impl FriendRequest {
    /// The addressee answers. To anyone who is no party to the request it does not exist.
    pub fn answer(self, caller: UserId, answer: Status) -> Result<Self, Problem> {
        if caller == self.requester_id {
            return Err(Problem::new(403, "not_addressee", "Only the one who was asked can answer a friend request."));
        }
        if caller != self.addressee_id {
            return Err(Problem::not_found());
        }
        if self.status != Status::Pending {
            return Err(Problem::conflict(
                "request_not_pending",
                format!("This friend request is already {}.", self.status.name()),
            ));
        }
        Ok(Self { status: answer, ..self })
    }
}

/// A friend, as the list shows them.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Friend {
    /// The public profile.
    #[serde(flatten)]
    pub user: User,
    /// Whether they are there.
    pub presence: Presence,
    /// Since when the two are friends.
    pub friends_since: Timestamp,
}

/// A pair of users, in an order that does not depend on who asks: the key of a friendship.
pub fn pair(a: UserId, b: UserId) -> (UserId, UserId) {
    if a <= b { (a, b) } else { (b, a) }
}

/// Somebody was asked.
pub fn requested(request: &FriendRequest) -> Event {
    Event::new(Topic::FRIEND, request.addressee_id, "plaza.friend.FriendRequestSent.v1", request)
        .also_to([Channel::user(request.requester_id)])
}

/// Two became friends.
pub fn accepted(request: &FriendRequest) -> Event {
    Event::new(Topic::FRIEND, request.requester_id, "plaza.friend.FriendRequestAccepted.v1", request)
        .also_to([Channel::user(request.addressee_id)])
}

/// Somebody said no. The addressee's own devices learn of it; the requester is not told on a stream.
pub fn rejected(request: &FriendRequest) -> Event {
    Event::new(Topic::FRIEND, request.addressee_id, "plaza.friend.FriendRequestRejected.v1", request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: u8) -> UserId {
        UserId::new(Timestamp::from_unix_ms(0), [n; 10])
    }

    fn request(status: Status) -> FriendRequest {
        let id = FriendRequestId::new(Timestamp::from_unix_ms(0), [9; 10]);
        FriendRequest {
            id,
            requester_id: user(1),
            addressee_id: user(2),
            status,
            created_at: Timestamp::from_unix_ms(0),
        }
    }

    #[test]
    fn only_the_addressee_answers_and_only_once() {
        let answered = request(Status::Pending).answer(user(2), Status::Accepted).unwrap();
        assert_eq!(answered.status, Status::Accepted);
        assert_eq!(request(Status::Pending).answer(user(1), Status::Accepted).unwrap_err().status, 403);
        assert_eq!(request(Status::Pending).answer(user(3), Status::Accepted).unwrap_err().status, 404);
        for done in [Status::Accepted, Status::Rejected, Status::Cancelled] {
            assert_eq!(request(done).answer(user(2), Status::Rejected).unwrap_err().code, "request_not_pending");
        }
    }

    #[test]
    fn a_pair_is_the_same_from_both_sides() {
        assert_eq!(pair(user(1), user(2)), pair(user(2), user(1)));
    }

    #[test]
    fn a_status_survives_its_stored_name() {
        for status in [Status::Pending, Status::Accepted, Status::Rejected, Status::Cancelled] {
            assert_eq!(Status::from_name(status.name()), Some(status));
        }
    }
}
