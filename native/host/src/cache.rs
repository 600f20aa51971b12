//! Compiled components, kept on disk by content.
//!
//! A file's name holds the SHA-256 of the component and a hash of everything else that the machine code depends on:
//! Wasmtime's version, its configuration, the processor. Its content begins with the SHA-256 of the rest. A file that does
//! not match is compiled anew and replaced; one of another configuration is never looked at.

use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// What a cache file begins with, before the checksum.
const MAGIC: &[u8; 8] = b"plazawc1";
const CHECKSUM_BYTES: usize = 32;
const HEADER_BYTES: usize = MAGIC.len() + CHECKSUM_BYTES;

/// Files of one directory, in bytes; those that were used least recently go first. Plaza's own components are 26 MB.
const BYTES_MAX: u64 = 512 << 20;

/// How old a file that was never finished must be before it is taken away: its writer is dead then.
const UNFINISHED_AGE_MAX: Duration = Duration::from_hours(1);

const SUFFIX: &str = ".cwasm";
const UNFINISHED_PREFIX: &str = ".plaza-";

/// Permission bits that let others than the owner write (or a cache directory or file be replaced by them).
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Where a component came from, this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Cache,
    Compiled,
}

/// A directory of compiled components.
pub(crate) struct Cache {
    directory: PathBuf,
    engine_hash: u64,
}

impl Cache {
    /// Uses a directory, creating it with mode 0700 if it is missing.
    pub(crate) fn open(directory: &Path, engine: &Engine) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        if directory.metadata()?.mode() & WRITABLE_BY_OTHERS != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "others than its owner may write to this directory of machine code; chmod 700 it",
            ));
        }
        let mut hasher = Fnv::default();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { directory: directory.to_owned(), engine_hash: hasher.finish() })
    }

    /// The component of these bytes: from the cache, else compiled and put there. Failing to keep it is only logged.
    pub(crate) fn load(&self, engine: &Engine, wasm: &[u8]) -> wasmtime::Result<(Component, Origin)> {
        let path = self.path(wasm);
        match read(engine, &path) {
            Ok(Some(component)) => return Ok((component, Origin::Cache)),
            Ok(None) => {}
            Err(error) => tracing::warn!(path = %path.display(), error = %error, "compiled component is not usable"),
        }
        let compiled = engine.precompile_component(wasm)?;
        let digest = Sha256::digest(&compiled);
        if let Err(error) = self.write(&path, &digest, &compiled) {
            tracing::warn!(path = %path.display(), %error, "compiled component could not be kept");
        }
        Ok((deserialize(engine, &compiled)?, Origin::Compiled))
    }

    /// Whether there is a file for the component of these bytes.
    pub(crate) fn has(&self, wasm: &[u8]) -> bool {
        self.path(wasm).exists()
    }

    /// Takes away what is left of dead writers, and the files that were used least recently, down to the size allowed.
    /// Failing to is only logged: it costs disk, nothing else.
    pub(crate) fn prune(&self) {
        if let Err(error) = prune(&self.directory, BYTES_MAX, SystemTime::now()) {
            tracing::warn!(path = %self.directory.display(), %error, "old compiled components could not be removed");
        }
    }

    fn path(&self, wasm: &[u8]) -> PathBuf {
        let mut name = String::with_capacity(2 * CHECKSUM_BYTES + 24);
        for byte in Sha256::digest(wasm) {
            let _ = write!(name, "{byte:02x}");
        }
        let _ = write!(name, "-{:016x}{SUFFIX}", self.engine_hash);
        self.directory.join(name)
    }

    /// Writes beside the final name and moves it there, so that no other process sees half a file.
    fn write(&self, path: &Path, digest: &[u8], compiled: &[u8]) -> io::Result<()> {
        let unfinished = self.directory.join(format!("{UNFINISHED_PREFIX}{}", uuid::Uuid::now_v7()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        let written = file
            .write_all(MAGIC)
            .and_then(|()| file.write_all(digest))
            .and_then(|()| file.write_all(compiled))
            .and_then(|()| std::fs::rename(&unfinished, path));
        if written.is_err() {
            let _ = std::fs::remove_file(&unfinished);
        }
        written
    }
}

/// The component in a file, none if there is no such file.
fn read(engine: &Engine, path: &Path) -> wasmtime::Result<Option<Component>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if file.metadata()?.mode() & WRITABLE_BY_OTHERS != 0 {
        wasmtime::bail!("others than its owner may write to it");
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    let Some((header, compiled)) = content.split_at_checked(HEADER_BYTES) else {
        wasmtime::bail!("it is too short");
    };
    if header[..MAGIC.len()] != MAGIC[..] || header[MAGIC.len()..] != Sha256::digest(compiled)[..] {
        wasmtime::bail!("its checksum does not match");
    }
    // The time of last use, by which old files go. Failing to note it does no harm now.
    let _ = file.set_modified(SystemTime::now());
    deserialize(engine, compiled).map(Some)
}

fn prune(directory: &Path, bytes_max: u64, now: SystemTime) -> io::Result<()> {
    let mut finished = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let (name, used) = (entry.file_name(), metadata.modified()?);
        let name = name.to_string_lossy();
        if name.ends_with(SUFFIX) {
            finished.push((used, metadata.len(), entry.path()));
        } else if name.starts_with(UNFINISHED_PREFIX)
            && now.duration_since(used).is_ok_and(|age| age > UNFINISHED_AGE_MAX)
        {
            std::fs::remove_file(entry.path())?;
        }
    }
    finished.sort_unstable_by(|one, other| other.cmp(one));
    let mut bytes = 0;
    for (_, size, path) in finished {
        bytes += size;
        if bytes > bytes_max {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Makes a component of machine code that this module compiled.
#[allow(unsafe_code)]
fn deserialize(engine: &Engine, compiled: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes must be what `Engine::precompile_component` returned, unaltered. They come straight from it, or
    // from a file that `Cache::write` wrote: its name is bound to this engine's configuration, its checksum was verified
    // over exactly these bytes, and neither it nor its directory may be written by another user. Whoever can write there
    // as this user can replace the `plaza` binary as well.
    unsafe { Component::deserialize(engine, compiled) }
}

/// FNV-1a, 64 bits. The standard library's hasher may change with its version, and file names outlive that.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_go_and_so_does_what_was_never_finished() {
        let directory = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        for (name, age_seconds) in [
            ("old.cwasm", 30),
            ("middle.cwasm", 20),
            ("new.cwasm", 10),
            (".plaza-dead", 4_000),
            (".plaza-alive", 10),
            ("of-someone-else", 9_000),
        ] {
            let file = File::create(directory.path().join(name)).unwrap();
            file.set_len(100).unwrap();
            file.set_modified(now - Duration::from_secs(age_seconds)).unwrap();
        }
        prune(directory.path(), 250, now).unwrap();
        let entries = std::fs::read_dir(directory.path()).unwrap();
        let mut left: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, [".plaza-alive", "middle.cwasm", "new.cwasm", "of-someone-else"]);
    }
}
