use std::{fs, path::Path, time::Duration};

use serde::Deserialize;

use crate::duration;

/// Most partitions of a topic. Each costs a consumer a look per wake.
const PARTITIONS_MAX: u32 = 1_000;
/// Longest name of a topic, in bytes; Kafka's limit.
const NAME_BYTES_MAX: usize = 249;

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The name.
    pub name: String,
    /// How many partitions it has, at least one.
    pub partitions: u32,
    /// How long records are kept.
    pub retention: Duration,
}

/// The topics of a log, as `infra/topics.toml` names them, with the dead letter topics that follow from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics(Vec<Topic>);

/// What is wrong with a file of topics.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] std::io::Error),
    /// It is not TOML, or has not the fields it should.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// It asks for something that cannot be.
    #[error("topic {name:?}: {reason}")]
    Invalid {
        /// The topic.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    dlq: Dlq,
    #[serde(rename = "topic")]
    topics: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dlq {
    partitions: u32,
    retention: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    /// For the reader of the file.
    #[serde(rename = "key")]
    _key: String,
    partitions: u32,
    retention: String,
}

impl Topics {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, TopicsError> {
        Self::parse(&fs::read_to_string(path)?)
    }

    /// Reads the text of a file.
    pub fn parse(text: &str) -> Result<Self, TopicsError> {
        let file: File = toml::from_str(text)?;
        let mut topics = Vec::new();
        for Entry { name, partitions, retention, .. } in file.topics {
            let dlq = dlq_name(&name);
            topics.push(topic(name, partitions, &retention)?);
            topics.push(topic(dlq, file.dlq.partitions, &file.dlq.retention)?);
        }
        // For rows that never became a record of any topic.
        topics.push(topic(crate::OUTBOX_DLQ.to_owned(), file.dlq.partitions, &file.dlq.retention)?);
        for (index, topic) in topics.iter().enumerate() {
            if topics[..index].iter().any(|other| other.name == topic.name) {
                return Err(invalid(&topic.name, "is named twice, counting the .dlq topics that follow from others"));
            }
        }
        Ok(Self(topics))
    }

    /// All of them, dead letter topics included.
    pub fn all(&self) -> &[Topic] {
        &self.0
    }
}

/// The topic for the records of a topic that a consumer gave up on.
pub(crate) fn dlq_name(topic: &str) -> String {
    format!("{topic}.dlq")
}

fn topic(name: String, partitions: u32, retention: &str) -> Result<Topic, TopicsError> {
    // Kafka's rule.
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name == "." || name == ".." || !name.chars().all(legal) {
        return Err(invalid(&name, "a name is 1 to 249 of A-Z a-z 0-9 . _ -"));
    }
    if !(1..=PARTITIONS_MAX).contains(&partitions) {
        return Err(invalid(&name, &format!("has {partitions} partitions; 1 to {PARTITIONS_MAX} are possible")));
    }
    let retention = duration::parse(retention).map_err(|reason| invalid(&name, &reason))?;
    Ok(Topic { name, partitions, retention })
}

fn invalid(name: &str, reason: &str) -> TopicsError {
    TopicsError::Invalid { name: name.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn the_projects_own_file_is_the_contract() {
        let topics = Topics::parse(include_str!("../../../infra/topics.toml")).unwrap();
        let of = |name: &str| {
            let topic = topics.all().iter().find(|topic| topic.name == name).unwrap();
            (topic.partitions, topic.retention.as_secs() / 3_600)
        };
        assert_eq!(of("user.events"), (3, 168));
        assert_eq!(of("user.online_status"), (6, 1));
        assert_eq!(of("friend.events"), (3, 168));
        assert_eq!(of("message.events"), (10, 168));
        assert_eq!(of("chat.events"), (3, 168));
        assert_eq!(of("chat.typing"), (3, 1));
        assert_eq!(of("notification.events"), (3, 168));
        assert_eq!(of("message.events.dlq"), (1, 720));
        assert_eq!(of("outbox.dlq"), (1, 720));
        assert_eq!(topics.all().len(), 15);
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_topics_name() {
        let file = |name: &str, partitions: &str, retention: &str| {
            format!(
                "dlq = {{ partitions = 1, retention = \"1d\" }}\n\
                 [[topic]]\nname = \"{name}\"\nkey = \"k\"\npartitions = {partitions}\nretention = \"{retention}\""
            )
        };
        assert!(Topics::parse(&file("a", "1", "1d")).is_ok());
        for bad in [
            file("a b", "1", "1d"),
            file("", "1", "1d"),
            file("a", "0", "1d"),
            file("a", "1001", "1d"),
            file("a", "1", "soon"),
            file("outbox", "1", "1d"),
        ] {
            assert!(matches!(Topics::parse(&bad), Err(TopicsError::Invalid { .. })), "{bad}");
        }
        assert!(matches!(Topics::parse("x = 1"), Err(TopicsError::Syntax(_))));
    }
}
