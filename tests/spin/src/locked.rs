//! The locked application that `spin up` makes of a manifest and hands to triggers, as of `crates/loader/src/local.rs`,
//! `crates/locked-app` and `crates/manifest/src/normalize.rs` of spinframework/spin 3.6.

use crate::manifest::Manifest;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeSet;
use std::path::Path;

/// Locks a manifest that lies in `directory`.
pub fn lock(manifest: &Manifest, directory: &Path) -> Json {
    let components: Vec<_> =
        manifest.component.iter().map(|(id, component)| lock_component(id, component, directory)).collect();
    let mut locked = Map::new();
    let chains = components.iter().any(|component| component.get("host_requirements").is_some());
    locked.insert("spin_lock_version".to_owned(), json!(u8::from(chains)));
    if chains {
        locked.insert("must_understand".to_owned(), json!(["component_host_requirements"]));
    }
    let application = &manifest.application;
    let metadata = with_content([
        ("name", json!(application.name)),
        ("version", json!(application.version)),
        ("description", json!(application.description)),
        ("authors", json!(application.authors)),
        ("origin", json!(file_url(&directory.join("spin.toml")))),
    ]);
    locked.insert("metadata".to_owned(), Json::Object(metadata));
    locked["metadata"]["triggers"] = json!(application.trigger);
    let variable = |(name, variable): (&String, &crate::manifest::Variable)| {
        let mut locked = Map::new();
        locked.extend(variable.default.iter().map(|default| ("default".to_owned(), json!(default))));
        locked.extend(variable.secret.then(|| ("secret".to_owned(), json!(true))));
        (name.clone(), Json::Object(locked))
    };
    locked.insert("variables".to_owned(), Json::Object(manifest.variables.iter().map(variable).collect()));
    locked.insert("triggers".to_owned(), Json::Array(lock_triggers(manifest)));
    locked.insert("components".to_owned(), Json::Array(components));
    Json::Object(locked)
}

/// Every trigger gets an id: `<component>-<type>-trigger`, or a number where that is taken.
fn lock_triggers(manifest: &Manifest) -> Vec<Json> {
    let mut ids = BTreeSet::new();
    let mut triggers = Vec::new();
    for (kind, entries) in &manifest.trigger {
        for (index, entry) in entries.iter().enumerate() {
            let mut config = json!(entry);
            let given = config.as_object_mut().and_then(|config| config.remove("id"));
            let component = config["component"].as_str().unwrap_or_default();
            let mut id = given.and_then(|id| id.as_str().map(str::to_owned));
            id = id.or_else(|| Some(format!("{component}-{kind}-trigger")).filter(|id| !ids.contains(id)));
            let id = id.unwrap_or_else(|| format!("{kind}-trigger{}", index + 1));
            ids.insert(id.clone());
            triggers.push(json!({ "id": id, "trigger_type": kind, "trigger_config": config }));
        }
    }
    triggers
}

fn lock_component(id: &str, component: &crate::manifest::Component, directory: &Path) -> Json {
    let source = directory.join(component.source.as_str().unwrap_or_default());
    let mut locked = Map::from_iter([
        ("id".to_owned(), json!(id)),
        ("source".to_owned(), json!({ "content_type": "application/wasm", "source": file_url(&source) })),
    ]);
    let metadata = with_content([
        ("description", json!(component.description)),
        ("allowed_outbound_hosts", json!(component.allowed_outbound_hosts)),
        ("key_value_stores", json!(component.key_value_stores)),
        ("databases", json!(component.sqlite_databases)),
        ("ai_models", json!(component.ai_models)),
    ]);
    let chains = component.allowed_outbound_hosts.iter().any(|host| host.ends_with(".spin.internal"));
    let requirements = if chains { json!({ "local_service_chaining": "required" }) } else { json!({}) };
    locked.extend(with_content([
        ("metadata", Json::Object(metadata)),
        ("env", json!(component.environment)),
        ("config", json!(component.variables)),
        ("host_requirements", requirements),
    ]));
    Json::Object(locked)
}

/// Spin leaves out what is empty.
fn with_content<const N: usize>(entries: [(&str, Json); N]) -> Map<String, Json> {
    let empty = |value: &Json| {
        value.as_str().is_some_and(str::is_empty)
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(Map::is_empty)
    };
    entries.into_iter().filter(|(_, value)| !empty(value)).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A file as a URL.
pub fn file_url(path: &Path) -> String {
    let escaped: String =
        path.to_string_lossy().chars().map(|c| if c == ' ' { "%20".to_owned() } else { c.to_string() }).collect();
    format!("file://{escaped}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Spin's own test of its loader expects (`crates/loader/tests/ui/service-chaining.{toml,lock}`), in the shape of 3.6,
    /// where requirements are a component's.
    #[test]
    fn it_is_what_spin_makes() {
        let manifest = crate::manifest::read(
            r#"
            spin_manifest_version = 2
            [application]
            authors = ["Gul Madred", "JL"]
            name = "chain-of-command"
            version = "6.11.2"
            [[trigger.http]]
            route = "/lights"
            component = "four-lights"
            executor = { type = "http" }
            [[trigger.http]]
            route = "/more-lights"
            component = "four-lights"
            [[trigger.http]]
            route = "/test"
            component = "old-test"
            [component.four-lights]
            source = "wasm/dummy.wasm"
            allowed_outbound_hosts = ["http://old-test.spin.internal"]
            environment = { env1 = "first" }
            [component.old-test]
            source = "wasm/dummy.wasm"
            "#,
        );
        let expected = json!({
            "spin_lock_version": 1,
            "must_understand": ["component_host_requirements"],
            "metadata": {
                "authors": ["Gul Madred", "JL"],
                "name": "chain-of-command",
                "origin": "file:///app/spin.toml",
                "triggers": {},
                "version": "6.11.2"
            },
            "variables": {},
            "triggers": [
                {
                    "id": "four-lights-http-trigger",
                    "trigger_type": "http",
                    "trigger_config": { "component": "four-lights", "executor": { "type": "http" }, "route": "/lights" }
                },
                {
                    "id": "http-trigger2",
                    "trigger_type": "http",
                    "trigger_config": { "component": "four-lights", "route": "/more-lights" }
                },
                {
                    "id": "old-test-http-trigger",
                    "trigger_type": "http",
                    "trigger_config": { "component": "old-test", "route": "/test" }
                }
            ],
            "components": [
                {
                    "id": "four-lights",
                    "metadata": { "allowed_outbound_hosts": ["http://old-test.spin.internal"] },
                    "source": { "content_type": "application/wasm", "source": "file:///app/wasm/dummy.wasm" },
                    "env": { "env1": "first" },
                    "host_requirements": { "local_service_chaining": "required" }
                },
                {
                    "id": "old-test",
                    "source": { "content_type": "application/wasm", "source": "file:///app/wasm/dummy.wasm" }
                }
            ]
        });
        assert_eq!(lock(&manifest.unwrap(), Path::new("/app")), expected);
    }
}
