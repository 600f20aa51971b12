//! Events on their way between functions.
//!
//! ```text
//! function ── state + outbox row, one commit ──► Publisher ──► EventLog ──► Trigger ──► function (CloudEvents over HTTP)
//!                                                                  └─────► Tail ──► relay
//! ```
//!
//! - [`EventLog`] is what Kafka is to its clients: topics with partitions, order per key, consumer groups with committed
//!   offsets. [`KafkaLog`] is Kafka itself, [`SqliteLog`] the embedded one.
//! - [`Publisher`] moves the rows of a context's outbox into the log: in order, at least once, each time with the same id.
//! - [`Trigger`] calls a function for each record, by the contract of a Knative source: in order within a partition, with
//!   retries, and a dead letter topic for what cannot be delivered.
//!
//! Metrics: `plaza_log_appended_total{topic}`, `plaza_log_append_seconds`, `plaza_log_swept_total{topic}`,
//! `plaza_outbox_depth{context}`, `plaza_outbox_published_total{context}`, `plaza_outbox_rejected_total{context}`,
//! `plaza_outbox_errors_total{context}`, `plaza_outbox_leading{context}`, `plaza_publish_seconds{context}`,
//! `plaza_trigger_lag{group,topic}`,
//! `plaza_trigger_deliveries_total{group,outcome}`, `plaza_trigger_retries_total{group}`, `plaza_trigger_dlq_total{group}`,
//! `plaza_trigger_delivery_seconds{group}`; with Kafka also `plaza_kafka_errors_total{client}`,
//! `plaza_kafka_rebalances_total{group}`, `plaza_kafka_appends_waiting`.

mod clock;
mod cloudevents;
mod duration;
mod embedded;
mod kafka;
mod log;
mod partitioner;
mod publisher;
mod record;
mod topics;
mod trigger;

pub use clock::Clock;
pub use cloudevents::{CloudEvent, NotCloudEvent};
pub use embedded::{SqliteLog, SqliteLogSettings};
pub use kafka::{
    KafkaLog, KafkaSasl, KafkaSettings, KafkaTls, SaslMechanism, TopicReport, TopicState, TopicsReport, check_topics,
    create_topics,
};
pub use log::{Consumer, Delivery, EventLog, Lag, LogError, Position, Tail, TailStart, Watermark};
pub use partitioner::{murmur2, partition_of};
pub use publisher::{
    Batch, Cell, MysqlOutbox, OUTBOX_DLQ, Outbox, OutboxError, Publisher, PublisherSettings, Row, SqliteOutbox, Turn,
};
pub use record::{Header, NewRecord, Record};
pub use topics::{Topic, Topics, TopicsError};
pub use trigger::{Trigger, TriggerSettings};
