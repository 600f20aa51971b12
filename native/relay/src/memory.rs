//! A log in memory: for tests, benchmarks and trying things out. It forgets everything at its end.

use crate::source::{Chunk, Position, Published, Source, Watermark};
use futures::{FutureExt, future::BoxFuture, stream::BoxStream};
use plaza_http::BoxError;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Records of one batch of a tail.
const BATCH_RECORDS: usize = 512;

/// A partitioned log in memory. Clones are the same log.
#[derive(Clone)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

struct Shared {
    partitions: Mutex<BTreeMap<(Arc<str>, u32), Partition>>,
    /// Everything in the order of appending: topic, partition and index.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Partition {
    low: u64,
    /// The record at index `i` has offset `i`, whether it is still retained or not, and a place in the order of appending.
    records: Vec<(u64, Published)>,
}

impl MemoryLog {
    /// A log with these topics and their numbers of partitions.
    pub fn new(topics: &[(&str, u32)]) -> Self {
        let partitions = topics.iter().flat_map(|&(topic, count)| {
            let topic: Arc<str> = Arc::from(topic);
            (0..count).map(move |partition| ((Arc::clone(&topic), partition), Partition::default()))
        });
        let shared = Shared { partitions: Mutex::new(partitions.collect()), changed: watch::Sender::new(0) };
        Self { shared: Arc::new(shared) }
    }

    fn partitions(&self) -> MutexGuard<'_, BTreeMap<(Arc<str>, u32), Partition>> {
        self.shared.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends records; their offsets are given by the log. Records of partitions that it does not have are dropped.
    pub fn append(&self, records: impl IntoIterator<Item = Published>) {
        let mut partitions = self.partitions();
        let mut appended = *self.shared.changed.borrow();
        for mut record in records {
            if let Some(partition) = partitions.get_mut(&(Arc::clone(&record.topic), record.partition)) {
                record.offset = partition.records.len() as u64;
                partition.records.push((appended, record));
                appended += 1;
            }
        }
        drop(partitions);
        self.shared.changed.send_replace(appended);
    }

    /// Lets go of everything before `low`, as retention does.
    pub fn truncate(&self, topic: &str, partition: u32, low: u64) {
        if let Some(partition) = self.partitions().get_mut(&(Arc::from(topic), partition)) {
            partition.low = low.min(partition.records.len() as u64).max(partition.low);
        }
    }

    /// Up to `max` records from these positions on, in the order of appending; the positions move on. `None` when one of them is not
    /// retained any more.
    fn after(&self, from: &mut [Position], max: usize) -> Option<Vec<Published>> {
        let partitions = self.partitions();
        let mut found = Vec::new();
        for position in from.iter() {
            let Some(partition) = partitions.get(&(Arc::clone(&position.topic), position.partition)) else { continue };
            if position.offset < partition.low {
                return None;
            }
            let first = usize::try_from(position.offset).unwrap_or(usize::MAX);
            found.extend(partition.records.iter().skip(first).take(max).cloned());
        }
        found.sort_by_key(|(place, _)| *place);
        found.truncate(max);
        for (_, record) in &found {
            let position = from.iter_mut().find(|it| it.topic == record.topic && it.partition == record.partition);
            if let Some(position) = position {
                position.offset = record.offset + 1;
            }
        }
        Some(found.into_iter().map(|(_, record)| record).collect())
    }
}

impl Source for MemoryLog {
    fn watermarks(&self) -> BoxFuture<'_, Result<Vec<Watermark>, BoxError>> {
        let watermark = |((topic, partition), log): (&(Arc<str>, u32), &Partition)| Watermark {
            topic: Arc::clone(topic),
            partition: *partition,
            low: log.low,
            next: log.records.len() as u64,
        };
        let watermarks = self.partitions().iter().map(watermark).collect();
        async move { Ok(watermarks) }.boxed()
    }

    fn read<'a>(
        &'a self,
        topic: &'a str,
        partition: u32,
        from: u64,
        max: usize,
    ) -> BoxFuture<'a, Result<Chunk, BoxError>> {
        let partitions = self.partitions();
        let chunk = partitions.get(&(Arc::from(topic), partition)).map_or_else(Chunk::default, |partition| {
            let first = usize::try_from(from.max(partition.low)).unwrap_or(usize::MAX);
            let records = partition.records.iter().skip(first).take(max).map(|(_, record)| record.clone());
            Chunk { records: records.collect(), low: partition.low }
        });
        drop(partitions);
        async move { Ok(chunk) }.boxed()
    }

    fn tail(&self, from: Vec<Position>) -> BoxStream<'static, Result<Vec<Published>, BoxError>> {
        let changed = self.shared.changed.subscribe();
        let state = (self.clone(), from, changed);
        Box::pin(futures::stream::unfold(state, |(log, mut from, mut changed)| async move {
            loop {
                changed.mark_unchanged();
                let Some(records) = log.after(&mut from, BATCH_RECORDS) else {
                    return Some((Err("records are not retained any more".into()), (log, from, changed)));
                };
                if !records.is_empty() {
                    return Some((Ok(records), (log, from, changed)));
                }
                changed.changed().await.ok()?;
            }
        }))
    }
}
