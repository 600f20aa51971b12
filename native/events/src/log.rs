use std::sync::Arc;

use async_trait::async_trait;

use crate::{NewRecord, Record, Topic};

/// A durable, partitioned log: Kafka, or what stands in for it.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Appends records, all or (if it fails) perhaps some; when it answers, they are durable. Records with the same key
    /// keep the order of the list, and the order of calls of which one was answered before the next began. Dropping the
    /// future leaves open whether they were appended.
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError>;

    /// Joins a consumer group for some topics. Partitions without a committed offset start at the oldest record.
    async fn consumer(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>, LogError>;

    /// Reads every partition of some topics, with no group and nothing committed.
    async fn tail(&self, topics: &[String], start: TailStart) -> Result<Box<dyn Tail>, LogError>;

    /// At most this many records of one partition from an offset on, in order; none when there are none yet. Retention
    /// may have removed records from the offset on: [`EventLog::watermarks`], asked afterwards, tells.
    async fn read(
        &self,
        topic: &str,
        partition: u32,
        from_offset: u64,
        records_max: usize,
    ) -> Result<Vec<Arc<Record>>, LogError>;

    /// The ends of every partition of some topics, by topic and partition.
    async fn watermarks(&self, topics: &[String]) -> Result<Vec<Watermark>, LogError>;

    /// All topics.
    async fn topics(&self) -> Result<Vec<Topic>, LogError>;

    /// How far a group is behind, for each partition in which it has committed or is reading.
    async fn lag(&self, group: &str) -> Result<Vec<Lag>, LogError>;
}

/// A member of a consumer group. Leaves the group when dropped.
#[async_trait]
pub trait Consumer: Send {
    /// What comes next; waits for it. Dropping the future loses nothing.
    ///
    /// Records of paused partitions are not given. All records of one answer are of one partition, in order, and follow
    /// those given before.
    async fn next(&mut self) -> Result<Delivery, LogError>;

    /// Stops the records of a partition until [`Consumer::resume`]. A pause of a partition that is not ours has no effect.
    fn pause(&mut self, topic: &str, partition: u32);

    /// Lets the records of a partition come again, from the one after the last that was given.
    fn resume(&mut self, topic: &str, partition: u32);

    /// Notes for the group that everything before these offsets is done. Positions of partitions that are another
    /// member's have no effect.
    async fn commit(&mut self, positions: &[Position]) -> Result<(), LogError>;
}

/// What a [`Consumer`] is given.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// Records of one partition, at least one.
    Records(Vec<Arc<Record>>),
    /// These partitions (topic, partition) are to go to another member, which gets them at the next call of
    /// [`Consumer::next`]. Until then what is done of them may be committed; their work must have stopped by then.
    Revoking(Vec<(Arc<str>, u32)>),
    /// These partitions are another member's already: their work here is to stop at once, and cannot be committed.
    Lost(Vec<(Arc<str>, u32)>),
}

/// A reader of every partition.
#[async_trait]
pub trait Tail: Send {
    /// The next records, at least one, in the log's order; waits for them. Those that wait together come together, up to
    /// a bound. Dropping the future loses nothing.
    async fn next(&mut self) -> Result<Vec<Arc<Record>>, LogError>;
}

/// Where a [`Tail`] begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailStart {
    /// With the last so many records (over all its topics), and then what comes.
    Last(usize),
    /// With these offsets, or the oldest that are left where they are gone. Partitions that are not named begin at their end.
    At(Vec<Position>),
}

/// A place in a partition: the offset that a record has, or that the next one to be read has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: u64,
}

/// The ends of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: u32,
    /// The oldest offset that is retained; the same as `next` if there is none.
    pub low: u64,
    /// The offset that the next record will get.
    pub next: u64,
}

/// How far a group is behind in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: u32,
    /// The offset after the last one that is done; the oldest one before anything was committed.
    pub committed: u64,
    /// How many offsets there are from there to the end.
    pub records: u64,
}

/// Why the log did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// There is no such topic.
    #[error("there is no topic {0:?}")]
    UnknownTopic(String),
    /// There is no such partition.
    #[error("topic {topic} has no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
    },
    /// The record is too large, or has too many headers.
    #[error("record for topic {topic} is too large: {reason}")]
    TooLarge {
        /// The topic.
        topic: String,
        /// What is too large, and how large it may be.
        reason: String,
    },
    /// The group has a member for the topic already, and this log knows only one.
    #[error("group {group} consumes topic {topic} already")]
    GroupInUse {
        /// The group.
        group: String,
        /// The topic.
        topic: String,
    },
    /// What was asked for cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The log has been closed.
    #[error("the log is closed")]
    Closed,
    /// The log's storage or connection failed; another try may succeed.
    #[error("the log failed: {0}")]
    Backend(String),
}

impl LogError {
    /// Whether the same call would fail again, because of what it asks.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::UnknownTopic(_) | Self::UnknownPartition { .. } | Self::TooLarge { .. } | Self::Invalid(_) => true,
            Self::GroupInUse { .. } | Self::Closed | Self::Backend(_) => false,
        }
    }
}

impl From<plaza_sqlite::Error> for LogError {
    fn from(error: plaza_sqlite::Error) -> Self {
        match error {
            plaza_sqlite::Error::Closed => Self::Closed,
            error => Self::Backend(error.to_string()),
        }
    }
}
