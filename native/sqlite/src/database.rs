use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{OpenFlags, config::DbConfig, limits::Limit};
use tokio::sync::{Notify, OwnedMutexGuard, watch};

use crate::{
    Connection, Error, Settings,
    authorizer::authorizer,
    checkpoint::{self, Checkpointer, Limits},
    connection::note_wal_pages,
    migrate,
    syncer::Syncer,
};

/// The turn to write, and what belongs to it: the connection on which transactions run that write from their beginning.
/// Nobody else writes, so its page cache stays valid from one to the next. Opened when it is first needed. Tokio's mutex
/// hands itself on in order of arrival.
pub(crate) type Gate = Arc<tokio::sync::Mutex<Option<Pooled>>>;
pub(crate) type Turn = OwnedMutexGuard<Option<Pooled>>;

/// How long SQLite itself waits, on the calling thread, for locks of other processes (a shell, a backup). In this
/// process the gate has sorted the writers out already.
const FOREIGN_LOCK_WAIT_MAX: Duration = Duration::from_millis(250);
/// How long [`Database::close`] waits for connections in use.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(5);
/// Instructions of SQLite's virtual machine between two looks at the clock: some tens of microseconds.
const PROGRESS_INSTRUCTIONS: i32 = 4_000;

/// One database file.
pub struct Database {
    name: String,
    path: PathBuf,
    pub(crate) settings: Settings,
    page_bytes: u64,
    gate: Gate,
    pool: Mutex<Pool>,
    /// Told when a connection comes back after the database has been closed.
    returned: Notify,
    pub(crate) syncer: Syncer,
    checkpointer: Checkpointer,
    pub(crate) metrics: Metrics,
}

#[derive(Default)]
struct Pool {
    /// Last in, first out: the connections with the warmest caches are used, the others rest.
    idle: Vec<Pooled>,
    /// `Connection`s there are. Each takes at most one from here, and only when it needs one.
    users: usize,
    closed: bool,
}

/// A connection with what its hooks share with us.
pub(crate) struct Pooled {
    pub(crate) raw: rusqlite::Connection,
    pub(crate) marks: Arc<Marks>,
    /// When the running statement is to be interrupted.
    pub(crate) deadline: Arc<Deadline>,
}

impl Pooled {
    /// Ends what is open. Whether the next user may have it.
    pub(crate) fn reset(&self) -> bool {
        !self.tainted() && (self.raw.is_autocommit() || self.raw.execute_batch("ROLLBACK").is_ok())
    }

    /// Whether something temporary was made in it, which lives as long as the connection.
    pub(crate) fn tainted(&self) -> bool {
        self.marks.tainted.load(Ordering::Relaxed)
    }
}

/// What the authorizer notes.
#[derive(Default)]
pub(crate) struct Marks {
    /// Something temporary was made. Stays set.
    pub(crate) tainted: AtomicBool,
    /// The statement that was prepared last asks for the connection's row id or number of changes.
    pub(crate) counters: AtomicBool,
}

/// A point in time that the progress handler can read without a lock.
pub(crate) struct Deadline {
    base: Instant,
    nanos: AtomicU64,
}

impl Deadline {
    fn new() -> Self {
        Self { base: Instant::now(), nanos: AtomicU64::new(u64::MAX) }
    }

    pub(crate) fn set(&self, from_now: Duration) {
        let at = u64::try_from((self.base.elapsed() + from_now).as_nanos()).unwrap_or(u64::MAX);
        self.nanos.store(at, Ordering::Relaxed);
    }

    pub(crate) fn clear(&self) {
        self.nanos.store(u64::MAX, Ordering::Relaxed);
    }

    fn passed(&self) -> bool {
        let nanos = self.nanos.load(Ordering::Relaxed);
        nanos != u64::MAX && self.base.elapsed().as_nanos() > u128::from(nanos)
    }
}

/// Handles, so that counting costs no look-up.
pub(crate) struct Metrics {
    pub(crate) commits: metrics::Counter,
    pub(crate) gate_wait_seconds: metrics::Histogram,
    pub(crate) gate_timeouts: metrics::Counter,
    pub(crate) wal_bytes: metrics::Gauge,
    pub(crate) refused: metrics::Counter,
    pub(crate) statement_timeouts: metrics::Counter,
    pub(crate) results_too_large: metrics::Counter,
}

impl Metrics {
    fn new(name: &str) -> Self {
        let name = || name.to_owned();
        Self {
            commits: metrics::counter!("plaza_sqlite_commits_total", "database" => name()),
            gate_wait_seconds: metrics::histogram!("plaza_sqlite_gate_wait_seconds", "database" => name()),
            gate_timeouts: metrics::counter!("plaza_sqlite_gate_timeouts_total", "database" => name()),
            wal_bytes: metrics::gauge!("plaza_sqlite_wal_bytes", "database" => name()),
            refused: metrics::counter!("plaza_sqlite_connections_refused_total", "database" => name()),
            statement_timeouts: metrics::counter!("plaza_sqlite_statement_timeouts_total", "database" => name()),
            results_too_large: metrics::counter!("plaza_sqlite_result_too_large_total", "database" => name()),
        }
    }
}

impl Database {
    /// Opens the file, creating it and its directory where they do not exist. What an earlier process has committed to
    /// the write-ahead log, killed or not, is there.
    ///
    /// Only one process may write to the file at a time for the guarantees here to hold; others may read it.
    pub fn open(path: &Path, settings: Settings) -> Result<Arc<Self>, Error> {
        let failed = |source: io::Error| Error::Open { path: path.to_owned(), source: Arc::new(source) };
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(directory).map_err(failed)?;

        let keeper = rusqlite::Connection::open_with_flags(path, open_flags())?;
        keeper.busy_timeout(FOREIGN_LOCK_WAIT_MAX)?;
        keeper.pragma_update(None, "journal_mode", "wal")?;
        prepare(&keeper, &settings)?;
        // The first read makes SQLite recover the log of a process that was killed, and create the file if there is none.
        keeper.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        let page_bytes: u64 = keeper.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let page_bytes = page_bytes.max(1);
        keeper.busy_timeout(checkpoint::busy_timeout())?;

        // A second descriptor on the log. On the database file itself, or its shared-memory file, closing one would drop
        // the POSIX locks that SQLite holds there for the whole process; on the log it takes none.
        let wal = if settings.durable {
            let mut log = path.as_os_str().to_owned();
            log.push("-wal");
            Some(OpenOptions::new().read(true).write(true).open(log).map_err(failed)?)
        } else {
            None
        };
        // The names of new files must survive a power cut as well.
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;

        let gate = Gate::default();
        let limits = Limits {
            checkpoint_pages: settings.wal_checkpoint_bytes / page_bytes,
            max_pages: settings.wal_bytes_max / page_bytes,
        };
        let syncer = Syncer::start(&name, wal).map_err(failed)?;
        let checkpointer = Checkpointer::start(&name, path.to_owned(), keeper, gate.clone(), limits).map_err(failed)?;
        Ok(Arc::new(Self {
            metrics: Metrics::new(&name),
            name,
            path: path.to_owned(),
            settings,
            page_bytes,
            gate,
            pool: Mutex::default(),
            returned: Notify::new(),
            syncer,
            checkpointer,
        }))
    }

    /// The file's name without its extension; the `database` label of metrics.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A connection. Its use begins as if it were new: no open transaction, nothing temporary.
    pub fn connection(self: &Arc<Self>) -> Result<Connection, Error> {
        let mut pool = self.pool();
        if pool.closed {
            return Err(Error::Closed);
        }
        if pool.users >= self.settings.pool_max {
            self.metrics.refused.increment(1);
            return Err(Error::Exhausted(self.settings.pool_max));
        }
        pool.users += 1;
        Ok(Connection::new(self.clone()))
    }

    /// Counts the commits that changed something, once they are as durable as the settings ask, and before they are
    /// answered. Several may be told of at once; the number only grows.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.syncer.commits()
    }

    /// Waits until everything committed so far, by whomever, is on disk (at once if the database is not durable). To be
    /// called between reading and an act elsewhere that cannot be taken back.
    pub async fn durable(&self) -> Result<(), Error> {
        self.syncer.wait(self.syncer.last()).await
    }

    /// Applies the files `NNNN_name.sqlite.sql` of a directory, in order of their names, that were not applied yet, each
    /// in a transaction of its own, and answers their names. A file that was applied must never change.
    ///
    /// To be called before the database is in use: it blocks, and waits for other writers only briefly.
    pub fn migrate(&self, directory: &Path) -> Result<Vec<String>, Error> {
        let connection = rusqlite::Connection::open_with_flags(&self.path, open_flags())?;
        prepare(&connection, &self.settings)?;
        connection.busy_timeout(self.settings.gate_wait_max)?;
        // Each commit by its own sync.
        connection.pragma_update(None, "synchronous", "FULL")?;
        let applied = migrate::apply(&connection, directory)?;
        if !applied.is_empty() {
            self.syncer.committed_and_synced();
        }
        Ok(applied)
    }

    /// Refuses new connections, waits for those in use (5 s at most), and moves the log into the file.
    pub async fn close(self: &Arc<Self>) {
        let deadline = tokio::time::Instant::now() + CLOSE_WAIT_MAX;
        loop {
            let returned = self.returned.notified();
            let (idle, users) = {
                let mut pool = self.pool();
                pool.closed = true;
                (std::mem::take(&mut pool.idle), pool.users)
            };
            drop(idle);
            if users == 0 {
                break;
            }
            if tokio::time::timeout_at(deadline, returned).await.is_err() {
                tracing::warn!(database = self.name, users, "closing while connections are in use");
                break;
            }
        }
        if let Ok(mut turn) = tokio::time::timeout_at(deadline, self.gate.lock()).await {
            *turn = None;
        }
        if let Err(error) = self.durable().await {
            tracing::error!(database = self.name, %error, "last commits may not be on disk");
        }
        let database = self.clone();
        // The thread reports its own errors; a panic in it leaves the log for the next open to recover.
        let _ = tokio::task::spawn_blocking(move || database.checkpointer.stop()).await;
    }

    /// Takes the turn to write.
    pub(crate) async fn turn(&self) -> Result<Turn, Error> {
        self.syncer.check()?;
        if let Ok(turn) = self.gate.clone().try_lock_owned() {
            self.metrics.gate_wait_seconds.record(0.0);
            return Ok(turn);
        }
        let start = Instant::now();
        let turn = tokio::time::timeout(self.settings.gate_wait_max, self.gate.clone().lock_owned()).await;
        self.metrics.gate_wait_seconds.record(start.elapsed().as_secs_f64());
        turn.map_err(|_| {
            self.metrics.gate_timeouts.increment(1);
            Error::Busy
        })
    }

    /// Notes a commit that left the log this many pages long; answers its number. The turn is still held.
    pub(crate) fn committed(&self, wal_pages: u64) -> u64 {
        self.metrics.commits.increment(1);
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53 bytes")]
        self.metrics.wal_bytes.set((wal_pages * self.page_bytes) as f64);
        let number = self.syncer.committed();
        self.checkpointer.note(wal_pages);
        number
    }

    /// A connection from the pool, or a new one, for a user.
    pub(crate) fn pooled(&self) -> Result<Pooled, Error> {
        let idle = self.pool().idle.pop();
        idle.map_or_else(|| self.open_connection(self.settings.cache_size_bytes), Ok)
    }

    /// Opens the writer's connection, if it is not open.
    pub(crate) fn ready(&self, turn: &mut Turn) -> Result<(), Error> {
        if turn.is_none() {
            **turn = Some(self.open_connection(self.settings.writer_cache_size_bytes)?);
        }
        Ok(())
    }

    /// Takes back a connection whose user stays.
    pub(crate) fn put_back(&self, pooled: Pooled) {
        let mut pool = self.pool();
        if !pool.closed {
            pool.idle.push(pooled);
        }
    }

    /// A user goes, and gives back what the next may have.
    pub(crate) fn leave(&self, pooled: Option<Pooled>) {
        let mut pool = self.pool();
        if pool.closed {
            drop(pool);
            // Before the user is counted out: closing waits for that, and must close the file's last connection.
            drop(pooled);
            self.pool().users -= 1;
            self.returned.notify_waiters();
        } else {
            pool.idle.extend(pooled);
            pool.users -= 1;
        }
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_connection(&self, cache_size_bytes: u32) -> Result<Pooled, Error> {
        let raw = rusqlite::Connection::open_with_flags(&self.path, open_flags())?;
        raw.busy_timeout(FOREIGN_LOCK_WAIT_MAX)?;
        prepare(&raw, &self.settings)?;
        // Negative: in KiB.
        raw.pragma_update(None, "cache_size", -i64::from(cache_size_bytes / 1_024))?;
        raw.set_prepared_statement_cache_capacity(self.settings.statements_cached_max);
        raw.set_limit(Limit::SQLITE_LIMIT_LENGTH, self.settings.value_bytes_max)?;
        raw.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        raw.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        // Replaces SQLite's own checkpoints, which would run inside some commit.
        raw.wal_hook(Some(note_wal_pages));
        let deadline = Arc::new(Deadline::new());
        raw.progress_handler(
            PROGRESS_INSTRUCTIONS,
            Some({
                let deadline = deadline.clone();
                move || deadline.passed()
            }),
        );
        let marks = Arc::new(Marks::default());
        raw.authorizer(Some(authorizer(marks.clone())));
        Ok(Pooled { raw, marks, deadline })
    }
}

fn open_flags() -> OpenFlags {
    // No SQLITE_OPEN_URI: a path is a path, whatever it contains.
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn prepare(connection: &rusqlite::Connection, settings: &Settings) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // The log keeps its length when it is started anew, since overwriting syncs faster than growing; beyond this it is cut.
    connection.pragma_update(None, "journal_size_limit", settings.wal_bytes_max)?;
    // What a statement of many rows would undo, and what it sorts, stays in memory instead of going through a temporary file.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // As in a stock Spin, whose SQLite is built with foreign keys on.
    connection.pragma_update(None, "foreign_keys", true)
}
