//! What operators rely on.

use crate::operation::{Operation, get, head};
use plaza_domain::analytics::Stats;
use serde_json::{Value, json};

pub(crate) fn operations() -> Vec<Operation> {
    let public = Operation::public;
    let checks = json!({ "type": "object", "additionalProperties": { "type": "string", "enum": ["ok", "failed"] } });
    let verdict = |word: &str| -> Value {
        json!({
            "type": "object", "required": ["status", "checks"],
            "properties": { "status": { "type": "string", "const": word }, "checks": checks },
        })
    };
    vec![
        public(get("/health", "getHealth", "Whether functions run at all")).answers_as(
            200,
            "They do.",
            "application/json",
            json!({ "type": "object", "required": ["status"], "properties": { "status": { "const": "ok" } } }),
            Some(json!({ "status": "ok" })),
        ),
        public(head("/health", "headHealth", "Whether functions run at all, without a body"))
            .answers_nothing(200, "They do."),
        public(get("/ready", "getReadiness", "Whether everything that is needed answers"))
            .about("Each database, each key-value store and the bus by name.")
            .answers_as(
                200,
                "It does.",
                "application/json",
                verdict("ready"),
                Some(json!({ "status": "ready", "checks": { "database:user": "ok", "bus": "ok" } })),
            )
            .answers_as(
                503,
                "Something does not.",
                "application/json",
                verdict("not ready"),
                Some(json!({ "status": "not ready", "checks": { "database:user": "ok", "bus": "failed" } })),
            ),
        public(head("/ready", "headReadiness", "Whether everything that is needed answers, without a body"))
            .answers_nothing(200, "It does."),
        get("/api/stats", "getStats", "What happened, by day or hour")
            .about("For operators. Without `from` and `to` the last 30 days or 24 hours.")
            .query("step", "By what.", json!({ "type": "string", "enum": ["day", "hour"], "default": "day" }))
            .query("from", "Since when.", json!({ "type": "string", "format": "date-time" }))
            .query("to", "Until when.", json!({ "type": "string", "format": "date-time" }))
            .answers::<Stats>(200, "The counts.", stats())
            .refuses(403, &["operator_required"]),
        public(get("/openapi.json", "getDocument", "This document"))
            .about("With an entity tag, so that asking again costs little.")
            .header("If-None-Match", "The `ETag` of the copy that the client has.", json!({ "type": "string" }))
            .answers_as(
                200,
                "The document.",
                "application/json",
                json!({ "type": "object", "required": ["openapi"] }),
                None,
            )
            .with_header("ETag", "What tells this version of it.", json!({ "type": "string" }))
            .answers_nothing(304, "The client's copy is still good."),
        public(head("/openapi.json", "headDocument", "This document's headers")).answers_nothing(200, "It is there."),
        public(get("/metrics", "getMetrics", "What was measured"))
            .about("Prometheus' text format. Answered by the process itself.")
            .answers_as(200, "The metrics.", "text/plain", json!({ "type": "string" }), None),
        public(head("/metrics", "headMetrics", "Whether there are metrics, without a body"))
            .answers_nothing(200, "There are."),
    ]
}

fn stats() -> Value {
    json!({
        "step": "day", "from": "2026-01-31T00:00:00.000Z", "to": "2026-02-01T00:00:00.000Z",
        "items": [{
            "starts_at": "2026-01-31T00:00:00.000Z", "registrations": 4, "deletions": 0, "messages_sent": 2,
            "messages_edited": 0, "messages_deleted": 0, "reactions": 0, "active_users": 2,
        }],
    })
}
