//! The embedded log: what Kafka is to Plaza in production, in one SQLite file.
//!
//! One task writes, so offsets need no agreement; whatever waits for it goes into one transaction and shares its sync.
//! Readers at the head are served from memory, others from the file.
//!
//! Consumers' offsets are in a file of their own, which is not synced: a power cut can set a group back by a moment, and it
//! gets some records again, which consumers must bear anyway. It can never set a group forward.

mod codec;
mod head;
mod readers;
mod writer;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use plaza_sqlite::{Database, Settings, rusqlite};
use rusqlite::params;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use self::{
    head::{Head, Layout, Part},
    readers::{SqliteConsumer, SqliteTail},
    writer::{Append, Writer},
};
use crate::{
    Clock, Consumer, EventLog, Lag, LogError, NewRecord, Position, Record, Tail, TailStart, Topic, Topics, Watermark,
};

/// Largest record, in bytes of key, headers and value; Kafka's default.
const RECORD_BYTES_MAX: usize = 1 << 20;
/// Most headers of a record.
const HEADERS_MAX: usize = 256;
/// Most records that [`EventLog::read`] gives at once.
const READ_RECORDS_MAX: usize = 1_000;
/// Most bytes that one read from the file takes into memory, save that one record is always given.
const READ_BYTES_MAX: usize = 4 << 20;
/// Appends that may wait for the writer before callers do.
const APPENDS_WAITING_MAX: usize = 64;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS partitions (
        id INTEGER PRIMARY KEY,
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        -- The end at the last sweep: offsets go on from here when no record is left.
        next INTEGER NOT NULL DEFAULT 0,
        UNIQUE (topic, partition)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS records (
        -- The order of the whole log. AUTOINCREMENT: a number is never used twice.
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        part INTEGER NOT NULL,
        position INTEGER NOT NULL,
        time INTEGER NOT NULL,
        -- When it was appended; retention goes by this.
        appended INTEGER NOT NULL,
        key BLOB,
        headers BLOB NOT NULL,
        value BLOB
    ) STRICT;
    CREATE UNIQUE INDEX IF NOT EXISTS records_by_position ON records (part, position);
";

const OFFSETS_SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS offsets (
        consumers TEXT NOT NULL,
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        next INTEGER NOT NULL,
        PRIMARY KEY (consumers, topic, partition)
    ) WITHOUT ROWID, STRICT;
";

/// How the embedded log is opened.
#[derive(Clone, Debug)]
pub struct SqliteLogSettings {
    /// How often retention is looked after.
    pub sweep_interval: Duration,
    /// Records deleted in one transaction, at most. Appends wait for it.
    pub sweep_records_max: u32,
    /// Tells when records were appended and when they are to go.
    pub clock: Clock,
}

impl Default for SqliteLogSettings {
    fn default() -> Self {
        Self { sweep_interval: Duration::from_mins(1), sweep_records_max: 1_000, clock: Clock::system() }
    }
}

/// The embedded log. See [`EventLog`]. One process at a time may have it open.
pub struct SqliteLog {
    shared: Arc<Shared>,
    appends: Mutex<Option<mpsc::Sender<Append>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What the log shares with its readers and its writer.
struct Shared {
    layout: Layout,
    head: Mutex<Head>,
    /// The sequence number of the last durable record: wakes readers.
    appended: watch::Sender<u64>,
    records: Arc<Database>,
    offsets: Arc<Database>,
    /// Committed offsets by group and partition number, as in the file.
    committed: Mutex<HashMap<String, BTreeMap<usize, u64>>>,
    /// Which topics a group is reading.
    members: Mutex<HashSet<(String, String)>>,
}

impl Shared {
    fn head(&self) -> MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn committed(&self) -> MutexGuard<'_, HashMap<String, BTreeMap<usize, u64>>> {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records of a partition from an offset on; none at its end.
    fn read(&self, part: usize, from: u64, max: usize) -> Result<Vec<Arc<Record>>, LogError> {
        let (id, topic, partition, next) = {
            let head = self.head();
            let part_head = &head.parts[part];
            if from >= part_head.next {
                return Ok(Vec::new());
            }
            if let Some(records) = head.read(part, from, max) {
                return Ok(records);
            }
            (part_head.id, part_head.topic.clone(), part_head.partition, part_head.next)
        };
        let records = self.records.connection()?.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT position, time, key, headers, value FROM records
                 WHERE part = ?1 AND position >= ?2 AND position < ?3 ORDER BY position LIMIT ?4",
            )?;
            let mut rows = statement.query(params![id, from, next, max])?;
            let (mut records, mut bytes) = (Vec::new(), 0);
            while bytes < READ_BYTES_MAX
                && let Some(row) = rows.next()?
            {
                let record = stored(row, 0, topic.clone(), partition)?;
                bytes += record.size_bytes();
                records.push(Arc::new(record));
            }
            Ok(records)
        })?;
        Ok(records)
    }
}

/// A record from a row, of which five columns from `first` on are position, time, key, headers, value.
fn stored(row: &rusqlite::Row<'_>, first: usize, topic: Arc<str>, partition: u32) -> rusqlite::Result<Record> {
    let bytes = |column| row.get::<_, Option<Vec<u8>>>(column).map(|bytes| bytes.map(Bytes::from));
    let headers = codec::decode(row.get(first + 3)?).ok_or_else(|| {
        rusqlite::Error::FromSqlConversionFailure(
            first + 3,
            rusqlite::types::Type::Blob,
            "headers of a record are damaged".into(),
        )
    })?;
    Ok(Record {
        topic,
        partition,
        offset: row.get(first)?,
        timestamp_ms: row.get(first + 1)?,
        key: bytes(first + 2)?,
        headers,
        value: bytes(first + 4)?,
    })
}

impl SqliteLog {
    /// Opens the log in a directory (`log.db`, `log-offsets.db`), creating it where there is none, with these topics.
    /// Topics that the file has and the list has not stay in the file, untouched and unseen.
    pub async fn open(directory: &Path, topics: &Topics, settings: SqliteLogSettings) -> Result<Self, LogError> {
        let records = Database::open(&directory.join("log.db"), Settings::default())?;
        let offsets =
            Database::open(&directory.join("log-offsets.db"), Settings { durable: false, ..Settings::default() })?;
        let layout = Layout::new(topics.all().to_vec());
        let parts = records
            .connection()?
            .write(|connection| {
                connection.execute_batch(SCHEMA)?;
                let mut parts = Vec::new();
                for topic in &layout.topics {
                    for partition in 0..topic.partitions {
                        parts.push(part(connection, &topic.name, partition)?);
                    }
                }
                Ok(parts)
            })
            .await?;
        let last = records.connection()?.read(|connection| {
            for topic in &layout.topics {
                let known: Option<u32> = connection.query_row(
                    "SELECT max(partition) + 1 FROM partitions WHERE topic = ?1",
                    [&topic.name],
                    |row| row.get(0),
                )?;
                if known > Some(topic.partitions) {
                    return Ok(Err(LogError::Invalid(format!(
                        "topic {} has {} partitions and cannot shrink to {}",
                        topic.name,
                        known.unwrap_or_default(),
                        topic.partitions
                    ))));
                }
            }
            connection.query_row("SELECT ifnull(max(sequence), 0) FROM records", [], |row| row.get(0)).map(Ok)
        })??;

        let committed = offsets
            .connection()?
            .write(|connection| {
                connection.execute_batch(OFFSETS_SCHEMA)?;
                let mut statement = connection.prepare("SELECT consumers, topic, partition, next FROM offsets")?;
                let mut rows = statement.query([])?;
                let mut committed: HashMap<String, BTreeMap<usize, u64>> = HashMap::new();
                while let Some(row) = rows.next()? {
                    let (topic, partition): (String, u32) = (row.get(1)?, row.get(2)?);
                    if let Ok(part) = layout.part(&topic, partition) {
                        // Beyond the end only if the log was replaced beside its offsets.
                        let next = row.get::<_, u64>(3)?.min(parts[part].next);
                        committed.entry(row.get(0)?).or_default().insert(part, next);
                    }
                }
                Ok(committed)
            })
            .await?;

        let shared = Arc::new(Shared {
            layout,
            head: Mutex::new(Head::new(parts, last)),
            appended: watch::Sender::new(last),
            records,
            offsets,
            committed: Mutex::new(committed),
            members: Mutex::default(),
        });
        let (appends, waiting) = mpsc::channel(APPENDS_WAITING_MAX);
        let writer = tokio::spawn(Writer::new(shared.clone(), waiting, settings).run());
        Ok(Self { shared, appends: Mutex::new(Some(appends)), writer: Mutex::new(Some(writer)) })
    }

    /// Finishes what was begun, then closes the files. Later calls fail.
    pub async fn close(&self) {
        self.appends.lock().unwrap_or_else(PoisonError::into_inner).take();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && let Err(error) = writer.await
        {
            tracing::error!(%error, "the log's writer ended badly");
        }
        self.shared.records.close().await;
        self.shared.offsets.close().await;
    }

    fn check(&self, record: &NewRecord) -> Result<(), LogError> {
        self.shared.layout.topic(&record.topic)?;
        let too_large = |reason: String| Err(LogError::TooLarge { topic: record.topic.clone(), reason });
        if record.headers.len() > HEADERS_MAX {
            return too_large(format!("{} headers of at most {HEADERS_MAX}", record.headers.len()));
        }
        match record.size_bytes() {
            ..=RECORD_BYTES_MAX => Ok(()),
            bytes => too_large(format!("{bytes} bytes of at most {RECORD_BYTES_MAX}")),
        }
    }
}

/// A partition as the file has it, or a new one.
fn part(connection: &rusqlite::Connection, topic: &str, partition: u32) -> rusqlite::Result<Part> {
    connection
        .execute("INSERT OR IGNORE INTO partitions (topic, partition) VALUES (?1, ?2)", params![topic, partition])?;
    let (id, swept): (i64, u64) = connection.query_row(
        "SELECT id, next FROM partitions WHERE topic = ?1 AND partition = ?2",
        params![topic, partition],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    // Each by the index's end; one query for both would go through all of the partition.
    let low: Option<u64> =
        connection.query_row("SELECT min(position) FROM records WHERE part = ?1", [id], |row| row.get(0))?;
    let last: Option<u64> =
        connection.query_row("SELECT max(position) FROM records WHERE part = ?1", [id], |row| row.get(0))?;
    let next = last.map_or(swept, |last| swept.max(last + 1));
    Ok(Part::new(id, topic.into(), partition, low.unwrap_or(next), next))
}

#[async_trait]
impl EventLog for SqliteLog {
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        records.iter().try_for_each(|record| self.check(record))?;
        let appends = self.appends.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (answer, answered) = oneshot::channel();
        appends.ok_or(LogError::Closed)?.send(Append { records, answer }).await.map_err(|_| LogError::Closed)?;
        answered.await.unwrap_or(Err(LogError::Closed))
    }

    async fn consumer(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>, LogError> {
        Ok(Box::new(SqliteConsumer::new(self.shared.clone(), group, topics)?))
    }

    async fn tail(&self, topics: &[String], start: TailStart) -> Result<Box<dyn Tail>, LogError> {
        Ok(Box::new(SqliteTail::new(self.shared.clone(), topics, start)?))
    }

    async fn read(
        &self,
        topic: &str,
        partition: u32,
        from_offset: u64,
        records_max: usize,
    ) -> Result<Vec<Arc<Record>>, LogError> {
        let part = self.shared.layout.part(topic, partition)?;
        self.shared.read(part, from_offset, records_max.min(READ_RECORDS_MAX))
    }

    async fn watermarks(&self, topics: &[String]) -> Result<Vec<Watermark>, LogError> {
        let parts = self.shared.layout.parts(topics)?;
        let head = self.shared.head();
        let watermark = |part: &Part| Watermark {
            topic: part.topic.clone(),
            partition: part.partition,
            low: part.low,
            next: part.next,
        };
        Ok(parts.into_iter().map(|part| watermark(&head.parts[part])).collect())
    }

    async fn topics(&self) -> Result<Vec<Topic>, LogError> {
        Ok(self.shared.layout.topics.clone())
    }

    async fn lag(&self, group: &str) -> Result<Vec<Lag>, LogError> {
        let committed = self.shared.committed().get(group).cloned().unwrap_or_default();
        let head = self.shared.head();
        Ok(committed
            .into_iter()
            .map(|(part, committed)| {
                let part = &head.parts[part];
                let committed = committed.max(part.low);
                Lag {
                    topic: part.topic.clone(),
                    partition: part.partition,
                    committed,
                    records: part.next.saturating_sub(committed),
                }
            })
            .collect())
    }
}
