//! The outbox of a SQLite database. It has one writer at a time, so that ids are in the order of commits, and one process
//! that publishes it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use plaza_sqlite::{Connection, Database, rusqlite};
use rusqlite::{params, types::ValueRef};
use tokio::{sync::watch, time};

use super::{Batch, Cell, Outbox, OutboxError, Row, Turn};

/// First pause when the database is busy as rows are to be deleted; doubled each time.
const BUSY_PAUSE_INITIAL: Duration = Duration::from_millis(50);
/// Longest such pause.
const BUSY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// The table `outbox` of a SQLite database.
pub struct SqliteOutbox {
    database: Arc<Database>,
}

impl SqliteOutbox {
    /// Of this database.
    pub fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Outbox for SqliteOutbox {
    async fn turn(&self) -> Result<Box<dyn Turn>, OutboxError> {
        Ok(Box::new(SqliteTurn { commits: self.database.commits(), database: self.database.clone() }))
    }
}

struct SqliteTurn {
    database: Arc<Database>,
    commits: watch::Receiver<u64>,
}

#[async_trait]
impl Turn for SqliteTurn {
    async fn read(&mut self, rows_max: usize, bytes_max: usize) -> Result<Batch, OutboxError> {
        // Before looking: what is committed afterwards wakes.
        self.commits.borrow_and_update();
        let batch = {
            let mut connection = self.database.connection()?;
            read(&mut connection, rows_max, bytes_max)?
        };
        if !batch.rows.is_empty() {
            // A row may be read before its commit is on disk. What a power cut would undo must not be told to the world.
            self.database.durable().await?;
        }
        Ok(batch)
    }

    async fn keep(&mut self) -> OutboxError {
        std::future::pending().await
    }

    /// Tries again until it succeeds, since to start over would publish them all again. If a power cut undoes it, they are
    /// published again, which happens anyhow.
    async fn delete(&mut self, rows: &[Row]) -> Result<(), OutboxError> {
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let mut connection = self.database.connection()?;
        let mut pause = BUSY_PAUSE_INITIAL;
        loop {
            match delete(&mut connection, &ids).await {
                Err(error) if error.is_busy() => {
                    tracing::warn!(%error, "published rows could not be deleted; trying again");
                    time::sleep(pause).await;
                    pause = (pause * 2).min(BUSY_PAUSE_MAX);
                }
                result => return Ok(result?),
            }
        }
    }

    async fn wait(&mut self, poll_interval: Duration) -> Result<(), OutboxError> {
        match time::timeout(poll_interval, self.commits.changed()).await {
            // Nothing can be committed any longer; what was, has been seen on the last round.
            Ok(Err(_)) => Err(OutboxError::Closed),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}

impl From<plaza_sqlite::Error> for OutboxError {
    fn from(error: plaza_sqlite::Error) -> Self {
        match error {
            plaza_sqlite::Error::Closed => Self::Closed,
            error => Self::Unavailable(error.to_string()),
        }
    }
}

fn read(connection: &mut Connection, rows_max: usize, bytes_max: usize) -> Result<Batch, plaza_sqlite::Error> {
    connection.read(|connection| {
        let mut statement = connection.prepare_cached(
            "SELECT id, event_id, topic, key, type, data, time, channels, action FROM outbox ORDER BY id LIMIT ?1",
        )?;
        let mut found = statement.query([rows_max])?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while bytes < bytes_max
            && let Some(row) = found.next()?
        {
            let row = self::row(row)?;
            bytes += row.size_bytes();
            rows.push(row);
        }
        let depth = if rows.len() < rows_max && bytes < bytes_max {
            rows.len() as u64
        } else {
            // Exact but for ids that were never used; counting would go through all rows.
            connection
                .prepare_cached("SELECT max(id) - (SELECT min(id) FROM outbox) + 1 FROM outbox")?
                .query_row([], |row| row.get(0))?
        };
        Ok(Batch { rows, depth })
    })
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let mut values = [const { Cell::Null }; 8];
    for (index, cell) in values.iter_mut().enumerate() {
        *cell = match row.get_ref(index + 1)? {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(integer) => Cell::Integer(integer),
            ValueRef::Real(real) => Cell::Real(real),
            ValueRef::Text(bytes) => Cell::from_bytes(bytes.to_vec()),
            ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
        };
    }
    Ok(Row { id: row.get(0)?, values })
}

async fn delete(connection: &mut Connection, ids: &[i64]) -> Result<(), plaza_sqlite::Error> {
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return Ok(()) };
    connection
        .write_lazily(|connection| {
            // By range, where that hits exactly the rows that were read: nobody can have put one in between, for ids
            // only grow; but a row's id may be written by hand.
            let inside: usize = connection
                .prepare_cached("SELECT count(*) FROM outbox WHERE id BETWEEN ?1 AND ?2")?
                .query_row([first, last], |row| row.get(0))?;
            if inside == ids.len() {
                connection.prepare_cached("DELETE FROM outbox WHERE id BETWEEN ?1 AND ?2")?.execute([first, last])?;
            } else {
                let mut statement = connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?;
                for id in ids {
                    statement.execute(params![id])?;
                }
            }
            Ok(())
        })
        .await
}
