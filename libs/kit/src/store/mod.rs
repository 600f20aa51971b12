//! A context's database: rows in, rows out, and changes that take their events with them.
//!
//! SQLite by default, MySQL or MariaDB where the component's variable `database_url` says so. Both take the same SQL: what
//! they do not have in common (how a change begins, how a row is locked, what an error means) is hidden here.

mod column;
mod failure;
mod mysql;
pub mod once;
mod sqlite;

use crate::clock::{self, Fresh};
use crate::{secret, variable};
pub use column::{Column, Row, Value};
use failure::{Failed, Failure};
use plaza_domain::{Event, Problem, Timestamp, id};
use std::cell::Cell;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// The most rows that one statement inserts.
const ROWS_PER_INSERT_MAX: usize = 64;

/// How often a change is made in all, where others are in its way or the connection is lost.
const ATTEMPTS_MAX: u32 = 6;

/// No further attempt begins after this long.
const ATTEMPTS_TIME_MAX: Duration = Duration::from_secs(10);

/// The longest pause before the second attempt; it doubles with each further one. The real one is random, so that two who
/// were in each other's way do not meet again.
const PAUSE_MAX: Duration = Duration::from_millis(8);

/// How long an event's id is remembered: longer than the log keeps the event (7 days), so that it cannot come again.
const CONSUMED_KEPT: Duration = Duration::from_hours(8 * 24);

/// The most events that are forgotten in one change: more than come in one.
const FORGOTTEN_AT_ONCE_MAX: u32 = 256;

/// A database of this component's context.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
}

/// The dialects.
#[derive(Debug)]
enum Connection {
    Sqlite(sqlite::Connection),
    Mysql(mysql::Connection),
}

/// A change under way: what it writes and what it tells is there together, or not at all.
#[derive(Debug)]
pub struct Change<'a> {
    database: &'a Database,
    /// Whether it must be made again: something in it failed that may go well the next time.
    again: Cell<bool>,
}

/// What can be asked: a database, or a change under way, which sees what it has changed.
pub trait Source {
    /// Runs a query.
    fn query(&self, sql: &str, params: &[Value]) -> impl Future<Output = Result<Vec<Row>, Problem>>;
}

impl Source for Database {
    async fn query(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Problem> {
        Self::query(self, sql, params).await
    }
}

impl Source for Change<'_> {
    async fn query(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Problem> {
        Self::query(self, sql, params).await
    }
}

/// The parameters of a statement.
///
/// ```text
/// database.query("SELECT name FROM rooms WHERE id = ?", &params![room_id]).await?
/// ```
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { [$($crate::store::Column::to_value(&$value)),*] };
}

impl Database {
    /// Opens the database of this component's context: the one that the variable `database_url` names, or where it is
    /// empty SQLite's of this label.
    pub async fn open(label: &str) -> Result<Self, Problem> {
        Self::open_by(label, "database_url").await
    }

    /// The same, by another variable: for a component that has several databases.
    pub async fn open_by(label: &str, url_variable: &str) -> Result<Self, Problem> {
        let url = variable::required(url_variable)?;
        let connection = if url.is_empty() {
            Connection::Sqlite(sqlite::Connection::open(label).map_err(|failed| failed.problem("open"))?)
        } else {
            Connection::Mysql(mysql::Connection::new(url))
        };
        Ok(Self { connection })
    }

    /// Runs a query outside any change. Where the connection is lost it is asked again.
    pub async fn query(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Problem> {
        self.connection.query_alone(sql, params).map_err(|failed| failed.problem(sql))
    }

    /// The first row of a query, if it has one.
    pub async fn query_one(&self, sql: &str, params: &[Value]) -> Result<Option<Row>, Problem> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Makes a change. It is whole and on disk when this returns `Ok`; on `Err` nothing of it remains, unless the detail of
    /// a 503 says that this is not known.
    ///
    /// It may be made several times, each time from the beginning, where another one is in its way or the connection is
    /// lost: it must do nothing but change the database. It holds locks, in SQLite the database's one write lock: ask
    /// nobody else inside.
    pub async fn transaction<T>(&self, change: impl AsyncFn(&Change<'_>) -> Result<T, Problem>) -> Result<T, Problem> {
        let began = Instant::now();
        let mut attempt = 1;
        loop {
            let (problem, again) = match self.attempt(&change).await {
                Ok(value) => return Ok(value),
                Err(ended) => ended,
            };
            if !again || attempt == ATTEMPTS_MAX || began.elapsed() > ATTEMPTS_TIME_MAX {
                return Err(problem);
            }
            pause(attempt);
            attempt += 1;
        }
    }

    /// Makes the change once. On `Err` also whether it may be made again.
    async fn attempt<T>(&self, body: &impl AsyncFn(&Change<'_>) -> Result<T, Problem>) -> Result<T, (Problem, bool)> {
        self.connection.begin().map_err(|failed| (failed.problem("begin"), failed.may_be_made_again()))?;
        let change = Change { database: self, again: Cell::new(false) };
        let outcome = body(&change).await;
        let again = change.again.get();
        match outcome {
            Ok(value) if !again => {
                let committed = self.connection.commit();
                committed.map(|()| value).map_err(|failed| {
                    self.connection.roll_back();
                    (failed.problem_at_commit(), failed.may_be_committed_again())
                })
            }
            // Whatever the body made of it: after such a failure half of the change may be gone.
            outcome => {
                self.connection.roll_back();
                Err((outcome.err().unwrap_or_else(in_the_way), again))
            }
        }
    }
}

impl Change<'_> {
    /// Runs a query. Its rows may be changed by others unless they are locked.
    pub async fn query(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Problem> {
        self.still_good()?;
        let found = self.database.connection.query(sql, params);
        found.map_err(|failed| self.fail(sql, &failed))
    }

    /// The first row of a query, if it has one.
    pub async fn query_one(&self, sql: &str, params: &[Value]) -> Result<Option<Row>, Problem> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Runs a query and locks its rows until the change is over: they are the newest, and stay so.
    ///
    /// What a change writes or tells of it must lock before it looks at it. Changes that lock several rows do so in the
    /// same order.
    pub async fn lock(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Problem> {
        match &self.database.connection {
            // It has only one lock, which the change holds.
            Connection::Sqlite(_) => self.query(sql, params).await,
            Connection::Mysql(_) => self.query(&format!("{sql} FOR UPDATE"), params).await,
        }
    }

    /// The first row of [`Change::lock`], if it has one.
    pub async fn lock_one(&self, sql: &str, params: &[Value]) -> Result<Option<Row>, Problem> {
        Ok(self.lock(sql, params).await?.into_iter().next())
    }

    /// Runs a statement that has no rows. Where it breaks a unique key, somebody else was first since this change looked:
    /// it is made again, and finds what they did.
    pub async fn execute(&self, sql: &str, params: &[Value]) -> Result<(), Problem> {
        self.still_good()?;
        self.database.connection.execute(sql, params).map_err(|failed| self.fail(sql, &failed))
    }

    /// Inserts a row, and tells whether it is new: `false` where a unique key has it already, and nothing was inserted.
    pub async fn insert_new(&self, sql: &str, params: &[Value]) -> Result<bool, Problem> {
        self.still_good()?;
        match self.database.connection.execute(sql, params) {
            Ok(()) => Ok(true),
            Err(failed) if failed.failure == Failure::Duplicate => Ok(false),
            Err(failed) => Err(self.fail(sql, &failed)),
        }
    }

    /// Has the change made again: what it looked at was changed by somebody else. The problem is what the caller gets when
    /// that goes on and on.
    pub fn again(&self) -> Problem {
        self.again.set(true);
        in_the_way()
    }

    /// Tells of the change: the event goes out if, and only if, the change stays.
    ///
    /// Events of one key keep the order of their changes because a change locks what it tells of before it does so.
    pub async fn emit(&self, event: &Event) -> Result<(), Problem> {
        self.emit_all(std::slice::from_ref(event)).await
    }

    /// The same with several, in their order.
    pub async fn emit_all(&self, events: &[Event]) -> Result<(), Problem> {
        let row = |event: &Event| {
            let channels: Vec<&str> = event.channels.iter().map(plaza_domain::event::Channel::name).collect();
            params![
                id::EventId::fresh(),
                event.topic.name(),
                event.key,
                event.kind,
                event.data,
                clock::now(),
                channels.join(" "),
                event.action.name(),
            ]
            .to_vec()
        };
        let rows: Vec<_> = events.iter().map(row).collect();
        self.insert_all("outbox (event_id, topic, `key`, type, data, time, channels, action)", &rows).await
    }

    /// Inserts rows, many in a statement. `into` names table and columns: `"rooms (id, name)"`.
    pub async fn insert_all(&self, into: &str, rows: &[Vec<Value>]) -> Result<(), Problem> {
        let mut rest = rows;
        while let Some(first) = rest.first() {
            // Powers of two, so that there are few statements to prepare.
            let count = 1 << rest.len().min(ROWS_PER_INSERT_MAX).ilog2();
            let (chunk, after) = rest.split_at(count);
            let row = format!("({})", placeholders(first.len()));
            let sql = format!("INSERT INTO {into} VALUES {}", vec![row; count].join(", "));
            self.execute(&sql, &chunk.concat()).await?;
            rest = after;
        }
        Ok(())
    }

    /// Which of these events come for the first time. They are remembered with the change, so a repeat has no effect; those that
    /// are too old to come again are forgotten.
    pub async fn first_time<'e>(
        &self,
        event_ids: impl IntoIterator<Item = &'e str>,
    ) -> Result<HashSet<&'e str>, Problem> {
        self.forget_old_events().await?;
        let mut new: HashSet<&str> = event_ids.into_iter().collect();
        let params: Vec<_> = new.iter().map(Column::to_value).collect();
        let sql = format!("SELECT event_id FROM consumed_events WHERE event_id IN ({})", placeholders(params.len()));
        for row in self.query(&sql, &params).await? {
            new.remove(row.get::<String>(0)?.as_str());
        }
        // In one order, so that two changes with the same events do not wait for each other in a circle.
        let mut ids: Vec<&str> = new.iter().copied().collect();
        ids.sort_unstable();
        let now = clock::now();
        let rows: Vec<_> = ids.iter().map(|id| params![id, now].to_vec()).collect();
        self.insert_all("consumed_events (event_id, consumed_at)", &rows).await?;
        Ok(new)
    }

    /// Event ids sort by time, so those that are old enough are the low end of the table. They are looked up first: deleting a
    /// range locks its edge even where nothing is in it.
    async fn forget_old_events(&self) -> Result<(), Problem> {
        let kept = i64::try_from(CONSUMED_KEPT.as_millis()).unwrap_or(i64::MAX);
        let oldest = id::EventId::new(Timestamp::from_unix_ms((clock::now().unix_ms() - kept).max(0)), [0; 10]);
        let sql = "SELECT event_id FROM consumed_events WHERE event_id < ? ORDER BY event_id LIMIT ?";
        let old = self.query(sql, &params![oldest, FORGOTTEN_AT_ONCE_MAX]).await?;
        if old.is_empty() {
            return Ok(());
        }
        let ids = old.iter().map(|row| row.get::<String>(0)).collect::<Result<Vec<_>, _>>()?;
        let sql = format!("DELETE FROM consumed_events WHERE event_id IN ({})", placeholders(ids.len()));
        self.execute(&sql, &ids.iter().map(Column::to_value).collect::<Vec<_>>()).await
    }

    /// After a failure the database may have undone what the change did so far: nothing may follow it.
    fn still_good(&self) -> Result<(), Problem> {
        if self.again.get() { Err(in_the_way()) } else { Ok(()) }
    }

    fn fail(&self, sql: &str, failed: &Failed) -> Problem {
        if failed.may_be_made_again() {
            self.again.set(true);
        }
        failed.problem(sql)
    }
}

impl Connection {
    fn query(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Failed> {
        match self {
            Self::Sqlite(sqlite) => sqlite.query(sql, params),
            Self::Mysql(mysql) => mysql.query(sql, params),
        }
    }

    fn query_alone(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Failed> {
        match self {
            Self::Sqlite(sqlite) => sqlite.query(sql, params),
            Self::Mysql(mysql) => mysql.query_alone(sql, params),
        }
    }

    fn execute(&self, sql: &str, params: &[Value]) -> Result<(), Failed> {
        match self {
            Self::Sqlite(sqlite) => sqlite.query(sql, params).map(drop),
            Self::Mysql(mysql) => mysql.execute(sql, params),
        }
    }

    fn begin(&self) -> Result<(), Failed> {
        match self {
            Self::Sqlite(sqlite) => sqlite.query("BEGIN IMMEDIATE", &[]).map(drop),
            Self::Mysql(mysql) => mysql.begin(),
        }
    }

    fn commit(&self) -> Result<(), Failed> {
        match self {
            Self::Sqlite(sqlite) => sqlite.query("COMMIT", &[]).map(drop),
            Self::Mysql(mysql) => mysql.commit(),
        }
    }

    /// What cannot be rolled back is rolled back by the database when the connection goes.
    fn roll_back(&self) {
        match self {
            Self::Sqlite(sqlite) => drop(sqlite.query("ROLLBACK", &[])),
            Self::Mysql(mysql) => mysql.roll_back(),
        }
    }
}

/// 503: others were in the way of every attempt.
fn in_the_way() -> Problem {
    Problem::unavailable("Too many want to change this at the same time; nothing was changed.")
}

/// Lets the others go first.
fn pause(attempt: u32) {
    let longest = PAUSE_MAX * 2_u32.pow(attempt - 1);
    let [chance] = secret::random::<1>();
    std::thread::sleep(longest * u32::from(chance) / u32::from(u8::MAX));
}

/// `?, ?, …`: as many placeholders as there are values for an `IN (…)`.
pub fn placeholders(count: usize) -> String {
    vec!["?"; count].join(", ")
}

/// The texts that begin with `text`, as a range in the order of their bytes: from the first, and up to but without the
/// second. Unlike `LIKE` it has no characters that mean something else, and every dialect finds it in an index.
pub fn prefix_range(text: &str) -> (String, String) {
    let mut end = text.to_owned();
    while let Some(last) = end.pop() {
        // The characters in their order have a gap where UTF-16's surrogates are.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            end.push(next);
            break;
        }
    }
    (text.to_owned(), end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_range_without_its_neighbours() {
        for prefix in ["mi", "민", "%", "_a", "\\", "!", "a\u{d7ff}", "z\u{10ffff}", "🌱"] {
            let (first, end) = prefix_range(prefix);
            for inside in
                [prefix.to_owned(), format!("{prefix}\0"), format!("{prefix}x"), format!("{prefix}\u{10ffff}🌱")]
            {
                assert!(first <= inside && inside < end, "{inside:?} begins with {prefix:?}");
            }
            let shorter: String = prefix.chars().take(prefix.chars().count() - 1).collect();
            for outside in [shorter, format!("\u{1}{prefix}"), end.clone()] {
                assert!(outside < first || outside >= end, "{outside:?} does not begin with {prefix:?}");
            }
        }
        assert_eq!(prefix_range("mi").1, "mj");
        assert_eq!(prefix_range("z\u{10ffff}").1, "{");
    }
}
