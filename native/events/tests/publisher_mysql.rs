//! The publisher, between a real MariaDB and a real log: several publishers at once, and what may befall them.
//!
//! What must hold, whatever happens: everything that was committed is in the log, and of the events of one key each comes
//! for the first time after those that were committed before it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mysql_async::{Conn, prelude::Queryable};
use plaza_events::{
    Consumer, EventLog, Lag, LogError, MysqlOutbox, NewRecord, Outbox as _, Position, Publisher, PublisherSettings,
    Record, SqliteLog, Tail, TailStart, Topic, Watermark,
};
use plaza_test_servers::MariaDb;
use support::{all, id, open, records, soon};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinSet, time};

const TOPIC: &str = "message.events";

/// A database with the outbox of the chat context, and a log.
struct World {
    url: String,
    log: Arc<SqliteLog>,
    _directory: TempDir,
}

fn publisher_with(log: Arc<dyn EventLog>, outbox: MysqlOutbox) -> Publisher {
    Publisher::start("chat", Arc::new(outbox), log, settings())
}

impl World {
    async fn new(server: &MariaDb, name: &str) -> Self {
        let url = server.database(name);
        plaza_mysql::create_database(&url).await.unwrap();
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/sql/chat");
        plaza_mysql::migrate(&url, &migrations).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        Self { url, log: open(directory.path()).await, _directory: directory }
    }

    fn publisher(&self) -> Publisher {
        publisher_with(self.log.clone(), MysqlOutbox::new(&self.url).unwrap())
    }

    async fn connect(&self) -> Conn {
        Conn::new(plaza_mysql::options(&self.url).unwrap()).await.unwrap()
    }

    /// Waits until the outbox is empty.
    async fn drained(&self) {
        let mut connection = self.connect().await;
        let empty = async {
            while connection.query_first::<u64, _>("SELECT COUNT(*) FROM outbox").await.unwrap() != Some(0) {
                time::sleep(Duration::from_millis(10)).await;
            }
        };
        time::timeout(Duration::from_secs(30), empty).await.expect("the outbox is emptied");
    }

    /// The ids of each key, in the order in which they came for the first time, and how many came again.
    async fn arrived(&self) -> (BTreeMap<String, Vec<String>>, usize) {
        let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let (mut seen, mut again) = (HashSet::new(), 0);
        for record in all(&self.log, TOPIC).await {
            if seen.insert(id(&record)) {
                let key = String::from_utf8(record.key.as_ref().unwrap().to_vec()).unwrap();
                keys.entry(key).or_default().push(id(&record));
            } else {
                again += 1;
            }
        }
        (keys, again)
    }

    /// Asserts that of each key everything arrived, in order. Answers how many came again.
    async fn assert_arrived(&self, keys: usize, events: usize) -> usize {
        let (arrived, again) = self.arrived().await;
        assert_eq!(arrived.len(), keys);
        for (key, ids) in arrived {
            assert_eq!(ids, (0..events).map(|n| event_id(&key, n)).collect::<Vec<_>>());
        }
        again
    }

    /// Ends the session that has the lock.
    async fn kill_leader(&self) -> bool {
        let lock = plaza_mysql::lock_name("publish", &plaza_mysql::database_name(&self.url).unwrap());
        let mut connection = self.connect().await;
        let leader: Option<Option<u64>> = connection.exec_first("SELECT IS_USED_LOCK(?)", (lock,)).await.unwrap();
        let Some(leader) = leader.flatten() else { return false };
        connection.query_drop(format!("KILL {leader}")).await.is_ok()
    }
}

fn settings() -> PublisherSettings {
    PublisherSettings {
        poll_interval: MysqlOutbox::POLL_INTERVAL,
        retry_initial: Duration::from_millis(10),
        retry_max: Duration::from_millis(200),
        ..PublisherSettings::default()
    }
}

fn event_id(key: &str, n: usize) -> String {
    format!("{key}-{n:04}")
}

/// Commits events `range` of a key, each in a transaction of its own that holds the lock on the key's row, as functions do.
async fn write(connection: &mut Conn, key: &str, range: std::ops::Range<usize>) -> Result<(), mysql_async::Error> {
    for n in range {
        connection.query_drop("START TRANSACTION").await?;
        lock(connection, key).await?;
        put(connection, key, n).await?;
        connection.query_drop("COMMIT").await?;
    }
    Ok(())
}

async fn lock(connection: &mut Conn, key: &str) -> Result<(), mysql_async::Error> {
    connection.exec_drop("SELECT id FROM rooms WHERE id = ? FOR UPDATE", (key,)).await
}

async fn put(connection: &mut Conn, key: &str, n: usize) -> Result<(), mysql_async::Error> {
    let sql = "INSERT INTO outbox (event_id, topic, `key`, type, data, time, channels)
               VALUES (?, ?, ?, 'plaza.chat.MessageSent.v1', '{}', 1709251200007, '')";
    connection.exec_drop(sql, (event_id(key, n), TOPIC, key)).await
}

async fn make_rooms(world: &World, keys: usize) {
    let mut connection = world.connect().await;
    for key in 0..keys {
        let sql = "INSERT INTO rooms (id, room_type, last_activity_at, created_at) VALUES (?, 'group', 0, 0)";
        connection.exec_drop(sql, (key.to_string(),)).await.unwrap();
    }
}

/// Writers that each put so many events of the keys, two writers to a key taking turns by its lock.
async fn writers(world: &World, keys: usize, events: usize) -> JoinSet<()> {
    make_rooms(world, keys).await;
    let mut writers = JoinSet::new();
    for key in 0..keys {
        let (mut one, mut other) = (world.connect().await, world.connect().await);
        writers.spawn(async move {
            let key = key.to_string();
            for n in 0..events {
                let connection = if n % 2 == 0 { &mut one } else { &mut other };
                write(connection, &key, n..n + 1).await.unwrap();
            }
        });
    }
    writers
}

macro_rules! world {
    ($name:literal) => {{
        let Some(server) = MariaDb::shared() else { return };
        World::new(server, $name).await
    }};
}

#[tokio::test]
async fn a_commit_of_this_process_wakes_and_text_survives() {
    let world = world!("publish_text");
    let (commits, woken) = watch::channel(0_u64);
    let outbox = MysqlOutbox::new(&world.url).unwrap().woken_by(woken);
    let never = PublisherSettings { poll_interval: Duration::from_hours(1), ..settings() };
    let publisher = Publisher::start("chat", Arc::new(outbox), world.log.clone(), never);
    let mut tail = world.log.tail(&[TOPIC.to_owned()], TailStart::Last(10)).await.unwrap();
    time::sleep(Duration::from_millis(200)).await;
    let mut connection = world.connect().await;
    let sql = "INSERT INTO outbox (event_id, topic, `key`, type, data, time, channels, action) VALUES
        ('e1', ?, '방', 'plaza.chat.X.v1', '{\"text\":\"안녕 👋🏽\"}', 0, 'user:1 user:2', 'hint')";
    connection.exec_drop(sql, (TOPIC,)).await.unwrap();
    commits.send(1).unwrap();
    let record = records(&mut tail, 1).await.remove(0);
    assert_eq!(record.value.as_deref(), Some("{\"text\":\"안녕 👋🏽\"}".as_bytes()));
    assert_eq!((record.key.as_deref(), record.header_str("ce_id")), (Some("방".as_bytes()), Some("e1")));
    assert_eq!(record.header_str("ce_gripchannels"), Some("user:1 user:2"));
    world.drained().await;
    make_rooms(&world, 1).await;
    write(&mut connection, "0", 0..3).await.unwrap();
    publisher.stop().await;
    assert_eq!(all(&world.log, TOPIC).await.len(), 4, "what is left is published before it stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_publishers_and_many_writers() {
    let world = world!("publish_two");
    let publishers = [world.publisher(), world.publisher()];
    writers(&world, 8, 100).await.join_all().await;
    world.drained().await;
    assert_eq!(world.assert_arrived(8, 100).await, 0, "nothing befell them, so nothing came twice");
    for publisher in publishers {
        publisher.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_is_killed_again_and_again() {
    let world = world!("publish_killed");
    let publishers = [world.publisher(), world.publisher(), world.publisher()];
    let writers = writers(&world, 6, 150).await;
    let killing = async {
        let mut killed = 0;
        while killed < 12 {
            killed += usize::from(world.kill_leader().await);
            time::sleep(Duration::from_millis(25)).await;
        }
    };
    let (_, ()) = tokio::join!(writers.join_all(), killing);
    world.drained().await;
    world.assert_arrived(6, 150).await;
    drop(publishers);
}

/// A log whose first append with a record in it stalls the whole thread, as if the process were stopped, and then goes on.
struct Stalling {
    log: Arc<SqliteLog>,
    stall: Duration,
    stalled: AtomicBool,
    appended: AtomicBool,
}

#[async_trait]
impl EventLog for Stalling {
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        if !self.stalled.swap(true, Ordering::SeqCst) {
            std::thread::sleep(self.stall);
        }
        let result = self.log.append(records).await;
        self.appended.store(true, Ordering::SeqCst);
        result
    }
    async fn consumer(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>, LogError> {
        self.log.consumer(group, topics).await
    }
    async fn tail(&self, topics: &[String], start: TailStart) -> Result<Box<dyn Tail>, LogError> {
        self.log.tail(topics, start).await
    }
    async fn read(&self, topic: &str, partition: u32, from: u64, max: usize) -> Result<Vec<Arc<Record>>, LogError> {
        self.log.read(topic, partition, from, max).await
    }
    async fn watermarks(&self, topics: &[String]) -> Result<Vec<Watermark>, LogError> {
        self.log.watermarks(topics).await
    }
    async fn topics(&self) -> Result<Vec<Topic>, LogError> {
        self.log.topics().await
    }
    async fn lag(&self, group: &str) -> Result<Vec<Lag>, LogError> {
        self.log.lag(group).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stalls_is_replaced_and_comes_back() {
    let world = world!("publish_stalled");
    let lease = Duration::from_secs(1);
    let stalling = Arc::new(Stalling {
        log: world.log.clone(),
        stall: Duration::from_secs(4),
        stalled: AtomicBool::new(false),
        appended: AtomicBool::new(false),
    });
    make_rooms(&world, 1).await;
    let mut connection = world.connect().await;
    write(&mut connection, "0", 0..10).await.unwrap();
    let old = {
        // A thread of its own: nothing of this publisher goes on while it stalls.
        let (outbox, log) = (MysqlOutbox::new(&world.url).unwrap().with_lease(lease), stalling.clone());
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                let publisher = Publisher::start("chat", Arc::new(outbox), log, settings());
                let _ = ended.await;
                publisher.stop().await;
            });
        });
        (thread, end)
    };
    let began = time::Instant::now();
    while !stalling.stalled.load(Ordering::SeqCst) {
        assert!(began.elapsed() < Duration::from_secs(10));
        time::sleep(Duration::from_millis(10)).await;
    }
    let outbox = MysqlOutbox::new(&world.url).unwrap().with_lease(lease);
    let new = publisher_with(world.log.clone(), outbox);
    write(&mut connection, "0", 10..20).await.unwrap();
    world.drained().await;
    assert!(!stalling.appended.load(Ordering::SeqCst), "the other one has taken over while the first one stalls");
    assert_eq!(world.assert_arrived(1, 20).await, 0);
    while !stalling.appended.load(Ordering::SeqCst) {
        time::sleep(Duration::from_millis(10)).await;
    }
    write(&mut connection, "0", 20..30).await.unwrap();
    world.drained().await;
    assert_eq!(world.assert_arrived(1, 30).await, 10, "what the old leader had read came again, with the same ids");
    let _ = old.1.send(());
    tokio::task::spawn_blocking(|| old.0.join().unwrap()).await.unwrap();
    new.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_crashes_in_the_middle() {
    let Some(server) = MariaDb::start() else { return };
    let world = World::new(&server, "publish_crash").await;
    make_rooms(&world, 4).await;
    let publishers = [world.publisher(), world.publisher()];
    let mut writers = JoinSet::new();
    for key in 0..4 {
        let options = plaza_mysql::options(&world.url).unwrap();
        // Answers what was committed for certain, in order.
        writers.spawn(async move {
            let (key, mut committed) = (key.to_string(), Vec::new());
            let mut connection = None;
            for n in 0..300 {
                if connection.is_none() {
                    connection = time::timeout(Duration::from_secs(1), Conn::new(options.clone()))
                        .await
                        .ok()
                        .and_then(Result::ok);
                }
                let Some(open) = &mut connection else {
                    time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                if write(open, &key, n..n + 1).await.is_ok() {
                    committed.push(event_id(&key, n));
                } else {
                    connection = None;
                }
            }
            (key, committed)
        });
    }
    time::sleep(Duration::from_millis(200)).await;
    server.kill();
    server.restart();
    let committed = writers.join_all().await;
    world.drained().await;
    let (arrived, _again) = world.arrived().await;
    for (key, committed) in committed {
        let arrived = &arrived[&key];
        assert!(committed.len() > 100, "it went on after the crash");
        assert!(arrived.is_sorted(), "each for the first time in order");
        let arrived: HashSet<_> = arrived.iter().collect();
        assert!(committed.iter().all(|id| arrived.contains(id)), "nothing is lost");
        // Of the one transaction per crash whose outcome its writer never learnt, either may be true.
        assert!(arrived.len() <= committed.len() + 1);
    }
    drop(publishers);
}

#[tokio::test]
async fn rows_that_become_visible_out_of_the_order_of_their_ids() {
    let world = world!("publish_order");
    make_rooms(&world, 2).await;
    let (mut slow, mut quick) = (world.connect().await, world.connect().await);
    let publisher = world.publisher();
    let mut tail = world.log.tail(&[TOPIC.to_owned()], TailStart::Last(10)).await.unwrap();
    slow.query_drop("START TRANSACTION").await.unwrap();
    lock(&mut slow, "0").await.unwrap();
    put(&mut slow, "0", 0).await.unwrap();
    // Its id is higher, and it is there first; nobody waits for the other.
    write(&mut quick, "1", 0..5).await.unwrap();
    let first = records(&mut tail, 5).await;
    assert!(first.iter().all(|record| record.key.as_deref() == Some(b"1")));
    let left = async {
        while quick.query_first::<u64, _>("SELECT COUNT(*) FROM outbox").await.unwrap() != Some(0) {
            time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(left).await;
    slow.query_drop("COMMIT").await.unwrap();
    assert_eq!(id(&records(&mut tail, 1).await[0]), event_id("0", 0));
    world.drained().await;
    publisher.stop().await;
}

#[tokio::test]
async fn a_deadlock_or_a_lock_in_the_way_of_deleting_loses_nothing() {
    let world = world!("publish_deadlock");
    make_rooms(&world, 1).await;
    let mut other = world.connect().await;
    write(&mut other, "0", 0..20).await.unwrap();
    other.query_drop("START TRANSACTION").await.unwrap();
    let last: u64 =
        other.query_first("SELECT id FROM outbox ORDER BY id DESC LIMIT 1 FOR UPDATE").await.unwrap().unwrap();
    let publisher = world.publisher();
    let began = time::Instant::now();
    while all(&world.log, TOPIC).await.len() < 20 {
        assert!(began.elapsed() < Duration::from_secs(10));
        time::sleep(Duration::from_millis(10)).await;
    }
    time::sleep(Duration::from_millis(300)).await;
    // The publisher holds the rows before the last one now, and waits for that.
    let ended = other.exec_drop("UPDATE outbox SET channels = 'x' WHERE id < ?", (last,)).await;
    let _ = other.query_drop("ROLLBACK").await;
    drop(other);
    world.drained().await;
    publisher.stop().await;
    world.assert_arrived(1, 20).await;
    eprintln!("the other transaction: {ended:?}");
}

#[tokio::test]
async fn a_row_that_took_the_place_of_another_is_not_deleted_for_it() {
    let world = world!("publish_restored");
    make_rooms(&world, 1).await;
    let mut connection = world.connect().await;
    write(&mut connection, "0", 0..3).await.unwrap();
    let mut turn = MysqlOutbox::new(&world.url).unwrap().turn().await.unwrap();
    let batch = turn.read(10, 1 << 20).await.unwrap();
    assert_eq!(batch.rows.len(), 3);
    // Restored from a backup, say: the same id is another event's.
    connection.query_drop("UPDATE outbox SET event_id = 'another' ORDER BY id LIMIT 1").await.unwrap();
    turn.delete(&batch.rows).await.unwrap();
    let left: Vec<String> = connection.query("SELECT event_id FROM outbox").await.unwrap();
    assert_eq!(left, ["another"]);
}
