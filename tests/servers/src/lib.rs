//! Real servers for tests, each in a temporary directory on free ports, and gone when the test is, however that ends.
//!
//! [`Kafka`] and its like start their server by the script of the same name in `scripts/`. Where it cannot be had, a test says
//! so and passes: `let Some(kafka) = Kafka::start(1) else { return };`. With `PLAZA_REQUIRE_SERVERS=1` it fails instead.

mod kafka;
mod mariadb;
mod redis;
mod server;

pub use kafka::Kafka;
pub use mariadb::MariaDb;
pub use redis::Redis;
pub use server::Server;
