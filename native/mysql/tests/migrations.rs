//! Migrations, on a real MariaDB.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use plaza_mysql::{State, context_url, create_database, migrate, options, revert, status};
use plaza_test_servers::MariaDb;
use tempfile::TempDir;

fn infra(context: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/sql").join(context)
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, sql) in files {
        fs::write(directory.path().join(name), sql).unwrap();
    }
    directory
}

/// Two migrations; the second one can be reverted, the first one cannot.
const TWO: [(&str, &str); 3] = [
    ("0001_one.mysql.sql", "-- Irreversible: it is the first\nCREATE TABLE a (id INT); CREATE TABLE b (name TEXT);"),
    ("0002_two.mysql.sql", "-- Adds one.\nINSERT INTO b VALUES ('이름 🎈; it''s'); CREATE TABLE c (id INT);"),
    ("0002_two.mysql.down.sql", "DROP TABLE c; DELETE FROM b;"),
];

async fn connect(url: &str) -> Conn {
    Conn::new(options(url).unwrap()).await.unwrap()
}

async fn tables(url: &str) -> Vec<String> {
    connect(url).await.query("SHOW TABLES").await.unwrap()
}

/// A database of its own for a test.
async fn database(name: &str) -> Option<String> {
    let url = MariaDb::shared()?.database(name);
    assert!(create_database(&url).await.unwrap());
    Some(url)
}

#[tokio::test]
async fn plazas_own_go_up_and_down_and_up_again() {
    let Some(server) = MariaDb::shared() else { return };
    for context in ["user", "friend", "chat", "notification", "analytics"] {
        let url = context_url(&server.database("own"), context).unwrap();
        assert!(create_database(&url).await.unwrap());
        assert!(!create_database(&url).await.unwrap(), "it is there");
        let applied = migrate(&url, &infra(context)).await.unwrap();
        assert_eq!(applied.first().map(String::as_str), Some("0001_initial.mysql.sql"), "{context}");
        assert!(migrate(&url, &infra(context)).await.unwrap().is_empty());
        let count = tables(&url).await.len();
        assert!(count > 1);
        assert!(status(&url, &infra(context)).await.unwrap().iter().all(|one| matches!(one.state, State::Applied(_))));
        assert_eq!(revert(&url, &infra(context), 0).await.unwrap().len(), applied.len());
        assert_eq!(tables(&url).await, ["schema_migrations"], "{context}");
        assert_eq!(migrate(&url, &infra(context)).await.unwrap(), applied);
        assert_eq!(tables(&url).await.len(), count);
    }
    let mut connection = connect(&server.database("own_chat")).await;
    let set: Option<(String, String)> =
        connection.query_first("SELECT @@character_set_database, @@collation_database").await.unwrap();
    assert_eq!(set, Some(("utf8mb4".to_owned(), "utf8mb4_bin".to_owned())));
}

#[tokio::test]
async fn statements_of_a_file_run_in_order_and_text_survives() {
    let Some(url) = database("migrate_two").await else { return };
    let two = directory(&TWO);
    let states = |states: Vec<plaza_mysql::Migration>| states.into_iter().map(|one| one.state).collect::<Vec<_>>();
    assert_eq!(states(status(&url, two.path()).await.unwrap()), [State::Pending, State::Pending]);
    assert!(tables(&url).await.is_empty(), "to look changes nothing");
    assert_eq!(migrate(&url, two.path()).await.unwrap(), ["0001_one.mysql.sql", "0002_two.mysql.sql"]);
    let name: Option<String> = connect(&url).await.query_first("SELECT name FROM b").await.unwrap();
    assert_eq!(name.as_deref(), Some("이름 🎈; it's"));
    let all = revert(&url, two.path(), 0).await.unwrap_err().to_string();
    assert!(all.contains("0001_one.mysql.sql") && all.contains("it is the first"), "{all}");
    assert_eq!(tables(&url).await, ["a", "b", "c", "schema_migrations"], "none was reverted");
    assert_eq!(revert(&url, two.path(), 1).await.unwrap(), ["0002_two.mysql.sql"]);
    assert_eq!(tables(&url).await, ["a", "b", "schema_migrations"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_at_once_apply_each_once() {
    let Some(url) = database("migrate_at_once").await else { return };
    let two = directory(&TWO);
    let one = || migrate(&url, two.path());
    let (a, b, c, d) = tokio::join!(one(), one(), one(), one());
    assert_eq!([a, b, c, d].into_iter().map(|applied| applied.unwrap().len()).sum::<usize>(), 2);
}

#[tokio::test]
async fn what_does_not_fit_what_was_applied_is_refused() {
    let Some(url) = database("migrate_refused").await else { return };
    migrate(&url, directory(&TWO).path()).await.unwrap();
    let (one, two, down) = (TWO[0], TWO[1], TWO[2]);
    for (files, reason) in [
        (vec![one], "newer than this version"),
        (vec![one, (two.0, "CREATE TABLE d (id INT)"), down], "has been changed since"),
        (vec![one, ("0002_other.mysql.sql", two.1), ("0002_other.mysql.down.sql", "")], "in its place there is"),
    ] {
        let error = migrate(&url, directory(&files).path()).await.unwrap_err().to_string();
        assert!(error.contains("0002_two.mysql.sql") && error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn one_that_fails_in_its_middle_stops_until_somebody_has_looked() {
    let Some(url) = database("migrate_half").await else { return };
    let broken = "CREATE TABLE d (id INT); CREATE TABLE d (id INT); CREATE TABLE e (id INT);";
    let files = directory(&[TWO[0], ("0002_two.mysql.sql", broken), TWO[2]]);
    let error = migrate(&url, files.path()).await.unwrap_err().to_string();
    assert!(error.contains("0002_two.mysql.sql: could not be applied") && error.contains("already exists"), "{error}");
    assert!(error.contains("DELETE FROM schema_migrations WHERE name = '0002_two.mysql.sql'"), "{error}");
    assert_eq!(tables(&url).await, ["a", "b", "d", "schema_migrations"], "MySQL keeps what had succeeded");
    let states = status(&url, files.path()).await.unwrap();
    assert!(matches!(states[0].state, State::Applied(_)) && matches!(states[1].state, State::Unfinished(_)));
    let fixed = directory(&TWO);
    for directory in [&files, &fixed] {
        let error = migrate(&url, directory.path()).await.unwrap_err().to_string();
        assert!(error.contains("was begun and did not end"), "{error}");
    }
    let mut connection = connect(&url).await;
    connection.query_drop("DROP TABLE d").await.unwrap();
    connection.query_drop("DELETE FROM schema_migrations WHERE name = '0002_two.mysql.sql'").await.unwrap();
    assert_eq!(migrate(&url, fixed.path()).await.unwrap(), ["0002_two.mysql.sql"]);
}
