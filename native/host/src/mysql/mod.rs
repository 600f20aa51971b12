//! `fermyon:spin/mysql`: databases by address, as Spin has them, on connections that are kept and passed on.
//!
//! To a guest a connection is new: no transaction, `autocommit` on, no state of a session. What it leaves behind is undone
//! before anyone else gets the connection, and what it had not committed is rolled back, however it ended.
//!
//! Connections are kept by address, and an address contains the credentials, so nobody gets one that he could not have
//! opened himself. Prepared statements stay prepared: a statement takes one round trip, and two the first time.

mod connection;
mod convert;
mod pool;
mod statement;

use std::sync::Arc;

use tokio::sync::watch;
use wasmtime::component::Resource;

#[allow(unreachable_pub)]
pub use connection::Connection;
use pool::Pool;
pub(crate) use pool::Pools;

use crate::metrics::Limit;
use crate::state::State;
use crate::wit::fermyon::spin::mysql as wit;
use crate::wit::fermyon::spin::rdbms_types::{self, Error, ParameterValue, RowSet};

impl rdbms_types::Host for State {}

impl wit::Host for State {}

impl wit::HostConnection for State {
    async fn open(&mut self, address: String) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        let pool = match self.mysql_pool(&address) {
            Ok(pool) => pool,
            Err(error) => return Ok(Err(error)),
        };
        if let Err(error) = pool.ready().await {
            return Ok(Err(error));
        }
        let opened = self.table.push(Connection::new(pool))?;
        self.mysql_connections_open += 1;
        Ok(Ok(opened))
    }

    async fn query(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> wasmtime::Result<Result<RowSet, Error>> {
        Ok(self.table.get_mut(&connection)?.run(&statement, params).await)
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.table.get_mut(&connection)?.run(&statement, params).await.map(drop))
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        self.mysql_connections_open -= 1;
        Ok(())
    }
}

impl State {
    fn mysql_pool(&self, address: &str) -> Result<Arc<Pool>, Error> {
        let options = plaza_mysql::options(address).map_err(|error| Error::ConnectionFailed(error.to_string()))?;
        // What is checked is what will be connected to: the host and the port that the driver has read, too.
        let (host, port) = (options.ip_or_hostname().to_ascii_lowercase(), options.tcp_port());
        if !self.guest.component.allowed_hosts.any(|allowed| allowed.allows_server("mysql", &host, port)) {
            let component = &self.guest.component.name;
            tracing::warn!(
                component,
                request_id = self.guest.request_id(),
                host,
                port,
                "MySQL server that is not granted"
            );
            return Err(Error::ConnectionFailed(format!(
                "address {} is not permitted",
                plaza_mysql::redacted(address)
            )));
        }
        if self.mysql_connections_open >= self.guest.host.limits.mysql_connections_max {
            Limit::MysqlConnections.hit();
            return Err(pool::too_many());
        }
        self.guest.host.mysql.pool(address, options)
    }
}

impl Pools {
    /// Counts commits to the database of this address: every one that this host has made. Exactly the same text is the
    /// same address.
    pub(crate) fn commits(&self, address: &str) -> Result<watch::Receiver<u64>, plaza_mysql::Error> {
        let options = plaza_mysql::options(address)?;
        let pool = self.pool(address, options);
        pool.map(|pool| pool.commits()).map_err(|_| plaza_mysql::Error::Address("is one too many".to_owned()))
    }
}
