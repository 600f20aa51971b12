//! What is asked of the log at a place: its ends, its records from an offset on, how far a group has come.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    metadata::Metadata,
};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{
    KafkaSettings,
    client::{Context, log_error, signed, signed_offset, unsigned, unsigned_offset},
    group::{Member, Partition, member},
    record::record,
};
use crate::{Lag, LogError, Record, Watermark};

/// Reads at a place that are done at the same time; more wait.
const READERS_MAX: usize = 4;
/// Most records that one read gives.
const READ_RECORDS_MAX: usize = 1_000;
/// Most bytes that one read takes into memory, save that one record is always given.
const READ_BYTES_MAX: usize = 4 << 20;
/// Pause before a question is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How long one attempt waits for an answer: a question may have gone to a broker that has just died.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(2);

/// Events that are looked through for an error.
const EVENTS_MAX: usize = 50;

type Client = BaseConsumer<Context>;

/// Asks and reads.
pub(super) struct Reader {
    settings: KafkaSettings,
    /// Asks for metadata and offsets.
    asks: Arc<Client>,
    idle: Arc<Mutex<Vec<Client>>>,
    permits: Semaphore,
    /// Clients that know the offsets of a group: its member in this process, or one that never joins.
    members: Mutex<HashMap<String, Weak<Member>>>,
    strangers: Mutex<HashMap<String, Arc<Member>>>,
}

impl Reader {
    pub(super) fn new(settings: &KafkaSettings) -> Result<Self, LogError> {
        let asks = settings.client(&[]).create_with_context(Context::new("asks")).map_err(|error| log_error(&error))?;
        Ok(Self {
            settings: settings.clone(),
            asks: Arc::new(asks),
            idle: Arc::default(),
            permits: Semaphore::new(READERS_MAX),
            members: Mutex::default(),
            strangers: Mutex::default(),
        })
    }

    /// The cluster's topics and partitions.
    pub(super) async fn metadata(&self) -> Result<Metadata, LogError> {
        let time_max = self.settings.request_timeout;
        let brokers = self.settings.brokers.clone();
        let asks = self.asks.clone();
        blocking(move || {
            asks.fetch_metadata(None, time_max).map_err(|error| {
                let why = last_error(&asks).unwrap_or_else(|| error.to_string());
                LogError::Backend(format!(
                    "no answer from Kafka at {brokers} within {} ms: {why}",
                    time_max.as_millis()
                ))
            })
        })
        .await
    }

    /// The ends of partitions.
    pub(super) async fn watermarks(&self, partitions: Vec<Partition>) -> Result<Vec<Watermark>, LogError> {
        let (low, next) = tokio::try_join!(
            self.offsets(partitions.clone(), Offset::Beginning),
            self.offsets(partitions.clone(), Offset::End)
        )?;
        let watermark = |(((topic, partition), low), next): ((Partition, u64), u64)| {
            // Retention may have moved on between the two.
            Watermark { topic, partition, low: low.min(next), next }
        };
        Ok(partitions.into_iter().zip(low).zip(next).map(watermark).collect())
    }

    /// One end of each of these partitions. Asked again, within the bound, where a partition has just no leader.
    async fn offsets(&self, partitions: Vec<Partition>, end: Offset) -> Result<Vec<u64>, LogError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let time_max = self.settings.request_timeout;
        let asks = self.asks.clone();
        blocking(move || {
            let start = Instant::now();
            loop {
                let left = time_max.saturating_sub(start.elapsed());
                let answer = ask(&asks, &partitions, end, left.min(ATTEMPT_TIME_MAX));
                match answer {
                    Err(_) if start.elapsed() + ASK_AGAIN < time_max => {
                        // Nobody else tells this client that a partition has another leader now.
                        let _ = asks.fetch_metadata(None, ATTEMPT_TIME_MAX);
                        std::thread::sleep(ASK_AGAIN);
                    }
                    answer => return answer.map_err(|error| log_error(&error)),
                }
            }
        })
        .await
    }

    /// See [`crate::EventLog::read`]. The partition exists.
    pub(super) async fn read(
        &self,
        partition: Partition,
        from: u64,
        records_max: usize,
    ) -> Result<Vec<Arc<Record>>, LogError> {
        let end = self.offsets(vec![partition.clone()], Offset::End).await?.first().copied().unwrap_or_default();
        let records_max = records_max.min(READ_RECORDS_MAX);
        if from >= end || records_max == 0 {
            return Ok(Vec::new());
        }
        let _permit = self.permits.acquire().await.map_err(|_| LogError::Closed)?;
        let (settings, idle) = (self.settings.clone(), self.idle.clone());
        blocking(move || {
            let client = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let client = client.map_or_else(|| create(&settings), Ok)?;
            let records = read(&client, &partition, from..end, records_max, settings.request_timeout)?;
            // One that failed is not used again.
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
            Ok(records)
        })
        .await
    }

    /// Takes note of a group's member in this process.
    pub(super) fn joined(&self, group: &str, member: &Arc<Member>) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.insert(group.to_owned(), Arc::downgrade(member));
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner).remove(group);
    }

    fn member(&self, group: &str) -> Result<Arc<Member>, LogError> {
        let known = self.members.lock().unwrap_or_else(PoisonError::into_inner).get(group).and_then(Weak::upgrade);
        if let Some(member) = known {
            return Ok(member);
        }
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(member) = strangers.get(group) {
            return Ok(member.clone());
        }
        let member = member(&self.settings, group, None)?;
        strangers.insert(group.to_owned(), member.clone());
        Ok(member)
    }

    /// How far a group is behind in those of these partitions in which it has committed or which its member here reads.
    pub(super) async fn lag(&self, group: &str, partitions: Vec<Partition>) -> Result<Vec<Lag>, LogError> {
        let member = self.member(group)?;
        let time_max = self.settings.request_timeout;
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in &partitions {
            list.add_partition(topic, signed(*partition));
        }
        let (committed, reading) = blocking(move || {
            let committed = member.committed_offsets(list, time_max).map_err(|error| log_error(&error))?;
            let reading: HashSet<(String, i32)> =
                member.assignment().map_err(|error| log_error(&error))?.to_topic_map().into_keys().collect();
            Ok((committed.to_topic_map(), reading))
        })
        .await?;
        let committed: BTreeMap<Partition, Option<u64>> = partitions
            .into_iter()
            .filter_map(|(topic, partition)| {
                let key = ((*topic).to_owned(), signed(partition));
                match committed.get(&key) {
                    Some(Offset::Offset(offset)) => Some(((topic, partition), Some(unsigned_offset(*offset)))),
                    _ => reading.contains(&key).then_some(((topic, partition), None)),
                }
            })
            .collect();
        let watermarks = self.watermarks(committed.keys().cloned().collect()).await?;
        let lag = |(mark, committed): (Watermark, Option<u64>)| {
            let committed = committed.unwrap_or(mark.low).max(mark.low);
            let records = mark.next.saturating_sub(committed);
            Lag { topic: mark.topic, partition: mark.partition, committed, records }
        };
        Ok(watermarks.into_iter().zip(committed.into_values()).map(lag).collect())
    }

    /// Gives the clients up.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Why a client got no answer: that is only told when it is asked for, among other things.
fn last_error(client: &Client) -> Option<String> {
    for _ in 0..EVENTS_MAX {
        let _ = client.poll(Duration::from_millis(1));
    }
    client.context().take_error()
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(LogError::Backend(error.to_string())))
}

fn ask(asks: &Client, partitions: &[Partition], end: Offset, time_max: Duration) -> Result<Vec<u64>, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition_offset(topic, signed(*partition), end)?;
    }
    // The ends stand where the times are, as in the protocol itself.
    let list = asks.offsets_for_times(list, time_max)?;
    // Lets errors be noted, of which nobody else hears.
    let _ = asks.poll(Duration::ZERO);
    let elements = list.elements();
    let offset = |(topic, partition): &Partition| {
        let element = elements.iter().find(|one| one.topic() == &**topic && unsigned(one.partition()) == *partition);
        let element = element.ok_or(KafkaError::NoMessageReceived)?;
        element.error()?;
        Ok(unsigned_offset(element.offset().to_raw().unwrap_or_default()))
    };
    partitions.iter().map(offset).collect()
}

fn create(settings: &KafkaSettings) -> Result<Client, LogError> {
    let config = settings.client(&[
        // No group is joined and nothing committed, but librdkafka assigns partitions to none who has no group.
        ("group.id", "plaza-reader"),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "earliest"),
        ("enable.partition.eof", "true"),
        // A fetch that finds nothing, or brings what nobody asked for, holds up the next read.
        ("fetch.wait.max.ms", "5"),
        ("fetch.message.max.bytes", "131072"),
        ("queued.max.messages.kbytes", "1024"),
        ("queued.min.messages", "1000"),
        ("fetch.queue.backoff.ms", "1"),
    ]);
    config.create_with_context(Context::new("reader")).map_err(|error| log_error(&error))
}

/// Reads a partition from an offset on, up to an offset that is its end.
fn read(
    client: &Client,
    (topic, partition): &Partition,
    range: std::ops::Range<u64>,
    records_max: usize,
    time_max: Duration,
) -> Result<Vec<Arc<Record>>, LogError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, signed(*partition), Offset::Offset(signed_offset(range.start)))
        .and_then(|()| client.assign(&list))
        .map_err(|error| log_error(&error))?;
    let start = Instant::now();
    let (mut records, mut bytes) = (Vec::new(), 0);
    while records.len() < records_max && bytes < READ_BYTES_MAX {
        match client.poll(time_max.saturating_sub(start.elapsed())) {
            Some(Ok(message)) => {
                let offset = unsigned_offset(message.offset());
                bytes += message.payload_len() + message.key_len();
                // Offsets before the first: the log does not have the first any longer, or not yet, and began anew.
                if offset >= range.start {
                    records.push(Arc::new(record(&message, topic.clone())));
                }
                if offset + 1 >= range.end {
                    break;
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            // It goes on by itself, or the time runs out.
            Some(Err(error)) => client.context().note(&error.to_string()),
            None if start.elapsed() >= time_max => {
                let why = client.context().take_error().unwrap_or_else(|| "no answer".to_owned());
                return Err(LogError::Backend(format!("{topic} {partition} cannot be read: {why}")));
            }
            None => {}
        }
    }
    client.unassign().map_err(|error| log_error(&error))?;
    Ok(records)
}
