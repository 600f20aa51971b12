//! What the tests of this crate share.
#![allow(clippy::unwrap_used, dead_code, reason = "a test that cannot go on fails; no test uses all of this")]

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use plaza_events::{
    CloudEvent, EventLog, KafkaLog, KafkaSettings, NewRecord, Record, SqliteLog, SqliteLogSettings, Tail, Topics,
    create_topics,
};
use plaza_test_servers::Kafka;

pub(crate) const TOPICS: &str = r#"
    [dlq]
    partitions = 1
    retention = "30d"
    [[topic]]
    name = "message.events"
    key = "room id"
    partitions = 4
    retention = "1h"
    [[topic]]
    name = "friend.events"
    key = "user id"
    partitions = 1
    retention = "1d"
"#;

pub(crate) async fn open(directory: &Path) -> Arc<SqliteLog> {
    open_with(directory, SqliteLogSettings::default()).await
}

pub(crate) async fn open_with(directory: &Path, settings: SqliteLogSettings) -> Arc<SqliteLog> {
    Arc::new(SqliteLog::open(directory, &Topics::parse(TOPICS).unwrap(), settings).await.unwrap())
}

/// [`TOPICS`] under other names, so that tests which share a cluster do not meet.
pub(crate) fn topics_of(test: &str) -> Topics {
    Topics::parse(&TOPICS.replace("name = \"", &format!("name = \"{test}."))).unwrap()
}

/// A log on a cluster, with the topics of a test. `outbox.dlq` is there for all.
pub(crate) async fn open_kafka(kafka: &Kafka, test: &str) -> Arc<KafkaLog> {
    open_kafka_with(KafkaSettings::new(kafka.brokers()), test).await
}

pub(crate) async fn open_kafka_with(settings: KafkaSettings, test: &str) -> Arc<KafkaLog> {
    let topics = topics_of(test);
    let report = create_topics(&settings, &topics, None).await.unwrap();
    assert!(report.is_usable(), "{report:?}");
    Arc::new(KafkaLog::open(settings, &topics).await.unwrap())
}

/// A record whose value is its id.
pub(crate) fn event(topic: &str, key: &str, id: &str) -> NewRecord {
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
        timestamp_ms: 1_700_000_000_000,
    }
}

pub(crate) fn id(record: &Record) -> String {
    record.header_str("ce_id").unwrap().to_owned()
}

/// The ids of the next so many records.
pub(crate) async fn ids(tail: &mut Box<dyn Tail>, count: usize) -> Vec<String> {
    records(tail, count).await.iter().map(|record| id(record)).collect()
}

pub(crate) async fn records(tail: &mut Box<dyn Tail>, count: usize) -> Vec<Arc<Record>> {
    let mut records = Vec::new();
    while records.len() < count {
        records.extend(soon(tail.next()).await.unwrap());
    }
    assert_eq!(records.len(), count, "more came than expected");
    records
}

/// Everything in a topic of the embedded log.
pub(crate) async fn all(log: &SqliteLog, topic: &str) -> Vec<Arc<Record>> {
    all_of(log, topic).await
}

/// Everything in a topic.
pub(crate) async fn all_of(log: &dyn EventLog, topic: &str) -> Vec<Arc<Record>> {
    let mut records = Vec::new();
    for watermark in log.watermarks(&[topic.to_owned()]).await.unwrap() {
        let mut from = watermark.low;
        while from < watermark.next {
            let read = log.read(topic, watermark.partition, from, 100).await.unwrap();
            from = read.last().unwrap().offset + 1;
            records.extend(read);
        }
    }
    records
}

/// Waits for what must happen soon; what does not is a failure, not a hang.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("nothing happened within thirty seconds")
}
