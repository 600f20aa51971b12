//! What every log keeps to, so that whoever works with one works with the other: the embedded one and Kafka.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use plaza_events::{Consumer, Delivery, EventLog, LogError, NewRecord, Position, Record, TailStart, partition_of};
use plaza_test_servers::Kafka;
use support::{event, id, ids, open, open_kafka, records, soon};
use tokio::task::JoinSet;

/// A log, and what its topics are called.
struct Subject {
    log: Arc<dyn EventLog>,
    prefix: String,
}

impl Subject {
    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn messages(&self) -> String {
        self.topic("message.events")
    }

    fn friends(&self) -> String {
        self.topic("friend.events")
    }
}

/// Runs a check against both logs.
macro_rules! both {
    ($($check:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let directory = tempfile::tempdir().unwrap();
                let log = super::open(directory.path()).await;
                super::$check(super::Subject { log: log.clone(), prefix: String::new() }).await;
                log.close().await;
            })*
        }
        mod kafka {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let Some(kafka) = super::Kafka::shared() else { return };
                let test = stringify!($check);
                let log = super::open_kafka(kafka, test).await;
                super::$check(super::Subject { log: log.clone(), prefix: format!("{test}.") }).await;
                log.close().await;
            })*
        }
    };
}

both!(
    any_bytes_come_back,
    what_cannot_be_appended_is_refused_and_nothing_of_it_stays,
    keys_keep_their_order_under_many_writers,
    a_tail_begins_where_it_was_told_to_and_goes_on_live,
    a_group_goes_on_where_it_had_committed,
    a_paused_partition_does_not_hold_up_the_others_and_goes_on_where_it_was,
    reads_at_a_place_give_what_is_there,
);

async fn next(consumer: &mut Box<dyn Consumer>) -> Vec<Arc<Record>> {
    match soon(consumer.next()).await.unwrap() {
        Delivery::Records(records) => records,
        other => panic!("nobody else is in the group: {other:?}"),
    }
}

async fn any_bytes_come_back(subject: Subject) {
    let topic = subject.messages();
    let new = NewRecord {
        topic: topic.clone(),
        key: Some(Bytes::from_static(b"\x00\xff")),
        headers: vec![("a".to_owned(), Bytes::from_static(b"\xfe")), ("a".to_owned(), Bytes::new())],
        value: Some(Bytes::from_static(b"\x00")),
        timestamp_ms: 5,
    };
    let empty = NewRecord { key: Some(Bytes::new()), headers: Vec::new(), value: Some(Bytes::new()), ..new.clone() };
    let bare = NewRecord { topic: topic.clone(), timestamp_ms: 7, ..NewRecord::default() };
    let all = [new, empty, bare];
    let positions = subject.log.append(all.to_vec()).await.unwrap();
    assert_eq!(positions[0].partition, partition_of(b"\x00\xff", 4));
    assert_eq!(positions[1].partition, partition_of(b"", 4));
    for (position, new) in positions.iter().zip(&all) {
        let read = subject.log.read(&topic, position.partition, position.offset, 1).await.unwrap();
        let expected = Record {
            topic: topic.as_str().into(),
            partition: position.partition,
            offset: position.offset,
            key: new.key.clone(),
            headers: new.headers.clone(),
            value: new.value.clone(),
            timestamp_ms: new.timestamp_ms,
        };
        assert_eq!(*read[0], expected);
    }
}

async fn what_cannot_be_appended_is_refused_and_nothing_of_it_stays(subject: Subject) {
    let Subject { log, .. } = &subject;
    let good = event(&subject.messages(), "r", "1");
    let large = NewRecord { value: Some(Bytes::from(vec![0; 2 << 20])), ..good.clone() };
    let headers = NewRecord { headers: vec![("h".to_owned(), Bytes::new()); 257], ..good.clone() };
    for bad in [NewRecord { topic: subject.topic("nowhere"), ..good.clone() }, large, headers] {
        let error = log.append(vec![good.clone(), bad]).await.unwrap_err();
        assert!(error.is_permanent(), "{error}");
    }
    assert!(support::all_of(&**log, &subject.messages()).await.is_empty());
    assert!(log.append(Vec::new()).await.unwrap().is_empty());
    let nowhere = [subject.topic("nowhere")];
    assert!(matches!(log.read(&subject.messages(), 4, 0, 1).await, Err(LogError::UnknownPartition { .. })));
    assert!(matches!(log.watermarks(&nowhere).await, Err(LogError::UnknownTopic(_))));
    assert!(matches!(log.consumer("g", &nowhere).await, Err(LogError::UnknownTopic(_))));
    assert!(matches!(log.tail(&nowhere, TailStart::Last(0)).await, Err(LogError::UnknownTopic(_))));
}

async fn keys_keep_their_order_under_many_writers(subject: Subject) {
    let topic = subject.messages();
    let mut tail = subject.log.tail(std::slice::from_ref(&topic), TailStart::Last(0)).await.unwrap();
    let mut writers = JoinSet::new();
    for key in 0..16 {
        let (log, topic) = (subject.log.clone(), topic.clone());
        writers.spawn(async move {
            for n in 0..20 {
                let pair = (0..2).map(|m| event(&topic, &format!("k{key}"), &format!("{:03}", n * 2 + m)));
                log.append(pair.collect()).await.unwrap();
            }
        });
    }
    let seen = records(&mut tail, 16 * 40).await;
    writers.join_all().await;
    let (mut by_key, mut by_partition) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
    for record in &seen {
        by_key.entry(record.key.clone()).or_default().push(id(record));
        by_partition.entry(record.partition).or_default().push(record.offset);
    }
    assert_eq!(by_key.len(), 16);
    for ids in by_key.values() {
        assert_eq!(*ids, (0..40).map(|n| format!("{n:03}")).collect::<Vec<_>>());
    }
    for offsets in by_partition.values() {
        assert_eq!(*offsets, (0..offsets.len() as u64).collect::<Vec<_>>());
    }
}

async fn a_tail_begins_where_it_was_told_to_and_goes_on_live(subject: Subject) {
    let Subject { log, .. } = &subject;
    let (messages, friends) = (subject.messages(), subject.friends());
    let at = |topic: &str, key: &str, id: &str, timestamp_ms| NewRecord { timestamp_ms, ..event(topic, key, id) };
    for n in 0..10 {
        log.append(vec![at(&messages, &format!("k{n}"), &n.to_string(), 1_000 + 2 * n)]).await.unwrap();
        log.append(vec![at(&friends, "k", &format!("f{n}"), 1_001 + 2 * n)]).await.unwrap();
    }
    let mut tail = log.tail(std::slice::from_ref(&messages), TailStart::Last(3)).await.unwrap();
    assert_eq!(ids(&mut tail, 3).await, ["7", "8", "9"]);
    let both = [messages.clone(), friends.clone()];
    let mut last = log.tail(&both, TailStart::Last(3)).await.unwrap();
    assert_eq!(ids(&mut last, 3).await, ["f8", "9", "f9"]);
    let position = Position { topic: friends.as_str().into(), partition: 0, offset: 8 };
    let mut tail = log.tail(&both, TailStart::At(vec![position])).await.unwrap();
    assert_eq!(ids(&mut tail, 2).await, ["f8", "f9"]);
    // The other topic was not named, so it comes from its end on.
    log.append(vec![at(&messages, "k", "10", 2_000)]).await.unwrap();
    assert_eq!(ids(&mut tail, 1).await, ["10"]);
    log.append(vec![at(&friends, "k", "f10", 2_001)]).await.unwrap();
    assert_eq!(ids(&mut tail, 1).await, ["f10"]);
    assert_eq!(ids(&mut last, 2).await, ["10", "f10"]);
}

async fn a_group_goes_on_where_it_had_committed(subject: Subject) {
    let Subject { log, .. } = &subject;
    let friends = subject.friends();
    let group = subject.topic("g");
    for n in 0..5 {
        log.append(vec![event(&friends, "k", &n.to_string())]).await.unwrap();
    }
    let mut consumer = log.consumer(&group, std::slice::from_ref(&friends)).await.unwrap();
    let mut seen = 0;
    while seen < 5 {
        seen += next(&mut consumer).await.len();
    }
    assert_eq!(log.lag(&group).await.unwrap()[0].records, 5);
    let at = Position { topic: friends.as_str().into(), partition: 0, offset: 3 };
    consumer.commit(std::slice::from_ref(&at)).await.unwrap();
    assert_eq!(log.lag(&group).await.unwrap()[0].records, 2);
    drop(consumer);

    let mut consumer = log.consumer(&group, std::slice::from_ref(&friends)).await.unwrap();
    assert_eq!(id(&next(&mut consumer).await[0]), "3");
    let mut other = log.consumer(&subject.topic("another"), std::slice::from_ref(&friends)).await.unwrap();
    assert_eq!(next(&mut other).await[0].offset, 0);
}

async fn a_paused_partition_does_not_hold_up_the_others_and_goes_on_where_it_was(subject: Subject) {
    let Subject { log, .. } = &subject;
    let (messages, friends) = (subject.messages(), subject.friends());
    let topics = [messages.clone(), friends.clone()];
    let mut consumer = log.consumer(&subject.topic("g"), &topics).await.unwrap();
    log.append(vec![event(&friends, "k", "1")]).await.unwrap();
    assert_eq!(id(&next(&mut consumer).await[0]), "1");
    consumer.pause(&friends, 0);
    let many = (2..1_002).map(|n| event(&friends, "k", &n.to_string()));
    log.append(many.collect()).await.unwrap();
    log.append(vec![event(&messages, "k", "m")]).await.unwrap();
    assert_eq!(id(&next(&mut consumer).await[0]), "m");
    assert!(tokio::time::timeout(Duration::from_millis(300), consumer.next()).await.is_err());
    consumer.resume(&friends, 0);
    let mut expected = 2;
    while expected < 1_002 {
        for record in next(&mut consumer).await {
            assert_eq!(id(&record), expected.to_string());
            expected += 1;
        }
        // A pause at any moment loses nothing and repeats nothing.
        consumer.pause(&friends, 0);
        consumer.resume(&friends, 0);
    }
}

async fn reads_at_a_place_give_what_is_there(subject: Subject) {
    let Subject { log, .. } = &subject;
    let friends = subject.friends();
    assert!(log.read(&friends, 0, 0, 10).await.unwrap().is_empty());
    log.append((0..20).map(|n| event(&friends, "k", &n.to_string())).collect()).await.unwrap();
    let read = async |from, max| {
        let records = log.read(&friends, 0, from, max).await.unwrap();
        records.iter().map(|record| record.offset).collect::<Vec<_>>()
    };
    assert_eq!(read(0, 3).await, [0, 1, 2]);
    assert_eq!(read(17, 10).await, [17, 18, 19]);
    assert_eq!(read(19, 1).await, [19]);
    // At the end and beyond it there is nothing yet.
    assert!(read(20, 10).await.is_empty());
    assert!(read(1_000, 10).await.is_empty());
    assert!(read(0, 0).await.is_empty());
    let marks = log.watermarks(std::slice::from_ref(&friends)).await.unwrap();
    assert_eq!((marks.len(), marks[0].low, marks[0].next), (1, 0, 20));
}
