use std::{fmt, path::PathBuf, time::Duration};

use rdkafka::ClientConfig;

/// How a Kafka cluster is reached.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// Some of its brokers: `host:port`, separated by commas. The others are learned from them.
    pub brokers: String,
    /// TLS; none is plain text.
    pub tls: Option<KafkaTls>,
    /// Who we are, where the brokers ask for a name and a password.
    pub sasl: Option<KafkaSasl>,
    /// How the brokers' logs and metrics call us.
    pub client_id: String,
    /// How long a broker may take to answer a question (not an append or a read of records, which wait for as long as it takes).
    pub request_timeout: Duration,
    /// How long a group waits for a member that is silent before its partitions go to the others. A broker has bounds for
    /// it: six seconds to half an hour, unless configured otherwise.
    pub session_timeout: Duration,
    /// Settings of librdkafka by their own names, which have the last word.
    pub more: Vec<(String, String)>,
}

/// TLS towards the brokers. Their certificates must be for the names or addresses by which they are reached.
#[derive(Clone, Debug, Default)]
pub struct KafkaTls {
    /// The authorities to trust (PEM); without it, those of the system.
    pub ca: Option<PathBuf>,
    /// Our own certificate with its chain (PEM), where brokers ask for one.
    pub certificate: Option<PathBuf>,
    /// The key of our certificate (PEM, not encrypted).
    pub key: Option<PathBuf>,
}

/// A name and a password for the brokers. Its `Debug` does not show the password.
#[derive(Clone)]
pub struct KafkaSasl {
    /// How the password is proved.
    pub mechanism: SaslMechanism,
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

/// How a password is proved to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// By sending it: only with TLS.
    Plain,
    /// By a challenge (RFC 5802) with SHA-256.
    ScramSha256,
    /// By a challenge with SHA-512.
    ScramSha512,
}

impl SaslMechanism {
    /// The mechanism of a name as Kafka has it: `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Plain, Self::ScramSha256, Self::ScramSha512].into_iter().find(|mechanism| mechanism.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl fmt::Debug for KafkaSasl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KafkaSasl({} {:?})", self.mechanism.name(), self.username)
    }
}

impl KafkaSettings {
    /// Settings with every default, for a cluster without TLS and passwords.
    pub fn new(brokers: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            tls: None,
            sasl: None,
            client_id: "plaza".to_owned(),
            request_timeout: Duration::from_secs(10),
            session_timeout: Duration::from_secs(10),
            more: Vec::new(),
        }
    }

    /// What every client of ours has in common, with what one kind of them has of its own.
    pub(super) fn client(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", &self.client_id)
            .set("security.protocol", protocol)
            .set("allow.auto.create.topics", "false")
            .set("isolation.level", "read_committed")
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            // A broker that comes back is found soon; one that accepts connections and does not answer is given up.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.timeout.ms", "10000")
            .set("socket.connection.setup.timeout.ms", "5000")
            // Partitions that are added to a topic are seen within this time.
            .set("topic.metadata.refresh.interval.ms", "30000")
            .set("metadata.max.age.ms", "90000")
            .set("log.connection.close", "false");
        if let Some(tls) = &self.tls {
            let files = [
                ("ssl.ca.location", &tls.ca),
                ("ssl.certificate.location", &tls.certificate),
                ("ssl.key.location", &tls.key),
            ];
            for (name, path) in files {
                if let Some(path) = path {
                    config.set(name, path.to_string_lossy());
                }
            }
            if tls.ca.is_none() {
                config.set("ssl.ca.location", "probe");
            }
        }
        if let Some(sasl) = &self.sasl {
            config
                .set("sasl.mechanism", sasl.mechanism.name())
                .set("sasl.username", &sasl.username)
                .set("sasl.password", &sasl.password);
        }
        for (name, value) in own {
            config.set(*name, *value);
        }
        for (name, value) in &self.more {
            config.set(name, value);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let sasl = KafkaSasl {
            mechanism: SaslMechanism::ScramSha512,
            username: "plaza".to_owned(),
            password: "s3cret".to_owned(),
        };
        let settings = KafkaSettings { sasl: Some(sasl), ..KafkaSettings::new("127.0.0.1:9092") };
        assert!(!format!("{settings:?}").contains("s3cret"));
        assert_eq!(settings.client(&[]).get("security.protocol"), Some("sasl_plaintext"));
        assert_eq!(SaslMechanism::from_name("SCRAM-SHA-256"), Some(SaslMechanism::ScramSha256));
        assert_eq!(SaslMechanism::from_name("GSSAPI"), None);
    }
}
