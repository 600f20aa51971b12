//! Prints how many durable transactions one database commits per second, with 1, 8 and 64 writers. Each does what sending a
//! message does: two point reads, an update of a row that all of them want, two inserts.
//!
//! `cargo run --release -p plaza-sqlite --example commits [DIRECTORY] [SECONDS]`

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use plaza_sqlite::{Database, Error, Settings, Value};
use tokio::task::JoinSet;

/// Rows of the table `hot`.
const HOT_ROWS: i64 = 500;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "its output is what it is for")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().map_or_else(|| std::env::temp_dir().join("plaza-commits"), PathBuf::from);
    let seconds = arguments.next().map_or(Ok(3), |text| text.parse())?;
    println!("{:>8} {:>14} {:>10} {:>10} {:>10}", "writers", "transactions/s", "p50 ms", "p95 ms", "p99 ms");
    for writers in [1, 8, 64] {
        std::fs::create_dir_all(&directory)?;
        let database = Database::open(&directory.join("commits.db"), Settings::default())?;
        database
            .connection()?
            .write(|connection| {
                connection.execute_batch(
                    "CREATE TABLE a (id INTEGER PRIMARY KEY, k TEXT, v TEXT); CREATE INDEX ak ON a (k);
                     CREATE TABLE b (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT);
                     CREATE TABLE hot (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, v TEXT NOT NULL);
                     WITH RECURSIVE ids (id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM ids WHERE id < 499)
                     INSERT INTO hot SELECT id, 0, hex(zeroblob(50)) FROM ids",
                )
            })
            .await?;
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for writer in 0..writers {
            tasks.spawn(transactions(database.clone(), writer, Duration::from_secs(seconds)));
        }
        let mut latencies = Vec::new();
        while let Some(result) = tasks.join_next().await {
            latencies.extend(result??);
        }
        let elapsed = start.elapsed();
        latencies.sort_unstable();
        let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1_000.0;
        println!(
            "{writers:>8} {:>14} {:>10.2} {:>10.2} {:>10.2}",
            latencies.len() as u128 * 1_000 / elapsed.as_millis().max(1),
            at(50),
            at(95),
            at(99)
        );
        database.close().await;
        std::fs::remove_dir_all(&directory)?;
    }
    Ok(())
}

async fn transactions(database: Arc<Database>, writer: i64, time: Duration) -> Result<Vec<Duration>, Error> {
    let end = Instant::now() + time;
    let mut latencies = Vec::new();
    let text = Value::from("x".repeat(100));
    while Instant::now() < end {
        let start = Instant::now();
        let mut connection = database.connection()?;
        let key = Value::Text(format!("{writer}:{}", latencies.len()));
        connection.execute("BEGIN IMMEDIATE", &[]).await?;
        let other = Value::Integer((writer * 7 + i64::try_from(latencies.len()).unwrap_or(0)) % HOT_ROWS);
        connection.execute("SELECT n, v FROM hot WHERE id = ?1", &[other]).await?;
        connection.execute("SELECT id, v FROM a WHERE k = ?1", std::slice::from_ref(&key)).await?;
        connection.execute("UPDATE hot SET n = n + 1 WHERE id = ?1", &[Value::Integer(0)]).await?;
        connection.execute("INSERT INTO a (k, v) VALUES (?1, ?2)", &[key, text.clone()]).await?;
        connection.execute("INSERT INTO b (v) VALUES (?1)", std::slice::from_ref(&text)).await?;
        connection.execute("COMMIT", &[]).await?;
        latencies.push(start.elapsed());
    }
    Ok(latencies)
}
