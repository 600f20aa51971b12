//! The log in Kafka.
//!
//! Every append is acknowledged by all replicas that are in sync, and written once ([`producer`]). Each consumer of a group
//! holds its partitions until it has let go of them, and commits what is done ([`group`]). Whoever reads all partitions
//! belongs to no group ([`tail`]). The rest are questions ([`reader`]).
//!
//! While brokers are away everything waits and goes on by itself; only questions fail, after [`KafkaSettings::request_timeout`].

mod client;
mod group;
mod layout;
mod producer;
mod reader;
mod record;
mod settings;
mod tail;
mod topics;

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{sync::watch, task::AbortHandle, time};

use self::{
    group::{KafkaConsumer, Leaving, Partition},
    layout::Layout,
    producer::Producer,
    reader::Reader,
    tail::KafkaTail,
};
use crate::{
    Consumer, EventLog, Lag, LogError, NewRecord, Position, Record, Tail, TailStart, Topic, Topics, Watermark,
};

pub use settings::{KafkaSasl, KafkaSettings, KafkaTls, SaslMechanism};
pub use topics::{TopicReport, TopicState, TopicsReport, check_topics, create_topics};

/// How often we look whether topics have grown.
const LAYOUT_INTERVAL: Duration = Duration::from_secs(30);
/// Most records before its beginning that a tail gives.
const LOOK_BACK_RECORDS_MAX: usize = 10_000;

/// The log in Kafka. See [`EventLog`].
pub struct KafkaLog {
    settings: KafkaSettings,
    layout: Arc<Layout>,
    reader: Arc<Reader>,
    producer: Producer,
    leaving: Arc<Leaving>,
    /// Counts how often topics have grown.
    grown: watch::Sender<u64>,
    refresher: AbortHandle,
}

impl KafkaLog {
    /// Connects. Fails, within [`KafkaSettings::request_timeout`], if no broker answers, and if the cluster has not every one
    /// of these topics with at least as many partitions.
    pub async fn open(settings: KafkaSettings, topics: &Topics) -> Result<Self, LogError> {
        let reader = Arc::new(Reader::new(&settings)?);
        let layout = Arc::new(Layout::new(topics, &reader.metadata().await?)?);
        let producer = Producer::new(&settings, &layout)?;
        let grown = watch::Sender::new(0);
        let refresher = tokio::spawn(refresh(reader.clone(), layout.clone(), grown.clone())).abort_handle();
        Ok(Self { settings, layout, reader, producer, leaving: Arc::default(), grown, refresher })
    }

    /// Finishes what was begun, as far as the brokers are there, and waits until dropped consumers have left their groups. Later
    /// calls fail.
    pub async fn close(&self) {
        self.refresher.abort();
        self.producer.close().await;
        let (leaving, reader) = (self.leaving.clone(), self.reader.clone());
        let left = tokio::task::spawn_blocking(move || {
            leaving.wait();
            reader.close();
        });
        if time::timeout(self.settings.request_timeout, left).await.is_err() {
            tracing::warn!("a consumer could not leave its group in time; the group notices later");
        }
    }

    /// The last records of some topics by their times, at most so many, from before these ends.
    async fn last(&self, ends: &[Watermark], records_max: usize) -> Result<Vec<Arc<Record>>, LogError> {
        let records_max = records_max.min(LOOK_BACK_RECORDS_MAX);
        let mut all = Vec::new();
        for end in ends {
            let mut from = end.next.saturating_sub(records_max as u64).max(end.low);
            while from < end.next {
                let records = self.reader.read((end.topic.clone(), end.partition), from, records_max).await?;
                let Some(last) = records.last() else { break };
                from = last.offset + 1;
                all.extend(records.into_iter().filter(|record| record.offset < end.next));
            }
        }
        let mut all = record::merge(all);
        Ok(all.split_off(all.len().saturating_sub(records_max)))
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.refresher.abort();
    }
}

/// Keeps the layout up to date.
async fn refresh(reader: Arc<Reader>, layout: Arc<Layout>, grown: watch::Sender<u64>) {
    loop {
        time::sleep(LAYOUT_INTERVAL).await;
        match reader.metadata().await {
            Ok(metadata) => {
                let topics = layout.refresh(&metadata);
                if !topics.is_empty() {
                    tracing::warn!(?topics, "topics have grown: keys are in other partitions from now on");
                    grown.send_modify(|count| *count += 1);
                }
            }
            Err(error) => tracing::debug!(%error, "the cluster's topics are not known"),
        }
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        let topics: Result<Vec<_>, _> =
            records.iter().map(|record| self.layout.topic(&record.topic).map(|(topic, _)| topic)).collect();
        self.producer.append(topics?, records).await
    }

    async fn consumer(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>, LogError> {
        let consumer = KafkaConsumer::new(&self.settings, self.layout.clone(), self.leaving.clone(), group, topics)?;
        self.reader.joined(group, consumer.member());
        Ok(Box::new(consumer))
    }

    async fn tail(&self, topics: &[String], start: TailStart) -> Result<Box<dyn Tail>, LogError> {
        // Before the ends are asked for: growth in between shows in both.
        let grown = self.grown.subscribe();
        let ends = self.watermarks(topics).await?;
        let mut next: HashMap<Partition, u64> =
            ends.iter().map(|end| ((end.topic.clone(), end.partition), end.next)).collect();
        let mut first = Vec::new();
        match start {
            TailStart::Last(0) => {}
            TailStart::Last(records) => first = self.last(&ends, records).await?,
            TailStart::At(positions) => {
                for position in positions {
                    let topic = self.layout.partition(&position.topic, position.partition)?;
                    if let Some(next) = next.get_mut(&(topic, position.partition)) {
                        *next = position.offset;
                    }
                }
            }
        }
        let (layout, leaving) = (self.layout.clone(), self.leaving.clone());
        Ok(Box::new(KafkaTail::new(&self.settings, layout, leaving, grown, topics, next, first)?))
    }

    async fn read(
        &self,
        topic: &str,
        partition: u32,
        from_offset: u64,
        records_max: usize,
    ) -> Result<Vec<Arc<Record>>, LogError> {
        let topic = self.layout.partition(topic, partition)?;
        self.reader.read((topic, partition), from_offset, records_max).await
    }

    async fn watermarks(&self, topics: &[String]) -> Result<Vec<Watermark>, LogError> {
        self.reader.watermarks(self.layout.partitions(topics)?).await
    }

    async fn topics(&self) -> Result<Vec<Topic>, LogError> {
        Ok(self.layout.all())
    }

    async fn lag(&self, group: &str) -> Result<Vec<Lag>, LogError> {
        self.reader.lag(group, self.layout.partitions(&self.layout.names())?).await
    }
}
