//! The state directory: everything that `plaza up` keeps, held by one process at a time.

use anyhow::{Context, Result, bail};
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The file whose lock says who holds the directory, and whose presence says that it is ours.
const LOCK: &str = "plaza.lock";

/// A state directory that this process holds.
#[derive(Debug)]
pub(crate) struct State {
    dir: PathBuf,
    /// Locked for as long as it is open.
    _lock: File,
}

impl State {
    /// Opens a directory, and makes it where it is missing. With `fresh` it is emptied first.
    pub(crate) fn open(dir: &Path, fresh: bool) -> Result<Self> {
        let named = || format!("state directory {}", dir.display());
        let is_new = !dir.exists();
        // Keys and personal data: for their owner alone.
        DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(named)?;
        let lock_file = dir.join(LOCK);
        let is_empty = std::fs::read_dir(dir).with_context(named)?.next().is_none();
        if !is_new && !is_empty && !lock_file.exists() {
            bail!("{} is not empty and is not Plaza's; name another directory with --state", dir.display());
        }
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_file).with_context(named)?;
        if lock.try_lock().is_err() {
            bail!("another plaza runs on {}; stop it, or name another directory with --state", dir.display());
        }
        if fresh {
            empty(dir).with_context(named)?;
        }
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }

    /// Whether a process holds a directory that is there, without touching it.
    pub(crate) fn look(dir: &Path) -> Result<bool> {
        let named = || format!("state directory {}", dir.display());
        let lock_file = dir.join(LOCK);
        if !lock_file.exists() {
            if std::fs::read_dir(dir).with_context(named)?.next().is_none() {
                return Ok(false);
            }
            bail!("{} is not empty and is not Plaza's", dir.display());
        }
        let lock = OpenOptions::new().write(true).open(&lock_file).with_context(named)?;
        Ok(lock.try_lock().is_err())
    }

    /// A file or folder in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Deletes everything but the lock and the compiled functions, which depend on nothing else here.
fn empty(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name() == LOCK || entry.file_name() == super::app::COMPILED {
            continue;
        }
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_holder_and_foreign_ones_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("state");
        let held = State::open(&dir, false).unwrap();
        assert!(State::open(&dir, true).unwrap_err().to_string().contains("another plaza runs"));
        std::fs::write(held.path("log.db"), "x").unwrap();
        drop(held);
        let held = State::open(&dir, true).unwrap();
        assert!(!held.path("log.db").exists());

        let foreign = folder.path().join("photos");
        std::fs::create_dir(&foreign).unwrap();
        std::fs::write(foreign.join("cat.jpg"), "x").unwrap();
        assert!(State::open(&foreign, true).unwrap_err().to_string().contains("not Plaza's"));
        assert!(foreign.join("cat.jpg").exists());
    }
}
