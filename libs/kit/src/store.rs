//! A context's database: rows in, rows out, and changes that take their events with them.

use crate::clock::{self, Fresh};
use plaza_domain::{Event, Problem, Timestamp, id};
pub use spin_sdk::sqlite3::Value;
use spin_sdk::sqlite3::{Connection, Error};
use std::collections::HashSet;

/// The most rows that one statement inserts.
const ROWS_PER_INSERT_MAX: usize = 64;

/// A database of this component's context.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
}

/// A row of a result.
#[derive(Debug)]
pub struct Row {
    values: Vec<Value>,
}

/// A change under way: what it writes and what it tells is there together, or not at all.
#[derive(Debug)]
pub struct Change<'a> {
    database: &'a Database,
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
    /// Opens a database by its label.
    pub async fn open(label: &str) -> Result<Self, Problem> {
        let connection = Connection::open(label).map_err(|error| refuse("open", &error))?;
        Ok(Self { connection })
    }

    /// Runs one statement outside any change: a query.
    pub async fn query(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Problem> {
        let result = self.connection.execute(sql, params).map_err(|error| refuse(sql, &error))?;
        Ok(result.rows.into_iter().map(|row| Row { values: row.values }).collect())
    }

    /// The first row of a query, if it has one.
    pub async fn query_one(&self, sql: &str, params: &[Value]) -> Result<Option<Row>, Problem> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Makes a change. It is whole and on disk when this returns `Ok`; on `Err` nothing of it remains.
    ///
    /// It holds the database's one write lock: ask nobody else inside.
    pub async fn transaction<T>(
        &self,
        change: impl AsyncFnOnce(&Change<'_>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        self.query("BEGIN IMMEDIATE", &[]).await?;
        let outcome = change(&Change { database: self }).await;
        let end = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.query(end, &[]).await;
        let value = outcome?;
        ended.map(|_| value)
    }
}

impl Change<'_> {
    /// Runs one statement of the change.
    pub async fn query(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Problem> {
        self.database.query(sql, params).await
    }

    /// The first row of a query, if it has one.
    pub async fn query_one(&self, sql: &str, params: &[Value]) -> Result<Option<Row>, Problem> {
        self.database.query_one(sql, params).await
    }

    /// Runs a statement, and tells whether it changed a row.
    pub async fn changes(&self, sql: &str, params: &[Value]) -> Result<bool, Problem> {
        self.query(sql, params).await?;
        Ok(self.database.connection.changes() > 0)
    }

    /// Tells of the change: the event goes out if, and only if, the change stays.
    pub async fn emit(&self, event: &Event) -> Result<(), Problem> {
        let channels: Vec<&str> = event.channels.iter().map(plaza_domain::event::Channel::name).collect();
        self.query(
            "INSERT INTO outbox (event_id, topic, key, type, data, time, channels, action) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            &params![
                id::EventId::fresh(),
                event.topic.name(),
                event.key,
                event.kind,
                event.data,
                clock::now(),
                channels.join(" "),
                event.action.name(),
            ],
        )
        .await?;
        Ok(())
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
            self.query(&sql, &chunk.concat()).await?;
            rest = after;
        }
        Ok(())
    }

    /// Which of these events come for the first time. They are remembered with the change, so a repeat has no effect.
    pub async fn first_time<'e>(
        &self,
        event_ids: impl IntoIterator<Item = &'e str>,
    ) -> Result<HashSet<&'e str>, Problem> {
        let mut new: HashSet<&str> = event_ids.into_iter().collect();
        let params: Vec<_> = new.iter().map(Column::to_value).collect();
        let sql = format!("SELECT event_id FROM consumed_events WHERE event_id IN ({})", placeholders(params.len()));
        for row in self.query(&sql, &params).await? {
            new.remove(row.get::<String>(0)?.as_str());
        }
        let now = clock::now();
        let rows: Vec<_> = new.iter().map(|id| params![id, now].to_vec()).collect();
        self.insert_all("consumed_events (event_id, consumed_at)", &rows).await?;
        Ok(new)
    }
}

impl Row {
    /// A column by its place. What is not of the type was not written by us: 500, and the log tells.
    pub fn get<T: Column>(&self, index: usize) -> Result<T, Problem> {
        let value = self.values.get(index);
        value.and_then(T::from_value).ok_or_else(|| {
            eprintln!("column {index} is {value:?}, not of the type that is read");
            Problem::internal()
        })
    }
}

/// What a column can hold.
pub trait Column: Sized {
    /// As it is stored.
    fn to_value(&self) -> Value;
    /// From what is stored.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! integer_columns {
    ($($integer:ty)*) => {$(
        impl Column for $integer {
            fn to_value(&self) -> Value {
                Value::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
            }

            fn from_value(value: &Value) -> Option<Self> {
                if let Value::Integer(integer) = value { (*integer).try_into().ok() } else { None }
            }
        }
    )*};
}

macro_rules! id_columns {
    ($($id:ident)*) => {$(
        impl Column for id::$id {
            fn to_value(&self) -> Value {
                Value::Text(self.to_string())
            }

            fn from_value(value: &Value) -> Option<Self> {
                if let Value::Text(text) = value { text.parse().ok() } else { None }
            }
        }
    )*};
}

integer_columns! { i64 u64 u32 }
id_columns! { UserId SessionId FriendRequestId RoomId MessageId NotificationId EventId }

impl Column for bool {
    fn to_value(&self) -> Value {
        Value::Integer(i64::from(*self))
    }

    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Integer(integer) = value { Some(*integer != 0) } else { None }
    }
}

impl Column for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }

    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Text(text) = value { Some(text.clone()) } else { None }
    }
}

/// Written only: what is read is owned.
impl Column for &str {
    fn to_value(&self) -> Value {
        Value::Text((*self).to_owned())
    }

    fn from_value(_: &Value) -> Option<Self> {
        None
    }
}

impl Column for Timestamp {
    fn to_value(&self) -> Value {
        Value::Integer(self.unix_ms())
    }

    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Integer(unix_ms) = value { Some(Self::from_unix_ms(*unix_ms)) } else { None }
    }
}

impl<T: Column> Column for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_value)
    }

    fn from_value(value: &Value) -> Option<Self> {
        if matches!(value, Value::Null) { Some(None) } else { T::from_value(value).map(Some) }
    }
}

impl<T: Column> Column for &T {
    fn to_value(&self) -> Value {
        (*self).to_value()
    }

    fn from_value(_: &Value) -> Option<Self> {
        None
    }
}

/// What a client is told when the database refuses: that it is busy, or nothing but that it is our fault.
fn refuse(statement: &str, error: &Error) -> Problem {
    let cause = error.to_string();
    eprintln!("{statement}: {cause}");
    if cause.contains("locked") || cause.contains("busy") {
        Problem::unavailable("The database is busy; nothing was changed.")
    } else {
        Problem::internal()
    }
}

/// `?, ?, …`: as many placeholders as there are values for an `IN (…)`.
pub fn placeholders(count: usize) -> String {
    vec!["?"; count].join(", ")
}

/// A pattern for `LIKE … ESCAPE '\'` that matches what begins with `text`.
pub fn prefix_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
