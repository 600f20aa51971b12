//! MySQL and MariaDB, through Spin's interface.
//!
//! It sends statements by the prepared protocol, where MySQL refuses `START TRANSACTION`: a change begins by switching off that
//! each statement commits itself. Isolation is left as the server has it: a change locks what it decides by (`FOR UPDATE`
//! reads what is newest), and what it only looks at may be as old as its first look. How long it waits for a row is the server's
//! `innodb_lock_wait_timeout`, or the host's word.

use super::{Failed, Failure, Row, Value};
use spin_sdk::mysql::{self, DbValue, MysqlError, ParameterValue};
use std::cell::{Cell, RefCell};
use std::fmt;

/// Has statements belong to a change, until there is a `COMMIT`.
const COLLECT: &str = "SET autocommit=0";

/// Has each statement commit itself.
const COMMIT_EACH: &str = "SET autocommit=1";

/// A connection, opened when it is needed, and again when it was lost.
#[derive(Debug)]
pub(super) struct Connection {
    url: Url,
    open: RefCell<Option<mysql::Connection>>,
    /// Whether statements belong to a change until there is a `COMMIT`.
    collecting: Cell<bool>,
}

/// An address with a password, which it does not show.
struct Url(String);

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(the address in database_url)")
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Connection {
    /// A connection to the database of this URL: `mysql://user:password@host:port/database`.
    pub(super) fn new(url: String) -> Self {
        Self { url: Url(url), open: RefCell::new(None), collecting: Cell::new(false) }
    }

    /// Runs a query as part of a change.
    pub(super) fn query(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Failed> {
        let parameters = parameters(params);
        let found = self.on_connection(|connection| connection.query(sql, &parameters))?;
        let row = |values: Vec<DbValue>| Ok(Row { values: values.into_iter().map(value).collect::<Result<_, _>>()? });
        found.rows.into_iter().map(row).collect()
    }

    /// Runs a query outside any change, on another connection where the first is lost.
    pub(super) fn query_alone(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Failed> {
        let ask = || {
            if self.collecting.get() {
                // Otherwise it would begin a change, and every later query would see what this one saw.
                self.execute(COMMIT_EACH, &[])?;
                self.collecting.set(false);
            }
            self.query(sql, params)
        };
        match ask() {
            Err(failed) if failed.failure == Failure::Lost => ask(),
            outcome => outcome,
        }
    }

    /// Runs a statement that has no rows.
    pub(super) fn execute(&self, sql: &str, params: &[Value]) -> Result<(), Failed> {
        let parameters = parameters(params);
        self.on_connection(|connection| connection.execute(sql, &parameters))
    }

    /// Begins a change.
    pub(super) fn begin(&self) -> Result<(), Failed> {
        if !self.collecting.get() {
            self.execute(COLLECT, &[])?;
            self.collecting.set(true);
        }
        Ok(())
    }

    /// Makes the change stay.
    pub(super) fn commit(&self) -> Result<(), Failed> {
        self.execute("COMMIT", &[])
    }

    /// Undoes the change. Where that fails the connection is given up, and the server undoes it.
    pub(super) fn roll_back(&self) {
        if self.open.borrow().is_some() && self.execute("ROLLBACK", &[]).is_err() {
            self.give_up();
        }
    }

    fn on_connection<T>(&self, ask: impl FnOnce(&mysql::Connection) -> Result<T, MysqlError>) -> Result<T, Failed> {
        let mut open = self.open.borrow_mut();
        let connection = match open.as_mut() {
            Some(connection) => connection,
            None => open.insert(mysql::Connection::open(&self.url.0).map_err(|error| self.failed(error))?),
        };
        let outcome = ask(connection).map_err(|error| self.failed(error));
        drop(open);
        if outcome.as_ref().is_err_and(|failed| failed.failure == Failure::Lost) {
            self.give_up();
        }
        outcome
    }

    fn give_up(&self) {
        self.open.replace(None);
        self.collecting.set(false);
    }

    fn failed(&self, error: MysqlError) -> Failed {
        match error {
            // It may repeat the address, which is a secret.
            MysqlError::ConnectionFailed(cause) => Failed::mysql(cause.replace(&self.url.0, &self.url.to_string())),
            MysqlError::QueryFailed(cause) => Failed::mysql(cause),
            // This is where a failure ends up that came after the first row.
            MysqlError::Other(cause) if Failed::is_mysqls(&cause) => Failed::mysql(cause),
            MysqlError::Other(cause) | MysqlError::BadParameter(cause) | MysqlError::ValueConversionFailed(cause) => {
                Failed::fault(cause)
            }
        }
    }
}

fn parameters(params: &[Value]) -> Vec<ParameterValue> {
    let parameter = |value: &Value| match value {
        Value::Integer(integer) => ParameterValue::Int64(*integer),
        Value::Real(real) => ParameterValue::Floating64(*real),
        Value::Text(text) => ParameterValue::Str(text.clone()),
        Value::Blob(bytes) => ParameterValue::Binary(bytes.clone()),
        Value::Null => ParameterValue::DbNull,
    };
    params.iter().map(parameter).collect()
}

/// Text that is compared byte by byte comes as bytes.
fn value(value: DbValue) -> Result<Value, Failed> {
    Ok(match value {
        DbValue::Boolean(truth) => Value::Integer(truth.into()),
        DbValue::Int8(integer) => Value::Integer(integer.into()),
        DbValue::Int16(integer) => Value::Integer(integer.into()),
        DbValue::Int32(integer) => Value::Integer(integer.into()),
        DbValue::Int64(integer) => Value::Integer(integer),
        DbValue::Uint8(integer) => Value::Integer(integer.into()),
        DbValue::Uint16(integer) => Value::Integer(integer.into()),
        DbValue::Uint32(integer) => Value::Integer(integer.into()),
        DbValue::Uint64(integer) => match i64::try_from(integer) {
            Ok(integer) => Value::Integer(integer),
            Err(error) => return Err(Failed::fault(error.to_string())),
        },
        DbValue::Floating32(real) => Value::Real(real.into()),
        DbValue::Floating64(real) => Value::Real(real),
        DbValue::Str(text) => Value::Text(text),
        DbValue::Binary(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Value::Text(text),
            Err(error) => Value::Blob(error.into_bytes()),
        },
        DbValue::DbNull => Value::Null,
        DbValue::Unsupported => return Err(Failed::fault("a column of a type that Spin does not hand on".to_owned())),
    })
}
