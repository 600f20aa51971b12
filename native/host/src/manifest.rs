//! `spin.toml`, manifest version 2, or the locked application that Spin makes of one: read, checked, and what this host does
//! not offer refused by name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use crate::error::{Error, Problems};
use crate::locked;
use crate::variables::{self, Declaration, Template};

/// A `[[trigger.kafka]]` entry: which records call which component.
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaTrigger {
    /// The trigger's own id, if it was given one.
    pub id: Option<String>,
    /// The component to call. It is one of the manifest's.
    pub component: String,
    /// Topics to consume: `topic`, or `topics` for several. Never empty, no topic twice.
    pub topics: Vec<String>,
    /// The consumer group whose offsets are committed.
    pub group: String,
    /// Every other key of the entry, for the trigger to read and check.
    pub settings: Table,
}

/// A manifest that was found to be valid.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) variables: BTreeMap<String, Declaration>,
    pub(crate) components: Vec<Component>,
    pub(crate) http: Vec<HttpTrigger>,
    pub(crate) kafka: Vec<KafkaTrigger>,
    /// `[application.trigger.kafka]`.
    pub(crate) kafka_settings: Table,
}

/// One `[component.<id>]`.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) id: String,
    pub(crate) source: PathBuf,
    pub(crate) variables: BTreeMap<String, Template>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) key_value_stores: BTreeSet<String>,
    pub(crate) sqlite_databases: BTreeSet<String>,
    pub(crate) allowed_outbound_hosts: Vec<(String, Template)>,
}

/// One `[[trigger.http]]`. A route of none is `{ private = true }`: reachable by service chaining only.
#[derive(Debug)]
pub(crate) struct HttpTrigger {
    pub(crate) component: String,
    pub(crate) route: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawManifest {
    pub(crate) spin_manifest_version: u32,
    pub(crate) application: RawApplication,
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, Declaration>,
    #[serde(default)]
    pub(crate) trigger: BTreeMap<String, Vec<Table>>,
    #[serde(default)]
    pub(crate) component: BTreeMap<String, RawComponent>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawApplication {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) version: String,
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(rename = "authors")]
    _authors: Option<Vec<String>>,
    #[serde(rename = "targets")]
    _targets: Option<Vec<Value>>,
    #[serde(rename = "tool")]
    _tool: Option<Table>,
    #[serde(default)]
    pub(crate) trigger: BTreeMap<String, Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawComponent {
    pub(crate) source: Value,
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) key_value_stores: Vec<String>,
    #[serde(default)]
    pub(crate) sqlite_databases: Vec<String>,
    #[serde(default)]
    pub(crate) allowed_outbound_hosts: Vec<String>,
    // How to build it and what other tools make of it is not for the host; nor are profiles other than the default one.
    #[serde(rename = "build")]
    _build: Option<Table>,
    #[serde(rename = "tool")]
    _tool: Option<Table>,
    #[serde(rename = "profile")]
    _profile: Option<Table>,
    // What Spin offers and this host does not.
    pub(crate) files: Option<Value>,
    pub(crate) exclude_files: Option<Value>,
    pub(crate) allowed_http_hosts: Option<Value>,
    pub(crate) ai_models: Option<Value>,
    pub(crate) dependencies: Option<Value>,
    pub(crate) dependencies_inherit_configuration: Option<Value>,
}

impl RawApplication {
    /// What of an application matters here.
    pub(crate) fn new(name: String, version: String, trigger: BTreeMap<String, Table>) -> Self {
        Self { name, version, trigger, ..Self::default() }
    }
}

impl RawComponent {
    /// A component with nothing but its source.
    pub(crate) fn new(source: Value) -> Self {
        Self {
            source,
            _description: None,
            variables: BTreeMap::new(),
            environment: BTreeMap::new(),
            key_value_stores: Vec::new(),
            sqlite_databases: Vec::new(),
            allowed_outbound_hosts: Vec::new(),
            _build: None,
            _tool: None,
            _profile: None,
            files: None,
            exclude_files: None,
            allowed_http_hosts: None,
            ai_models: None,
            dependencies: None,
            dependencies_inherit_configuration: None,
        }
    }
}

impl Manifest {
    /// Reads and checks a manifest. The error lists everything that is wrong with it.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let directory = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, directory).map_err(|problems| Error::Manifest { path: path.to_owned(), problems })
    }

    /// Checks a manifest. Sources of components are relative to `directory`.
    pub(crate) fn parse(text: &str, directory: &Path) -> Result<Self, Problems> {
        let raw: RawManifest = if locked::is_locked(text) {
            locked::parse(text)?
        } else {
            toml::from_str(text).map_err(|error| Problems(vec![error.to_string().trim_end().to_owned()]))?
        };
        let mut problems = Vec::new();
        if raw.spin_manifest_version != 2 {
            problems.push(format!("spin_manifest_version is {}, and must be 2", raw.spin_manifest_version));
        }
        for name in raw.variables.keys() {
            if let Err(reason) = variables::check_name(name) {
                problems.push(format!("variable {name:?} {reason}"));
            }
        }
        for (name, declaration) in &raw.variables {
            if declaration.required == declaration.default.is_some() {
                problems.push(format!("variable {name} must have either required = true or a default"));
            }
        }
        let components: Vec<_> = raw
            .component
            .into_iter()
            .map(|(id, component)| check_component(id, component, &raw.variables, directory, &mut problems))
            .collect();
        let (http, kafka) = check_triggers(raw.trigger, &components, &mut problems);
        let mut application_triggers = raw.application.trigger;
        let kafka_settings = application_triggers.remove("kafka").unwrap_or_default();
        // Nothing is configured there for HTTP any more, but an empty table does no harm.
        if application_triggers.get("http").is_some_and(Table::is_empty) {
            application_triggers.remove("http");
        }
        problems.extend(application_triggers.keys().map(|kind| format!("application.trigger.{kind} is not offered")));
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        Ok(Self {
            name: raw.application.name,
            version: raw.application.version,
            variables: raw.variables,
            components,
            http,
            kafka,
            kafka_settings,
        })
    }
}

fn check_component(
    id: String,
    raw: RawComponent,
    declared: &BTreeMap<String, Declaration>,
    directory: &Path,
    problems: &mut Vec<String>,
) -> Component {
    let mut problem = |text: String| problems.push(format!("component {id}: {text}"));
    if !is_kebab(&id) {
        problem("its id must be kebab-case: words of letters and digits, each beginning with a letter".to_owned());
    }
    for (field, present, instead) in [
        ("files", raw.files.is_some(), ""),
        ("exclude_files", raw.exclude_files.is_some(), ""),
        ("allowed_http_hosts", raw.allowed_http_hosts.is_some(), "; use allowed_outbound_hosts"),
        ("ai_models", raw.ai_models.is_some(), ""),
        ("dependencies", raw.dependencies.is_some(), ""),
        ("dependencies_inherit_configuration", raw.dependencies_inherit_configuration.is_some(), ""),
    ] {
        if present {
            problem(format!("{field} is not offered by this host{instead}"));
        }
    }
    let source = if let Value::String(path) = raw.source {
        directory.join(path)
    } else {
        problem("source must be the path of a local file; URLs and registries are not offered by this host".to_owned());
        PathBuf::new()
    };
    let mut template = |field: &str, text: &str| {
        let parsed = Template::parse(text).and_then(|template| {
            let known = template.names().all(|name| declared.contains_key(name));
            if known { Ok(template) } else { Err("uses a variable that [variables] does not declare") }
        });
        parsed.map_err(|reason| problem(format!("{field} {reason}"))).ok()
    };
    let variables = raw
        .variables
        .into_iter()
        .filter_map(|(name, text)| template(&format!("variables.{name}"), &text).map(|template| (name, template)))
        .collect::<BTreeMap<_, _>>();
    let allowed_outbound_hosts = raw
        .allowed_outbound_hosts
        .into_iter()
        .filter_map(|entry| {
            template(&format!("allowed_outbound_hosts entry {entry:?}"), &entry).map(|template| (entry, template))
        })
        .collect();
    for name in variables.keys() {
        if let Err(reason) = variables::check_name(name) {
            problem(format!("variable {name:?} {reason}"));
        }
    }
    for (field, labels) in [("key_value_stores", &raw.key_value_stores), ("sqlite_databases", &raw.sqlite_databases)] {
        for label in labels {
            if !is_kebab(label) && !is_snake(label) {
                problem(format!("{field} has {label:?}, which is neither kebab-case nor snake_case"));
            }
        }
    }
    Component {
        id,
        source,
        variables,
        environment: raw.environment,
        key_value_stores: raw.key_value_stores.into_iter().collect(),
        sqlite_databases: raw.sqlite_databases.into_iter().collect(),
        allowed_outbound_hosts,
    }
}

fn check_triggers(
    raw: BTreeMap<String, Vec<Table>>,
    components: &[Component],
    problems: &mut Vec<String>,
) -> (Vec<HttpTrigger>, Vec<KafkaTrigger>) {
    let (mut http, mut kafka) = (Vec::new(), Vec::new());
    for (kind, entries) in raw {
        for (index, mut entry) in entries.into_iter().enumerate() {
            let place = format!("trigger.{kind}[{index}]");
            let result = match kind.as_str() {
                "http" => check_http(&mut entry, components).map(|trigger| http.push(trigger)),
                "kafka" => check_kafka(entry, components).map(|trigger| kafka.push(trigger)),
                _ => {
                    problems.push(format!("trigger type {kind} is not offered by this host"));
                    break;
                }
            };
            if let Err(reason) = result {
                problems.push(format!("{place}: {reason}"));
            }
        }
    }
    (http, kafka)
}

/// The `id` and `component` that every trigger has.
fn check_common(entry: &mut Table, components: &[Component]) -> Result<(Option<String>, String), String> {
    let id = match entry.remove("id") {
        None => None,
        Some(Value::String(id)) => Some(id),
        Some(_) => return Err("id must be a string".to_owned()),
    };
    if entry.contains_key("components") {
        return Err("components is not offered by this host".to_owned());
    }
    match entry.remove("component") {
        Some(Value::String(name)) if components.iter().any(|component| component.id == name) => Ok((id, name)),
        Some(Value::String(name)) => Err(format!("there is no [component.{name}]")),
        Some(_) => {
            Err("component must be the id of a [component.<id>]; inline components are not offered by this host"
                .to_owned())
        }
        None => Err("component is missing".to_owned()),
    }
}

fn check_http(entry: &mut Table, components: &[Component]) -> Result<HttpTrigger, String> {
    if entry.contains_key("static_response") {
        return Err("static_response is not offered by this host".to_owned());
    }
    let (_, component) = check_common(entry, components)?;
    let route = match entry.remove("route") {
        Some(Value::String(route)) => Some(route),
        Some(Value::Table(private)) if private.len() == 1 && private.get("private") == Some(&Value::Boolean(true)) => {
            None
        }
        Some(_) => return Err("route must be a string or { private = true }".to_owned()),
        None => return Err("route is missing".to_owned()),
    };
    if let Some(executor) = entry.remove("executor") {
        let kind = executor.get("type").and_then(Value::as_str);
        if !matches!(kind, Some("http" | "spin")) {
            return Err("only { type = \"http\" } is offered as executor by this host".to_owned());
        }
    }
    match entry.keys().next() {
        None => Ok(HttpTrigger { component, route }),
        Some(field) => Err(format!("unknown field {field}")),
    }
}

fn check_kafka(mut entry: Table, components: &[Component]) -> Result<KafkaTrigger, String> {
    let (id, component) = check_common(&mut entry, components)?;
    let topics = match (entry.remove("topic"), entry.remove("topics")) {
        (Some(Value::String(topic)), None) => vec![topic],
        (None, Some(Value::Array(topics))) => topics
            .into_iter()
            .map(|topic| topic.as_str().map(str::to_owned).ok_or("topics must be strings"))
            .collect::<Result<_, _>>()?,
        _ => return Err("needs either topic (a string) or topics (an array of strings)".to_owned()),
    };
    if topics.is_empty() || topics.iter().any(String::is_empty) {
        return Err("needs at least one topic, none of them empty".to_owned());
    }
    if topics.iter().collect::<BTreeSet<_>>().len() != topics.len() {
        return Err("names a topic twice".to_owned());
    }
    let group = match entry.remove("group") {
        Some(Value::String(group)) if !group.is_empty() => group,
        _ => return Err("needs a group (a string that is not empty)".to_owned()),
    };
    Ok(KafkaTrigger { id, component, topics, group, settings: entry })
}

/// Words of ASCII letters and digits that begin with a letter, joined by hyphens.
fn is_kebab(text: &str) -> bool {
    is_words(text, '-')
}

/// The same, joined by underscores.
fn is_snake(text: &str) -> bool {
    is_words(text, '_')
}

fn is_words(text: &str, separator: char) -> bool {
    text.split(separator).all(|word| {
        word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.chars().all(|c| c.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        spin_manifest_version = 2
        [application]
        name = "plaza"
        version = "0.1.0"
        authors = ["x"]
        [application.tool.lint]
        level = "high"
        [application.trigger.kafka]
        retries = 3
        [variables]
        api_host = { default = "localhost", description = "where the API is" }
        key = { required = true, secret = true }
        [[trigger.http]]
        id = "first"
        route = "/api/..."
        component = "api"
        executor = { type = "spin" }
        [[trigger.http]]
        route = { private = true }
        component = "worker"
        [[trigger.kafka]]
        topics = ["message.events", "friend.events"]
        group = "notification"
        component = "worker"
        attempts_max = 5
        [component.api]
        source = "api.wasm"
        variables = { url = "https://{{ api_host }}/x", key = "{{ key }}" }
        environment = { RUST_BACKTRACE = "1" }
        key_value_stores = ["default", "snake_case", "kebab-case"]
        sqlite_databases = ["chat"]
        allowed_outbound_hosts = ["http://{{ api_host }}:8080"]
        [component.api.build]
        command = "cargo build"
        [component.worker]
        source = "worker.wasm"
    "#;

    fn problems(text: &str) -> Vec<String> {
        Manifest::parse(text, Path::new("/app")).expect_err("the manifest was accepted").0
    }

    #[test]
    fn a_full_manifest_is_read() {
        let manifest = Manifest::parse(GOOD, Path::new("/app")).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("plaza", "0.1.0"));
        assert_eq!(manifest.components[0].source, Path::new("/app/api.wasm"));
        assert_eq!(manifest.http[0].route.as_deref(), Some("/api/..."));
        assert_eq!(manifest.http[1].route, None);
        assert_eq!(manifest.kafka_settings["retries"].as_integer(), Some(3));
        let [trigger] = manifest.kafka.as_slice() else { panic!("one Kafka trigger") };
        assert_eq!(trigger.topics, ["message.events", "friend.events"]);
        assert_eq!((trigger.group.as_str(), trigger.component.as_str()), ("notification", "worker"));
        assert_eq!(trigger.settings["attempts_max"].as_integer(), Some(5));
    }

    #[test]
    fn what_is_not_offered_is_named_with_its_component() {
        for (field, value) in [
            ("files", r#"["assets/*"]"#),
            ("exclude_files", r#"["x"]"#),
            ("allowed_http_hosts", r#"["example.com"]"#),
            ("ai_models", r#"["llama2-chat"]"#),
            ("dependencies", r#"{ "a:b" = "1" }"#),
            ("dependencies_inherit_configuration", "true"),
        ] {
            let text =
                GOOD.replace("source = \"worker.wasm\"", &format!("source = \"worker.wasm\"\n{field} = {value}"));
            let [problem] = &problems(&text)[..] else { panic!("one problem") };
            assert!(problem.starts_with(&format!("component worker: {field} is not offered")), "{problem}");
        }
    }

    #[test]
    fn each_fault_is_found_and_all_are_reported_together() {
        for (good, bad, expected) in [
            ("spin_manifest_version = 2", "spin_manifest_version = 1", "must be 2"),
            ("name = \"plaza\"", "name = \"plaza\"\nunknown = 1", "unknown field `unknown`"),
            ("[component.worker]", "[component.worker]\nunknown = 1", "unknown field `unknown`"),
            ("[component.worker]", "[component.wor_ker]", "kebab-case"),
            ("source = \"worker.wasm\"", "source = { url = \"https://example.com/x.wasm\" }", "path of a local file"),
            ("[[trigger.kafka]]", "[[trigger.redis]]", "trigger type redis is not offered"),
            ("[application.trigger.kafka]", "[application.trigger.redis]", "application.trigger.redis is not offered"),
            ("component = \"api\"", "component = \"apy\"", "there is no [component.apy]"),
            ("component = \"api\"", "component = { source = \"x.wasm\" }", "inline components are not offered"),
            ("component = \"api\"", "component = \"api\"\nmethod = \"GET\"", "unknown field method"),
            ("type = \"spin\"", "type = \"wagi\"", "executor"),
            ("{ private = true }", "{ private = false }", "route must be"),
            ("route = \"/api/...\"", "static_response = { body = \"x\" }", "static_response is not offered"),
            ("group = \"notification\"", "", "needs a group"),
            ("\"friend.events\"", "\"message.events\"", "names a topic twice"),
            ("topics = [", "topic = [", "needs either topic"),
            ("{{ key }}", "{{ kee }}", "does not declare"),
            ("{{ api_host }}:8080", "{{ api_host:8080", "{{ without }}"),
            (
                "key = { required = true, secret = true }",
                "key = { secret = true }",
                "either required = true or a default",
            ),
            ("key = { required", "Key = { default = \"\" }\nkey = { required", "\"Key\" may contain only"),
            ("\"kebab-case\"", "\"../escape\"", "neither kebab-case nor snake_case"),
        ] {
            assert!(GOOD.contains(good), "{good}");
            let found = problems(&GOOD.replacen(good, bad, 1));
            assert!(found.iter().any(|problem| problem.contains(expected)), "{bad}: {found:?}");
        }
        let both = GOOD.replace("\"chat\"", "\"a/b\"").replace("group = \"notification\"", "");
        assert_eq!(problems(&both).len(), 2);
    }
}
