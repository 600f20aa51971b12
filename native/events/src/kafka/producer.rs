use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    producer::{FutureProducer, FutureRecord, Producer as _, future_producer::DeliveryFuture},
};
use tokio::{sync::Semaphore, time};

use super::{
    KafkaSettings,
    client::{Context, log_error, unsigned, unsigned_offset},
    layout::Layout,
    record::{owned_headers, slice},
};
use crate::{LogError, NewRecord, Position};

/// Largest record, in bytes of key, headers and value: with what Kafka adds, below the 1,048,588 bytes that a broker takes
/// unless configured otherwise.
pub(super) const RECORD_BYTES_MAX: usize = 1_000_000;
/// Most headers of a record.
const HEADERS_MAX: usize = 256;
/// Bytes that are on their way to the brokers, at most; further appends wait. In KiB, since that is what permits can count.
const WAITING_KIB_MAX: u32 = 32 << 10;
/// How often an append that waits for the brokers says so.
const WAITING_LOG_INTERVAL: Duration = Duration::from_secs(30);
/// How long closing waits for what is on its way.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(5);

/// Appends, in order and without gaps.
///
/// What was given to the producer stays in its queue until the brokers have it, however long that takes: nothing
/// times out. If an earlier record of a key could time out while a later one went through, a caller that tries again would
/// put them in the wrong order. So an append never fails because brokers are away; it waits. It fails when a broker refuses a
/// record, or when the producer cannot go on (the brokers lost what they had acknowledged); then the next one gets a new producer.
pub(super) struct Producer {
    settings: KafkaSettings,
    current: Mutex<FutureProducer<Context>>,
    waiting: Semaphore,
    append_seconds: metrics::Histogram,
    waiting_gauge: metrics::Gauge,
    appended: HashMap<String, metrics::Counter>,
}

impl Producer {
    pub(super) fn new(settings: &KafkaSettings, layout: &Layout) -> Result<Self, LogError> {
        let counter = |name: String| {
            let counter = metrics::counter!("plaza_log_appended_total", "topic" => name.clone());
            (name, counter)
        };
        Ok(Self {
            settings: settings.clone(),
            current: Mutex::new(create(settings)?),
            waiting: Semaphore::new(WAITING_KIB_MAX as usize),
            append_seconds: metrics::histogram!("plaza_log_append_seconds"),
            waiting_gauge: metrics::gauge!("plaza_kafka_appends_waiting"),
            appended: layout.names().into_iter().map(counter).collect(),
        })
    }

    /// See [`crate::EventLog::append`]. The topics are known.
    pub(super) async fn append(
        &self,
        topics: Vec<Arc<str>>,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Position>, LogError> {
        records.iter().try_for_each(check)?;
        let start = Instant::now();
        let kib = records.iter().map(|record| record.size_bytes() / 1_024 + 1).sum::<usize>();
        let permits = u32::try_from(kib).unwrap_or(u32::MAX).min(WAITING_KIB_MAX);
        let _permit = self.waiting.acquire_many(permits).await.map_err(|_| LogError::Closed)?;
        let producer = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sent = send(&producer, &records);
        self.waiting_gauge.increment(1);
        let delivered = self.delivered(sent).await;
        self.waiting_gauge.decrement(1);
        self.append_seconds.record(start.elapsed().as_secs_f64());

        let mut positions = Vec::with_capacity(records.len());
        let mut failed = None;
        for ((topic, record), result) in topics.into_iter().zip(&records).zip(delivered) {
            match result {
                Ok((partition, offset)) => {
                    if let Some(counter) = self.appended.get(&record.topic) {
                        counter.increment(1);
                    }
                    positions.push(Position { topic, partition, offset });
                }
                Err(error) => {
                    failed.get_or_insert((record, error));
                }
            }
        }
        match failed {
            None => Ok(positions),
            Some((record, error)) => {
                self.renew(&producer);
                Err(refusal(record, &error))
            }
        }
    }

    /// What became of each record, once it is known of all of them.
    async fn delivered(&self, sent: Vec<Result<DeliveryFuture, KafkaError>>) -> Vec<Result<(u32, u64), KafkaError>> {
        let all = async {
            let mut results = Vec::with_capacity(sent.len());
            for sent in sent {
                results.push(match sent {
                    Ok(delivery) => match delivery.await {
                        Ok(Ok(delivery)) => Ok((unsigned(delivery.partition), unsigned_offset(delivery.offset))),
                        Ok(Err((error, _))) => Err(error),
                        Err(_) => Err(KafkaError::Canceled),
                    },
                    Err(error) => Err(error),
                });
            }
            results
        };
        tokio::pin!(all);
        let start = Instant::now();
        loop {
            if let Ok(results) = time::timeout(WAITING_LOG_INTERVAL, &mut all).await {
                return results;
            }
            tracing::warn!(seconds = start.elapsed().as_secs(), "an append waits for Kafka's brokers");
        }
    }

    /// Puts a new producer in the place of one that cannot go on.
    fn renew(&self, failed: &FutureProducer<Context>) {
        let Some((code, reason)) = failed.client().fatal_error() else { return };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Another append of the same producer may have been faster.
        if current.client().fatal_error().is_some() {
            tracing::error!(%code, reason, "Kafka's producer could not go on; there is a new one");
            match create(&self.settings) {
                Ok(producer) => *current = producer,
                Err(error) => tracing::error!(%error, "no producer for Kafka"),
            }
        }
    }

    /// Refuses what comes, and waits, within a bound, for what is on its way.
    pub(super) async fn close(&self) {
        self.waiting.close();
        let producer = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let flushed = tokio::task::spawn_blocking(move || producer.flush(FLUSH_TIME_MAX)).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("records were on their way to Kafka when the log was closed; they are published again");
        }
    }
}

fn create(settings: &KafkaSettings) -> Result<FutureProducer<Context>, LogError> {
    let config = settings.client(&[
        ("enable.idempotence", "true"),
        ("acks", "all"),
        ("max.in.flight.requests.per.connection", "5"),
        // Never: see `Producer`.
        ("message.timeout.ms", "0"),
        ("compression.type", "lz4"),
        ("partitioner", "murmur2_random"),
        // Lists are batches already; an append of one record does not wait for others.
        ("linger.ms", "0"),
        // Well below what a broker takes, so that a batch is never refused for what is in it together.
        ("batch.size", "524288"),
        ("message.max.bytes", "1048588"),
        ("queue.buffering.max.messages", "1000000"),
        ("queue.buffering.max.kbytes", "262144"),
        ("retry.backoff.ms", "50"),
        ("retry.backoff.max.ms", "1000"),
    ]);
    config.create_with_context(Context::new("producer")).map_err(|error| log_error(&error))
}

fn check(record: &NewRecord) -> Result<(), LogError> {
    let too_large = |reason: String| Err(LogError::TooLarge { topic: record.topic.clone(), reason });
    if record.headers.len() > HEADERS_MAX {
        return too_large(format!("{} headers of at most {HEADERS_MAX}", record.headers.len()));
    }
    match record.size_bytes() {
        ..=RECORD_BYTES_MAX => Ok(()),
        bytes => too_large(format!("{bytes} bytes of at most {RECORD_BYTES_MAX}")),
    }
}

/// Gives records to the producer, in their order. After one that it does not take, none follow.
fn send(producer: &FutureProducer<Context>, records: &[NewRecord]) -> Vec<Result<DeliveryFuture, KafkaError>> {
    let mut sent = Vec::with_capacity(records.len());
    for record in records {
        let message: FutureRecord<'_, [u8], [u8]> = FutureRecord {
            topic: &record.topic,
            partition: None,
            payload: slice(record.value.as_ref()),
            key: slice(record.key.as_ref()),
            timestamp: Some(record.timestamp_ms),
            headers: Some(owned_headers(record)),
        };
        match producer.send_result(message) {
            Ok(delivery) => sent.push(Ok(delivery)),
            Err((error, _)) => {
                sent.push(Err(error));
                break;
            }
        }
    }
    sent
}

/// Why a record was not appended.
fn refusal(record: &NewRecord, error: &KafkaError) -> LogError {
    let topic = record.topic.clone();
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge) => {
            let reason = format!("{} bytes; the broker takes no record of that size", record.size_bytes());
            LogError::TooLarge { topic, reason }
        }
        Some(RDKafkaErrorCode::InvalidTimestamp) => LogError::Invalid(format!(
            "record for topic {topic}: the broker takes no record of this time: {}",
            record.timestamp_ms
        )),
        Some(RDKafkaErrorCode::InvalidRecord) => {
            LogError::Invalid(format!("record for topic {topic}: the broker refused it"))
        }
        _ => log_error(error),
    }
}
