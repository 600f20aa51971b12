//! Triggered by `user.events` and `message.events`, or `POST /events/analytics`: counts what they tell of, by hour and by day (UTC).
//!
//! An event may come twice: its id is stored with what it counted, in one change, so that it counts once. A batch is one change.

use plaza_domain::Timestamp;
use plaza_domain::analytics::{Metric, Step};
use plaza_domain::id::UserId;
use plaza_kit::store::{Column, placeholders};
use plaza_kit::{Change, Database, Problem, Reply, Request, clock, cloudevents, params, reply};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

plaza_kit::function!(handle);

/// An event that counts.
struct Counted {
    event_id: String,
    metric: Metric,
    at: Timestamp,
    /// Who was active.
    sender: Option<UserId>,
}

/// An hour or a day, by its length and its beginning.
type Period = (Step, Timestamp);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let mut all = Vec::new();
    for event in cloudevents::receive(&request)? {
        let data: Value = event.data()?;
        let Some(metric) = Metric::of_event(&event.kind, &data) else { continue };
        let sender = UserId::deserialize(&data["user_id"]).ok().filter(|_| metric == Metric::MessagesSent);
        all.push(Counted { at: event.time.unwrap_or_else(clock::now), event_id: event.id, metric, sender });
    }
    if all.is_empty() {
        return reply::no_content();
    }
    let database = Database::open("analytics").await?;
    database.transaction(async |change| count(change, &all).await).await?;
    reply::no_content()
}

async fn count(change: &Change<'_>, all: &[Counted]) -> Result<(), Problem> {
    let mut first_time = change.first_time(all.iter().map(|counted| counted.event_id.as_str())).await?;
    // In one order, so that two changes do not wait for each other in a circle.
    let mut counters: BTreeMap<(Period, Metric), u64> = BTreeMap::new();
    let mut senders: BTreeMap<Period, BTreeSet<UserId>> = BTreeMap::new();
    for counted in all {
        // An event may also come twice in one batch.
        if !first_time.remove(counted.event_id.as_str()) {
            continue;
        }
        for step in Step::ALL {
            let period = (step, step.start_of(counted.at));
            *counters.entry((period, counted.metric)).or_default() += 1;
            if let Some(sender) = counted.sender {
                senders.entry(period).or_default().insert(sender);
            }
        }
    }
    for (period, senders) in senders {
        let new = new_senders(change, period, &senders).await?;
        if new > 0 {
            counters.insert((period, Metric::ActiveUsers), new);
        }
    }
    for ((period, metric), more) in counters {
        add(change, period, metric, more).await?;
    }
    Ok(())
}

/// Remembers who was active in a period, and tells how many of them had not been before.
async fn new_senders(change: &Change<'_>, (step, at): Period, senders: &BTreeSet<UserId>) -> Result<u64, Problem> {
    let sql = format!(
        "SELECT user_id FROM active_users WHERE step = ? AND starts_at = ? AND user_id IN ({})",
        placeholders(senders.len())
    );
    let period = params![step.name(), at];
    let params: Vec<_> = period.iter().cloned().chain(senders.iter().map(Column::to_value)).collect();
    let rows = change.query(&sql, &params).await?;
    let known = rows.iter().map(|row| row.get(0)).collect::<Result<BTreeSet<UserId>, _>>()?;
    let new: Vec<_> = senders.difference(&known).map(|user| params![step.name(), at, user].to_vec()).collect();
    // Where another change has counted one of them since, all this is done again.
    change.insert_all("active_users (step, starts_at, user_id)", &new).await?;
    Ok(new.len() as u64)
}

async fn add(change: &Change<'_>, (step, at): Period, metric: Metric, more: u64) -> Result<(), Problem> {
    let key = params![step.name(), at, metric.name()];
    let look = "SELECT 1 FROM counters WHERE step = ? AND starts_at = ? AND metric = ?";
    if change.query_one(look, &key).await?.is_none() {
        let sql = "INSERT INTO counters (step, starts_at, metric, count) VALUES (?, ?, ?, ?)";
        return change.execute(sql, &params![step.name(), at, metric.name(), more]).await;
    }
    let sql = "UPDATE counters SET count = count + ? WHERE step = ? AND starts_at = ? AND metric = ?";
    change.execute(sql, &params![more, step.name(), at, metric.name()]).await
}
