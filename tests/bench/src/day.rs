//! A day in the life: what clients do when people open the app, read, and now and then write. One request of ten changes something.

use std::cell::Cell;
use std::net::SocketAddr;

use crate::load::{self, Expected, Target};
use crate::town::Town;

/// What is asked, and how often of a hundred.
const MIX: [(Deed, u32); 14] = [
    (Deed::Messages, 28),
    (Deed::Rooms, 15),
    (Deed::OwnProfile, 10),
    (Deed::UnreadCount, 10),
    (Deed::Notifications, 8),
    (Deed::Users, 7),
    (Deed::Room, 5),
    (Deed::Friends, 4),
    (Deed::Presence, 2),
    (Deed::Search, 1),
    (Deed::Send, 6),
    (Deed::Read, 2),
    (Deed::React, 1),
    (Deed::Typing, 1),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Messages,
    Rooms,
    OwnProfile,
    UnreadCount,
    Notifications,
    Users,
    Room,
    Friends,
    Presence,
    Search,
    Send,
    Read,
    React,
    Typing,
}

impl Deed {
    /// The one that comes at this place of a hundred.
    fn at(mut place: u32) -> Self {
        for (deed, share) in MIX {
            if place < share {
                return deed;
            }
            place -= share;
        }
        Self::OwnProfile
    }
}

/// A day of a town.
pub(crate) struct Day<'a> {
    address: SocketAddr,
    target: &'a Target,
    town: &'a Town,
    /// The message of each room that is reacted to.
    pinned: Vec<String>,
    /// How many messages each room has, at the least.
    said: Vec<Cell<u64>>,
    /// Moves through the mix, so that every hundred requests are the same ones.
    next: Cell<u32>,
}

/// A step through the mix that meets every place before it meets one again.
const STEP: u32 = 37;

impl<'a> Day<'a> {
    /// Says one thing in every room, which people will react to.
    pub(crate) async fn begin(target: &'a Target, town: &'a Town) -> Self {
        let mut pinned = Vec::new();
        let mut said = Vec::new();
        for (number, room) in town.rooms.iter().enumerate() {
            let message = town.first_of(number).say(room, "Good morning").await;
            said.push(Cell::new(message.seq));
            pinned.push(message.id);
        }
        Self { address: target.address, target, town, pinned, said, next: Cell::new(0) }
    }

    /// Writes somebody's next request.
    pub(crate) fn ask(&self, buffer: &mut Vec<u8>, user: usize, id: &str) -> Expected {
        let place = self.next.get();
        self.next.set((place + STEP) % 100);
        let (room, number) = (self.town.room_of(user), Town::number_of_room(user));
        let token = &self.town.users[user].tokens.access_token;
        let neighbours = || self.town.neighbours_of(user).map(|one| one.id().to_owned()).collect::<Vec<_>>().join(",");
        let room_path = |rest: &str| format!("/api/messages/{}{rest}", room.id);
        let mut get = |path: &str| {
            load::without_body(buffer, "GET", path, self.address, token);
            Expected { status: 200, is_message: false, is_write: false }
        };
        match Deed::at(place) {
            Deed::Messages => get(&room_path("")),
            Deed::Rooms => get("/api/chat-rooms"),
            Deed::OwnProfile => get("/api/profile/me"),
            Deed::UnreadCount => get("/api/notifications/unread-count"),
            Deed::Notifications => get("/api/notifications"),
            Deed::Users => get(&format!("/api/users?user_ids={}", neighbours())),
            Deed::Room => get(&format!("/api/chat-rooms/{}", room.id)),
            Deed::Friends => get("/api/friends"),
            Deed::Presence => get(&format!("/api/users/presence?user_ids={}", neighbours())),
            Deed::Search => get("/api/messages/search?q=middling"),
            Deed::Send => {
                self.said[number].set(self.said[number].get() + 1);
                load::message(self.target, self.town, buffer, user, load::LINE, id)
            }
            Deed::Read => {
                // What is being sent may not be there yet.
                let seq = self.said[number].get().saturating_sub(load::CONNECTIONS as u64).max(1);
                let body = format!(r#"{{"seq":{seq}}}"#);
                load::with_json(buffer, "POST", &room_path("/read"), self.address, token, &body);
                Expected { status: 200, is_message: false, is_write: true }
            }
            Deed::React => {
                let path = room_path(&format!("/{}/reactions?emoji=%F0%9F%91%8D", self.pinned[number]));
                let method = if id.ends_with(['0', '2', '4', '6', '8']) { "PUT" } else { "DELETE" };
                load::without_body(buffer, method, &path, self.address, token);
                Expected { status: 200, is_message: false, is_write: true }
            }
            Deed::Typing => {
                load::without_body(buffer, "POST", &room_path("/typing"), self.address, token);
                Expected { status: 204, is_message: false, is_write: true }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_requests_are_the_whole_mix() {
        assert_eq!(MIX.iter().map(|(_, share)| share).sum::<u32>(), 100);
        let mut place = 0;
        let mut met = [0; 100];
        for _ in 0..100 {
            met[place as usize] += 1;
            place = (place + STEP) % 100;
        }
        assert_eq!(met, [1; 100]);
        let writes = [Deed::Send, Deed::Read, Deed::React, Deed::Typing];
        assert_eq!((0..100).filter(|place| writes.contains(&Deed::at(*place))).count(), 10);
    }
}
