//! The log: embedded, or Kafka.

use crate::cli;
use crate::ops::Check;
use crate::state::State;
use anyhow::{Context, Result};
use plaza_events::{
    EventLog, KafkaLog, KafkaSasl, KafkaSettings, KafkaTls, SaslMechanism, SqliteLog, SqliteLogSettings, Topics,
};
use std::path::Path;
use std::sync::Arc;

/// Asked for its ends, to see whether the log answers.
const CHECKED_TOPIC: &str = "message.events";

/// The log of this process.
pub(crate) enum Bus {
    Embedded(Arc<SqliteLog>),
    Kafka(Arc<KafkaLog>),
}

impl Bus {
    /// The embedded log, in the state directory.
    pub(crate) async fn embedded(state: &State, infra: &Path) -> Result<Self> {
        let log = SqliteLog::open(&state.path("log"), &topics(infra)?, SqliteLogSettings::default()).await?;
        Ok(Self::Embedded(Arc::new(log)))
    }

    /// Kafka, with the contract's topics.
    pub(crate) async fn kafka(brokers: &str, security: &cli::KafkaSecurity, infra: &Path) -> Result<Self> {
        let log = KafkaLog::open(settings(brokers, security), &topics(infra)?).await?;
        Ok(Self::Kafka(Arc::new(log)))
    }

    pub(crate) fn log(&self) -> Arc<dyn EventLog> {
        match self {
            Self::Embedded(log) => Arc::clone(log) as Arc<dyn EventLog>,
            Self::Kafka(log) => Arc::clone(log) as Arc<dyn EventLog>,
        }
    }

    /// Whether the log answers.
    pub(crate) fn check(&self) -> Check {
        let log = self.log();
        Box::new(move || {
            let log = Arc::clone(&log);
            Box::pin(async move { log.watermarks(&[CHECKED_TOPIC.to_owned()]).await.is_ok() })
        })
    }

    /// Finishes what was begun.
    pub(crate) async fn close(&self) {
        match self {
            Self::Embedded(log) => log.close().await,
            Self::Kafka(log) => log.close().await,
        }
    }
}

/// The contract's topics.
pub(crate) fn topics(infra: &Path) -> Result<Topics> {
    let file = infra.join("topics.toml");
    Topics::read(&file).with_context(|| format!("topics in {}", file.display()))
}

/// The words of the command line as the library takes them.
pub(crate) fn settings(brokers: &str, words: &cli::KafkaSecurity) -> KafkaSettings {
    let cli::KafkaSecurity { kafka_tls, kafka_ca, kafka_certificate, kafka_certificate_key, .. } = words;
    let tls = *kafka_tls || kafka_ca.is_some() || kafka_certificate.is_some();
    let sasl = words.kafka_sasl.zip(words.kafka_username.clone()).zip(words.kafka_password.clone());
    KafkaSettings {
        tls: tls.then(|| KafkaTls {
            ca: kafka_ca.clone(),
            certificate: kafka_certificate.clone(),
            key: kafka_certificate_key.clone(),
        }),
        sasl: sasl.map(|((mechanism, username), password)| KafkaSasl {
            mechanism: match mechanism {
                cli::SaslMechanism::Plain => SaslMechanism::Plain,
                cli::SaslMechanism::ScramSha256 => SaslMechanism::ScramSha256,
                cli::SaslMechanism::ScramSha512 => SaslMechanism::ScramSha512,
            },
            username,
            password,
        }),
        ..KafkaSettings::new(brokers)
    }
}
