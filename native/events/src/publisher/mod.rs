//! Moves what functions have put into their context's outbox to the log.
//!
//! A row is appended and then deleted, so that whatever happens in between it is appended again, with the same event id:
//! at least once, and consumers can tell. Rows go in order of their ids, which within a key is the order of their commits.
//! Where rows come from is an [`Outbox`]: a table of a SQLite database, which has one publisher, or of a MySQL database,
//! which may have several.

mod mysql;
mod outbox;
mod row;
mod sqlite;

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{task::JoinHandle, time};
use tokio_util::sync::CancellationToken;

pub use mysql::MysqlOutbox;
pub use outbox::{Batch, Outbox, OutboxError, Turn};
pub(crate) use row::cut;
pub use row::{Cell, Row};
pub use sqlite::SqliteOutbox;

use crate::{Clock, EventLog, LogError, NewRecord, clock::rfc3339};
use row::{Rejected, reject};

/// The topic for rows of an outbox that cannot become a record, with the reason in the headers.
pub const OUTBOX_DLQ: &str = "outbox.dlq";

/// From how many rows in a batch on there is load.
const LOAD_ROWS: usize = 3;
/// How long a publisher that has to stop waits for its turn, so as to publish what is left: none if another one has it.
const LAST_TURN_WAIT_MAX: Duration = Duration::from_millis(500);
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
    /// Starts publishing a context's outbox. The topic [`OUTBOX_DLQ`] must exist in the log.
    pub fn start(context: &str, outbox: Arc<dyn Outbox>, log: Arc<dyn EventLog>, settings: PublisherSettings) -> Self {
        let drain_time_max = settings.drain_time_max;
        let stop = CancellationToken::new();
        let label = || context.to_owned();
        let worker = Worker {
            outbox,
            log,
            stop: stop.clone(),
            context: context.to_owned(),
            depth: metrics::gauge!("plaza_outbox_depth", "context" => label()),
            published: metrics::counter!("plaza_outbox_published_total", "context" => label()),
            rejected: metrics::counter!("plaza_outbox_rejected_total", "context" => label()),
            errors: metrics::counter!("plaza_outbox_errors_total", "context" => label()),
            seconds: metrics::histogram!("plaza_publish_seconds", "context" => label()),
            leading: metrics::gauge!("plaza_outbox_leading", "context" => label()),
            pause: settings.retry_initial,
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
    outbox: Arc<dyn Outbox>,
    log: Arc<dyn EventLog>,
    stop: CancellationToken,
    settings: PublisherSettings,
    depth: metrics::Gauge,
    published: metrics::Counter,
    rejected: metrics::Counter,
    errors: metrics::Counter,
    seconds: metrics::Histogram,
    leading: metrics::Gauge,
    /// How long to wait after the next failure.
    pause: Duration,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Worker {
    async fn run(mut self) {
        loop {
            let led = self.lead().await;
            self.leading.set(0.0);
            match led {
                Ok(()) | Err(Failure::Outbox(OutboxError::Closed) | Failure::Log(LogError::Closed)) => return,
                Err(error) => self.failed(&error).await,
            }
        }
    }

    async fn failed(&mut self, error: &Failure) {
        self.errors.increment(1);
        tracing::warn!(context = self.context, %error, "outbox could not be published; trying again");
        time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(self.settings.retry_max);
    }

    /// Publishes from when it is our turn until it is not, or until we are to stop.
    async fn lead(&mut self) -> Result<(), Failure> {
        let Some(mut turn) = self.turn().await? else { return Ok(()) };
        self.leading.set(1.0);
        loop {
            let start = time::Instant::now();
            match self.publish(&mut *turn).await {
                Ok(0) => {
                    self.pause = self.settings.retry_initial;
                    if self.stop.is_cancelled() {
                        return Ok(());
                    }
                    tokio::select! {
                        waited = turn.wait(self.settings.poll_interval) => waited?,
                        () = self.stop.cancelled() => {}
                    }
                }
                Ok(rows) => {
                    self.pause = self.settings.retry_initial;
                    if (LOAD_ROWS..self.settings.batch_rows_max).contains(&rows) && !self.stop.is_cancelled() {
                        time::sleep_until(start + self.settings.batch_interval).await;
                    }
                }
                // The outbox is as it was, and still ours.
                Err(error @ Failure::Log(_)) if !matches!(error, Failure::Log(LogError::Closed)) => {
                    self.failed(&error).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for our turn. None if we are to stop and another publisher has it.
    async fn turn(&self) -> Result<Option<Box<dyn Turn>>, OutboxError> {
        tokio::select! {
            biased;
            turn = self.outbox.turn() => turn.map(Some),
            () = self.stop.cancelled() => time::timeout(LAST_TURN_WAIT_MAX, self.outbox.turn()).await.ok().transpose(),
        }
    }

    /// Publishes one batch; answers how many rows it had.
    async fn publish(&self, turn: &mut dyn Turn) -> Result<usize, Failure> {
        let start = Instant::now();
        let batch = turn.read(self.settings.batch_rows_max, self.settings.batch_bytes_max).await?;
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53 rows")]
        self.depth.set(batch.depth as f64);
        if batch.rows.is_empty() {
            return Ok(0);
        }
        let lost = {
            let mut append = pin!(self.append(&batch.rows));
            tokio::select! {
                biased;
                appended = &mut append => appended.map(|()| None)?,
                // What has been begun is brought to its end, so that it need not be done again.
                lost = turn.keep() => append.await.map(|()| Some(lost))?,
            }
        };
        turn.delete(&batch.rows).await?;
        self.published.increment(batch.rows.len() as u64);
        self.seconds.record(start.elapsed().as_secs_f64());
        lost.map_or(Ok(batch.rows.len()), |lost| Err(lost.into()))
    }

    async fn append(&self, rows: &[Row]) -> Result<(), LogError> {
        let records: Vec<_> = rows.iter().map(Row::record).collect();
        if records.iter().all(Result::is_ok) {
            match self.log.append(records.iter().flatten().cloned().collect()).await {
                Err(error) if error.is_permanent() => {}
                result => return result.map(drop),
            }
        }
        // Something in it will never be a record: one by one, so that it does not hold up the others.
        for (row, record) in rows.iter().zip(records) {
            let rejected = match record {
                Ok(record) => match self.log.append(vec![record.clone()]).await {
                    Ok(_) => continue,
                    Err(error) if error.is_permanent() => reject(&record, error.to_string()),
                    Err(error) => return Err(error),
                },
                Err(rejected) => rejected,
            };
            self.rejected.increment(1);
            let id = row.id;
            tracing::error!(context = self.context, id, reason = rejected.reason, "row of the outbox was rejected");
            self.log.append(vec![self.rejection(id, rejected)]).await?;
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
}
