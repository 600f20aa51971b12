use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::{
    sync::{Notify, watch},
    time,
};

use super::{
    KafkaSettings,
    client::{Context, log_error, signed, signed_offset, unsigned, unsigned_offset},
    group::{Leaving, Partition, close},
    layout::Layout,
    record::{merge, record},
};
use crate::{LogError, Record, Tail};

/// Most records that are given at once.
const BATCH_RECORDS_MAX: usize = 512;
/// Most bytes that are given at once, save that one record is always given.
const BATCH_BYTES_MAX: usize = 2 << 20;
/// How long a tail waits at most before it looks whether there is something, whether it was woken or not.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Reads every partition of some topics.
pub(super) struct KafkaTail {
    client: Arc<BaseConsumer<Context>>,
    layout: Arc<Layout>,
    leaving: Arc<Leaving>,
    wake: Arc<Notify>,
    /// Changes when topics have grown.
    grown: watch::Receiver<u64>,
    topics: Vec<String>,
    /// Where each partition goes on.
    next: HashMap<Partition, u64>,
    /// Records from before the tail's beginning, which come first.
    first: VecDeque<Arc<Record>>,
}

impl KafkaTail {
    pub(super) fn new(
        settings: &KafkaSettings,
        layout: Arc<Layout>,
        leaving: Arc<Leaving>,
        grown: watch::Receiver<u64>,
        topics: &[String],
        next: HashMap<Partition, u64>,
        first: Vec<Arc<Record>>,
    ) -> Result<Self, LogError> {
        let config = settings.client(&[
            // No group is joined and nothing committed, but librdkafka assigns partitions to none who has no group.
            ("group.id", "plaza-tail"),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
            ("queued.max.messages.kbytes", "8192"),
            ("queued.min.messages", "10000"),
            ("fetch.message.max.bytes", "1048576"),
            ("fetch.max.bytes", "8388608"),
            ("fetch.queue.backoff.ms", "10"),
            ("fetch.error.backoff.ms", "100"),
        ]);
        let mut client: BaseConsumer<Context> =
            config.create_with_context(Context::new("tail")).map_err(|error| log_error(&error))?;
        let wake = Arc::new(Notify::new());
        client.set_nonempty_callback({
            let wake = wake.clone();
            move || wake.notify_one()
        });
        let client = Arc::new(client);
        let tail = Self { client, layout, leaving, wake, grown, topics: topics.to_vec(), next, first: first.into() };
        tail.assign()?;
        Ok(tail)
    }

    fn assign(&self) -> Result<(), LogError> {
        let mut list = TopicPartitionList::with_capacity(self.next.len());
        for ((topic, partition), offset) in &self.next {
            list.add_partition_offset(topic, signed(*partition), Offset::Offset(signed_offset(*offset)))
                .map_err(|error| log_error(&error))?;
        }
        self.client.assign(&list).map_err(|error| log_error(&error))
    }

    /// Reads partitions that were added, from their beginning.
    fn grow(&mut self) -> Result<(), LogError> {
        if !self.grown.has_changed().unwrap_or(false) {
            return Ok(());
        }
        self.grown.borrow_and_update();
        let before = self.next.len();
        for partition in self.layout.partitions(&self.topics)? {
            self.next.entry(partition).or_insert(0);
        }
        if self.next.len() > before { self.assign() } else { Ok(()) }
    }

    /// What is there now.
    fn poll(&mut self) -> Result<Vec<Arc<Record>>, LogError> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        while records.len() < BATCH_RECORDS_MAX && bytes < BATCH_BYTES_MAX {
            let handled = &self.client.context().handled;
            handled.store(false, Ordering::Relaxed);
            match self.client.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    let offset = unsigned_offset(message.offset());
                    let topic =
                        self.layout.topic(message.topic()).map_or_else(|_| message.topic().into(), |(topic, _)| topic);
                    let key = (topic, unsigned(message.partition()));
                    let Some(next) = self.next.get_mut(&key) else { continue };
                    // The log does not reach up to where the tail begins, and was read from its beginning instead.
                    if offset < *next {
                        continue;
                    }
                    *next = offset + 1;
                    let record = record(&message, key.0);
                    bytes += record.size_bytes();
                    records.push(Arc::new(record));
                }
                Some(Err(error)) if is_final(&error) => return Err(log_error(&error)),
                Some(Err(_)) => {}
                None if handled.load(Ordering::Relaxed) => {}
                None => break,
            }
        }
        Ok(merge(records))
    }
}

/// Whether nothing will come until somebody changes the cluster's settings.
fn is_final(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::TopicAuthorizationFailed))
}

#[async_trait]
impl Tail for KafkaTail {
    async fn next(&mut self) -> Result<Vec<Arc<Record>>, LogError> {
        if !self.first.is_empty() {
            let count = self.first.len().min(BATCH_RECORDS_MAX);
            return Ok(self.first.drain(..count).collect());
        }
        loop {
            self.grow()?;
            let records = self.poll()?;
            if !records.is_empty() {
                return Ok(records);
            }
            // What comes between the look and the wait leaves a permit.
            let _ = time::timeout(LOOK_INTERVAL, self.wake.notified()).await;
        }
    }
}

impl Drop for KafkaTail {
    fn drop(&mut self) {
        let client = self.client.clone();
        self.leaving.add(move || close(client));
    }
}
