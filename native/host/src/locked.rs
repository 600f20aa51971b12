//! The locked application: what Spin makes of a manifest and hands to its trigger plugins, as JSON. Everything in it is
//! resolved: sources are file URLs, every trigger has its component.

use std::collections::BTreeMap;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use toml::{Table, Value};

use crate::error::Problems;
use crate::manifest::{RawApplication, RawComponent, RawManifest};
use crate::variables::Declaration;

/// The newest version of the format that is known. 0 is the same without requirements.
const VERSION_MAX: u32 = 1;

/// Requirements of an application or a component that are met.
const FEATURES: &[&str] = &["local_service_chaining"];

/// What must be understood, as far as it is.
const UNDERSTOOD: &[&str] = &["host_requirements", "component_host_requirements"];

/// Fields that are not named here are ignored, as the format has it.
#[derive(Deserialize)]
struct Locked {
    spin_lock_version: u32,
    #[serde(default)]
    must_understand: Vec<String>,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    host_requirements: BTreeMap<String, Json>,
    #[serde(default)]
    variables: BTreeMap<String, Variable>,
    triggers: Vec<Trigger>,
    components: Vec<Component>,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    triggers: BTreeMap<String, Table>,
}

#[derive(Deserialize)]
struct Variable {
    default: Option<String>,
}

#[derive(Deserialize)]
struct Trigger {
    id: String,
    #[serde(rename = "trigger_type")]
    kind: String,
    #[serde(rename = "trigger_config")]
    config: Json,
}

#[derive(Deserialize)]
struct Component {
    id: String,
    #[serde(default)]
    metadata: ComponentMetadata,
    source: Source,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    config: BTreeMap<String, String>,
    #[serde(default)]
    files: Vec<Json>,
    #[serde(default)]
    dependencies: Map<String, Json>,
    #[serde(default)]
    host_requirements: BTreeMap<String, Json>,
}

#[derive(Deserialize, Default)]
struct ComponentMetadata {
    #[serde(default)]
    allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    key_value_stores: Vec<String>,
    #[serde(default)]
    databases: Vec<String>,
    #[serde(default)]
    ai_models: Vec<String>,
}

#[derive(Deserialize)]
struct Source {
    source: Option<String>,
}

/// Whether this is a locked application and not a manifest.
pub(crate) fn is_locked(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// Turns a locked application into the manifest that it was made of, as far as that matters here.
///
/// Triggers other than `kafka` are served by others. Those of `http` still say which components others may call.
pub(crate) fn parse(text: &str) -> Result<RawManifest, Problems> {
    let locked: Locked = serde_json::from_str(text)
        .map_err(|error| Problems(vec![format!("it is no locked application of Spin: {error}")]))?;
    let mut problems = Vec::new();
    if locked.spin_lock_version > VERSION_MAX {
        problems.push(format!("spin_lock_version is {}, and at most {VERSION_MAX} is known", locked.spin_lock_version));
    }
    let unknown = locked.must_understand.iter().filter(|field| !UNDERSTOOD.contains(&field.as_str()));
    problems.extend(unknown.map(|field| format!("must_understand has {field}, which is not known")));
    problems
        .extend(unmet(&locked.host_requirements).map(|feature| format!("it requires {feature}, which is not offered")));

    let mut trigger: BTreeMap<String, Vec<Table>> = BTreeMap::new();
    for Trigger { id, kind, config: given } in locked.triggers {
        let config = match kind.as_str() {
            "http" => called_by_others(&given),
            "kafka" => match serde_json::from_value::<Table>(given) {
                Ok(config) => Some(config),
                Err(error) => {
                    problems.push(format!("trigger {id}: {error}"));
                    None
                }
            },
            _ => None,
        };
        if let Some(mut config) = config {
            config.insert("id".to_owned(), Value::String(id));
            trigger.entry(kind).or_default().push(config);
        }
    }
    let triggered = |id: &str| {
        let kafka = trigger.get("kafka").into_iter().flatten();
        kafka.filter_map(|entry| entry.get("component")).any(|component| component.as_str() == Some(id))
    };
    for component in locked.components.iter().filter(|component| triggered(&component.id)) {
        let needs = unmet(&component.host_requirements);
        problems.extend(
            needs.map(|feature| format!("component {} requires {feature}, which is not offered", component.id)),
        );
    }
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let declare = |(name, variable): (String, Variable)| (name, Declaration::of_default(variable.default));
    let mut global = locked.metadata.triggers;
    global.retain(|kind, _| kind == "kafka");
    Ok(RawManifest {
        spin_manifest_version: 2,
        application: RawApplication::new(locked.metadata.name, locked.metadata.version, global),
        variables: locked.variables.into_iter().map(declare).collect(),
        trigger,
        component: locked.components.into_iter().map(component).collect(),
    })
}

/// Requirements that are not met.
fn unmet(requirements: &BTreeMap<String, Json>) -> impl Iterator<Item = &str> {
    let demanded = requirements.iter().filter(|(_, degree)| degree.as_str() != Some("optional"));
    demanded.map(|(feature, _)| feature.as_str()).filter(|feature| !FEATURES.contains(feature))
}

/// An HTTP trigger as far as it matters where nobody serves it: its component, and its route for requests from inside.
fn called_by_others(config: &Json) -> Option<Table> {
    let component = Value::String(config.get("component")?.as_str()?.to_owned());
    let route = config.get("route").and_then(Json::as_str).map(|route| Value::String(route.to_owned()));
    let private = || Value::Table(Table::from_iter([("private".to_owned(), Value::Boolean(true))]));
    Some(Table::from_iter([("component".to_owned(), component), ("route".to_owned(), route.unwrap_or_else(private))]))
}

fn component(locked: Component) -> (String, RawComponent) {
    let given = |empty: bool| (!empty).then_some(Value::Boolean(true));
    let source = locked.source.source.as_deref().and_then(file_path);
    let mut raw = RawComponent::new(source.map_or(Value::Boolean(false), Value::String));
    raw.variables = locked.config;
    raw.environment = locked.env;
    raw.key_value_stores = locked.metadata.key_value_stores;
    raw.sqlite_databases = locked.metadata.databases;
    raw.allowed_outbound_hosts = locked.metadata.allowed_outbound_hosts;
    raw.files = given(locked.files.is_empty());
    raw.ai_models = given(locked.metadata.ai_models.is_empty());
    raw.dependencies = given(locked.dependencies.is_empty());
    (locked.id, raw)
}

/// The path of a `file://` URL.
fn file_path(url: &str) -> Option<String> {
    let path = url.strip_prefix("file://").filter(|path| path.starts_with('/'))?;
    let path: PathBuf = percent_decode_str(path).decode_utf8().ok()?.into_owned().into();
    path.to_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::manifest::Manifest;

    fn read(text: &str) -> Result<Manifest, String> {
        Manifest::parse(text, Path::new("/elsewhere")).map_err(|problems| problems.to_string())
    }

    const GOOD: &str = r#"{
        "spin_lock_version": 1,
        "must_understand": ["component_host_requirements"],
        "metadata": { "name": "plaza", "version": "0.1.0", "origin": "file:///app/spin.toml",
                      "triggers": { "kafka": { "brokers": "127.0.0.1:9092" }, "http": { "anything": 1 } } },
        "variables": { "key": { "secret": true }, "place": { "default": "here" } },
        "triggers": [
            { "id": "api-http-trigger", "trigger_type": "http",
              "trigger_config": { "component": "api", "route": "/api/...", "executor": { "type": "wagi" } } },
            { "id": "http-trigger2", "trigger_type": "http", "trigger_config": { "component": "worker", "route": { "private": true } } },
            { "id": "static", "trigger_type": "http", "trigger_config": { "route": "/x", "static_response": {} } },
            { "id": "channel", "trigger_type": "redis", "trigger_config": { "channel": "x" } },
            { "id": "worker-kafka-trigger", "trigger_type": "kafka",
              "trigger_config": { "component": "worker", "topics": ["friend.events"], "group": "g", "batch_max": 10 } }
        ],
        "components": [
            { "id": "api", "source": { "content_type": "application/wasm", "source": "file:///app/a%20b.wasm" },
              "host_requirements": { "middleware": "required" } },
            { "id": "worker", "source": { "content_type": "application/wasm", "source": "file:///app/w.wasm" },
              "metadata": { "allowed_outbound_hosts": ["http://api.spin.internal"], "key_value_stores": ["sessions"],
                            "databases": ["chat"], "build": { "command": "make" } },
              "env": { "A": "1" }, "config": { "key": "{{ key }}" },
              "host_requirements": { "local_service_chaining": "required", "another": "optional" } }
        ],
        "something_new": {}
    }"#;

    #[test]
    fn it_is_read_as_the_manifest_that_it_was_made_of() {
        let manifest = read(GOOD).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("plaza", "0.1.0"));
        assert_eq!(manifest.kafka_settings["brokers"].as_str(), Some("127.0.0.1:9092"));
        let routes: Vec<_> =
            manifest.http.iter().map(|http| (http.component.as_str(), http.route.as_deref())).collect();
        assert_eq!(routes, [("api", Some("/api/...")), ("worker", None)]);
        let [kafka] = manifest.kafka.as_slice() else { panic!("one Kafka trigger") };
        assert_eq!(kafka.id.as_deref(), Some("worker-kafka-trigger"));
        assert_eq!((kafka.component.as_str(), kafka.group.as_str()), ("worker", "g"));
        assert_eq!(
            (&kafka.topics[..], kafka.settings["batch_max"].as_integer()),
            (&["friend.events".to_owned()][..], Some(10))
        );
        let [api, worker] = manifest.components.as_slice() else { panic!("two components") };
        assert_eq!(api.source, Path::new("/app/a b.wasm"));
        assert!(worker.key_value_stores.contains("sessions") && worker.sqlite_databases.contains("chat"));
        assert_eq!(worker.allowed_outbound_hosts.len(), 1);
        assert_eq!(worker.environment["A"], "1");
        assert!(worker.variables.contains_key("key"));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (change, to, named) in [
            (r#""spin_lock_version": 1"#, r#""spin_lock_version": 2"#, "spin_lock_version is 2"),
            ("component_host_requirements\"]", "novelty\"]", "must_understand has novelty"),
            ("\"another\": \"optional\"", "\"another\": \"required\"", "component worker requires another"),
            ("file:///app/w.wasm", "https://example.com/w.wasm", "component worker: source must be"),
            (r#""group": "g""#, r#""group": """#, "needs a group"),
            (r#""env": { "A": "1" }"#, r#""files": [{}]"#, "component worker: files is not offered"),
            (r#""triggers": ["#, r#""other": ["#, "no locked application"),
        ] {
            assert!(GOOD.contains(change), "{change}");
            let problems = read(&GOOD.replace(change, to)).unwrap_err();
            assert!(problems.contains(named), "{problems}");
        }
    }
}
