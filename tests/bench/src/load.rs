//! The loads: closed loops, which send as fast as answers come, and an open loop, which sends at a fixed rate whatever
//! the answers do.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use hdrhistogram::Histogram;
use plaza_test_support::Next;
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
    pub(crate) fn new() -> Self {
        let histogram =
            Histogram::new_with_bounds(*LATENCY_US.start(), *LATENCY_US.end(), SIGNIFICANT_FIGURES).expect("bounds");
        Self(histogram)
    }

    pub(crate) fn record(&mut self, took: Duration) {
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
    /// Those of them that changed something.
    pub(crate) writes: Latencies,
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

/// What an answer must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// Its status.
    pub(crate) status: u16,
    /// Whether it makes a message in the user's room.
    pub(crate) is_message: bool,
    /// Whether it changes anything.
    pub(crate) is_write: bool,
}

/// What a closed loop asks for: writes a user's request into the buffer. The id is another one each time and needs no escaping.
pub(crate) type Ask<'a> = dyn Fn(&mut Vec<u8>, usize, &str) -> Expected + 'a;

/// A request without a body.
pub(crate) fn without_body(buffer: &mut Vec<u8>, method: &str, path: &str, host: SocketAddr, token: &str) {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n");
    buffer.extend_from_slice(head.as_bytes());
    buffer.extend_from_slice(if method == "GET" { b"\r\n" } else { b"content-length: 0\r\n\r\n" });
}

/// A request with a JSON body.
pub(crate) fn with_json(buffer: &mut Vec<u8>, method: &str, path: &str, host: SocketAddr, token: &str, body: &str) {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    buffer.extend_from_slice(head.as_bytes());
}

/// `GET /api/profile/me`.
pub(crate) fn own_profile(target: &Target, town: &Town, buffer: &mut Vec<u8>, user: usize) -> Expected {
    without_body(buffer, "GET", "/api/profile/me", target.address, &town.users[user].tokens.access_token);
    Expected { status: 200, is_message: false, is_write: false }
}

/// `POST /api/messages/:room_id`. `content` needs no escaping.
pub(crate) fn message(
    target: &Target,
    town: &Town,
    buffer: &mut Vec<u8>,
    user: usize,
    content: &str,
    id: &str,
) -> Expected {
    let path = format!("/api/messages/{}", town.room_of(user).id);
    let body = format!(r#"{{"content":"{content}","message_type":"text","client_message_id":"{id}"}}"#);
    with_json(buffer, "POST", &path, target.address, &town.users[user].tokens.access_token, &body);
    Expected { status: 201, is_message: true, is_write: true }
}

/// What people write.
pub(crate) const LINE: &str = "A line as people write them, of middling length.";

/// One worker's share of a run.
struct Share {
    latencies: Latencies,
    writes: Latencies,
    errors: Errors,
    answered: Vec<u64>,
}

impl Share {
    fn new(rooms: usize) -> Self {
        Self {
            latencies: Latencies::new(),
            writes: Latencies::new(),
            errors: Errors::default(),
            answered: vec![0; rooms],
        }
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
pub(crate) async fn closed(ask: &Ask<'_>, target: &Target, town: &Town, seconds: u64, name: &str) -> Run {
    let measured_from = Instant::now() + WARM_UP;
    let measured_to = measured_from + Duration::from_secs(seconds);
    let worker = async |number: usize| {
        let mut share = Share::new(town.rooms.len());
        let mut connection = None;
        let mut buffer = Vec::new();
        let mut user = number % USERS;
        for round in 0_u64.. {
            let id = format!("{name}-{number}-{round}");
            buffer.clear();
            let expected = ask(&mut buffer, user, &id);
            let started = Instant::now();
            if started >= measured_to {
                break;
            }
            let outcome = exchange(&mut connection, target.address, &buffer, expected.status).await;
            let ended = Instant::now();
            match outcome {
                Ok(()) => share.answered[user / USERS_PER_ROOM] += u64::from(expected.is_message),
                Err(what) => share.errors.note(what),
            }
            if (measured_from..measured_to).contains(&ended) {
                share.latencies.record(ended - started);
                if expected.is_write {
                    share.writes.record(ended - started);
                }
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
        whole.writes.add(&share.writes);
        whole.errors.add(&share.errors);
        for (sum, part) in whole.answered.iter_mut().zip(&share.answered) {
            *sum += part;
        }
    }
    let Share { latencies, writes, errors, answered } = whole;
    Run { seconds: measured.as_secs_f64(), latencies, writes, errors, answered, cpu_seconds }
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
        // The rooms take turns within a beat.
        let first = start + beat * u32::try_from(room).unwrap_or(0) / rooms;
        for number in 0..beats {
            let due = first + beat * number;
            sleep_until(due).await;
            let due_us = (due - start).as_micros();
            buffer.clear();
            let id = format!("{name}-{room}-{number}");
            message(target, town, &mut buffer, room * USERS_PER_ROOM, &format!("due {due_us}"), &id);
            match exchange(&mut connection, target.address, &buffer, 201).await {
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
