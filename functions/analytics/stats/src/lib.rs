//! `GET /api/stats?from=&to=&step=hour|day`: what happened, hour by hour or day by day (UTC), for those who operate Plaza.

use plaza_domain::Timestamp;
use plaza_domain::analytics::{Counts, Metric, Range, Stats, Step};
use plaza_domain::input::Invalid;
use plaza_domain::page::invalid_parameter;
use plaza_kit::{Database, Problem, Reply, Request, auth, clock, params, reply};
use std::collections::BTreeMap;

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    auth::caller(&request).await?.require_operator()?;
    let step = request
        .query("step")
        .map_or(Some(Step::Day), |name| Step::from_name(&name))
        .ok_or_else(|| invalid_parameter("step", Invalid::new("unknown_value", "must be \"hour\" or \"day\"")))?;
    let time = |name| request.query_as::<Timestamp>(name, "an RFC 3339 time");
    let range = Range::new(step, time("from")?, time("to")?, clock::now())?;

    let database = Database::open("analytics").await?;
    let sql = "SELECT starts_at, metric, count FROM counters WHERE step = ? AND starts_at >= ? AND starts_at < ?";
    let mut counted: BTreeMap<Timestamp, Counts> = BTreeMap::new();
    for row in database.query(sql, &params![step.name(), range.from, range.to]).await? {
        let name: String = row.get(1)?;
        // A metric that this version does not have was counted by another.
        if let Some(metric) = Metric::ALL.into_iter().find(|metric| metric.name() == name) {
            *counted.entry(row.get(0)?).or_default().of(metric) = row.get(2)?;
        }
    }
    reply::json(200, &Stats::new(range, counted))
}
