//! Calls a function for each record of some topics.
//!
//! The contract, as Knative's sources have it: in a partition the next record goes only after the last was answered 2xx;
//! a 4xx other than 408, 425 and 429 is final and the record goes to the dead letter topic at once; everything else is
//! tried again, with exponential backoff and jitter, or when `Retry-After` says; after the last attempt the record goes to
//! the dead letter topic and the partition moves on. Partitions do not wait for each other. Offsets are committed after
//! success, so a crash delivers some records again: functions know them by `ce-id`.
//!
//! What is sent: a record in the binary mode of CloudEvents' Kafka binding, as a request in binary mode; one in structured
//! mode, as a request in structured mode; one that knows nothing of CloudEvents, as an event of type `plaza.log.Record.v1`
//! which is named after its place in the log. A record whose attributes are incomplete or malformed goes to the dead letter
//! topic without an attempt, since no function could tell it from another.

mod delivery;
mod settings;

use std::{collections::HashMap, sync::Arc, time::Duration};

use plaza_http::Upstream;
use tokio::{
    task::{AbortHandle, Id, JoinError, JoinHandle, JoinSet},
    time,
};
use tokio_util::sync::CancellationToken;

use self::delivery::{Deliverer, Done};
use crate::{Clock, Consumer, Delivery, EventLog, LogError, Position};

pub use settings::TriggerSettings;

/// How often the lag is looked at.
const LAG_INTERVAL: Duration = Duration::from_secs(1);
/// Pause after a failure of the log.
const LOG_RETRY_DELAY: Duration = Duration::from_millis(500);
/// How long the last commit may take when a trigger stops.
const LAST_COMMIT_TIME_MAX: Duration = Duration::from_secs(2);

/// Delivers records until it is stopped. Dropping it stops it at once; what was not committed is delivered again.
pub struct Trigger {
    stop: CancellationToken,
    stop_time_max: Duration,
    task: Option<JoinHandle<()>>,
    lag: AbortHandle,
}

impl Trigger {
    /// Joins the group and begins.
    pub async fn start(
        settings: TriggerSettings,
        upstream: Arc<dyn Upstream>,
        log: Arc<dyn EventLog>,
        clock: Clock,
    ) -> Result<Self, LogError> {
        let deliverer = Arc::new(Deliverer::new(settings.clone(), upstream, log.clone(), clock)?);
        let consumer = log.consumer(&settings.group, &settings.topics).await?;
        let stop = CancellationToken::new();
        let stop_time_max = settings.stop_time_max;
        let dispatcher = Dispatcher {
            consumer,
            group: settings.group.clone(),
            deliverer,
            stop: stop.clone(),
            working: JoinSet::new(),
            workers: HashMap::new(),
        };
        let task = Some(tokio::spawn(dispatcher.run()));
        Ok(Self { stop, stop_time_max, task, lag: tokio::spawn(note_lags(log, settings)).abort_handle() })
    }

    /// Begins nothing more, waits for the requests that are under way, within a bound of time, and commits.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = &mut self.task
            // Some time beyond what the dispatcher takes by itself, for its last commit.
            && time::timeout(self.stop_time_max + LAST_COMMIT_TIME_MAX, task).await.is_err()
        {
            tracing::warn!("a trigger did not stop in time; its last records will be delivered again");
        }
    }
}

impl Drop for Trigger {
    fn drop(&mut self) {
        self.lag.abort();
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Gives each partition's records to a worker, one portion at a time, and commits what is done.
struct Dispatcher {
    consumer: Box<dyn Consumer>,
    group: String,
    deliverer: Arc<Deliverer>,
    stop: CancellationToken,
    /// At most one worker per partition: a partition is paused while it has one.
    working: JoinSet<Done>,
    workers: HashMap<Partition, Worker>,
}

/// A partition, by topic and number.
type Partition = (Arc<str>, u32);

/// A task that delivers a portion of a partition.
struct Worker {
    task: AbortHandle,
    /// Tells it to stop after the request that is under way.
    stop: CancellationToken,
}

impl Dispatcher {
    async fn run(mut self) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                delivery = self.consumer.next() => match delivery {
                    Ok(Delivery::Records(records)) => self.begin(records),
                    Ok(Delivery::Revoking(partitions)) => self.release(&partitions).await,
                    Ok(Delivery::Lost(partitions)) => self.give_up(&partitions),
                    Err(LogError::Closed) => break,
                    Err(error) => {
                        tracing::warn!(group = self.group, %error, "log could not be read; trying again");
                        time::sleep(LOG_RETRY_DELAY).await;
                    }
                },
                Some(done) = self.working.join_next_with_id() => {
                    let mut positions: Vec<_> = self.end(done).into_iter().collect();
                    // What ends at the same time is committed together.
                    while let Some(done) = self.working.try_join_next_with_id() {
                        positions.extend(self.end(done));
                    }
                    self.commit(&positions).await;
                }
            }
        }
        self.finish().await;
    }

    fn begin(&mut self, records: Vec<Arc<crate::Record>>) {
        let Some(first) = records.first() else { return };
        let partition = (first.topic.clone(), first.partition);
        self.consumer.pause(&partition.0, partition.1);
        let stop = self.stop.child_token();
        let task = self.working.spawn(self.deliverer.clone().deliver(records, stop.clone()));
        self.workers.insert(partition, Worker { task, stop });
    }

    /// What to commit for a worker that has ended.
    fn end(&mut self, done: Result<(Id, Done), JoinError>) -> Option<Position> {
        match done {
            Ok((id, Done { topic, partition, next })) => {
                let key = (topic, partition);
                // Else it was given up: the partition is another's, or has come back and has a new worker.
                self.workers.get(&key).filter(|worker| worker.task.id() == id)?;
                self.workers.remove(&key);
                let (topic, partition) = key;
                self.consumer.resume(&topic, partition);
                next.map(|offset| Position { topic, partition, offset })
            }
            // Given up.
            Err(error) if error.is_cancelled() => None,
            Err(error) => {
                // A bug. Its partition stays paused, so that nothing is skipped; the others go on.
                tracing::error!(group = self.group, %error, "delivery to a partition has ended for good");
                None
            }
        }
    }

    /// Stops the work on partitions that another member is waiting for, and commits what is done of them, so that it is
    /// not done again there.
    async fn release(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            if let Some(worker) = self.workers.get(partition) {
                worker.stop.cancel();
            }
        }
        let deadline = time::sleep(self.deliverer.settings.stop_time_max);
        tokio::pin!(deadline);
        let mut positions = Vec::new();
        while partitions.iter().any(|partition| self.workers.contains_key(partition)) {
            tokio::select! {
                Some(done) = self.working.join_next_with_id() => positions.extend(self.end(done)),
                () = &mut deadline => {
                    tracing::warn!(group = self.group, "requests under way were given up; another member makes them again");
                    break;
                }
                else => break,
            }
        }
        self.commit(&positions).await;
        self.give_up(partitions);
    }

    /// Ends the work on partitions at once.
    fn give_up(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            if let Some(worker) = self.workers.remove(partition) {
                worker.task.abort();
            }
        }
    }

    async fn commit(&mut self, positions: &[Position]) {
        if positions.is_empty() {
            return;
        }
        if let Err(error) = self.consumer.commit(positions).await {
            // The next commit of each partition covers this one.
            tracing::warn!(group = self.group, %error, "offsets could not be committed");
        }
    }

    async fn finish(mut self) {
        let deadline = time::sleep(self.deliverer.settings.stop_time_max);
        tokio::pin!(deadline);
        let mut positions = Vec::new();
        loop {
            tokio::select! {
                done = self.working.join_next_with_id() => match done {
                    Some(done) => positions.extend(self.end(done)),
                    None => break,
                },
                () = &mut deadline => {
                    tracing::warn!(group = self.group, "requests under way were given up; they will be made again");
                    break;
                }
            }
        }
        self.commit(&positions).await;
    }
}

/// Keeps the gauges of a group's lag up to date.
async fn note_lags(log: Arc<dyn EventLog>, settings: TriggerSettings) {
    let mut ticks = time::interval(LAG_INTERVAL);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        note_lag(&*log, &settings).await;
    }
}

async fn note_lag(log: &dyn EventLog, settings: &TriggerSettings) {
    let lag = match log.lag(&settings.group).await {
        Ok(lag) => lag,
        Err(error) => {
            tracing::debug!(group = settings.group, %error, "lag is not known");
            return;
        }
    };
    for topic in &settings.topics {
        let records: u64 = lag.iter().filter(|lag| *lag.topic == **topic).map(|lag| lag.records).sum();
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53 records")]
        metrics::gauge!("plaza_trigger_lag", "group" => settings.group.clone(), "topic" => topic.clone())
            .set(records as f64);
    }
}
