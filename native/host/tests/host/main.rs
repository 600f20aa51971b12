//! The host as its users see it: a manifest, a component that does what it is told (`tests/guests`), requests.

#![allow(clippy::unwrap_used, missing_docs)]

mod grants;
mod key_value;
mod limits;
mod mysql;
mod redis;
mod requests;
mod start;
#[path = "../support/mod.rs"]
mod support;

/// One component on a wildcard route, with every grant that does not reach out of the application.
const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "tests"
version = "1.2.3"
[variables]
place = { default = "world" }
secret = { default = "hunter2", secret = true }
[[trigger.http]]
route = "/t/..."
component = "guest"
[component.guest]
source = "GUEST"
variables = { greeting = "hello, {{ place }}!", token = "{{ secret }}" }
environment = { ONLY = "this" }
key_value_stores = ["default", "other"]
sqlite_databases = ["default"]
"#;
