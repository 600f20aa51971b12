//! `POST /events/presence`: a relay reports which users have streams there. The answer says when it is to report again: before its
//! lease ends, or when something else does that somebody must notice.

use plaza_domain::id::UserId;
use plaza_domain::presence::{REPORT_USERS_MAX, user_of};
use plaza_kit::cloudevents::{self, CloudEvent};
use plaza_kit::{Database, Problem, Reply, Request, clock, reply};
use plaza_user::presence::{self, Lifetimes, Report};
use serde::{Deserialize, Serialize};
use std::time::Duration;

plaza_kit::function!(handle);

/// How many reports a relay makes while one of them counts.
const REPORTS_PER_LEASE: u32 = 3;

/// The longest name of a relay, in bytes.
const RELAY_ID_BYTES_MAX: usize = 36;

/// Which channels have streams at a relay since its last report, and which no longer.
#[derive(Deserialize)]
struct ChannelsHeld {
    relay_id: String,
    seq: u64,
    opened: Vec<String>,
    closed: Vec<String>,
}

#[derive(Serialize)]
struct Answer {
    /// Milliseconds until the next report is wanted.
    again_ms: u64,
}

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let mut reports = Vec::new();
    for event in cloudevents::receive(&request)? {
        if event.kind == "plaza.relay.ChannelsHeld.v1" {
            reports.push(channels_held(&event)?);
        }
    }
    let lifetimes = Lifetimes::of_variables()?;
    let database = Database::open(plaza_user::DATABASE).await?;
    for ChannelsHeld { relay_id, seq, opened, closed } in &reports {
        let (opened, closed) = (users(opened), users(closed));
        let report = Report { relay: relay_id, seq: *seq, opened, closed };
        presence::report(&database, &report, lifetimes).await?;
    }
    let renewal = lifetimes.lease / REPORTS_PER_LEASE;
    let next = presence::end_due(&database).await?.map_or(renewal, |end| end.since(clock::now()).min(renewal));
    reply::json(200, &Answer { again_ms: milliseconds(next) })
}

fn channels_held(event: &CloudEvent) -> Result<ChannelsHeld, Problem> {
    let held: ChannelsHeld = event.data()?;
    let named = held.opened.len() + held.closed.len();
    if named > REPORT_USERS_MAX || held.relay_id.len() > RELAY_ID_BYTES_MAX || !held.relay_id.is_ascii() {
        let detail =
            format!("A report names at most {REPORT_USERS_MAX} channels, and a relay by {RELAY_ID_BYTES_MAX} bytes.");
        return Err(Problem::new(422, "invalid_event", detail));
    }
    Ok(held)
}

/// Whose streams these channels stand for.
fn users(channels: &[String]) -> Vec<UserId> {
    channels.iter().filter_map(|channel| user_of(channel)).collect()
}

/// Rounded up: what ends then must have ended.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}
