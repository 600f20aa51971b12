//! What Spin tells its triggers beside the application: the runtime configuration, and where things are by default.

use super::variables::Provider;
use anyhow::{Context, Result, anyhow, bail};
use percent_encoding::percent_decode_str;
use plaza_host::{KeyValuePlace, Places};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The label that needs no configuration.
const DEFAULT: &str = "default";

/// What Spin calls the files of the label `default` in the state directory.
const DEFAULT_DATABASE: &str = "sqlite_db.db";
const DEFAULT_STORE: &str = "sqlite_key_value.db";

/// Spin's state directory, beside the manifest.
const STATE_DIR: &str = ".spin";

/// What has to be known of the application before it is loaded.
pub(super) struct Locked {
    pub(super) path: PathBuf,
    /// Names of its variables.
    pub(super) variables: Vec<String>,
    databases: BTreeSet<String>,
    key_value_stores: BTreeSet<String>,
}

impl Locked {
    /// Reads what Spin has written to this `file://` URL.
    pub(super) fn read(url: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Application {
            #[serde(default)]
            variables: BTreeMap<String, serde_json::Value>,
            components: Vec<Component>,
        }
        #[derive(Deserialize)]
        struct Component {
            #[serde(default)]
            metadata: Metadata,
        }
        #[derive(Deserialize, Default)]
        struct Metadata {
            #[serde(default)]
            databases: BTreeSet<String>,
            #[serde(default)]
            key_value_stores: BTreeSet<String>,
        }
        let path = url.strip_prefix("file://").and_then(|path| percent_decode_str(path).decode_utf8().ok());
        let path = PathBuf::from(path.ok_or_else(|| anyhow!("{url} is no file:// URL"))?.into_owned());
        let text = std::fs::read_to_string(&path).with_context(|| format!("the application at {}", path.display()))?;
        let application: Application =
            serde_json::from_str(&text).with_context(|| format!("the application at {}", path.display()))?;
        let mut locked = Self {
            path,
            variables: application.variables.into_keys().collect(),
            databases: BTreeSet::new(),
            key_value_stores: BTreeSet::new(),
        };
        for component in application.components {
            locked.databases.extend(component.metadata.databases);
            locked.key_value_stores.extend(component.metadata.key_value_stores);
        }
        Ok(locked)
    }
}

/// The file of `--runtime-config-file`, as far as it matters here.
#[derive(Deserialize, Default)]
pub(super) struct RuntimeConfig {
    state_dir: Option<PathBuf>,
    #[serde(default)]
    sqlite_database: BTreeMap<String, Database>,
    #[serde(default)]
    key_value_store: BTreeMap<String, Store>,
    #[serde(default, rename = "variables_provider", alias = "config_provider")]
    pub(super) variable_providers: Vec<Provider>,
    /// Paths of stores are relative to the file.
    #[serde(skip)]
    directory: PathBuf,
}

#[derive(Deserialize)]
struct Database {
    #[serde(rename = "type")]
    kind: String,
    path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Store {
    #[serde(rename = "type")]
    kind: String,
    path: Option<PathBuf>,
    url: Option<String>,
}

impl RuntimeConfig {
    pub(super) fn read(file: Option<&Path>) -> Result<Self> {
        let Some(file) = file else { return Ok(Self::default()) };
        let named = || format!("runtime configuration {}", file.display());
        let text = std::fs::read_to_string(file).with_context(named)?;
        let config: Self = toml::from_str(&text).with_context(named)?;
        Ok(Self { directory: file.parent().unwrap_or(Path::new("")).to_owned(), ..config })
    }

    /// Where databases and stores are that have no place of their own: as the command line says, as the file says, beside the
    /// manifest. An empty path says nowhere.
    pub(super) fn state_dir(&self, given: Option<&Path>, app_dir: Option<&Path>) -> Result<Option<PathBuf>> {
        match given.or(self.state_dir.as_deref()) {
            Some(path) if path.as_os_str().is_empty() => Ok(None),
            Some(path) => Ok(Some(std::path::absolute(path)?)),
            None => Ok(app_dir.map(|directory| directory.join(STATE_DIR))),
        }
    }

    /// Where the application's databases and stores are.
    pub(super) fn places(&self, locked: &Locked, state_dir: Option<&Path>) -> Result<Places> {
        let mut places = Places::default();
        for label in &locked.databases {
            let place = self.database(label, state_dir).with_context(|| format!("sqlite_database.{label}"))?;
            places.sqlite.insert(label.clone(), place);
        }
        for label in &locked.key_value_stores {
            let place = self.store(label, state_dir).with_context(|| format!("key_value_store.{label}"))?;
            places.key_value.insert(label.clone(), place);
        }
        Ok(places)
    }

    fn database(&self, label: &str, state_dir: Option<&Path>) -> Result<PathBuf> {
        match self.sqlite_database.get(label) {
            None if label == DEFAULT => in_state(state_dir, DEFAULT_DATABASE),
            None => bail!("is not in the runtime configuration (--runtime-config-file)"),
            Some(Database { kind, path: Some(path) }) if kind == "spin" => Ok(std::path::absolute(path)?),
            Some(Database { kind, .. }) if kind == "spin" => {
                bail!("has no path, and what is in memory cannot be shared")
            }
            Some(Database { kind, .. }) => bail!("has the type {kind}; the Kafka trigger offers spin"),
        }
    }

    fn store(&self, label: &str, state_dir: Option<&Path>) -> Result<KeyValuePlace> {
        match self.key_value_store.get(label) {
            None if label == DEFAULT => in_state(state_dir, DEFAULT_STORE).map(KeyValuePlace::SpinFile),
            None => bail!("is not in the runtime configuration (--runtime-config-file)"),
            Some(Store { kind, path: Some(path), .. }) if kind == "spin" => {
                Ok(KeyValuePlace::SpinFile(std::path::absolute(self.directory.join(path))?))
            }
            Some(Store { kind, .. }) if kind == "spin" => bail!("has no path, and what is in memory cannot be shared"),
            Some(Store { kind, url: Some(url), .. }) if kind == "redis" => Ok(KeyValuePlace::Redis(url.clone())),
            Some(Store { kind, .. }) if kind == "redis" => bail!("has no url"),
            Some(Store { kind, .. }) => bail!("has the type {kind}; the Kafka trigger offers spin and redis"),
        }
    }
}

fn in_state(state_dir: Option<&Path>, file: &str) -> Result<PathBuf> {
    let state_dir = state_dir.ok_or_else(|| anyhow!("is in memory without a state directory (--state-dir)"))?;
    Ok(state_dir.join(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> RuntimeConfig {
        RuntimeConfig { directory: "/etc/spin".into(), ..toml::from_str(text).unwrap() }
    }

    fn locked(databases: &[&str], stores: &[&str]) -> Locked {
        let set = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect();
        Locked { path: PathBuf::new(), variables: Vec::new(), databases: set(databases), key_value_stores: set(stores) }
    }

    #[test]
    fn places_are_where_spin_has_them() {
        let config = config(
            r#"
            [sqlite_database.chat]
            type = "spin"
            path = "/data/chat.db"
            [key_value_store.sessions]
            type = "redis"
            url = "redis://:hunter2@localhost/1"
            [key_value_store.files]
            type = "spin"
            path = "../files.db"
            [llm_compute]
            type = "spin"
            [[variables_provider]]
            type = "vault"
            url = "http://127.0.0.1:8200"
            "#,
        );
        let state = config.state_dir(None, Some(Path::new("/app"))).unwrap();
        assert_eq!(state.as_deref(), Some(Path::new("/app/.spin")));
        let places = config.places(&locked(&["default", "chat"], &["default", "sessions", "files"]), state.as_deref());
        let places = format!("{:?}", places.unwrap());
        for part in [
            r#""chat": "/data/chat.db""#,
            r#""default": "/app/.spin/sqlite_db.db""#,
            r#""default": SpinFile("/app/.spin/sqlite_key_value.db")"#,
            r#""files": SpinFile("/etc/spin/../files.db")"#,
            r#""sessions": Redis"#,
        ] {
            assert!(places.contains(part), "{places}");
        }
        assert!(matches!(config.variable_providers[..], [Provider::Remote]));
    }

    #[test]
    fn what_cannot_be_shared_with_spin_is_refused_by_its_name() {
        let config = config("[sqlite_database.a]\ntype = \"libsql\"\n[key_value_store.b]\ntype = \"azure_cosmos\"\n");
        for (databases, stores, named) in [
            (&["a"][..], &[][..], "sqlite_database.a: has the type libsql"),
            (&["c"], &[], "sqlite_database.c: is not in the runtime configuration"),
            (&["default"], &[], "sqlite_database.default: is in memory"),
            (&[], &["b"], "key_value_store.b: has the type azure_cosmos"),
        ] {
            let error = format!("{:#}", config.places(&locked(databases, stores), None).unwrap_err());
            assert!(error.contains(named), "{error}");
        }
    }
}
