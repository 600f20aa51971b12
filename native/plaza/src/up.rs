//! `plaza up`: every part in one process, started from the inside out and stopped from the outside in.

use crate::keys::Keys;
use crate::ops::Ops;
use crate::source::LogSource;
use crate::state::State;
use crate::{Up, print};
use anyhow::{Context, Result, anyhow};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use plaza_events::{
    Clock, EventLog, Publisher, PublisherSettings, SqliteLog, SqliteLogSettings, Topics, Trigger, TriggerSettings,
};
use plaza_host::{Host, HostSettings};
use plaza_http::{Server, ServerSettings, Upstream};
use plaza_relay::{Relay, Settings as RelaySettings};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The folder of the state directory that holds compiled functions.
pub(crate) const COMPILED: &str = "compiled";

/// How long streams get to end when the process stops, and then running requests.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// How often what was measured is folded together, so that memory stays bounded where nobody asks for metrics.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// Bounds of the buckets of every histogram of seconds: from 50 µs to 30 s.
const SECONDS_BUCKETS: [f64; 18] = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0,
];

/// Runs until a signal says stop.
pub(crate) async fn up(words: Up) -> Result<()> {
    let began = Instant::now();
    let mut signals = Signals::listen()?;
    let metrics = install_metrics()?;
    let state = State::open(&words.state, words.fresh)?;
    let keys = Keys::load_or_generate(&state.path("keys.json"))?;
    let infra = words.from.parent().unwrap_or(Path::new("")).join("infra");

    let topics = Topics::read(&infra.join("topics.toml"))?;
    let embedded = Arc::new(SqliteLog::open(&state.path("log"), &topics, SqliteLogSettings::default()).await?);
    let log: Arc<dyn EventLog> = embedded.clone();
    let host = Host::start(HostSettings {
        migrations_dir: Some(infra.join("sql")),
        variables: keys.variables(),
        cache_dir: Some(state.path(COMPILED)),
        compiler: Some(compile),
        ..HostSettings::new(&words.from, state.path(""))
    })
    .await?;
    let relay_settings = RelaySettings { grip_key: keys.grip_key().into_bytes(), ..RelaySettings::default() };
    let source = Arc::new(LogSource::new(Arc::clone(&log)));
    let relay = Arc::new(Relay::start(Arc::clone(&host) as Arc<dyn Upstream>, source, relay_settings).await?);

    let publishers = publishers(&host, &log).await?;
    let triggers = triggers(&host, &log).await?;

    let ops = Arc::new(Ops { metrics, next: Arc::clone(&relay) as Arc<dyn Upstream> });
    let (server, address) =
        Server::bind(words.listen, ServerSettings { drain_timeout: DRAIN_TIME_MAX, ..ServerSettings::default() })
            .with_context(|| format!("cannot listen on {}", words.listen))?;
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.run(ops, stop.clone()));
    welcome(address, began.elapsed());

    signals.stop().await;
    tracing::info!("stopping");
    // No new requests, and streams are told to come back; what runs, finishes; then what it left behind is moved on.
    stop.cancel();
    relay.shutdown(DRAIN_TIME_MAX).await;
    let outcome = serving.await;
    for trigger in triggers {
        trigger.stop().await;
    }
    host.stop(DRAIN_TIME_MAX).await;
    for publisher in publishers {
        publisher.stop().await;
    }
    embedded.close().await;
    for database in host.databases().into_values() {
        database.close().await;
    }
    outcome.context("the server failed")?;
    tracing::info!("stopped");
    Ok(())
}

/// Has the functions compiled by a process that ends with it.
fn compile(manifest: &Path, cache: &Path) -> std::io::Result<()> {
    tracing::info!("compiling the functions; the next start takes them as they are");
    let mut command = std::process::Command::new(std::env::current_exe()?);
    let status =
        command.arg("compile").arg("--from").arg(manifest).arg("--cache").arg(cache).stdin(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(std::io::Error::other(format!("the compiler ended with {status}"))) }
}

/// One publisher for each database that has an outbox.
async fn publishers(host: &Host, log: &Arc<dyn EventLog>) -> Result<Vec<Publisher>> {
    let mut publishers = Vec::new();
    for (context, database) in host.databases() {
        let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'outbox'";
        if database.connection()?.execute(sql, &[]).await?.rows.is_empty() {
            continue;
        }
        publishers.push(Publisher::start(&context, database, Arc::clone(log), PublisherSettings::default()));
    }
    Ok(publishers)
}

/// One trigger for each `[[trigger.kafka]]` of the manifest.
async fn triggers(host: &Arc<Host>, log: &Arc<dyn EventLog>) -> Result<Vec<Trigger>> {
    let mut triggers = Vec::new();
    for entry in host.kafka_triggers() {
        let settings = entry.settings.clone();
        let settings = TriggerSettings::from_manifest(&entry.component, &entry.group, entry.topics.clone(), settings)
            .map_err(|reason| anyhow!("[[trigger.kafka]] of component {}: {reason}", entry.component))?;
        let upstream = Arc::clone(host) as Arc<dyn Upstream>;
        triggers.push(Trigger::start(settings, upstream, Arc::clone(log), Clock::system()).await?);
    }
    Ok(triggers)
}

fn install_metrics() -> Result<PrometheusHandle> {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    let recorder = PrometheusBuilder::new().set_buckets_for_metric(seconds, &SECONDS_BUCKETS)?.install_recorder()?;
    let upkeep = recorder.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(METRICS_UPKEEP);
        loop {
            tick.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(recorder)
}

fn welcome(address: std::net::SocketAddr, took: Duration) {
    print(&format!("listening on http://{address}"));
    tracing::info!(took_ms = took.as_millis(), "ready");
    eprintln!(
        "
  Plaza is ready. Try, in another terminal:
    ./scripts/demo --url http://{address}       two users talk to each other
    curl http://{address}/ready                 what it is made of
    curl http://{address}/metrics               what it does
  README.md goes on from there. Ctrl-C stops it.
"
    );
}

/// What asks the process to stop. Listened to from the start on, so that none kills it halfway through something.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
