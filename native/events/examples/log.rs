//! Prints what an event costs on its way from an outbox through the log to two readers, and how long it takes.
//!
//! `cargo run --release -p plaza-events --example log [DIRECTORY] [SECONDS]`

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use plaza_events::{
    Clock, EventLog, NewRecord, Publisher, PublisherSettings, SqliteLog, SqliteLogSettings, SqliteOutbox, Tail,
    TailStart, Topics,
};
use plaza_sqlite::{Database, Settings};

const OUTBOX: &str = "CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL, topic TEXT NOT NULL, key TEXT NOT NULL,
    type TEXT NOT NULL, data TEXT NOT NULL, time INTEGER NOT NULL,
    channels TEXT NOT NULL DEFAULT '', action TEXT NOT NULL DEFAULT 'send')";
const TOPIC: &str = "message.events";

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().map_or_else(|| std::env::temp_dir().join("plaza-log-example"), PathBuf::from);
    let seconds = arguments.next().map_or(Ok(5), |text| text.parse())?;
    std::fs::create_dir_all(&directory)?;
    let topics = Topics::parse(include_str!("../../../infra/topics.toml"))?;
    let log = Arc::new(SqliteLog::open(&directory, &topics, SqliteLogSettings::default()).await?);
    let database = Database::open(&directory.join("chat.db"), Settings::default())?;
    database.connection()?.write(|connection| connection.execute_batch(OUTBOX)).await?;

    writing(&database, Duration::from_secs(seconds)).await?;
    bulk(&database, &log).await?;
    steady(&database, &log, Duration::from_secs(seconds)).await?;
    one_by_one(&database, &log).await?;
    readers(&log).await?;
    log.close().await;
    database.close().await;
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

/// The same rows as in [`steady`], and nobody who publishes them.
#[expect(clippy::print_stdout, reason = "its output is what it is for")]
async fn writing(database: &Arc<Database>, time: Duration) -> Result<()> {
    let rows = 5_000 * u32::try_from(time.as_secs())?;
    let (start, cpu) = (Instant::now(), cpu_time()?);
    write(database, rows).await?;
    let (elapsed, cpu) = (start.elapsed(), cpu_time()?.saturating_sub(cpu));
    println!(
        "writing alone: {:.0} rows/s, {:.1} µs of CPU per row",
        f64::from(rows) / elapsed.as_secs_f64(),
        per(cpu, rows)
    );
    database.connection()?.write(|connection| connection.execute("DELETE FROM outbox", [])).await?;
    Ok(())
}

/// Puts 5,000 rows a second into the outbox, in transactions of five.
async fn write(database: &Arc<Database>, rows: u32) -> Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    for first in (0..rows).step_by(5) {
        ticks.tick().await;
        put(database, first..first + 5).await?;
    }
    Ok(())
}

/// A full outbox is emptied.
#[expect(clippy::print_stdout, reason = "its output is what it is for")]
async fn bulk(database: &Arc<Database>, log: &Arc<SqliteLog>) -> Result<()> {
    const ROWS: u32 = 50_000;
    for chunk in 0..ROWS / 1_000 {
        put(database, (0..1_000).map(|n| chunk * 1_000 + n)).await?;
    }
    let (start, cpu) = (Instant::now(), cpu_time()?);
    Publisher::start(
        "chat",
        Arc::new(SqliteOutbox::new(database.clone())),
        log.clone(),
        PublisherSettings { drain_time_max: Duration::from_mins(1), ..PublisherSettings::default() },
    )
    .stop()
    .await;
    let (elapsed, cpu) = (start.elapsed(), cpu_time()?.saturating_sub(cpu));
    println!(
        "full outbox: {:.0} rows/s, {:.1} µs of CPU per row",
        f64::from(ROWS) / elapsed.as_secs_f64(),
        per(cpu, ROWS)
    );
    Ok(())
}

/// 5,000 rows a second in transactions of five, with a tail that reads along.
#[expect(clippy::print_stdout, reason = "its output is what it is for")]
async fn steady(database: &Arc<Database>, log: &Arc<SqliteLog>, time: Duration) -> Result<()> {
    let publisher = Publisher::start(
        "chat",
        Arc::new(SqliteOutbox::new(database.clone())),
        log.clone(),
        PublisherSettings::default(),
    );
    let tail = log.tail(&[TOPIC.to_owned()], TailStart::Last(0)).await?;
    let rows = 5_000 * u32::try_from(time.as_secs())?;
    let reader = tokio::spawn(latencies(tail, rows as usize));
    let (start, cpu) = (Instant::now(), cpu_time()?);
    write(database, rows).await?;
    let mut latencies = reader.await??;
    let (elapsed, cpu) = (start.elapsed(), cpu_time()?.saturating_sub(cpu));
    publisher.stop().await;
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
    println!(
        "steady: {:.0} rows/s, {:.1} µs of CPU per row (with what writes the rows), insert to tail p50 {} p99 {} ms",
        f64::from(rows) / elapsed.as_secs_f64(),
        per(cpu, rows),
        at(50),
        at(99)
    );
    Ok(())
}

/// One event at a time, from before its insert until a tail has it.
#[expect(clippy::print_stdout, reason = "its output is what it is for")]
async fn one_by_one(database: &Arc<Database>, log: &Arc<SqliteLog>) -> Result<()> {
    let publisher = Publisher::start(
        "chat",
        Arc::new(SqliteOutbox::new(database.clone())),
        log.clone(),
        PublisherSettings::default(),
    );
    let mut tail = log.tail(&[TOPIC.to_owned()], TailStart::Last(0)).await?;
    let mut latencies = Vec::new();
    for n in 0..1_000 {
        let start = Instant::now();
        put(database, n..=n).await?;
        tail.next().await?;
        latencies.push(start.elapsed());
    }
    publisher.stop().await;
    latencies.sort_unstable();
    println!("idle: insert to tail p50 {:?} p99 {:?}", latencies[500], latencies[990]);
    Ok(())
}

/// What a record costs a reader, from memory and from the file.
#[expect(clippy::print_stdout, reason = "its output is what it is for")]
async fn readers(log: &Arc<SqliteLog>) -> Result<()> {
    const RECORDS: u32 = 10_000;
    let record = NewRecord {
        topic: "friend.events".to_owned(),
        key: Some(Bytes::from_static(b"k")),
        headers: (0..8).map(|n| (format!("ce_attribute{n}"), Bytes::from_static(b"a value of some length"))).collect(),
        value: Some(Bytes::from(vec![b'x'; 300])),
        timestamp_ms: 0,
    };
    // The second half pushes the first out of memory.
    for _ in 0..3 * RECORDS / 500 {
        log.append(vec![record.clone(); 500]).await?;
    }
    for (name, partition_start) in [("file", 0), ("memory", u64::from(2 * RECORDS))] {
        let partition = plaza_events::partition_of(b"k", 3);
        let (start, mut from, mut read) = (Instant::now(), partition_start, 0);
        while read < RECORDS {
            let records = log.read("friend.events", partition, from, 500).await?;
            read += u32::try_from(records.len())?;
            from = records.last().ok_or("no records")?.offset + 1;
        }
        println!("reading from {name}: {:.2} µs per record", per(start.elapsed(), read));
    }
    Ok(())
}

async fn put(database: &Arc<Database>, rows: impl Iterator<Item = u32>) -> Result<()> {
    let now_ms = Clock::system().now_ms();
    let mut connection = database.connection()?;
    connection
        .write(|connection| {
            let mut insert = connection.prepare_cached(
                "INSERT INTO outbox (event_id, topic, key, type, data, time)
                 VALUES (?1, 'message.events', ?2, 'plaza.chat.MessageSent.v1', ?3, ?4)",
            )?;
            for row in rows {
                let id = format!("01900000-0000-7000-8000-{row:012}");
                insert.execute((id, format!("room-{}", row % 50), "{\"content\":\"hello\"}".repeat(15), now_ms))?;
            }
            Ok(())
        })
        .await?;
    Ok(())
}

/// Milliseconds between each event's time and its arrival.
async fn latencies(mut tail: Box<dyn Tail>, count: usize) -> std::result::Result<Vec<i64>, plaza_events::LogError> {
    let clock = Clock::system();
    let mut latencies = Vec::with_capacity(count);
    while latencies.len() < count {
        let records = tail.next().await?;
        let now_ms = clock.now_ms();
        latencies.extend(records.iter().map(|record| now_ms - record.timestamp_ms));
    }
    Ok(latencies)
}

fn per(time: Duration, count: u32) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(count)
}

/// The process's time on CPUs so far (Linux).
fn cpu_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().ok_or("no fields")?.split_whitespace().collect();
    // utime and stime, in ticks of 10 ms.
    let ticks = |index: usize| fields.get(index).ok_or("too few fields").map(|field| field.parse::<u64>());
    Ok(Duration::from_millis((ticks(11)?? + ticks(12)??) * 10))
}
