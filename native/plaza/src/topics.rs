//! `plaza topics`: what Kafka must have before anything else can use it.

use crate::cli::TopicsAction;
use crate::{bus, cli, print};
use anyhow::{Result, bail};
use plaza_events::{TopicState, check_topics, create_topics};

pub(crate) async fn topics(words: cli::Topics) -> Result<()> {
    let contract = bus::topics(&words.manifest.infra())?;
    let settings = bus::settings(&words.kafka.kafka, &words.kafka.security);
    let report = match words.action {
        TopicsAction::Check => check_topics(&settings, &contract).await?,
        TopicsAction::Create => create_topics(&settings, &contract, words.replication).await?,
    };
    for topic in &report.0 {
        print(&topic.to_string());
    }
    if report.is_usable() {
        return Ok(());
    }
    if report.0.iter().any(|topic| topic.state == TopicState::Missing) {
        bail!("topics are missing; `plaza topics create` makes them");
    }
    bail!("the topics are not what the contract asks for")
}
