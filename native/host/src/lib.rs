//! Plaza's embedded host: runs the application of a `spin.toml` (manifest version 2) as Spin would, in this process.
//!
//! It is not a fork of Spin. It offers the interfaces that Plaza's functions import (`wit/world.wit`), exactly as Spin
//! defines them, on Wasmtime's own crates; whatever else a manifest asks for is an error at start that names it.
//!
//! ```text
//!   Request ─► dispatch: route, spin-* headers, body ≤ limit, a permit ─► run: a fresh instance from the pool
//!                 ▲                                                         │ key_value, sqlite, variables
//!                 └──────────── *.spin.internal, self ──── outbound ◄───────┘ wasi:http
//! ```
//!
//! - [`Host::start`] reads and checks the manifest, opens the databases, compiles (or takes from the cache) and links every
//!   component. What can be wrong is found then, not at the first request.
//! - [`Host`] is an [`Upstream`]: the server, the relay and the Kafka trigger call it alike. Each request gets an instance
//!   of its own, which is gone when the request is done.
//! - Every limit is in [`Limits`], and counted when it is hit.
//!
//! Metrics (install the recorder before starting): `plaza_requests_total{component,status}`,
//! `plaza_request_seconds{component}`, `plaza_instances{component}`, `plaza_traps_total{component}`,
//! `plaza_limits_total{limit}`, `plaza_outbound_requests_total{to}`, `plaza_key_value_cache_total{store,result}`,
//! `plaza_key_value_cache_evictions_total{store}`, `plaza_key_value_swept_total{store}`,
//! `plaza_redis_calls_total{result}`, `plaza_redis_call_seconds`, `plaza_mysql_connections{database}`,
//! `plaza_mysql_wait_seconds{database}`, `plaza_mysql_statements_total{database}`,
//! `plaza_mysql_statement_seconds{database}`, `plaza_mysql_errors_total{database,kind}`,
//! `plaza_grants_used_total{component,kind,name}`,
//! `plaza_grants_refused_total{component,kind}`.
//!
//! Log targets (`tracing`): `plaza::access` (one event per request, info), `plaza::guest` (what functions print: standard
//! output info, standard error warn), and this crate's own.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cache;
mod dispatch;
mod engine;
mod error;
mod grants;
mod headers;
mod hosts;
mod key_value;
mod locked;
mod manifest;
mod metrics;
mod mysql;
mod outbound;
mod output;
mod routes;
mod run;
mod settings;
mod sqlite;
mod start;
mod state;
mod variables;
mod wit;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, Response};
use plaza_http::{Body, Upstream};
use plaza_sqlite::Database;
use tokio::sync::watch;

pub use error::{Error, Problems};
pub use manifest::KafkaTrigger;
pub use settings::{HostSettings, KeyValuePlace, Limits, MysqlSettings, Places};
pub use start::compile;

/// The `[[trigger.kafka]]` entries of a manifest, for one who calls functions that run elsewhere.
pub fn kafka_triggers(manifest: &Path) -> Result<Vec<KafkaTrigger>, Error> {
    Ok(manifest::Manifest::read(manifest)?.kafka)
}

/// How long requests that [`Host::stop`] has cancelled get to notice.
const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// A running application.
///
/// It answers requests until it is dropped or [stopped](Self::stop).
pub struct Host {
    shared: Arc<dispatch::Shared>,
    kafka: Vec<KafkaTrigger>,
    kafka_settings: toml::Table,
    databases: BTreeMap<String, Arc<Database>>,
    key_value_stores: Vec<Arc<key_value::Store>>,
    components: Vec<ComponentInfo>,
    _engine: engine::Ticking,
}

/// What a component is, and what its manifest entry grants it.
#[derive(Debug, Clone)]
pub struct ComponentInfo {
    /// Its id in the manifest.
    pub name: String,
    /// Its file.
    pub source: PathBuf,
    /// Size of the file, in bytes.
    pub size_bytes: u64,
    /// Whether it came from the cache of compiled components.
    pub from_cache: bool,
    /// The interfaces that it imports, for example `spin:sqlite/sqlite@3.0.0`, sorted.
    pub imports: Vec<String>,
    /// Its routes, as in the manifest; private ones are left out.
    pub routes: Vec<String>,
    /// Labels of key-value stores that it may open.
    pub key_value_stores: Vec<String>,
    /// Labels of SQLite databases that it may open.
    pub sqlite_databases: Vec<String>,
    /// Names of variables that it may read.
    pub variables: Vec<String>,
    /// Names of its environment variables.
    pub environment: Vec<String>,
    /// Where it may send requests, as in the manifest, templates not filled in.
    pub allowed_outbound_hosts: Vec<String>,
}

impl Host {
    /// Starts an application: reads its manifest, opens its databases, compiles and links its components.
    pub async fn start(settings: HostSettings) -> Result<Arc<Self>, Error> {
        start::start(settings).await.map(Arc::new)
    }

    /// The `[[trigger.kafka]]` entries. Their components are called as `http://<component>.spin.internal/`.
    pub fn kafka_triggers(&self) -> &[KafkaTrigger] {
        &self.kafka
    }

    /// The table `[application.trigger.kafka]`: settings for all of them. Empty if there is none.
    pub fn kafka_settings(&self) -> &toml::Table {
        &self.kafka_settings
    }

    /// The SQLite databases of all components, by label.
    pub fn databases(&self) -> BTreeMap<String, Arc<Database>> {
        self.databases.clone()
    }

    /// Counts the changes that this host commits to the MySQL database of an address: so that who reads what functions
    /// write there need not look for it all the time. The address is the one that functions use, to the letter.
    pub fn mysql_commits(&self, address: &str) -> Result<watch::Receiver<u64>, plaza_mysql::Error> {
        self.shared.mysql.commits(address)
    }

    /// The components, in order of their names.
    pub fn components(&self) -> &[ComponentInfo] {
        &self.components
    }

    /// Stops: takes no new request (503), lets those in progress finish for at most `grace`, then ends them.
    ///
    /// Key-value stores are closed. The SQLite databases stay open for their other users; they close when the last
    /// [`Arc`] of them goes.
    pub async fn stop(&self, grace: Duration) {
        let shared = &self.shared;
        shared.stopping.store(true, Ordering::Relaxed);
        shared.requests.close();
        if tokio::time::timeout(grace, shared.requests.wait()).await.is_err() {
            let running = shared.requests.len();
            tracing::warn!(running, "requests in progress are ended");
            shared.cancelled.cancel();
            if tokio::time::timeout(CANCEL_GRACE, shared.requests.wait()).await.is_err() {
                tracing::warn!(running = shared.requests.len(), "requests are still in progress");
            }
        }
        shared.mysql.close();
        for store in &self.key_value_stores {
            store.close().await;
        }
    }
}

impl Upstream for Host {
    /// Answers one request.
    ///
    /// A request with a [`SocketAddr`](std::net::SocketAddr) extension came from that client over the network, and is
    /// routed by its path only: a `.spin.internal` host in it is refused. One without came from inside: if the authority
    /// of its URI is `<component>.spin.internal`, it goes to that component.
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(dispatch::serve(&self.shared, request))
    }
}
