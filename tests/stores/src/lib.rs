//! What the suite of the stores stands on: the real application on SQLite and on MariaDB, and ways to disturb the latter.
//!
//! The SQL of a context lives in its functions, so the suite drives the functions: each case does the same calls on every
//! database, and expects the same answers.

mod mariadb;
mod world;

pub use mariadb::{MariaDb, Session};
pub use world::{EVENTS_KEY, World};
