//! What the tests against Kafka share: topics of their own, producers that never give up, a function that counts what it is
//! sent, and a consumer in a process of its own that can be killed.
//!
//! Who watches: [`LOG`] is a reader of the whole log, which must see everything exactly; [`FUNCTION`] is what triggers call, which may
//! be called again after a fault, but never out of order; [`EFFECT`] is what comes of an event the first time.

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use plaza_events::{
    Clock, CloudEvent, EventLog, KafkaLog, KafkaSettings, NewRecord, TailStart, Topics, Trigger, TriggerSettings,
    create_topics,
};
use plaza_http::{Body, Server, ServerSettings, Upstream};
use plaza_test_history::{History, Observer, Place};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The observer that reads the whole log.
pub const LOG: &str = "log";
/// The observer that triggers call.
pub const FUNCTION: &str = "function";
/// What comes of an event.
pub const EFFECT: &str = "effect";

/// Partitions of a test's topic.
pub const PARTITIONS: u32 = 6;
/// How long something may take that must happen, on a busy machine with two cores.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The topics of a test: one, by the test's name, and what follows from it.
pub fn topics(test: &str) -> Topics {
    let file = format!(
        "dlq = {{ partitions = 1, retention = \"1d\" }}\n\
         [[topic]]\nname = \"{test}\"\nkey = \"k\"\npartitions = {PARTITIONS}\nretention = \"1d\"\n"
    );
    Topics::parse(&file).expect("the text is right")
}

/// A log with the topics of a test.
///
/// # Panics
/// If it cannot be had.
pub async fn open(settings: KafkaSettings, test: &str) -> Arc<KafkaLog> {
    let topics = topics(test);
    let report = create_topics(&settings, &topics, None).await.expect("topics can be made");
    assert!(report.is_usable(), "{report:?}");
    Arc::new(KafkaLog::open(settings, &topics).await.expect("the log opens"))
}

/// Waits for what must happen.
///
/// # Panics
/// If it does not.
pub async fn eventually(what: &str, mut probe: impl FnMut() -> bool) {
    let start = Instant::now();
    while !probe() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An event with this id.
pub fn event(topic: &str, key: &str, id: &str) -> NewRecord {
    let event = CloudEvent {
        id: id.to_owned(),
        source: "/plaza/test".to_owned(),
        kind: "plaza.test.Happened.v1".to_owned(),
        attributes: vec![("partitionkey".to_owned(), key.to_owned())],
        content_type: Some("application/json".to_owned()),
        data: None,
    };
    NewRecord {
        topic: topic.to_owned(),
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        headers: event.record_headers(),
        value: Some(Bytes::from(format!("\"{id}\""))),
        timestamp_ms: Clock::system().now_ms(),
    }
}

/// Producers that append without end, each to keys of its own, and try a list again until it is acknowledged, as the
/// publisher does.
pub struct Producers {
    stop: Arc<AtomicBool>,
    appended: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Producers {
    /// Starts so many. Each list has up to five events.
    pub fn start(log: &Arc<KafkaLog>, history: &Arc<History>, topic: &str, count: u32) -> Self {
        let (stop, appended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let produce = |producer: u32| {
            let (log, history, topic) = (log.clone(), history.clone(), topic.to_owned());
            let (stop, appended) = (stop.clone(), appended.clone());
            tokio::spawn(async move {
                let name = format!("p{producer}");
                for list in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let length = 1 + list % 5;
                    let records: Vec<_> = (0..length)
                        .map(|n| {
                            let key = format!("{name}-k{}", (list + n) % 4);
                            let id = format!("{name}-{list}-{n}");
                            history.send(&name, &key, &id);
                            event(&topic, &key, &id)
                        })
                        .collect();
                    while log.append(records.clone()).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    (0..length).for_each(|n| history.acknowledged(&format!("{name}-{list}-{n}")));
                    appended.fetch_add(length, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            })
        };
        let tasks = (0..count).map(produce).collect();
        Self { stop, appended, tasks }
    }

    /// Events that were acknowledged so far.
    pub fn appended(&self) -> u64 {
        self.appended.load(Ordering::Relaxed)
    }

    /// Waits until so many more are acknowledged.
    pub async fn more(&self, events: u64) {
        let until = self.appended() + events;
        eventually("producers go on", || self.appended() >= until).await;
    }

    /// Lets each finish its list.
    ///
    /// # Panics
    /// If one does not.
    pub async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            tokio::time::timeout(PATIENCE, task).await.expect("a producer finishes").expect("it does not panic");
        }
    }
}

/// Reads the whole log as [`LOG`] from here on.
///
/// # Panics
/// If it cannot be read.
pub async fn observe(log: &Arc<KafkaLog>, history: &Arc<History>, topic: &str) -> JoinHandle<()> {
    let mut tail = log.tail(&[topic.to_owned()], TailStart::Last(0)).await.expect("there is a tail");
    let history = history.clone();
    tokio::spawn(async move {
        loop {
            for record in tail.next().await.expect("the log can be read") {
                let text = |bytes: Option<&Bytes>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
                let place =
                    Place { topic: record.topic.to_string(), partition: record.partition, offset: record.offset };
                let id = record.header_str("ce_id").unwrap_or_default();
                history.seen(LOG, &text(record.key.as_ref()).unwrap_or_default(), id, Some(place));
            }
        }
    })
}

/// A function that remembers what it has handled, and counts an event only the first time.
pub struct Function {
    history: Arc<History>,
    handled: Mutex<HashSet<String>>,
    calls: AtomicU64,
    /// Events in batches, which are only counted.
    batched: AtomicU64,
    /// How long a call takes.
    pub time: Duration,
}

impl Function {
    /// One whose calls take so long.
    pub fn new(history: &Arc<History>, time: Duration) -> Arc<Self> {
        Arc::new(Self {
            history: history.clone(),
            handled: Mutex::default(),
            calls: AtomicU64::new(0),
            batched: AtomicU64::new(0),
            time,
        })
    }

    /// How often it was called.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// How many events it was sent in batches.
    pub fn batched(&self) -> u64 {
        self.batched.load(Ordering::Relaxed)
    }

    /// Serves it over HTTP; gives the URL.
    ///
    /// # Panics
    /// If there is no port.
    pub fn serve(self: &Arc<Self>) -> String {
        let settings = ServerSettings { header_bytes_max: 1 << 16, ..ServerSettings::default() };
        let (server, address) =
            Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)), settings).expect("there is a free port");
        tokio::spawn(server.run(self.clone(), CancellationToken::new()));
        format!("http://{address}")
    }
}

impl Upstream for Function {
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::Relaxed);
            let (parts, body) = request.into_parts();
            let answer = |status| Response::builder().status(status).body(plaza_http::full("")).expect("a response");
            let Ok(body) = body.collect().await else { return answer(StatusCode::BAD_REQUEST) };
            let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let Some(id) = header("ce-id") else {
                let events = String::from_utf8_lossy(&body.to_bytes()).matches("\"specversion\"").count();
                self.batched.fetch_add(events as u64, Ordering::Relaxed);
                return answer(StatusCode::NO_CONTENT);
            };
            tokio::time::sleep(self.time).await;
            self.history.seen(FUNCTION, &header("ce-partitionkey").unwrap_or_default(), &id, None);
            if self.handled.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone()) {
                self.history.effect(EFFECT, &id);
            }
            answer(StatusCode::NO_CONTENT)
        })
    }
}

/// The settings of a trigger in these tests: patient, and quick to try again.
pub fn trigger_settings(group: &str, topic: &str) -> TriggerSettings {
    TriggerSettings {
        attempts_max: 1_000,
        backoff_initial: Duration::from_millis(5),
        backoff_max: Duration::from_millis(100),
        ..TriggerSettings::new("notify", group, vec![topic.to_owned()])
    }
}

/// Starts a trigger.
///
/// # Panics
/// If it does not start.
pub async fn trigger(log: &Arc<KafkaLog>, settings: TriggerSettings, upstream: Arc<dyn Upstream>) -> Trigger {
    Trigger::start(settings, upstream, log.clone(), Clock::system()).await.expect("the trigger starts")
}

/// Waits until the whole log was read and every acknowledged event had its effect, then judges.
pub async fn judge(history: &Arc<History>, function: Observer) {
    eventually("the log is read", || history.missing(LOG) == 0).await;
    eventually("every event has its effect", || history.without_effect(EFFECT) == 0).await;
    println_past_the_harness(&history.count().to_string());
    history.assert_sound(&[(LOG, Observer::Exact), (FUNCTION, function)], &[EFFECT]);
}

/// Figures are worth seeing when a test passes.
pub fn println_past_the_harness(line: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "{test}: {line}");
}

/// A consumer in a process of its own: a trigger that calls a URL.
pub struct Process(Child);

impl Process {
    /// Starts the binary `consumer`, and waits until it is in its group.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(binary: &str, brokers: &str, test: &str, url: &str, batch_max: usize) -> Self {
        let mut child = Command::new(binary)
            .args([brokers, test, url, &batch_max.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the consumer starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output is ours");
        BufReader::new(stdout).read_line(&mut line).expect("it says that it is ready");
        assert_eq!(line.trim(), "ready");
        Self(child)
    }

    /// Kills it with SIGKILL.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it is gone");
    }

    /// Asks it to stop, and waits.
    ///
    /// # Panics
    /// If it does not stop well.
    pub fn stop(&mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().expect("it stops").success());
    }

    /// The most memory that it had so far, in MiB (Linux).
    ///
    /// # Panics
    /// If it does not run.
    pub fn memory_mib_max(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux says so");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
        kib / 1_024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
