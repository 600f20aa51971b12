//! `plaza topics`: what Kafka must have before anything else can use it.

use crate::cli::TopicsAction;
use crate::{bus, cli, print};
use anyhow::{Result, bail};
use plaza_events::{TopicReport, TopicState, check_topics, create_topics};
use serde_json::{Value, json};

pub(crate) async fn topics(words: cli::Topics) -> Result<()> {
    let contract = bus::topics(&words.manifest.infra())?;
    let settings = bus::settings(&words.kafka.kafka, &words.kafka.security);
    let report = match words.action {
        TopicsAction::Check => check_topics(&settings, &contract).await?,
        TopicsAction::Create => create_topics(&settings, &contract, words.replication).await?,
    };
    if words.json {
        let topics: Vec<_> = report.0.iter().map(as_json).collect();
        print(&json!({ "ok": report.is_usable(), "topics": topics }).to_string());
    } else {
        for topic in &report.0 {
            print(&topic.to_string());
        }
    }
    if report.is_usable() {
        return Ok(());
    }
    if report.0.iter().any(|topic| topic.state == TopicState::Missing) {
        bail!("topics are missing; `plaza topics create` makes them");
    }
    bail!("the topics are not what the contract asks for")
}

/// A topic for programs; the detail is the line for people.
fn as_json(report: &TopicReport) -> Value {
    let state = match &report.state {
        TopicState::Created => "created",
        TopicState::Right => "right",
        TopicState::Missing => "missing",
        TopicState::Refused(_) => "refused",
        TopicState::FewerPartitions(_) => "fewer_partitions",
        TopicState::MorePartitions(_) => "more_partitions",
        TopicState::OtherRetention(_) => "other_retention",
    };
    let topic = &report.topic;
    json!({
        "name": topic.name,
        "partitions": topic.partitions,
        "retention_seconds": topic.retention.as_secs(),
        "state": state,
        "detail": report.to_string(),
    })
}
