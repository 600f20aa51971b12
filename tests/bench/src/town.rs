//! The people and rooms of a run, and whether the rooms hold what was sent.

use futures::StreamExt;
use futures::stream;
use plaza_test_support::{Client, Message, Page, Person, Room};

/// Users of the contract's figure.
pub(crate) const USERS: usize = 200;

/// Users in each room.
pub(crate) const USERS_PER_ROOM: usize = 4;

/// Registrations and logins under way at once. Each costs a password hash, so more than the processors gain nothing.
const AT_ONCE: usize = 4;

/// Users, and their rooms: users `4r` to `4r + 3` are in room `r`.
pub(crate) struct Town {
    pub(crate) users: Vec<Person>,
    pub(crate) rooms: Vec<Room>,
}

impl Town {
    /// Registers everyone and opens the rooms.
    pub(crate) async fn found(client: &Client) -> Self {
        let users: Vec<Person> =
            stream::iter(0..USERS).map(|_| Person::new(client, "bench")).buffered(AT_ONCE).collect().await;
        let groups = users.chunks(USERS_PER_ROOM).enumerate();
        let rooms = stream::iter(groups)
            .map(async |(number, group)| {
                let others: Vec<&Person> = group[1..].iter().collect();
                group[0].group(&format!("room {number}"), &others).await
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        Self { users, rooms }
    }

    /// The room of a user, by index.
    pub(crate) fn room_of(&self, user: usize) -> &Room {
        &self.rooms[Self::number_of_room(user)]
    }

    /// The number of a user's room.
    pub(crate) fn number_of_room(user: usize) -> usize {
        user / USERS_PER_ROOM
    }

    /// The first of those in a room.
    pub(crate) fn first_of(&self, room: usize) -> &Person {
        &self.users[room * USERS_PER_ROOM]
    }

    /// Everybody in a user's room.
    pub(crate) fn neighbours_of(&self, user: usize) -> impl Iterator<Item = &Person> {
        self.users.iter().skip(Self::number_of_room(user) * USERS_PER_ROOM).take(USERS_PER_ROOM)
    }

    /// Reads every room to its end and compares: `answered[r]` messages were answered 201 in room `r`, and up to
    /// `unanswered` more may have been stored without their answer having arrived.
    pub(crate) async fn verify(&self, answered: &[u64], unanswered: u64) -> Result<u64, String> {
        let checks = self.rooms.iter().enumerate().map(async |(number, room)| -> Result<u64, String> {
            let reader = self.first_of(number);
            let mut seq = 0;
            let mut query = "?after=0&limit=100".to_owned();
            loop {
                let page: Page<Message> = reader.messages(&room.id, &query).await;
                for message in &page.items {
                    seq += 1;
                    if message.seq != seq {
                        return Err(format!("room {number}: seq {} where {seq} belongs", message.seq));
                    }
                }
                let Some(cursor) = page.next_cursor else { break };
                query = format!("?limit=100&cursor={cursor}");
            }
            if seq < answered[number] || seq > answered[number] + unanswered {
                return Err(format!("room {number} holds {seq} messages, {} were answered", answered[number]));
            }
            Ok(seq)
        });
        let counts: Vec<Result<u64, String>> = stream::iter(checks).buffered(AT_ONCE).collect().await;
        counts.into_iter().sum()
    }
}
