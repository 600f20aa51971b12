//! What a database promises to those who use it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{path::Path, sync::Arc, time::Duration};

use plaza_sqlite::{Connection, Database, Error, Settings, Value};
use tempfile::TempDir;
use tokio::task::JoinSet;

fn open(settings: Settings) -> (TempDir, Arc<Database>) {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("test.db"), settings).unwrap();
    (directory, database)
}

async fn integer(connection: &mut Connection, sql: &str) -> i64 {
    match connection.execute(sql, &[]).await.unwrap().rows[0][0] {
        Value::Integer(integer) => integer,
        ref other => panic!("{sql} gave {other:?}"),
    }
}

async fn run(connection: &mut Connection, sql: &str) {
    connection.execute(sql, &[]).await.unwrap();
}

#[tokio::test]
async fn values_of_every_class_come_back_as_they_went_in() {
    let (_directory, database) = open(Settings::default());
    let mut connection = database.connection().unwrap();
    run(&mut connection, "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c, d, e)").await;
    let values =
        [Value::Integer(-7), Value::Real(1.5), Value::from("zażółć"), Value::Blob(vec![0, 255]), Value::Null].to_vec();
    connection.execute("INSERT INTO t (a, b, c, d, e) VALUES (?1, ?2, ?3, ?4, ?5)", &values).await.unwrap();
    assert_eq!((connection.last_insert_rowid(), connection.changes()), (1, 1));
    let rows = connection.execute("SELECT a, b, c, d, e FROM t", &[]).await.unwrap();
    assert_eq!(rows.columns, ["a", "b", "c", "d", "e"]);
    assert_eq!(rows.rows, [values]);
}

/// What SQLite cannot know of tables that begin empty stands in their migrations.
#[tokio::test]
async fn one_message_is_not_looked_for_among_all_that_its_readers_were_told() {
    let (_directory, database) = open(Settings::default());
    database.migrate(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/sql/notification")).unwrap();
    let mut connection = database.connection().unwrap();
    for (rest, index) in [
        (
            "subject = 'a' AND seq = 3 AND user_id IN ('a', 'b') LIMIT 1",
            "by_subject (user_id=? AND subject=? AND seq=?)",
        ),
        ("user_id = 'a' AND subject = 'a' AND seq > 2 AND seq <= 3 AND read_at IS NULL", "by_subject"),
        ("user_id = 'a' AND id < 'z' AND read_at IS NULL ORDER BY id DESC LIMIT 5", "unread (user_id=? AND read_at=?"),
    ] {
        let plan = format!("EXPLAIN QUERY PLAN SELECT data FROM notifications WHERE {rest}");
        let plan = connection.read(|sql| sql.query_row(&plan, [], |row| row.get::<_, String>(3))).unwrap();
        assert!(plan.contains(&format!("notifications_{index}")), "{rest}: {plan}");
    }
}

#[tokio::test]
async fn errors_are_in_the_words_of_sqlite() {
    let (_directory, database) = open(Settings::default());
    let mut connection = database.connection().unwrap();
    run(&mut connection, "CREATE TABLE t (a UNIQUE, b REFERENCES t (a))").await;
    run(&mut connection, "INSERT INTO t VALUES (1, NULL)").await;
    let refused = |result: Result<_, Error>| result.unwrap_err().to_string();
    assert_eq!(
        refused(connection.execute("INSERT INTO t VALUES (1, NULL)", &[]).await),
        "UNIQUE constraint failed: t.a"
    );
    assert_eq!(refused(connection.execute("INSERT INTO t VALUES (2, 9)", &[]).await), "FOREIGN KEY constraint failed");
    assert!(refused(connection.execute("SELEC 1", &[]).await).contains("syntax error"));
    assert!(refused(connection.execute("SELECT 1; SELECT 2", &[]).await).contains("Multiple statements"));
    assert!(refused(connection.execute("SELECT ?1", &[]).await).contains("parameters"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increments_of_many_writers_are_not_lost() {
    let (_directory, database) = open(Settings::default());
    let mut connection = database.connection().unwrap();
    run(&mut connection, "CREATE TABLE t (n)").await;
    run(&mut connection, "INSERT INTO t VALUES (0)").await;
    let mut tasks = JoinSet::new();
    for _ in 0..32 {
        let database = database.clone();
        tasks.spawn(async move {
            for _ in 0..25 {
                let mut connection = database.connection().unwrap();
                run(&mut connection, "BEGIN IMMEDIATE").await;
                let n = integer(&mut connection, "SELECT n FROM t").await;
                // The worst moment to let others run.
                tokio::task::yield_now().await;
                connection.execute("UPDATE t SET n = ?1", &[Value::Integer(n + 1)]).await.unwrap();
                run(&mut connection, "COMMIT").await;
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(integer(&mut connection, "SELECT n FROM t").await, 32 * 25);
}

#[tokio::test]
async fn what_is_dropped_is_rolled_back_and_lets_the_next_writer_in() {
    let (_directory, database) = open(Settings::default());
    let mut first = database.connection().unwrap();
    run(&mut first, "CREATE TABLE t (n)").await;
    run(&mut first, "BEGIN IMMEDIATE").await;
    run(&mut first, "INSERT INTO t VALUES (1)").await;
    let mut second = database.connection().unwrap();
    let waiting = tokio::spawn(async move {
        run(&mut second, "INSERT INTO t VALUES (2)").await;
        second
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(first);
    let mut second = waiting.await.unwrap();
    assert_eq!(integer(&mut second, "SELECT group_concat(n) = '2' FROM t").await, 1);
    // The connection that was dropped is used again, as if it were new.
    let mut again = database.connection().unwrap();
    assert_eq!((again.last_insert_rowid(), again.changes()), (0, 0));
    run(&mut again, "BEGIN").await;
}

#[tokio::test]
async fn what_a_connection_changed_is_told_of_its_own_changes_only() {
    let (_directory, database) = open(Settings::default());
    let mut first = database.connection().unwrap();
    run(&mut first, "CREATE TABLE t (id INTEGER PRIMARY KEY, n)").await;
    for sql in ["BEGIN IMMEDIATE", "INSERT INTO t VALUES (5, 0), (6, 0)", "COMMIT"] {
        run(&mut first, sql).await;
    }
    let mut second = database.connection().unwrap();
    run(&mut second, "BEGIN IMMEDIATE").await;
    assert_eq!((second.last_insert_rowid(), second.changes()), (0, 0));
    run(&mut second, "UPDATE t SET n = 1").await;
    assert_eq!((second.last_insert_rowid(), second.changes()), (0, 2));
    run(&mut second, "INSERT INTO t VALUES (7, 0)").await;
    run(&mut second, "UPDATE t SET n = 2 WHERE id = 99").await;
    assert_eq!((second.last_insert_rowid(), second.changes()), (7, 0));
    assert_eq!(integer(&mut second, "SELECT last_insert_rowid()").await, 7);
    run(&mut second, "COMMIT").await;
    assert_eq!((second.last_insert_rowid(), second.changes()), (7, 0));
    assert_eq!((first.last_insert_rowid(), first.changes()), (6, 2));
}

#[tokio::test]
async fn counters_in_sql_are_right_or_refused() {
    let (_directory, database) = open(Settings::default());
    let mut connection = database.connection().unwrap();
    run(&mut connection, "CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    run(&mut connection, "INSERT INTO t VALUES (3)").await;
    assert_eq!(integer(&mut connection, "SELECT last_insert_rowid()").await, 3);
    for sql in ["BEGIN IMMEDIATE", "INSERT INTO t VALUES (4)"] {
        run(&mut connection, sql).await;
    }
    for _ in 0..2 {
        assert_eq!(integer(&mut connection, "SELECT last_insert_rowid()").await, 4);
    }
    run(&mut connection, "COMMIT").await;
    for sql in ["SELECT last_insert_rowid()", "SELECT Changes ()", "INSERT INTO t VALUES (total_changes())"] {
        for _ in 0..2 {
            assert!(matches!(connection.execute(sql, &[]).await, Err(Error::CountersGone)), "{sql}");
        }
    }
    run(&mut connection, "INSERT INTO t VALUES (5)").await;
    assert_eq!(integer(&mut connection, "SELECT last_insert_rowid()").await, 5);
}

#[tokio::test]
async fn a_transaction_that_began_by_reading_writes_as_sqlite_would() {
    let (_directory, database) = open(Settings::default());
    let mut first = database.connection().unwrap();
    let mut second = database.connection().unwrap();
    run(&mut first, "CREATE TABLE t (n)").await;
    run(&mut first, "BEGIN").await;
    assert_eq!(integer(&mut first, "SELECT count(*) FROM t").await, 0);
    run(&mut first, "INSERT INTO t VALUES (1)").await;
    assert_eq!(integer(&mut first, "SELECT count(*) FROM t").await, 1);
    assert_eq!(integer(&mut second, "SELECT count(*) FROM t").await, 0);
    run(&mut first, "COMMIT").await;
    // What it read is no longer so: SQLite refuses to write upon that.
    run(&mut first, "BEGIN").await;
    assert_eq!(integer(&mut first, "SELECT count(*) FROM t").await, 1);
    for sql in ["BEGIN IMMEDIATE", "INSERT INTO t VALUES (2)", "COMMIT"] {
        run(&mut second, sql).await;
    }
    assert!(first.execute("INSERT INTO t VALUES (3)", &[]).await.unwrap_err().is_busy());
    assert!(first.execute("BEGIN IMMEDIATE", &[]).await.unwrap_err().is_busy());
    run(&mut first, "ROLLBACK").await;
    run(&mut first, "begin exclusive;").await;
    assert_eq!(integer(&mut first, "SELECT count(*) FROM t").await, 2);
    let nested = first.execute("BEGIN IMMEDIATE", &[]).await.unwrap_err().to_string();
    assert_eq!(nested, "cannot start a transaction within a transaction");
    assert!(first.read(|_| Ok(())).is_err());
    run(&mut first, "COMMIT").await;
}

#[tokio::test]
async fn a_future_dropped_at_the_gate_leaves_no_trace() {
    let (_directory, database) = open(Settings::default());
    let mut first = database.connection().unwrap();
    run(&mut first, "CREATE TABLE t (n)").await;
    run(&mut first, "BEGIN IMMEDIATE").await;
    let mut second = database.connection().unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(20), second.execute("INSERT INTO t VALUES (1)", &[])).await;
    assert!(waited.is_err());
    run(&mut first, "COMMIT").await;
    assert_eq!(integer(&mut second, "SELECT count(*) FROM t").await, 0);
    run(&mut second, "INSERT INTO t VALUES (2)").await;
}

#[tokio::test]
async fn a_wait_for_the_turn_is_bounded_and_ends_as_sqlite_would() {
    let (_directory, database) = open(Settings { gate_wait_max: Duration::from_millis(30), ..Settings::default() });
    let mut first = database.connection().unwrap();
    run(&mut first, "BEGIN IMMEDIATE").await;
    let mut second = database.connection().unwrap();
    let error = second.execute("BEGIN IMMEDIATE", &[]).await.unwrap_err();
    assert!(error.is_busy());
    assert_eq!(error.to_string(), "database is locked");
    // Reading needs no turn.
    assert_eq!(integer(&mut second, "SELECT 1").await, 1);
    run(&mut first, "ROLLBACK").await;
    run(&mut second, "BEGIN IMMEDIATE").await;
}

#[tokio::test]
async fn turns_come_in_order_of_arrival() {
    let (_directory, database) = open(Settings::default());
    let mut first = database.connection().unwrap();
    run(&mut first, "CREATE TABLE t (n INTEGER)").await;
    run(&mut first, "BEGIN IMMEDIATE").await;
    let mut tasks = JoinSet::new();
    for n in 0..10 {
        let mut connection = database.connection().unwrap();
        tasks.spawn(async move {
            connection.execute("INSERT INTO t VALUES (?1)", &[Value::Integer(n)]).await.unwrap();
        });
        // On this single-threaded runtime each task now runs up to the gate.
        tokio::task::yield_now().await;
    }
    run(&mut first, "COMMIT").await;
    tasks.join_all().await;
    let rows = first.execute("SELECT n FROM t ORDER BY rowid", &[]).await.unwrap().rows;
    assert_eq!(rows, (0..10).map(|n| vec![Value::Integer(n)]).collect::<Vec<_>>());
}

#[tokio::test]
async fn commits_are_told_of_only_when_something_changed() {
    let (_directory, database) = open(Settings::default());
    let commits = database.commits();
    let mut connection = database.connection().unwrap();
    run(&mut connection, "CREATE TABLE t (n)").await;
    let start = *commits.borrow();
    assert!(start > 0);
    for sql in ["BEGIN IMMEDIATE", "SELECT * FROM t", "COMMIT", "UPDATE t SET n = 1", "SELECT 1"] {
        run(&mut connection, sql).await;
        assert_eq!(*commits.borrow(), start, "{sql}");
    }
    for sql in ["BEGIN IMMEDIATE", "INSERT INTO t VALUES (1)", "ROLLBACK"] {
        run(&mut connection, sql).await;
        assert_eq!(*commits.borrow(), start, "{sql}");
    }
    // Deferred: the turn is taken in the middle.
    for sql in ["BEGIN", "SELECT 1", "INSERT INTO t VALUES (1)"] {
        run(&mut connection, sql).await;
        assert_eq!(*commits.borrow(), start, "{sql}");
    }
    run(&mut connection, "COMMIT").await;
    database.durable().await.unwrap();
    let mut commits = commits;
    commits.wait_for(|count| *count == start + 1).await.unwrap();
}

#[tokio::test]
async fn a_database_that_need_not_be_durable_tells_of_commits_too() {
    let (_directory, database) = open(Settings { durable: false, ..Settings::default() });
    let commits = database.commits();
    let mut connection = database.connection().unwrap();
    run(&mut connection, "CREATE TABLE t (n)").await;
    run(&mut connection, "INSERT INTO t VALUES (1)").await;
    assert_eq!(*commits.borrow(), 2);
    database.durable().await.unwrap();
}

#[tokio::test]
async fn another_connection_of_any_kind_may_read_meanwhile() {
    let (directory, database) = open(Settings::default());
    let mut connection = database.connection().unwrap();
    run(&mut connection, "CREATE TABLE t (n)").await;
    run(&mut connection, "INSERT INTO t VALUES (1)").await;
    run(&mut connection, "BEGIN IMMEDIATE").await;
    run(&mut connection, "INSERT INTO t VALUES (2)").await;
    let other = rusqlite::Connection::open(directory.path().join("test.db")).unwrap();
    let count = || other.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count(), 1);
    run(&mut connection, "COMMIT").await;
    assert_eq!(count(), 2);
}

#[tokio::test]
async fn nothing_leads_out_of_the_file() {
    let (directory, database) = open(Settings::default());
    let outside = directory.path().join("outside.db");
    let mut connection = database.connection().unwrap();
    for sql in [
        format!("ATTACH '{}' AS other", outside.display()),
        format!("VACUUM INTO '{}'", outside.display()),
        "VACUUM".to_owned(),
        "DETACH main".to_owned(),
        "SELECT load_extension('x')".to_owned(),
        "PRAGMA journal_mode = DELETE".to_owned(),
        "PRAGMA synchronous = OFF".to_owned(),
        "PRAGMA foreign_keys = OFF".to_owned(),
        "PRAGMA wal_checkpoint(TRUNCATE)".to_owned(),
        "PRAGMA wal_autocheckpoint = 1".to_owned(),
        "PRAGMA writable_schema = ON".to_owned(),
        "PRAGMA locking_mode = EXCLUSIVE".to_owned(),
        "PRAGMA busy_timeout = 100000".to_owned(),
        "PRAGMA temp_store_directory = '/'".to_owned(),
        "PRAGMA database_list".to_owned(),
        "PRAGMA mmap_size = 1000000000".to_owned(),
    ] {
        let error = connection.execute(&sql, &[]).await.expect_err(&sql).to_string();
        assert!(error.contains("not authorized") || error == "authorization denied", "{sql}: {error}");
    }
    assert!(!outside.exists());
    // Nor does a table-valued pragma.
    connection.execute("SELECT * FROM pragma_database_list", &[]).await.unwrap_err();
    // The writer's connection is no different.
    run(&mut connection, "BEGIN IMMEDIATE").await;
    connection.execute("PRAGMA synchronous = OFF", &[]).await.unwrap_err();
    connection.execute(&format!("ATTACH '{}' AS other", outside.display()), &[]).await.unwrap_err();
}

#[tokio::test]
async fn plain_statements_of_all_kinds_are_allowed() {
    let (_directory, database) = open(Settings::default());
    let mut connection = database.connection().unwrap();
    for sql in [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT)",
        "CREATE INDEX i ON t (n)",
        "CREATE TABLE log (n TEXT)",
        "CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.n); END",
        "CREATE VIEW v AS SELECT * FROM t",
        "CREATE VIRTUAL TABLE f USING fts5 (n, content='t', content_rowid='id')",
        "BEGIN",
        "SAVEPOINT s",
        "INSERT INTO t (n) VALUES ('hello world') RETURNING id",
        "INSERT INTO f (f) VALUES ('rebuild')",
        "RELEASE s",
        "COMMIT",
        "SELECT * FROM f WHERE f MATCH 'hello'",
        "SELECT json_extract('{\"a\":1}', '$.a')",
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 9) SELECT * FROM c",
        "EXPLAIN QUERY PLAN SELECT * FROM t",
        "PRAGMA table_info(t)",
        "PRAGMA user_version = 7",
        "PRAGMA user_version",
        "PRAGMA foreign_keys",
        "PRAGMA journal_mode",
        "ANALYZE",
        "REINDEX i",
        "ALTER TABLE t ADD COLUMN m",
        "DROP VIEW v",
    ] {
        connection.execute(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    assert_eq!(integer(&mut connection, "SELECT count(*) FROM log").await, 1);
    assert_eq!(integer(&mut connection, "PRAGMA foreign_keys").await, 1);
}

#[tokio::test]
async fn what_is_temporary_goes_with_its_user() {
    let (_directory, database) = open(Settings::default());
    let mut connection = database.connection().unwrap();
    run(&mut connection, "CREATE TEMP TABLE secret AS SELECT 1 AS n").await;
    run(&mut connection, "SELECT * FROM secret").await;
    drop(connection);
    let mut connection = database.connection().unwrap();
    let error = connection.execute("SELECT * FROM secret", &[]).await.unwrap_err();
    assert!(error.to_string().contains("no such table"));
}

#[tokio::test]
async fn what_a_writer_makes_temporary_stays_with_it_and_goes_with_it() {
    let (_directory, database) = open(Settings::default());
    let mut first = database.connection().unwrap();
    run(&mut first, "SELECT 1").await;
    for sql in ["BEGIN IMMEDIATE", "CREATE TEMP TABLE secret AS SELECT 1 AS n", "COMMIT"] {
        run(&mut first, sql).await;
    }
    let mut second = database.connection().unwrap();
    run(&mut second, "BEGIN IMMEDIATE").await;
    let error = second.execute("SELECT * FROM secret", &[]).await.unwrap_err();
    assert!(error.to_string().contains("no such table"));
    // Dropped within the transaction.
    run(&mut second, "CREATE TEMP TABLE secret AS SELECT 2 AS n").await;
    drop(second);
    assert_eq!(integer(&mut first, "SELECT n FROM secret").await, 1);
    for sql in ["BEGIN IMMEDIATE", "UPDATE secret SET n = 3", "COMMIT"] {
        run(&mut first, sql).await;
    }
    assert_eq!(integer(&mut first, "SELECT n FROM secret").await, 3);
    drop(first);
    let mut third = database.connection().unwrap();
    for sql in ["BEGIN IMMEDIATE", "ROLLBACK"] {
        third.execute("SELECT * FROM secret", &[]).await.unwrap_err();
        run(&mut third, sql).await;
    }
}

#[tokio::test]
async fn a_statement_that_runs_too_long_is_interrupted_with_its_transaction() {
    let (_directory, database) =
        open(Settings { statement_time_max: Duration::from_millis(30), ..Settings::default() });
    let mut connection = database.connection().unwrap();
    run(&mut connection, "CREATE TABLE t (n)").await;
    let endless = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c";
    assert!(matches!(connection.execute(endless, &[]).await, Err(Error::StatementTime(_))));
    run(&mut connection, "BEGIN IMMEDIATE").await;
    run(&mut connection, "INSERT INTO t VALUES (1)").await;
    let endless = "INSERT INTO t WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c";
    assert!(matches!(connection.execute(endless, &[]).await, Err(Error::StatementTime(_))));
    // The turn went with the transaction.
    let mut other = database.connection().unwrap();
    run(&mut other, "BEGIN IMMEDIATE").await;
    assert_eq!(integer(&mut other, "SELECT count(*) FROM t").await, 0);
}

#[tokio::test]
async fn results_and_connections_are_bounded() {
    let (_directory, database) =
        open(Settings { result_bytes_max: 10_000, pool_max: 2, value_bytes_max: 20_000, ..Settings::default() });
    let mut connection = database.connection().unwrap();
    let error = connection.execute("SELECT zeroblob(15000)", &[]).await.unwrap_err();
    assert_eq!(error.to_string(), "query result exceeds limit of 10000 bytes");
    assert!(
        connection.execute("SELECT length(zeroblob(30000))", &[]).await.unwrap_err().to_string().contains("too big")
    );
    let second = database.connection().unwrap();
    assert!(matches!(database.connection(), Err(Error::Exhausted(2))));
    drop(second);
    database.connection().unwrap();
}

#[tokio::test]
async fn text_that_is_not_utf8_is_an_error_not_a_panic() {
    let (_directory, database) = open(Settings::default());
    let mut connection = database.connection().unwrap();
    assert!(matches!(connection.execute("SELECT 1, CAST(x'ff' AS TEXT)", &[]).await, Err(Error::NotUtf8(1))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_moved_and_stays_bounded_under_writers() {
    let (directory, database) =
        open(Settings { wal_checkpoint_bytes: 256 << 10, wal_bytes_max: 1 << 20, ..Settings::default() });
    let mut connection = database.connection().unwrap();
    run(&mut connection, "CREATE TABLE t (n)").await;
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let database = database.clone();
        tasks.spawn(async move {
            let mut connection = database.connection().unwrap();
            for _ in 0..400 {
                run(&mut connection, "INSERT INTO t VALUES (randomblob(4000))").await;
            }
        });
    }
    tasks.join_all().await;
    // 1,600 transactions of two pages and more have passed through it.
    let log = std::fs::metadata(directory.path().join("test.db-wal")).unwrap().len();
    assert!(log <= 3 << 20, "{log} bytes");
    assert_eq!(integer(&mut connection, "SELECT count(*) FROM t").await, 1_600);
    assert_eq!(integer(&mut connection, "SELECT integrity_check = 'ok' FROM pragma_integrity_check").await, 1);
}

#[tokio::test]
async fn closing_waits_for_users_and_leaves_one_file() {
    let (directory, database) = open(Settings::default());
    let mut connection = database.connection().unwrap();
    run(&mut connection, "CREATE TABLE t (n)").await;
    let closing = tokio::spawn({
        let database = database.clone();
        async move { database.close().await }
    });
    tokio::task::yield_now().await;
    assert!(matches!(database.connection(), Err(Error::Closed)));
    assert!(!closing.is_finished());
    for sql in ["BEGIN IMMEDIATE", "INSERT INTO t VALUES (1)", "COMMIT"] {
        run(&mut connection, sql).await;
    }
    drop(connection);
    closing.await.unwrap();
    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["test.db"]);
    let database = Database::open(&directory.path().join("test.db"), Settings::default()).unwrap();
    assert_eq!(integer(&mut database.connection().unwrap(), "SELECT n FROM t").await, 1);
}

#[tokio::test]
async fn native_transactions_commit_or_vanish() {
    let (_directory, database) = open(Settings::default());
    let mut connection = database.connection().unwrap();
    let id = connection
        .write(|transaction| {
            transaction.execute_batch("CREATE TABLE t (n)")?;
            transaction.execute("INSERT INTO t VALUES (1)", [])?;
            Ok(transaction.last_insert_rowid())
        })
        .await
        .unwrap();
    assert_eq!(id, 1);
    connection
        .write(|transaction| {
            transaction.execute("INSERT INTO t VALUES (2)", [])?;
            transaction.execute("INSERT INTO nowhere VALUES (2)", [])
        })
        .await
        .unwrap_err();
    let count =
        connection.read(|connection| connection.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)));
    assert_eq!(count.unwrap(), 1);
}

#[tokio::test]
async fn a_lazy_commit_is_seen_at_once_and_told_of_with_the_next_sync() {
    let (_directory, database) = open(Settings::default());
    let mut connection = database.connection().unwrap();
    run(&mut connection, "CREATE TABLE t (n)").await;
    let mut commits = database.commits();
    let start = *commits.borrow_and_update();
    connection.write_lazily(|transaction| transaction.execute("INSERT INTO t VALUES (1)", [])).await.unwrap();
    let mut other = database.connection().unwrap();
    assert_eq!(integer(&mut other, "SELECT count(*) FROM t").await, 1);
    assert!(!commits.has_changed().unwrap());
    // The turn has been passed on.
    run(&mut other, "INSERT INTO t VALUES (2)").await;
    commits.wait_for(|count| *count == start + 2).await.unwrap();
}

fn write(directory: &Path, name: &str, sql: &str) {
    std::fs::write(directory.join(name), sql).unwrap();
}

#[tokio::test]
async fn migrations_are_applied_once_in_order_and_must_not_change() {
    let (directory, database) = open(Settings::default());
    let sql = directory.path().join("sql");
    std::fs::create_dir(&sql).unwrap();
    write(&sql, "0002_rows.sqlite.sql", "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);");
    write(&sql, "0001_tables.sqlite.sql", "CREATE TABLE t (n); -- comment");
    write(&sql, "0001_tables.mysql.sql", "not for us");
    assert_eq!(database.migrate(&sql).unwrap(), ["0001_tables.sqlite.sql", "0002_rows.sqlite.sql"]);
    assert!(database.migrate(&sql).unwrap().is_empty());
    write(&sql, "0003_more.sqlite.sql", "INSERT INTO t VALUES (3); INSERT INTO nowhere VALUES (1);");
    assert!(database.migrate(&sql).unwrap_err().to_string().contains("0003_more"));
    let mut connection = database.connection().unwrap();
    assert_eq!(integer(&mut connection, "SELECT count(*) FROM t").await, 2);
    write(&sql, "0003_more.sqlite.sql", "INSERT INTO t VALUES (3);");
    assert_eq!(database.migrate(&sql).unwrap(), ["0003_more.sqlite.sql"]);
    assert_eq!(integer(&mut connection, "SELECT count(*) FROM t").await, 3);
    write(&sql, "0001_tables.sqlite.sql", "CREATE TABLE t (m);");
    assert!(database.migrate(&sql).unwrap_err().to_string().contains("has been changed"));
    write(&sql, "1_bad.sqlite.sql", "");
    assert!(matches!(database.migrate(&sql), Err(Error::Migration { .. })));
}

#[tokio::test]
async fn what_a_killed_process_committed_is_there() {
    let (directory, database) = open(Settings::default());
    let mut connection = database.connection().unwrap();
    run(&mut connection, "CREATE TABLE t (n)").await;
    run(&mut connection, "INSERT INTO t VALUES (1)").await;
    run(&mut connection, "BEGIN IMMEDIATE").await;
    run(&mut connection, "INSERT INTO t VALUES (2)").await;
    // What a kill leaves behind: the files as they are, without any of the work of a close.
    let copy = tempfile::tempdir().unwrap();
    for name in ["test.db", "test.db-wal"] {
        std::fs::copy(directory.path().join(name), copy.path().join(name)).unwrap();
    }
    let database = Database::open(&copy.path().join("test.db"), Settings::default()).unwrap();
    let mut connection = database.connection().unwrap();
    assert_eq!(integer(&mut connection, "SELECT group_concat(n) = '1' FROM t").await, 1);
}
