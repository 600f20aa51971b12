//! The embedded log.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use plaza_events::{
    Clock, Consumer, Delivery, EventLog, LogError, NewRecord, Position, Record, SqliteLog, SqliteLogSettings,
    TailStart, Topics, partition_of,
};
use support::{event, id, ids, open, open_with, records, soon};
use tokio::task::JoinSet;

async fn next(consumer: &mut Box<dyn Consumer>) -> Vec<Arc<Record>> {
    match soon(consumer.next()).await.unwrap() {
        Delivery::Records(records) => records,
        Delivery::Revoking(_) | Delivery::Lost(_) => panic!("the embedded log takes nothing away"),
    }
}

fn topics(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn any_bytes_come_back_from_memory_and_from_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let new = NewRecord {
        topic: "message.events".to_owned(),
        key: Some(Bytes::from_static(b"\x00\xff")),
        headers: vec![("a".to_owned(), Bytes::from_static(b"\xfe")), ("a".to_owned(), Bytes::new())],
        value: Some(Bytes::from_static(b"\x00")),
        timestamp_ms: -5,
    };
    let bare = NewRecord { topic: "message.events".to_owned(), ..NewRecord::default() };
    let positions = log.append(vec![new.clone(), bare.clone()]).await.unwrap();
    assert_eq!(positions[0].partition, partition_of(b"\x00\xff", 4));
    for open_anew in [false, true] {
        let log = if open_anew {
            log.close().await;
            open(directory.path()).await
        } else {
            log.clone()
        };
        for (position, new) in positions.iter().zip([&new, &bare]) {
            let read = log.read("message.events", position.partition, position.offset, 10).await.unwrap();
            let expected = Record {
                topic: "message.events".into(),
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
}

#[tokio::test]
async fn what_cannot_be_appended_is_refused_and_nothing_of_it_stays() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let good = event("message.events", "r", "1");
    let large = NewRecord { value: Some(Bytes::from(vec![0; 2 << 20])), ..good.clone() };
    for bad in [NewRecord { topic: "nowhere".to_owned(), ..good.clone() }, large] {
        let error = log.append(vec![good.clone(), bad]).await.unwrap_err();
        assert!(error.is_permanent(), "{error}");
    }
    assert!(support::all(&log, "message.events").await.is_empty());
    assert!(matches!(log.read("message.events", 4, 0, 1).await, Err(LogError::UnknownPartition { .. })));
    log.close().await;
    assert!(matches!(log.append(vec![good]).await, Err(LogError::Closed)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_keep_their_order_under_many_writers() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let mut tail = log.tail(&topics(&["message.events"]), TailStart::Last(0)).await.unwrap();
    let mut writers = JoinSet::new();
    for key in 0..16 {
        let log = log.clone();
        writers.spawn(async move {
            for n in 0..20 {
                let pair = (0..2).map(|m| event("message.events", &format!("k{key}"), &format!("{:03}", n * 2 + m)));
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
    // The file says the same as memory did.
    log.close().await;
    let log = open(directory.path()).await;
    let mut tail = log.tail(&topics(&["message.events"]), TailStart::Last(10_000)).await.unwrap();
    assert_eq!(records(&mut tail, 16 * 40).await, seen);
}

#[tokio::test]
async fn a_tail_begins_where_it_was_told_to_and_goes_on_live() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    for n in 0..10 {
        log.append(vec![event("message.events", &format!("k{n}"), &n.to_string())]).await.unwrap();
        log.append(vec![event("friend.events", "k", &format!("f{n}"))]).await.unwrap();
    }
    for open_anew in [false, true] {
        let log = if open_anew {
            log.close().await;
            open(directory.path()).await
        } else {
            log.clone()
        };
        let messages = topics(&["message.events"]);
        let mut tail = log.tail(&messages, TailStart::Last(3)).await.unwrap();
        assert_eq!(ids(&mut tail, 3).await, ["7", "8", "9"]);
        let mut both = log.tail(&topics(&["message.events", "friend.events"]), TailStart::Last(3)).await.unwrap();
        assert_eq!(ids(&mut both, 3).await, ["f8", "9", "f9"]);

        let at = Position { topic: "friend.events".into(), partition: 0, offset: 8 };
        let mut tail = log.tail(&topics(&["message.events", "friend.events"]), TailStart::At(vec![at])).await.unwrap();
        assert_eq!(ids(&mut tail, 2).await, ["f8", "f9"]);
        if !open_anew {
            continue;
        }
        // The other topic was not named, so it comes from its end on.
        log.append(vec![event("message.events", "k", "10"), event("friend.events", "k", "f10")]).await.unwrap();
        assert_eq!(ids(&mut tail, 2).await, ["10", "f10"]);
    }
}

#[tokio::test]
async fn a_group_goes_on_where_it_had_committed() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    for n in 0..5 {
        log.append(vec![event("friend.events", "k", &n.to_string())]).await.unwrap();
    }
    let friends = topics(&["friend.events"]);
    let mut consumer = log.consumer("g", &friends).await.unwrap();
    assert!(matches!(log.consumer("g", &friends).await, Err(LogError::GroupInUse { .. })));
    assert_eq!(next(&mut consumer).await.len(), 5);
    assert_eq!(log.lag("g").await.unwrap()[0].records, 5);
    let at = Position { topic: "friend.events".into(), partition: 0, offset: 3 };
    consumer.commit(std::slice::from_ref(&at)).await.unwrap();
    assert_eq!(log.lag("g").await.unwrap()[0].records, 2);
    drop(consumer);

    let mut consumer = log.consumer("g", &friends).await.unwrap();
    assert_eq!(next(&mut consumer).await.iter().map(|record| id(record)).collect::<Vec<_>>(), ["3", "4"]);
    drop(consumer);
    log.close().await;

    let log = open(directory.path()).await;
    let mut consumer = log.consumer("g", &friends).await.unwrap();
    assert_eq!(next(&mut consumer).await[0].offset, 3);
    let mut other = log.consumer("another", &friends).await.unwrap();
    assert_eq!(next(&mut other).await[0].offset, 0);
}

#[tokio::test]
async fn a_paused_partition_does_not_hold_up_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let mut consumer = log.consumer("g", &topics(&["message.events", "friend.events"])).await.unwrap();
    log.append(vec![event("friend.events", "k", "1")]).await.unwrap();
    assert_eq!(id(&next(&mut consumer).await[0]), "1");
    consumer.pause("friend.events", 0);
    log.append(vec![event("friend.events", "k", "2"), event("message.events", "k", "m")]).await.unwrap();
    assert_eq!(id(&next(&mut consumer).await[0]), "m");
    assert!(tokio::time::timeout(Duration::from_millis(20), consumer.next()).await.is_err());
    consumer.resume("friend.events", 0);
    assert_eq!(id(&next(&mut consumer).await[0]), "2");
}

#[tokio::test]
async fn retention_takes_what_is_old_and_offsets_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let now_ms = Arc::new(AtomicI64::new(0));
    let settings = SqliteLogSettings {
        sweep_interval: Duration::from_millis(5),
        sweep_records_max: 2,
        clock: Clock::from_fn({
            let now_ms = now_ms.clone();
            move || now_ms.load(Ordering::Relaxed)
        }),
    };
    let log = open_with(directory.path(), settings.clone()).await;
    let partition = partition_of(b"k", 4);
    let swept = async |log: &SqliteLog, low| {
        soon(async {
            loop {
                let watermarks = log.watermarks(&topics(&["message.events"])).await.unwrap();
                if watermarks[partition as usize].low == low {
                    return watermarks[partition as usize].next;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    };
    for n in 0..5 {
        log.append(vec![event("message.events", "k", &n.to_string())]).await.unwrap();
    }
    log.append(vec![event("friend.events", "k", "f")]).await.unwrap();
    now_ms.store(3_600_000, Ordering::Relaxed);
    log.append(vec![event("message.events", "k", "5")]).await.unwrap();
    // Exactly at its retention a record is still there.
    assert_eq!(swept(&log, 0).await, 6);
    now_ms.store(3_600_001, Ordering::Relaxed);
    assert_eq!(swept(&log, 5).await, 6);
    assert_eq!(id(&log.read("message.events", partition, 0, 10).await.unwrap()[0]), "5");
    // Whoever has received nothing starts with what is left, and its lag counts no more than that.
    let mut consumer = log.consumer("g", &topics(&["message.events"])).await.unwrap();
    assert_eq!(id(&next(&mut consumer).await[0]), "5");
    assert_eq!(log.lag("g").await.unwrap().iter().map(|lag| lag.records).sum::<u64>(), 1);

    now_ms.store(7_200_001, Ordering::Relaxed);
    assert_eq!(swept(&log, 6).await, 6);
    // The other topic keeps its records for a day.
    assert_eq!(support::all(&log, "friend.events").await.len(), 1);
    log.close().await;
    // A partition that is empty remembers where it was.
    let log = open_with(directory.path(), settings).await;
    let positions = log.append(vec![event("message.events", "k", "6")]).await.unwrap();
    assert_eq!(positions[0].offset, 6);
}

#[tokio::test]
async fn a_reader_who_fell_behind_memory_reads_on_from_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let mut tail = log.tail(&topics(&["friend.events"]), TailStart::Last(0)).await.unwrap();
    let mut consumer = log.consumer("g", &topics(&["friend.events"])).await.unwrap();
    // More than memory keeps: 40 records of 1 MB.
    let large = Bytes::from(vec![b'x'; 1_000_000]);
    for n in 0..40 {
        let record = NewRecord { value: Some(large.clone()), ..event("friend.events", "k", &format!("{n:02}")) };
        log.append(vec![record]).await.unwrap();
    }
    let expected: Vec<_> = (0..40).map(|n| format!("{n:02}")).collect();
    assert_eq!(ids(&mut tail, 40).await, expected);
    let mut received = Vec::new();
    while received.len() < 40 {
        received.extend(next(&mut consumer).await.iter().map(|record| id(record)));
    }
    assert_eq!(received, expected);
}

#[tokio::test]
async fn topics_may_grow_but_not_shrink() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).await.close().await;
    let with = |partitions: &str| Topics::parse(&support::TOPICS.replace("partitions = 4", partitions)).unwrap();
    let grown = SqliteLog::open(directory.path(), &with("partitions = 6"), SqliteLogSettings::default()).await.unwrap();
    assert_eq!(grown.watermarks(&topics(&["message.events"])).await.unwrap().len(), 6);
    grown.close().await;
    let shrunk = SqliteLog::open(directory.path(), &with("partitions = 4"), SqliteLogSettings::default()).await;
    assert!(matches!(shrunk, Err(LogError::Invalid(_))));
}
