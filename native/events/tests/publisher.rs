//! The publisher, between a real database and a real log.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use plaza_events::{
    Consumer, EventLog, Lag, LogError, NewRecord, OUTBOX_DLQ, Position, Publisher, PublisherSettings, Record,
    SqliteLog, SqliteOutbox, Tail, TailStart, Topic, Watermark,
};
use plaza_sqlite::{Database, Settings, Value};
use support::{all, id, ids, open, soon};
use tempfile::TempDir;
use tokio::sync::Semaphore;

const OUTBOX: &str = "CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL, topic TEXT NOT NULL, key TEXT NOT NULL,
    type TEXT NOT NULL, data TEXT NOT NULL, time INTEGER NOT NULL,
    channels TEXT NOT NULL DEFAULT '', action TEXT NOT NULL DEFAULT 'send')";

/// So rare that a test which passes only by polling does not pass.
fn never_polling() -> PublisherSettings {
    PublisherSettings { poll_interval: Duration::from_hours(1), ..PublisherSettings::default() }
}

async fn set_up() -> (TempDir, Arc<Database>, Arc<SqliteLog>) {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("chat.db"), Settings::default()).unwrap();
    database.connection().unwrap().execute(OUTBOX, &[]).await.unwrap();
    let log = open(directory.path()).await;
    (directory, database, log)
}

fn outbox(database: &Arc<Database>) -> Arc<SqliteOutbox> {
    Arc::new(SqliteOutbox::new(database.clone()))
}

async fn put(database: &Arc<Database>, id: &str, topic: &str, key: &str) {
    let insert = "INSERT INTO outbox (event_id, topic, key, type, data, time) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let values = [id, topic, key, "plaza.chat.MessageSent.v1", "{\"n\":1}"].map(Value::from);
    let values = [&values[..], &[Value::Integer(1_709_251_200_007)]].concat();
    database.connection().unwrap().execute(insert, &values).await.unwrap();
}

async fn left(database: &Arc<Database>) -> Value {
    database.connection().unwrap().execute("SELECT count(*) FROM outbox", &[]).await.unwrap().rows[0][0].clone()
}

async fn tail(log: &SqliteLog, topic: &str) -> Box<dyn Tail> {
    log.tail(&[topic.to_owned()], TailStart::Last(100)).await.unwrap()
}

#[tokio::test]
async fn a_row_becomes_a_cloudevent_and_goes() {
    let (_directory, database, log) = set_up().await;
    let publisher = Publisher::start("chat", outbox(&database), log.clone(), never_polling());
    let mut tail = tail(&log, "message.events").await;
    put(&database, "e1", "message.events", "r").await;
    let record = support::records(&mut tail, 1).await.remove(0);
    let headers: Vec<_> =
        record.headers.iter().map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap())).collect();
    assert_eq!(
        headers,
        [
            ("ce_specversion", "1.0"),
            ("ce_id", "e1"),
            ("ce_source", "/plaza/chat"),
            ("ce_type", "plaza.chat.MessageSent.v1"),
            ("ce_time", "2024-03-01T00:00:00.007Z"),
            ("ce_partitionkey", "r"),
            ("content-type", "application/json"),
        ]
    );
    assert_eq!((record.key.as_deref(), record.value.as_deref()), (Some(&b"r"[..]), Some(&b"{\"n\":1}"[..])));
    assert_eq!(record.timestamp_ms, 1_709_251_200_007);

    let with_channels = "INSERT INTO outbox (event_id, topic, key, type, data, time, channels, action)
        VALUES ('e2', 'message.events', 'r', 'plaza.chat.X.v1', '{}', 0, 'user:1 user:2', 'hint')";
    database.connection().unwrap().execute(with_channels, &[]).await.unwrap();
    let record = support::records(&mut tail, 1).await.remove(0);
    assert_eq!(record.header_str("ce_gripchannels"), Some("user:1 user:2"));
    assert_eq!(record.header_str("ce_gripaction"), Some("hint"));
    publisher.stop().await;
    assert_eq!(left(&database).await, Value::Integer(0));
}

#[tokio::test]
async fn what_was_there_before_the_start_is_published_in_order_across_batches() {
    let (_directory, database, log) = set_up().await;
    for n in 0..25 {
        put(&database, &format!("{n:02}"), "friend.events", "k").await;
    }
    let settings = PublisherSettings { batch_rows_max: 4, ..never_polling() };
    let publisher = Publisher::start("chat", outbox(&database), log.clone(), settings);
    let mut tail = tail(&log, "friend.events").await;
    assert_eq!(ids(&mut tail, 25).await, (0..25).map(|n| format!("{n:02}")).collect::<Vec<_>>());
    publisher.stop().await;
    assert_eq!(left(&database).await, Value::Integer(0));
}

#[tokio::test]
async fn stopping_publishes_what_is_left_first() {
    let (_directory, database, log) = set_up().await;
    let settings = PublisherSettings { batch_rows_max: 3, ..never_polling() };
    for n in 0..10 {
        put(&database, &n.to_string(), "friend.events", "k").await;
    }
    Publisher::start("chat", outbox(&database), log.clone(), settings).stop().await;
    assert_eq!(all(&log, "friend.events").await.len(), 10);
    assert_eq!(left(&database).await, Value::Integer(0));
}

#[tokio::test]
async fn a_row_that_cannot_be_published_is_set_aside_with_the_reason() {
    let (_directory, database, log) = set_up().await;
    put(&database, "1", "friend.events", "k").await;
    put(&database, "2", "nowhere", "k").await;
    put(&database, "3", "friend.events", "k").await;
    let rows = [
        "('4', 'friend.events', 'k', 'nonsense', '{}', 0, 'send')",
        "('5', 'friend.events', 'k', 'plaza.chat.X.v1', x'ff', 0, 'send')",
        "('6', 'friend.events', 'k', 'plaza.chat.X.v1', '{}', 'noon', 'send')",
        "('7', 'friend.events', 'k', 'plaza.chat.X.v1', '{}', 0, 'explode')",
        "('8', 'friend.events', 'k', 'plaza.chat.X.v1', hex(zeroblob(600000)), 0, 'send')",
        "('9', 'friend.events', 'k', 'plaza.chat.X.v1', '{}', 0, 'send')",
    ];
    for row in rows {
        let insert = format!("INSERT INTO outbox (event_id, topic, key, type, data, time, action) VALUES {row}");
        database.connection().unwrap().execute(&insert, &[]).await.unwrap();
    }
    let publisher = Publisher::start("chat", outbox(&database), log.clone(), never_polling());
    publisher.stop().await;
    let arrived: Vec<_> = all(&log, "friend.events").await.iter().map(|record| id(record)).collect();
    assert_eq!(arrived, ["1", "3", "9"]);
    let letters = all(&log, OUTBOX_DLQ).await;
    let reasons: Vec<_> = letters.iter().map(|letter| letter.header_str("dlq-reason").unwrap()).collect();
    let expected = ["no topic \"nowhere\"", "the type", "a column", "a column", "the action", "too large"];
    assert_eq!(reasons.len(), expected.len(), "{reasons:?}");
    for (reason, expected) in reasons.iter().zip(expected) {
        assert!(reason.contains(expected), "{reason}");
    }
    assert_eq!(letters[0].header_str("dlq-context"), Some("chat"));
    assert_eq!(letters[1].header_str("dlq-outbox-id"), Some("4"));
    let row: serde_json::Value = serde_json::from_slice(letters[1].value.as_ref().unwrap()).unwrap();
    assert_eq!((row["event_id"].as_str(), row["type"].as_str()), (Some("4"), Some("nonsense")));
    assert_eq!(left(&database).await, Value::Integer(0));
}

/// A log whose `append` does its work and then answers only as often as it is let.
struct Halting {
    log: Arc<SqliteLog>,
    appended: Semaphore,
    answers: Semaphore,
    failures: AtomicUsize,
}

#[async_trait]
impl EventLog for Halting {
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        if self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(LogError::Backend("broker is away".to_owned()));
        }
        let result = self.log.append(records).await;
        self.appended.add_permits(1);
        self.answers.acquire().await.unwrap().forget();
        result
    }
    async fn consumer(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>, LogError> {
        self.log.consumer(group, topics).await
    }
    async fn tail(&self, topics: &[String], start: TailStart) -> Result<Box<dyn Tail>, LogError> {
        self.log.tail(topics, start).await
    }
    async fn read(&self, topic: &str, partition: u32, from: u64, max: usize) -> Result<Vec<Arc<Record>>, LogError> {
        self.log.read(topic, partition, from, max).await
    }
    async fn watermarks(&self, topics: &[String]) -> Result<Vec<Watermark>, LogError> {
        self.log.watermarks(topics).await
    }
    async fn topics(&self) -> Result<Vec<Topic>, LogError> {
        self.log.topics().await
    }
    async fn lag(&self, group: &str) -> Result<Vec<Lag>, LogError> {
        self.log.lag(group).await
    }
}

#[tokio::test]
async fn a_publisher_killed_between_append_and_delete_publishes_the_same_ids_again() {
    let (_directory, database, log) = set_up().await;
    for n in 0..3 {
        put(&database, &format!("e{n}"), "friend.events", "k").await;
    }
    let halting = Arc::new(Halting {
        log: log.clone(),
        appended: Semaphore::new(0),
        answers: Semaphore::new(0),
        failures: AtomicUsize::new(0),
    });
    let publisher = Publisher::start("chat", outbox(&database), halting.clone(), never_polling());
    soon(halting.appended.acquire()).await.unwrap().forget();
    drop(publisher);
    assert_eq!(left(&database).await, Value::Integer(3));
    Publisher::start("chat", outbox(&database), log.clone(), never_polling()).stop().await;
    assert_eq!(left(&database).await, Value::Integer(0));
    let arrived: Vec<_> = all(&log, "friend.events").await.iter().map(|record| id(record)).collect();
    assert_eq!(arrived, ["e0", "e1", "e2", "e0", "e1", "e2"]);
}

#[tokio::test]
async fn a_log_that_fails_is_tried_again_and_nothing_is_lost() {
    let (_directory, database, log) = set_up().await;
    let halting = Arc::new(Halting {
        log: log.clone(),
        appended: Semaphore::new(0),
        answers: Semaphore::new(100),
        failures: AtomicUsize::new(3),
    });
    let settings = PublisherSettings { retry_initial: Duration::from_millis(1), ..never_polling() };
    let publisher = Publisher::start("chat", outbox(&database), halting.clone(), settings);
    put(&database, "e", "friend.events", "k").await;
    let mut tail = tail(&log, "friend.events").await;
    assert_eq!(ids(&mut tail, 1).await, ["e"]);
    assert_eq!(halting.failures.load(Ordering::Relaxed), 0);
    publisher.stop().await;
    assert_eq!(left(&database).await, Value::Integer(0));
}

#[tokio::test]
async fn rows_that_another_process_writes_are_found_by_polling() {
    let (directory, database, log) = set_up().await;
    let settings = PublisherSettings { poll_interval: Duration::from_millis(10), ..PublisherSettings::default() };
    let publisher = Publisher::start("chat", outbox(&database), log.clone(), settings);
    let other = plaza_sqlite::rusqlite::Connection::open(directory.path().join("chat.db")).unwrap();
    let insert = "INSERT INTO outbox (event_id, topic, key, type, data, time)
        VALUES ('x', 'friend.events', 'k', 'plaza.chat.X.v1', '{}', 0)";
    other.execute(insert, []).unwrap();
    let mut tail = tail(&log, "friend.events").await;
    assert_eq!(ids(&mut tail, 1).await, ["x"]);
    publisher.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_written_while_it_publishes_all_arrive_once_in_order() {
    let (_directory, database, log) = set_up().await;
    let publisher = Publisher::start("chat", outbox(&database), log.clone(), never_polling());
    let mut writers = tokio::task::JoinSet::new();
    for key in 0..8 {
        let database = database.clone();
        writers.spawn(async move {
            for n in 0..50 {
                put(&database, &format!("{key}-{n:02}"), "message.events", &key.to_string()).await;
            }
        });
    }
    writers.join_all().await;
    publisher.stop().await;
    let arrived = all(&log, "message.events").await;
    assert_eq!(arrived.len(), 400);
    for key in 0..8 {
        let of_key = arrived.iter().map(|record| id(record)).filter(|id| id.starts_with(&format!("{key}-")));
        assert_eq!(of_key.collect::<Vec<_>>(), (0..50).map(|n| format!("{key}-{n:02}")).collect::<Vec<_>>());
    }
}
