//! Commits share syncs. A test of its own process, for it installs a metrics recorder.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use plaza_sqlite::{Database, Settings};
use tokio::task::JoinSet;

#[derive(Default)]
struct Counters {
    syncs: Arc<Count>,
    commits: Arc<Count>,
}

#[derive(Default)]
struct Count(AtomicU64);

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }
    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match key.name() {
            "plaza_sqlite_syncs_total" => Counter::from_arc(self.syncs.clone()),
            "plaza_sqlite_commits_total" => Counter::from_arc(self.commits.clone()),
            _ => Counter::noop(),
        }
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sync_serves_several_commits() {
    let counters = Counters::default();
    let (syncs, commits) = (counters.syncs.clone(), counters.commits.clone());
    metrics::set_global_recorder(counters).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("test.db"), Settings::default()).unwrap();
    let mut connection = database.connection().unwrap();
    connection.execute("CREATE TABLE t (n)", &[]).await.unwrap();

    // Alone, each commit pays for its own.
    let before = syncs.0.load(Ordering::Relaxed);
    for _ in 0..10 {
        connection.execute("INSERT INTO t VALUES (1)", &[]).await.unwrap();
    }
    assert_eq!(syncs.0.load(Ordering::Relaxed) - before, 10);

    let before = (syncs.0.load(Ordering::Relaxed), commits.0.load(Ordering::Relaxed));
    let mut tasks = JoinSet::new();
    for _ in 0..32 {
        let database = database.clone();
        tasks.spawn(async move {
            let mut connection = database.connection().unwrap();
            for _ in 0..30 {
                connection.execute("INSERT INTO t VALUES (1)", &[]).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let syncs = syncs.0.load(Ordering::Relaxed) - before.0;
    assert_eq!(commits.0.load(Ordering::Relaxed) - before.1, 32 * 30);
    assert!(syncs > 0 && syncs < 32 * 30 / 2, "{syncs} syncs for 960 commits");
}
