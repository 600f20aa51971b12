//! The outbox of a MySQL database, which any number of processes may publish at the same time.
//!
//! One of them leads: it has a lock by name (`GET_LOCK`), which lasts as long as its session. A leader that dies loses it at
//! once, and one that stalls loses it because the server closes sessions that are idle for long; the next one waits for it
//! already.
//!
//! Why order holds even if a stalled leader comes back and appends what it had read long ago: rows are read in order and
//! deleted only when they are in the log. So whatever comes before a row of its batch (in the same key) is in that batch,
//! too, or was in the log when the batch was read; and a new leader publishes what is left before anything later. Nothing in
//! the old batch can come for the first time after something later of its key: it may come twice, with the same event id.
//!
//! Ids are given when a row is inserted, and may become visible in another order. Within a key they do not, since who writes
//! an event holds the lock on the row that the event is about. So rows are deleted one by one, by id, never up to one.

use std::time::Duration;

use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, Params, Value};
use tokio::sync::watch;
use tokio::time::{self, Instant, timeout};

use super::{Batch, Cell, Outbox, OutboxError, Row, Turn};

/// How long one wait for the lock takes at the server, in seconds; then it is asked again.
const LOCK_WAIT_SECONDS: u32 = 5;
/// How long a statement waits for a row that somebody else has locked, in seconds.
const LOCKED_ROW_WAIT_SECONDS: u32 = 2;
/// How long the server may take for anything else.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// First pause when published rows cannot be deleted; doubled each time.
const DELETE_PAUSE_INITIAL: Duration = Duration::from_millis(50);
/// Longest such pause.
const DELETE_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Rows in one statement that deletes.
const DELETE_ROWS_MAX: usize = 512;
/// How often in the time after which it would be closed a session is used.
const USES_IN_LEASE: u32 = 3;

/// MySQL: there is no such table.
const NO_SUCH_TABLE: u16 = 1_146;

/// The table `outbox` of a MySQL database.
pub struct MysqlOutbox {
    options: Opts,
    lock: String,
    lease: Duration,
    commits: Option<watch::Receiver<u64>>,
}

impl MysqlOutbox {
    /// What suits [`PublisherSettings::poll_interval`](crate::PublisherSettings::poll_interval) here: how soon to see what
    /// other processes commit.
    pub const POLL_INTERVAL: Duration = Duration::from_millis(20);

    /// How long a leader that has stalled stays the leader, unless [told otherwise](Self::with_lease).
    pub const LEASE: Duration = Duration::from_secs(10);

    /// Of the database of this address. Connects when it is first used.
    pub fn new(url: &str) -> Result<Self, plaza_mysql::Error> {
        let options = plaza_mysql::options(url)?;
        let lock = plaza_mysql::lock_name("publish", &plaza_mysql::database_name(url)?);
        Ok(Self { options, lock, lease: Self::LEASE, commits: None })
    }

    /// Looks at once when this changes: with each commit of this process.
    #[must_use]
    pub fn woken_by(mut self, commits: watch::Receiver<u64>) -> Self {
        self.commits = Some(commits);
        self
    }

    /// Another time after which a leader that has stalled is replaced, in whole seconds.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = Duration::from_secs(lease.as_secs().max(1));
        self
    }

    /// A session that the server closes when it is idle for as long as the lease.
    async fn connect(options: &Opts, lease: Duration) -> Result<Conn, OutboxError> {
        let mut connection = within(ANSWER_TIME_MAX, Conn::new(options.clone())).await?;
        let lease_seconds = lease.as_secs();
        let session = format!(
            "SET SESSION wait_timeout = {lease_seconds}, SESSION innodb_lock_wait_timeout = {LOCKED_ROW_WAIT_SECONDS}"
        );
        within(ANSWER_TIME_MAX, connection.query_drop(session)).await?;
        // A statement sees what is committed when it begins, and waits for no row that it does not want.
        let isolation = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
        within(ANSWER_TIME_MAX, connection.query_drop(isolation)).await?;
        Ok(connection)
    }
}

#[async_trait]
impl Outbox for MysqlOutbox {
    async fn turn(&self) -> Result<Box<dyn Turn>, OutboxError> {
        let mut connection = Self::connect(&self.options, self.lease).await?;
        loop {
            let wait = ANSWER_TIME_MAX + Duration::from_secs(LOCK_WAIT_SECONDS.into());
            let asked = connection.exec_first("SELECT GET_LOCK(?, ?)", (&self.lock, LOCK_WAIT_SECONDS));
            let answer: Option<Option<u8>> = within(wait, asked).await?;
            match answer.flatten() {
                Some(1) => break,
                Some(_) => {}
                None => return Err(OutboxError::Unavailable("the server gave no answer about the lock".to_owned())),
            }
        }
        prepare_beats(&mut connection).await?;
        Ok(Box::new(MysqlTurn {
            leader: Some(connection),
            used: Instant::now(),
            options: self.options.clone(),
            lease: self.lease,
            commits: self.commits.clone(),
        }))
    }
}

/// Makes the table whose only purpose is that something can be committed, see [`MysqlTurn::outlast`].
async fn prepare_beats(connection: &mut Conn) -> Result<(), OutboxError> {
    const INSERT: &str = "INSERT IGNORE INTO outbox_beats (id, beats) VALUES (1, 0)";
    const CREATE: &str = "CREATE TABLE IF NOT EXISTS outbox_beats (
        id TINYINT UNSIGNED NOT NULL PRIMARY KEY, beats BIGINT UNSIGNED NOT NULL) ENGINE = InnoDB";
    let inserted = timeout(ANSWER_TIME_MAX, connection.query_drop(INSERT)).await;
    if let Ok(Err(mysql_async::Error::Server(error))) = &inserted
        && error.code == NO_SUCH_TABLE
    {
        within(ANSWER_TIME_MAX, connection.query_drop(CREATE)).await?;
        return within(ANSWER_TIME_MAX, connection.query_drop(INSERT)).await;
    }
    Ok(inserted.map_err(|_| stalled())??)
}

struct MysqlTurn {
    /// The session with the lock. None once it is lost.
    leader: Option<Conn>,
    /// When it was used last.
    used: Instant,
    options: Opts,
    lease: Duration,
    commits: Option<watch::Receiver<u64>>,
}

impl MysqlTurn {
    /// Does something in the session with the lock. If that fails, or is given up, the turn is over.
    async fn lead<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Conn) -> Result<T, mysql_async::Error>,
    ) -> Result<T, OutboxError> {
        let mut connection = self.leader.take().ok_or(OutboxError::Lost)?;
        let done = within(ANSWER_TIME_MAX, work(&mut connection)).await?;
        self.leader = Some(connection);
        self.used = Instant::now();
        Ok(done)
    }

    /// Waits until what has been read would outlast a crash of the server. InnoDB shows a commit to others a moment before
    /// it is on disk; and a commit of our own is on disk only when all before it are.
    async fn outlast(&mut self) -> Result<(), OutboxError> {
        self.lead(async |leader| leader.query_drop("UPDATE outbox_beats SET beats = beats + 1 WHERE id = 1").await)
            .await
    }

    async fn delete_by(connection: &mut Conn, rows: &[Row]) -> Result<(), mysql_async::Error> {
        for rows in rows.chunks(DELETE_ROWS_MAX) {
            // Of a few lengths only, so that few statements are prepared: the last row is named again and again.
            let count = rows.len().next_power_of_two();
            let padded = || rows.iter().chain(std::iter::repeat(&rows[rows.len() - 1])).take(count);
            let marks = vec!["?"; count].join(",");
            // By event, too: after a long stall the database may have been restored, and its ids be other rows'. By the index,
            // since a look at every row would wait for those that are being inserted.
            let sql = format!(
                "DELETE o FROM outbox o FORCE INDEX (PRIMARY) WHERE o.id IN ({marks}) AND o.event_id IN ({marks})"
            );
            let ids = padded().map(|row| Value::Int(row.id));
            let events = padded().map(|row| Value::from(row.event_id().unwrap_or_default()));
            connection.exec_drop(sql, Params::Positional(ids.chain(events).collect())).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Turn for MysqlTurn {
    async fn read(&mut self, rows_max: usize, bytes_max: usize) -> Result<Batch, OutboxError> {
        if let Some(commits) = &mut self.commits {
            // Before looking: what is committed afterwards wakes.
            commits.borrow_and_update();
        }
        let sql =
            "SELECT id, event_id, topic, `key`, type, data, time, channels, action FROM outbox ORDER BY id LIMIT ?";
        let found: Vec<mysql_async::Row> = self.lead(async |leader| leader.exec(sql, (rows_max,)).await).await?;
        if found.is_empty() {
            return Ok(Batch::default());
        }
        let all = found.len() < rows_max;
        let (mut rows, mut bytes) = (Vec::with_capacity(found.len()), 0);
        for row in found {
            if bytes >= bytes_max {
                break;
            }
            let row = self::row(row);
            bytes += row.size_bytes();
            rows.push(row);
        }
        let depth = if all {
            rows.len() as u64
        } else {
            // Roughly: ids that were never used, or were deleted, count as well.
            let sql = "SELECT CAST(MAX(id) - MIN(id) + 1 AS UNSIGNED) FROM outbox";
            let depth: Option<Option<u64>> = self.lead(async |leader| leader.query_first(sql).await).await?;
            depth.flatten().unwrap_or_default()
        };
        self.outlast().await?;
        Ok(Batch { rows, depth })
    }

    async fn keep(&mut self) -> OutboxError {
        loop {
            time::sleep_until(self.used + self.lease / USES_IN_LEASE).await;
            if let Err(error) = self.lead(async |leader| leader.ping().await).await {
                return error;
            }
        }
    }

    /// Tries again until it succeeds, since otherwise they would all be published again. If the session with the lock is gone,
    /// it does so in another one: they are in the log, so that it is right whoever leads.
    async fn delete(&mut self, rows: &[Row]) -> Result<(), OutboxError> {
        let mut tried = self.lead(async |leader| Self::delete_by(leader, rows).await).await;
        let mut pause = DELETE_PAUSE_INITIAL;
        while let Err(error) = tried {
            tracing::warn!(%error, "published rows could not be deleted; trying again");
            time::sleep(pause).await;
            pause = (pause * 2).min(DELETE_PAUSE_MAX);
            tried = async {
                let mut connection = MysqlOutbox::connect(&self.options, self.lease).await?;
                within(ANSWER_TIME_MAX, Self::delete_by(&mut connection, rows)).await
            }
            .await;
        }
        Ok(())
    }

    async fn wait(&mut self, poll_interval: Duration) -> Result<(), OutboxError> {
        let until = (Instant::now() + poll_interval).min(self.used + self.lease / USES_IN_LEASE);
        let Some(commits) = &mut self.commits else {
            time::sleep_until(until).await;
            return Ok(());
        };
        if let Ok(Err(_closed)) = time::timeout_at(until, commits.changed()).await {
            // This process commits nothing any longer, but others may.
            self.commits = None;
        }
        Ok(())
    }
}

fn row(row: mysql_async::Row) -> Row {
    let mut values = row.unwrap().into_iter();
    let id = match values.next() {
        Some(Value::Int(id)) => id,
        Some(Value::UInt(id)) => id.cast_signed(),
        _ => 0,
    };
    let mut cells = [const { Cell::Null }; 8];
    for (cell, value) in cells.iter_mut().zip(values) {
        *cell = match value {
            Value::Int(integer) => Cell::Integer(integer),
            Value::UInt(integer) => i64::try_from(integer).map_or(Cell::Null, Cell::Integer),
            Value::Float(real) => Cell::Real(real.into()),
            Value::Double(real) => Cell::Real(real),
            Value::Bytes(bytes) => Cell::from_bytes(bytes),
            // Of these no column of an outbox is.
            Value::NULL | Value::Date(..) | Value::Time(..) => Cell::Null,
        };
    }
    Row { id, values: cells }
}

async fn within<T>(
    time_max: Duration,
    work: impl Future<Output = Result<T, mysql_async::Error>>,
) -> Result<T, OutboxError> {
    Ok(timeout(time_max, work).await.map_err(|_elapsed| stalled())??)
}

fn stalled() -> OutboxError {
    OutboxError::Unavailable("the database did not answer in time".to_owned())
}

impl From<mysql_async::Error> for OutboxError {
    fn from(error: mysql_async::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}
