//! The thread that moves the write-ahead log into the database.
//!
//! It owns a connection of its own, which stays open as long as the database: SQLite deletes the log when a file's last
//! connection closes, and the syncer must keep syncing the file that is written, not one that has lost its name.

use std::{
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::Connection;

use crate::database::Gate;

/// How long a checkpoint under the gate waits for readers who still need the old pages.
const READERS_WAIT_MAX: Duration = Duration::from_millis(20);
/// Rest after a checkpoint that did not get through, so that a slow reader does not make it spin.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Handle to the thread; it ends when this is dropped.
pub(crate) struct Checkpointer {
    shared: Arc<Shared>,
    limits: Limits,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    request: Mutex<Request>,
    wake: Condvar,
}

#[derive(Default)]
struct Request {
    /// Length of the log, in pages, after the last commit.
    wal_pages: u64,
    due: bool,
    stopped: bool,
}

/// When to act, in pages of the log.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) checkpoint_pages: u64,
    pub(crate) max_pages: u64,
}

impl Checkpointer {
    pub(crate) fn start(
        name: &str,
        path: PathBuf,
        connection: Connection,
        gate: Gate,
        limits: Limits,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { request: Mutex::default(), wake: Condvar::new() });
        let worker = Worker {
            shared: shared.clone(),
            connection,
            gate,
            limits,
            path,
            done: metrics::counter!("plaza_sqlite_checkpoints_total", "database" => name.to_owned()),
        };
        let thread = thread::Builder::new().name(format!("wal-{name}")).spawn(move || worker.run())?;
        Ok(Self { shared, limits, thread: Mutex::new(Some(thread)) })
    }

    /// Notes how many pages long the log is, and asks for a checkpoint if that is enough.
    pub(crate) fn note(&self, wal_pages: u64) {
        if wal_pages < self.limits.checkpoint_pages {
            return;
        }
        let mut request = self.shared.request.lock().unwrap_or_else(PoisonError::into_inner);
        request.wal_pages = wal_pages;
        if !request.due {
            request.due = true;
            self.shared.wake.notify_one();
        }
    }

    /// Moves the whole log into the database, closes the connection and ends the thread. Blocks until that is done.
    pub(crate) fn stop(&self) {
        self.tell_to_stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic has been reported by the thread itself.
            let _ = thread.join();
        }
    }

    fn tell_to_stop(&self) {
        self.shared.request.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
        self.shared.wake.notify_one();
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.tell_to_stop();
    }
}

struct Worker {
    shared: Arc<Shared>,
    connection: Connection,
    gate: Gate,
    limits: Limits,
    path: PathBuf,
    done: metrics::Counter,
}

impl Worker {
    fn run(self) {
        loop {
            let wal_pages = {
                let mut request = self.shared.request.lock().unwrap_or_else(PoisonError::into_inner);
                while !request.due && !request.stopped {
                    request = self.shared.wake.wait(request).unwrap_or_else(PoisonError::into_inner);
                }
                if request.stopped {
                    break;
                }
                request.due = false;
                request.wal_pages
            };
            match self.checkpoint(wal_pages) {
                Ok(true) => self.done.increment(1),
                // The next commit asks again.
                Ok(false) => self.rest(),
                Err(error) => {
                    tracing::warn!(%error, path = %self.path.display(), "checkpoint failed; it will be tried again");
                    self.rest();
                }
            }
        }
        // Closing a file's last connection moves the log into the database and removes it; so does the next open.
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, path = %self.path.display(), "database was not closed cleanly");
        }
    }

    fn rest(&self) {
        let request = self.shared.request.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.shared.wake.wait_timeout_while(request, RETRY_DELAY, |request| !request.stopped);
    }

    /// Whether the log was moved completely, so that the next writer starts it anew.
    fn checkpoint(&self, wal_pages: u64) -> rusqlite::Result<bool> {
        // Most of the log, with its two syncs of the disk, beside the writers.
        self.pass("PASSIVE")?;
        // Then, without writers, what has come since. Only a log that is wholly moved can be started anew; beside busy
        // writers that moment would never come and the log would grow without end.
        let _turn = self.gate.clone().blocking_lock_owned();
        if self.pass("PASSIVE")? {
            return Ok(true);
        }
        // A reader holds on to older pages. Below the limit the log may grow a little further; above, wait for readers.
        if wal_pages < self.limits.max_pages {
            return Ok(false);
        }
        let moved = self.pass("RESTART")?;
        if !moved {
            tracing::warn!(
                path = %self.path.display(),
                wal_pages,
                "write-ahead log is above its limit and a reader keeps it from being moved"
            );
        }
        Ok(moved)
    }

    fn pass(&self, mode: &str) -> rusqlite::Result<bool> {
        let (busy, log, moved): (i64, i64, i64) =
            self.connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        Ok(busy == 0 && log == moved)
    }
}

/// How long the checkpointing connection waits inside SQLite.
pub(crate) const fn busy_timeout() -> Duration {
    READERS_WAIT_MAX
}
