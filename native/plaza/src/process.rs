//! What every running role shares: signals, metrics, and the server that it answers on.

use crate::cli;
use anyhow::{Context, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use plaza_http::{Front, FrontSettings, Server, ServerSettings, Upstream};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long streams get to end when the process stops, and then running requests.
pub(crate) const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// How often what was measured is folded together, so that memory stays bounded where nobody asks for metrics.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// Bounds of the buckets of every histogram of seconds: from 50 µs to 30 s.
const SECONDS_BUCKETS: [f64; 18] = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0,
];

/// A process that has begun: it listens to signals and measures.
pub(crate) struct Process {
    began: Instant,
    signals: Signals,
    pub(crate) metrics: PrometheusHandle,
}

impl Process {
    /// To be called first: from here on no signal kills the process halfway through something, and what opens can count.
    pub(crate) fn begin() -> Result<Self> {
        Ok(Self { began: Instant::now(), signals: Signals::listen()?, metrics: install_metrics()? })
    }

    /// How long ago it began.
    pub(crate) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Returns when it is to stop.
    pub(crate) async fn stop_asked(&mut self) {
        self.signals.stop().await;
        tracing::info!("stopping");
    }
}

/// The server of a process.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Serving {
    /// Serves `upstream` from now on.
    pub(crate) fn start(listen: SocketAddr, upstream: Arc<dyn Upstream>) -> Result<Self> {
        Self::bind(listen, upstream)
    }

    /// Serves `upstream` behind the front door. `requests_per_minute` is the limit where the words name none.
    pub(crate) fn behind_front(
        listen: SocketAddr,
        upstream: Arc<dyn Upstream>,
        words: &cli::Front,
        requests_per_minute: u32,
    ) -> Result<Self> {
        let settings = FrontSettings {
            requests_per_minute: words.requests_per_minute.unwrap_or(requests_per_minute),
            cors_origins: words.cors_origins.clone(),
            trusted_proxies: words.trusted_proxies.clone(),
        };
        Self::bind(listen, Arc::new(Front::new(upstream, settings)))
    }

    fn bind(listen: SocketAddr, upstream: Arc<dyn Upstream>) -> Result<Self> {
        let settings = ServerSettings { drain_timeout: DRAIN_TIME_MAX, ..ServerSettings::default() };
        let (server, address) = Server::bind(listen, settings).with_context(|| format!("cannot listen on {listen}"))?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(upstream, stop.clone()));
        Ok(Self { address, stop, task })
    }

    /// Takes no new requests from now on.
    pub(crate) fn close(&self) {
        self.stop.cancel();
    }

    /// Returns when the requests that ran are done.
    pub(crate) async fn ended(self) -> Result<()> {
        self.stop.cancel();
        self.task.await.context("the server failed")
    }
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

/// What asks the process to stop.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens from now on.
    pub(crate) fn listen() -> Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Returns when one of them has come.
    pub(crate) async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
