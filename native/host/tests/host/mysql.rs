//! `fermyon:spin/mysql`, on a real MariaDB.

use std::time::Duration;

use http_body_util::BodyExt;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use plaza_http::Upstream;
use plaza_test_servers::MariaDb;
use tokio::time::{Instant, sleep};

use crate::support::{Answer, App, client};

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "tests"
[[trigger.http]]
route = "/t/..."
component = "guest"
[[trigger.http]]
route = "/bare/..."
component = "bare"
[component.guest]
source = "GUEST"
allowed_outbound_hosts = ["mysql://127.0.0.1:*"]
[component.bare]
source = "GUEST"
allowed_outbound_hosts = ["mysql://127.0.0.1:1", "https://127.0.0.1:*"]
"#;

/// InnoDB's table of transactions is a snapshot that is as old as the last look at it, if that was less than 100 ms ago.
const SNAPSHOT: Duration = Duration::from_millis(150);

/// A host, and a database of its own.
struct World {
    app: App,
    url: String,
    /// Beside the host.
    own: Conn,
}

impl World {
    async fn with(server: &MariaDb, name: &str, change: impl FnOnce(&mut plaza_host::MysqlSettings)) -> Self {
        let url = server.database(name);
        plaza_mysql::create_database(&url).await.unwrap();
        let mut own = Conn::new(plaza_mysql::options(&url).unwrap()).await.unwrap();
        own.query_drop("CREATE TABLE t (id INT PRIMARY KEY, text VARCHAR(100))").await.unwrap();
        let app = App::with(MANIFEST, |settings| change(&mut settings.mysql)).await;
        Self { app, url, own }
    }

    async fn run(&self, lines: &[&str]) -> Answer {
        self.app.post("/t/mysql", &format!("{}\n{}", self.url, lines.join("\n"))).await
    }

    async fn rows(&mut self) -> u64 {
        self.own.query_first("SELECT COUNT(*) FROM t").await.unwrap().unwrap()
    }

    /// Connections to the database besides our own.
    async fn connections(&mut self) -> Vec<u64> {
        let sql = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id != CONNECTION_ID()";
        self.own.query(sql).await.unwrap()
    }

    /// Transactions that hold something.
    async fn transactions(&mut self) -> u64 {
        let sql = "SELECT COUNT(*) FROM information_schema.innodb_trx x JOIN information_schema.processlist p
                   ON x.trx_mysql_thread_id = p.id WHERE p.db = DATABASE()";
        self.own.query_first(sql).await.unwrap().unwrap()
    }

    /// Waits until no transaction is open.
    async fn settled(&mut self) {
        let began = Instant::now();
        sleep(SNAPSHOT).await;
        while self.transactions().await > 0 {
            assert!(began.elapsed() < Duration::from_secs(5), "a transaction stays open");
            sleep(SNAPSHOT).await;
        }
    }
}

macro_rules! world {
    ($name:literal $(, $change:expr)?) => {{
        let Some(server) = MariaDb::shared() else { return };
        World::with(server, $name, |_settings| { $( ($change)(_settings) )? }).await
    }};
}

#[tokio::test]
async fn values_of_every_type_are_as_with_spin() {
    let world = world!("host_types");
    let create = "CREATE TABLE v (i8 TINYINT, u8 TINYINT UNSIGNED, i16 SMALLINT, u16 SMALLINT UNSIGNED, i24 MEDIUMINT, i32 INT,
        u32 INT UNSIGNED, i64 BIGINT, u64 BIGINT UNSIGNED, f32 FLOAT, f64 DOUBLE, b BOOLEAN, vc VARCHAR(50), c CHAR(5), t TEXT, mt MEDIUMTEXT,
        bin VARCHAR(50) COLLATE utf8mb4_bin, vb VARBINARY(9), bl BLOB, d DATETIME, nd DECIMAL(5,2)) COLLATE utf8mb4_unicode_ci"
        .replace('\n', " ");
    let insert = "INSERT INTO v VALUES (-1, ?, -2, 2, -3, -4, 4, ?, 18446744073709551615, 0.5, ?, TRUE, ?, 'abc', 'T', 'MT', ?, ?, ?, ?, ?)\t\
        u:255\ti:-9223372036854775808\tf:-0.25\ts:안녕 👋🏽\ts:비밀 🗝\tb:xyz\tb:\tn:\tn:";
    let answer = world.run(&[&create, insert, "SELECT * FROM v"]).await;
    let columns = r#"[("i8", DbDataType::Int8), ("u8", DbDataType::Uint8), ("i16", DbDataType::Int16), ("u16", DbDataType::Uint16), ("i24", DbDataType::Int32), ("i32", DbDataType::Int32), ("u32", DbDataType::Uint32), ("i64", DbDataType::Int64), ("u64", DbDataType::Uint64), ("f32", DbDataType::Floating32), ("f64", DbDataType::Floating64), ("b", DbDataType::Int8), ("vc", DbDataType::Str), ("c", DbDataType::Str), ("t", DbDataType::Str), ("mt", DbDataType::Str), ("bin", DbDataType::Binary), ("vb", DbDataType::Binary), ("bl", DbDataType::Binary), ("d", DbDataType::Other), ("nd", DbDataType::Other)]"#;
    let values = r#"DbValue::Int8(-1), DbValue::Uint8(255), DbValue::Int16(-2), DbValue::Uint16(2), DbValue::Int32(-3), DbValue::Int32(-4), DbValue::Uint32(4), DbValue::Int64(-9223372036854775808), DbValue::Uint64(18446744073709551615), DbValue::Floating32(0.5), DbValue::Floating64(-0.25), DbValue::Int8(1), DbValue::Str("안녕 👋🏽"), DbValue::Str("abc"), DbValue::Str("T"), DbValue::Str("MT")"#;
    let binary =
        format!("DbValue::Binary({:?}), DbValue::Binary([120, 121, 122]), DbValue::Binary([])", "비밀 🗝".as_bytes());
    assert_eq!(answer.text(), format!("{columns} [[{values}, {binary}, DbValue::DbNull, DbValue::DbNull]]"));
    let decimal = world.run(&["~SELECT 1.5 AS half", "SELECT 1"]).await;
    assert!(decimal.text().contains("Int32(1)") || decimal.text().contains("Int64(1)"), "goes on: {}", decimal.text());
    assert!(world.run(&["SELECT 1.5 AS half"]).await.text().contains("ValueConversionFailed"));
    assert_eq!(world.run(&["DELETE FROM v"]).await.text(), "[] []");
}

#[tokio::test]
async fn errors_are_in_the_drivers_words() {
    let world = world!("host_errors");
    let duplicate = world.run(&["INSERT INTO t VALUES (1, 'a')", "INSERT INTO t VALUES (1, 'a')"]).await;
    assert_eq!(
        (duplicate.status, duplicate.text().as_str()),
        (
            400,
            "Error::QueryFailed(\"Server(ServerError { code: 1062, message: \\\"Duplicate entry '1' for key 'PRIMARY'\\\", \
             state: \\\"23000\\\" })\")"
        )
    );
    let mismatch = world.run(&["~SELECT ?", "SELECT 1"]).await;
    assert!(mismatch.text().contains("Driver(ConnectionClosed)"), "{}", mismatch.text());
    let too_large = world.run(&["SELECT * FROM seq_1_to_200000"]).await;
    assert_eq!(too_large.text(), "Error::Other(\"query result exceeds limit of 100000 rows\")");
    let too_large = world.run(&["SELECT REPEAT('x', 1000000) FROM seq_1_to_100"]).await;
    assert_eq!(too_large.text(), "Error::Other(\"query result exceeds limit of 16777216 bytes\")");
    let wrong = world.app.post("/t/mysql", &format!("{}\nSELECT 1", world.url.replace("root:", "nobody:"))).await;
    assert!(wrong.text().starts_with("Error::ConnectionFailed(\"Server(ServerError { code: 1045"), "{}", wrong.text());
}

#[tokio::test]
async fn only_servers_that_are_granted() {
    let world = world!("host_grants");
    let secret = world.url.split([':', '@']).nth(2).unwrap().to_owned();
    let body = format!("{}\nSELECT 1", world.url);
    let refused = world.app.post("/bare/mysql", &body).await;
    assert!(refused.text().starts_with("Error::ConnectionFailed(\"address mysql://127.0.0.1:"), "{}", refused.text());
    assert!(refused.text().ends_with("is not permitted\")") && !refused.text().contains(&secret));
    let elsewhere = world.app.post("/t/mysql", "mysql://u:p@localhost/x\nSELECT 1").await;
    assert!(elsewhere.text().contains("is not permitted"));
    let socket = world.app.post("/t/mysql", "mysql://u:p@127.0.0.1:5/x?socket=/run/mysqld/mysqld.sock\nSELECT 1").await;
    assert!(socket.text().contains("names a socket file"), "{}", socket.text());
    let nowhere = world.app.post("/t/mysql", "mysql://u:p@127.0.0.1:1/x\nSELECT 1").await;
    assert!(nowhere.text().contains("ConnectionFailed") && nowhere.text().contains("refused"), "{}", nowhere.text());
    let many = world.app.post("/t/mysql-open", &world.url).await;
    assert_eq!(many.text(), "8 Error::ConnectionFailed(\"too many connections\")");
}

#[tokio::test]
async fn a_transaction_is_committed_or_leaves_nothing() {
    let mut world = world!("host_transactions");
    let begin = "SET autocommit=0";
    world.run(&[begin, "INSERT INTO t VALUES (1, 'a')", "INSERT INTO t VALUES (2, 'b')", "COMMIT"]).await.text();
    assert_eq!(world.rows().await, 2);
    world.run(&[begin, "DELETE FROM t"]).await.text();
    world.settled().await;
    assert_eq!(world.rows().await, 2, "dropped without a commit");
    assert_eq!(world.run(&[begin, "DELETE FROM t", "!panic"]).await.status, 500);
    world.settled().await;
    assert_eq!(world.rows().await, 2, "the guest has trapped");
    let failed = world.run(&[begin, "INSERT INTO t VALUES (3, 'c')", "INSERT INTO t VALUES (3, 'c')"]).await;
    assert!(failed.text().contains("1062"));
    world.settled().await;
    assert_eq!(world.rows().await, 2, "a statement has failed");
    // Whatever the connection's last user did, to the next one it commits by itself, in one statement or the other.
    for id in 10..20 {
        world.run(&[&format!("INSERT INTO t VALUES ({id}, '')")]).await.text();
        world.run(&[begin, "SELECT * FROM t", "COMMIT"]).await.text();
        world.run(&[begin, "INSERT INTO t VALUES (99, '')", "ROLLBACK"]).await.text();
        world.run(&[begin, "SELECT * FROM t FOR UPDATE"]).await.text();
    }
    world.settled().await;
    assert_eq!(world.rows().await, 12);
    // One is cleaned while the next one is used.
    assert!(world.connections().await.len() <= 2, "one after another they share connections");
    world.run(&["START TRANSACTION", "DELETE FROM t"]).await.text();
    world.settled().await;
    assert_eq!(world.rows().await, 12);
}

#[tokio::test]
async fn a_guest_that_is_killed_in_a_statement_holds_nothing_any_longer() {
    let mut world = world!("host_killed");
    world.own.query_drop("INSERT INTO t VALUES (1, 'a'), (2, 'b')").await.unwrap();
    let before = world.connections().await;
    // It locks one row, then waits for something that takes long; and the client goes away.
    let body = format!("{}\nSET autocommit=0\nDELETE FROM t WHERE id = 1\nSELECT SLEEP(30)", world.url);
    let host = world.app.host.clone();
    let request =
        tokio::spawn(async move { host.call(client("POST", "/t/mysql", &body)).await.into_body().collect().await });
    let began = Instant::now();
    while world.transactions().await == 0 {
        assert!(began.elapsed() < Duration::from_secs(5));
        sleep(SNAPSHOT).await;
    }
    request.abort();
    world.settled().await;
    assert!(began.elapsed() < Duration::from_secs(5), "the server has been told");
    assert_eq!(world.rows().await, 2);
    assert!(before.is_empty());
    // The same where the guest waits by itself.
    let request = {
        let (host, body) =
            (world.app.host.clone(), format!("{}\nSET autocommit=0\nDELETE FROM t\n!sleep 20000", world.url));
        tokio::spawn(async move { host.call(client("POST", "/t/mysql", &body)).await.into_body().collect().await })
    };
    while world.transactions().await == 0 {
        sleep(SNAPSHOT).await;
    }
    request.abort();
    world.settled().await;
    assert_eq!(world.rows().await, 2);
}

#[tokio::test]
async fn statements_that_take_too_long_are_ended() {
    let mut world = world!("host_slow", |mysql: &mut plaza_host::MysqlSettings| {
        mysql.statement_time_max = Duration::from_millis(300);
        mysql.lock_wait_seconds_max = 1;
    });
    let slow = world.run(&["SET autocommit=0", "INSERT INTO t VALUES (1, '')", "~SELECT SLEEP(30)", "~COMMIT"]).await;
    assert!(slow.text().contains("Driver(ConnectionClosed)"), "no other connection in its place: {}", slow.text());
    let slow = world.run(&["SELECT SLEEP(30)"]).await;
    assert!(slow.text().contains("QueryFailed") && slow.text().contains("longer than 300 ms"), "{}", slow.text());
    world.settled().await;
    assert_eq!((world.rows().await, world.connections().await.len()), (0, 0));
}

#[tokio::test]
async fn a_row_that_another_holds_is_waited_for_within_a_bound() {
    let mut world = world!("host_locks", |mysql: &mut plaza_host::MysqlSettings| mysql.lock_wait_seconds_max = 1);
    world.own.query_drop("INSERT INTO t VALUES (1, 'a')").await.unwrap();
    world.own.query_drop("BEGIN").await.unwrap();
    world.own.query_drop("UPDATE t SET text = 'b'").await.unwrap();
    let waited = world.run(&["UPDATE t SET text = 'c'"]).await;
    assert!(waited.text().contains("code: 1205"), "{}", waited.text());
    world.own.query_drop("ROLLBACK").await.unwrap();
}

#[tokio::test]
async fn no_state_of_a_session_is_passed_on() {
    let mut world = world!("host_sessions", |mysql: &mut plaza_host::MysqlSettings| mysql.connections_max = 1);
    world.run(&["SELECT 1"]).await.text();
    for (change, look, clean) in [
        ("SET @secret = 'x'", "SELECT @secret IS NULL AS clean", "(1)"),
        ("SET SESSION sql_mode = ''", "SELECT @@sql_mode != '' AS clean", "(1)"),
        ("CREATE TEMPORARY TABLE leak (id INT)", "~SELECT * FROM leak", "1146"),
        ("SELECT GET_LOCK('plaza', 0)", "SELECT IS_FREE_LOCK('plaza') AS clean", "(1)"),
        ("USE mysql", "SELECT DATABASE() = 'host_sessions' AS clean", "(1)"),
        (
            "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SELECT @@tx_isolation = 'REPEATABLE-READ' AS c",
            "(1)",
        ),
        ("SET autocommit=0, @x = 1", "SELECT @@autocommit AS clean", "(1)"),
        ("SET NAMES latin1", "SELECT @@character_set_client = 'utf8mb4' AS clean", "(1)"),
        ("SET SESSION innodb_lock_wait_timeout = 1", "SELECT @@innodb_lock_wait_timeout = 5 AS clean", "(1)"),
    ] {
        world.run(&[change]).await.text();
        sleep(Duration::from_millis(50)).await;
        let seen = world.run(&[look]).await.text();
        assert!(seen.contains(clean), "{change}: {seen}");
    }
    assert_eq!(world.connections().await.len(), 1, "it was one connection all the time");
}

#[tokio::test]
async fn connections_are_bounded_and_waited_for() {
    let mut world = world!("host_bounds", |mysql: &mut plaza_host::MysqlSettings| {
        mysql.connections_max = 2;
        mysql.wait_max = Duration::from_millis(500);
    });
    let (short, long) = (["SELECT SLEEP(0.2)"], ["SELECT SLEEP(0.9)"]);
    let (a, b, c, d) = tokio::join!(world.run(&short), world.run(&short), world.run(&short), world.run(&short));
    assert!([a, b, c, d].iter().all(|answer| answer.status == 200));
    assert!(world.connections().await.len() <= 2);
    let (a, b, c) = tokio::join!(world.run(&long), world.run(&long), async {
        sleep(Duration::from_millis(100)).await;
        world.run(&short).await
    });
    assert_eq!((a.status, b.status), (200, 200));
    assert_eq!(c.text(), "Error::ConnectionFailed(\"too many connections\")");
}

#[tokio::test]
async fn commits_wake_and_nothing_else_does() {
    let world = world!("host_commits");
    let mut commits = world.app.host.mysql_commits(&world.url).unwrap();
    let mut woken = || {
        let woken = commits.has_changed().unwrap();
        commits.borrow_and_update();
        woken
    };
    for (lines, wakes) in [
        (&["SELECT 1"][..], false),
        (&["INSERT INTO t VALUES (1, '')"], true),
        (&["~INSERT INTO t VALUES (1, '')"], false),
        (&["SET autocommit=0", "INSERT INTO t VALUES (2, '')"], false),
        (&["SET autocommit=0", "INSERT INTO t VALUES (2, '')", "COMMIT"], true),
        (&["SET autocommit=0", "INSERT INTO t VALUES (3, '')", "ROLLBACK"], false),
        (&["SET autocommit=0", "INSERT INTO t VALUES (3, '')", "SET autocommit=1"], true),
    ] {
        world.run(lines).await.text();
        assert_eq!(woken(), wakes, "{lines:?}");
    }
}

#[tokio::test]
async fn a_server_that_goes_and_comes_back() {
    let Some(server) = MariaDb::start() else { return };
    let world = World::with(&server, "host_restart", |mysql| {
        mysql.connect_time_max = Duration::from_millis(500);
        mysql.statement_time_max = Duration::from_millis(500);
    })
    .await;
    world.run(&["INSERT INTO t VALUES (1, '')"]).await.text();
    server.kill();
    let lost = world.run(&["SELECT * FROM t"]).await;
    assert!(
        lost.text().contains("QueryFailed(\"Io(") || lost.text().contains("ConnectionFailed(\"Io("),
        "{}",
        lost.text()
    );
    server.restart();
    assert!(world.run(&["SELECT * FROM t"]).await.text().contains("Int32(1)"));
    server.pause();
    let began = Instant::now();
    let stalled = world.run(&["SELECT * FROM t"]).await;
    assert!(stalled.text().contains("longer than 500 ms"), "{}", stalled.text());
    let stalled = world.run(&["SELECT * FROM t"]).await;
    assert!(stalled.text().contains("did not answer within 500 ms"), "{}", stalled.text());
    assert!(began.elapsed() < Duration::from_secs(3));
    server.resume();
    assert!(world.run(&["SELECT * FROM t"]).await.text().contains("Int32(1)"));
}
