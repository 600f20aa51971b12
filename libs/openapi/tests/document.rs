//! The document is the one that is kept, speaks of every route, and its examples are of the shapes that it gives.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What the process itself answers: no component has it.
const NATIVE: [&str; 1] = ["/metrics"];

/// Pages and their parts, for browsers: no part of the API.
const PAGES: [&str; 3] = ["/", "/client/...", "/docs/..."];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every object of the document under this key, with the path to it.
fn objects<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if name == key {
                    found.push(member);
                }
                objects(member, key, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| objects(item, key, found)),
        _ => {}
    }
}

#[test]
fn the_kept_document_is_the_one_that_is_made() {
    let kept = std::fs::read_to_string(root().join(plaza_openapi::FILE)).expect("the document is there");
    assert!(kept == plaza_openapi::text(), "the document has changed: run scripts/openapi");
}

#[test]
fn every_route_of_the_manifest_is_in_the_document_and_no_other() {
    let manifest = std::fs::read_to_string(root().join("spin.toml")).expect("the manifest is there");
    let manifest: toml::Table = manifest.parse().expect("the manifest is TOML");
    let triggers = manifest["trigger"]["http"].as_array().expect("the manifest has HTTP triggers");
    let in_manifest: BTreeSet<&str> = triggers.iter().filter_map(|trigger| trigger["route"].as_str()).collect();
    let operations = plaza_openapi::operations();
    let described = operations.iter().map(plaza_openapi::Operation::route);
    let expected: BTreeSet<&str> = described.filter(|route| !NATIVE.contains(route)).chain(PAGES).collect();
    assert_eq!(in_manifest, expected, "left: the manifest, right: the document (and this test's PAGES)");
}

#[test]
fn operations_have_names_of_their_own_and_say_what_they_do() {
    let document = plaza_openapi::document();
    let mut seen = BTreeSet::new();
    let mut ids = Vec::new();
    objects(&document["paths"], "operationId", &mut ids);
    assert!(ids.len() > 20, "there are only {}", ids.len());
    for id in ids {
        assert!(seen.insert(id.as_str().expect("an operationId is a string")), "{id} is there twice");
    }
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let what = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{what}: no summary");
            let segments: Vec<&str> = path.split('/').filter(|segment| segment.starts_with('{')).collect();
            for segment in segments {
                let name = segment.trim_matches(['{', '}']);
                let parameters = operation["parameters"].as_array().expect("parameters");
                let is_it = |parameter: &&Value| parameter["name"] == name && parameter["in"] == "path";
                let parameter =
                    parameters.iter().find(is_it).unwrap_or_else(|| panic!("{what}: {name} is not told of"));
                assert!(parameter["example"].is_string(), "{what}: {name} has no example");
            }
            if let Some(content) = operation.pointer("/requestBody/content").and_then(Value::as_object) {
                for (media_type, body) in content {
                    assert!(body["examples"].is_object(), "{what}: no example as {media_type}");
                }
            }
            let responses = operation["responses"].as_object().expect("responses");
            assert!(responses.keys().any(|status| status.starts_with('2')), "{what}: it never succeeds");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = plaza_openapi::document();
    let mut references = Vec::new();
    objects(&document, "$ref", &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.as_str().and_then(|reference| reference.strip_prefix('#')).expect("an inner reference");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn every_example_is_valid() {
    let document = plaza_openapi::document();
    let mut checked = 0;
    let mut faults = BTreeMap::new();
    let mut check = |what: String, schema: &Value, example: &Value| {
        let schema = json!({ "allOf": [schema], "components": document["components"] });
        let validator = jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&schema)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let errors: Vec<String> = validator.iter_errors(example).map(|error| error.to_string()).collect();
        checked += 1;
        if !errors.is_empty() {
            faults.insert(what, errors);
        }
    };
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                if let Some(example) = parameter.get("example") {
                    check(format!("{method} {path} {}", parameter["name"]), &parameter["schema"], example);
                }
            }
            let mut bodies = vec![("body".to_owned(), &operation["requestBody"])];
            bodies.extend(operation["responses"].as_object().expect("responses").iter().map(|(k, v)| (k.clone(), v)));
            for (name, body) in bodies {
                for media in body["content"].as_object().into_iter().flat_map(|content| content.values()) {
                    let named = media["examples"].as_object().into_iter().flatten();
                    let all = named.map(|(name, example)| (name.as_str(), &example["value"]));
                    for (example_name, example) in all.chain(media.get("example").map(|example| ("", example))) {
                        check(format!("{method} {path} {name} {example_name}"), &media["schema"], example);
                    }
                }
            }
        }
    }
    assert!(checked > 50, "only {checked} examples");
    assert!(faults.is_empty(), "{faults:#?}");
}
