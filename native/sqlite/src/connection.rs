use std::{
    cell::Cell,
    sync::{Arc, atomic::Ordering},
};

use rusqlite::{CachedStatement, TransactionBehavior, hooks::Wal};

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
/// Underneath there are two of SQLite's: a transaction that writes from its beginning (`BEGIN IMMEDIATE` and the native
/// [`Connection::write`]) runs on the database's one writer connection, everything else on one of its own.
///
/// Dropping a future of its methods is safe at any point: at most the transaction stays open, and is rolled back when the
/// connection is dropped; or a commit has happened whose answer nobody heard.
pub struct Connection {
    database: Arc<Database>,
    /// Its own, from the first statement that needs it.
    own: Option<Pooled>,
    /// Held from the first statement that may write until the transaction's end.
    turn: Option<Turn>,
    /// Whether the transaction runs on the writer's connection, which comes with the turn.
    on_writer: bool,
    /// Whether the last change was made on the writer's connection, where others have made theirs since.
    changed_on_writer: bool,
    last_insert_rowid: i64,
    changes: u64,
}

impl Connection {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self {
            database,
            own: None,
            turn: None,
            on_writer: false,
            changed_on_writer: false,
            last_insert_rowid: 0,
            changes: 0,
        }
    }

    /// Runs one statement and answers all its rows. More than one statement in `sql` is an error.
    ///
    /// A statement that ends a transaction which wrote is answered when the commit is durable, as the database's settings
    /// ask. An error of that wait means: committed, but perhaps not on disk.
    ///
    /// What SQL's own `last_insert_rowid()`, `changes()` and `total_changes()` would say is lost at the end of a
    /// transaction begun with `BEGIN IMMEDIATE`; asked then, they are refused.
    pub async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        if begins_writing(sql) {
            self.begin_writing().await?;
        }
        let mut result = self.run(sql, params);
        if matches!(result, Ok(None)) {
            self.turn = Some(self.database.turn().await?);
            result = self.run(sql, params);
        }
        self.settle(result.map(Option::unwrap_or_default)).await
    }

    /// Runs native code in one transaction that may write (`BEGIN IMMEDIATE`), commits it when the code succeeds, and
    /// answers when the commit is durable. The code runs on the calling thread and must be short; each of its statements
    /// is bound to the same limits as [`Connection::execute`]'s, save that of the result.
    pub async fn write<T>(
        &mut self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, Error> {
        self.begin_writing().await?;
        let result = self.transaction(TransactionBehavior::Immediate, work);
        self.settle(result).await
    }

    /// As [`Connection::write`], but answers as soon as the transaction is committed, which may be before it is on disk: the
    /// next sync for anyone takes it along, and [`Database::commits`] tells of it only then. For changes that may be undone
    /// by a power cut, such as noting that something is done which can be done twice.
    pub async fn write_lazily<T>(
        &mut self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, Error> {
        self.begin_writing().await?;
        let result = self.transaction(TransactionBehavior::Immediate, work);
        self.pass_on();
        result
    }

    /// Runs native code that reads, on the calling thread. It sees one state of the database throughout.
    pub fn read<T>(
        &mut self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, Error> {
        self.transaction(TransactionBehavior::Deferred, work)
    }

    /// The row id of this connection's last successful `INSERT`; 0 before the first.
    pub fn last_insert_rowid(&self) -> i64 {
        self.last_insert_rowid
    }

    /// How many rows this connection's last `INSERT`, `UPDATE` or `DELETE` changed; 0 before the first.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Takes the turn, and moves to the writer's connection unless what is open or temporary binds this one to its own.
    async fn begin_writing(&mut self) -> Result<(), Error> {
        if self.turn.is_some() {
            return Ok(());
        }
        let mut turn = self.database.turn().await?;
        if self.own.as_ref().is_none_or(|own| own.raw.is_autocommit() && !own.tainted()) {
            self.database.ready(&mut turn)?;
            self.on_writer = true;
        }
        self.turn = Some(turn);
        Ok(())
    }

    /// The connection that this one's next statement runs on.
    fn current(&mut self) -> Result<&mut Pooled, Error> {
        if self.on_writer {
            return self.turn.as_mut().and_then(|turn| turn.as_mut()).ok_or(Error::Closed);
        }
        if self.own.is_none() {
            self.own = Some(self.database.pooled()?);
        }
        self.own.as_mut().ok_or(Error::Closed)
    }

    fn transaction<T>(
        &mut self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, Error> {
        let time_max = self.database.settings.statement_time_max;
        let writes = matches!(behavior, TransactionBehavior::Immediate);
        let current = self.current()?;
        let total = current.raw.total_changes();
        current.deadline.set(time_max);
        let result = (|| {
            let transaction = current.raw.transaction_with_behavior(behavior)?;
            let result = work(&transaction)?;
            if writes {
                transaction.commit()?;
            } else {
                transaction.rollback()?;
            }
            Ok(result)
        })();
        current.deadline.clear();
        if writes && current.raw.total_changes() != total {
            (self.changes, self.last_insert_rowid) = (current.raw.changes(), current.raw.last_insert_rowid());
            self.changed_on_writer = self.on_writer;
        }
        result.map_err(|error| self.explain(error))
    }

    /// Runs a statement, unless it may write and the turn has not been taken. Whether it may is known only when it is
    /// prepared; then it is put into the cache, and taken out again to run, since none can be held across an await.
    fn run(&mut self, sql: &str, params: &[Value]) -> Result<Option<Rows>, Error> {
        let (time_max, bytes_max) =
            (self.database.settings.statement_time_max, self.database.settings.result_bytes_max);
        let may_write = self.turn.is_some();
        let elsewhere = self.changed_on_writer && !self.on_writer;
        let current = self.current()?;
        let total = current.raw.total_changes();
        current.deadline.set(time_max);
        let mut writes = false;
        let result = prepare(current, sql, elsewhere).and_then(|(mut statement, cache)| {
            writes = !statement.readonly();
            let result =
                if writes && !may_write { Ok(None) } else { collect(&mut statement, params, bytes_max).map(Some) };
            if !cache {
                statement.discard();
            }
            result
        });
        current.deadline.clear();
        if writes && may_write && !begins_writing(sql) {
            let (changes, inserted) = (current.raw.changes(), current.raw.total_changes() != total && may_insert(sql));
            let last_insert_rowid = inserted.then(|| current.raw.last_insert_rowid());
            self.changes = changes;
            self.last_insert_rowid = last_insert_rowid.unwrap_or(self.last_insert_rowid);
            self.changed_on_writer = self.on_writer;
        }
        match result {
            Ok(found) => Ok(found),
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
        if let Some(number) = self.pass_on() {
            self.database.syncer.wait(number).await?;
        }
        result
    }

    /// After a statement: when no transaction is open any longer, passes the turn on. Answers the number of the commit
    /// that must be on disk before anyone may rely on what this transaction did or saw.
    fn pass_on(&mut self) -> Option<u64> {
        let pages = WAL_PAGES.take();
        let current = if self.on_writer { self.turn.as_deref().and_then(Option::as_ref) } else { self.own.as_ref() };
        if current.is_some_and(|current| !current.raw.is_autocommit()) {
            return None;
        }
        let number = pages.map(|pages| self.database.committed(pages));
        // One that wrote nothing counts, too, if it had the turn: it may act upon what it saw (a repeated request is
        // answered from what the first has stored), so it must not be ahead of the disk.
        let number = number.or_else(|| self.turn.is_some().then(|| self.database.syncer.last()));
        if let Some(mut turn) = self.turn.take()
            && self.on_writer
            && turn.as_ref().is_some_and(Pooled::tainted)
            && let Some(own) = std::mem::replace(&mut self.own, turn.take())
        {
            // What is temporary stays with its user; the next writer gets a new connection.
            self.database.put_back(own);
        }
        self.on_writer = false;
        number
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
        if let Some(turn) = self.turn.as_mut().filter(|_| self.on_writer)
            && !turn.as_ref().is_some_and(Pooled::reset)
        {
            // Closing it rolls back what is open.
            **turn = None;
        }
        self.database.leave(self.own.take().filter(Pooled::reset));
        // The next writer's turn begins when nothing of ours is left: `turn` is dropped after this body.
    }
}

/// Whether a statement is `BEGIN IMMEDIATE` or `BEGIN EXCLUSIVE`.
fn begins_writing(sql: &str) -> bool {
    let mut words = sql.split(|c: char| c.is_ascii_whitespace() || c == ';').filter(|word| !word.is_empty());
    let mut next_is = |options: &[&str]| {
        words.next().is_some_and(|word| options.iter().any(|option| option.eq_ignore_ascii_case(word)))
    };
    next_is(&["BEGIN"]) && next_is(&["IMMEDIATE", "EXCLUSIVE"])
}

/// Whether a statement that changed rows may have inserted some. SQLite keeps the row id of the last insert per connection,
/// so it is asked only after a statement that can be the one: before, it tells of others' inserts.
fn may_insert(sql: &str) -> bool {
    let word = sql.split_ascii_whitespace().next().unwrap_or_default();
    !word.eq_ignore_ascii_case("UPDATE") && !word.eq_ignore_ascii_case("DELETE")
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

/// Prepares a statement, and tells whether it may be cached. One that asks for the connection's counters may not, so that
/// the authorizer sees it each time; and it is refused when they are `elsewhere`.
fn prepare<'a>(pooled: &'a Pooled, sql: &str, elsewhere: bool) -> Result<(CachedStatement<'a>, bool), Failure> {
    pooled.marks.counters.store(false, Ordering::Relaxed);
    let statement = pooled.raw.prepare_cached(sql)?;
    let counters = pooled.marks.counters.load(Ordering::Relaxed);
    if counters && elsewhere {
        statement.discard();
        return Err(Failure::Other(Error::CountersGone));
    }
    Ok((statement, !counters))
}

fn collect(statement: &mut CachedStatement<'_>, params: &[Value], result_bytes_max: usize) -> Result<Rows, Failure> {
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
