use std::{sync::Arc, time::Instant};

use plaza_sqlite::{Connection, rusqlite};
use rusqlite::params;
use tokio::{
    sync::{mpsc, oneshot},
    time,
};

use super::{Shared, SqliteLogSettings, codec, head::Entry};
use crate::{LogError, NewRecord, Position, Record, partition_of};

/// Records in one transaction, at most, save that one call's records stay together.
const TRANSACTION_RECORDS_MAX: usize = 1_000;
/// Rest between two sweeps when there is more to sweep, so that appends come in between.
const SWEEP_PAUSE: time::Duration = time::Duration::from_millis(5);

/// A call that waits for the writer.
pub(super) struct Append {
    pub(super) records: Vec<NewRecord>,
    pub(super) answer: oneshot::Sender<Result<Vec<Position>, LogError>>,
}

/// The one task that writes to the log.
pub(super) struct Writer {
    shared: Arc<Shared>,
    appends: mpsc::Receiver<Append>,
    settings: SqliteLogSettings,
    /// Records without a key go round.
    round: u32,
    append_seconds: metrics::Histogram,
    /// By topic, in the layout's order.
    appended: Vec<metrics::Counter>,
    swept: Vec<metrics::Counter>,
    /// By partition: the number of its topic.
    topic_of: Vec<usize>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, appends: mpsc::Receiver<Append>, settings: SqliteLogSettings) -> Self {
        let topics = &shared.layout.topics;
        let counters = |name: &'static str| {
            topics.iter().map(|topic| metrics::counter!(name, "topic" => topic.name.clone())).collect()
        };
        let topic_of = topics
            .iter()
            .enumerate()
            .flat_map(|(number, topic)| std::iter::repeat_n(number, topic.partitions as usize))
            .collect();
        Self {
            append_seconds: metrics::histogram!("plaza_log_append_seconds"),
            appended: counters("plaza_log_appended_total"),
            swept: counters("plaza_log_swept_total"),
            topic_of,
            shared,
            appends,
            settings,
            round: 0,
        }
    }

    pub(super) async fn run(mut self) {
        let mut sweep_at = time::Instant::now();
        loop {
            tokio::select! {
                append = self.appends.recv() => {
                    let Some(append) = append else { break };
                    self.append(append).await;
                }
                () = time::sleep_until(sweep_at) => {
                    let more = self.sweep().await;
                    sweep_at = time::Instant::now() + if more { SWEEP_PAUSE } else { self.settings.sweep_interval };
                }
            }
        }
    }

    /// Appends this, and what waits behind it, in one transaction.
    async fn append(&mut self, first: Append) {
        let start = Instant::now();
        let (mut answers, mut entries) = (Vec::new(), Vec::new());
        let mut next: Vec<u64> = self.shared.head().parts.iter().map(|part| part.next).collect();
        let mut append = Some(first);
        while let Some(Append { records, answer }) = append {
            answers.push((answer, entries.len()..entries.len() + records.len()));
            for record in records {
                entries.push(self.place(record, &mut next));
            }
            append = if entries.len() < TRANSACTION_RECORDS_MAX { self.appends.try_recv().ok() } else { None };
        }

        let result = self.store(&mut entries).await;
        self.append_seconds.record(start.elapsed().as_secs_f64());
        match result {
            Ok(()) => {
                for entry in &entries {
                    self.appended[self.topic_of[entry.part]].increment(1);
                }
                let positions: Vec<_> = entries.iter().map(|entry| position(&entry.record)).collect();
                let last = {
                    let mut head = self.shared.head();
                    for entry in entries {
                        head.push(entry);
                    }
                    head.last
                };
                self.shared.appended.send_replace(last);
                for (answer, range) in answers {
                    // A caller who has gone does not need to know.
                    let _ = answer.send(Ok(positions[range].to_vec()));
                }
            }
            Err(error) => {
                tracing::error!(%error, records = entries.len(), "records could not be appended");
                for (answer, _) in answers {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// Gives a record its partition and offset. Its topic was checked before.
    fn place(&mut self, record: NewRecord, next: &mut [u64]) -> Entry {
        let (first, partitions) = self.shared.layout.topic(&record.topic).unwrap_or((0, 1));
        let partition = record.key.as_ref().map_or_else(
            || {
                self.round = self.round.wrapping_add(1);
                self.round % partitions
            },
            |key| partition_of(key, partitions),
        );
        let part = first + partition as usize;
        let offset = next[part];
        next[part] += 1;
        let topic = self.shared.head().parts[part].topic.clone();
        let NewRecord { key, headers, value, timestamp_ms, .. } = record;
        let record = Arc::new(Record { topic, partition, offset, key, headers, value, timestamp_ms });
        Entry { sequence: 0, part, record }
    }

    /// Writes the records and notes their sequence numbers.
    async fn store(&self, entries: &mut [Entry]) -> Result<(), LogError> {
        let now_ms = self.settings.clock.now_ms();
        let ids: Vec<i64> = self.shared.head().parts.iter().map(|part| part.id).collect();
        let mut connection = self.shared.records.connection()?;
        connection
            .write(|connection| {
                let mut insert = connection.prepare_cached(
                    "INSERT INTO records (part, position, time, appended, key, headers, value)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?;
                for entry in entries {
                    let record = &entry.record;
                    let sequence = insert.insert(params![
                        ids[entry.part],
                        record.offset,
                        record.timestamp_ms,
                        now_ms,
                        record.key.as_deref(),
                        codec::encode(&record.headers),
                        record.value.as_deref(),
                    ])?;
                    entry.sequence = u64::try_from(sequence).unwrap_or_default();
                }
                Ok(())
            })
            .await?;
        Ok(())
    }

    /// Deletes some of the records that are past their time. Whether there is more to delete.
    async fn sweep(&self) -> bool {
        let mut connection = match self.shared.records.connection() {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "retention could not be looked after");
                return false;
            }
        };
        let now_ms = self.settings.clock.now_ms();
        let mut more = false;
        for part in 0..self.topic_of.len() {
            let retention = self.shared.layout.topics[self.topic_of[part]].retention;
            let before_ms = now_ms.saturating_sub(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX));
            match self.sweep_part(&mut connection, part, before_ms).await {
                Ok(swept) => more |= swept >= self.settings.sweep_records_max as usize,
                Err(error) => {
                    tracing::warn!(%error, "retention could not be looked after");
                    return false;
                }
            }
        }
        more
    }

    /// Deletes a partition's oldest records, at most so many as the settings say; answers how many.
    async fn sweep_part(&self, connection: &mut Connection, part: usize, before_ms: i64) -> Result<usize, LogError> {
        let (id, low, next) = {
            let head = self.shared.head();
            let part = &head.parts[part];
            (part.id, part.low, part.next)
        };
        if low >= next {
            return Ok(0);
        }
        let max = self.settings.sweep_records_max;
        // Only a beginning of the partition goes, however the clock was set in between, so that there are no holes.
        let expired: Vec<u64> = connection.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT position, appended FROM records WHERE part = ?1 AND position >= ?2 ORDER BY position LIMIT ?3",
            )?;
            let mut rows = statement.query(params![id, low, max])?;
            let mut expired = Vec::new();
            while let Some(row) = rows.next()? {
                if row.get::<_, i64>(1)? >= before_ms {
                    break;
                }
                expired.push(row.get(0)?);
            }
            Ok(expired)
        })?;
        let Some(newest) = expired.last() else { return Ok(0) };
        let low = newest + 1;
        connection
            .write(|connection| {
                connection
                    .prepare_cached("DELETE FROM records WHERE part = ?1 AND position < ?2")?
                    .execute(params![id, low])?;
                connection.prepare_cached("UPDATE partitions SET next = ?2 WHERE id = ?1")?.execute(params![id, next])
            })
            .await?;
        self.shared.head().swept(part, low);
        self.swept[self.topic_of[part]].increment(expired.len() as u64);
        Ok(expired.len())
    }
}

fn position(record: &Record) -> Position {
    Position { topic: record.topic.clone(), partition: record.partition, offset: record.offset }
}
