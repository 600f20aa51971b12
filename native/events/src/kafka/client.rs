//! What librdkafka has to say, made bearable: into our log, a few lines at a time, and into a metric.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{ClientContext, config::RDKafkaLogLevel, consumer::ConsumerContext, error::KafkaError};

use crate::LogError;

/// Most lines of one client in [`LINES_INTERVAL`]; the others are counted.
const LINES_MAX: u32 = 5;
/// See [`LINES_MAX`].
const LINES_INTERVAL: Duration = Duration::from_secs(30);

/// What one client tells us besides answers.
pub(super) struct Context {
    /// What the client is for: `producer`, `reader`, `tail`, or a group's name.
    client: String,
    lines: Mutex<Lines>,
    /// The last error: the reason when something does not come about in time.
    last_error: Mutex<Option<String>>,
    /// Whether an event was handled, so that there may be more behind it.
    pub(super) handled: AtomicBool,
    errors: metrics::Counter,
}

struct Lines {
    since: Instant,
    count: u32,
}

impl Context {
    pub(super) fn new(client: &str) -> Self {
        Self {
            client: client.to_owned(),
            lines: Mutex::new(Lines { since: Instant::now(), count: 0 }),
            last_error: Mutex::default(),
            handled: AtomicBool::new(false),
            errors: metrics::counter!("plaza_kafka_errors_total", "client" => client.to_owned()),
        }
    }

    /// An error from which the client recovers by itself, or not; it goes on trying.
    pub(super) fn note(&self, error: &str) {
        self.errors.increment(1);
        let mut last_error = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        // That all brokers are down is said after what is wrong with each, and says less.
        if last_error.is_none() || !error.starts_with("AllBrokersDown") {
            *last_error = Some(error.to_owned());
        }
        drop(last_error);
        if self.may_log() {
            tracing::warn!(client = self.client, error, "Kafka");
        }
    }

    /// The last error that was noted, since the last time somebody asked.
    pub(super) fn take_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn may_log(&self) -> bool {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.since.elapsed() >= LINES_INTERVAL {
            if let Some(unsaid) = lines.count.checked_sub(LINES_MAX + 1) {
                tracing::warn!(client = self.client, lines = unsaid + 1, "Kafka: more of the same was not logged");
            }
            *lines = Lines { since: Instant::now(), count: 0 };
        }
        lines.count += 1;
        lines.count <= LINES_MAX
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let client = self.client.as_str();
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(client, facility, message, "librdkafka");
            }
            // What of this matters comes as an error, too.
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                tracing::debug!(client, facility, message, "librdkafka");
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::trace!(client, facility, message, "librdkafka"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.handled.store(true, Ordering::Relaxed);
        let code = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
        self.note(&format!("{code}: {reason}"));
    }
}

impl ConsumerContext for Context {}

/// An error as our callers know it.
pub(super) fn log_error(error: &KafkaError) -> LogError {
    LogError::Backend(error.to_string())
}

/// A number as Kafka has it: partitions and offsets are signed there, and never negative where they are real.
pub(super) fn signed(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

/// See [`signed`].
pub(super) fn unsigned(partition: i32) -> u32 {
    u32::try_from(partition).unwrap_or_default()
}

/// See [`signed`].
pub(super) fn signed_offset(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// See [`signed`].
pub(super) fn unsigned_offset(offset: i64) -> u64 {
    u64::try_from(offset).unwrap_or_default()
}
