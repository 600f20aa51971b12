//! The functions: started from the manifest, on the stores that the command line names.

use crate::cli;
use crate::keys::{self, Keys};
use crate::process::DRAIN_TIME_MAX;
use crate::state::State;
use anyhow::{Context, Result};
use plaza_host::{Host, HostSettings};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

/// The folder of the state directory that holds compiled functions.
pub(crate) const COMPILED: &str = "compiled";

/// How long counts of requests last: twice the longest window.
const LIMITS_AGE_MAX: Duration = Duration::from_hours(2);

/// A running application.
pub(crate) struct App {
    pub(crate) host: Arc<Host>,
    pub(crate) keys: Keys,
    /// The URLs of the contexts' databases that are on a server, by context.
    pub(crate) database_urls: BTreeMap<String, String>,
    pub(crate) state: State,
}

impl App {
    pub(crate) async fn start(words: &cli::App) -> Result<Self> {
        let state = State::open(&words.state, words.fresh)?;
        let keys = Keys::load_or_generate(&state.path("keys.json"))?;
        let infra = words.manifest.infra();
        let database_urls = database_urls(words.databases.mysql.as_deref(), &infra)?;
        let mut variables = keys.variables();
        for (context, url) in &database_urls {
            variables.insert(database_variable(context), url.clone());
        }
        if let Some(url) = database_urls.values().next() {
            variables.insert("database_host".to_owned(), database_host(url)?);
        }
        let host = Host::start(HostSettings {
            migrations_dir: Some(infra.join("sql")),
            variables,
            cache_dir: Some(state.path(COMPILED)),
            compiler: Some(compile),
            redis_url: words.redis.clone(),
            key_value_ages: BTreeMap::from([("limits".to_owned(), LIMITS_AGE_MAX)]),
            ..HostSettings::new(&words.manifest.from, state.path(""))
        })
        .await?;
        Ok(Self { host, keys, database_urls, state })
    }

    /// Lets what runs finish, and closes the stores.
    pub(crate) async fn stop(self) {
        self.host.stop(DRAIN_TIME_MAX).await;
        self.close().await;
    }

    /// Closes the databases of functions that have stopped.
    pub(crate) async fn close(self) {
        for database in self.host.databases().into_values() {
            database.close().await;
        }
    }
}

/// The contexts that have a schema for MySQL, and where their databases are: one variable each, or all by one base URL.
pub(crate) fn database_urls(base: Option<&str>, infra: &Path) -> Result<BTreeMap<String, String>> {
    let mut urls = BTreeMap::new();
    for context in contexts(infra)? {
        let given = keys::variable(&database_variable(&context));
        if let Some(url) = given {
            urls.insert(context, url);
        } else if let Some(base) = base {
            let url = plaza_mysql::context_url(base, &context)?;
            urls.insert(context, url);
        }
    }
    Ok(urls)
}

/// The contexts that have a database: the folders of `infra/sql`.
pub(crate) fn contexts(infra: &Path) -> Result<Vec<String>> {
    let folder = infra.join("sql");
    let named = || format!("schemas in {}", folder.display());
    let mut contexts = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(named)? {
        let entry = entry.with_context(named)?;
        if entry.file_type().with_context(named)?.is_dir() {
            contexts.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    contexts.sort();
    Ok(contexts)
}

/// Whether the functions of a context tell of what they do: then one of its migrations makes the table.
pub(crate) fn has_outbox(infra: &Path, context: &str) -> Result<bool> {
    let folder = infra.join("sql").join(context);
    let named = || format!("schemas in {}", folder.display());
    for entry in std::fs::read_dir(&folder).with_context(named)? {
        let path = entry.with_context(named)?.path();
        if path.extension().is_some_and(|kind| kind == "sql")
            && std::fs::read_to_string(&path).with_context(named)?.contains("CREATE TABLE outbox")
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The host and port in the address of a database, as a grant names them.
fn database_host(url: &str) -> Result<String> {
    let options = plaza_mysql::options(url)?;
    Ok(format!("{}:{}", options.ip_or_hostname(), options.tcp_port()))
}

/// The application variable that says where a context's database is.
fn database_variable(context: &str) -> String {
    format!("{context}_database_url")
}

/// Has the functions compiled by a process that ends with it.
fn compile(manifest: &Path, cache: &Path) -> std::io::Result<()> {
    tracing::info!("compiling the functions; the next start takes them as they are");
    let mut command = std::process::Command::new(std::env::current_exe()?);
    let status =
        command.arg("compile").arg("--from").arg(manifest).arg("--cache").arg(cache).stdin(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(std::io::Error::other(format!("the compiler ended with {status}"))) }
}
