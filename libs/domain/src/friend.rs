//! Friend requests and friendships.

use crate::event::{Action, Channel, Event, Topic};
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
    /// Whether the addressee does not know of it: they block, or blocked, the requester. Only this context knows.
    #[serde(skip)]
    pub hidden: bool,
}

impl FriendRequest {
    /// The addressee answers. To anyone who is no party to the request it does not exist.
    pub fn answer(self, caller: UserId, answer: Status) -> Result<Self, Problem> {
        if caller == self.requester_id {
            return Err(Problem::new(403, "not_addressee", "Only the one who was asked can answer a friend request."));
        }
        self.seen_by(caller)?.ended(answer)
    }

    /// The requester takes it back. To anyone who is no party to the request it does not exist.
    pub fn cancel(self, caller: UserId) -> Result<Self, Problem> {
        let request = self.seen_by(caller)?;
        if caller != request.requester_id {
            return Err(Problem::new(403, "not_requester", "Only the one who asked can take a friend request back."));
        }
        request.ended(Status::Cancelled)
    }

    /// This request, to those who may know of it.
    fn seen_by(self, caller: UserId) -> Result<Self, Problem> {
        let seen = caller == self.requester_id || caller == self.addressee_id && !self.hidden;
        if seen { Ok(self) } else { Err(Problem::not_found()) }
    }

    fn ended(self, status: Status) -> Result<Self, Problem> {
        if self.status == Status::Pending {
            return Ok(Self { status, ..self });
        }
        let detail = format!("This friend request is already {}.", self.status.name());
        Err(Problem::conflict("request_not_pending", detail))
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

/// Somebody whom the caller blocks, as the list shows them.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BlockedUser {
    /// The public profile.
    pub user: User,
    /// Since when.
    pub blocked_at: Timestamp,
}

/// A pair of users, in an order that does not depend on who asks: the key of a friendship.
pub fn pair(a: UserId, b: UserId) -> (UserId, UserId) {
    if a <= b { (a, b) } else { (b, a) }
}

/// What is between two people. It is what a change of this context locks: from both sides, and whatever they do at the same
/// time, one change comes after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Between {
    /// The two, in the order of [`pair`].
    pub people: (UserId, UserId),
    /// The newest request of one to the other, wherever it stands.
    pub request: Option<FriendRequest>,
    /// Since when they are friends.
    pub friends_since: Option<Timestamp>,
    /// Since when the first blocks the second.
    pub first_blocks_since: Option<Timestamp>,
    /// Since when the second blocks the first.
    pub second_blocks_since: Option<Timestamp>,
}

impl Between {
    /// Two who have had nothing to do with each other.
    pub fn strangers(a: UserId, b: UserId) -> Self {
        let people = pair(a, b);
        Self { people, request: None, friends_since: None, first_blocks_since: None, second_blocks_since: None }
    }

    /// Since when `user` blocks the other.
    pub fn blocks_since(&self, user: UserId) -> Option<Timestamp> {
        if user == self.people.0 { self.first_blocks_since } else { self.second_blocks_since }
    }

    /// The other one.
    pub fn other(&self, user: UserId) -> UserId {
        if user == self.people.0 { self.people.1 } else { self.people.0 }
    }

    /// `caller` asks the other to become friends, by a request of this id; where the other asked first, it is a yes. To
    /// somebody who is blocked it looks as if nobody blocked them.
    pub fn ask(
        &mut self,
        caller: UserId,
        id: FriendRequestId,
        now: Timestamp,
    ) -> Result<(FriendRequest, Event), Problem> {
        let other = self.other(caller);
        if self.blocks_since(caller).is_some() {
            return Err(Problem::conflict("blocked", "You block this user. Unblock them first."));
        }
        if self.friends_since.is_some() {
            return Err(Problem::conflict("already_friends", "You are friends already."));
        }
        match self.waiting() {
            Some(waiting) if waiting.requester_id == caller => {
                Err(Problem::conflict("request_exists", "You have asked already; the request waits for an answer."))
            }
            // Whether or not they know of the request: both want it.
            Some(waiting) => Ok(self.end(FriendRequest { status: Status::Accepted, ..waiting.clone() }, now)),
            None => {
                let hidden = self.blocks_since(other).is_some();
                let status = Status::Pending;
                let request =
                    FriendRequest { id, requester_id: caller, addressee_id: other, status, created_at: now, hidden };
                self.request = Some(request.clone());
                let event = requested(&request);
                Ok((request, event))
            }
        }
    }

    /// The addressee of a request answers it.
    pub fn answer(
        &mut self,
        caller: UserId,
        request: FriendRequest,
        answer: Status,
        now: Timestamp,
    ) -> Result<(FriendRequest, Event), Problem> {
        let answered = request.answer(caller, answer)?;
        Ok(self.end(answered, now))
    }

    /// The requester takes a request back.
    pub fn cancel(&mut self, caller: UserId, request: FriendRequest, now: Timestamp) -> Result<Event, Problem> {
        let cancelled = request.cancel(caller)?;
        Ok(self.end(cancelled, now).1)
    }

    /// `caller` ends the friendship.
    pub fn unfriend(&mut self, caller: UserId, now: Timestamp) -> Result<Event, Problem> {
        self.friends_since.take().ok_or_else(Problem::not_found)?;
        Ok(removed(caller, self.other(caller), now))
    }

    /// `caller` blocks the other; nothing where they do so already. A friendship ends, a request of theirs is taken back, and
    /// one of the other's they no longer see.
    pub fn block(&mut self, caller: UserId, now: Timestamp) -> Vec<Event> {
        if self.blocks_since(caller).is_some() {
            return Vec::new();
        }
        let other = self.other(caller);
        let mut events = self.part(caller, now);
        if let Some(request) = self.request.as_mut().filter(|request| request.requester_id == other) {
            request.hidden |= request.status == Status::Pending;
        }
        self.set_blocks_since(caller, Some(now));
        events.push(blocked(&Block { user_id: caller, blocked_user_id: other, at: now }));
        events
    }

    /// `caller` no longer blocks the other. What the other asked meanwhile stays hidden: they may take it back and ask again.
    pub fn unblock(&mut self, caller: UserId, now: Timestamp) -> Result<Event, Problem> {
        self.blocks_since(caller).ok_or_else(Problem::not_found)?;
        self.set_blocks_since(caller, None);
        Ok(unblocked(&Block { user_id: caller, blocked_user_id: self.other(caller), at: now }))
    }

    /// `leaving` wants nothing more of the other: they are no friends, and what `leaving` asked is taken back.
    pub fn part(&mut self, leaving: UserId, now: Timestamp) -> Vec<Event> {
        let mut events: Vec<Event> = self.unfriend(leaving, now).into_iter().collect();
        let asked = self.waiting().filter(|request| request.requester_id == leaving);
        if let Some(request) = asked.cloned() {
            events.push(self.end(FriendRequest { status: Status::Cancelled, ..request }, now).1);
        }
        events
    }

    /// `gone` is no longer there: neither is anything between the two. What the other had asked ends without a word, as it would by
    /// a no.
    pub fn forget(&mut self, gone: UserId, now: Timestamp) -> Vec<Event> {
        let events = self.part(gone, now);
        let waiting = self.waiting().cloned();
        if let Some(request) = waiting {
            self.request = Some(FriendRequest { status: Status::Rejected, ..request });
        }
        (self.first_blocks_since, self.second_blocks_since) = (None, None);
        events
    }

    /// The request that waits for an answer.
    fn waiting(&self) -> Option<&FriendRequest> {
        self.request.as_ref().filter(|request| request.status == Status::Pending)
    }

    /// The request that waited no longer does.
    fn end(&mut self, mut request: FriendRequest, now: Timestamp) -> (FriendRequest, Event) {
        let event = match request.status {
            Status::Accepted => {
                request.hidden = false;
                self.friends_since = Some(now);
                accepted(&request)
            }
            Status::Cancelled => cancelled(&request),
            Status::Rejected | Status::Pending => rejected(&request),
        };
        self.request = Some(request.clone());
        (request, event)
    }

    fn set_blocks_since(&mut self, user: UserId, since: Option<Timestamp>) {
        let side = if user == self.people.0 { &mut self.first_blocks_since } else { &mut self.second_blocks_since };
        *side = since;
    }
}

/// The data of the events of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Block {
    /// Who blocks, or no longer does.
    pub user_id: UserId,
    /// Whom.
    pub blocked_user_id: UserId,
    /// Since when; of the end of a block, when that was.
    pub at: Timestamp,
}

/// The data of the end of a friendship.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Removed {
    /// Who ended it.
    pub user_id: UserId,
    /// The other one.
    pub friend_id: UserId,
    /// When.
    pub at: Timestamp,
}

/// Somebody was asked.
pub fn requested(request: &FriendRequest) -> Event {
    asked("plaza.friend.FriendRequestSent.v1", request)
}

/// Somebody who asked took it back.
pub fn cancelled(request: &FriendRequest) -> Event {
    asked("plaza.friend.FriendRequestCancelled.v1", request)
}

/// An event of the requester's. The addressee is told, and the requester's own devices; those alone where the addressee does not
/// know of the request. The key is who is told.
fn asked(kind: &'static str, request: &FriendRequest) -> Event {
    if request.hidden {
        return Event::new(Topic::FRIEND, request.requester_id, kind, request);
    }
    Event::new(Topic::FRIEND, request.addressee_id, kind, request).also_to([Channel::user(request.requester_id)])
}

/// The streams of a user that listen to friends.
fn both(user: UserId) -> [Channel; 2] {
    [Channel::user(user), Channel::friendships(user)]
}

/// Two became friends. Their streams begin to listen to each other.
pub fn accepted(request: &FriendRequest) -> Event {
    let (requester, addressee) = (request.requester_id, request.addressee_id);
    Event::new(Topic::FRIEND, requester, "plaza.friend.FriendRequestAccepted.v1", request)
        .also_to([requester, addressee].into_iter().flat_map(both))
        .with_action(Action::Hint)
}

/// Somebody said no. The addressee's own devices learn of it; the requester is not told on a stream.
pub fn rejected(request: &FriendRequest) -> Event {
    Event::new(Topic::FRIEND, request.addressee_id, "plaza.friend.FriendRequestRejected.v1", request)
}

/// Two are friends no longer: `user_id` ended it. Their streams no longer listen to each other.
pub fn removed(user_id: UserId, friend_id: UserId, at: Timestamp) -> Event {
    let data = Removed { user_id, friend_id, at };
    Event::new(Topic::FRIEND, friend_id, "plaza.friend.FriendRemoved.v1", &data)
        .also_to([user_id, friend_id].into_iter().flat_map(both))
        .with_action(Action::Hint)
}

/// Somebody blocks another. Only they are told.
pub fn blocked(block: &Block) -> Event {
    Event::new(Topic::FRIEND, block.user_id, "plaza.friend.UserBlocked.v1", block)
}

/// Somebody no longer blocks another. Only they are told.
pub fn unblocked(block: &Block) -> Event {
    Event::new(Topic::FRIEND, block.user_id, "plaza.friend.UserUnblocked.v1", block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            hidden: false,
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
    fn only_the_requester_takes_a_request_back_and_only_once() {
        assert_eq!(request(Status::Pending).cancel(user(1)).unwrap().status, Status::Cancelled);
        assert_eq!(request(Status::Pending).cancel(user(2)).unwrap_err().code, "not_requester");
        assert_eq!(request(Status::Pending).cancel(user(3)).unwrap_err().status, 404);
        for done in [Status::Accepted, Status::Rejected, Status::Cancelled] {
            assert_eq!(request(done).cancel(user(1)).unwrap_err().code, "request_not_pending");
        }
    }

    #[test]
    fn a_hidden_request_is_nothing_to_its_addressee() {
        let hidden = |status| FriendRequest { hidden: true, ..request(status) };
        for status in [Status::Pending, Status::Cancelled] {
            assert_eq!(hidden(status).answer(user(2), Status::Accepted).unwrap_err().code, "not_found");
            assert_eq!(hidden(status).cancel(user(2)).unwrap_err().code, "not_found");
        }
        let shown = serde_json::to_string(&hidden(Status::Pending)).unwrap();
        assert_eq!(shown, serde_json::to_string(&request(Status::Pending)).unwrap());
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

    /// Something that one of the two does.
    #[derive(Debug, Clone, Copy)]
    enum Deed {
        Ask,
        Answer(Status),
        Cancel,
        Unfriend,
        Block,
        Unblock,
    }

    fn deed() -> impl Strategy<Value = Deed> {
        prop_oneof![
            Just(Deed::Ask),
            Just(Deed::Answer(Status::Accepted)),
            Just(Deed::Answer(Status::Rejected)),
            Just(Deed::Cancel),
            Just(Deed::Unfriend),
            Just(Deed::Block),
            Just(Deed::Unblock),
        ]
    }

    /// What somebody sees of a deed of theirs: a request, or the code of a refusal.
    type Seen = Result<Option<FriendRequest>, &'static str>;

    /// Does it, at time `n`. Gives what the one who did it sees, and the events.
    fn act(between: &mut Between, who: UserId, deed: Deed, n: u8) -> (Seen, Vec<Event>) {
        let now = Timestamp::from_unix_ms(n.into());
        let shown = |request: FriendRequest| Some(FriendRequest { hidden: false, ..request });
        let newest = between.request.clone().ok_or_else(Problem::not_found);
        let done = match deed {
            Deed::Ask => {
                let id = FriendRequestId::new(now, [n; 10]);
                between.ask(who, id, now).map(|(request, event)| (shown(request), vec![event]))
            }
            Deed::Answer(answer) => newest
                .and_then(|request| between.answer(who, request, answer, now))
                .map(|(request, event)| (shown(request), vec![event])),
            Deed::Cancel => {
                newest.and_then(|request| between.cancel(who, request, now)).map(|event| (None, vec![event]))
            }
            Deed::Unfriend => between.unfriend(who, now).map(|event| (None, vec![event])),
            Deed::Block => Ok((None, between.block(who, now))),
            Deed::Unblock => between.unblock(who, now).map(|event| (None, vec![event])),
        };
        done.map_or_else(|problem| (Err(problem.code), Vec::new()), |(request, events)| (Ok(request), events))
    }

    /// The events that a user's stream carries: those of their key, and those to their channel.
    fn heard(events: Vec<Event>, who: UserId) -> Vec<(&'static str, String)> {
        let to = |event: &Event| event.key == who.to_string() || event.channels.contains(&Channel::user(who));
        events.into_iter().filter(to).map(|event| (event.kind, event.data)).collect()
    }

    proptest! {
        #[test]
        fn whatever_two_do_nobody_is_a_friend_of_whom_they_block(deeds in prop::collection::vec((any::<bool>(), deed()), 0..40)) {
            let mut between = Between::strangers(user(1), user(2));
            for (n, (first, deed)) in (1..).zip(deeds) {
                let who = if first { user(1) } else { user(2) };
                let before = between.clone();
                let (seen, events) = act(&mut between, who, deed, n);
                if seen.is_err() {
                    prop_assert_eq!(&between, &before, "a refusal changes nothing");
                }
                let blocked = [user(1), user(2)].map(|user| between.blocks_since(user).is_some());
                prop_assert!(between.friends_since.is_none() || blocked == [false, false]);
                prop_assert!(between.friends_since.is_none() || between.waiting().is_none());
                if let Some(waiting) = between.waiting() {
                    prop_assert!(between.blocks_since(waiting.requester_id).is_none());
                    prop_assert!(waiting.hidden || between.blocks_since(waiting.addressee_id).is_none());
                }
                for event in events {
                    // Whoever blocks somebody hears nothing of what they do.
                    if between.blocks_since(between.other(who)).is_some() {
                        prop_assert!(heard(vec![event.clone()], between.other(who)).is_empty(), "{event:?}");
                    }
                    let of_a_block = event.kind.contains("Blocked") || event.kind.contains("Unblocked");
                    prop_assert!(!of_a_block || heard(vec![event], between.other(who)).is_empty());
                }
            }
        }

        #[test]
        fn of_somebody_who_is_gone_nothing_is_left(deeds in prop::collection::vec((any::<bool>(), deed()), 0..20)) {
            let (gone, other) = (user(1), user(2));
            let mut between = Between::strangers(gone, other);
            for (n, (first, deed)) in (1..).zip(deeds) {
                drop(act(&mut between, if first { gone } else { other }, deed, n));
            }
            let before = between.clone();
            let events = between.forget(gone, Timestamp::from_unix_ms(100));
            prop_assert!(between.friends_since.is_none() && between.waiting().is_none());
            prop_assert!([gone, other].iter().all(|user| between.blocks_since(*user).is_none()));
            let heard = heard(events, other);
            prop_assert_eq!(heard.iter().filter(|(kind, _)| kind.contains("Removed")).count(), usize::from(before.friends_since.is_some()));
            let asked = before.waiting().is_some_and(|request| request.requester_id == gone && !request.hidden);
            prop_assert_eq!(heard.iter().filter(|(kind, _)| kind.contains("Cancelled")).count(), usize::from(asked));
            prop_assert_eq!(between.forget(gone, Timestamp::from_unix_ms(101)), []);
        }

        /// The history up to a block is any; after it the blocked one does what they like. They see and hear what they would if
        /// the other had ended the friendship, taken their request back and not looked at anything since.
        #[test]
        fn the_blocked_one_sees_what_they_would_of_somebody_who_left(
            before in prop::collection::vec((any::<bool>(), deed()), 0..12),
            after in prop::collection::vec((deed(), any::<bool>()), 0..12),
        ) {
            let (blocker, blocked) = (user(1), user(2));
            let mut real = Between::strangers(blocker, blocked);
            for (n, (first, deed)) in (1..).zip(before) {
                let who = if first { blocker } else { blocked };
                drop(act(&mut real, who, deed, n));
            }
            // What was hidden by a block before this one is of no interest here.
            drop(act(&mut real, blocker, Deed::Unblock, 100));
            let mut other = real.clone();
            let at_the_block = act(&mut real, blocker, Deed::Block, 101).1;
            let at_the_parting = other.part(blocker, Timestamp::from_unix_ms(101));
            prop_assert_eq!(heard(at_the_block, blocked), heard(at_the_parting, blocked));
            for (n, (deed, and_again)) in (102..).zip(after) {
                let (seen, events) = act(&mut real, blocked, deed, n);
                let (seen_of_other, events_of_other) = act(&mut other, blocked, deed, n);
                prop_assert_eq!(seen, seen_of_other, "{:?}", deed);
                prop_assert_eq!(heard(events, blocked), heard(events_of_other, blocked), "{:?}", deed);
                if and_again {
                    drop(act(&mut real, blocker, Deed::Unblock, n));
                    let events = act(&mut real, blocker, Deed::Block, n).1;
                    prop_assert_eq!(heard(events, blocked), []);
                }
            }
        }
    }
}
