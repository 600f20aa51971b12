//! Where the relay gets what was published: a durable, partitioned log, behind one small interface.

use bytes::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};
use plaza_http::BoxError;
use std::sync::Arc;

/// What a record asks of the streams on its extra channels (the CloudEvents extension attribute `gripaction`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Deliver it.
    #[default]
    Send,
    /// Deliver it; then every stream on one of the extra channels asks its function again for its channel set.
    Hint,
    /// End every stream on one of the extra channels without delivering it there.
    Close,
}

/// One record of the log, as far as the relay is concerned.
#[derive(Clone, Debug)]
pub struct Published {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition within the topic.
    pub partition: u32,
    /// The offset within the partition. Offsets grow, but need not be dense (a compacted Kafka topic has gaps).
    pub offset: u64,
    /// The record's key; the record goes to channel `<topic>:<key>`.
    pub key: String,
    /// The event's own id (CloudEvents `id`), the same when the event was published twice.
    pub event_id: String,
    /// The name that SSE clients see in `event:`. Empty: the record is no event, and nobody is sent it; a source passes it on all the
    /// same, because the relay's position has to go beyond it.
    pub event_name: String,
    /// The value: what SSE clients see in `data:`. UTF-8.
    pub data: Bytes,
    /// Extra channels (CloudEvents extension attribute `gripchannels`).
    pub channels: Vec<String>,
    /// What it asks of the streams on the extra channels.
    pub action: Action,
    /// The time of the event: milliseconds since the Unix epoch.
    pub time_ms: i64,
}

/// A place in one partition: the next offset to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition within the topic.
    pub partition: u32,
    /// The next offset.
    pub offset: u64,
}

/// The ends of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition within the topic.
    pub partition: u32,
    /// The oldest offset that is still retained (equal to `next` when the partition is empty).
    pub low: u64,
    /// The offset that the next record will get.
    pub next: u64,
}

/// An answer of [`Source::read`].
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// The records, by offset.
    pub records: Vec<Published>,
    /// The oldest retained offset at a moment not before the read: when it is at most the offset asked for, nothing is missing.
    pub low: u64,
}

/// A durable, partitioned log. Every relay instance reads all partitions of the topics that it relays.
pub trait Source: Send + Sync + 'static {
    /// The partitions to relay and their ends. The set of partitions is read once, at the relay's start, and must then be all
    /// partitions of each topic, numbered from 0.
    fn watermarks(&self) -> BoxFuture<'_, Result<Vec<Watermark>, BoxError>>;

    /// At most `max` records of one partition from offset `from` on, in order, those included that are no events. An empty answer means that
    /// there is none yet.
    fn read<'a>(
        &'a self,
        topic: &'a str,
        partition: u32,
        from: u64,
        max: usize,
    ) -> BoxFuture<'a, Result<Chunk, BoxError>>;

    /// Everything from these positions on, without end: batches that are in order within each partition. Across partitions
    /// the order is the source's choice; the nearer to the order of commit, the better. Records that wait together should
    /// come together: the relay wakes each stream once per batch. After an error the relay asks again from where it is. Where
    /// retention has overtaken a position, the tail must fail rather than go on with what is left: the relay then looks at the
    /// watermarks, and ends its streams so that their clients learn of it.
    fn tail(&self, from: Vec<Position>) -> BoxStream<'static, Result<Vec<Published>, BoxError>>;
}
