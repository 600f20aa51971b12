use std::{ops::Deref, sync::OnceLock};

use crate::Server;

/// A MariaDB, of one process.
#[derive(Debug)]
pub struct MariaDb(Server);

impl MariaDb {
    /// A server without a database. Blocks until it is ready.
    pub fn start() -> Option<Self> {
        Server::start("mariadb", &[]).map(Self)
    }

    /// The server that all tests of this binary share, for those that do it no harm and use databases of their own.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<MariaDb>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// Its address, without a database: `mysql://root:PASSWORD@127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        self.0.address()
    }

    /// The address of a database of this name, which need not exist yet.
    pub fn database(&self, name: &str) -> String {
        format!("{}/{name}", self.url())
    }
}

impl Deref for MariaDb {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}
