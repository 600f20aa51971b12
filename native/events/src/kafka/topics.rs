//! The topics on a cluster, as the contract has them: made, and checked.

use std::{fmt, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    error::{KafkaError, RDKafkaErrorCode},
    metadata::Metadata,
    types::RDKafkaErrorCode as Code,
};

use super::{
    KafkaSettings,
    client::{Context, log_error, signed},
    layout::partitions_of,
    reader::Reader,
};
use crate::{LogError, Topic, Topics};

/// How long the brokers may take to make topics.
const CREATE_TIME_MAX: Duration = Duration::from_secs(30);
/// How long new topics may take until every broker tells of them.
const SEEN_TIME_MAX: Duration = Duration::from_secs(15);
/// How often that is looked at.
const SEEN_PROBE: Duration = Duration::from_millis(50);
/// The setting of a topic that says how long records are kept.
const RETENTION: &str = "retention.ms";

/// What became of each topic of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicsReport(pub Vec<TopicReport>);

/// What became of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicReport {
    /// The topic, as the contract has it.
    pub topic: Topic,
    /// How it is on the cluster.
    pub state: TopicState,
}

/// How a topic is on the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicState {
    /// It was not there, and is now.
    Created,
    /// It is there as it should be.
    Right,
    /// It is not there.
    Missing,
    /// It could not be made.
    Refused(String),
    /// It has fewer partitions than it needs. They are not added by us: keys would move to other partitions, and records
    /// of a key would no longer be in order for those who are behind.
    FewerPartitions(u32),
    /// It has more partitions, which does no harm.
    MorePartitions(u32),
    /// Its records are kept for another time; `None`: for ever.
    OtherRetention(Option<Duration>),
}

impl TopicState {
    /// Whether the topic can be used as it is.
    pub fn is_usable(&self) -> bool {
        !matches!(self, Self::Missing | Self::Refused(_) | Self::FewerPartitions(_))
    }
}

impl TopicsReport {
    /// Whether every topic can be used as it is.
    pub fn is_usable(&self) -> bool {
        self.0.iter().all(|report| report.state.is_usable())
    }
}

/// One line for a person.
impl fmt::Display for TopicReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Topic { name, partitions, retention } = &self.topic;
        write!(formatter, "{name}: ")?;
        match &self.state {
            TopicState::Created => {
                write!(formatter, "created, {partitions} partitions, kept {} s", retention.as_secs())
            }
            TopicState::Right => write!(formatter, "right, {partitions} partitions, kept {} s", retention.as_secs()),
            TopicState::Missing => write!(formatter, "is missing"),
            TopicState::Refused(reason) => write!(formatter, "could not be made: {reason}"),
            TopicState::FewerPartitions(has) => write!(formatter, "has {has} partitions and needs {partitions}"),
            TopicState::MorePartitions(has) => {
                write!(formatter, "has {has} partitions, more than the {partitions} it needs")
            }
            TopicState::OtherRetention(None) => {
                write!(formatter, "keeps its records for ever, not {} s", retention.as_secs())
            }
            TopicState::OtherRetention(Some(has)) => {
                write!(formatter, "keeps its records {} s, not {} s", has.as_secs(), retention.as_secs())
            }
        }
    }
}

/// Looks whether the cluster has the topics of the contract.
pub async fn check_topics(settings: &KafkaSettings, topics: &Topics) -> Result<TopicsReport, LogError> {
    let reader = Reader::new(settings)?;
    let metadata = reader.metadata().await?;
    report(settings, topics, &metadata).await
}

/// Makes those topics of the contract that the cluster has not; the others stay as they are. Without a number of replicas,
/// the brokers' own default is taken.
pub async fn create_topics(
    settings: &KafkaSettings,
    topics: &Topics,
    replicas: Option<u16>,
) -> Result<TopicsReport, LogError> {
    let reader = Reader::new(settings)?;
    let mut report = report(settings, topics, &reader.metadata().await?).await?;
    let missing: Vec<Topic> = report
        .0
        .iter()
        .filter(|report| report.state == TopicState::Missing)
        .map(|report| report.topic.clone())
        .collect();
    if missing.is_empty() {
        return Ok(report);
    }
    let results = create(settings, &missing, replicas).await?;
    for (topic, result) in missing.iter().zip(&results) {
        if let Some(report) = report.0.iter_mut().find(|report| report.topic == *topic) {
            report.state = result.clone();
        }
    }
    let created: Vec<&Topic> = missing
        .iter()
        .zip(&results)
        .filter(|(_, state)| **state == TopicState::Created)
        .map(|(topic, _)| topic)
        .collect();
    seen(&reader, &created).await?;
    Ok(report)
}

async fn create(
    settings: &KafkaSettings,
    topics: &[Topic],
    replicas: Option<u16>,
) -> Result<Vec<TopicState>, LogError> {
    let retentions: Vec<String> = topics.iter().map(|topic| topic.retention.as_millis().to_string()).collect();
    let replicas = replicas.map_or(-1, i32::from);
    let new: Vec<NewTopic<'_>> = topics
        .iter()
        .zip(&retentions)
        .map(|(topic, retention)| {
            NewTopic::new(&topic.name, signed(topic.partitions), TopicReplication::Fixed(replicas))
                .set(RETENTION, retention)
        })
        .collect();
    let options = AdminOptions::new().request_timeout(Some(CREATE_TIME_MAX)).operation_timeout(Some(CREATE_TIME_MAX));
    let results = admin(settings)?.create_topics(&new, &options).await.map_err(|error| log_error(&error))?;
    let state = |topic: &Topic| {
        let result = results.iter().find_map(|result| match result {
            Ok(name) => (*name == topic.name).then_some(Ok(())),
            Err((name, code)) => (*name == topic.name).then_some(Err(*code)),
        });
        match result {
            // Somebody else was faster; what it is like shows in the next check.
            Some(Ok(()) | Err(Code::TopicAlreadyExists)) => TopicState::Created,
            Some(Err(code)) => TopicState::Refused(code.to_string()),
            None => TopicState::Refused("the brokers did not say why".to_owned()),
        }
    };
    Ok(topics.iter().map(state).collect())
}

/// Waits until the cluster tells of new topics, which takes a moment.
async fn seen(reader: &Reader, topics: &[&Topic]) -> Result<(), LogError> {
    let wait = async {
        loop {
            let metadata = reader.metadata().await?;
            if topics.iter().all(|topic| partitions_of(&metadata, &topic.name) == Some(topic.partitions)) {
                return Ok(());
            }
            tokio::time::sleep(SEEN_PROBE).await;
        }
    };
    let late = || LogError::Backend(format!("the new topics were not there within {} s", SEEN_TIME_MAX.as_secs()));
    tokio::time::timeout(SEEN_TIME_MAX, wait).await.unwrap_or_else(|_| Err(late()))
}

async fn report(settings: &KafkaSettings, topics: &Topics, metadata: &Metadata) -> Result<TopicsReport, LogError> {
    let there: Vec<&Topic> =
        topics.all().iter().filter(|topic| partitions_of(metadata, &topic.name).is_some()).collect();
    let retentions = retentions(settings, &there).await?;
    let report = |topic: &Topic| {
        let retention = there.iter().position(|one| one.name == topic.name).and_then(|index| retentions[index]);
        let state = match partitions_of(metadata, &topic.name) {
            None => TopicState::Missing,
            Some(has) if has < topic.partitions => TopicState::FewerPartitions(has),
            Some(_) if retention.is_some_and(|retention| retention != signed_ms(topic.retention)) => {
                let ms = retention.and_then(|ms| u64::try_from(ms).ok());
                TopicState::OtherRetention(ms.map(Duration::from_millis))
            }
            Some(has) if has > topic.partitions => TopicState::MorePartitions(has),
            Some(_) => TopicState::Right,
        };
        TopicReport { topic: topic.clone(), state }
    };
    Ok(TopicsReport(topics.all().iter().map(report).collect()))
}

/// How long each topic keeps its records, in milliseconds, negative for ever; `None` where we may not know.
async fn retentions(settings: &KafkaSettings, topics: &[&Topic]) -> Result<Vec<Option<i64>>, LogError> {
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let resources: Vec<ResourceSpecifier<'_>> =
        topics.iter().map(|topic| ResourceSpecifier::Topic(&topic.name)).collect();
    let options = AdminOptions::new().request_timeout(Some(settings.request_timeout));
    let configs = admin(settings)?.describe_configs(&resources, &options).await.map_err(|error| log_error(&error))?;
    let retention = |config: Result<rdkafka::admin::ConfigResource, RDKafkaErrorCode>| {
        config.ok()?.get(RETENTION)?.value.as_deref()?.parse().ok()
    };
    Ok(configs.into_iter().map(retention).collect())
}

fn signed_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn admin(settings: &KafkaSettings) -> Result<AdminClient<Context>, LogError> {
    let created: Result<_, KafkaError> = settings.client(&[]).create_with_context(Context::new("admin"));
    created.map_err(|error| log_error(&error))
}
