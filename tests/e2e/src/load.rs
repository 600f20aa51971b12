//! A load that can be checked to the last message: people write in rooms and listen to everything while something is done to
//! the servers, and afterwards what was answered must be there, once, and everyone must have heard of it, once and in order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use plaza_test_support::{
    Answer, Client, Message, Next, Notification, PATIENCE, Person, Refused, Room, Seed, Stream, unique,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::check::{self, Acknowledged, Delivered};

/// The longest pause of a writer between two messages. With six writers some hundreds of messages a second: enough that
/// most kills meet a write, few enough that the end of the test is not spent counting.
const PAUSE_MS_MAX: u64 = 25;

/// Pause of a client before it tries a server again that is not there.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// How often a listener looks whether the load is over.
const LISTEN_PROBE: Duration = Duration::from_millis(200);

/// What a client waits for one message to be answered, over all its tries.
const SEND_DEADLINE: Duration = Duration::from_mins(2);

/// What everything that is on its way when the load ends may take to arrive.
const SETTLE_DEADLINE: Duration = Duration::from_mins(2);

/// A stream that has brought nothing for so long while others write is dead to its client: it comes back on a new connection.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// What one writer was told of its messages.
#[derive(Default)]
struct Told {
    messages: Vec<Acknowledged>,
    /// How many were stored before the crash that took their answer.
    answered_later: usize,
}

/// Sends one message until it is answered, always under the same `client_message_id`.
async fn send_until_answered(person: &Person, room: &str, content: &str) -> (Acknowledged, bool) {
    let client_message_id = unique("crash");
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < SEND_DEADLINE, "{client_message_id} was not answered within {SEND_DEADLINE:?}");
        match person.sending(room, content, Some(&client_message_id)).send().await {
            Ok(answer) if matches!(answer.status.as_u16(), 200 | 201) => {
                let message: Message = answer.read();
                let acknowledged = Acknowledged { id: message.id, seq: message.seq, client_message_id };
                return (acknowledged, answer.status == 200);
            }
            // Being overloaded, or not there, is an answer; being wrong or broken is not.
            Ok(answer) => assert!(is_unavailable(&answer), "{answer}"),
            Err(_) => {}
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// Whether an answer says that the server cannot now: 503, or 504 from a part that waited for another in vain.
fn is_unavailable(answer: &Answer) -> bool {
    matches!(answer.status.as_u16(), 503 | 504)
}

async fn write(person: Person, room: String, stop: Arc<AtomicBool>, mut rng: fastrand::Rng) -> Told {
    let mut told = Told::default();
    while !stop.load(Ordering::Relaxed) {
        let content = format!("{} of {}", told.messages.len() + 1, person.name());
        let (message, late) = send_until_answered(&person, &room, &content).await;
        told.messages.push(message);
        told.answered_later += usize::from(late);
        tokio::time::sleep(Duration::from_millis(rng.u64(0..=PAUSE_MS_MAX))).await;
    }
    told
}

/// Once the load is over: how many messages there are in each of somebody's rooms.
type Expected = Arc<OnceLock<Vec<(String, u64)>>>;

/// Somebody's stream of everything, over all the connections that it takes.
struct Listener {
    person: Person,
    /// The one that it is at comes first.
    doors: VecDeque<Client>,
    stream: Stream,
    delivered: Delivered,
    connections: usize,
    /// Once the load is over: how many messages there are in each of their rooms.
    expected: Expected,
}

impl Listener {
    async fn open(person: &Person, doors: &[Client], first: usize) -> Self {
        let token = &person.tokens.access_token;
        let mut doors: VecDeque<Client> = doors.iter().map(|door| door.with_token(token)).collect();
        let places = doors.len();
        doors.rotate_left(first % places);
        let stream = Stream::open(doors[0].get("/api/stream"), None).await.expect("a stream");
        Self {
            person: person.clone(),
            doors,
            stream,
            delivered: Delivered::default(),
            connections: 1,
            expected: Arc::default(),
        }
    }

    /// Waits for the first message of each of these rooms: from then on there is a place to resume after.
    async fn hear_from(&mut self, rooms: &[&Room]) {
        while rooms.iter().any(|room| self.delivered.distinct(&room.id) == 0) {
            let event = self.stream.next(PATIENCE).await;
            self.delivered.note(&event);
        }
    }

    /// Listens, and reconnects after the last event whenever the stream ends, until everything expected came (or did
    /// not, in a time that is more than enough).
    async fn listen(mut self) -> Self {
        let mut settling: Option<Instant> = None;
        let mut heard = Instant::now();
        loop {
            match self.stream.poll(LISTEN_PROBE).await {
                Next::Event(event) => {
                    self.delivered.note(&event);
                    heard = Instant::now();
                }
                Next::Quiet if heard.elapsed() < SILENCE_MAX => {}
                Next::Quiet | Next::Ended => {
                    self.reconnect().await;
                    heard = Instant::now();
                }
            }
            let Some(rooms) = self.expected.get() else { continue };
            let waited = settling.get_or_insert_with(Instant::now).elapsed();
            if waited > SETTLE_DEADLINE || rooms.iter().all(|(room, last)| self.delivered.distinct(room) >= *last) {
                return self;
            }
        }
    }

    async fn reconnect(&mut self) {
        let position = self.stream.last_event_id().map(str::to_owned);
        loop {
            self.doors.rotate_left(1);
            match Stream::open(self.doors[0].get("/api/stream"), position.as_deref()).await {
                Ok(stream) => {
                    self.stream = stream;
                    self.connections += 1;
                    return;
                }
                Err(Refused::Lost(_)) => {}
                Err(Refused::Answer(answer)) => assert!(is_unavailable(&answer), "{}: {answer}", self.person.name()),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Checks that each message of their rooms came, and in order; a repeat after a crash is what ids are for.
    fn check(&self) -> Result<(), String> {
        let rooms = self.expected.get().map(Vec::as_slice).unwrap_or_default();
        rooms.iter().try_for_each(|(room, last)| {
            let checked = self.delivered.in_order_without_repeats(room, *last);
            checked.map_err(|why| format!("{} in room {room}: {why}", self.person.name()))
        })
    }
}

/// The people, their rooms, and who writes where.
struct Town {
    people: Vec<Person>,
    rooms: Vec<Room>,
    /// By room: who is in it, as indices into `people`.
    members: Vec<Vec<usize>>,
}

impl Town {
    async fn found(client: &Client) -> Self {
        let mut people = Vec::new();
        for name in ["anna", "ben", "cleo", "dan"] {
            people.push(Person::new(client, name).await);
        }
        let members = vec![vec![0, 1], vec![2, 3], vec![0, 1, 2, 3]];
        let rooms = vec![
            people[0].direct_room(&people[1]).await,
            people[2].direct_room(&people[3]).await,
            people[0].group("everyone", &[&people[1], &people[2], &people[3]]).await,
        ];
        Self { people, rooms, members }
    }

    /// The first member of a room.
    fn first_of(&self, room: usize) -> &Person {
        &self.people[self.members[room][0]]
    }

    /// Indices of the rooms that somebody is in.
    fn rooms_of(&self, person: usize) -> Vec<usize> {
        (0..self.rooms.len()).filter(|room| self.members[*room].contains(&person)).collect()
    }

    /// Waits until there is one notification of each message for everyone who did not write it.
    async fn check_notifications(&self, messages: &[Vec<Message>]) {
        for (index, person) in self.people.iter().enumerate() {
            let theirs: Vec<&Message> = self
                .rooms_of(index)
                .into_iter()
                .flat_map(|room| &messages[room])
                .filter(|message| message.user_id != person.id())
                .collect();
            let started = Instant::now();
            loop {
                let notifications: Vec<Notification> = person.all("/api/notifications").await;
                match check::notified_once(&notifications, theirs.iter().copied()) {
                    Ok(()) => break,
                    // Missing ones may still come; double ones do not go away, and fail at the deadline.
                    Err(why) => assert!(started.elapsed() < SETTLE_DEADLINE, "{}: {why}", person.name()),
                }
                tokio::time::sleep(RETRY_PAUSE * 10).await;
            }
        }
    }
}

/// A load under way.
pub struct Load {
    town: Town,
    acknowledged: Vec<Vec<Acknowledged>>,
    expectations: Vec<Expected>,
    listening: Vec<JoinHandle<Listener>>,
    /// With each the room that it writes in.
    writers: Vec<(usize, JoinHandle<Told>)>,
    stop: Arc<AtomicBool>,
}

/// What a load came to.
#[derive(Clone, Copy, Debug)]
pub struct Sum {
    /// Messages that are there.
    pub messages: usize,
    /// Of them, those that were stored by a server that did not live to answer.
    pub answered_later: usize,
    /// Connections of the listener that had the fewest.
    pub connections_min: usize,
    /// Messages that came to a stream again.
    pub repeats: usize,
}

impl Load {
    /// Begins: four people, three rooms, six writers and four listeners.
    ///
    /// `doors` are the servers that clients may go to: each listener begins at another, and goes to the next when it must come back.
    ///
    /// # Panics
    /// If a server does not answer as it should before anything has happened.
    pub async fn begin(doors: &[Client], seed: Seed) -> Self {
        let town = Town::found(&doors[0]).await;

        let mut listeners = Vec::new();
        for (first, person) in town.people.iter().enumerate() {
            listeners.push(Listener::open(person, doors, first).await);
        }
        let mut acknowledged: Vec<Vec<Acknowledged>> = Vec::new();
        for (index, room) in town.rooms.iter().enumerate() {
            acknowledged.push(vec![send_until_answered(town.first_of(index), &room.id, "first").await.0]);
        }
        let mut listening = Vec::new();
        let mut expectations = Vec::new();
        for (index, mut listener) in listeners.into_iter().enumerate() {
            let rooms: Vec<&Room> = town.rooms_of(index).into_iter().map(|room| &town.rooms[room]).collect();
            listener.hear_from(&rooms).await;
            expectations.push(Arc::clone(&listener.expected));
            listening.push(tokio::spawn(listener.listen()));
        }

        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = Vec::new();
        for (room, members) in town.members.iter().enumerate() {
            for &member in members.iter().take(2) {
                let (person, id) = (town.people[member].clone(), town.rooms[room].id.clone());
                let rng = seed.rng(1 + writers.len() as u64);
                writers.push((room, tokio::spawn(write(person, id, Arc::clone(&stop), rng))));
            }
        }
        Self { town, acknowledged, expectations, listening, writers, stop }
    }

    /// Stops writing, waits until everything has arrived where it should, and checks it.
    ///
    /// # Panics
    /// With what does not hold.
    pub async fn end(self) -> Sum {
        let Self { town, mut acknowledged, expectations, listening, writers, stop } = self;
        stop.store(true, Ordering::Relaxed);
        let mut answered_later = 0;
        for (room, writer) in writers {
            let told = writer.await.expect("every send is answered in the end");
            acknowledged[room].extend(told.messages);
            answered_later += told.answered_later;
        }

        // Every message that was answered is there exactly once, and no other.
        let mut messages: Vec<Vec<Message>> = Vec::new();
        for (index, told) in acknowledged.iter().enumerate() {
            let room = &town.rooms[index].id;
            let stored = town.first_of(index).all_messages(room).await;
            check::holds_exactly(&stored, told).unwrap_or_else(|why| panic!("room {room}: {why}"));
            messages.push(stored);
        }
        let total: usize = messages.iter().map(Vec::len).sum();
        eprintln!("{total} messages, {answered_later} of them stored by a server that did not live to answer");

        for (index, expectation) in expectations.iter().enumerate() {
            let rooms = town.rooms_of(index).into_iter();
            let counts = rooms.map(|room| (town.rooms[room].id.clone(), messages[room].len() as u64)).collect();
            expectation.set(counts).expect("set once");
        }
        let (mut connections_min, mut repeats) = (usize::MAX, 0);
        for listener in listening {
            let listener = listener.await.expect("a listener does not panic");
            listener.check().unwrap_or_else(|why| panic!("{why}"));
            let (name, heard) = (listener.person.name(), listener.delivered.len());
            eprintln!("{name}: {heard} messages over {} connections", listener.connections);
            connections_min = connections_min.min(listener.connections);
            repeats += listener.delivered.repeats();
        }
        town.check_notifications(&messages).await;
        Sum { messages: total, answered_later, connections_min, repeats }
    }
}
