//! Migrations of a MySQL database.
//!
//! MySQL commits at each statement that changes a schema, so a migration that fails in its middle stays half done, and
//! nothing can be rolled back. It is therefore noted before it begins and again when it is done; what was begun and not
//! finished stops every later try until a person has looked at it.

use std::path::Path;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};

use crate::files::{self, Files};
use crate::{Error, database_name, lock_name, options};

/// How long another process that migrates the same database may take, in seconds.
const LOCK_WAIT_SECONDS_MAX: u32 = 60;

const APPLYING: &str = "applying";
const APPLIED: &str = "applied";
const REVERTING: &str = "reverting";

/// A migration, and how it stands in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Name of its file.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// Why it cannot be reverted, if it says so.
    pub irreversible: Option<String>,
}

/// How a migration stands in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has not been applied.
    Pending,
    /// It was applied, at this time in milliseconds since the Unix epoch.
    Applied(i64),
    /// Applying or reverting it was begun at this time, and has not ended (yet).
    Unfinished(i64),
}

/// What the database knows of a migration.
struct Known {
    name: String,
    checksum: String,
    state: String,
    time_ms: i64,
}

/// The server's time, in milliseconds since the Unix epoch.
pub async fn server_time_ms(url: &str) -> Result<i64, Error> {
    let mut connection = Conn::new(OptsBuilder::from_opts(options(url)?).db_name(None::<String>)).await?;
    let time: Option<i64> = connection.query_first("SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)").await?;
    connection.disconnect().await?;
    Ok(time.unwrap_or_default())
}

/// Creates the database that an address names, unless it is there; answers whether it was not. Its character set is
/// utf8mb4, so that every text survives, and texts are compared by code point, as SQLite does, unless a table says otherwise.
pub async fn create_database(url: &str) -> Result<bool, Error> {
    let name = database_name(url)?;
    let mut connection = Conn::new(OptsBuilder::from_opts(options(url)?).db_name(None::<String>)).await?;
    let quoted = name.replace('`', "``");
    connection
        .query_drop(format!("CREATE DATABASE IF NOT EXISTS `{quoted}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))
        .await?;
    // There is a warning if it was there already.
    let created = connection.get_warnings() == 0;
    connection.disconnect().await?;
    Ok(created)
}

/// Applies what has not been applied, in order. Answers the names of those. Several processes may do it at once.
pub async fn migrate(url: &str, directory: &Path) -> Result<Vec<String>, Error> {
    let files = files::read(directory)?;
    let mut connection = lock(url).await?;
    let known = known(&mut connection).await?;
    check(&files, &known)?;
    let mut applied = Vec::new();
    for migration in files.iter().skip(known.len()) {
        let name = &migration.name;
        note(&mut connection, migration, APPLYING).await?;
        connection.query_drop(&migration.up).await.map_err(|error| half_done(name, &error, "applied"))?;
        note(&mut connection, migration, APPLIED).await?;
        tracing::info!(migration = name, "applied");
        applied.push(name.clone());
    }
    connection.disconnect().await?;
    Ok(applied)
}

/// Reverts migrations, the newest first, until only the first `keep` are applied. Answers the names of those reverted.
pub async fn revert(url: &str, directory: &Path, keep: usize) -> Result<Vec<String>, Error> {
    let files = files::read(directory)?;
    let mut connection = lock(url).await?;
    let known = known(&mut connection).await?;
    check(&files, &known)?;
    let chosen: Vec<_> = files.iter().take(known.len()).skip(keep).rev().collect();
    // All or none, as far as that can be known before.
    for migration in &chosen {
        if let Err(reason) = &migration.down {
            return Err(failed(&migration.name, format!("cannot be reverted: {reason}")));
        }
    }
    for migration in &chosen {
        let (name, Ok(down)) = (&migration.name, &migration.down) else { continue };
        note(&mut connection, migration, REVERTING).await?;
        connection.query_drop(down).await.map_err(|error| half_done(name, &error, "reverted"))?;
        connection.exec_drop("DELETE FROM schema_migrations WHERE name = ?", (name,)).await?;
        tracing::info!(migration = name, "reverted");
    }
    connection.disconnect().await?;
    Ok(chosen.iter().map(|migration| migration.name.clone()).collect())
}

/// How the migrations of a directory stand in a database. Changes nothing.
pub async fn status(url: &str, directory: &Path) -> Result<Vec<Migration>, Error> {
    let files = files::read(directory)?;
    let mut connection = Conn::new(options(url)?).await?;
    let sql = "SELECT COUNT(*) FROM information_schema.tables
               WHERE table_schema = DATABASE() AND table_name = 'schema_migrations'";
    let exists = connection.query_first::<u64, _>(sql).await? == Some(1);
    let known = if exists { known(&mut connection).await? } else { Vec::new() };
    connection.disconnect().await?;
    check_names(&files, &known)?;
    let state = |known: Option<&Known>| match known {
        None => State::Pending,
        Some(known) if known.state == APPLIED => State::Applied(known.time_ms),
        Some(known) => State::Unfinished(known.time_ms),
    };
    let migrations = files.iter().enumerate().map(|(index, migration)| Migration {
        name: migration.name.clone(),
        state: state(known.get(index)),
        irreversible: migration.down.as_ref().err().cloned(),
    });
    Ok(migrations.collect())
}

/// A connection that nobody else migrates this database beside, with the table of migrations. The lock ends with it.
async fn lock(url: &str) -> Result<Conn, Error> {
    let name = database_name(url)?;
    let mut connection = Conn::new(options(url)?).await?;
    let lock = lock_name("migrate", &name);
    let taken: Option<Option<u8>> =
        connection.exec_first("SELECT GET_LOCK(?, ?)", (lock, LOCK_WAIT_SECONDS_MAX)).await?;
    if taken.flatten() != Some(1) {
        return Err(Error::Busy(name));
    }
    connection
        .query_drop(
            "CREATE TABLE IF NOT EXISTS schema_migrations (
                 name VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
                 checksum CHAR(64) CHARACTER SET ascii NOT NULL,
                 state VARCHAR(16) CHARACTER SET ascii NOT NULL,
                 changed_at BIGINT NOT NULL
             ) ENGINE = InnoDB",
        )
        .await?;
    Ok(connection)
}

async fn known(connection: &mut Conn) -> Result<Vec<Known>, Error> {
    let known = |(name, checksum, state, time_ms)| Known { name, checksum, state, time_ms };
    let sql = "SELECT name, checksum, state, changed_at FROM schema_migrations ORDER BY name";
    Ok(connection.query_map(sql, known).await?)
}

async fn note(connection: &mut Conn, migration: &Files, state: &str) -> Result<(), Error> {
    let sql = "REPLACE INTO schema_migrations (name, checksum, state, changed_at)
               VALUES (?, ?, ?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED))";
    Ok(connection.exec_drop(sql, (&migration.name, &migration.checksum, state)).await?)
}

/// Refuses unless what was applied is a beginning of what there is, unchanged and whole.
fn check(files: &[Files], known: &[Known]) -> Result<(), Error> {
    check_names(files, known)?;
    for (known, migration) in known.iter().zip(files) {
        if known.state != APPLIED {
            return Err(failed(&known.name, unfinished(&known.name, &known.state)));
        }
        if known.checksum != migration.checksum {
            let reason = "was applied and has been changed since; put it back as it was and add a new one instead";
            return Err(failed(&known.name, reason.to_owned()));
        }
    }
    Ok(())
}

fn check_names(files: &[Files], known: &[Known]) -> Result<(), Error> {
    for (index, known) in known.iter().enumerate() {
        match files.get(index) {
            Some(migration) if migration.name == known.name => {}
            Some(migration) => {
                let reason =
                    format!("was applied, but in its place there is {} now; migrations are only added", migration.name);
                return Err(failed(&known.name, reason));
            }
            None => {
                let reason = "was applied to the database, and is not known here: the database is newer than this version \
                              of Plaza; use the version that applied it";
                return Err(failed(&known.name, reason.to_owned()));
            }
        }
    }
    Ok(())
}

fn failed(name: &str, reason: String) -> Error {
    Error::Migration { name: name.to_owned(), reason }
}

fn half_done(name: &str, error: &mysql_async::Error, done: &str) -> Error {
    failed(name, format!("could not be {done}: {error}. {}", way_out(name)))
}

fn unfinished(name: &str, state: &str) -> String {
    let verb = if state == APPLYING { "applying" } else { "reverting" };
    format!("{verb} it was begun and did not end. {}", way_out(name))
}

fn way_out(name: &str) -> String {
    format!(
        "MySQL cannot undo the statements that had succeeded. Either restore the database from a backup, or bring it by \
         hand to the state before this migration and then run: DELETE FROM schema_migrations WHERE name = '{name}'; or to \
         the state after it and then run: UPDATE schema_migrations SET state = '{APPLIED}' WHERE name = '{name}'"
    )
}
