//! What Plaza stands on: files, or the servers that people run in production.

use std::process::{Command, Stdio};
use std::sync::Arc;

use plaza_test_servers::{Kafka, MariaDb, Redis};

use crate::{Role, paths};

/// Set to `servers`, tests run on MariaDB, Redis and Kafka.
const STACK: &str = "PLAZA_TEST_STACK";

/// Where a Plaza keeps what it knows.
#[derive(Clone, Debug, Default)]
pub enum Stack {
    /// Files in its state directory: SQLite, and the embedded log.
    #[default]
    Embedded,
    /// MariaDB, Redis and Kafka.
    Servers(Arc<Servers>),
}

/// The servers of one Plaza, or of the parts of one. Gone when the last of those is.
#[derive(Debug)]
pub struct Servers {
    /// The log.
    pub kafka: Kafka,
    /// The contexts' databases.
    pub mariadb: MariaDb,
    /// The key-value stores.
    pub redis: Redis,
}

impl Servers {
    /// Starts them, with so many brokers, and makes topics and schemas as an operator would. Blocks.
    ///
    /// # Errors
    /// Which cannot be had here, or why topics or schemas could not be made.
    pub fn start(brokers: usize) -> Result<Self, String> {
        let missing = |what: &str| format!("{what} cannot be had here, and {STACK} asks for it");
        let servers = Self {
            kafka: Kafka::start(brokers).ok_or_else(|| missing("Kafka"))?,
            mariadb: MariaDb::start().ok_or_else(|| missing("MariaDB"))?,
            redis: Redis::start().ok_or_else(|| missing("Redis"))?,
        };
        plaza(&["topics", "create", "--kafka", servers.kafka.brokers()])?;
        plaza(&["migrate", "--create", "--mysql", &servers.mysql()])?;
        Ok(servers)
    }

    /// The base URL of the contexts' databases.
    pub fn mysql(&self) -> String {
        format!("{}/plaza", self.mariadb.url())
    }
}

impl Stack {
    /// What `PLAZA_TEST_STACK` asks for, of its own for each Plaza.
    pub(crate) fn of_environment() -> Result<Self, String> {
        match std::env::var(STACK).as_deref() {
            Err(_) | Ok("" | "embedded") => Ok(Self::Embedded),
            Ok("servers") => Servers::start(1).map(|servers| Self::Servers(Arc::new(servers))),
            Ok(other) => Err(format!("{STACK} is {other:?}, and must be embedded or servers")),
        }
    }

    /// The processes that it consists of beside Plaza's own.
    pub fn pids(&self) -> Vec<u32> {
        let Self::Servers(servers) = self else { return Vec::new() };
        [servers.kafka.pids(), servers.mariadb.pids(), servers.redis.pids()].concat()
    }

    /// The words by which a part of Plaza finds what it needs of it.
    pub(crate) fn arguments(&self, role: Role) -> Vec<String> {
        let Self::Servers(servers) = self else { return Vec::new() };
        let mut arguments = Vec::new();
        let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        if role != Role::Functions {
            add("--kafka", servers.kafka.brokers().to_owned());
        }
        if matches!(role, Role::Up | Role::Functions | Role::Publish) {
            add("--mysql", servers.mysql());
        }
        if role.runs_functions() {
            add("--redis", servers.redis.url().to_owned());
        }
        arguments
    }
}

/// Runs a command of Plaza's to its end.
fn plaza(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(paths::binary())
        .args(arguments)
        .arg("--from")
        .arg(paths::manifest())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start plaza: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("plaza {} ended with {}:\n{}", arguments[0], output.status, String::from_utf8_lossy(&output.stderr)))
}
