//! A guest's connection.

use std::io;
use std::sync::Arc;

use futures::TryStreamExt;
use mysql_async::consts::StatusFlags;
use mysql_async::prelude::Queryable;
use mysql_async::{BinaryProtocol, Params, QueryResult, Row};
use tokio::time::{Instant, timeout};

use super::convert;
use super::pool::{Pool, Taken};
use super::statement::Kind;
use crate::settings::MysqlSettings;
use crate::wit::fermyon::spin::rdbms_types::{Column, DbValue, Error, ParameterValue, RowSet};

/// MySQL's codes for what is worth telling apart in the count of errors.
const DUPLICATE: u16 = 1_062;
const LOCK_WAIT_TIMEOUT: u16 = 1_205;
const DEADLOCK: u16 = 1_213;

/// A connection that an instance holds open. Public because the generated bindings name it; its module is not.
///
/// It takes one of the pool's with its first statement, and gives it back when it is dropped.
#[allow(unreachable_pub)]
pub struct Connection {
    pool: Arc<Pool>,
    taken: Option<Taken>,
    /// Whether `autocommit` is on, as far as the guest knows.
    autocommit: bool,
    left: Left,
    /// Whether the pool's was lost. There will be no other: the guest's transaction, if there was one, went with it.
    lost: bool,
}

/// What a guest leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// Perhaps a transaction.
    Transaction,
    /// Perhaps anything that a session has.
    Session,
    /// A statement that has not been answered whole.
    Statement,
}

impl Connection {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { pool, taken: None, autocommit: true, left: Left::Nothing, lost: false }
    }

    /// Runs a statement.
    pub(super) async fn run(&mut self, statement: &str, parameters: Vec<ParameterValue>) -> Result<RowSet, Error> {
        if self.lost {
            return Err(lost());
        }
        let kind = Kind::of(statement);
        if self.taken.is_none() {
            self.taken = Some(self.pool.take(kind != Kind::AutocommitOff).await?);
        }
        if kind == Kind::AutocommitOff && self.is_manual_already() {
            // The session is as its last user left it, which saves a round trip in each transaction.
            self.autocommit = false;
            return Ok(RowSet { columns: Vec::new(), rows: Vec::new() });
        }
        let sticky = self.left == Left::Session || kind == Kind::Other;
        let rest = |otherwise| if sticky { Left::Session } else { otherwise };
        self.left = Left::Statement;
        match self.run_timed(statement, kind, parameters).await {
            Ok(found) => {
                self.left = rest(self.transaction());
                self.after(kind);
                Ok(found)
            }
            Err(Failure::Statement(error)) => {
                // It may have ended its transaction, or begun one.
                self.left = rest(Left::Transaction);
                Err(error)
            }
            Err(Failure::Unfinished(error)) => {
                self.lost = true;
                self.give_back();
                Err(error)
            }
            Err(Failure::Lost(error)) => {
                self.lost = true;
                self.taken = None;
                Err(error)
            }
        }
    }

    /// Whether the server's session has `autocommit` off, so that to turn it off would do nothing.
    fn is_manual_already(&self) -> bool {
        self.left != Left::Session && self.taken.as_ref().is_some_and(|taken| !taken.session.autocommit)
    }

    async fn run_timed(
        &mut self,
        statement: &str,
        kind: Kind,
        parameters: Vec<ParameterValue>,
    ) -> Result<RowSet, Failure> {
        let began = Instant::now();
        self.pool.statements.increment(1);
        let time_max = self.pool.settings.statement_time_max;
        let ran = timeout(time_max, self.run_now(statement, kind, parameters)).await;
        self.pool.statement_seconds.record(began.elapsed());
        ran.unwrap_or_else(|_elapsed| {
            self.pool.count_error("time");
            let reason = format!("statement took longer than {} ms; its connection is closed", time_max.as_millis());
            let error = io::Error::new(io::ErrorKind::TimedOut, reason);
            Err(Failure::Unfinished(convert::failed(&error.into())))
        })
    }

    async fn run_now(
        &mut self,
        statement: &str,
        kind: Kind,
        parameters: Vec<ParameterValue>,
    ) -> Result<RowSet, Failure> {
        let Some(Taken { session, .. }) = &mut self.taken else { return Err(Failure::Lost(lost())) };
        let failed = |error| Failure::of(&error, &self.pool);
        if self.autocommit && !session.autocommit && kind != Kind::AutocommitOff {
            session.connection.query_drop("SET autocommit=1").await.map_err(failed)?;
            session.autocommit = true;
        }
        let parameters = if parameters.is_empty() {
            Params::Empty
        } else {
            Params::Positional(parameters.into_iter().map(convert::parameter).collect())
        };
        let mut result = session.connection.exec_iter(statement, parameters).await.map_err(failed)?;
        let columns: Vec<_> = result.columns_ref().iter().map(convert::column).collect();
        let found = collect(&mut result, &columns, &self.pool.settings).await.map_err(failed)?;
        let rows = match found {
            // What is left of the result may be long: it is not waited for.
            Err(error @ Error::Other(_)) => return Err(Failure::Unfinished(error)),
            Err(error) => {
                result.drop_result().await.map_err(failed)?;
                return Err(Failure::Statement(error));
            }
            Ok(rows) => rows,
        };
        result.drop_result().await.map_err(failed)?;
        Ok(RowSet { columns, rows })
    }

    /// What the server has said about a transaction, with its last answer.
    fn transaction(&self) -> Left {
        let answer = self.taken.as_ref().and_then(|taken| taken.session.connection.last_ok_packet());
        match answer.map(mysql_async::OkPacket::status_flags) {
            Some(flags) if !flags.contains(StatusFlags::SERVER_STATUS_IN_TRANS) => Left::Nothing,
            _ => Left::Transaction,
        }
    }

    /// Notes what a statement that succeeded has changed.
    fn after(&mut self, kind: Kind) {
        let Some(taken) = &mut self.taken else { return };
        match kind {
            Kind::AutocommitOff => (self.autocommit, taken.session.autocommit) = (false, false),
            Kind::AutocommitOn => {
                (self.autocommit, taken.session.autocommit) = (true, true);
                self.pool.committed();
            }
            // Whatever the other was, it may have been a commit, and a look too many does no harm.
            Kind::Commit | Kind::Other => self.pool.committed(),
            Kind::Change if self.autocommit && self.left != Left::Transaction => self.pool.committed(),
            Kind::Change | Kind::Plain => {}
        }
    }

    /// Gives the connection back, or ends it, and has undone what is left of its use.
    fn give_back(&mut self) {
        let Some(taken) = self.taken.take() else { return };
        match self.left {
            Left::Nothing => self.pool.put(taken),
            Left::Transaction | Left::Session => {
                tokio::spawn(clean(self.pool.clone(), taken, self.left));
            }
            Left::Statement => self.pool.kill(taken),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Undoes what a guest has left behind, and passes the connection on.
async fn clean(pool: Arc<Pool>, mut taken: Taken, left: Left) {
    let session = &mut taken.session;
    let cleaned = timeout(pool.settings.statement_time_max, async {
        if left == Left::Session {
            session.autocommit = true;
            if pool.can_reset() { session.connection.reset().await } else { Ok(false) }
        } else {
            session.connection.query_drop("ROLLBACK").await.map(|()| true)
        }
    });
    match cleaned.await {
        Ok(Ok(true)) => pool.put(taken),
        // It cannot be reset.
        Ok(Ok(false)) => drop(taken),
        Ok(Err(_)) => pool.forget_idle(),
        Err(_elapsed) => pool.kill(taken),
    }
}

/// The rows of a result, within its bounds.
async fn collect(
    result: &mut QueryResult<'_, '_, BinaryProtocol>,
    columns: &[Column],
    settings: &MysqlSettings,
) -> mysql_async::Result<Result<Vec<Vec<DbValue>>, Error>> {
    let (rows_max, bytes_max) = (settings.result_rows_max, settings.result_bytes_max);
    let mut rows = Vec::new();
    let mut bytes = 0;
    let Some(mut found) = result.stream::<Row>().await? else { return Ok(Ok(rows)) };
    while let Some(row) = found.try_next().await? {
        let (row, row_bytes) = match convert::row(row, columns) {
            Ok(row) => row,
            Err(error) => return Ok(Err(error)),
        };
        bytes += row_bytes;
        if bytes > bytes_max {
            return Ok(Err(Error::Other(format!("query result exceeds limit of {bytes_max} bytes"))));
        }
        if rows.len() >= rows_max {
            return Ok(Err(Error::Other(format!("query result exceeds limit of {rows_max} rows"))));
        }
        rows.push(row);
    }
    Ok(Ok(rows))
}

/// Why a statement failed.
enum Failure {
    /// The server refused it; the connection is as before.
    Statement(Error),
    /// It is still under way.
    Unfinished(Error),
    /// The connection is gone.
    Lost(Error),
}

impl Failure {
    fn of(error: &mysql_async::Error, pool: &Pool) -> Self {
        let failed = convert::failed(error);
        match error {
            mysql_async::Error::Server(server) => {
                pool.count_error(match server.code {
                    DUPLICATE => "duplicate",
                    LOCK_WAIT_TIMEOUT => "lock_wait",
                    DEADLOCK => "deadlock",
                    _ => "other",
                });
                Self::Statement(failed)
            }
            mysql_async::Error::Io(_) => {
                pool.count_error("lost");
                // What broke this connection has most likely broken the others, too.
                pool.forget_idle();
                Self::Lost(failed)
            }
            // The driver ends a connection when it is used in a way that it does not understand.
            _ => {
                pool.count_error("driver");
                Self::Lost(failed)
            }
        }
    }
}

fn lost() -> Error {
    convert::failed(&mysql_async::DriverError::ConnectionClosed.into())
}
