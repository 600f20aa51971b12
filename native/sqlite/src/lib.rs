//! One SQLite database file, opened so that a component sees what Spin's SQLite interface would show it, but fast and
//! durable under many writers.
//!
//! - **One writer at a time, by turns.** SQLite lets one transaction write and makes the others poll for the lock. Here
//!   a fair gate in front of it hands the turn on in order of arrival, and a wait has a bound, after which the answer is
//!   SQLite's own: `database is locked`.
//! - **The writer stays warm.** Transactions that write from their beginning all run on one connection, which comes with
//!   the turn. Nobody else writes, so what it has read and prepared stays valid; on pooled connections each commit would
//!   have made the others' page caches stale.
//! - **Commits share a sync.** Databases run in WAL mode with `synchronous=NORMAL`, where a commit only writes to the
//!   log. The answer to a commit is held back until an fdatasync of the log that began after the commit is done. One
//!   thread per database syncs for everyone who waits, outside the gate. So an answered commit is as durable as under
//!   `synchronous=FULL`, and under load one sync serves many commits.
//! - **Checkpoints stay out of the way**: a thread moves the log's pages into the database beside the writers, and stops
//!   them only for the last few pages.
//! - **A component stays inside its file**: `ATTACH`, `VACUUM`, extensions and pragmas that reach beyond the database or
//!   outlive the connection's use are refused.
//!
//! What is weaker than `synchronous=FULL`: a plain read (outside a transaction that took the gate) may see a commit some
//! tenths of a millisecond before it is on disk. Who acts upon what it read, for good, calls [`Database::durable`] first.
//!
//! Metrics (labelled `database` = the file's stem; install the recorder before opening): `plaza_sqlite_commits_total`,
//! `plaza_sqlite_syncs_total`, `plaza_sqlite_gate_wait_seconds`, `plaza_sqlite_gate_timeouts_total`,
//! `plaza_sqlite_sync_seconds`, `plaza_sqlite_wal_bytes`, `plaza_sqlite_checkpoints_total`,
//! `plaza_sqlite_connections_refused_total`, `plaza_sqlite_statement_timeouts_total`, `plaza_sqlite_result_too_large_total`.

mod authorizer;
mod checkpoint;
mod connection;
mod database;
mod error;
mod migrate;
mod settings;
mod syncer;
mod value;

pub use connection::Connection;
pub use database::Database;
pub use error::Error;
/// The library underneath, for native code that runs its own statements in [`Connection::read`] and [`Connection::write`].
pub use rusqlite;
pub use settings::Settings;
pub use value::{Rows, Value};
