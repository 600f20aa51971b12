use std::{ops::Deref, sync::OnceLock};

use crate::Server;

/// A Redis. Every write is on disk before it is answered, so that a restart finds it.
#[derive(Debug)]
pub struct Redis(Server);

impl Redis {
    /// A server of one's own. Blocks until it is ready.
    pub fn start() -> Option<Self> {
        Server::start("redis", &[]).map(Self)
    }

    /// The server that all tests of this binary share, for those that do it no harm and use a database of their own.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Redis>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// Its address, as a URL without a database.
    pub fn url(&self) -> &str {
        self.0.address()
    }
}

impl Deref for Redis {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}
