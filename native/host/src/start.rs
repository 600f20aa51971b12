//! Starting: from a manifest to components that are ready to run.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use plaza_sqlite::Database;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wasmtime::Engine;
use wasmtime::component::Component as Compiled;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::cache::{Cache, Origin};
use crate::dispatch::Shared;
use crate::engine::Ticking;
use crate::error::{Error, Problems};
use crate::grants::Grants;
use crate::hosts::AllowedHost;
use crate::key_value::{Layout, Redis, RedisStore, SqliteStore, Store};
use crate::manifest::{Component as Declared, Manifest};
use crate::metrics::ComponentMetrics;
use crate::mysql::Pools;
use crate::routes::Router;
use crate::settings::{HostSettings, KeyValuePlace, Limits};
use crate::state::{self, Component};
use crate::variables::{Template, Values};
use crate::{ComponentInfo, Host};

/// A component's file, compiled.
#[derive(Clone)]
struct Loaded {
    component: Compiled,
    origin: Origin,
    size_bytes: u64,
}

pub(crate) async fn start(settings: HostSettings) -> Result<Host, Error> {
    crate::metrics::describe();
    let manifest = Manifest::read(&settings.manifest)?;
    let environment = |name: &str| std::env::var(name).ok().filter(|_| settings.variables_from_environment);
    let values = Values::resolve(&manifest.variables, environment, &settings.variables)
        .map_err(|names| Error::MissingVariables { names })?;
    let invalid = |problems| Error::Manifest { path: settings.manifest.clone(), problems: Problems(problems) };
    let hosts = allowed_hosts(&manifest, &values).map_err(invalid)?;
    let names: HashMap<_, _> =
        manifest.components.iter().enumerate().map(|(index, component)| (component.id.clone(), index)).collect();
    let router = Router::new(&manifest.http, |id| names.get(id).copied().unwrap_or_default()).map_err(invalid)?;

    let ticking = Ticking::new(&settings.limits)?;
    let loaded = {
        let engine = ticking.engine.clone();
        let cache = match &settings.cache_dir {
            Some(directory) => Some(Cache::open(directory, &engine).map_err(Error::io(directory))?),
            None => None,
        };
        let sources: Vec<_> =
            manifest.components.iter().map(|component| (component.id.clone(), component.source.clone())).collect();
        // Compiling keeps every core busy for seconds; the caller's runtime has other things to do.
        let compiler = settings.compiler.zip(settings.cache_dir.clone());
        let manifest = settings.manifest.clone();
        let load = move || {
            if let (Some((compile, directory)), Some(cache)) = (compiler, &cache)
                && sources.iter().any(|(_, path)| std::fs::read(path).is_ok_and(|wasm| !cache.has(&wasm)))
                && let Err(error) = compile(&manifest, &directory)
            {
                tracing::warn!(%error, "components could not be compiled in a process of their own");
            }
            let loaded = load_all(&engine, cache.as_ref(), &sources);
            if let Some(cache) = &cache {
                cache.prune();
            }
            loaded
        };
        tokio::task::spawn_blocking(load).await.map_err(|error| Error::Engine(error.to_string()))??
    };
    let databases = open_databases(&manifest, &settings)?;
    let stores = open_stores(&manifest, &settings).await?;

    let linker = state::linker(&ticking.engine).map_err(|error| Error::Engine(format!("{error:#}")))?;
    let mut components = Vec::with_capacity(manifest.components.len());
    let mut infos = Vec::with_capacity(manifest.components.len());
    for ((declared, loaded), allowed_hosts) in manifest.components.iter().zip(loaded).zip(hosts) {
        let failed = |message: String| Error::Component {
            component: declared.id.clone(),
            source_path: declared.source.clone(),
            message,
        };
        infos.push(describe(&ticking.engine, declared, &loaded, &manifest));
        let pre = linker
            .instantiate_pre(&loaded.component)
            .map_err(|error| failed(format!("it imports what this host does not offer: {error:#}")))?;
        let pre = ProxyPre::new(pre)
            .map_err(|error| failed(format!("it does not handle HTTP requests: {}", error.root_cause())))?;
        let id = &declared.id;
        components.push(Arc::new(Component {
            name: id.clone(),
            pre,
            variables: Grants::new(
                id,
                "variables",
                declared.variables.iter().map(|(name, text)| (name.clone(), values.fill(text))),
            ),
            environment: declared.environment.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            key_value_stores: Grants::new(id, "key_value_stores", granted(&declared.key_value_stores, &stores)),
            databases: Grants::new(id, "sqlite_databases", granted(&declared.sqlite_databases, &databases)),
            allowed_hosts: Grants::new(id, "allowed_outbound_hosts", allowed_hosts),
            chainable: manifest.http.iter().any(|trigger| trigger.component == declared.id),
            metrics: ComponentMetrics::new(&declared.id),
        }));
    }
    let shared = Arc::new(Shared {
        router,
        components,
        names,
        info: info(&manifest),
        mysql: Pools::new(settings.mysql),
        permits: Arc::new(Semaphore::new(settings.limits.instances_max as usize)),
        chained_permits: Arc::new(Semaphore::new(settings.limits.chained_instances_max as usize)),
        waiting: AtomicU32::new(0),
        requests: TaskTracker::new(),
        stopping: AtomicBool::new(false),
        cancelled: CancellationToken::new(),
        unrouted: ComponentMetrics::new("none"),
        limits: settings.limits,
    });
    Ok(Host {
        shared,
        kafka: manifest.kafka,
        kafka_settings: manifest.kafka_settings,
        databases,
        key_value_stores: stores.into_values().collect(),
        components: infos,
        _engine: ticking,
    })
}

/// What each component may reach, templates filled in. The error lists every entry at fault, as the manifest has it.
/// Compiles what of an application's components is not in the cache, and puts it there. Returns how many these were.
pub fn compile(manifest: &Path, cache_dir: &Path) -> Result<usize, Error> {
    let manifest = Manifest::read(manifest)?;
    let ticking = Ticking::new(&Limits::default())?;
    let cache = Cache::open(cache_dir, &ticking.engine).map_err(Error::io(cache_dir))?;
    let sources: Vec<_> =
        manifest.components.iter().map(|component| (component.id.clone(), component.source.clone())).collect();
    let loaded = load_all(&ticking.engine, Some(&cache), &sources)?;
    Ok(loaded.iter().filter(|loaded| loaded.origin == Origin::Compiled).count())
}

/// The hosts that each component may reach, by their entries in the manifest.
fn allowed_hosts(manifest: &Manifest, values: &Values) -> Result<Vec<Vec<(String, AllowedHost)>>, Vec<String>> {
    let mut problems = Vec::new();
    let mut read =
        |component: &Declared, entry: &String, template: &Template| match AllowedHost::parse(&values.fill(template)) {
            Ok(host) => Some((entry.clone(), host)),
            Err(reason) => {
                // The value of a variable may be a secret: then only the entry is shown.
                let reason = if template.names().next().is_some() { format!("{entry:?} is not valid") } else { reason };
                problems.push(format!("component {}: allowed_outbound_hosts entry {reason}", component.id));
                None
            }
        };
    let of = |component: &Declared| {
        component
            .allowed_outbound_hosts
            .iter()
            .filter_map(|(entry, template)| read(component, entry, template))
            .collect()
    };
    let hosts = manifest.components.iter().map(of).collect();
    if problems.is_empty() { Ok(hosts) } else { Err(problems) }
}

/// Reads and compiles the files of components, each content once, on all cores.
fn load_all(
    engine: &Engine,
    cache: Option<&Cache>,
    sources: &[(String, std::path::PathBuf)],
) -> Result<Vec<Loaded>, Error> {
    let mut contents: Vec<Vec<u8>> = Vec::new();
    let mut by_digest = HashMap::new();
    let mut content_of = Vec::with_capacity(sources.len());
    for (_, path) in sources {
        let wasm = std::fs::read(path).map_err(Error::io(path))?;
        let index = *by_digest.entry(Sha256::digest(&wasm)).or_insert(contents.len());
        if index == contents.len() {
            contents.push(wasm);
        }
        content_of.push(index);
    }
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<wasmtime::Result<Loaded>>>> = contents.iter().map(|_| Mutex::new(None)).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(contents.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(wasm) = contents.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let index = contents.iter().position(|content| std::ptr::eq(content, wasm)).unwrap_or_default();
                    *results[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(load(engine, cache, wasm));
                }
            });
        }
    });
    let loaded: Vec<_> =
        results.into_iter().map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner)).collect();
    sources
        .iter()
        .zip(content_of)
        .map(|((id, path), index)| match &loaded[index] {
            Some(Ok(loaded)) => Ok(loaded.clone()),
            failed => Err(Error::Component {
                component: id.clone(),
                source_path: path.clone(),
                message: match failed {
                    Some(Err(error)) => format!("it is not a valid component: {error:#}"),
                    _ => "it was not compiled".to_owned(),
                },
            }),
        })
        .collect()
}

fn load(engine: &Engine, cache: Option<&Cache>, wasm: &[u8]) -> wasmtime::Result<Loaded> {
    let (component, origin) = match cache {
        Some(cache) => cache.load(engine, wasm)?,
        None => (Compiled::from_binary(engine, wasm)?, Origin::Compiled),
    };
    Ok(Loaded { component, origin, size_bytes: wasm.len() as u64 })
}

fn open_databases(manifest: &Manifest, settings: &HostSettings) -> Result<BTreeMap<String, Arc<Database>>, Error> {
    labels(manifest, |component| &component.sqlite_databases)
        .map(|label| {
            let failed = |source| Error::Database { label: label.to_owned(), source };
            let own = || settings.state_dir.join("sqlite").join(format!("{label}.db"));
            let path = settings.places.sqlite.get(label).cloned().unwrap_or_else(own);
            let database = Database::open(&path, settings.sqlite.clone()).map_err(failed)?;
            if let Some(migrations) = settings.migrations_dir.as_ref().map(|directory| directory.join(label))
                && migrations.is_dir()
            {
                let applied = database.migrate(&migrations).map_err(failed)?;
                if !applied.is_empty() {
                    tracing::info!(database = label, ?applied, "migrated");
                }
            }
            Ok((label.to_owned(), database))
        })
        .collect()
}

async fn open_stores(manifest: &Manifest, settings: &HostSettings) -> Result<BTreeMap<String, Arc<Store>>, Error> {
    let (mut stores, mut servers) = (BTreeMap::new(), HashMap::new());
    for label in labels(manifest, |component| &component.key_value_stores) {
        let store = match (settings.places.key_value.get(label), &settings.redis_url) {
            (Some(KeyValuePlace::SpinFile(path)), _) => open_file(path, label, settings, Layout::Spin).await?,
            (Some(KeyValuePlace::Redis(url)), _) => in_redis(&mut servers, url, label, String::new(), settings)?,
            (None, Some(url)) => in_redis(&mut servers, url, label, format!("{label}:"), settings)?,
            (None, None) => {
                let path = settings.state_dir.join("kv").join(format!("{label}.db"));
                let layout = Layout::Own {
                    cache_bytes_max: settings.limits.key_value_cache_bytes_max,
                    age_max: age_max(label, settings),
                };
                open_file(&path, label, settings, layout).await?
            }
        };
        stores.insert(label.to_owned(), Arc::new(store));
    }
    for redis in servers.values() {
        // It is a cache: what can go on without it does, so the host starts without it, too. The breaker says so.
        let _ = redis.ping().await;
    }
    Ok(stores)
}

async fn open_file(path: &Path, label: &str, settings: &HostSettings, layout: Layout) -> Result<Store, Error> {
    let database = plaza_sqlite::Settings { durable: false, ..settings.sqlite.clone() };
    let store = SqliteStore::open(path, label, database, layout).await;
    store.map(Store::Sqlite).map_err(|source| Error::Database { label: label.to_owned(), source })
}

/// How long an entry of this store lasts.
fn age_max(label: &str, settings: &HostSettings) -> Duration {
    settings.key_value_ages.get(label).copied().unwrap_or(settings.limits.key_value_age_max)
}

/// A store in the Redis of this URL. Stores with the same URL share its connection.
fn in_redis(
    servers: &mut HashMap<String, Arc<Redis>>,
    url: &str,
    label: &str,
    prefix: String,
    settings: &HostSettings,
) -> Result<Store, Error> {
    let redis = if let Some(redis) = servers.get(url) {
        Arc::clone(redis)
    } else {
        let redis = Redis::new(url, settings.limits.redis_call_time_max)
            .map_err(|reason| Error::Redis { label: label.to_owned(), reason })?;
        servers.entry(url.to_owned()).or_insert(redis).clone()
    };
    Ok(Store::Redis(RedisStore::new(redis, prefix, age_max(label, settings))))
}

/// The labels that any component is granted, each once.
fn labels<'a>(
    manifest: &'a Manifest,
    of: impl Fn(&'a Declared) -> &'a BTreeSet<String>,
) -> impl Iterator<Item = &'a str> {
    manifest.components.iter().flat_map(of).map(String::as_str).collect::<BTreeSet<_>>().into_iter()
}

fn granted<T>(labels: &BTreeSet<String>, all: &BTreeMap<String, Arc<T>>) -> impl Iterator<Item = (String, Arc<T>)> {
    labels.iter().filter_map(|label| Some((label.clone(), all.get(label)?.clone())))
}

fn describe(engine: &Engine, declared: &Declared, loaded: &Loaded, manifest: &Manifest) -> ComponentInfo {
    let mut imports: Vec<_> =
        loaded.component.component_type().imports(engine).map(|(name, _)| name.to_owned()).collect();
    imports.sort();
    let routes = manifest.http.iter().filter(|trigger| trigger.component == declared.id);
    ComponentInfo {
        name: declared.id.clone(),
        source: declared.source.clone(),
        size_bytes: loaded.size_bytes,
        from_cache: loaded.origin == Origin::Cache,
        imports,
        routes: routes.filter_map(|trigger| trigger.route.clone()).collect(),
        key_value_stores: declared.key_value_stores.iter().cloned().collect(),
        sqlite_databases: declared.sqlite_databases.iter().cloned().collect(),
        variables: declared.variables.keys().cloned().collect(),
        environment: declared.environment.keys().cloned().collect(),
        allowed_outbound_hosts: declared.allowed_outbound_hosts.iter().map(|(entry, _)| entry.clone()).collect(),
    }
}

/// What `/.well-known/spin/info` says: the same as Spin's.
fn info(manifest: &Manifest) -> Bytes {
    let version = (!manifest.version.is_empty()).then_some(&manifest.version);
    let document = serde_json::json!({ "name": manifest.name, "version": version });
    Bytes::from(format!("{document:#}"))
}
