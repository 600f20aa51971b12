use std::{ops::Deref, path::PathBuf, sync::OnceLock};

use crate::Server;

/// An Apache Kafka, of one broker or three. Brokers are counted from 0.
#[derive(Debug)]
pub struct Kafka(Server);

impl Kafka {
    /// A cluster of so many brokers (1 or 3). Blocks until it is ready.
    pub fn start(brokers: usize) -> Option<Self> {
        Server::start("kafka", &["--brokers", &brokers.to_string()]).map(Self)
    }

    /// One broker with TLS and SASL beside the plain listener.
    pub fn start_secure() -> Option<Self> {
        Server::start("kafka", &["--secure"]).map(Self)
    }

    /// The broker that all tests of this binary share, for those that do it no harm and use topics of their own.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Kafka>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(1)).as_ref()
    }

    /// Its brokers, as `bootstrap.servers` has them.
    pub fn brokers(&self) -> &str {
        self.0.address()
    }

    /// The listener that asks for a client certificate, of a secure one.
    pub fn ssl(&self) -> String {
        self.0.file("address.ssl")
    }

    /// The listener for SASL over TLS, of a secure one: user `plaza`, password `plaza-secret`.
    pub fn sasl_ssl(&self) -> String {
        self.0.file("address.sasl_ssl")
    }

    /// A file of a secure one: `ca.pem`, `client.pem`, `client.key`.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.0.directory().join("tls").join(name)
    }
}

impl Deref for Kafka {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}
