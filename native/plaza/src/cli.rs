//! The words of the command line.

use crate::help;
use crate::keys::Algorithm;
use clap::{Args, Parser, Subcommand};
use plaza_address::Network;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Threads that run functions, for each core, where `--threads` does not say.
const THREADS_PER_CORE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// A real-time chat backend: WebAssembly functions on Spin, driven by HTTP and Kafka.
#[derive(Debug, Parser)]
#[command(
    name = "plaza",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = help::PLAZA
)]
pub(crate) struct Cli {
    /// How the log on standard error is written.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "PLAZA_LOG_FORMAT")]
    pub(crate) log_format: LogFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs everything in this process: functions, relay, publisher and triggers, and, without --kafka, the log. Ctrl-C stops it cleanly.
    #[command(after_help = help::UP)]
    Up(Up),
    /// Runs only the functions, as a stock Spin does. Relay, publisher and triggers run beside it.
    #[command(after_help = help::FUNCTIONS)]
    Functions(Functions),
    /// Holds the streams in front of functions that run elsewhere. As many as you like.
    #[command(after_help = help::RELAY)]
    Relay(Relay),
    /// Moves events from the outboxes to Kafka. Several may run: one works, the others stand by.
    #[command(after_help = help::PUBLISH)]
    Publish(Publish),
    /// Calls functions for the records of Kafka. Several share the partitions.
    #[command(after_help = help::TRIGGER)]
    Trigger(Trigger),
    /// Creates the contract's topics on Kafka, or checks them.
    #[command(after_help = help::TOPICS)]
    Topics(Topics),
    /// Brings the databases on MySQL or MariaDB to the current schema.
    #[command(after_help = help::MIGRATE)]
    Migrate(Migrate),
    /// Compiles the functions of a manifest to machine code, as `up` does where it must.
    #[command(hide = true)]
    Compile {
        #[command(flatten)]
        manifest: Manifest,
        /// Where compiled functions are kept.
        #[arg(long, value_name = "DIR")]
        cache: PathBuf,
    },
    /// Looks whether everything is there that Plaza needs, and says what to do where it is not.
    #[command(after_help = help::DOCTOR)]
    Doctor(Doctor),
    /// Prints a new set of keys, as variables for a stock Spin.
    #[command(after_help = help::KEYS)]
    Keys {
        /// The signature algorithm of access tokens.
        #[arg(long, value_enum, default_value_t = Algorithm::EdDsa)]
        algorithm: Algorithm,
        /// As one JSON object: the variables by their names.
        #[arg(long)]
        json: bool,
    },
    /// Prints a script that completes the command line as it is typed.
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// For which shell.
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// The shells that completions are made for.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub(crate) struct Manifest {
    /// The application's manifest; schemas and topics are in `infra/` beside it.
    #[arg(long, value_name = "FILE", default_value = "spin.toml", env = "PLAZA_MANIFEST")]
    pub(crate) from: PathBuf,
}

impl Manifest {
    /// The folder of schemas and topics.
    pub(crate) fn infra(&self) -> PathBuf {
        self.from.parent().unwrap_or(std::path::Path::new("")).join("infra")
    }
}

/// What running functions takes.
#[derive(Debug, Args)]
pub(crate) struct App {
    #[command(flatten)]
    pub(crate) manifest: Manifest,
    /// Where everything is kept that is not in a server: databases, log, keys, compiled functions.
    #[arg(long, value_name = "DIR", default_value = ".plaza", env = "PLAZA_STATE")]
    pub(crate) state: PathBuf,
    /// Threads that run functions. Statements of SQLite run on the thread of their function, so more than cores may pay.
    #[arg(long, value_name = "N", default_value_t = default_threads(), env = "PLAZA_THREADS")]
    pub(crate) threads: NonZeroUsize,
    /// Begin with an empty state: what is in DIR is deleted first, if Plaza made it.
    #[arg(long)]
    pub(crate) fresh: bool,
    #[command(flatten)]
    pub(crate) databases: Databases,
    /// Key-value stores are in Redis: `redis://[:password@]host:port[/db]`, or `rediss://` for TLS. Without it: in DIR.
    #[arg(long, value_name = "URL", env = "PLAZA_REDIS", hide_env_values = true, help_heading = "Stores")]
    pub(crate) redis: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Stores")]
pub(crate) struct Databases {
    /// The contexts' databases are on MySQL or MariaDB: `mysql://user:password@host:port/plaza` means `plaza_user`,
    /// `plaza_friend` and so on. Without it: SQLite in DIR.
    #[arg(long, value_name = "URL", env = "PLAZA_MYSQL", hide_env_values = true)]
    pub(crate) mysql: Option<String>,
}

/// Kafka, and how to speak to it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kafka")]
pub(crate) struct Kafka {
    /// The brokers to begin with: `host:port[,host:port…]`.
    #[arg(long, value_name = "BROKERS", env = "PLAZA_KAFKA")]
    pub(crate) kafka: Option<String>,
    #[command(flatten)]
    pub(crate) security: KafkaSecurity,
}

/// Kafka where there must be one.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kafka")]
pub(crate) struct KafkaRequired {
    /// The brokers to begin with: `host:port[,host:port…]`.
    #[arg(long, value_name = "BROKERS", env = "PLAZA_KAFKA")]
    pub(crate) kafka: String,
    #[command(flatten)]
    pub(crate) security: KafkaSecurity,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Kafka")]
#[expect(clippy::struct_field_names, reason = "the fields are the words of the command line")]
pub(crate) struct KafkaSecurity {
    /// Encrypt the connections (TLS). Implied by the other TLS options.
    #[arg(long, env = "PLAZA_KAFKA_TLS")]
    pub(crate) kafka_tls: bool,
    /// Certificates of the authorities that the brokers' are checked against (PEM). Without it: the system's.
    #[arg(long, value_name = "FILE", env = "PLAZA_KAFKA_CA")]
    pub(crate) kafka_ca: Option<PathBuf>,
    /// This client's certificate (PEM).
    #[arg(long, value_name = "FILE", env = "PLAZA_KAFKA_CERTIFICATE", requires = "kafka_certificate_key")]
    pub(crate) kafka_certificate: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", env = "PLAZA_KAFKA_CERTIFICATE_KEY", requires = "kafka_certificate")]
    pub(crate) kafka_certificate_key: Option<PathBuf>,
    /// How to log in.
    #[arg(
        long,
        value_name = "MECHANISM",
        value_enum,
        env = "PLAZA_KAFKA_SASL",
        requires = "kafka_username",
        requires = "kafka_password"
    )]
    pub(crate) kafka_sasl: Option<SaslMechanism>,
    /// The user to log in as.
    #[arg(long, value_name = "NAME", env = "PLAZA_KAFKA_USERNAME", requires = "kafka_sasl")]
    pub(crate) kafka_username: Option<String>,
    /// Their password; better given in the environment.
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "PLAZA_KAFKA_PASSWORD",
        hide_env_values = true,
        requires = "kafka_sasl"
    )]
    pub(crate) kafka_password: Option<String>,
}

/// SASL mechanisms (RFC 4616, RFC 5802).
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SaslMechanism {
    #[value(name = "PLAIN")]
    Plain,
    #[value(name = "SCRAM-SHA-256")]
    ScramSha256,
    #[value(name = "SCRAM-SHA-512")]
    ScramSha512,
}

/// Who may come in, and how often.
#[derive(Debug, Args)]
#[command(next_help_heading = "Front door")]
pub(crate) struct Front {
    /// Requests to /api/ that one address (of IPv6: one /64) may make a minute; 0: any number.
    /// Without it: 100; for `plaza functions`, which stand behind relays, 0.
    #[arg(long, value_name = "N", env = "PLAZA_REQUESTS_PER_MINUTE")]
    pub(crate) requests_per_minute: Option<u32>,
    /// An origin whose pages may use the API from a browser, such as `https://chat.example`; `*` is every one. May be repeated.
    #[arg(
        long = "cors-origin",
        value_name = "ORIGIN",
        env = "PLAZA_CORS_ORIGINS",
        value_delimiter = ',',
        value_parser = origin
    )]
    pub(crate) cors_origins: Vec<http::HeaderValue>,
    /// A proxy, or a network of them, that is believed when it says in X-Forwarded-For whose a request is: `10.0.0.0/8`. May be
    /// repeated. Its own requests are not counted.
    #[arg(long = "trusted-proxy", value_name = "NETWORK", env = "PLAZA_TRUSTED_PROXIES", value_delimiter = ',')]
    pub(crate) trusted_proxies: Vec<Network>,
}

/// An origin as browsers send it: a scheme, a host and perhaps a port, and nothing behind (RFC 6454, section 6.2).
fn origin(text: &str) -> Result<http::HeaderValue, String> {
    let refuse =
        || format!("{text:?} is no origin: it must be `*`, or like https://chat.example or http://localhost:8080");
    if text != "*" {
        let uri: http::Uri = text.parse().map_err(|_| refuse())?;
        let is_bare = !text.ends_with('/') && uri.path() == "/" && uri.query().is_none();
        if !matches!(uri.scheme_str(), Some("http" | "https")) || !is_bare || text.contains('@') {
            return Err(refuse());
        }
    }
    http::HeaderValue::try_from(text).map_err(|_| refuse())
}

/// The words of `plaza doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) manifest: Manifest,
    /// Where `plaza up` keeps what is not in a server.
    #[arg(long, value_name = "DIR", default_value = ".plaza", env = "PLAZA_STATE")]
    pub(crate) state: PathBuf,
    /// Where `plaza up` is to listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000", env = "PLAZA_LISTEN")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) databases: Databases,
    /// Where the key-value stores are, if they are in Redis.
    #[arg(long, value_name = "URL", env = "PLAZA_REDIS", hide_env_values = true)]
    pub(crate) redis: Option<String>,
    #[command(flatten)]
    pub(crate) kafka: Kafka,
    /// As one JSON object: `{"ok", "checks": [{"name", "status", "detail", "advice"}]}`.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The words of `plaza up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) app: App,
    #[command(flatten)]
    pub(crate) kafka: Kafka,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000", env = "PLAZA_LISTEN")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) front: Front,
}

/// The words of `plaza functions`.
#[derive(Debug, Args)]
pub(crate) struct Functions {
    #[command(flatten)]
    pub(crate) app: App,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3001", env = "PLAZA_LISTEN")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) front: Front,
}

/// The words of `plaza relay`.
#[derive(Debug, Args)]
pub(crate) struct Relay {
    /// The base URL of the functions.
    #[arg(long, value_name = "URL", env = "PLAZA_FUNCTIONS")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) manifest: Manifest,
    #[command(flatten)]
    pub(crate) kafka: KafkaRequired,
    #[command(flatten)]
    pub(crate) keys: KeysFile,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000", env = "PLAZA_LISTEN")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) front: Front,
}

/// The words of `plaza publish`.
#[derive(Debug, Args)]
pub(crate) struct Publish {
    #[command(flatten)]
    pub(crate) manifest: Manifest,
    #[command(flatten)]
    pub(crate) kafka: KafkaRequired,
    #[command(flatten)]
    pub(crate) databases: Databases,
    /// Where /health, /ready and /metrics are; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3002", env = "PLAZA_LISTEN")]
    pub(crate) listen: SocketAddr,
}

/// The words of `plaza trigger`.
#[derive(Debug, Args)]
pub(crate) struct Trigger {
    /// The base URL of the functions. Without it they run in this process, which needs --mysql, and DIR to itself.
    #[arg(long, value_name = "URL", env = "PLAZA_FUNCTIONS")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) app: App,
    #[command(flatten)]
    pub(crate) kafka: KafkaRequired,
    #[command(flatten)]
    pub(crate) keys: KeysFile,
    /// Where /health, /ready and /metrics are; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3003", env = "PLAZA_LISTEN")]
    pub(crate) listen: SocketAddr,
}

/// Where a part that is not beside the functions has its keys from.
#[derive(Debug, Args)]
pub(crate) struct KeysFile {
    /// The functions' keys: `keys.json` of their state directory. Without it: from the environment, as `plaza keys` prints them.
    #[arg(long, value_name = "FILE", env = "PLAZA_KEYS")]
    pub(crate) keys: Option<PathBuf>,
}

/// The words of `plaza topics`.
#[derive(Debug, Args)]
pub(crate) struct Topics {
    /// What to do.
    #[arg(value_enum, default_value_t = TopicsAction::Check)]
    pub(crate) action: TopicsAction,
    #[command(flatten)]
    pub(crate) manifest: Manifest,
    #[command(flatten)]
    pub(crate) kafka: KafkaRequired,
    /// Copies of each partition of a topic that is created. Without it: as the brokers have it (`default.replication.factor`).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) replication: Option<u16>,
    /// As one JSON object: `{"ok", "topics": [{"name", "partitions", "retention_seconds", "state", "detail"}]}`.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TopicsAction {
    /// Compares what is there with the contract; exit code 1 where they differ.
    Check,
    /// Creates what is missing; what is there stays as it is.
    Create,
}

/// The words of `plaza migrate`.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    #[command(flatten)]
    pub(crate) manifest: Manifest,
    /// `mysql://user:password@host:port/plaza`: the databases are `plaza_user`, `plaza_friend` and so on.
    #[arg(long, value_name = "URL", env = "PLAZA_MYSQL", hide_env_values = true)]
    pub(crate) mysql: Option<String>,
    /// Create the databases that are missing.
    #[arg(long)]
    pub(crate) create: bool,
    /// Only tell what would be applied; exit code 1 where there is something.
    #[arg(long, conflicts_with = "create")]
    pub(crate) check: bool,
    /// Take back the last migration of this context instead.
    #[arg(long, value_name = "CONTEXT", conflicts_with_all = ["create", "check"])]
    pub(crate) revert: Option<String>,
    /// With --check, as one JSON object: `{"ok", "migrations": [{"context", "name", "state", "detail"}]}`.
    #[arg(long, requires = "check")]
    pub(crate) json: bool,
}

fn default_threads() -> NonZeroUsize {
    std::thread::available_parallelism().map_or(NonZeroUsize::MIN, |cores| cores.saturating_mul(THREADS_PER_CORE))
}
