//! The manifest and the components are such as a stock Spin takes.

#![allow(missing_docs)]

use plaza_spin::{imports, manifest, paths};

#[test]
fn the_manifest_has_only_what_spin_knows() {
    let text = std::fs::read_to_string(paths::manifest()).unwrap();
    let manifest = manifest::read(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert!(manifest.trigger.contains_key("http") && manifest.trigger.contains_key("kafka"));
    for (change, to, named) in [
        ("[application]\n", "[application]\nhomepage = \"x\"\n", "homepage"),
        ("sqlite_databases = [\"user\"]", "databases = [\"user\"]", "databases"),
        ("route = \"/health\"", "route = \"/health\"\nmethods = [\"GET\"]", "methods"),
        ("component = \"ops-health\"", "component = \"ops-nothing\"", "ops-nothing"),
        ("{{ token_keys }}", "{{ token_kees }}", "token_kees"),
        ("http://user-session.spin.internal", "user-session.spin.internal", "scheme://host"),
    ] {
        assert!(text.contains(change), "{change}");
        let problems = manifest::read(&text.replacen(change, to, 1)).unwrap_err().join("\n");
        assert!(problems.contains(named), "{problems}");
    }
}

#[test]
fn components_import_only_what_spin_offers() {
    let text = std::fs::read_to_string(paths::manifest()).unwrap();
    let manifest = manifest::read(&text).unwrap();
    let directory = paths::manifest().parent().unwrap().to_owned();
    for (id, component) in &manifest.component {
        let file = directory.join(component.source.as_str().unwrap());
        let bytes = std::fs::read(&file)
            .unwrap_or_else(|error| panic!("{}: {error}: run ./scripts/build first", file.display()));
        let imports = imports::of(&bytes).unwrap_or_else(|error| panic!("{id}: {error}"));
        assert!(imports.iter().any(|import| import.starts_with("wasi:http/types@")), "{id}: {imports:?}");
        let foreign: Vec<_> = imports.iter().filter(|import| !imports::is_offered(import)).collect();
        assert!(foreign.is_empty(), "{id} imports what Spin 3.6 has not: {foreign:?}");
    }
}

#[test]
fn what_spin_does_not_offer_is_found() {
    let component = r#"(component
        (import "wasi:http/types@0.2.6" (instance))
        (import "wasi:io/poll@0.2.7" (instance))
        (import "spin:redis/redis@3.0.0" (instance))
        (component (import "inner:only/thing@1.0.0" (instance))))"#;
    let imports = imports::of(&wat::parse_str(component).unwrap()).unwrap();
    assert_eq!(imports, ["wasi:http/types@0.2.6", "wasi:io/poll@0.2.7", "spin:redis/redis@3.0.0"]);
    let offered: Vec<_> = imports.iter().map(|import| imports::is_offered(import)).collect();
    assert_eq!(offered, [true, false, false]);
}
