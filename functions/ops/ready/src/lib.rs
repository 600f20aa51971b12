//! `GET /ready`: whether the stores answer and the bus takes events, each named.
//!
//! A function cannot speak to the bus, but it sees whether events leave the outboxes: one that has waited long says that
//! the bus, or the publisher, does not take them.

use plaza_domain::Timestamp;
use plaza_kit::key_value::KeyValue;
use plaza_kit::{Database, Problem, Reply, Request, auth, clock, params, reply};
use serde_json::{Map, Value, json};
use std::time::Duration;

plaza_kit::function!(handle);

/// The contexts' databases, and whether each has an outbox.
const DATABASES: [(&str, bool); 5] =
    [("user", true), ("friend", true), ("chat", true), ("notification", false), ("analytics", false)];

/// How long an event may wait before the bus counts as not reachable.
const OUTBOX_WAIT_MAX: Duration = Duration::from_secs(30);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if !matches!(request.method(), "GET" | "HEAD") {
        return Err(Problem::method_not_allowed("GET, HEAD"));
    }
    let mut checks = Map::new();
    let mut bus = true;
    for (label, has_outbox) in DATABASES {
        let outcome = check(label, has_outbox).await;
        checks.insert(format!("database:{label}"), word(outcome.is_ok()));
        bus &= outcome.is_ok_and(|oldest| oldest.is_none_or(|oldest| clock::now().since(oldest) < OUTBOX_WAIT_MAX));
    }
    for label in [auth::STORE, "tickets"] {
        checks.insert(format!("key-value:{label}"), word(KeyValue::answers(label)));
    }
    checks.insert("bus".to_owned(), word(bus));
    let ready = checks.values().all(|word| word == "ok");
    let (status, word) = if ready { (200, "ready") } else { (503, "not ready") };
    reply::json(status, &json!({"status": word, "checks": checks}))
}

/// Whether a database answers, and how old the oldest event in its outbox is.
async fn check(label: &str, has_outbox: bool) -> Result<Option<Timestamp>, Problem> {
    let database = Database::open_by(label, &format!("{label}_database_url")).await?;
    let sql = if has_outbox { "SELECT time FROM outbox ORDER BY id LIMIT 1" } else { "SELECT 0 LIMIT 0" };
    database.query_one(sql, &params![]).await?.map(|row| row.get(0)).transpose()
}

fn word(ok: bool) -> Value {
    Value::from(if ok { "ok" } else { "failed" })
}
