use std::{fmt::Write as _, fs, path::Path, sync::Arc};

use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use crate::Error;

const SUFFIX: &str = ".sqlite.sql";

pub(crate) fn apply(connection: &Connection, directory: &Path) -> Result<Vec<String>, Error> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_migrations (
             name TEXT PRIMARY KEY, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL
         ) WITHOUT ROWID, STRICT",
    )?;
    let mut applied = Vec::new();
    for (name, sql) in files(directory)? {
        let checksum = Sha256::digest(&sql).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        if one(connection, &name, &sql, &checksum)? {
            tracing::info!(migration = name, "applied");
            applied.push(name);
        }
    }
    Ok(applied)
}

fn one(connection: &Connection, name: &str, sql: &str, checksum: &str) -> Result<bool, Error> {
    let failed = |reason: String| Error::Migration { name: name.to_owned(), reason };
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let result = (|| {
        let known: Option<String> = connection
            .query_row("SELECT checksum FROM schema_migrations WHERE name = ?1", [name], |row| row.get(0))
            .optional()?;
        if let Some(known) = known {
            return if known == checksum {
                Ok(false)
            } else {
                Err(failed("was applied and has been changed since; add a new one instead".to_owned()))
            };
        }
        connection.execute_batch(sql).map_err(|error| failed(error.to_string()))?;
        if connection.is_autocommit() {
            return Err(failed("must not end its transaction".to_owned()));
        }
        connection.execute(
            "INSERT INTO schema_migrations VALUES (?1, ?2, CAST(unixepoch('subsec') * 1000 AS INTEGER))",
            params![name, checksum],
        )?;
        Ok(true)
    })();
    match result {
        Ok(applied) => {
            connection.execute_batch("COMMIT")?;
            Ok(applied)
        }
        Err(error) => {
            if !connection.is_autocommit() {
                connection.execute_batch("ROLLBACK")?;
            }
            Err(error)
        }
    }
}

/// The migrations of a directory, in order of their names.
fn files(directory: &Path) -> Result<Vec<(String, String)>, Error> {
    let failed = |source| Error::Open { path: directory.to_owned(), source: Arc::new(source) };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(SUFFIX) {
            continue;
        }
        let number = name.split('_').next().unwrap_or_default();
        if number.len() != 4 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Error::Migration {
                name,
                reason: "is not named NNNN_name.sqlite.sql, with four digits".to_owned(),
            });
        }
        files.push((name, fs::read_to_string(entry.path()).map_err(failed)?));
    }
    files.sort();
    Ok(files)
}
