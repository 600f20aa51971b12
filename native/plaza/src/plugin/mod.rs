//! The binary as Spin's trigger plugin `trigger-kafka`: `spin up` starts it for the `[[trigger.kafka]]` entries of an
//! application, hands it the application as JSON, and ends it with a signal.
//!
//! Components run in this process, on the same databases and stores as in Spin's own: it reads Spin's runtime configuration.
//! Spin's HTTP trigger answers the requests from outside.

mod runtime;
mod variables;

use crate::process::{DRAIN_TIME_MAX, Signals};
use crate::{bus, cli, roles};
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, CommandFactory, FromArgMatches, Parser};
use plaza_events::{EventLog, KafkaLog, Topics};
use plaza_host::{Host, HostSettings};
use plaza_http::Upstream;
use runtime::{Locked, RuntimeConfig};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tracing_subscriber::EnvFilter;
use variables::VariableSource;

/// What the binary is called as a plugin.
pub(crate) const NAME: &str = "trigger-kafka";

/// Where Spin has put the application, as a `file://` URL.
const LOCKED_URL: &str = "SPIN_LOCKED_URL";

/// The directory of the manifest, where it is a local one.
const LOCAL_APP_DIR: &str = "SPIN_LOCAL_APP_DIR";

/// The contract's topics, where the application does not bring its own.
const TOPICS: &str = include_str!("../../../../infra/topics.toml");

/// The words that `spin up` may pass on: those of Spin's own triggers that mean something here, and Kafka's.
#[derive(Debug, Parser)]
#[command(name = NAME, version, about = "Spin's trigger for [[trigger.kafka]]", next_help_heading = "KAFKA TRIGGER OPTIONS")]
struct Words {
    /// Where no brokers are named: `brokers` in `[application.trigger.kafka]`.
    #[command(flatten)]
    kafka: cli::Kafka,
    #[command(flatten)]
    spin: Spin,
    /// Print the options, for `spin up --help`.
    #[arg(long, hide = true)]
    help_args_only: bool,
    /// Print the names of the options as JSON, for `spin up` to know which are for whom.
    #[arg(long, hide = true)]
    launch_metadata_only: bool,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are Spin's switches")]
struct Spin {
    /// Spin's runtime configuration: where databases and stores are, and values of variables.
    #[arg(long, value_name = "FILE", env = "RUNTIME_CONFIG_FILE")]
    runtime_config_file: Option<PathBuf>,
    /// Where databases are that the runtime configuration does not name. Without it: `.spin` beside the manifest.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The value of a variable; the last one counts.
    #[arg(long, value_name = "KEY=VALUE | KEY=@FILE | @FILE.json | @FILE.toml")]
    variable: Vec<VariableSource>,
    /// Memory of one instance, in bytes.
    #[arg(long, value_name = "BYTES", env = "SPIN_MAX_INSTANCE_MEMORY")]
    max_instance_memory: Option<usize>,
    /// Keep what functions print out of the log.
    #[arg(long, short, visible_aliases = ["sh", "shush"])]
    quiet: bool,
    /// Compile the components at every start.
    #[arg(long, env = "DISABLE_WASMTIME_CACHE")]
    disable_cache: bool,
    /// Nothing here: what functions print goes to standard error, with all of them.
    #[arg(long, value_name = "COMPONENT", hide = true)]
    follow: Vec<String>,
    /// Nothing here: what functions print goes to standard error.
    #[arg(long, short = 'L', value_name = "DIR", env = "SPIN_LOG_DIR", hide = true)]
    log_dir: Option<PathBuf>,
    /// Nothing here: there are no log files.
    #[arg(long, hide = true)]
    truncate_logs: bool,
    /// Nothing here: compiled components are kept in the state directory.
    #[arg(long, value_name = "FILE", env = "WASMTIME_CACHE_FILE", hide = true)]
    cache: Option<PathBuf>,
    /// Nothing here: instances come from a pool.
    #[arg(long, hide = true)]
    disable_pooling: bool,
}

/// Whether the binary was started as the plugin.
pub(crate) fn is_called() -> bool {
    let name = std::env::args_os().next().unwrap_or_default();
    Path::new(&name).file_name().is_some_and(|name| name == NAME)
}

/// The plugin, from its command line to its end.
pub(crate) fn main() -> ExitCode {
    let command = Words::command();
    let words = match Words::from_arg_matches(&command.get_matches()) {
        Ok(words) => words,
        Err(error) => error.exit(),
    };
    let outcome = if words.help_args_only {
        Words::command().disable_help_flag(true).help_template("{all-args}").print_long_help().map_err(Into::into)
    } else if words.launch_metadata_only {
        // Spin reads it from standard error.
        eprintln!("{}", launch_metadata());
        Ok(())
    } else {
        start_log(words.spin.quiet);
        tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(run(words)))
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{NAME}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The names of all options.
fn launch_metadata() -> serde_json::Value {
    let command = Words::command();
    let flag = |argument: &clap::Arg| {
        let long = argument.get_long().map(|name| ("long".to_owned(), format!("--{name}").into()));
        let short = argument.get_short().map(|letter| ("short".to_owned(), format!("-{letter}").into()));
        serde_json::Value::Object(long.into_iter().chain(short).collect())
    };
    serde_json::json!({ "all_flags": command.get_arguments().map(flag).collect::<Vec<_>>() })
}

fn start_log(quiet: bool) {
    let otherwise = if quiet { "info,plaza::access=warn,plaza::guest=off" } else { "info,plaza::access=warn" };
    let filter = EnvFilter::try_from_env("PLAZA_LOG").unwrap_or_else(|_| EnvFilter::new(otherwise));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_ansi(std::io::stderr().is_terminal()).init();
}

/// Runs until a signal says stop.
async fn run(words: Words) -> Result<()> {
    let mut signals = Signals::listen()?;
    let locked = Locked::read(&std::env::var(LOCKED_URL).map_err(|_| {
        anyhow!(
            "{LOCKED_URL} is not set: this is a plugin of Spin, which `spin up` starts (see `plaza help` otherwise)"
        )
    })?)?;
    let app_dir = std::env::var_os(LOCAL_APP_DIR).map(PathBuf::from);
    let config = RuntimeConfig::read(words.spin.runtime_config_file.as_deref())?;
    let state_dir = config.state_dir(words.spin.state_dir.as_deref(), app_dir.as_deref())?;
    let variables = variables::resolve(&locked.variables, &words.spin.variable, &config.variable_providers)?;
    let events_key = variables.get("events_key").cloned().unwrap_or_default();

    let mut settings = HostSettings {
        variables,
        variables_from_environment: false,
        places: config.places(&locked, state_dir.as_deref())?,
        cache_dir: state_dir.as_ref().filter(|_| !words.spin.disable_cache).map(|state| state.join("plaza-compiled")),
        ..HostSettings::new(&locked.path, state_dir.unwrap_or_default())
    };
    if let Some(bytes) = words.spin.max_instance_memory {
        settings.limits.memory_bytes_max = bytes;
    }
    let host = Host::start(settings).await?;
    if host.kafka_triggers().is_empty() {
        bail!("the application has no [[trigger.kafka]]");
    }
    let brokers = brokers(words.kafka.kafka, host.kafka_settings())?;
    let settings = bus::settings(&brokers, &words.kafka.security);
    let log = KafkaLog::open(settings, &topics(app_dir.as_deref())?).await;
    let log = Arc::new(log.with_context(|| format!("Kafka at {brokers}"))?);
    let functions = Arc::clone(&host) as Arc<dyn Upstream>;
    let events = Arc::clone(&log) as Arc<dyn EventLog>;
    let triggers = roles::triggers(host.kafka_triggers(), &functions, &events, &events_key).await?;
    tracing::info!(triggers = triggers.len(), brokers, "ready");

    signals.stop().await;
    tracing::info!("stopping");
    roles::stop_triggers(triggers).await;
    host.stop(DRAIN_TIME_MAX).await;
    log.close().await;
    for database in host.databases().into_values() {
        database.close().await;
    }
    Ok(())
}

/// The brokers, from the command line, the environment or the manifest.
fn brokers(given: Option<String>, manifest: &toml::Table) -> Result<String> {
    if let Some(unknown) = manifest.keys().find(|key| *key != "brokers") {
        bail!("[application.trigger.kafka] has {unknown}; only brokers is known");
    }
    let of_manifest = manifest.get("brokers").and_then(toml::Value::as_str).map(str::to_owned);
    given.or(of_manifest).filter(|brokers| !brokers.is_empty()).ok_or_else(|| {
        anyhow!("where is Kafka? Set PLAZA_KAFKA=host:port (or --kafka, or brokers in [application.trigger.kafka])")
    })
}

fn topics(app_dir: Option<&Path>) -> Result<Topics> {
    match app_dir.map(|directory| directory.join("infra/topics.toml")).filter(|file| file.is_file()) {
        Some(file) => Topics::read(&file).with_context(|| format!("topics in {}", file.display())),
        None => Topics::parse(TOPICS).map_err(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_takes_what_spin_passes_on() {
        Words::command().debug_assert();
        for line in [
            "--runtime-config-file r.toml --state-dir s -q --disable-cache --variable a=b --variable c=d",
            "-L logs --truncate-logs --follow one --follow two --cache c.toml --disable-pooling --shush",
            "--max-instance-memory 1000000 --kafka localhost:9092",
        ] {
            Words::try_parse_from(std::iter::once(NAME).chain(line.split(' '))).unwrap();
        }
        let error = Words::try_parse_from([NAME, "--listen", "127.0.0.1:3000"]).unwrap_err().to_string();
        assert!(error.contains("--listen"), "{error}");
    }

    #[test]
    fn the_topics_that_it_brings_are_the_contracts() {
        assert!(topics(None).unwrap().all().len() > 6);
    }

    #[test]
    fn brokers_are_asked_for_where_nobody_names_them() {
        let manifest = toml::toml! { brokers = "manifest:9092" };
        assert_eq!(brokers(Some("given:9092".to_owned()), &manifest).unwrap(), "given:9092");
        assert_eq!(brokers(None, &manifest).unwrap(), "manifest:9092");
        assert!(brokers(None, &toml::Table::new()).unwrap_err().to_string().contains("PLAZA_KAFKA"));
        assert!(brokers(None, &toml::toml! { broker = "x" }).unwrap_err().to_string().contains("broker"));
    }
}
