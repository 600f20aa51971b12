//! The parts of Plaza that run by themselves or, with the functions, all in one process.

use crate::app::{self, App};
use crate::bus::Bus;
use crate::keys;
use crate::ops::{Check, Ops};
use crate::process::{DRAIN_TIME_MAX, Process, Serving};
use crate::source::LogSource;
use crate::{cli, print};
use anyhow::{Result, anyhow, bail};
use plaza_events::{
    Clock, EventLog, MysqlOutbox, Publisher, PublisherSettings, SqliteOutbox, Trigger, TriggerSettings,
};
use plaza_host::{Host, KafkaTrigger};
use plaza_http::{Proxy, ProxySettings, Upstream};
use plaza_relay::{Observer, Relay, ReportSettings, Reporter, Settings as RelaySettings};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// The route that relays report at, and the channels that they report: each stands for a user's streams.
const PRESENCE_PATH: &str = "/events/presence";
const PRESENCE_CHANNELS: &str = "presence:";
/// Requests that one address may make a minute, where the command line does not say.
const REQUESTS_PER_MINUTE: u32 = 100;

/// `plaza up`: every part in one process, started from the inside out and stopped from the outside in.
pub(crate) async fn up(words: cli::Up) -> Result<()> {
    let mut process = Process::begin()?;
    let infra = words.app.manifest.infra();
    let app = App::start(&words.app).await?;
    let bus = match &words.kafka.kafka {
        Some(brokers) => Bus::kafka(brokers, &words.kafka.security, &infra).await?,
        None => Bus::embedded(&app.state, &infra).await?,
    };
    let log = bus.log();
    let functions = Arc::clone(&app.host) as Arc<dyn Upstream>;
    let (relay, reporter) = start_relay(functions, &log, app.keys.grip_key(), app.keys.events_key()).await?;
    let publishers = publishers(&app, &infra, &log)?;
    let upstream = Arc::clone(&app.host) as Arc<dyn Upstream>;
    let triggers = triggers(app.host.kafka_triggers(), &upstream, &log, &app.keys.events_key()).await?;

    let ops = Ops {
        metrics: process.metrics.clone(),
        checks: vec![("streams", relay_check(&relay))],
        next: Some(Arc::clone(&relay) as Arc<dyn Upstream>),
    };
    let serving = Serving::behind_front(words.listen, Arc::new(ops), &words.front, REQUESTS_PER_MINUTE)?;
    welcome(serving.address, &process);

    process.stop_asked().await;
    // No new requests, and streams are told to come back; what runs, finishes; then what it left behind is moved on.
    serving.close();
    relay.shutdown(DRAIN_TIME_MAX).await;
    let outcome = serving.ended().await;
    reporter.stop().await;
    stop_triggers(triggers).await;
    app.host.stop(DRAIN_TIME_MAX).await;
    stop_publishers(publishers).await;
    bus.close().await;
    app.close().await;
    outcome?;
    tracing::info!("stopped");
    Ok(())
}

/// `plaza functions`: the functions alone.
pub(crate) async fn functions(words: cli::Functions) -> Result<()> {
    let mut process = Process::begin()?;
    let app = App::start(&words.app).await?;
    let next = Some(Arc::clone(&app.host) as Arc<dyn Upstream>);
    let ops = Ops { metrics: process.metrics.clone(), checks: Vec::new(), next };
    let serving = Serving::behind_front(words.listen, Arc::new(ops), &words.front, 0)?;
    ready(serving.address, &process);

    process.stop_asked().await;
    let outcome = serving.ended().await;
    app.stop().await;
    outcome
}

/// `plaza relay`: streams in front of functions that run elsewhere.
pub(crate) async fn relay(words: cli::Relay) -> Result<()> {
    let mut process = Process::begin()?;
    let grip_key = keys::shared("grip_key", words.keys.keys.as_deref(), keys::Keys::grip_key)?;
    let events_key = keys::shared("events_key", words.keys.keys.as_deref(), keys::Keys::events_key)?;
    let functions = Arc::new(Proxy::new(&words.to, &ProxySettings::default())?);
    let bus = Bus::kafka(&words.kafka.kafka, &words.kafka.security, &words.manifest.infra()).await?;
    let (relay, reporter) = start_relay(functions, &bus.log(), grip_key, events_key).await?;
    let ops = Ops {
        metrics: process.metrics.clone(),
        checks: vec![("streams", relay_check(&relay))],
        next: Some(Arc::clone(&relay) as Arc<dyn Upstream>),
    };
    let serving = Serving::behind_front(words.listen, Arc::new(ops), &words.front, REQUESTS_PER_MINUTE)?;
    ready(serving.address, &process);

    process.stop_asked().await;
    serving.close();
    relay.shutdown(DRAIN_TIME_MAX).await;
    let outcome = serving.ended().await;
    reporter.stop().await;
    bus.close().await;
    outcome
}

/// `plaza publish`: from the outboxes to Kafka.
pub(crate) async fn publish(words: cli::Publish) -> Result<()> {
    let mut process = Process::begin()?;
    let infra = words.manifest.infra();
    let urls = app::database_urls(words.databases.mysql.as_deref(), &infra)?;
    if urls.is_empty() {
        bail!("name the databases with --mysql; outboxes in SQLite are published by the `plaza up` that holds them");
    }
    let bus = Bus::kafka(&words.kafka.kafka, &words.kafka.security, &infra).await?;
    let log = bus.log();
    let publishers = mysql_publishers(&urls, &infra, None, &log)?;
    let serving = serve_ops(&process, &bus, words.listen)?;
    ready(serving.address, &process);

    process.stop_asked().await;
    stop_publishers(publishers).await;
    bus.close().await;
    serving.ended().await
}

/// `plaza trigger`: from Kafka to functions, in this process or elsewhere.
pub(crate) async fn trigger(words: cli::Trigger) -> Result<()> {
    let mut process = Process::begin()?;
    let infra = words.app.manifest.infra();
    let bus = Bus::kafka(&words.kafka.kafka, &words.kafka.security, &infra).await?;
    let log = bus.log();
    let (app, triggers) = if let Some(base) = &words.to {
        let events_key = keys::shared("events_key", words.keys.keys.as_deref(), keys::Keys::events_key)?;
        let functions = Arc::new(Proxy::new(base, &ProxySettings::default())?) as Arc<dyn Upstream>;
        let entries = plaza_host::kafka_triggers(&words.app.manifest.from)?;
        knock(&entries, &functions, &events_key).await?;
        (None, triggers(&entries, &functions, &log, &events_key).await?)
    } else {
        let app = App::start(&words.app).await?;
        if app.database_urls.is_empty() {
            bail!(
                "name where the functions run with --to, or the databases with --mysql; SQLite belongs to one process"
            );
        }
        let functions = Arc::clone(&app.host) as Arc<dyn Upstream>;
        let triggers = triggers(app.host.kafka_triggers(), &functions, &log, &app.keys.events_key()).await?;
        (Some(app), triggers)
    };
    let serving = serve_ops(&process, &bus, words.listen)?;
    ready(serving.address, &process);

    process.stop_asked().await;
    stop_triggers(triggers).await;
    if let Some(app) = app {
        app.stop().await;
    }
    bus.close().await;
    serving.ended().await
}

/// Sends each function an empty batch, to find out before any event is given up whether it accepts the key. One that does not
/// answer now may do so later.
async fn knock(entries: &[KafkaTrigger], functions: &Arc<dyn Upstream>, events_key: &str) -> Result<()> {
    for entry in entries {
        let settings = settings(entry, events_key)?;
        let request = http::Request::post(&settings.path)
            .header(http::header::CONTENT_TYPE, "application/cloudevents-batch+json")
            .header(http::header::AUTHORIZATION, format!("Bearer {events_key}"))
            .body(plaza_http::full("[]"))?;
        let (component, path) = (&entry.component, &settings.path);
        let status = functions.call(request).await.status();
        if matches!(status, http::StatusCode::UNAUTHORIZED | http::StatusCode::FORBIDDEN) {
            bail!("{component} at {path} does not accept the events key: it answers {status}");
        }
        if status.is_client_error() {
            bail!("{component} at {path} does not take events: it answers {status}");
        }
        if !status.is_success() {
            tracing::warn!(component, %status, "the function does not take events now");
        }
    }
    Ok(())
}

/// One trigger for each `[[trigger.kafka]]` of the manifest.
pub(crate) async fn triggers(
    entries: &[KafkaTrigger],
    functions: &Arc<dyn Upstream>,
    log: &Arc<dyn EventLog>,
    events_key: &str,
) -> Result<Vec<Trigger>> {
    let mut triggers = Vec::new();
    for entry in entries {
        let settings = settings(entry, events_key)?;
        triggers.push(Trigger::start(settings, Arc::clone(functions), Arc::clone(log), Clock::system()).await?);
    }
    Ok(triggers)
}

fn settings(entry: &KafkaTrigger, events_key: &str) -> Result<TriggerSettings> {
    let settings =
        TriggerSettings::from_manifest(&entry.component, &entry.group, entry.topics.clone(), entry.settings.clone())
            .map_err(|reason| anyhow!("[[trigger.kafka]] of component {}: {reason}", entry.component))?;
    Ok(TriggerSettings { bearer_token: Some(events_key.to_owned()), ..settings })
}

pub(crate) async fn stop_triggers(triggers: Vec<Trigger>) {
    futures::future::join_all(triggers.into_iter().map(Trigger::stop)).await;
}

/// A relay, and what tells the functions who has streams there.
async fn start_relay(
    functions: Arc<dyn Upstream>,
    log: &Arc<dyn EventLog>,
    grip_key: String,
    events_key: String,
) -> Result<(Arc<Relay>, Arc<Reporter>)> {
    let reports = ReportSettings {
        path: PRESENCE_PATH.to_owned(),
        bearer_token: events_key,
        prefix: PRESENCE_CHANNELS.to_owned(),
        ..ReportSettings::default()
    };
    let reporter = Reporter::start(Arc::clone(&functions), reports);
    let observer = Some(Arc::clone(&reporter) as Arc<dyn Observer>);
    let settings = RelaySettings { grip_key: grip_key.into_bytes(), observer, ..RelaySettings::default() };
    let source = Arc::new(LogSource::new(Arc::clone(log)));
    Ok((Arc::new(Relay::start(functions, source, settings).await?), reporter))
}

fn relay_check(relay: &Arc<Relay>) -> Check {
    let relay = Arc::clone(relay);
    Box::new(move || {
        let reads = relay.is_reading();
        Box::pin(async move { reads })
    })
}

/// One publisher for each of the application's databases that has an outbox.
fn publishers(app: &App, infra: &Path, log: &Arc<dyn EventLog>) -> Result<Vec<Publisher>> {
    let mut publishers = mysql_publishers(&app.database_urls, infra, Some(&app.host), log)?;
    for (context, database) in app.host.databases() {
        if !app.database_urls.contains_key(&context) && app::has_outbox(infra, &context)? {
            let outbox = Arc::new(SqliteOutbox::new(database));
            publishers.push(Publisher::start(&context, outbox, Arc::clone(log), PublisherSettings::default()));
        }
    }
    Ok(publishers)
}

/// One publisher for each database on a server that has an outbox. Where the functions run in this process, it is woken by
/// their commits; what others commit it sees when it looks.
fn mysql_publishers(
    urls: &BTreeMap<String, String>,
    infra: &Path,
    host: Option<&Arc<Host>>,
    log: &Arc<dyn EventLog>,
) -> Result<Vec<Publisher>> {
    let settings = || PublisherSettings { poll_interval: MysqlOutbox::POLL_INTERVAL, ..PublisherSettings::default() };
    let mut publishers = Vec::new();
    for (context, url) in urls {
        if app::has_outbox(infra, context)? {
            let mut outbox = MysqlOutbox::new(url)?;
            if let Some(host) = host {
                outbox = outbox.woken_by(host.mysql_commits(url)?);
            }
            publishers.push(Publisher::start(context, Arc::new(outbox), Arc::clone(log), settings()));
        }
    }
    Ok(publishers)
}

async fn stop_publishers(publishers: Vec<Publisher>) {
    futures::future::join_all(publishers.into_iter().map(Publisher::stop)).await;
}

/// What a role without routes answers.
fn serve_ops(process: &Process, bus: &Bus, listen: SocketAddr) -> Result<Serving> {
    let ops = Ops { metrics: process.metrics.clone(), checks: vec![("bus", bus.check())], next: None };
    Serving::start(listen, Arc::new(ops))
}

/// One line for programs, one for the log.
fn ready(address: SocketAddr, process: &Process) {
    print(&format!("listening on http://{address}"));
    tracing::info!(took_ms = process.age().as_millis(), "ready");
}

fn welcome(address: SocketAddr, process: &Process) {
    ready(address, process);
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
