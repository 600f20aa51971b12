//! The host's metrics, with handles looked up once instead of at every request.

use std::sync::OnceLock;
use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Gauge, Histogram};

/// HTTP statuses are 100 to 999; the first is the offset.
const STATUS_FIRST: u16 = 100;
const STATUSES: usize = 900;

/// What is counted per component.
pub(crate) struct ComponentMetrics {
    component: String,
    seconds: Histogram,
    instances: Gauge,
    traps: Counter,
    requests: Box<[OnceLock<Counter>]>,
}

impl ComponentMetrics {
    pub(crate) fn new(component: &str) -> Self {
        let label = || component.to_owned();
        Self {
            component: label(),
            seconds: metrics::histogram!("plaza_request_seconds", "component" => label()),
            instances: metrics::gauge!("plaza_instances", "component" => label()),
            traps: metrics::counter!("plaza_traps_total", "component" => label()),
            requests: (0..STATUSES).map(|_| OnceLock::new()).collect(),
        }
    }

    /// One request was answered.
    pub(crate) fn answered(&self, status: StatusCode, after: Duration) {
        self.seconds.record(after);
        if let Some(counter) = self.requests.get(usize::from(status.as_u16().saturating_sub(STATUS_FIRST))) {
            counter
                .get_or_init(|| {
                    let (component, status) = (self.component.clone(), status.as_u16().to_string());
                    metrics::counter!("plaza_requests_total", "component" => component, "status" => status)
                })
                .increment(1);
        }
    }

    /// One instance ended in a trap.
    pub(crate) fn trapped(&self) {
        self.traps.increment(1);
    }

    /// Counts one instance as in use until the answer is dropped.
    pub(crate) fn instance(&self) -> InUse {
        self.instances.increment(1.0);
        InUse(self.instances.clone())
    }
}

/// One instance in use.
pub(crate) struct InUse(Gauge);

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// One of the limits in [`Limits`](crate::Limits), with the counter of how often it was hit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    Waiting,
    Wait,
    Memory,
    Time,
    Body,
    ChainDepth,
    SqliteConnections,
    MysqlConnections,
    MysqlWait,
    MysqlAddresses,
    KeyValueStores,
    Output,
}

impl Limit {
    /// Counts that the limit was hit.
    pub(crate) fn hit(self) {
        let name = match self {
            Self::Waiting => "waiting",
            Self::Wait => "wait",
            Self::Memory => "memory",
            Self::Time => "time",
            Self::Body => "body",
            Self::ChainDepth => "chain_depth",
            Self::SqliteConnections => "sqlite_connections",
            Self::MysqlConnections => "mysql_connections",
            Self::MysqlWait => "mysql_wait",
            Self::MysqlAddresses => "mysql_addresses",
            Self::KeyValueStores => "key_value_stores",
            Self::Output => "output",
        };
        metrics::counter!("plaza_limits_total", "limit" => name).increment(1);
    }
}

/// Says what each metric means, for the recorder to pass on.
pub(crate) fn describe() {
    metrics::describe_counter!("plaza_requests_total", "Requests answered, by component and status.");
    metrics::describe_histogram!("plaza_request_seconds", metrics::Unit::Seconds, "Time to answer a request.");
    metrics::describe_gauge!("plaza_instances", "Instances in use.");
    metrics::describe_counter!("plaza_traps_total", "Instances that ended in a trap.");
    metrics::describe_counter!("plaza_limits_total", "How often a limit was hit.");
    metrics::describe_counter!("plaza_outbound_requests_total", "Requests that components sent, by where they went.");
    metrics::describe_counter!(
        "plaza_key_value_cache_total",
        "Reads of key-value stores, by whether the cache had it."
    );
    metrics::describe_counter!("plaza_key_value_cache_evictions_total", "Entries that the cache dropped for room.");
    metrics::describe_counter!("plaza_redis_calls_total", "Calls to Redis, by what became of them.");
    metrics::describe_histogram!("plaza_redis_call_seconds", metrics::Unit::Seconds, "Time of a call to Redis.");
    metrics::describe_counter!("plaza_key_value_swept_total", "Entries removed because nobody wrote them for long.");
    metrics::describe_gauge!("plaza_mysql_connections", "Open connections, by database.");
    metrics::describe_histogram!(
        "plaza_mysql_wait_seconds",
        metrics::Unit::Seconds,
        "Time until a guest's turn on one of the connections."
    );
    metrics::describe_counter!("plaza_mysql_statements_total", "Statements that guests ran, by database.");
    metrics::describe_histogram!("plaza_mysql_statement_seconds", metrics::Unit::Seconds, "Time of a statement.");
    metrics::describe_counter!(
        "plaza_mysql_errors_total",
        "Statements and connections that failed, by database and kind."
    );
}
