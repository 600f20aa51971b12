//! Moves what functions have put into their context's outbox to the log.
//!
//! A row is appended and then deleted, so that whatever happens in between it is appended again, with the same event id:
//! at least once, and consumers can tell. Rows go in order of their ids, which is the order of their commits, since a
//! database has one writer at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use plaza_sqlite::{Connection, Database, rusqlite};
use rusqlite::{Row, params, types::ValueRef};
use tokio::{sync::watch, task::JoinHandle, time};
use tokio_util::sync::CancellationToken;

use crate::{Clock, CloudEvent, EventLog, LogError, NewRecord, clock::rfc3339};

/// The topic for rows of an outbox that cannot become a record, with the reason in the headers.
pub const OUTBOX_DLQ: &str = "outbox.dlq";

/// From how many rows in a batch on there is load.
const LOAD_ROWS: usize = 3;
/// Longest reason that goes into a header, in bytes.
const REASON_BYTES_MAX: usize = 1_024;

/// How an outbox is published. The defaults suit all contexts.
#[derive(Clone, Debug)]
pub struct PublisherSettings {
    /// Most rows in one append.
    pub batch_rows_max: usize,
    /// Most bytes in one append, save that one row always goes.
    pub batch_bytes_max: usize,
    /// Shortest time from the beginning of one batch to that of the next, once rows come faster than one by one: so that
    /// under load a few large batches are published instead of many small ones. A row that comes alone goes at once.
    pub batch_interval: Duration,
    /// How often to look without having been woken: for rows that another process wrote.
    pub poll_interval: Duration,
    /// First pause after a failure of the log or the database; doubled each time.
    pub retry_initial: Duration,
    /// Longest pause after a failure.
    pub retry_max: Duration,
    /// How long [`Publisher::stop`] goes on publishing what is in the outbox.
    pub drain_time_max: Duration,
    /// Tells when a row was given up.
    pub clock: Clock,
}

impl Default for PublisherSettings {
    fn default() -> Self {
        Self {
            batch_rows_max: 500,
            batch_bytes_max: 1 << 20,
            batch_interval: Duration::from_millis(4),
            poll_interval: Duration::from_secs(1),
            retry_initial: Duration::from_millis(50),
            retry_max: Duration::from_secs(5),
            drain_time_max: Duration::from_secs(5),
            clock: Clock::system(),
        }
    }
}

/// Publishes one context's outbox until it is stopped. Dropping it stops it at once, which loses nothing.
pub struct Publisher {
    stop: CancellationToken,
    drain_time_max: Duration,
    task: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Starts publishing the table `outbox` of a context's database. The topic [`OUTBOX_DLQ`] must exist in the log.
    pub fn start(context: &str, database: Arc<Database>, log: Arc<dyn EventLog>, settings: PublisherSettings) -> Self {
        let drain_time_max = settings.drain_time_max;
        let stop = CancellationToken::new();
        let label = || context.to_owned();
        let worker = Worker {
            commits: database.commits(),
            database,
            log,
            stop: stop.clone(),
            context: context.to_owned(),
            depth: metrics::gauge!("plaza_outbox_depth", "context" => label()),
            published: metrics::counter!("plaza_outbox_published_total", "context" => label()),
            rejected: metrics::counter!("plaza_outbox_rejected_total", "context" => label()),
            errors: metrics::counter!("plaza_outbox_errors_total", "context" => label()),
            seconds: metrics::histogram!("plaza_publish_seconds", "context" => label()),
            settings,
        };
        Self { stop, drain_time_max, task: Some(tokio::spawn(worker.run())) }
    }

    /// Publishes what is in the outbox now, within a bound of time, and stops.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = &mut self.task
            && time::timeout(self.drain_time_max, task).await.is_err()
        {
            tracing::warn!(
                "the outbox was not empty when its publisher had to stop; the rest is published at the next start"
            );
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

struct Worker {
    context: String,
    database: Arc<Database>,
    commits: watch::Receiver<u64>,
    log: Arc<dyn EventLog>,
    stop: CancellationToken,
    settings: PublisherSettings,
    depth: metrics::Gauge,
    published: metrics::Counter,
    rejected: metrics::Counter,
    errors: metrics::Counter,
    seconds: metrics::Histogram,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Database(#[from] plaza_sqlite::Error),
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A beginning of the outbox.
struct Batch {
    ids: Vec<i64>,
    /// For each id its record, or why it has none.
    rows: Vec<Result<NewRecord, Rejected>>,
    /// How many rows the outbox has, at least roughly.
    depth: u64,
}

/// A row that cannot become a record.
struct Rejected {
    reason: String,
    /// The row as JSON, for whoever looks into the matter.
    row: String,
}

impl Worker {
    async fn run(mut self) {
        let mut pause = self.settings.retry_initial;
        loop {
            // Before looking: what is committed afterwards wakes.
            self.commits.borrow_and_update();
            let start = time::Instant::now();
            match self.publish().await {
                Ok(rows) if rows > 0 => {
                    pause = self.settings.retry_initial;
                    if (LOAD_ROWS..self.settings.batch_rows_max).contains(&rows) && !self.stop.is_cancelled() {
                        time::sleep_until(start + self.settings.batch_interval).await;
                    }
                }
                Ok(_) => {
                    pause = self.settings.retry_initial;
                    if self.stop.is_cancelled() {
                        return;
                    }
                    tokio::select! {
                        changed = self.commits.changed() => {
                            // Nothing can be committed any longer; what was, has been seen on the last round.
                            if changed.is_err() { return }
                        }
                        () = time::sleep(self.settings.poll_interval) => {}
                        () = self.stop.cancelled() => {}
                    }
                }
                Err(Failure::Database(plaza_sqlite::Error::Closed) | Failure::Log(LogError::Closed)) => return,
                Err(error) => {
                    self.errors.increment(1);
                    tracing::warn!(context = self.context, %error, "outbox could not be published; trying again");
                    time::sleep(pause).await;
                    pause = (pause * 2).min(self.settings.retry_max);
                }
            }
        }
    }

    /// Publishes one batch; answers how many rows it had.
    async fn publish(&self) -> Result<usize, Failure> {
        let start = Instant::now();
        let mut connection = self.database.connection()?;
        let batch = self.read(&mut connection)?;
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53 rows")]
        self.depth.set(batch.depth as f64);
        if batch.ids.is_empty() {
            return Ok(0);
        }
        // A row may be read before its commit is on disk. What a power cut would undo must not be told to the world.
        self.database.durable().await?;
        let rows = batch.ids.len();
        self.append(&batch.ids, batch.rows).await?;
        self.delete(&mut connection, batch.ids).await?;
        self.published.increment(rows as u64);
        self.seconds.record(start.elapsed().as_secs_f64());
        Ok(rows)
    }

    fn read(&self, connection: &mut Connection) -> Result<Batch, plaza_sqlite::Error> {
        let (rows_max, bytes_max) = (self.settings.batch_rows_max, self.settings.batch_bytes_max);
        connection.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, event_id, topic, key, type, data, time, channels, action FROM outbox ORDER BY id LIMIT ?1",
            )?;
            let mut found = statement.query([rows_max])?;
            let (mut ids, mut rows, mut bytes) = (Vec::new(), Vec::new(), 0);
            while bytes < bytes_max
                && let Some(row) = found.next()?
            {
                ids.push(row.get(0)?);
                let record = record(row)?;
                bytes += record.as_ref().map_or(0, NewRecord::size_bytes);
                rows.push(record);
            }
            let depth = if rows.len() < rows_max && bytes < bytes_max {
                rows.len() as u64
            } else {
                // Exact but for ids that were never used; counting would go through all rows.
                connection
                    .prepare_cached("SELECT max(id) - (SELECT min(id) FROM outbox) + 1 FROM outbox")?
                    .query_row([], |row| row.get(0))?
            };
            Ok(Batch { ids, rows, depth })
        })
    }

    async fn append(&self, ids: &[i64], rows: Vec<Result<NewRecord, Rejected>>) -> Result<(), LogError> {
        if rows.iter().all(Result::is_ok) {
            let records: Vec<_> = rows.iter().flatten().cloned().collect();
            match self.log.append(records).await {
                Err(error) if error.is_permanent() => {}
                result => return result.map(drop),
            }
        }
        // Something in it will never be a record: one by one, so that it does not hold up the others.
        for (id, row) in ids.iter().zip(rows) {
            let rejected = match row {
                Ok(record) => match self.log.append(vec![record.clone()]).await {
                    Ok(_) => continue,
                    Err(error) if error.is_permanent() => reject(&record, error.to_string()),
                    Err(error) => return Err(error),
                },
                Err(rejected) => rejected,
            };
            self.rejected.increment(1);
            tracing::error!(context = self.context, id, reason = rejected.reason, "row of the outbox was rejected");
            self.log.append(vec![self.rejection(*id, rejected)]).await?;
        }
        Ok(())
    }

    fn rejection(&self, id: i64, rejected: Rejected) -> NewRecord {
        let now_ms = self.settings.clock.now_ms();
        let headers = [
            ("dlq-reason", cut(rejected.reason, REASON_BYTES_MAX)),
            ("dlq-context", self.context.clone()),
            ("dlq-outbox-id", id.to_string()),
            ("dlq-time", rfc3339(now_ms)),
            ("content-type", "application/json".to_owned()),
        ];
        NewRecord {
            topic: OUTBOX_DLQ.to_owned(),
            key: Some(Bytes::from(self.context.clone())),
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), Bytes::from(value))).collect(),
            value: Some(Bytes::from(rejected.row)),
            timestamp_ms: now_ms,
        }
    }

    /// Deletes the rows; tries again until it succeeds, since to start over would publish them all again. If a power cut
    /// undoes it, they are published again, which happens anyhow.
    async fn delete(&self, connection: &mut Connection, ids: Vec<i64>) -> Result<(), plaza_sqlite::Error> {
        let mut pause = self.settings.retry_initial;
        loop {
            match delete(connection, &ids).await {
                Err(error) if error.is_busy() => {
                    self.errors.increment(1);
                    tracing::warn!(context = self.context, %error, "published rows could not be deleted; trying again");
                    time::sleep(pause).await;
                    pause = (pause * 2).min(self.settings.retry_max);
                }
                result => return result,
            }
        }
    }
}

async fn delete(connection: &mut Connection, ids: &[i64]) -> Result<(), plaza_sqlite::Error> {
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return Ok(()) };
    connection
        .write_lazily(|connection| {
            // By range, where that hits exactly the rows that were read: nobody can have put one in between, for ids
            // only grow; but a row's id may be written by hand.
            let inside: usize = connection
                .prepare_cached("SELECT count(*) FROM outbox WHERE id BETWEEN ?1 AND ?2")?
                .query_row([first, last], |row| row.get(0))?;
            if inside == ids.len() {
                connection.prepare_cached("DELETE FROM outbox WHERE id BETWEEN ?1 AND ?2")?.execute([first, last])?;
            } else {
                let mut statement = connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?;
                for id in ids {
                    statement.execute(params![id])?;
                }
            }
            Ok(())
        })
        .await
}

/// The record of a row, in the binary mode of CloudEvents' Kafka protocol binding.
fn record(row: &Row<'_>) -> rusqlite::Result<Result<NewRecord, Rejected>> {
    let text = |column: usize| match row.get_ref(column) {
        Ok(ValueRef::Text(bytes)) => std::str::from_utf8(bytes).ok(),
        _ => None,
    };
    let time_ms = match row.get_ref(6)? {
        ValueRef::Integer(time_ms) => Some(time_ms),
        _ => None,
    };
    let fields = (text(1), text(2), text(3), text(4), text(5), time_ms, text(7), text(8));
    let (Some(id), Some(topic), Some(key), Some(kind), Some(data), Some(time_ms), Some(channels), Some(action)) =
        fields
    else {
        return rejected(row, "a column is not of its type");
    };
    // The type is `plaza.<context>.<Event>.v1`.
    let mut segments = kind.split('.');
    let Some(context) = segments.nth(1).filter(|context| !context.is_empty() && segments.next().is_some()) else {
        return rejected(row, "the type is not <system>.<context>.<event>.<version>");
    };
    if id.is_empty() || topic.is_empty() {
        return rejected(row, "the event has no id or no topic");
    }
    if !matches!(action, "send" | "hint" | "close") {
        return rejected(row, "the action is none of send, hint, close");
    }
    let mut attributes = vec![("time".to_owned(), rfc3339(time_ms)), ("partitionkey".to_owned(), key.to_owned())];
    if !channels.is_empty() {
        attributes.push(("gripchannels".to_owned(), channels.to_owned()));
    }
    if action != "send" {
        attributes.push(("gripaction".to_owned(), action.to_owned()));
    }
    let event = CloudEvent {
        id: id.to_owned(),
        source: format!("/plaza/{context}"),
        kind: kind.to_owned(),
        attributes,
        content_type: Some("application/json".to_owned()),
        data: None,
    };
    Ok(Ok(NewRecord {
        topic: topic.to_owned(),
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        headers: event.record_headers(),
        value: Some(Bytes::copy_from_slice(data.as_bytes())),
        timestamp_ms: time_ms,
    }))
}

fn rejected(row: &Row<'_>, reason: &str) -> rusqlite::Result<Result<NewRecord, Rejected>> {
    let mut fields = serde_json::Map::new();
    for (column, name) in
        ["id", "event_id", "topic", "key", "type", "data", "time", "channels", "action"].into_iter().enumerate()
    {
        let value = match row.get_ref(column)? {
            ValueRef::Null => serde_json::Value::Null,
            ValueRef::Integer(integer) => integer.into(),
            ValueRef::Real(real) => real.into(),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into(),
        };
        fields.insert(name.to_owned(), value);
    }
    Ok(Err(bounded(reason.to_owned(), &serde_json::Value::Object(fields))))
}

/// The same for a row that had become a record which the log refused.
fn reject(record: &NewRecord, reason: String) -> Rejected {
    let lossy = |bytes: Option<&Bytes>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let headers: Vec<_> =
        record.headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value))).collect();
    let row = serde_json::json!({
        "topic": record.topic,
        "key": lossy(record.key.as_ref()),
        "headers": headers,
        "data": lossy(record.value.as_ref()),
    });
    bounded(reason, &row)
}

/// A dead letter that the log takes, however large the row was.
fn bounded(reason: String, row: &serde_json::Value) -> Rejected {
    const ROW_BYTES_MAX: usize = 512 << 10;
    let text = row.to_string();
    if text.len() <= ROW_BYTES_MAX {
        return Rejected { reason, row: text };
    }
    let row = serde_json::json!({ "cut": cut(text, ROW_BYTES_MAX / 2) }).to_string();
    Rejected { reason, row }
}

/// Shortens a text to at most so many bytes.
pub(crate) fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}
