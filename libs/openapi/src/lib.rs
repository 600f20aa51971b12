//! The OpenAPI document (version 3.1): every operation, described with the types that the functions use.
//!
//! `cargo run -p plaza-openapi` (`scripts/openapi`) writes it to `functions/ops/openapi/openapi.json`, where it is served from and
//! where the tests read it. An operation that is added to the application is added to its context's module here.

mod chat;
mod events;
mod example;
mod friend;
mod notification;
mod operation;
mod ops;
mod stream;
mod user;

pub use operation::Operation;

use operation::Shape;
use plaza_domain::problem::Document;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Where the document stands in the source tree, from its root.
pub const FILE: &str = "functions/ops/openapi/openapi.json";

/// A context: its name, what it is about, and its operations.
type Context = (&'static str, &'static str, fn() -> Vec<Operation>);

const CONTEXTS: [Context; 7] = [
    ("user", "Accounts, sessions, profiles.", user::operations),
    ("friend", "Friend requests, friendships, blocks.", friend::operations),
    ("chat", "Rooms and messages.", chat::operations),
    ("stream", "What happens, as it happens: server-sent events.", stream::operations),
    ("notification", "What somebody is told of later.", notification::operations),
    ("events", "CloudEvents that arrive over HTTP, for those who bring them.", events::operations),
    ("operations", "What operators rely on.", ops::operations),
];

/// Every operation, by context.
pub fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    for (tag, _, operations) in CONTEXTS {
        all.extend(operations().into_iter().map(|operation| operation.tagged(tag)));
    }
    all
}

/// The document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let mut responses = Map::new();
    let mut paths = Map::new();
    for operation in operations() {
        let described = operation.document(&mut schemas, &mut responses);
        let path = paths.entry(operation.path()).or_insert_with(|| json!({}));
        path[operation.method()] = described;
    }
    // Whatever refuses, refuses like this.
    let _ = Shape::of::<Document<'static>>().schema(&mut schemas);
    let mut components = json!({
        "schemas": schemas.take_definitions(true),
        "responses": responses,
        "headers": { "Idempotency-Replayed": {
            "description": "This is the answer of an earlier request with the same `Idempotency-Key`.",
            "schema": { "type": "string", "const": "true" },
        }, "RateLimit": {
            "description": "What is left of the limits that this request was counted by: `r` requests; all are back in `t` seconds \
                            (draft-ietf-httpapi-ratelimit-headers).",
            "schema": { "type": "string", "examples": ["\"login-account\";r=7;t=42"] },
        }, "RateLimit-Policy": {
            "description": "These limits: `q` requests in `w` seconds.",
            "schema": { "type": "string", "examples": ["\"login-account\";q=10;w=60"] },
        }, "X-Request-Id": {
            "description": "The request's id: the client's own, if it sent one that may stand in a log, else a new one.",
            "required": true,
            "schema": { "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9._-]+$" },
        } },
    });
    components["securitySchemes"] = json!({
        "token": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "An access token (RFC 9068): `access_token` of a login or a refresh.",
        },
        "login": {
            "type": "oauth2",
            "description": "The same token, got by logging in here. Client id and secret are left empty.",
            "flows": { "password": { "tokenUrl": "/api/auth/login", "scopes": {} } },
        },
        "ticket": {
            "type": "apiKey", "in": "query", "name": "ticket",
            "description": "A ticket of `POST /api/stream/ticket`, good once, for clients that cannot set a header.",
        },
        "events_key": { "type": "http", "scheme": "bearer", "description": "The application's `events_key`." },
    });
    let tags: Vec<Value> =
        CONTEXTS.iter().map(|(name, description, _)| json!({ "name": name, "description": description })).collect();
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Plaza",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A real-time chat backend.",
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": paths,
        "components": components,
        "x-example-town": example::town(),
    })
}

/// The document as it is kept: indented, so that a change can be read.
pub fn text() -> String {
    // What has string keys cannot fail to serialize.
    serde_json::to_string_pretty(&document()).unwrap_or_default() + "\n"
}

const DESCRIPTION: &str = "JSON in and out, UTF-8. Ids are opaque strings. Times are RFC 3339 in UTC with milliseconds. \
Refusals are problem details (RFC 9457) with a stable `code`. Lists take `limit` and `cursor`, and answer `items`, \
`next_cursor` and `prev_cursor`.\n\nThe examples speak of a small town of five people. `x-example-town` has the calls that \
make it; `/docs` makes one at the push of a button and puts its ids in the place of those that stand in the examples, so that \
every example works.";
