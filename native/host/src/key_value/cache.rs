//! A bounded cache of what a file holds, for a process that is the file's only writer.
//!
//! It is right because reads that miss and writes of one shard take turns, and a write makes its entry unknown before it
//! begins and known only when it has succeeded: an entry that is known is what the file holds. Absent keys are remembered,
//! too.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use metrics::Counter;

/// Parts of the cache that do not wait for one another.
const SHARDS: usize = 32;

/// What an entry takes beside its key and value, in bytes, roughly.
const ENTRY_BYTES: usize = 96;

/// An entry larger than this part of its shard is not kept: it would displace too many others.
const ENTRY_PART_MAX: usize = 8;

/// All shards.
pub(super) struct Cache {
    hasher: RandomState,
    shards: Vec<Shard>,
}

impl Cache {
    /// An empty cache for at most this many bytes; 0 keeps nothing.
    pub(super) fn new(bytes_max: usize, evictions: &Counter) -> Self {
        let shard = || Shard {
            turn: tokio::sync::Mutex::new(()),
            entries: Mutex::new(Entries::new(bytes_max / SHARDS, evictions.clone())),
        };
        Self { hasher: RandomState::new(), shards: (0..SHARDS).map(|_| shard()).collect() }
    }

    /// The shard that a key belongs to.
    pub(super) fn shard(&self, key: &str) -> &Shard {
        let hash = self.hasher.hash_one(key);
        // The remainder is below SHARDS, so it fits.
        #[allow(clippy::cast_possible_truncation)]
        &self.shards[(hash % SHARDS as u64) as usize]
    }
}

/// One part of the cache.
pub(super) struct Shard {
    /// Held by whoever reads from the file to fill the cache, or writes.
    pub(super) turn: tokio::sync::Mutex<()>,
    entries: Mutex<Entries>,
}

impl Shard {
    /// What is known of a key. None if nothing is.
    pub(super) fn recall(&self, key: &str) -> Option<Known> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.map.get_mut(key)?;
        entry.used = true;
        entry.known.clone()
    }

    /// Notes what the file holds for a key.
    pub(super) fn remember(&self, key: &str, known: Known) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).set(key, Some(known));
    }

    /// Makes a key unknown.
    pub(super) fn forget(&self, key: &str) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.map.contains_key(key) {
            entries.set(key, None);
        }
    }
}

/// Entries in the order of a clock: the hand drops those that were not read since it last came by.
struct Entries {
    map: HashMap<Arc<str>, Entry>,
    /// Exactly the keys of the map.
    clock: VecDeque<Arc<str>>,
    bytes: usize,
    bytes_max: usize,
    evictions: Counter,
}

struct Entry {
    /// None while the key is being written, or when its value is too large to be kept.
    known: Option<Known>,
    used: bool,
}

/// What the file holds for a key.
#[derive(Clone)]
pub(super) enum Known {
    Absent,
    Value(Bytes),
}

impl Known {
    fn bytes(known: Option<&Self>) -> usize {
        if let Some(Self::Value(bytes)) = known { bytes.len() } else { 0 }
    }
}

impl From<Option<Bytes>> for Known {
    fn from(value: Option<Bytes>) -> Self {
        value.map_or(Self::Absent, Self::Value)
    }
}

impl From<Known> for Option<Bytes> {
    fn from(known: Known) -> Self {
        if let Known::Value(bytes) = known { Some(bytes) } else { None }
    }
}

impl Entries {
    fn new(bytes_max: usize, evictions: Counter) -> Self {
        Self { map: HashMap::new(), clock: VecDeque::new(), bytes: 0, bytes_max, evictions }
    }

    fn set(&mut self, key: &str, known: Option<Known>) {
        let size = ENTRY_BYTES + key.len() + Known::bytes(known.as_ref());
        let known = known.filter(|_| size <= self.bytes_max / ENTRY_PART_MAX);
        if let Some(entry) = self.map.get_mut(key) {
            self.bytes = self.bytes + Known::bytes(known.as_ref()) - Known::bytes(entry.known.as_ref());
            entry.known = known;
        } else if known.is_some() {
            let key: Arc<str> = key.into();
            self.bytes += size;
            self.clock.push_back(key.clone());
            self.map.insert(key, Entry { known, used: false });
        }
        while self.bytes > self.bytes_max {
            let Some(key) = self.clock.pop_front() else { break };
            match self.map.get_mut(&key) {
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.clock.push_back(key);
                }
                _ => {
                    if let Some(entry) = self.map.remove(&key) {
                        self.bytes -= ENTRY_BYTES + key.len() + Known::bytes(entry.known.as_ref());
                        self.evictions.increment(1);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_within_its_size_and_drops_what_is_not_read() {
        let cache = Cache::new(64 << 10, &Counter::noop());
        let set = |key: &str, bytes| cache.shard(key).remember(key, Known::Value(vec![0; bytes].into()));
        set("hot", 1);
        for number in 0..2_000 {
            set(&format!("cold {number}"), 64);
            assert!(cache.shard("hot").recall("hot").is_some(), "what is read all the time stays");
        }
        set("large", 32 << 10);
        for shard in &cache.shards {
            let entries = shard.entries.lock().unwrap();
            assert!(entries.bytes <= entries.bytes_max);
            assert_eq!(entries.clock.len(), entries.map.len());
            assert!(!entries.map.contains_key("large"));
        }
    }

    #[test]
    fn without_room_it_keeps_nothing() {
        let cache = Cache::new(0, &Counter::noop());
        cache.shard("a").remember("a", Known::Value(Bytes::new()));
        cache.shard("b").remember("b", Known::Absent);
        assert!(cache.shard("a").recall("a").is_none() && cache.shard("b").recall("b").is_none());
    }
}
