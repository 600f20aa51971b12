//! The thread that syncs the write-ahead log for everyone who waits for a commit to be on disk.

use std::{
    fs::File,
    io,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{oneshot, watch};

use crate::Error;

/// Shortest time from the beginning of one sync to that of the next, while several wait for each: so that under load a few syncs
/// serve many commits. A commit that comes alone is synced at once.
const SYNC_INTERVAL: Duration = Duration::from_millis(2);

/// Syncs on demand; whoever asks while a sync is running shares the next one.
pub(crate) struct Syncer {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// Commits written to the log so far, whether on disk or not.
    committed: AtomicU64,
    /// Commits known to be on disk.
    synced: AtomicU64,
    /// Tells the outside of commits, once they are on disk.
    commits: watch::Sender<u64>,
}

/// Someone who waits for the commit of this number.
type Waiter = (u64, oneshot::Sender<Result<(), Error>>);

#[derive(Default)]
struct Queue {
    waiters: Vec<Waiter>,
    /// Set by the first sync that failed, for good: after it the kernel may have dropped the unwritten pages and
    /// report success the next time, so a later success would prove nothing.
    failed: Option<Arc<io::Error>>,
    stopped: bool,
}

impl Syncer {
    /// `wal`: the log to sync, or none when commits need not be on disk.
    pub(crate) fn start(name: &str, wal: Option<File>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            committed: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            commits: watch::Sender::new(0),
        });
        if let Some(wal) = wal {
            let shared = shared.clone();
            let syncs = metrics::counter!("plaza_sqlite_syncs_total", "database" => name.to_owned());
            let seconds = metrics::histogram!("plaza_sqlite_sync_seconds", "database" => name.to_owned());
            thread::Builder::new().name(format!("sync-{name}")).spawn(move || {
                shared.run(|| {
                    let start = Instant::now();
                    let result = wal.sync_data();
                    syncs.increment(1);
                    seconds.record(start.elapsed().as_secs_f64());
                    result
                });
            })?;
        } else {
            // Nobody waits, so nothing ever counts as not yet on disk.
            shared.synced.store(u64::MAX, Ordering::Release);
        }
        Ok(Self { shared })
    }

    pub(crate) fn commits(&self) -> watch::Receiver<u64> {
        self.shared.commits.subscribe()
    }

    /// Counts one more commit and answers its number. To be called by its writer before the next one can write.
    pub(crate) fn committed(&self) -> u64 {
        let number = self.shared.committed.fetch_add(1, Ordering::AcqRel) + 1;
        if self.shared.synced.load(Ordering::Acquire) == u64::MAX {
            self.shared.announce(number);
        }
        number
    }

    /// The number of the last commit.
    pub(crate) fn last(&self) -> u64 {
        self.shared.committed.load(Ordering::Acquire)
    }

    /// Counts one more commit that its writer has synced by itself.
    pub(crate) fn committed_and_synced(&self) {
        let number = self.shared.committed.fetch_add(1, Ordering::AcqRel) + 1;
        self.shared.announce(number);
    }

    /// Waits until the commit of this number, and all before it, are on disk.
    pub(crate) async fn wait(&self, number: u64) -> Result<(), Error> {
        if self.shared.synced.load(Ordering::Acquire) >= number {
            return Ok(());
        }
        let (done, wait) = oneshot::channel();
        {
            let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(error) = &queue.failed {
                return Err(Error::Sync(error.clone()));
            }
            if queue.stopped {
                return Err(Error::Closed);
            }
            queue.waiters.push((number, done));
            if queue.waiters.len() == 1 {
                self.shared.wake.notify_one();
            }
        }
        wait.await.unwrap_or(Err(Error::Closed))
    }

    /// Fails if a sync has ever failed.
    pub(crate) fn check(&self) -> Result<(), Error> {
        // `synced` cannot tell; the lock is taken for a moment once per transaction.
        let queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.failed.as_ref().map_or(Ok(()), |error| Err(Error::Sync(error.clone())))
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
        self.shared.wake.notify_one();
    }
}

impl Shared {
    fn run(&self, mut sync: impl FnMut() -> io::Result<()>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if queue.waiters.is_empty() {
                if queue.stopped {
                    return;
                }
                queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waiters = std::mem::take(&mut queue.waiters);
            let failed = queue.failed.clone();
            drop(queue);
            let (start, several) = (Instant::now(), waiters.len() > 1);
            // Read before the sync begins: what is committed by now is in the kernel's hands, and the sync covers it.
            let covered = self.committed.load(Ordering::Acquire);
            let needed = waiters.iter().any(|(number, _)| *number > self.synced.load(Ordering::Acquire));
            let result = match failed {
                Some(error) => Err(error),
                None if needed => sync().map_err(Arc::new).map(|()| Some(covered)),
                // They queued up behind a sync which, as it turned out, had begun after their commits.
                None => Ok(None),
            };
            match result {
                Ok(covered) => {
                    if let Some(covered) = covered {
                        // Told before any of them is answered: who has been answered finds it told.
                        self.announce(covered);
                        self.synced.store(covered, Ordering::Release);
                    }
                    for (_, waiter) in waiters {
                        // A caller who has gone does not need to know.
                        let _ = waiter.send(Ok(()));
                    }
                    if several {
                        thread::sleep(SYNC_INTERVAL.saturating_sub(start.elapsed()));
                    }
                    queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                }
                Err(error) => {
                    tracing::error!(%error, "write-ahead log could not be synced; the database takes no more writes");
                    queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                    queue.failed = Some(error.clone());
                    for (_, waiter) in waiters {
                        let _ = waiter.send(Err(Error::Sync(error.clone())));
                    }
                }
            }
        }
    }

    fn announce(&self, number: u64) {
        self.commits.send_if_modified(|commits| {
            let newer = number > *commits;
            *commits = number.max(*commits);
            newer
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn shared() -> Arc<Shared> {
        Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            committed: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            commits: watch::Sender::new(0),
        })
    }

    #[tokio::test]
    async fn a_commit_waits_for_a_sync_that_began_after_it() {
        let shared = shared();
        let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
        let (finish, finishes) = std::sync::mpsc::channel::<()>();
        let thread = thread::spawn({
            let shared = shared.clone();
            move || {
                shared.run(|| {
                    let _ = started.send(());
                    finishes.recv().map_err(io::Error::other)
                });
            }
        });
        let syncer = Arc::new(Syncer { shared });
        let commits = syncer.commits();

        let wait = |number| {
            let syncer = syncer.clone();
            tokio::spawn(async move { syncer.wait(number).await })
        };
        let first = wait(syncer.committed());
        starts.recv().await.unwrap();
        // The second commits while the first sync runs, so that sync does not cover it.
        let second = wait(syncer.committed());
        tokio::task::yield_now().await;
        finish.send(()).unwrap();
        first.await.unwrap().unwrap();
        starts.recv().await.unwrap();
        assert!(!second.is_finished());
        assert!(*commits.borrow() < 2);
        finish.send(()).unwrap();
        second.await.unwrap().unwrap();

        drop(syncer);
        thread.join().unwrap();
        assert_eq!(*commits.borrow(), 2);
    }

    #[tokio::test]
    async fn after_one_failure_nothing_is_called_durable_again() {
        let shared = shared();
        let thread = thread::spawn({
            let shared = shared.clone();
            let mut calls = 0;
            move || {
                shared.run(|| {
                    calls += 1;
                    if calls == 1 { Err(io::Error::other("disk gone")) } else { Ok(()) }
                });
            }
        });
        let syncer = Syncer { shared };
        assert!(syncer.check().is_ok());
        let number = syncer.committed();
        assert!(matches!(syncer.wait(number).await, Err(Error::Sync(_))));
        let number = syncer.committed();
        assert!(matches!(syncer.wait(number).await, Err(Error::Sync(_))));
        assert!(matches!(syncer.check(), Err(Error::Sync(_))));
        drop(syncer);
        thread.join().unwrap();
    }
}
