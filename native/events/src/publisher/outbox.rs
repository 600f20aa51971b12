//! Where events wait for the publisher: a table `outbox` in a context's database.

use std::time::Duration;

use async_trait::async_trait;

use super::row::Row;

/// The outbox of a context's database.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Waits for the turn to publish. No more than one publisher has it, as far as that can be known: who has lost it without
    /// knowing may only repeat what another publishes, and never get ahead of it.
    async fn turn(&self) -> Result<Box<dyn Turn>, OutboxError>;
}

/// The turn to publish an outbox; over when it is dropped.
#[async_trait]
pub trait Turn: Send {
    /// The first rows, in order of their ids, of which none can be undone any longer.
    ///
    /// Of the rows with the same key, none is missing that was committed before another of them. At least one row, if there
    /// is any; the last may exceed the bound of bytes.
    async fn read(&mut self, rows_max: usize, bytes_max: usize) -> Result<Batch, OutboxError>;

    /// Ends only if the turn is lost. To be polled while [`Turn::read`]'s rows are appended; dropping it does no harm.
    async fn keep(&mut self) -> OutboxError;

    /// Deletes rows that are in the log, whether the turn is still ours or not.
    async fn delete(&mut self, rows: &[Row]) -> Result<(), OutboxError>;

    /// Waits until there may be rows: something was committed, or this long has passed. Dropping it does no harm.
    async fn wait(&mut self, poll_interval: Duration) -> Result<(), OutboxError>;
}

/// A beginning of an outbox.
#[derive(Debug, Default)]
pub struct Batch {
    /// Its rows.
    pub rows: Vec<Row>,
    /// How many rows the outbox has, at least roughly.
    pub depth: u64,
}

/// Why an outbox did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OutboxError {
    /// The database has been closed: nothing will come any more.
    #[error("the database is closed")]
    Closed,
    /// Somebody else was in the way, or the server is away: another try may succeed.
    #[error("{0}")]
    Unavailable(String),
    /// The turn is another publisher's now.
    #[error("another publisher has taken over")]
    Lost,
}
