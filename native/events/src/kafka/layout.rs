use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use rdkafka::metadata::Metadata;

use super::client::unsigned;
use crate::{LogError, Topic, Topics};

/// The topics we know, and how many partitions each has on the cluster, which may be more than were asked for.
pub(super) struct Layout {
    topics: RwLock<BTreeMap<Arc<str>, Topic>>,
}

impl Layout {
    /// The contract's topics as the cluster has them; refused unless each is there with at least the contract's partitions.
    pub(super) fn new(contract: &Topics, metadata: &Metadata) -> Result<Self, LogError> {
        let (mut topics, mut wrong) = (BTreeMap::new(), Vec::new());
        for topic in contract.all() {
            match partitions_of(metadata, &topic.name) {
                None => wrong.push(format!("{} is missing", topic.name)),
                Some(partitions) if partitions < topic.partitions => {
                    wrong.push(format!("{} has {partitions} partitions of {}", topic.name, topic.partitions));
                }
                Some(partitions) => {
                    topics.insert(topic.name.as_str().into(), Topic { partitions, ..topic.clone() });
                }
            }
        }
        if wrong.is_empty() {
            return Ok(Self { topics: RwLock::new(topics) });
        }
        let wrong = wrong.join(", ");
        Err(LogError::Invalid(format!(
            "the cluster's topics are not what is needed: {wrong}. `plaza topics` creates and checks them"
        )))
    }

    /// Takes note of partitions that were added; answers which topics have grown.
    pub(super) fn refresh(&self, metadata: &Metadata) -> Vec<Arc<str>> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let mut grown = Vec::new();
        for (name, topic) in topics.iter_mut() {
            if let Some(partitions) = partitions_of(metadata, name).filter(|partitions| *partitions > topic.partitions)
            {
                topic.partitions = partitions;
                grown.push(name.clone());
            }
        }
        grown
    }

    pub(super) fn all(&self) -> Vec<Topic> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.all().into_iter().map(|topic| topic.name).collect()
    }

    /// A topic's name, the same each time, and its number of partitions.
    pub(super) fn topic(&self, name: &str) -> Result<(Arc<str>, u32), LogError> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let (name, topic) = topics.get_key_value(name).ok_or_else(|| LogError::UnknownTopic(name.to_owned()))?;
        Ok((name.clone(), topic.partitions))
    }

    /// Every partition of some topics.
    pub(super) fn partitions(&self, topics: &[String]) -> Result<Vec<(Arc<str>, u32)>, LogError> {
        let mut all = Vec::new();
        for topic in topics {
            let (name, partitions) = self.topic(topic)?;
            all.extend((0..partitions).map(|partition| (name.clone(), partition)));
        }
        Ok(all)
    }

    /// A partition that exists.
    pub(super) fn partition(&self, topic: &str, partition: u32) -> Result<Arc<str>, LogError> {
        let (name, partitions) = self.topic(topic)?;
        if partition < partitions {
            return Ok(name);
        }
        Err(LogError::UnknownPartition { topic: topic.to_owned(), partition })
    }
}

/// How many partitions a topic has; `None` if there is no such topic.
pub(super) fn partitions_of(metadata: &Metadata, name: &str) -> Option<u32> {
    let topic = metadata.topics().iter().find(|topic| topic.name() == name)?;
    let partitions = unsigned(i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX));
    (topic.error().is_none() && partitions > 0).then_some(partitions)
}
