//! The manifest's fields, as Spin's published JSON schema has them (`spin/manifest-v2/latest.json` of spinframework/spin,
//! Apache-2.0), and the rules beside it that Spin's loader checks (`crates/manifest`, `crates/loader`).
//!
//! Every table there has `additionalProperties: false`, but for the triggers of plugins, the tables of `tool`, and
//! `[application.trigger]`.

use serde::Deserialize;
use std::collections::BTreeMap;
use toml::{Table, Value};

/// A manifest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// 2.
    pub spin_manifest_version: u32,
    /// `[application]`.
    pub application: Application,
    /// `[variables]`.
    #[serde(default)]
    pub variables: BTreeMap<String, Variable>,
    /// `[[trigger.<type>]]`.
    pub trigger: BTreeMap<String, Vec<Table>>,
    /// `[component.<id>]`.
    #[serde(default)]
    pub component: BTreeMap<String, Component>,
}

/// `[application]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// The name.
    pub name: String,
    /// The version.
    #[serde(default)]
    pub version: String,
    /// What it is.
    #[serde(default)]
    pub description: String,
    /// Who made it.
    #[serde(default)]
    pub authors: Vec<String>,
    /// Settings for all triggers of a type.
    #[serde(default)]
    pub trigger: BTreeMap<String, Table>,
    /// For other tools.
    #[serde(default)]
    pub tool: Table,
}

/// A variable.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// The value where nobody gives another.
    pub default: Option<String>,
    /// Whether somebody has to.
    #[serde(default)]
    pub required: bool,
    /// Whether it is not to be shown.
    #[serde(default)]
    pub secret: bool,
}

/// `[component.<id>]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// A file, or where to load it from.
    pub source: Value,
    /// What it is.
    #[serde(default)]
    pub description: String,
    /// Its variables: templates.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Its environment.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Files that it sees.
    #[serde(default)]
    pub files: Vec<Value>,
    /// Files that it does not see.
    #[serde(default)]
    pub exclude_files: Vec<String>,
    /// Where it may connect to: templates.
    #[serde(default)]
    pub allowed_outbound_hosts: Vec<String>,
    /// The same, as it was.
    #[serde(default)]
    pub allowed_http_hosts: Vec<String>,
    /// Stores that it may open.
    #[serde(default)]
    pub key_value_stores: Vec<String>,
    /// Databases that it may open.
    #[serde(default)]
    pub sqlite_databases: Vec<String>,
    /// Models that it may use.
    #[serde(default)]
    pub ai_models: Vec<String>,
    /// How it is built.
    pub build: Option<Table>,
    /// What it is composed with.
    #[serde(default)]
    pub dependencies: Table,
    /// Whether those may use what it may.
    #[serde(default)]
    pub dependencies_inherit_configuration: bool,
    /// For other tools.
    #[serde(default)]
    pub tool: Table,
}

/// What an HTTP trigger may have.
const HTTP_TRIGGER: &[&str] = &["id", "component", "components", "route", "executor"];

/// Reads a manifest as Spin does. The error lists all that Spin would refuse.
pub fn read(text: &str) -> Result<Manifest, Vec<String>> {
    let manifest: Manifest = toml::from_str(text).map_err(|error| vec![error.to_string()])?;
    let mut problems = Vec::new();
    if manifest.spin_manifest_version != 2 {
        problems.push("spin_manifest_version is not 2".to_owned());
    }
    for (name, variable) in &manifest.variables {
        if !is_words(name, '_') || name.chars().any(|c| c.is_ascii_uppercase()) {
            problems.push(format!("variable {name}: not lower case words with underscores"));
        }
        if variable.required == variable.default.is_some() {
            problems.push(format!("variable {name}: must be `required` OR have a `default`"));
        }
    }
    for (kind, triggers) in &manifest.trigger {
        for trigger in triggers {
            problems.extend(of_trigger(kind, trigger, &manifest));
        }
    }
    for (id, component) in &manifest.component {
        problems
            .extend(of_component(component, &manifest).into_iter().map(|problem| format!("component {id}: {problem}")));
        if !is_words(id, '-') {
            problems.push(format!("component {id}: its id is not kebab-case"));
        }
    }
    if problems.is_empty() { Ok(manifest) } else { Err(problems) }
}

fn of_trigger(kind: &str, trigger: &Table, manifest: &Manifest) -> Vec<String> {
    let mut problems = Vec::new();
    if kind == "http" {
        let unknown = trigger.keys().filter(|field| !HTTP_TRIGGER.contains(&field.as_str()));
        problems.extend(unknown.map(|field| format!("trigger.http: unknown field {field}")));
        let private = Value::Table(Table::from_iter([("private".to_owned(), Value::Boolean(true))]));
        let route = trigger.get("route");
        if !route.is_some_and(|route| *route == private || route.as_str().is_some_and(|path| path.starts_with('/'))) {
            problems.push(format!("trigger.http: route {route:?} is neither a path nor private"));
        }
    }
    match trigger.get("component").and_then(Value::as_str) {
        Some(id) if manifest.component.contains_key(id) => {}
        other => problems.push(format!("trigger.{kind}: component {other:?} is none of the manifest's")),
    }
    problems
}

fn of_component(component: &Component, manifest: &Manifest) -> Vec<String> {
    let mut problems = Vec::new();
    if component.source.as_str().is_none() {
        problems.push("its source is no file".to_owned());
    }
    for label in component.key_value_stores.iter().chain(&component.sqlite_databases) {
        if !is_words(label, '-') && !is_words(label, '_') {
            problems.push(format!("label {label} is neither kebab-case nor snake_case"));
        }
    }
    for name in component.variables.keys() {
        if !is_words(name, '_') {
            problems.push(format!("variable {name}: not words with underscores"));
        }
    }
    for template in component.variables.values().chain(&component.allowed_outbound_hosts) {
        let unknown = names(template).into_iter().filter(|name| !manifest.variables.contains_key(*name));
        problems.extend(unknown.map(|name| format!("{template}: there is no variable {name}")));
    }
    for host in &component.allowed_outbound_hosts {
        // What is in a template is known only at run time.
        let plain = host.replace("{{", "").replace("}}", "").replace(' ', "");
        let authority = plain.split_once("://").map(|(_, authority)| authority);
        if authority.is_none_or(|authority| authority.is_empty() || authority.contains('/')) {
            problems.push(format!("allowed_outbound_hosts: {host} is not scheme://host[:port]"));
        }
    }
    problems
}

/// The variables in a template.
fn names(template: &str) -> Vec<&str> {
    template.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0.trim())).collect()
}

/// Words of letters and digits, each beginning with a letter (`spin_serde::id`).
fn is_words(text: &str, separator: char) -> bool {
    text.split(separator).all(|word| {
        word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.chars().all(|c| c.is_ascii_alphanumeric())
    })
}
