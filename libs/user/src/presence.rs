//! Who is there. A user has holds: one for each relay with a stream of theirs, one for a heartbeat. The last to end makes them
//! offline; each change between the two is one event, in the transaction that makes it.
//!
//! Locks are taken in one order: a relay's lease, then the users' presences in the order of their ids, then holds.

use plaza_domain::id::UserId;
use plaza_domain::presence::{self, Hold};
use plaza_domain::user::Presence;
use plaza_domain::{Event, Problem, Timestamp};
use plaza_kit::store::{Column, Value, placeholders};
use plaza_kit::{Change, Database, clock, params, variable};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// The holder of a heartbeat.
const HEARTBEAT: &str = "heartbeat";

/// The most users whose holds are ended in one change.
const ENDED_AT_ONCE_MAX: u32 = 200;

/// The most changes that one call of [`end_due`] makes.
const CHANGES_MAX: u32 = 10;

/// How long signs of life count.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// Of a stream that has ended: who comes back meanwhile was never gone.
    pub grace: Duration,
    /// Of a relay's report.
    pub lease: Duration,
}

impl Lifetimes {
    /// As the application's variables say.
    pub fn of_variables() -> Result<Self, Problem> {
        let milliseconds = |name| variable::number(name).map(Duration::from_millis);
        Ok(Self { grace: milliseconds("presence_grace_ms")?, lease: milliseconds("presence_lease_ms")? })
    }
}

/// What a relay reports: which users have streams there since its last report, and which no longer.
#[derive(Debug)]
pub struct Report<'a> {
    /// Which relay, and its report's number: 1, 2, 3, …
    pub relay: &'a str,
    /// The report's number.
    pub seq: u64,
    /// Those whose first stream was opened.
    pub opened: Vec<UserId>,
    /// Those whose last stream has ended.
    pub closed: Vec<UserId>,
}

/// Takes a relay's report. One that was taken before only shows that the relay still runs. 410 where the relay's reports so far
/// are not known (any more): it is to begin anew.
pub async fn report(database: &Database, report: &Report<'_>, lifetimes: Lifetimes) -> Result<(), Problem> {
    let known = prepare(database, report.opened.iter().chain(&report.closed)).await?;
    database.transaction(async |change| take(change, report, &known, lifetimes).await).await
}

async fn take(change: &Change<'_>, report: &Report<'_>, users: &[UserId], lifetimes: Lifetimes) -> Result<(), Problem> {
    let now = clock::now();
    let lease_until = now.after(lifetimes.lease);
    let sql = "SELECT seq FROM presence_leases WHERE holder = ?";
    match change.lock_one(sql, &params![report.relay]).await?.map(|row| row.get::<u64>(0)).transpose()? {
        None if report.seq == 1 => {
            let sql = "INSERT INTO presence_leases (holder, seq, renewed_at, lease_until) VALUES (?, 1, ?, ?)";
            change.execute(sql, &params![report.relay, now, lease_until]).await?;
        }
        Some(seq) if seq == report.seq || seq + 1 == report.seq => {
            let sql = "UPDATE presence_leases SET seq = ?, renewed_at = ?, lease_until = ? WHERE holder = ?";
            change.execute(sql, &params![report.seq, now, lease_until, report.relay]).await?;
            if seq == report.seq {
                return Ok(());
            }
        }
        // One that comes late says nothing new.
        Some(seq) if seq > report.seq => return Ok(()),
        _ => {
            return Err(Problem::new(410, "relay_unknown", "This relay's reports are not known: it is to begin anew."));
        }
    }
    let mut standing = lock(change, users).await?;
    let open = Hold { until: None, seen_at: now };
    let grace = Hold { until: Some(now.after(lifetimes.grace)), seen_at: now };
    let (opened, rest): (Vec<UserId>, Vec<UserId>) = users.iter().partition(|user| report.opened.contains(user));
    let closed: Vec<UserId> = rest.into_iter().filter(|user| report.closed.contains(user)).collect();
    hold(change, report.relay, &opened, open).await?;
    hold(change, report.relay, &closed, grace).await?;
    let came = opened.iter().filter_map(|user| presence::change(&standing.remove(user)?, &[open], now)).collect();
    store(change, came).await
}

/// Takes a heartbeat.
pub async fn beat(database: &Database, user: UserId, lifetime: Duration) -> Result<(), Problem> {
    let known = prepare(database, std::iter::once(&user)).await?;
    database
        .transaction(async |change| {
            let now = clock::now();
            let standing = lock(change, &known).await?;
            let beat = Hold { until: Some(now.after(lifetime)), seen_at: now };
            hold(change, HEARTBEAT, &known, beat).await?;
            store(change, standing.values().filter_map(|before| presence::change(before, &[beat], now)).collect()).await
        })
        .await
}

/// Forgets a user whose account goes.
pub async fn forget(change: &Change<'_>, user: UserId) -> Result<(), Problem> {
    let standing = lock(change, &[user]).await?;
    store(change, standing.values().filter_map(|before| presence::change(before, &[], clock::now())).collect()).await?;
    for table in ["presence_holds", "presences"] {
        change.execute(&format!("DELETE FROM {table} WHERE user_id = ?"), &params![user]).await?;
    }
    Ok(())
}

/// Ends what has ended by time: leases of relays that do not report any more, graces, heartbeats. Whoever is asked about presence
/// does this first, so what is answered and what was told agree. When something will end next, if anything will.
pub async fn end_due(database: &Database) -> Result<Option<Timestamp>, Problem> {
    for _ in 0..CHANGES_MAX {
        let now = clock::now();
        let sql = "SELECT holder FROM presence_leases WHERE lease_until <= ? LIMIT 1";
        if let Some(lease) = database.query_one(sql, &params![now]).await? {
            let holder: String = lease.get(0)?;
            database.transaction(async |change| end_lease(change, &holder, now).await).await?;
            continue;
        }
        let sql = "SELECT DISTINCT user_id FROM presence_holds WHERE held_until <= ? LIMIT ?";
        let due = database.query(sql, &params![now, ENDED_AT_ONCE_MAX]).await?;
        if due.is_empty() {
            break;
        }
        let mut users = due.iter().map(|row| row.get(0)).collect::<Result<Vec<UserId>, _>>()?;
        users.sort_unstable();
        database.transaction(async |change| end_holds(change, &users, now).await).await?;
    }
    let mut next = None;
    for sql in ["SELECT MIN(held_until) FROM presence_holds", "SELECT MIN(lease_until) FROM presence_leases"] {
        let row = database.query_one(sql, &[]).await?;
        let end = row.map_or(Ok(None), |row| row.get::<Option<Timestamp>>(0))?;
        next = next.into_iter().chain(end).min();
    }
    Ok(next)
}

/// How these users stand; those who never were online are offline. Those who do not exist are left out.
pub async fn look_up(database: &Database, users: &[UserId]) -> Result<HashMap<UserId, Presence>, Problem> {
    let mut found = HashMap::new();
    if users.is_empty() {
        return Ok(found);
    }
    let sql = format!(
        "SELECT users.id, presences.online, presences.last_seen_at FROM users
         LEFT JOIN presences ON presences.user_id = users.id WHERE users.id IN ({})",
        placeholders(users.len())
    );
    for row in database.query(&sql, &values(users)).await? {
        let user_id = row.get(0)?;
        let online = row.get::<Option<bool>>(1)?.unwrap_or(false);
        found.insert(user_id, Presence { user_id, online, last_seen_at: row.get(2)? });
    }
    Ok(found)
}

/// What a relay held ends as it would have if it had said so when it last reported.
async fn end_lease(change: &Change<'_>, holder: &str, now: Timestamp) -> Result<(), Problem> {
    let sql = "SELECT renewed_at FROM presence_leases WHERE holder = ? AND lease_until <= ?";
    let Some(lease) = change.lock_one(sql, &params![holder, now]).await? else { return Ok(()) };
    let renewed_at: Timestamp = lease.get(0)?;
    let sql = "UPDATE presence_holds SET held_until = ?, seen_at = ? WHERE holder = ? AND held_until IS NULL";
    change.execute(sql, &params![now, renewed_at, holder]).await?;
    change.execute("DELETE FROM presence_leases WHERE holder = ?", &params![holder]).await
}

async fn end_holds(change: &Change<'_>, users: &[UserId], now: Timestamp) -> Result<(), Problem> {
    let standing = lock(change, users).await?;
    let ids = placeholders(users.len());
    let sql = format!("SELECT user_id, held_until, seen_at FROM presence_holds WHERE user_id IN ({ids})");
    let mut holds: HashMap<UserId, Vec<Hold>> = HashMap::new();
    for row in change.lock(&sql, &values(users)).await? {
        holds.entry(row.get(0)?).or_default().push(Hold { until: row.get(1)?, seen_at: row.get(2)? });
    }
    let none = Vec::new();
    let change_of = |before: &Presence| presence::change(before, holds.get(&before.user_id).unwrap_or(&none), now);
    store(change, standing.values().filter_map(change_of).collect()).await?;
    let sql = format!("DELETE FROM presence_holds WHERE user_id IN ({ids}) AND held_until <= ?");
    let params: Vec<Value> = values(users).into_iter().chain([now.to_value()]).collect();
    change.execute(&sql, &params).await
}

/// Those of these who have an account, in the order of their ids, each once. There is a row for each of them from here on, so that
/// changes need not lock what is not there: of such locks two can be in each other's way.
async fn prepare(database: &Database, users: impl Iterator<Item = &UserId>) -> Result<Vec<UserId>, Problem> {
    let users: BTreeSet<UserId> = users.copied().collect();
    let users = Vec::from_iter(users);
    if users.is_empty() {
        return Ok(users);
    }
    let sql = format!(
        "SELECT users.id, presences.user_id FROM users LEFT JOIN presences ON presences.user_id = users.id
         WHERE users.id IN ({}) ORDER BY users.id",
        placeholders(users.len())
    );
    let (mut known, mut new) = (Vec::new(), Vec::new());
    for row in database.query(&sql, &values(&users)).await? {
        let user: UserId = row.get(0)?;
        known.push(user);
        if row.get::<Option<UserId>>(1)?.is_none() {
            new.push(user);
        }
    }
    if !new.is_empty() {
        database
            .transaction(async |change| {
                for user in &new {
                    change.insert_new("INSERT INTO presences (user_id, online) VALUES (?, 0)", &params![user]).await?;
                }
                Ok(())
            })
            .await?;
    }
    Ok(known)
}

/// Locks how these users stand, in the order of their ids.
async fn lock(change: &Change<'_>, users: &[UserId]) -> Result<HashMap<UserId, Presence>, Problem> {
    let mut standing = HashMap::new();
    if users.is_empty() {
        return Ok(standing);
    }
    let ids = placeholders(users.len());
    let sql = format!("SELECT user_id, online, last_seen_at FROM presences WHERE user_id IN ({ids}) ORDER BY user_id");
    for row in change.lock(&sql, &values(users)).await? {
        let user_id = row.get(0)?;
        standing.insert(user_id, Presence { user_id, online: row.get(1)?, last_seen_at: row.get(2)? });
    }
    Ok(standing)
}

/// Gives these users, who are locked, a hold by this holder, in place of the one they may have.
async fn hold(change: &Change<'_>, holder: &str, users: &[UserId], hold: Hold) -> Result<(), Problem> {
    if users.is_empty() {
        return Ok(());
    }
    let by_holder = |users: &[UserId]| std::iter::once(holder.to_value()).chain(values(users)).collect::<Vec<_>>();
    let sql =
        format!("SELECT user_id FROM presence_holds WHERE holder = ? AND user_id IN ({})", placeholders(users.len()));
    let earlier = change.query(&sql, &by_holder(users)).await?;
    let earlier = earlier.iter().map(|row| row.get(0)).collect::<Result<Vec<UserId>, _>>()?;
    if !earlier.is_empty() {
        let ids = placeholders(earlier.len());
        let sql = format!("DELETE FROM presence_holds WHERE holder = ? AND user_id IN ({ids})");
        change.execute(&sql, &by_holder(&earlier)).await?;
    }
    let rows: Vec<_> = users.iter().map(|user| params![user, holder, hold.until, hold.seen_at].to_vec()).collect();
    change.insert_all("presence_holds (user_id, holder, held_until, seen_at)", &rows).await
}

/// Stores how users stand who came or went, and tells of it.
async fn store(change: &Change<'_>, changed: Vec<Presence>) -> Result<(), Problem> {
    // Those who came now all came at the same moment: they are written together.
    let mut alike: HashMap<(bool, Option<Timestamp>), Vec<UserId>> = HashMap::new();
    for presence in &changed {
        alike.entry((presence.online, presence.last_seen_at)).or_default().push(presence.user_id);
    }
    for ((online, last_seen_at), users) in alike {
        let ids = placeholders(users.len());
        let sql = format!("UPDATE presences SET online = ?, last_seen_at = ? WHERE user_id IN ({ids})");
        let params: Vec<Value> = params![online, last_seen_at].into_iter().chain(values(&users)).collect();
        change.execute(&sql, &params).await?;
    }
    let events: Vec<Event> = changed.iter().map(presence::status_changed).collect();
    change.emit_all(&events).await
}

fn values(users: &[UserId]) -> Vec<Value> {
    users.iter().map(Column::to_value).collect()
}
