//! What happens to consumers, on a broker that stays.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use plaza_events::{EventLog as _, KafkaLog, KafkaSettings, NewRecord, TailStart, partition_of};
use plaza_http::{Body, Upstream};
use plaza_test_history::{History, Observer};
use plaza_test_kafka::{
    FUNCTION, Function, Process, Producers, event, eventually, judge, observe, open, println_past_the_harness, trigger,
    trigger_settings,
};
use plaza_test_servers::Kafka;

const CONSUMER: &str = env!("CARGO_BIN_EXE_consumer");

/// A function that answers by event id: so many 500s, or 422 for ever; afterwards, and for others, 204.
struct Moody {
    errors: Mutex<HashMap<String, u32>>,
    poison: Vec<String>,
    /// An event that is never answered while this is not zero.
    blocked: (String, AtomicU64),
    inner: Arc<Function>,
}

impl Upstream for Moody {
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(async move {
            let id = request.headers()["ce-id"].to_str().unwrap().to_owned();
            let answer = |status| Response::builder().status(status).body(plaza_http::full("it burns")).unwrap();
            if self.poison.contains(&id) {
                return answer(422);
            }
            while id == self.blocked.0 && self.blocked.1.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if let Some(left) = self.errors.lock().unwrap().get_mut(&id).filter(|left| **left > 0) {
                *left -= 1;
                return answer(500);
            }
            self.inner.call(request).await
        })
    }
}

async fn log(test: &str) -> Option<Arc<KafkaLog>> {
    let kafka = Kafka::shared()?;
    let settings = KafkaSettings { session_timeout: Duration::from_secs(6), ..KafkaSettings::new(kafka.brokers()) };
    Some(open(settings, test).await)
}

/// Two keys that are in different partitions.
fn two_keys() -> [String; 2] {
    let of = |key: &str| partition_of(key.as_bytes(), plaza_test_kafka::PARTITIONS);
    let other = (0..100).map(|n| format!("k{n}")).find(|key| of(key) != of("k")).unwrap();
    ["k".to_owned(), other]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_poison_and_a_blocked_partition() {
    const TEST: &str = "moods";
    let Some(log) = log(TEST).await else { return };
    let history = Arc::new(History::new());
    let function = Arc::new(Moody {
        errors: Mutex::new(HashMap::from([("k-1".to_owned(), 3)])),
        poison: vec!["k-2".to_owned()],
        blocked: ("k-4".to_owned(), AtomicU64::new(1)),
        inner: Function::new(&history, Duration::ZERO),
    });
    let running = trigger(&log, trigger_settings("moods-group", TEST), function.clone()).await;
    let [blocked, free] = two_keys();
    let send = async |key: &str, n: u32| {
        let id = format!("{key}-{n}");
        history.send("p", key, &id);
        log.append(vec![event(TEST, key, &id)]).await.unwrap();
        history.acknowledged(&id);
    };
    for n in 0..8 {
        send(&blocked, n).await;
    }
    // What others wrote: no CloudEvent, and a key that is no text.
    let foreign =
        NewRecord { topic: TEST.to_owned(), key: Some(Bytes::from_static(b"\xff\x00")), ..NewRecord::default() };
    log.append(vec![foreign]).await.unwrap();
    for n in 0..200 {
        send(&free, n).await;
    }
    // All but the poison, and what is held up behind `k-4`: five of the blocked key, and the foreign one is there.
    eventually("the free partition goes on", || history.without_effect("effect") == 1 + 4).await;
    function.blocked.1.store(0, Ordering::Relaxed);
    eventually("the blocked one, too", || history.without_effect("effect") == 1).await;
    eventually("the foreign record is delivered", || history.count().effects == 207 + 1).await;
    let mut letters = log.tail(&[format!("{TEST}.dlq")], TailStart::Last(10)).await.unwrap();
    let letters = letters.next().await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].header_str("ce_id"), Some("k-2"));
    assert_eq!(letters[0].header_str("dlq-reason"), Some("422 Unprocessable Entity: it burns"));
    assert_eq!(letters[0].header_str("dlq-topic"), Some(TEST));
    running.stop().await;
    // All is committed, what was given up included.
    let lag: u64 = log.lag("moods-group").await.unwrap().iter().map(|lag| lag.records).sum();
    assert_eq!(lag, 0);
    let anomalies = history.anomalies(&[(FUNCTION, Observer::Repeating)], &["effect"]);
    // The poison is lost to the function, and the foreign record came from nobody.
    assert_eq!(anomalies.len(), 3, "{anomalies:?}");
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_two_consumers_repeats_and_loses_nothing() {
    const TEST: &str = "rolling";
    let Some(log) = log(TEST).await else { return };
    let history = Arc::new(History::new());
    let observer = observe(&log, &history, TEST).await;
    let function = Function::new(&history, Duration::from_millis(10));
    let start = async || trigger(&log, trigger_settings("rolling-group", TEST), function.clone()).await;
    let producers = Producers::start(&log, &history, TEST, 4);
    let (mut one, mut two) = (start().await, start().await);
    for _ in 0..3 {
        producers.more(300).await;
        one.stop().await;
        producers.more(100).await;
        one = start().await;
        producers.more(300).await;
        two.stop().await;
        producers.more(100).await;
        two = start().await;
    }
    producers.stop().await;
    judge(&history, Observer::Repeating).await;
    // Whoever lets a partition go has committed what it did there. So nothing was delivered twice, although nobody crashed.
    assert_eq!(function.calls(), history.count().acknowledged as u64);
    one.stop().await;
    two.stop().await;
    observer.abort();
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_is_committed_on_shutdown() {
    const TEST: &str = "shutdown";
    let Some(log) = log(TEST).await else { return };
    let history = Arc::new(History::new());
    let observer = observe(&log, &history, TEST).await;
    let function = Function::new(&history, Duration::from_millis(1));
    let producers = Producers::start(&log, &history, TEST, 2);
    for _ in 0..5 {
        let running = trigger(&log, trigger_settings("shutdown-group", TEST), function.clone()).await;
        producers.more(100).await;
        let calls = function.calls();
        eventually("it delivers", || function.calls() > calls + 20).await;
        running.stop().await;
    }
    producers.stop().await;
    let running = trigger(&log, trigger_settings("shutdown-group", TEST), function.clone()).await;
    judge(&history, Observer::Repeating).await;
    assert_eq!(function.calls(), history.count().acknowledged as u64);
    running.stop().await;
    observer.abort();
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_is_killed_loses_nothing_and_no_effect_comes_twice() {
    const TEST: &str = "killed";
    let Some(log) = log(TEST).await else { return };
    let brokers = Kafka::shared().unwrap().brokers();
    let history = Arc::new(History::new());
    let observer = observe(&log, &history, TEST).await;
    let function = Function::new(&history, Duration::from_millis(2));
    let url = function.serve();
    let producers = Producers::start(&log, &history, TEST, 4);
    let start = || Process::start(CONSUMER, brokers, TEST, &url, 1);
    let mut survivor = start();
    for _ in 0..2 {
        let mut victim = start();
        producers.more(500).await;
        victim.kill();
        producers.more(200).await;
    }
    // And the last one, with nobody left.
    survivor.kill();
    producers.more(200).await;
    let mut last = start();
    producers.stop().await;
    judge(&history, Observer::Repeating).await;
    last.stop();
    observer.abort();
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_twice_has_one_effect() {
    const TEST: &str = "twice";
    let Some(log) = log(TEST).await else { return };
    let history = Arc::new(History::new());
    let observer = observe(&log, &history, TEST).await;
    let function = Function::new(&history, Duration::ZERO);
    let running = trigger(&log, trigger_settings("twice-group", TEST), function.clone()).await;
    for list in 0..50 {
        let ids: Vec<_> = (0..4).map(|n| format!("{list}-{n}")).collect();
        for id in &ids {
            history.send("p", "k", id);
        }
        let records: Vec<_> = ids.iter().map(|id| event(TEST, "k", id)).collect();
        // A publisher that crashed after the append, and one that crashed in the middle of it.
        log.append(records[..2].to_vec()).await.unwrap();
        log.append(records.clone()).await.unwrap();
        log.append(records).await.unwrap();
        for id in &ids {
            history.acknowledged(id);
        }
    }
    judge(&history, Observer::Repeating).await;
    eventually("all are delivered", || function.calls() == 500).await;
    running.stop().await;
    observer.abort();
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_a_million_records_takes_bounded_memory() {
    const TEST: &str = "backlog";
    const RECORDS: u64 = 1_000_000;
    /// What the process has for itself, and what six partitions may hold: queues, a fetch each, a portion each and its request.
    /// The million in memory would be half a gigabyte.
    const MEMORY_MIB_MAX: u64 = 128;
    let Some(log) = log(TEST).await else { return };
    let brokers = Kafka::shared().unwrap().brokers();
    let start = Instant::now();
    for list in 0..RECORDS / 5_000 {
        let records = (0..5_000).map(|n| event(TEST, &format!("k{}", n % 100), &format!("{list}-{n}"))).collect();
        log.append(records).await.unwrap();
    }
    let appended = start.elapsed();
    let function = Function::new(&Arc::new(History::new()), Duration::ZERO);
    let url = function.serve();
    let start = Instant::now();
    let mut consumer = Process::start(CONSUMER, brokers, TEST, &url, 500);
    eventually("the backlog is worked off", || function.batched() >= RECORDS).await;
    let delivered = start.elapsed();
    let memory_mib = consumer.memory_mib_max();
    consumer.stop();
    assert_eq!(function.batched(), RECORDS);
    println_past_the_harness(&format!(
        "{RECORDS} records appended in {:.1} s, delivered in {:.1} s, {memory_mib} MiB at most",
        appended.as_secs_f64(),
        delivered.as_secs_f64()
    ));
    assert!(memory_mib < MEMORY_MIB_MAX, "{memory_mib} MiB");
    log.close().await;
}
