use std::{io, path::PathBuf, sync::Arc, time::Duration};

/// Why something did not happen. What SQLite itself says is passed on in its own words, which components know.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// SQLite refused or failed: a syntax error, a constraint, a full disk.
    #[error("{0}")]
    Sqlite(Arc<rusqlite::Error>),
    /// The turn to write did not come within [`Settings::gate_wait_max`](crate::Settings::gate_wait_max).
    #[error("database is locked")]
    Busy,
    /// The statement ran longer than it may. If it was a write, its whole transaction is rolled back.
    #[error("statement took longer than {} ms and was interrupted", .0.as_millis())]
    StatementTime(Duration),
    /// The statement's result is larger than it may be.
    #[error("query result exceeds limit of {0} bytes")]
    ResultTooLarge(usize),
    /// A text value in the database is not UTF-8.
    #[error("column {0} holds text that is not UTF-8")]
    NotUtf8(usize),
    /// The statement asks SQLite about the connection's last change, which was made by a transaction that has ended, on
    /// the writer's connection. Inside the transaction it can be asked.
    #[error(
        "last_insert_rowid(), changes() and total_changes() cannot be used in SQL after a transaction's end: use RETURNING, \
         or ask the connection itself"
    )]
    CountersGone,
    /// All connections are in use.
    #[error("more than {0} connections are open")]
    Exhausted(usize),
    /// The database has been closed.
    #[error("database is closed")]
    Closed,
    /// The log could not be synced. Nobody can know any longer what is on disk, so every later commit fails, too, until
    /// the database is opened again.
    #[error("write-ahead log could not be synced: {0}")]
    Sync(Arc<io::Error>),
    /// The file could not be opened or created.
    #[error("{path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: Arc<io::Error>,
    },
    /// A migration cannot be applied.
    #[error("migration {name}: {reason}")]
    Migration {
        /// Name of the file.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// Whether another transaction was in the way, so that the same one may well succeed when it is tried again.
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Busy => true,
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
            ),
            _ => false,
        }
    }

    pub(crate) fn is_interrupt(error: &rusqlite::Error) -> bool {
        error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted)
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}
