//! `fermyon:spin/key-value`: one SQLite file per store, and a bounded cache in front of it.
//!
//! The cache is right because this process is the only writer: reads that miss and writes of one shard take turns, a write
//! makes its entry unknown before it begins and known only when it has succeeded, so an entry that is known is what the
//! file holds. Absent keys are remembered, too.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use metrics::Counter;
use plaza_sqlite::{Database, Value};
use wasmtime::component::Resource;

use crate::metrics::Limit;
use crate::state::State;
use crate::wit::fermyon::spin::key_value::{Error, Host, HostStore};

/// Parts of the cache that do not wait for one another.
const SHARDS: usize = 32;

/// What an entry takes beside its key and value, in bytes, roughly.
const ENTRY_BYTES: usize = 96;

/// An entry larger than this part of its shard is not kept: it would displace too many others.
const ENTRY_PART_MAX: usize = 8;

/// A key-value store.
pub(crate) struct Store {
    database: Arc<Database>,
    hasher: RandomState,
    shards: Vec<Shard>,
    hits: Counter,
    misses: Counter,
}

/// A store that an instance holds open. Public because the generated bindings name it; its module is not.
#[allow(unreachable_pub)]
pub struct OpenStore(Arc<Store>);

impl Store {
    /// Opens the store in this file.
    pub(crate) async fn open(
        path: &Path,
        label: &str,
        settings: plaza_sqlite::Settings,
        cache_bytes_max: usize,
    ) -> Result<Self, plaza_sqlite::Error> {
        let database = Database::open(path, settings)?;
        let create = "CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID";
        database.connection()?.execute(create, &[]).await?;
        let counter = |kind: &'static str| metrics::counter!("plaza_key_value_cache_total", "store" => label.to_owned(), "result" => kind);
        let evictions = metrics::counter!("plaza_key_value_cache_evictions_total", "store" => label.to_owned());
        let shard = || Shard {
            turn: tokio::sync::Mutex::new(()),
            entries: Mutex::new(Entries::new(cache_bytes_max / SHARDS, evictions.clone())),
        };
        Ok(Self {
            database,
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hits: counter("hit"),
            misses: counter("miss"),
        })
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<Bytes>, plaza_sqlite::Error> {
        let shard = self.shard(key);
        if let Some(known) = shard.recall(key) {
            self.hits.increment(1);
            return Ok(known.into());
        }
        let _turn = shard.turn.lock().await;
        if let Some(known) = shard.recall(key) {
            self.hits.increment(1);
            return Ok(known.into());
        }
        self.misses.increment(1);
        let mut connection = self.database.connection()?;
        let found = connection.execute("SELECT value FROM kv WHERE key = ?1", &[Value::from(key)]).await?;
        let value = found.rows.into_iter().flatten().next().and_then(|value| match value {
            Value::Blob(bytes) => Some(Bytes::from(bytes)),
            _ => None,
        });
        shard.remember(key, value.clone().into());
        Ok(value)
    }

    /// Sets a key, or removes it.
    pub(crate) async fn put(&self, key: &str, value: Option<Vec<u8>>) -> Result<(), plaza_sqlite::Error> {
        const SET: &str = "INSERT INTO kv (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";
        let shard = self.shard(key);
        let _turn = shard.turn.lock().await;
        shard.forget(key);
        let mut connection = self.database.connection()?;
        let known = if let Some(bytes) = value {
            let known = Bytes::copy_from_slice(&bytes);
            connection.execute(SET, &[Value::from(key), Value::Blob(bytes)]).await?;
            Known::Value(known)
        } else {
            connection.execute("DELETE FROM kv WHERE key = ?1", &[Value::from(key)]).await?;
            Known::Absent
        };
        shard.remember(key, known);
        Ok(())
    }

    pub(crate) async fn keys(&self) -> Result<Vec<String>, plaza_sqlite::Error> {
        let found = self.database.connection()?.execute("SELECT key FROM kv", &[]).await?;
        let text = |value| if let Value::Text(key) = value { Some(key) } else { None };
        Ok(found.rows.into_iter().flatten().filter_map(text).collect())
    }

    /// Closes the file once nobody uses it any longer.
    pub(crate) async fn close(&self) {
        self.database.close().await;
    }

    fn shard(&self, key: &str) -> &Shard {
        let hash = self.hasher.hash_one(key);
        // The remainder is below SHARDS, so it fits.
        #[allow(clippy::cast_possible_truncation)]
        &self.shards[(hash % SHARDS as u64) as usize]
    }
}

struct Shard {
    /// Held by whoever reads from the file to fill the cache, or writes.
    turn: tokio::sync::Mutex<()>,
    entries: Mutex<Entries>,
}

impl Shard {
    /// What is known of a key. None if nothing is.
    fn recall(&self, key: &str) -> Option<Known> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.map.get_mut(key)?;
        entry.used = true;
        entry.known.clone()
    }

    fn remember(&self, key: &str, known: Known) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).set(key, Some(known));
    }

    fn forget(&self, key: &str) {
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
enum Known {
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

fn other(error: &plaza_sqlite::Error) -> Error {
    Error::Other(error.to_string())
}

impl Host for State {}

impl HostStore for State {
    async fn open(&mut self, label: String) -> wasmtime::Result<Result<Resource<OpenStore>, Error>> {
        let Some(store) = self.guest.component.key_value_stores.get(&label) else {
            return Ok(Err(Error::AccessDenied));
        };
        if self.stores_open >= self.guest.host.limits.key_value_stores_max {
            Limit::KeyValueStores.hit();
            return Ok(Err(Error::StoreTableFull));
        }
        let opened = self.table.push(OpenStore(store.clone()))?;
        self.stores_open += 1;
        Ok(Ok(opened))
    }

    async fn get(
        &mut self,
        store: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let store = &self.table.get(&store)?.0;
        Ok(store.get(&key).await.map(|value| value.map(Vec::from)).map_err(|error| other(&error)))
    }

    async fn set(
        &mut self,
        store: Resource<OpenStore>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let store = &self.table.get(&store)?.0;
        Ok(store.put(&key, Some(value)).await.map_err(|error| other(&error)))
    }

    async fn delete(&mut self, store: Resource<OpenStore>, key: String) -> wasmtime::Result<Result<(), Error>> {
        let store = &self.table.get(&store)?.0;
        Ok(store.put(&key, None).await.map_err(|error| other(&error)))
    }

    async fn exists(&mut self, store: Resource<OpenStore>, key: String) -> wasmtime::Result<Result<bool, Error>> {
        let store = &self.table.get(&store)?.0;
        Ok(store.get(&key).await.map(|value| value.is_some()).map_err(|error| other(&error)))
    }

    async fn get_keys(&mut self, store: Resource<OpenStore>) -> wasmtime::Result<Result<Vec<String>, Error>> {
        let store = &self.table.get(&store)?.0;
        Ok(store.keys().await.map_err(|error| other(&error)))
    }

    async fn drop(&mut self, store: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        self.stores_open -= 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn store(directory: &Path, cache_bytes_max: usize) -> Store {
        let settings = plaza_sqlite::Settings { durable: false, ..plaza_sqlite::Settings::default() };
        Store::open(&directory.join("kv.db"), "test", settings, cache_bytes_max).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_set_is_read_from_cache_and_file_alike() {
        let directory = tempfile::tempdir().unwrap();
        let first = store(directory.path(), 1 << 20).await;
        assert_eq!(first.get("a").await.unwrap(), None);
        first.put("a", Some(b"1".to_vec())).await.unwrap();
        first.put("b", Some(Vec::new())).await.unwrap();
        first.put("c", Some(b"3".to_vec())).await.unwrap();
        first.put("c", None).await.unwrap();
        first.close().await;
        for store in [&first, &store(directory.path(), 1 << 20).await] {
            for (key, value) in [("a", Some("1")), ("b", Some("")), ("c", None), ("d", None)] {
                if key == "d" && std::ptr::eq(store, &raw const first) {
                    continue; // Never read, so not in the cache, and the file is closed.
                }
                assert_eq!(store.get(key).await.unwrap().as_deref(), value.map(str::as_bytes), "{key}");
            }
        }
    }

    #[tokio::test]
    async fn the_cache_stays_within_its_size_and_drops_what_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path(), 64 << 10).await;
        store.put("hot", Some(b"x".to_vec())).await.unwrap();
        for number in 0..2_000 {
            store.put(&format!("cold {number}"), Some(vec![0; 64])).await.unwrap();
            assert!(store.get("hot").await.unwrap().is_some());
        }
        store.put("large", Some(vec![0; 32 << 10])).await.unwrap();
        for shard in &store.shards {
            let entries = shard.entries.lock().unwrap();
            assert!(entries.bytes <= entries.bytes_max);
            assert_eq!(entries.clock.len(), entries.map.len());
            assert!(!entries.map.contains_key("large"));
        }
        assert!(store.shard("hot").recall("hot").is_some(), "what is read all the time stays");
        assert_eq!(store.get("cold 0").await.unwrap().map(|value| value.len()), Some(64));
        assert_eq!(store.get("large").await.unwrap().map(|value| value.len()), Some(32 << 10));
        assert_eq!(store.keys().await.unwrap().len(), 2_002);
    }
}
