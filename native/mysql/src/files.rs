//! The files of migrations: `NNNN_name.mysql.sql`, and `NNNN_name.mysql.down.sql` for the way back.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use sha2::{Digest as _, Sha256};

use crate::Error;

const UP: &str = ".mysql.sql";
const DOWN: &str = ".mysql.down.sql";

/// How a migration without a way back begins one of its first lines; the reason follows.
const IRREVERSIBLE: &str = "-- Irreversible: ";
/// Among how many lines that is looked for.
const HEAD_LINES: usize = 10;

/// A migration, as its files have it.
#[derive(Debug)]
pub(crate) struct Files {
    /// Of the file that applies it.
    pub(crate) name: String,
    pub(crate) up: String,
    /// SHA-256 of that, in hexadecimal.
    pub(crate) checksum: String,
    /// What reverts it, or why nothing does.
    pub(crate) down: Result<String, String>,
}

/// The migrations of a directory, in order, numbered 0001, 0002, … without a gap.
pub(crate) fn read(directory: &Path) -> Result<Vec<Files>, Error> {
    let names = names(directory)?;
    let mut migrations = Vec::new();
    for name in names.iter().filter(|name| name.ends_with(UP)) {
        let failed = |reason: &str| Error::Migration { name: name.clone(), reason: reason.to_owned() };
        if number(name) != Some(migrations.len() + 1) {
            return Err(failed(&format!(
                "is not named {:04}_name{UP}: migrations are numbered from 0001 on, without a gap",
                migrations.len() + 1
            )));
        }
        let up = text(directory, name)?;
        let down = name.replace(UP, DOWN);
        let down = match (names.contains(&down), irreversible(&up)) {
            (true, None) => Ok(text(directory, &down)?),
            (false, Some(reason)) => Err(reason),
            (false, None) => {
                return Err(failed(&format!(
                    "has no {down}, and does not say \"{IRREVERSIBLE}<reason>\" in its first lines"
                )));
            }
            (true, Some(_)) => return Err(failed(&format!("says that it is irreversible, but there is {down}"))),
        };
        let checksum = Sha256::digest(&up).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        migrations.push(Files { name: name.clone(), up, checksum, down });
    }
    let orphan = names.iter().find(|name| name.ends_with(DOWN) && !names.contains(&name.replace(DOWN, UP)));
    match orphan {
        Some(name) => Err(Error::Migration { name: name.clone(), reason: "has nothing to revert".to_owned() }),
        None => Ok(migrations),
    }
}

/// The file names of a directory, sorted.
fn names(directory: &Path) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        names.push(entry.map_err(failed(directory))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn text(directory: &Path, name: &str) -> Result<String, Error> {
    let path = directory.join(name);
    fs::read_to_string(&path).map_err(failed(&path))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source: Arc::new(source) }
}

/// The four digits that a name begins with.
fn number(name: &str) -> Option<usize> {
    let digits = name.split('_').next().filter(|digits| digits.len() == 4)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn irreversible(sql: &str) -> Option<String> {
    let reason = sql.lines().take(HEAD_LINES).find_map(|line| line.strip_prefix(IRREVERSIBLE))?.trim();
    (!reason.is_empty()).then(|| reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(files: &[(&str, &str)]) -> Result<Vec<Files>, String> {
        let directory = tempfile::tempdir().unwrap();
        for (name, sql) in files {
            fs::write(directory.path().join(name), sql).unwrap();
        }
        read(directory.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn each_says_whether_there_is_a_way_back() {
        let irreversible = "-- Drops what nobody reads.\n-- Irreversible: the column's values are gone\nDROP";
        let read = read_all(&[
            ("0001_a.mysql.sql", "A"),
            ("0001_a.mysql.down.sql", "B"),
            ("0001_a.sqlite.sql", "other"),
            ("0002_b.mysql.sql", irreversible),
        ])
        .unwrap();
        assert_eq!(
            read.iter().map(|files| files.name.as_str()).collect::<Vec<_>>(),
            ["0001_a.mysql.sql", "0002_b.mysql.sql"]
        );
        assert_eq!(read[0].down.as_deref(), Ok("B"));
        assert_eq!(read[1].down.as_ref().unwrap_err(), "the column's values are gone");
    }

    #[test]
    fn what_is_out_of_order_is_refused() {
        let down = ("0001_a.mysql.down.sql", "");
        for (files, reason) in [
            (vec![("0001_a.mysql.sql", "A")], "has no 0001_a.mysql.down.sql"),
            (vec![("0001_a.mysql.sql", "-- Irreversible: x"), down], "but there is"),
            (vec![("0001_a.mysql.sql", "-- Irreversible: "), ("1.txt", "")], "has no"),
            (vec![("0002_a.mysql.sql", "-- Irreversible: x")], "0001_name"),
            (vec![("1_a.mysql.sql", "-- Irreversible: x")], "0001_name"),
            (vec![("0001_a.mysql.sql", ""), down, ("0001_b.mysql.sql", "-- Irreversible: x")], "0002_name"),
            (vec![("0001_a.mysql.sql", ""), down, ("0003_b.mysql.sql", "-- Irreversible: x")], "0002_name"),
            (vec![down], "nothing to revert"),
        ] {
            let error = read_all(&files).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
