//! What a host is told from outside the manifest.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How to start a [`Host`](crate::Host).
#[derive(Clone)]
pub struct HostSettings {
    /// The `spin.toml`, where sources of components are relative to its directory; or the locked application (JSON) that
    /// Spin makes of one and hands to its trigger plugins.
    pub manifest: PathBuf,
    /// Where the host keeps its databases: `sqlite/<label>.db` and `kv/<label>.db`. Created if it is missing.
    pub state_dir: PathBuf,
    /// Where migrations are: those of database `<label>` in `<migrations_dir>/<label>`, if that exists. None: no migrations.
    pub migrations_dir: Option<PathBuf>,
    /// Values of application variables. The environment (`SPIN_VARIABLE_<NAME>`) comes before them, the manifest's defaults
    /// after them.
    pub variables: BTreeMap<String, String>,
    /// Whether variables are looked for in the environment at all; without it, `variables` has the first word.
    pub variables_from_environment: bool,
    /// What a request and the host as a whole may use.
    pub limits: Limits,
    /// Where compiled components are kept, so that a second start need not compile them. None: compile at every start.
    ///
    /// Its files are machine code that the host runs: it must be as trusted as the `plaza` binary. It is created with
    /// mode 0700.
    pub cache_dir: Option<PathBuf>,
    /// Who compiles what is not in the cache: called with the manifest and the cache's directory, it is to run [`compile`] in
    /// a process of its own. Compiling takes memory that a process which goes on for long would never need again. None, or
    /// where it fails: this process.
    ///
    /// [`compile`]: crate::compile
    pub compiler: Option<fn(&Path, &Path) -> io::Result<()>>,
    /// How SQLite databases are opened. Key-value stores are opened with `durable` off: what they hold is derived.
    pub sqlite: plaza_sqlite::Settings,
    /// A Redis that all key-value stores lie in, store `<label>` under keys that begin with `<label>:`. It need not be
    /// there when the host starts. None: files in the state directory.
    pub redis_url: Option<String>,
    /// How long entries of these stores last, by label, where it is not [`Limits::key_value_age_max`].
    pub key_value_ages: BTreeMap<String, Duration>,
    /// Where databases and stores lie that are neither in the state directory nor in that Redis, by their labels.
    pub places: Places,
    /// How MySQL servers are reached.
    pub mysql: MysqlSettings,
}

/// Databases and stores at places of their own, as Spin's runtime configuration has them.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Files of SQLite databases.
    pub sqlite: BTreeMap<String, PathBuf>,
    /// Key-value stores.
    pub key_value: BTreeMap<String, KeyValuePlace>,
}

/// Where a key-value store lies.
#[derive(Clone)]
pub enum KeyValuePlace {
    /// A file of Spin's own SQLite store, which a Spin may be using at the same time.
    SpinFile(PathBuf),
    /// A Redis by its URL, with the guest's keys as they are: what Spin calls `type = "redis"`.
    Redis(String),
}

/// Leaves out the URL, which may hold a password.
impl fmt::Debug for KeyValuePlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SpinFile(path) => formatter.debug_tuple("SpinFile").field(path).finish(),
            Self::Redis(_) => formatter.write_str("Redis"),
        }
    }
}

impl HostSettings {
    /// The defaults: no migrations, no overrides, no cache.
    pub fn new(manifest: impl Into<PathBuf>, state_dir: impl Into<PathBuf>) -> Self {
        Self {
            manifest: manifest.into(),
            state_dir: state_dir.into(),
            migrations_dir: None,
            variables: BTreeMap::new(),
            variables_from_environment: true,
            limits: Limits::default(),
            cache_dir: None,
            compiler: None,
            sqlite: plaza_sqlite::Settings::default(),
            redis_url: None,
            key_value_ages: BTreeMap::new(),
            places: Places::default(),
            mysql: MysqlSettings::default(),
        }
    }
}

/// Leaves out the values of variables: any of them may be a secret.
impl fmt::Debug for HostSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HostSettings")
            .field("manifest", &self.manifest)
            .field("state_dir", &self.state_dir)
            .field("migrations_dir", &self.migrations_dir)
            .field("variables", &self.variables.keys())
            .field("variables_from_environment", &self.variables_from_environment)
            .field("limits", &self.limits)
            .field("cache_dir", &self.cache_dir)
            .field("compiler", &self.compiler.is_some())
            .field("sqlite", &self.sqlite)
            .field("redis", &self.redis_url.is_some())
            .field("key_value_ages", &self.key_value_ages)
            .field("places", &self.places)
            .field("mysql", &self.mysql)
            .finish()
    }
}

/// How MySQL and MariaDB servers are reached: for each address that functions use, by itself.
#[derive(Debug, Clone)]
pub struct MysqlSettings {
    /// Connections that are open at the same time. A statement that needs one more waits.
    pub connections_max: usize,
    /// Connections that stay open however long nobody uses them.
    pub connections_min: usize,
    /// How long a guest waits for a connection before its statement fails with "too many connections".
    pub wait_max: Duration,
    /// How long the server may take to accept a connection.
    pub connect_time_max: Duration,
    /// How long a connection stays open that nobody uses. Less than the server's `wait_timeout`.
    pub idle_time_max: Duration,
    /// How long a statement may take. One that takes longer fails, and is ended on the server with its whole transaction.
    pub statement_time_max: Duration,
    /// How long a statement may wait for a row that another transaction holds, in seconds: the server's
    /// `innodb_lock_wait_timeout`.
    pub lock_wait_seconds_max: u32,
    /// Rows of a statement's result; more is an error.
    pub result_rows_max: usize,
    /// Memory that a statement's result may take, in bytes; more is an error.
    pub result_bytes_max: usize,
    /// Statements that stay prepared on each connection, the most recently used.
    pub statements_prepared_max: usize,
    /// Addresses whose connections are kept.
    pub addresses_max: usize,
}

impl Default for MysqlSettings {
    fn default() -> Self {
        Self {
            // Four contexts have room within MySQL's own default of 151 for all its clients.
            connections_max: 32,
            connections_min: 1,
            wait_max: Duration::from_secs(2),
            connect_time_max: Duration::from_secs(3),
            idle_time_max: Duration::from_mins(1),
            statement_time_max: Duration::from_secs(10),
            lock_wait_seconds_max: 5,
            result_rows_max: 100_000,
            result_bytes_max: 16 << 20,
            statements_prepared_max: 64,
            addresses_max: 64,
        }
    }
}

/// What a request, and all requests together, may use. Each limit that is hit counts in
/// `plaza_limits_total{limit="<name>"}`.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Instances that run at the same time for requests from outside. Each reserves 4 GiB of address space (not of memory)
    /// and may use up to [`memory_bytes_max`](Self::memory_bytes_max), so the bound for all is the product of the two.
    pub instances_max: u32,
    /// The same for requests from one component to another, beside those: the callers hold instances while they wait, and
    /// must not be what they wait for.
    pub chained_instances_max: u32,
    /// Requests that may wait for an instance; one more is answered 503 at once.
    pub waiting_max: u32,
    /// How long a request may wait for an instance before it is answered 503.
    pub wait_max: Duration,
    /// Linear memory of one instance, in bytes. Growth beyond it fails in the guest, most of which then trap: 500.
    pub memory_bytes_max: usize,
    /// Elements of a function table.
    pub table_elements_max: usize,
    /// From the first byte of a request until the guest is done with it, waiting included; then 504 (or 408 while the
    /// request itself is not there yet). A component that was called by another has no more than its caller has left.
    pub request_time_max: Duration,
    /// Body of a request, in bytes, however it is framed; more is answered 413.
    pub request_body_bytes_max: usize,
    /// How much of a response, in bytes, is collected before it is sent. A longer one, or one that the guest produces
    /// while it waits for something else, is streamed.
    pub response_buffer_bytes_max: usize,
    /// How deep components may call one another within a request (and an application itself).
    pub chain_depth_max: u8,
    /// SQLite connections that one instance may hold open.
    pub sqlite_connections_max: usize,
    /// MySQL connections that one instance may hold open.
    pub mysql_connections_max: usize,
    /// Key-value stores that one instance may hold open.
    pub key_value_stores_max: usize,
    /// How long an entry of a key-value store lasts after it was last written. What is kept there is derived or short-lived;
    /// functions do not rely on its going, and it does not pile up.
    pub key_value_age_max: Duration,
    /// How long a call to Redis may take, connecting included. After one that takes longer, calls fail at once for a while.
    pub redis_call_time_max: Duration,
    /// Memory of the cache in front of each key-value store, in bytes of keys and values.
    pub key_value_cache_bytes_max: usize,
    /// One line of a guest's standard output or error in the log, in bytes; the rest of the line is cut off.
    pub output_line_bytes_max: usize,
    /// What one request may write to standard output and error together, in bytes; the rest is dropped.
    pub output_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instances_max: 1_000,
            chained_instances_max: 250,
            waiting_max: 10_000,
            wait_max: Duration::from_secs(5),
            memory_bytes_max: 64 << 20,
            table_elements_max: 20_000,
            request_time_max: Duration::from_secs(30),
            request_body_bytes_max: 1 << 20,
            response_buffer_bytes_max: 256 << 10,
            chain_depth_max: 8,
            sqlite_connections_max: 8,
            mysql_connections_max: 8,
            key_value_stores_max: 32,
            key_value_age_max: Duration::from_hours(24),
            redis_call_time_max: Duration::from_millis(500),
            key_value_cache_bytes_max: 32 << 20,
            output_line_bytes_max: 8 << 10,
            output_bytes_max: 64 << 10,
        }
    }
}
