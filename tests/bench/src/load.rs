//! The loads: closed loops, which send as fast as answers come, and an open loop, which sends at a fixed rate whatever
//! the answers do.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use hdrhistogram::Histogram;
use plaza_test_support::{Next, Person};
use tokio::time::{Instant, sleep_until};

use crate::procfs;
use crate::town::{Town, USERS, USERS_PER_ROOM};
use crate::wire::Connection;

/// Latencies are counted from 1 µs to a minute with three significant figures.
const LATENCY_US: std::ops::RangeInclusive<u64> = 1..=60_000_000;
const SIGNIFICANT_FIGURES: u8 = 3;

/// A closed loop runs so long before it is measured: connections are open then and caches warm.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);

/// Connections of the closed loops.
pub(crate) const CONNECTIONS: usize = 64;

/// An exchange without an answer for so long is an error.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// How long the last events of the open loop may be on their way.
const ARRIVAL_DEADLINE: Duration = Duration::from_secs(10);

/// Errors that are kept to be shown.
const ERRORS_SHOWN_MAX: usize = 3;

/// Latencies.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    fn new() -> Self {
        let histogram =
            Histogram::new_with_bounds(*LATENCY_US.start(), *LATENCY_US.end(), SIGNIFICANT_FIGURES).expect("bounds");
        Self(histogram)
    }

    fn record(&mut self, took: Duration) {
        // What is beyond the range counts as its end.
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("one range");
    }

    /// How many.
    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    /// How many, for arithmetic.
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
    fn count(&self) -> f64 {
        self.len() as f64
    }

    /// A quantile in milliseconds.
    pub(crate) fn ms(&self, quantile: f64) -> f64 {
        Duration::from_micros(self.0.value_at_quantile(quantile)).as_secs_f64() * 1e3
    }
}

/// What went wrong, counted, the first few in words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Errors {
    pub(crate) count: u64,
    pub(crate) first: Vec<String>,
}

impl Errors {
    fn note(&mut self, what: String) {
        self.count += 1;
        if self.first.len() < ERRORS_SHOWN_MAX {
            self.first.push(what);
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.count += other.count;
        let room = ERRORS_SHOWN_MAX - self.first.len();
        self.first.extend(other.first.iter().take(room).cloned());
    }
}

/// What is under load.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Plaza.
    pub(crate) server: u32,
    /// The processes of the databases and brokers that it stands on; none where they are part of it.
    pub(crate) stores: Vec<u32>,
}

impl Target {
    /// CPU seconds so far.
    fn cpu(&self) -> Cpu {
        let of = |pid| procfs::cpu_time(pid).unwrap_or_default().as_secs_f64();
        Cpu {
            server: of(self.server),
            stores: self.stores.iter().map(|pid| of(*pid)).sum(),
            generator: of(std::process::id()),
        }
    }
}

/// CPU seconds of everyone concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    pub(crate) server: f64,
    pub(crate) stores: f64,
    pub(crate) generator: f64,
}

impl std::ops::Sub for Cpu {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            server: self.server - earlier.server,
            stores: self.stores - earlier.stores,
            generator: self.generator - earlier.generator,
        }
    }
}

/// One measured run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// How long was measured.
    pub(crate) seconds: f64,
    /// From send to answer, of the answers in that time.
    pub(crate) latencies: Latencies,
    /// Over the whole run.
    pub(crate) errors: Errors,
    /// Messages answered 201 by room, over the whole run.
    pub(crate) answered: Vec<u64>,
    /// CPU seconds in the measured time.
    pub(crate) cpu_seconds: Cpu,
}

impl Run {
    /// Answers a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.count() / self.seconds
    }

    /// CPU milliseconds of the server for each answer, all threads, what it does later included as far as it falls
    /// into the run.
    pub(crate) fn server_cpu_ms(&self) -> f64 {
        self.cpu_seconds.server * 1e3 / self.latencies.count()
    }

    /// The same of the databases and brokers.
    pub(crate) fn stores_cpu_ms(&self) -> f64 {
        self.cpu_seconds.stores * 1e3 / self.latencies.count()
    }
}

/// What the closed loop asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `POST /api/messages/:room_id`.
    Send,
    /// `GET /api/profile/me`.
    Get,
}

/// Requests of a user, ready but for the content.
struct Template {
    head: String,
    kind: Kind,
}

impl Template {
    fn new(kind: Kind, address: SocketAddr, user: &Person, room: &str) -> Self {
        let token = &user.tokens.access_token;
        let head = match kind {
            Kind::Get => {
                format!("GET /api/profile/me HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n")
            }
            Kind::Send => format!(
                "POST /api/messages/{room} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
                 content-type: application/json\r\ncontent-length: "
            ),
        };
        Self { head, kind }
    }

    /// Writes a request into `buffer`. `content` and `id` need no escaping.
    fn write(&self, buffer: &mut Vec<u8>, content: &str, id: &str) {
        buffer.clear();
        buffer.extend_from_slice(self.head.as_bytes());
        if self.kind == Kind::Send {
            let body = format!(r#"{{"content":"{content}","message_type":"text","client_message_id":"{id}"}}"#);
            buffer.extend_from_slice(body.len().to_string().as_bytes());
            buffer.extend_from_slice(b"\r\n\r\n");
            buffer.extend_from_slice(body.as_bytes());
        }
    }
}

fn expected_status(kind: Kind) -> u16 {
    match kind {
        Kind::Send => 201,
        Kind::Get => 200,
    }
}

/// One worker's share of a run.
struct Share {
    latencies: Latencies,
    errors: Errors,
    answered: Vec<u64>,
}

impl Share {
    fn new(rooms: usize) -> Self {
        Self { latencies: Latencies::new(), errors: Errors::default(), answered: vec![0; rooms] }
    }
}

/// Sends and waits for the answer; connects anew after an error.
async fn exchange(
    connection: &mut Option<Connection>,
    address: SocketAddr,
    request: &[u8],
    expected: u16,
) -> Result<(), String> {
    let attempt = async {
        let open = match connection.take() {
            Some(open) => open,
            None => Connection::open(address).await.map_err(|error| format!("connect: {error}"))?,
        };
        let open = connection.insert(open);
        match open.exchange(request).await {
            Ok(status) if status == expected => Ok(()),
            Ok(status) => Err(format!("{status}: {}", open.answer())),
            Err(error) => Err(format!("exchange: {error}")),
        }
    };
    let outcome = tokio::time::timeout(ANSWER_DEADLINE, attempt).await;
    let outcome = outcome.unwrap_or_else(|_| Err(format!("no answer within {ANSWER_DEADLINE:?}")));
    if outcome.is_err() {
        *connection = None;
    }
    outcome
}

/// A closed loop: each connection sends its next request when the last one is answered. `name` makes the ids of this
/// run its own.
pub(crate) async fn closed(kind: Kind, target: &Target, town: &Town, seconds: u64, name: &str) -> Run {
    let address = target.address;
    let templates: Rc<Vec<Template>> = Rc::new(
        (0..USERS).map(|user| Template::new(kind, address, &town.users[user], &town.room_of(user).id)).collect(),
    );
    let measured_from = Instant::now() + WARM_UP;
    let measured_to = measured_from + Duration::from_secs(seconds);
    let worker = async |number: usize| {
        let mut share = Share::new(town.rooms.len());
        let mut connection = None;
        let mut buffer = Vec::new();
        let mut user = number % USERS;
        for round in 0_u64.. {
            let id = format!("{name}-{number}-{round}");
            templates[user].write(&mut buffer, "A line as people write them, of middling length.", &id);
            let started = Instant::now();
            if started >= measured_to {
                break;
            }
            let outcome = exchange(&mut connection, address, &buffer, expected_status(kind)).await;
            let ended = Instant::now();
            match outcome {
                Ok(()) => share.answered[user / USERS_PER_ROOM] += 1,
                Err(what) => share.errors.note(what),
            }
            if (measured_from..measured_to).contains(&ended) {
                share.latencies.record(ended - started);
            }
            user = (user + CONNECTIONS) % USERS;
        }
        share
    };
    let cpu = async {
        sleep_until(measured_from).await;
        let before = target.cpu();
        sleep_until(measured_to).await;
        target.cpu() - before
    };
    let (shares, cpu_seconds) = tokio::join!(join_all((0..CONNECTIONS).map(worker)), cpu);
    collect(&shares, Duration::from_secs(seconds), cpu_seconds)
}

fn collect(shares: &[Share], measured: Duration, cpu_seconds: Cpu) -> Run {
    let rooms = shares.first().map_or(0, |share| share.answered.len());
    let mut whole = Share::new(rooms);
    for share in shares {
        whole.latencies.add(&share.latencies);
        whole.errors.add(&share.errors);
        for (sum, part) in whole.answered.iter_mut().zip(&share.answered) {
            *sum += part;
        }
    }
    let Share { latencies, errors, answered } = whole;
    Run { seconds: measured.as_secs_f64(), latencies, errors, answered, cpu_seconds }
}

/// What the open loop gave.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// From the moment at which a message was due to be sent to its arrival on another participant's stream. From when
    /// it was due, not from when it was sent: a generator or server that falls behind is not thereby faster.
    pub(crate) to_stream: Latencies,
    /// The requests.
    pub(crate) sends: Run,
    /// Messages that did not arrive.
    pub(crate) missing: u64,
}

/// An open loop of `per_second` messages: in each room one user writes on a fixed beat and another listens.
pub(crate) async fn open(target: &Target, town: &Town, per_second: u32, seconds: u64, name: &str) -> Delivery {
    let address = target.address;
    let rooms = u32::try_from(town.rooms.len()).expect("a few rooms");
    let mut streams = Vec::new();
    for group in town.users.chunks(USERS_PER_ROOM) {
        streams.push(group[USERS_PER_ROOM - 1].stream("/api/stream").await);
    }
    let beat = Duration::from_secs(1) * rooms / per_second;
    let beats = u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(per_second) / rooms;
    // A moment ahead, so that the first beat is not late already.
    let start = Instant::now() + Duration::from_millis(100);
    let end = start + beat * beats;

    let writer = async |room: usize| {
        let mut share = Share::new(town.rooms.len());
        let mut connection = None;
        let mut buffer = Vec::new();
        let user = &town.users[room * USERS_PER_ROOM];
        let template = Template::new(Kind::Send, address, user, &town.rooms[room].id);
        // The rooms take turns within a beat.
        let first = start + beat * u32::try_from(room).unwrap_or(0) / rooms;
        for number in 0..beats {
            let due = first + beat * number;
            sleep_until(due).await;
            let due_us = (due - start).as_micros();
            template.write(&mut buffer, &format!("due {due_us}"), &format!("{name}-{room}-{number}"));
            match exchange(&mut connection, address, &buffer, 201).await {
                Ok(()) => share.answered[room] += 1,
                Err(what) => share.errors.note(what),
            }
            share.latencies.record(due.elapsed());
        }
        share
    };
    let listener = async |mut stream: plaza_test_support::Stream| {
        let mut latencies = Latencies::new();
        let deadline = end + ARRIVAL_DEADLINE;
        while latencies.len() < u64::from(beats) {
            match stream.poll_until(deadline).await {
                Next::Event(event) if event.event == "MessageSent" => {
                    let now = Instant::now();
                    let content = event.json()["content"].as_str().unwrap_or_default().to_owned();
                    if let Some(due_us) = content.strip_prefix("due ").and_then(|us| us.parse().ok()) {
                        latencies.record(now - (start + Duration::from_micros(due_us)));
                    }
                }
                Next::Event(_) => {}
                Next::Ended | Next::Quiet => break,
            }
        }
        latencies
    };
    let before = target.cpu();
    let (shares, arrivals) =
        tokio::join!(join_all((0..town.rooms.len()).map(writer)), join_all(streams.into_iter().map(listener)));
    let spent = target.cpu() - before;
    let measured = start.elapsed();
    let mut to_stream = Latencies::new();
    for arrived in &arrivals {
        to_stream.add(arrived);
    }
    let sends = collect(&shares, measured, spent);
    let answered: u64 = sends.answered.iter().sum();
    Delivery { missing: answered.saturating_sub(to_stream.len()), to_stream, sends }
}
