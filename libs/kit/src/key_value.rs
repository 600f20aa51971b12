//! Key-value stores, through `wasi:keyvalue`: beside reading and writing they count, which is the one step that two cannot
//! take at once.
//!
//! Nothing here expires by itself: whoever stores something for a while stores with it until when.

use plaza_domain::Problem;
// The SDK has the bindings, but no module of its own for them.
use spin_sdk::wit::wasi::keyvalue::atomics;
use spin_sdk::wit::wasi::keyvalue::store::{self, Bucket, Error};

/// An open store.
#[derive(Debug)]
pub struct KeyValue {
    label: &'static str,
    bucket: Bucket,
}

impl KeyValue {
    /// Opens a store by its label.
    pub fn open(label: &'static str) -> Result<Self, Problem> {
        let bucket = store::open(label).map_err(|error| refuse(label, &error))?;
        Ok(Self { label, bucket })
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Problem> {
        self.bucket.get(key).map_err(|error| self.refuse(&error))
    }

    /// Sets the value of a key.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), Problem> {
        self.bucket.set(key, value).map_err(|error| self.refuse(&error))
    }

    /// Removes a key.
    pub fn delete(&self, key: &str) -> Result<(), Problem> {
        self.bucket.delete(key).map_err(|error| self.refuse(&error))
    }

    /// Counts one more under a key, and tells how many that makes: each number is told once.
    pub fn count(&self, key: &str) -> Result<i64, Problem> {
        atomics::increment(&self.bucket, key, 1).map_err(|error| self.refuse(&error))
    }

    /// Whether the store of this label answers.
    pub fn answers(label: &'static str) -> bool {
        Self::open(label).and_then(|store| store.get("ready")).is_ok()
    }

    fn refuse(&self, error: &Error) -> Problem {
        refuse(self.label, error)
    }
}

fn refuse(label: &str, error: &Error) -> Problem {
    eprintln!("key-value store {label:?}: {error}");
    Problem::unavailable("A store that this needs does not answer. Ask again.")
}
