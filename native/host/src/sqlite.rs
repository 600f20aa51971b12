//! `spin:sqlite`: databases by label, on the connections of plaza-sqlite.

use plaza_sqlite::{Connection, Value};
use wasmtime::component::Resource;

use crate::metrics::Limit;
use crate::state::State;
use crate::wit::spin::sqlite::sqlite as wit;

impl wit::Host for State {}

impl wit::HostConnection for State {
    async fn open(&mut self, database: String) -> wasmtime::Result<Result<Resource<Connection>, wit::Error>> {
        let Some(database) = self.guest.component.databases.get(&database) else {
            return Ok(Err(wit::Error::AccessDenied));
        };
        if self.connections_open >= self.guest.host.limits.sqlite_connections_max {
            Limit::SqliteConnections.hit();
            return Ok(Err(wit::Error::Io("too many connections opened".to_owned())));
        }
        let connection = match database.connection() {
            Ok(connection) => connection,
            Err(error) => return Ok(Err(io(&error))),
        };
        let opened = self.table.push(connection)?;
        self.connections_open += 1;
        Ok(Ok(opened))
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<wit::Value>,
    ) -> wasmtime::Result<Result<wit::QueryResult, wit::Error>> {
        let parameters: Vec<_> = parameters.into_iter().map(from_guest).collect();
        let connection = self.table.get_mut(&connection)?;
        Ok(match connection.execute(&statement, &parameters).await {
            Ok(found) => Ok(wit::QueryResult {
                columns: found.columns,
                rows: found
                    .rows
                    .into_iter()
                    .map(|values| wit::RowResult { values: values.into_iter().map(to_guest).collect() })
                    .collect(),
            }),
            Err(error) => Err(io(&error)),
        })
    }

    async fn last_insert_rowid(&mut self, connection: Resource<Connection>) -> wasmtime::Result<i64> {
        Ok(self.table.get(&connection)?.last_insert_rowid())
    }

    async fn changes(&mut self, connection: Resource<Connection>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&connection)?.changes())
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        self.connections_open -= 1;
        Ok(())
    }
}

/// Spin reports whatever SQLite says in its own words, and components look for those words.
fn io(error: &plaza_sqlite::Error) -> wit::Error {
    wit::Error::Io(error.to_string())
}

fn from_guest(value: wit::Value) -> Value {
    match value {
        wit::Value::Integer(integer) => Value::Integer(integer),
        wit::Value::Real(real) => Value::Real(real),
        wit::Value::Text(text) => Value::Text(text),
        wit::Value::Blob(bytes) => Value::Blob(bytes),
        wit::Value::Null => Value::Null,
    }
}

fn to_guest(value: Value) -> wit::Value {
    match value {
        Value::Integer(integer) => wit::Value::Integer(integer),
        Value::Real(real) => wit::Value::Real(real),
        Value::Text(text) => wit::Value::Text(text),
        Value::Blob(bytes) => wit::Value::Blob(bytes),
        Value::Null => wit::Value::Null,
    }
}
