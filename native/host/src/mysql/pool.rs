//! Connections that are kept, by address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use super::convert;
use crate::metrics::Limit;
use crate::settings::MysqlSettings;
use crate::wit::fermyon::spin::rdbms_types::Error;

/// A connection that was idle for longer is asked whether it still lives before anyone gets it.
const UNASKED_IDLE_MAX: Duration = Duration::from_secs(1);

/// How often idle connections are looked at.
const TIDY_INTERVAL: Duration = Duration::from_secs(5);

/// All addresses that guests have used.
pub(crate) struct Pools {
    settings: Arc<MysqlSettings>,
    by_address: Mutex<HashMap<String, Arc<Pool>>>,
}

impl Pools {
    pub(crate) fn new(settings: MysqlSettings) -> Self {
        Self { settings: Arc::new(settings), by_address: Mutex::default() }
    }

    /// The connections of an address. The options are what it says.
    pub(super) fn pool(&self, address: &str, options: Opts) -> Result<Arc<Pool>, Error> {
        let mut pools = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(address) {
            return Ok(pool.clone());
        }
        if pools.len() >= self.settings.addresses_max {
            pools.retain(|_, pool| pool.is_needed());
        }
        if pools.len() >= self.settings.addresses_max {
            Limit::MysqlAddresses.hit();
            return Err(too_many());
        }
        let pool = Pool::new(options, self.settings.clone());
        pools.insert(address.to_owned(), pool.clone());
        Ok(pool)
    }

    /// Closes what nobody uses. Whoever still uses one keeps it until he is done.
    pub(crate) fn close(&self) {
        let pools = std::mem::take(&mut *self.by_address.lock().unwrap_or_else(PoisonError::into_inner));
        for pool in pools.into_values() {
            pool.forget_idle();
        }
    }
}

/// The connections to one address.
pub(super) struct Pool {
    options: Opts,
    pub(super) settings: Arc<MysqlSettings>,
    /// One for each connection that is in use. There are no more connections than permits, for a connection is made only
    /// by who has a permit and finds none idle.
    permits: Arc<Semaphore>,
    /// The one that was used last is last.
    idle: Mutex<Vec<Session>>,
    commits: watch::Sender<u64>,
    connections: Gauge,
    wait_seconds: Histogram,
    pub(super) statements: Counter,
    pub(super) statement_seconds: Histogram,
    database: String,
}

/// A connection, and what is known of its state: between two users, no transaction, and nothing changed in its session
/// save `autocommit`.
pub(super) struct Session {
    pub(super) connection: Conn,
    /// Whether the server commits after each statement.
    pub(super) autocommit: bool,
    idle_since: Instant,
    _counted: Counted,
}

/// A connection in use.
pub(super) struct Taken {
    pub(super) session: Session,
    permit: OwnedSemaphorePermit,
}

/// One in the count of open connections.
struct Counted(Gauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl Pool {
    fn new(options: Opts, settings: Arc<MysqlSettings>) -> Arc<Self> {
        let database = options.db_name().unwrap_or_default().to_owned();
        let label = || database.clone();
        // Also run after a reset, which takes the session back to the server's defaults, save the database. (The last first.)
        let mut setup =
            vec![format!("SET NAMES utf8mb4, SESSION innodb_lock_wait_timeout = {}", settings.lock_wait_seconds_max)];
        setup.extend(options.db_name().map(|name| format!("USE `{}`", name.replace('`', "``"))));
        let options =
            OptsBuilder::from_opts(options).setup(setup).stmt_cache_size(settings.statements_prepared_max).into();
        let pool = Arc::new(Self {
            options,
            permits: Arc::new(Semaphore::new(settings.connections_max)),
            idle: Mutex::default(),
            commits: watch::Sender::new(0),
            connections: metrics::gauge!("plaza_mysql_connections", "database" => label()),
            wait_seconds: metrics::histogram!("plaza_mysql_wait_seconds", "database" => label()),
            statements: metrics::counter!("plaza_mysql_statements_total", "database" => label()),
            statement_seconds: metrics::histogram!("plaza_mysql_statement_seconds", "database" => label()),
            settings,
            database,
        });
        tokio::spawn(tidy(Arc::downgrade(&pool)));
        pool
    }

    pub(super) fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    /// Tells that a change has been committed.
    pub(super) fn committed(&self) {
        self.commits.send_modify(|commits| *commits = commits.wrapping_add(1));
    }

    /// Whether a reset undoes everything that a session can have: there is no way back to no database.
    pub(super) fn can_reset(&self) -> bool {
        self.options.db_name().is_some()
    }

    pub(super) fn count_error(&self, kind: &'static str) {
        metrics::counter!("plaza_mysql_errors_total", "database" => self.database.clone(), "kind" => kind).increment(1);
    }

    /// Connects if there is no connection yet, so that a server that cannot be reached is found when a guest opens its
    /// connection, as with Spin.
    pub(super) async fn ready(self: &Arc<Self>) -> Result<(), Error> {
        if self.is_unused() && self.idle().is_empty() {
            let taken = self.take(true).await?;
            self.put(taken);
        }
        Ok(())
    }

    /// A connection, with `autocommit` as wanted if there is a choice.
    pub(super) async fn take(self: &Arc<Self>, autocommit: bool) -> Result<Taken, Error> {
        let began = Instant::now();
        let permit = timeout(self.settings.wait_max, self.permits.clone().acquire_owned()).await;
        self.wait_seconds.record(began.elapsed());
        let Ok(Ok(permit)) = permit else {
            Limit::MysqlWait.hit();
            return Err(too_many());
        };
        while let Some(mut session) = self.pop(autocommit) {
            let known = session.idle_since.elapsed() < UNASKED_IDLE_MAX;
            if known || matches!(timeout(self.settings.connect_time_max, session.connection.ping()).await, Ok(Ok(()))) {
                return Ok(Taken { session, permit });
            }
            // What killed this one has most likely killed the others, too.
            self.forget_idle();
        }
        let connection = self.connect().await?;
        self.connections.increment(1.0);
        let counted = Counted(self.connections.clone());
        let session = Session { connection, autocommit: true, idle_since: Instant::now(), _counted: counted };
        Ok(Taken { session, permit })
    }

    /// Takes a connection back, whose state is as a [`Session`]'s between two users.
    pub(super) fn put(&self, taken: Taken) {
        let Taken { mut session, permit } = taken;
        session.idle_since = Instant::now();
        self.idle().push(session);
        drop(permit);
    }

    /// Drops the connections that nobody uses: one has just turned out to be dead.
    pub(super) fn forget_idle(&self) {
        self.idle().clear();
    }

    /// Ends a connection in the middle of a statement. The server would go on with it, and keep its locks, until it has
    /// something to say to the client that is gone: so it is told.
    pub(super) fn kill(self: &Arc<Self>, taken: Taken) {
        let pool = self.clone();
        let kill = async move {
            let id = taken.session.connection.id();
            let mut other = pool.connect().await.ok()?;
            // The connection may be gone by now, which is an error and just as well.
            let killed = other.query_drop(format!("KILL CONNECTION {id}"));
            let _ = timeout(pool.settings.connect_time_max, killed).await;
            drop(taken);
            other.disconnect().await.ok()
        };
        tokio::spawn(kill);
    }

    async fn connect(&self) -> Result<Conn, Error> {
        match timeout(self.settings.connect_time_max, Conn::new(self.options.clone())).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => {
                self.count_error("connect");
                Err(convert::unreachable(&error))
            }
            Err(_elapsed) => {
                self.count_error("connect");
                let milliseconds = self.settings.connect_time_max.as_millis();
                Err(Error::ConnectionFailed(format!("the server did not answer within {milliseconds} ms")))
            }
        }
    }

    fn pop(&self, autocommit: bool) -> Option<Session> {
        let mut idle = self.idle();
        match idle.iter().rposition(|session| session.autocommit == autocommit) {
            Some(index) => Some(idle.remove(index)),
            None => idle.pop(),
        }
    }

    /// Whether anyone uses it, or will soon.
    fn is_needed(&self) -> bool {
        !self.is_unused() || self.commits.receiver_count() > 0 || !self.idle().is_empty()
    }

    fn is_unused(&self) -> bool {
        self.permits.available_permits() == self.settings.connections_max
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops what has been idle for long, save as many as are to stay.
    fn tidy(&self) {
        let mut idle = self.idle();
        let surplus = idle.len().saturating_sub(self.settings.connections_min);
        let old = |session: &&Session| session.idle_since.elapsed() >= self.settings.idle_time_max;
        // The oldest come first.
        let count = idle.iter().take(surplus).take_while(old).count();
        let dropped: Vec<_> = idle.drain(..count).collect();
        drop(idle);
        drop(dropped);
    }
}

async fn tidy(pool: Weak<Pool>) {
    loop {
        sleep(TIDY_INTERVAL).await;
        let Some(pool) = pool.upgrade() else { return };
        pool.tidy();
    }
}

/// What Spin says.
pub(super) fn too_many() -> Error {
    Error::ConnectionFailed("too many connections".to_owned())
}
