//! SQLite, through Spin's interface.

use super::{Failed, Row, Value};
use spin_sdk::sqlite3;

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection(sqlite3::Connection);

impl Connection {
    /// Opens the database of this label.
    pub(super) fn open(label: &str) -> Result<Self, Failed> {
        sqlite3::Connection::open(label).map(Self).map_err(|error| Failed::sqlite(&error))
    }

    /// Runs a statement, whether it has rows or not.
    pub(super) fn query(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Failed> {
        let result = self.0.execute(sql, params).map_err(|error| Failed::sqlite(&error))?;
        Ok(result.rows.into_iter().map(|row| Row { values: row.values }).collect())
    }
}
