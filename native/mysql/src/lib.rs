//! MySQL and MariaDB as Plaza uses them: what an address means, one database per context, and its migrations.
//!
//! - [`options`] reads an address, `mysql://user:password@host:port/database`, the same way for functions, publishers and
//!   migrations. No error and no log line of this crate contains a password.
//! - [`context_url`] is the rule by which one address on the command line stands for the databases of all contexts.
//! - [`lock_name`] names a lock for one purpose and one database.
//! - [`create_database`], [`migrate`], [`status`] and [`revert`] are what `plaza migrate` does.
//!
//! Log target: this crate's own.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod address;
mod error;
mod files;
mod migrate;

pub use address::{context_url, database_name, lock_name, options, redacted};
pub use error::Error;
pub use migrate::{Migration, State, create_database, migrate, revert, server_time_ms, status};
