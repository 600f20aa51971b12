//! Consumer groups.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rdkafka::{
    ClientContext, Message as _, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, base_consumer::PartitionQueue},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
    types::RDKafkaRespErr,
};
use tokio::{sync::Notify, task::spawn_blocking, time};

use super::{
    KafkaSettings,
    client::{Context, log_error, signed, signed_offset, unsigned},
    layout::Layout,
    record::record,
};
use crate::{Consumer, Delivery, LogError, Position, Record};

/// Most records in one portion.
const PORTION_RECORDS_MAX: usize = 512;
/// Most bytes in one portion, save that one record is always given.
const PORTION_BYTES_MAX: usize = 1 << 20;
/// How long a consumer waits at most before it looks whether there is something, whether it was woken or not.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a commit may take.
const COMMIT_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a client that is to be closed waits for calls that use it.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(15);
/// How often it looks.
const CLOSE_PROBE: Duration = Duration::from_millis(1);

/// A partition, by topic and number.
pub(super) type Partition = (Arc<str>, u32);

/// A member of a group as librdkafka has it.
pub(super) type Member = BaseConsumer<GroupContext>;

/// Writes down what the group decides, for the consumer to act on.
pub(super) struct GroupContext {
    client: Context,
    changes: Mutex<VecDeque<Change>>,
    /// Nobody will act on changes any longer.
    closing: AtomicBool,
    rebalances: metrics::Counter,
}

enum Change {
    /// These are ours, as of now.
    Assigned(Vec<(String, i32)>),
    /// These are to go to another member, which waits until we let go of them.
    Revoking(Vec<(String, i32)>),
    /// These were taken away while we were silent.
    Lost(Vec<(String, i32)>),
}

impl GroupContext {
    fn take_change(&self) -> Option<Change> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.client.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.client.error(error, reason);
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &Member, kind: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        self.client.handled.store(true, Ordering::Relaxed);
        self.rebalances.increment(1);
        let list =
            partitions.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect();
        let (result, change) = if kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            (consumer.incremental_assign(partitions), Change::Assigned(list))
        } else if consumer.assignment_lost() || self.closing.load(Ordering::SeqCst) {
            (consumer.incremental_unassign(partitions), Change::Lost(list))
        } else {
            (Ok(()), Change::Revoking(list))
        };
        if let Err(error) = result {
            self.client.note(&format!("rebalance: {error}"));
        }
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
    }

    fn commit_callback(&self, _: Result<(), KafkaError>, _: &TopicPartitionList) {
        self.client.handled.store(true, Ordering::Relaxed);
    }
}

/// Makes a client that knows the offsets of a group, and may join it.
pub(super) fn member(
    settings: &KafkaSettings,
    group: &str,
    wake: Option<Arc<Notify>>,
) -> Result<Arc<Member>, LogError> {
    let session_ms = settings.session_timeout.as_millis().to_string();
    let heartbeat_ms = (settings.session_timeout.as_millis() / 4).clamp(100, 3_000).to_string();
    let config = settings.client(&[
        ("group.id", group),
        ("session.timeout.ms", &session_ms),
        ("heartbeat.interval.ms", &heartbeat_ms),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "earliest"),
        // What is fetched ahead, for each partition: so much, whether anybody takes it or not. A fetch that begins below
        // that brings up to 256 KiB more as the broker has it, which is some MiB of small records when it is unpacked.
        ("queued.max.messages.kbytes", "1024"),
        ("queued.min.messages", "2000"),
        ("fetch.message.max.bytes", "262144"),
        ("fetch.max.bytes", "2097152"),
        // A partition whose queue was full, or whose broker had nothing, is looked at again after this time.
        ("fetch.queue.backoff.ms", "10"),
        ("fetch.wait.max.ms", "100"),
        ("fetch.error.backoff.ms", "100"),
    ]);
    let context = GroupContext {
        client: Context::new(group),
        changes: Mutex::default(),
        closing: AtomicBool::new(false),
        rebalances: metrics::counter!("plaza_kafka_rebalances_total", "group" => group.to_owned()),
    };
    let mut member: Member = config.create_with_context(context).map_err(|error| log_error(&error))?;
    if let Some(wake) = wake {
        member.set_nonempty_callback(move || wake.notify_one());
    }
    Ok(Arc::new(member))
}

/// The threads in which members leave their groups.
#[derive(Default)]
pub(super) struct Leaving(Mutex<Vec<JoinHandle<()>>>);

impl Leaving {
    /// Waits until all have left.
    pub(super) fn wait(&self) {
        let threads = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // One that panicked has left, too.
            let _ = thread.join();
        }
    }

    /// Does something in a thread of its own.
    pub(super) fn add(&self, work: impl FnOnce() + Send + 'static) {
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished());
        // Where there is no thread to be had, the work is dropped: the group notices by the session's timeout.
        if let Ok(thread) = std::thread::Builder::new().name("kafka-leave".to_owned()).spawn(work) {
            threads.push(thread);
        }
    }
}

/// Ends a client on this thread, as soon as nobody else uses it.
pub(super) fn close<C: ConsumerContext>(mut client: Arc<BaseConsumer<C>>) {
    let start = Instant::now();
    while start.elapsed() < CLOSE_TIME_MAX {
        match Arc::try_unwrap(client) {
            Ok(client) => return drop(client),
            Err(shared) => client = shared,
        }
        std::thread::sleep(CLOSE_PROBE);
    }
}

/// A consumer of a group. It fetches each partition into a queue of its own, of bounded size, and a pause means only that
/// nobody takes from that queue: nothing is thrown away or fetched twice.
pub(super) struct KafkaConsumer {
    member: Arc<Member>,
    layout: Arc<Layout>,
    leaving: Arc<Leaving>,
    wake: Arc<Notify>,
    assigned: Vec<Assigned>,
    /// Where in `assigned` to look first, so that a busy partition does not starve the others.
    turn: usize,
    /// Partitions of which the caller was told that they go; the group waits for us to let go of them.
    releasing: Vec<Partition>,
}

struct Assigned {
    topic: Arc<str>,
    partition: u32,
    /// Records that came before the partition had a queue of its own.
    early: VecDeque<Arc<Record>>,
    queue: PartitionQueue<GroupContext>,
    paused: bool,
}

impl KafkaConsumer {
    pub(super) fn new(
        settings: &KafkaSettings,
        layout: Arc<Layout>,
        leaving: Arc<Leaving>,
        group: &str,
        topics: &[String],
    ) -> Result<Self, LogError> {
        layout.partitions(topics)?;
        let wake = Arc::new(Notify::new());
        let member = member(settings, group, Some(wake.clone()))?;
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        member.subscribe(&topics).map_err(|error| log_error(&error))?;
        Ok(Self { member, layout, leaving, wake, assigned: Vec::new(), turn: 0, releasing: Vec::new() })
    }

    pub(super) fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// Handles whatever the client has for us, and answers the first change that the caller must know of.
    fn serve(&mut self) -> Result<Option<Delivery>, LogError> {
        loop {
            while let Some(change) = self.member.context().take_change() {
                if let Some(delivery) = self.apply(change) {
                    return Ok(Some(delivery));
                }
            }
            let handled = &self.member.context().client.handled;
            handled.store(false, Ordering::Relaxed);
            let member = self.member.clone();
            match member.poll(Duration::ZERO) {
                Some(Ok(message)) => self.keep(&message),
                Some(Err(error)) => Self::failed(&error)?,
                None if self.member.context().client.handled.load(Ordering::Relaxed) => {}
                None => return Ok(None),
            }
        }
    }

    fn apply(&mut self, change: Change) -> Option<Delivery> {
        match change {
            Change::Assigned(partitions) => {
                for (topic, partition) in partitions {
                    self.assign(&topic, partition);
                }
                None
            }
            Change::Revoking(partitions) => {
                self.releasing = self.withdraw(&partitions);
                if self.releasing.is_empty() {
                    // Nothing to wait for, but the group still waits for the word.
                    self.unassign(&[]);
                    return None;
                }
                Some(Delivery::Revoking(self.releasing.clone()))
            }
            Change::Lost(partitions) => {
                self.releasing.clear();
                let lost = self.withdraw(&partitions);
                (!lost.is_empty()).then_some(Delivery::Lost(lost))
            }
        }
    }

    fn assign(&mut self, topic: &str, partition: i32) {
        let Some(mut queue) = self.member.split_partition_queue(topic, partition) else {
            self.member.context().client.note(&format!("{topic} {partition} has no queue"));
            return;
        };
        let wake = self.wake.clone();
        queue.set_nonempty_callback(move || wake.notify_one());
        let topic = self.layout.topic(topic).map_or_else(|_| topic.into(), |(topic, _)| topic);
        let partition = unsigned(partition);
        self.assigned.push(Assigned { topic, partition, early: VecDeque::new(), queue, paused: false });
        self.wake.notify_one();
    }

    /// Gives no more of these partitions, of which those that we had are answered.
    fn withdraw(&mut self, partitions: &[(String, i32)]) -> Vec<Partition> {
        let goes = |assigned: &Assigned| {
            partitions
                .iter()
                .any(|(topic, partition)| **topic == *assigned.topic && unsigned(*partition) == assigned.partition)
        };
        let (gone, stay) = std::mem::take(&mut self.assigned).into_iter().partition(goes);
        self.assigned = stay;
        let gone: Vec<Assigned> = gone;
        gone.into_iter().map(|assigned| (assigned.topic, assigned.partition)).collect()
    }

    /// Lets the group have partitions.
    fn unassign(&self, partitions: &[Partition]) {
        let mut list = TopicPartitionList::new();
        for (topic, partition) in partitions {
            list.add_partition(topic, signed(*partition));
        }
        if let Err(error) = self.member.incremental_unassign(&list) {
            self.member.context().client.note(&format!("rebalance: {error}"));
        }
    }

    fn keep(&mut self, message: &BorrowedMessage<'_>) {
        let partition = unsigned(message.partition());
        let found = self.assigned.iter_mut().find(|one| one.partition == partition && *one.topic == *message.topic());
        if let Some(assigned) = found {
            assigned.early.push_back(Arc::new(record(message, assigned.topic.clone())));
        }
    }

    /// Errors that only say that something takes longer are noted; others are the caller's.
    fn failed(error: &KafkaError) -> Result<(), LogError> {
        let is_final = matches!(error, KafkaError::MessageConsumptionFatal(_))
            || matches!(
                error.rdkafka_error_code(),
                Some(
                    RDKafkaErrorCode::GroupAuthorizationFailed
                        | RDKafkaErrorCode::TopicAuthorizationFailed
                        | RDKafkaErrorCode::ClusterAuthorizationFailed
                )
            );
        if is_final { Err(log_error(error)) } else { Ok(()) }
    }

    /// The next portion of the partition whose turn it is.
    fn portion(&mut self) -> Option<Vec<Arc<Record>>> {
        let count = self.assigned.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let assigned = &mut self.assigned[index];
            if assigned.paused {
                continue;
            }
            let (mut records, mut bytes) = (Vec::new(), 0);
            while records.len() < PORTION_RECORDS_MAX && bytes < PORTION_BYTES_MAX {
                let Some(record) = assigned.next(&self.member) else { break };
                bytes += record.size_bytes();
                records.push(record);
            }
            if !records.is_empty() {
                self.turn = index + 1;
                return Some(records);
            }
        }
        None
    }

    fn find(&mut self, topic: &str, partition: u32) -> Option<&mut Assigned> {
        self.assigned.iter_mut().find(|assigned| assigned.partition == partition && *assigned.topic == *topic)
    }

    /// Whether a partition is ours, or still is for a moment.
    fn is_ours(&self, position: &Position) -> bool {
        let same = |topic: &Arc<str>, partition: u32| partition == position.partition && **topic == *position.topic;
        self.assigned.iter().any(|assigned| same(&assigned.topic, assigned.partition))
            || self.releasing.iter().any(|(topic, partition)| same(topic, *partition))
    }
}

impl Assigned {
    fn next(&mut self, member: &Member) -> Option<Arc<Record>> {
        if let Some(record) = self.early.pop_front() {
            return Some(record);
        }
        loop {
            match self.queue.poll(Duration::ZERO)? {
                Ok(message) => return Some(Arc::new(record(&message, self.topic.clone()))),
                Err(error) => member.context().client.note(&format!("{} {}: {error}", self.topic, self.partition)),
            }
        }
    }
}

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn next(&mut self) -> Result<Delivery, LogError> {
        if !self.releasing.is_empty() {
            let partitions = std::mem::take(&mut self.releasing);
            self.unassign(&partitions);
        }
        loop {
            if let Some(delivery) = self.serve()? {
                return Ok(delivery);
            }
            if let Some(records) = self.portion() {
                return Ok(Delivery::Records(records));
            }
            // What comes between the look and the wait leaves a permit.
            let _ = time::timeout(LOOK_INTERVAL, self.wake.notified()).await;
        }
    }

    fn pause(&mut self, topic: &str, partition: u32) {
        if let Some(assigned) = self.find(topic, partition) {
            assigned.paused = true;
        }
    }

    fn resume(&mut self, topic: &str, partition: u32) {
        if let Some(assigned) = self.find(topic, partition) {
            assigned.paused = false;
        }
    }

    async fn commit(&mut self, positions: &[Position]) -> Result<(), LogError> {
        // The broker would take an offset for a partition that is another member's, and set that member back or forward.
        let mut furthest: HashMap<Partition, u64> = HashMap::new();
        for position in positions.iter().filter(|position| self.is_ours(position)) {
            let offset = furthest.entry((position.topic.clone(), position.partition)).or_default();
            *offset = position.offset.max(*offset);
        }
        if furthest.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(furthest.len());
        for ((topic, partition), offset) in furthest {
            list.add_partition_offset(&topic, signed(partition), Offset::Offset(signed_offset(offset)))
                .map_err(|error| log_error(&error))?;
        }
        let member = self.member.clone();
        let commit = spawn_blocking(move || member.commit(&list, CommitMode::Sync));
        match time::timeout(COMMIT_TIME_MAX, commit).await {
            Ok(Ok(result)) => result.map_err(|error| log_error(&error)),
            Ok(Err(error)) => Err(LogError::Backend(error.to_string())),
            Err(_) => Err(LogError::Backend(format!("no answer to a commit within {} s", COMMIT_TIME_MAX.as_secs()))),
        }
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        let member = self.member.clone();
        member.context().closing.store(true, Ordering::SeqCst);
        if !self.releasing.is_empty() {
            let partitions = std::mem::take(&mut self.releasing);
            self.unassign(&partitions);
        }
        // Leaving asks the brokers, which may take a while.
        let assigned = std::mem::take(&mut self.assigned);
        self.leaving.add(move || {
            drop(assigned);
            close(member);
        });
    }
}
