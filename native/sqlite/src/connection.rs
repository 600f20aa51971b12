use std::{
    cell::Cell,
    sync::{Arc, atomic::Ordering},
};

use rusqlite::{TransactionBehavior, hooks::Wal};

use crate::{
    Database, Error, Rows, Value,
    database::{Pooled, Turn},
};

thread_local! {
    /// Length of the log, in pages, after a commit that has just happened on this thread. SQLite calls the hook from
    /// within the statement that commits, on the same thread, and only for commits that wrote something.
    static WAL_PAGES: Cell<Option<u64>> = const { Cell::new(None) };
}

#[expect(clippy::unnecessary_wraps, reason = "the hook's type")]
pub(crate) fn note_wal_pages(_: &Wal, pages: i32) -> rusqlite::Result<()> {
    WAL_PAGES.set(u64::try_from(pages).ok());
    Ok(())
}

/// One connection, for one user at a time. When it is dropped, an open transaction is rolled back.
///
/// Dropping a future of its methods is safe at any point: at most the transaction stays open, and is rolled back when the
/// connection is dropped; or a commit has happened whose answer nobody heard.
pub struct Connection {
    database: Arc<Database>,
    /// Taken only by `drop`.
    pooled: Option<Pooled>,
    /// Held from the first statement that may write until the transaction's end.
    turn: Option<Turn>,
    /// Whether this user of the connection has written.
    wrote: bool,
}

impl Connection {
    pub(crate) fn new(database: Arc<Database>, pooled: Pooled) -> Self {
        Self { database, pooled: Some(pooled), turn: None, wrote: false }
    }

    /// Runs one statement and answers all its rows. More than one statement in `sql` is an error.
    ///
    /// A statement that ends a transaction which wrote is answered when the commit is durable, as the database's settings
    /// ask. An error of that wait means: committed, but perhaps not on disk.
    pub async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        // Whether a statement writes is known only when it is prepared; then it is put into the cache, and taken out again
        // below, since no statement can be held across an await.
        if self.turn.is_none() && !self.raw()?.prepare_cached(sql)?.readonly() {
            self.turn = Some(self.database.turn().await?);
        }
        let result = self.run(sql, params);
        self.settle(result).await
    }

    /// Runs native code in one transaction that may write (`BEGIN IMMEDIATE`), commits it when the code succeeds, and
    /// answers when the commit is durable. The code runs on the calling thread and must be short; each of its statements
    /// is bound to the same limits as [`Connection::execute`]'s, save that of the result.
    pub async fn write<T>(
        &mut self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, Error> {
        if self.turn.is_none() {
            self.turn = Some(self.database.turn().await?);
        }
        let result = self.transaction(work);
        self.settle(result).await
    }

    /// As [`Connection::write`], but answers as soon as the transaction is committed, which may be before it is on disk: the
    /// next sync for anyone takes it along, and [`Database::commits`] tells of it only then. For changes that may be undone
    /// by a power cut, such as noting that something is done which can be done twice.
    pub async fn write_lazily<T>(
        &mut self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, Error> {
        if self.turn.is_none() {
            self.turn = Some(self.database.turn().await?);
        }
        let result = self.transaction(work);
        self.pass_on()?;
        result
    }

    /// Runs native code that reads, on the calling thread. It sees one state of the database throughout.
    pub fn read<T>(
        &mut self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, Error> {
        let pooled = self.pooled.as_mut().ok_or(Error::Closed)?;
        pooled.deadline.set(self.database.settings.statement_time_max);
        let result = (|| {
            let transaction = pooled.raw.transaction_with_behavior(TransactionBehavior::Deferred)?;
            let result = work(&transaction)?;
            transaction.rollback()?;
            Ok(result)
        })();
        pooled.deadline.clear();
        result.map_err(|error| self.explain(error))
    }

    /// The row id of this connection's last successful `INSERT`; 0 before the first.
    pub fn last_insert_rowid(&self) -> i64 {
        self.pooled.as_ref().filter(|_| self.wrote).map_or(0, |pooled| pooled.raw.last_insert_rowid())
    }

    /// How many rows this connection's last `INSERT`, `UPDATE` or `DELETE` changed; 0 before the first.
    pub fn changes(&self) -> u64 {
        self.pooled.as_ref().filter(|_| self.wrote).map_or(0, |pooled| pooled.raw.changes())
    }

    fn raw(&self) -> Result<&rusqlite::Connection, Error> {
        self.pooled.as_ref().map(|pooled| &pooled.raw).ok_or(Error::Closed)
    }

    fn transaction<T>(
        &mut self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, Error> {
        let pooled = self.pooled.as_mut().ok_or(Error::Closed)?;
        self.wrote = true;
        pooled.deadline.set(self.database.settings.statement_time_max);
        let result = (|| {
            let transaction = pooled.raw.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })();
        pooled.deadline.clear();
        result.map_err(|error| self.explain(error))
    }

    fn run(&mut self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        let pooled = self.pooled.as_ref().ok_or(Error::Closed)?;
        self.wrote |= self.turn.is_some();
        pooled.deadline.set(self.database.settings.statement_time_max);
        let result = collect(&pooled.raw, sql, params, self.database.settings.result_bytes_max);
        pooled.deadline.clear();
        match result {
            Ok(rows) => Ok(rows),
            Err(Failure::Sqlite(error)) => Err(self.explain(error)),
            Err(Failure::Other(error)) => {
                if matches!(error, Error::ResultTooLarge(_)) {
                    self.database.metrics.results_too_large.increment(1);
                }
                Err(error)
            }
        }
    }

    /// After a statement: when no transaction is open any longer, passes the turn on and waits for durability.
    async fn settle<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if let Some(number) = self.pass_on()? {
            self.database.syncer.wait(number).await?;
        }
        result
    }

    /// After a statement: when no transaction is open any longer, passes the turn on. Answers the number of the commit
    /// that must be on disk before anyone may rely on what this transaction did or saw.
    fn pass_on(&mut self) -> Result<Option<u64>, Error> {
        let pages = WAL_PAGES.take();
        if !self.raw()?.is_autocommit() {
            return Ok(None);
        }
        let turn = self.turn.take();
        let number = pages.map(|pages| self.database.committed(pages));
        // One that wrote nothing counts, too, if it had the turn: it may act upon what it saw (a repeated request is
        // answered from what the first has stored), so it must not be ahead of the disk.
        Ok(number.or_else(|| turn.is_some().then(|| self.database.syncer.last())))
    }

    fn explain(&self, error: rusqlite::Error) -> Error {
        if Error::is_interrupt(&error) {
            self.database.metrics.statement_timeouts.increment(1);
            return Error::StatementTime(self.database.settings.statement_time_max);
        }
        error.into()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(pooled) = self.pooled.take() else { return };
        let clean = pooled.raw.is_autocommit() || pooled.raw.execute_batch("ROLLBACK").is_ok();
        if clean && !pooled.tainted.load(Ordering::Relaxed) {
            self.database.put_back(pooled);
        } else {
            // Closing it rolls back what is open.
            drop(pooled);
            self.database.forget();
        }
        // The next writer's turn begins when nothing of ours is left: `turn` is dropped after this body.
    }
}

enum Failure {
    Sqlite(rusqlite::Error),
    Other(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn collect(
    connection: &rusqlite::Connection,
    sql: &str,
    params: &[Value],
    result_bytes_max: usize,
) -> Result<Rows, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let columns: Vec<String> = statement.column_names().into_iter().map(ToOwned::to_owned).collect();
    let mut rows = Vec::new();
    let mut bytes = 0;
    let mut found = statement.query(rusqlite::params_from_iter(params))?;
    while let Some(row) = found.next()? {
        let mut values = Vec::with_capacity(columns.len());
        for column in 0..columns.len() {
            let value = Value::from_ref(row.get_ref(column)?, column).map_err(Failure::Other)?;
            bytes += value.memory_bytes();
            values.push(value);
        }
        if bytes > result_bytes_max {
            return Err(Failure::Other(Error::ResultTooLarge(result_bytes_max)));
        }
        rows.push(values);
    }
    Ok(Rows { columns, rows })
}
