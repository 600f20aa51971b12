//! What happens to brokers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use plaza_events::{EventLog as _, KafkaLog, KafkaSettings};
use plaza_test_history::{History, Observer};
use plaza_test_kafka::{Function, PATIENCE, Producers, judge, observe, open, topics, trigger, trigger_settings};
use plaza_test_servers::Kafka;

fn settings(kafka: &Kafka) -> KafkaSettings {
    KafkaSettings { session_timeout: Duration::from_secs(6), ..KafkaSettings::new(kafka.brokers()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_or_hangs_and_comes_back() {
    const TEST: &str = "back";
    let Some(kafka) = Kafka::start(1) else { return };
    let log = open(settings(&kafka), TEST).await;
    let history = Arc::new(History::new());
    let observer = observe(&log, &history, TEST).await;
    let function = Function::new(&history, Duration::from_millis(1));
    let running = trigger(&log, trigger_settings("back-group", TEST), function.clone()).await;
    let producers = Producers::start(&log, &history, TEST, 4);
    for _ in 0..2 {
        producers.more(300).await;
        tokio::task::block_in_place(|| kafka.kill());
        tokio::time::sleep(Duration::from_millis(500)).await;
        tokio::task::block_in_place(|| kafka.restart());
    }
    producers.more(300).await;
    // Longer than a session, so that the group gives its member up.
    kafka.pause();
    tokio::time::sleep(Duration::from_secs(8)).await;
    kafka.resume();
    producers.more(300).await;
    producers.stop().await;
    judge(&history, Observer::Repeating).await;
    running.stop().await;
    observer.abort();
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_brokers_is_killed_for_good() {
    const TEST: &str = "failover";
    let Some(kafka) = Kafka::start(3) else { return };
    let log = open(settings(&kafka), TEST).await;
    let history = Arc::new(History::new());
    let observer = observe(&log, &history, TEST).await;
    let function = Function::new(&history, Duration::from_millis(1));
    let running = trigger(&log, trigger_settings("failover-group", TEST), function.clone()).await;
    let producers = Producers::start(&log, &history, TEST, 4);
    producers.more(500).await;
    tokio::task::block_in_place(|| kafka.kill_one(1));
    let killed = Instant::now();
    producers.more(500).await;
    plaza_test_kafka::println_past_the_harness(&format!(
        "500 events after a broker's death took {:?}",
        killed.elapsed()
    ));
    producers.stop().await;
    judge(&history, Observer::Repeating).await;
    // Questions find the new leaders, too.
    let marks = log.watermarks(&[TEST.to_owned()]).await.unwrap();
    assert!(marks.iter().map(|mark| mark.next).sum::<u64>() >= history.count().acknowledged as u64);
    for mark in marks.iter().filter(|mark| mark.next > 0) {
        assert!(!log.read(TEST, mark.partition, 0, 10).await.unwrap().is_empty());
    }
    running.stop().await;
    let committed = async {
        loop {
            // The group's coordinator may be on its way from one broker to another.
            if let Ok(lag) = log.lag("failover-group").await {
                break lag.iter().map(|lag| lag.records).sum::<u64>();
            }
        }
    };
    let lag = tokio::time::timeout(PATIENCE, committed).await.unwrap();
    assert_eq!(lag, 0);
    observer.abort();
    log.close().await;
}

#[tokio::test]
async fn brokers_that_are_not_there_are_named_within_the_time() {
    // A port that nobody listens on any longer.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let settings = KafkaSettings { request_timeout: Duration::from_secs(1), ..KafkaSettings::new(&address) };
    let start = Instant::now();
    let error = KafkaLog::open(settings, &topics("nobody")).await.err().unwrap().to_string();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(error.contains(&address) && error.contains("refused"), "{error}");
}
