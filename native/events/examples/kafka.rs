//! Prints what Kafka costs as a log: appends, the way to a reader, and questions.
//!
//! `dir=$(mktemp -d); brokers=$(scripts/kafka start $dir); cargo run --release -p plaza-events --example kafka $brokers; scripts/kafka stop $dir`
//!
//! Further arguments are settings of librdkafka: `linger.ms=0`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use plaza_events::{EventLog, KafkaLog, KafkaSettings, NewRecord, TailStart, Topics, create_topics};

const TOPIC: &str = "message.events";
const GROUP: &str = "example";

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let brokers = arguments.next().ok_or("usage: kafka BROKERS [NAME=VALUE …]")?;
    let more =
        arguments.filter_map(|pair| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())));
    let settings = KafkaSettings { more: more.collect(), ..KafkaSettings::new(&brokers) };
    let topics = Topics::parse(include_str!("../../../infra/topics.toml"))?;
    create_topics(&settings, &topics, None).await?;
    let log = Arc::new(KafkaLog::open(settings, &topics).await?);
    one_by_one(&log).await?;
    together(&log).await?;
    bulk(&log).await?;
    questions(&log).await?;
    log.close().await;
    Ok(())
}

fn record(n: u32) -> NewRecord {
    NewRecord {
        topic: TOPIC.to_owned(),
        key: Some(Bytes::from(format!("room-{}", n % 50))),
        headers: (0..8).map(|n| (format!("ce_attribute{n}"), Bytes::from_static(b"a value of some length"))).collect(),
        value: Some(Bytes::from("{\"content\":\"hello\"}".repeat(15))),
        timestamp_ms: plaza_events::Clock::system().now_ms(),
    }
}

#[expect(clippy::print_stdout, reason = "its output is what it is for")]
fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what}: p50 {:?} p99 {:?}", at(50), at(99));
}

/// One record at a time: until it is durable, and until a tail has it.
async fn one_by_one(log: &Arc<KafkaLog>) -> Result<()> {
    let mut tail = log.tail(&[TOPIC.to_owned()], TailStart::Last(0)).await?;
    let (mut appends, mut arrivals) = (Vec::new(), Vec::new());
    for n in 0..1_000 {
        let start = Instant::now();
        let append = async {
            let result = log.append(vec![record(n)]).await;
            (result, start.elapsed())
        };
        let arrive = async {
            let result = tail.next().await;
            (result, start.elapsed())
        };
        let ((appended, append), (arrived, arrival)) = tokio::join!(append, arrive);
        appended?;
        arrived?;
        // The first ones make connections.
        if n >= 50 {
            appends.push(append);
            arrivals.push(arrival);
        }
    }
    print("append of one record", appends);
    print("append to tail", arrivals);
    Ok(())
}

/// Ten at a time append one record each.
async fn together(log: &Arc<KafkaLog>) -> Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    let start = Instant::now();
    for task in 0..10 {
        let log = log.clone();
        tasks.spawn(async move {
            let mut times = Vec::new();
            for n in 0..500 {
                let start = Instant::now();
                log.append(vec![record(task * 7 + n)]).await?;
                times.push(start.elapsed());
            }
            Ok::<_, plaza_events::LogError>(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    print(
        &format!("append of one record, ten at a time ({:.0} records/s)", 5_000.0 / start.elapsed().as_secs_f64()),
        times,
    );
    Ok(())
}

/// Appends in lists of 500, with a tail that reads along.
#[expect(clippy::print_stdout, reason = "its output is what it is for")]
async fn bulk(log: &Arc<KafkaLog>) -> Result<()> {
    const LISTS: u32 = 200;
    let mut tail = log.tail(&[TOPIC.to_owned()], TailStart::Last(0)).await?;
    let reader = tokio::spawn(async move {
        let mut seen = 0;
        while seen < LISTS * 500 {
            seen += u32::try_from(tail.next().await?.len()).unwrap_or_default();
        }
        Ok::<_, plaza_events::LogError>(())
    });
    let (start, cpu) = (Instant::now(), cpu_time()?);
    for list in 0..LISTS {
        log.append((0..500).map(|n| record(list + n)).collect()).await?;
    }
    reader.await??;
    let records = f64::from(LISTS * 500);
    let (elapsed, cpu) = (start.elapsed(), cpu_time()?.saturating_sub(cpu));
    println!(
        "lists of 500: {:.0} records/s to the tail, {:.1} µs of CPU per record",
        records / elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / records
    );
    Ok(())
}

async fn questions(log: &Arc<KafkaLog>) -> Result<()> {
    let all: Vec<String> = log.topics().await?.into_iter().map(|topic| topic.name).collect();
    let marks = log.watermarks(&all).await?;
    let mut times = [const { Vec::new() }; 5];
    let mut consumer = log.consumer(GROUP, &[TOPIC.to_owned()]).await?;
    consumer.next().await?;
    for _ in 0..200 {
        let mut start = Instant::now();
        let mut lap = || std::mem::replace(&mut start, Instant::now()).elapsed();
        log.watermarks(&[TOPIC.to_owned()]).await?;
        times[0].push(lap());
        log.watermarks(&all).await?;
        times[1].push(lap());
        let mark = marks.iter().find(|mark| *mark.topic == *TOPIC && mark.next > 600).ok_or("no records")?;
        log.read(TOPIC, mark.partition, mark.next / 2, 100).await?;
        times[2].push(lap());
        log.read(TOPIC, mark.partition, mark.next, 100).await?;
        times[3].push(lap());
        log.lag(GROUP).await?;
        times[4].push(lap());
    }
    let what = [
        "watermarks of a topic",
        "watermarks of all topics",
        "read of 100 records in the middle",
        "read at the end",
        "lag of a group",
    ];
    what.into_iter().zip(times).for_each(|(what, times)| print(what, times));
    Ok(())
}

/// The process's time on CPUs so far (Linux).
fn cpu_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().ok_or("no fields")?.split_whitespace().collect();
    // utime and stime, in ticks of 10 ms.
    let ticks = |index: usize| fields.get(index).ok_or("too few fields").map(|field| field.parse::<u64>());
    Ok(Duration::from_millis((ticks(11)?? + ticks(12)??) * 10))
}
