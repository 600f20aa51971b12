//! `kill -9` at random moments under load, again and again: what was answered is kept, once, and everyone hears of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use plaza_e2e::check::{self, Acknowledged, Delivered};
use plaza_test_support::{Message, Next, Notification, PATIENCE, Person, Plaza, Refused, Room, Seed, Stream, unique};
use tokio::time::Instant;

/// How often the server is killed: `PLAZA_CRASH_ROUNDS`, or this.
const ROUNDS_DEFAULT: u32 = 25;

/// The server lives between these many milliseconds after it became ready: from "nothing has happened yet" to long
/// enough that writes, publishing, consumers and streams are all under way.
const LIFE_MS: std::ops::Range<u64> = 0..900;

/// One crash in so many is followed by another while the server starts again.
const RECOVERY_CRASH_ONE_IN: u8 = 3;

/// A start takes about 150 ms, so such a crash comes before, during or just after the recovery.
const RECOVERY_LIFE_MS: std::ops::Range<u64> = 0..250;

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

fn rounds() -> u32 {
    std::env::var("PLAZA_CRASH_ROUNDS")
        .map_or(ROUNDS_DEFAULT, |text| text.parse().expect("PLAZA_CRASH_ROUNDS is a number"))
}

/// Prints what repeats the run when it fails. Not the same moments, though: those are the machine's.
struct PrintOnFailure(Seed);

impl Drop for PrintOnFailure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

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
            // Being overloaded is an answer; being wrong or broken is not.
            Ok(answer) => assert_eq!(answer.status, 503, "{answer}"),
            Err(_) => {}
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
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

/// Somebody's stream of everything, over all the connections that it takes.
struct Listener {
    person: Person,
    stream: Stream,
    delivered: Delivered,
    connections: usize,
    /// Once the load is over: how many messages there are in each of their rooms.
    expected: Arc<OnceLock<Vec<(String, u64)>>>,
}

impl Listener {
    async fn open(person: &Person) -> Self {
        let stream = person.stream("/api/stream").await;
        Self {
            person: person.clone(),
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
        loop {
            match self.stream.poll(LISTEN_PROBE).await {
                Next::Event(event) => self.delivered.note(&event),
                Next::Quiet => {}
                Next::Ended => self.reconnect().await,
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
            match Stream::open(self.person.client.get("/api/stream"), position.as_deref()).await {
                Ok(stream) => {
                    self.stream = stream;
                    self.connections += 1;
                    return;
                }
                Err(Refused::Lost(_)) => {}
                Err(Refused::Answer(answer)) => assert_eq!(answer.status, 503, "{}: {answer}", self.person.name()),
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
    async fn found(plaza: &Plaza) -> Self {
        let client = plaza.client();
        let mut people = Vec::new();
        for name in ["anna", "ben", "cleo", "dan"] {
            people.push(Person::new(&client, name).await);
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
}

/// Kills and restarts the server so many times and gives it back, running.
fn crash(mut plaza: Plaza, rounds: u32, mut rng: fastrand::Rng) -> Plaza {
    for round in 1..=rounds {
        let life = Duration::from_millis(rng.u64(LIFE_MS));
        // Not waiting for anything: the moment is the random choice.
        std::thread::sleep(life);
        plaza.kill();
        if rng.u8(0..RECOVERY_CRASH_ONE_IN) == 0 {
            plaza.start_and_kill(Duration::from_millis(rng.u64(RECOVERY_LIFE_MS)));
        }
        plaza.restart();
        eprintln!("round {round} of {rounds}: killed {life:?} after it was ready, back in {:?}", plaza.started_in());
    }
    plaza
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_by_crashes() {
    let seed = Seed::from_env();
    let _print = PrintOnFailure(seed);
    let rounds = rounds();
    let plaza = tokio::task::spawn_blocking(Plaza::start).await.expect("the start does not panic");
    let town = Town::found(&plaza).await;

    let mut listeners = Vec::new();
    for person in &town.people {
        listeners.push(Listener::open(person).await);
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
    let rng = seed.rng(0);
    let plaza = tokio::task::spawn_blocking(move || crash(plaza, rounds, rng)).await;
    let plaza = plaza.expect("every restart becomes ready");
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
    let rounds = usize::try_from(rounds).unwrap_or(usize::MAX);
    assert!(total > rounds, "too little was written to mean anything: {total} messages");

    // Every event reached the streams.
    for (index, expectation) in expectations.iter().enumerate() {
        let rooms = town.rooms_of(index).into_iter();
        let counts = rooms.map(|room| (town.rooms[room].id.clone(), messages[room].len() as u64)).collect();
        expectation.set(counts).expect("set once");
    }
    for listener in listening {
        let listener = listener.await.expect("a listener does not panic");
        listener.check().unwrap_or_else(|why| panic!("{why}"));
        let (name, heard) = (listener.person.name(), listener.delivered.len());
        let (connections, repeats) = (listener.connections, listener.delivered.repeats());
        eprintln!("{name}: {heard} messages over {connections} connections, {repeats} of them repeats");
        assert!(listener.connections > rounds, "a kill ends every stream");
    }

    // Every event reached the consumer: one notification of each message for everyone who did not write it.
    for (index, person) in town.people.iter().enumerate() {
        let theirs: Vec<&Message> = town
            .rooms_of(index)
            .into_iter()
            .flat_map(|room| &messages[room])
            .filter(|message| message.user_id != person.id())
            .collect();
        let started = Instant::now();
        loop {
            let notifications: Vec<Notification> = person.all("/api/notifications?unread=true").await;
            match check::notified_once(&notifications, theirs.iter().copied()) {
                Ok(()) => break,
                // Missing ones may still come; double ones do not go away, and fail at the deadline.
                Err(why) => assert!(started.elapsed() < SETTLE_DEADLINE, "{}: {why}", person.name()),
            }
            tokio::time::sleep(RETRY_PAUSE * 10).await;
        }
    }
    drop(plaza);
}
