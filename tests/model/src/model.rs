//! What Plaza should make of each step, as simply as it can be written: one thread, no failures, nothing but the rules.

use std::collections::{BTreeMap, BTreeSet};

use crate::PEOPLE;

/// With what people react here.
pub(crate) const EMOJI: [&str; 3] = ["👍", "❤️", "🇰🇷"];

/// A person.
pub(crate) type Who = usize;

/// What Plaza answers: the status, or the status and the code of a problem.
pub(crate) type Answer = Result<u16, (u16, &'static str)>;

const NOT_FOUND: Answer = Err((404, "not_found"));

/// Where a friend request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    Accepted,
    Rejected,
    Cancelled,
}

/// A friend request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) from: Who,
    pub(crate) to: Who,
    pub(crate) status: Status,
    /// The one who was asked does not know of it.
    pub(crate) hidden: bool,
}

/// A message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) author: Who,
    /// `None` once it is deleted.
    pub(crate) content: Option<String>,
    pub(crate) edits: Vec<String>,
    pub(crate) reply_to: Option<usize>,
    /// In the order of their first use; nobody is there twice.
    pub(crate) reactions: Vec<(usize, Vec<Who>)>,
}

/// A room.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) direct: bool,
    pub(crate) name: Option<String>,
    pub(crate) owner: Option<Who>,
    /// In the order in which they came.
    pub(crate) members: Vec<Who>,
    pub(crate) messages: Vec<Message>,
    /// Up to which message each has read.
    pub(crate) read: BTreeMap<Who, usize>,
}

/// What a notification is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum About {
    Welcome,
    Asked { request: usize },
    Accepted { request: usize },
    Message { room: usize, seq: usize },
}

/// A notification, and whether it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Notification {
    pub(crate) to: Who,
    pub(crate) about: About,
    pub(crate) read: bool,
}

/// All that Plaza knows of the people of one history.
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) requests: Vec<Request>,
    pub(crate) friends: BTreeSet<(Who, Who)>,
    /// Who blocks whom.
    pub(crate) blocks: BTreeSet<(Who, Who)>,
    pub(crate) rooms: Vec<Room>,
    pub(crate) muted: BTreeSet<(Who, usize)>,
    pub(crate) notifications: Vec<Notification>,
    /// Who holds a stream.
    pub(crate) online: BTreeSet<Who>,
    /// Whose account is gone.
    pub(crate) gone: BTreeSet<Who>,
}

impl Default for Model {
    /// Everybody has just come, and listens.
    fn default() -> Self {
        let welcome = |to| Notification { to, about: About::Welcome, read: false };
        Self {
            requests: Vec::new(),
            friends: BTreeSet::new(),
            blocks: BTreeSet::new(),
            rooms: Vec::new(),
            muted: BTreeSet::new(),
            notifications: (0..PEOPLE).map(welcome).collect(),
            online: (0..PEOPLE).collect(),
            gone: BTreeSet::new(),
        }
    }
}

fn pair(a: Who, b: Who) -> (Who, Who) {
    (a.min(b), a.max(b))
}

/// Friends.
impl Model {
    pub(crate) fn are_friends(&self, a: Who, b: Who) -> bool {
        self.friends.contains(&pair(a, b))
    }

    pub(crate) fn blocks(&self, who: Who, whom: Who) -> bool {
        self.blocks.contains(&(who, whom))
    }

    /// Whether the two are hidden from each other.
    pub(crate) fn are_hidden(&self, a: Who, b: Who) -> bool {
        self.blocks(a, b) || self.blocks(b, a)
    }

    /// Whether somebody sees that another is there.
    pub(crate) fn sees_online(&self, who: Who, whom: Who) -> bool {
        self.online.contains(&whom) && !self.are_hidden(who, whom)
    }

    fn waiting(&self, from: Who, to: Who) -> Option<usize> {
        self.requests
            .iter()
            .position(|request| (request.from, request.to) == (from, to) && request.status == Status::Pending)
    }

    /// The number of the request that this makes or accepts is given with the answer.
    pub(crate) fn ask(&mut self, who: Who, whom: Who) -> (Answer, Option<usize>) {
        let refuse = |status, code| (Err((status, code)), None);
        if who == whom {
            return refuse(400, "cannot_befriend_yourself");
        }
        if self.blocks(who, whom) {
            return refuse(409, "blocked");
        }
        if self.are_friends(who, whom) {
            return refuse(409, "already_friends");
        }
        if self.waiting(who, whom).is_some() {
            return refuse(409, "request_exists");
        }
        if let Some(theirs) = self.waiting(whom, who) {
            self.end(theirs, Status::Accepted);
            return (Ok(200), Some(theirs));
        }
        let hidden = self.blocks(whom, who);
        let request = self.requests.len();
        self.requests.push(Request { from: who, to: whom, status: Status::Pending, hidden });
        if !hidden {
            self.notify(whom, About::Asked { request });
        }
        (Ok(201), Some(request))
    }

    pub(crate) fn answer(&mut self, who: Who, request: usize, status: Status) -> Answer {
        let asked = &self.requests[request];
        if who == asked.from {
            return Err((403, "not_addressee"));
        }
        if who != asked.to || asked.hidden {
            return NOT_FOUND;
        }
        if asked.status != Status::Pending {
            return Err((409, "request_not_pending"));
        }
        self.end(request, status);
        Ok(200)
    }

    pub(crate) fn cancel(&mut self, who: Who, request: usize) -> Answer {
        let asked = &self.requests[request];
        if who != asked.from && (who != asked.to || asked.hidden) {
            return NOT_FOUND;
        }
        if who == asked.to {
            return Err((403, "not_requester"));
        }
        if asked.status != Status::Pending {
            return Err((409, "request_not_pending"));
        }
        self.end(request, Status::Cancelled);
        Ok(204)
    }

    fn end(&mut self, request: usize, status: Status) {
        let ended = &mut self.requests[request];
        ended.status = status;
        let (from, to) = (ended.from, ended.to);
        match status {
            Status::Accepted => {
                ended.hidden = false;
                self.friends.insert(pair(from, to));
                self.notify(from, About::Accepted { request });
            }
            // There is nothing to answer any more.
            Status::Cancelled => {
                for told in self.notifications.iter_mut().filter(|told| told.about == About::Asked { request }) {
                    told.read = true;
                }
            }
            Status::Rejected | Status::Pending => {}
        }
    }

    pub(crate) fn unfriend(&mut self, who: Who, whom: Who) -> Answer {
        if self.friends.remove(&pair(who, whom)) { Ok(204) } else { NOT_FOUND }
    }

    pub(crate) fn block(&mut self, who: Who, whom: Who) -> Answer {
        if who == whom {
            return Err((400, "cannot_block_yourself"));
        }
        if !self.blocks.insert((who, whom)) {
            return Ok(200);
        }
        self.friends.remove(&pair(who, whom));
        if let Some(mine) = self.waiting(who, whom) {
            self.end(mine, Status::Cancelled);
        }
        if let Some(theirs) = self.waiting(whom, who) {
            self.requests[theirs].hidden = true;
        }
        Ok(201)
    }

    pub(crate) fn unblock(&mut self, who: Who, whom: Who) -> Answer {
        if self.blocks.remove(&(who, whom)) { Ok(204) } else { NOT_FOUND }
    }
}

/// Rooms.
impl Model {
    fn is_in(&self, who: Who, room: usize) -> bool {
        self.rooms[room].members.contains(&who)
    }

    /// Whether somebody who is in a room can write there.
    fn may_write(&self, who: Who, room: usize) -> Result<(), (u16, &'static str)> {
        let room = &self.rooms[room];
        let other = room.members.iter().copied().find(|member| room.direct && *member != who);
        match other {
            Some(other) if self.blocks(who, other) => Err((409, "blocked")),
            Some(other) if self.blocks(other, who) => Err((403, "cannot_message")),
            _ => Ok(()),
        }
    }

    /// The direct room of these two.
    pub(crate) fn direct_room_of(&self, a: Who, b: Who) -> Option<usize> {
        self.rooms.iter().position(|room| room.direct && pair(room.members[0], room.members[1]) == pair(a, b))
    }

    /// The number of the room is given with the answer.
    pub(crate) fn direct_room(&mut self, who: Who, whom: Who) -> (Answer, Option<usize>) {
        let there = self.direct_room_of(who, whom);
        if there.is_some() {
            return (Ok(200), there);
        }
        if self.blocks(who, whom) {
            return (Err((409, "blocked")), None);
        }
        if self.blocks(whom, who) {
            return (Err((403, "cannot_message")), None);
        }
        (Ok(201), Some(self.open(true, None, None, vec![who, whom])))
    }

    pub(crate) fn group(&mut self, who: Who, with: [bool; PEOPLE], name: &str) -> (Answer, Option<usize>) {
        let others = (0..PEOPLE).filter(|other| *other != who && with[*other]);
        let members = std::iter::once(who).chain(others).collect();
        (Ok(201), Some(self.open(false, Some(name.to_owned()), Some(who), members)))
    }

    fn open(&mut self, direct: bool, name: Option<String>, owner: Option<Who>, members: Vec<Who>) -> usize {
        let read = members.iter().map(|member| (*member, 0)).collect();
        self.rooms.push(Room { direct, name, owner, members, messages: Vec::new(), read });
        self.rooms.len() - 1
    }

    pub(crate) fn rename(&mut self, who: Who, room: usize, name: &str) -> Answer {
        if !self.is_in(who, room) {
            return NOT_FOUND;
        }
        if self.rooms[room].direct {
            return Err((409, "direct_room"));
        }
        self.rooms[room].name = Some(name.to_owned());
        Ok(200)
    }

    pub(crate) fn close(&mut self, who: Who, room: usize) -> Answer {
        if !self.is_in(who, room) {
            return NOT_FOUND;
        }
        if self.rooms[room].direct {
            return Err((409, "direct_room"));
        }
        if self.rooms[room].owner != Some(who) {
            return Err((403, "not_owner"));
        }
        self.rooms[room].members.clear();
        Ok(204)
    }

    pub(crate) fn add(&mut self, who: Who, room: usize, whom: Who) -> Answer {
        if !self.is_in(who, room) {
            return NOT_FOUND;
        }
        let room = &mut self.rooms[room];
        if room.direct {
            return Err((409, "direct_room"));
        }
        if !room.members.contains(&whom) {
            room.members.push(whom);
            room.read.insert(whom, room.messages.len());
        }
        Ok(200)
    }

    pub(crate) fn remove(&mut self, who: Who, room: usize, whom: Who) -> Answer {
        if !self.is_in(who, room) {
            return NOT_FOUND;
        }
        let room = &mut self.rooms[room];
        if room.direct {
            return Err((409, "direct_room"));
        }
        if who != whom && room.owner != Some(who) {
            return Err((403, "not_owner"));
        }
        let Some(place) = room.members.iter().position(|member| *member == whom) else { return NOT_FOUND };
        room.members.remove(place);
        if room.owner == Some(whom) {
            room.owner = room.members.first().copied();
        }
        Ok(204)
    }
}

/// Messages. Those of a room are numbered from 0; their `seq` is one more.
impl Model {
    pub(crate) fn say(&mut self, who: Who, room: usize, content: &str, reply_to: Option<usize>) -> Answer {
        if !self.is_in(who, room) {
            return NOT_FOUND;
        }
        self.may_write(who, room)?;
        let here = &mut self.rooms[room];
        let content = Some(content.to_owned());
        here.messages.push(Message { author: who, content, edits: Vec::new(), reply_to, reactions: Vec::new() });
        let seq = here.messages.len();
        self.read_up_to(who, room, seq);
        let here = &self.rooms[room];
        let told: Vec<Who> = here.members.iter().copied().filter(|member| *member != who).collect();
        for other in told {
            if !self.muted.contains(&(other, room)) {
                self.notify(other, About::Message { room, seq });
            }
        }
        Ok(201)
    }

    pub(crate) fn edit(&mut self, who: Who, room: usize, message: usize, content: &str) -> Answer {
        if !self.is_in(who, room) {
            return NOT_FOUND;
        }
        if self.rooms[room].messages[message].author != who {
            return Err((403, "not_author"));
        }
        let refused = self.may_write(who, room);
        let message = &mut self.rooms[room].messages[message];
        let before = message.content.as_mut().ok_or((409, "message_deleted"))?;
        refused?;
        message.edits.push(std::mem::replace(before, content.to_owned()));
        Ok(200)
    }

    pub(crate) fn delete(&mut self, who: Who, room: usize, message: usize) -> Answer {
        if !self.is_in(who, room) {
            return NOT_FOUND;
        }
        let room = &mut self.rooms[room];
        let message = &mut room.messages[message];
        if message.author != who && room.owner != Some(who) {
            return Err((403, "not_author"));
        }
        message.content = None;
        message.edits.clear();
        message.reactions.clear();
        Ok(204)
    }

    pub(crate) fn react(&mut self, who: Who, room: usize, message: usize, emoji: usize) -> Answer {
        if !self.is_in(who, room) {
            return NOT_FOUND;
        }
        self.may_write(who, room)?;
        let message = &mut self.rooms[room].messages[message];
        if message.content.is_none() {
            return Err((409, "message_deleted"));
        }
        match message.reactions.iter_mut().find(|(there, _)| *there == emoji) {
            Some((_, people)) if people.contains(&who) => {}
            Some((_, people)) => people.push(who),
            None => message.reactions.push((emoji, vec![who])),
        }
        Ok(200)
    }

    pub(crate) fn unreact(&mut self, who: Who, room: usize, message: usize, emoji: usize) -> Answer {
        if !self.is_in(who, room) {
            return NOT_FOUND;
        }
        let reactions = &mut self.rooms[room].messages[message].reactions;
        for (_, people) in reactions.iter_mut().filter(|(there, _)| *there == emoji) {
            people.retain(|person| *person != who);
        }
        reactions.retain(|(_, people)| !people.is_empty());
        Ok(200)
    }

    pub(crate) fn read(&mut self, who: Who, room: usize, message: usize) -> Answer {
        if !self.is_in(who, room) {
            return NOT_FOUND;
        }
        self.read_up_to(who, room, message + 1);
        Ok(200)
    }

    /// Where that is further than they were, they have read what was said up to there, and what they were told of it.
    fn read_up_to(&mut self, who: Who, room: usize, up_to: usize) {
        let position = self.rooms[room].read.entry(who).or_default();
        if up_to <= *position {
            return;
        }
        *position = up_to;
        for told in self.notifications.iter_mut().filter(|told| told.to == who) {
            told.read |= matches!(told.about, About::Message { room: there, seq } if there == room && seq <= up_to);
        }
    }

    pub(crate) fn unread(&self, who: Who, room: usize) -> usize {
        let room = &self.rooms[room];
        room.messages.len() - room.read[&who]
    }
}

/// Accounts that go.
impl Model {
    pub(crate) fn vanish(&mut self, who: Who) {
        self.gone.insert(who);
        self.online.remove(&who);
        self.friends.retain(|(a, b)| *a != who && *b != who);
        self.blocks.retain(|(a, b)| *a != who && *b != who);
        for request in 0..self.requests.len() {
            let Request { from, to, status, .. } = self.requests[request];
            if status == Status::Pending && from == who {
                self.end(request, Status::Cancelled);
            } else if status == Status::Pending && to == who {
                self.end(request, Status::Rejected);
            }
        }
        for room in &mut self.rooms {
            room.members.retain(|member| *member != who);
            if room.owner == Some(who) {
                room.owner = room.members.first().copied();
            }
        }
        self.notifications.retain(|told| told.to != who);
    }

    /// Those who are there.
    pub(crate) fn people(&self) -> impl Iterator<Item = Who> + use<> {
        let gone = self.gone.clone();
        (0..PEOPLE).filter(move |who| !gone.contains(who))
    }
}

/// Notifications.
impl Model {
    fn notify(&mut self, to: Who, about: About) {
        self.notifications.push(Notification { to, about, read: false });
    }

    pub(crate) fn read_notifications(&mut self, who: Who) {
        for told in self.notifications.iter_mut().filter(|told| told.to == who) {
            told.read = true;
        }
    }

    /// Those of somebody.
    pub(crate) fn notifications_of(&self, who: Who) -> Vec<(About, bool)> {
        let mine = self.notifications.iter().filter(|told| told.to == who);
        let mut all: Vec<_> = mine.map(|told| (told.about, told.read)).collect();
        all.sort_unstable();
        all
    }
}
