//! A store in a SQLite file, with a cache in front of it where this process is the only writer.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use metrics::Counter;
use plaza_sqlite::rusqlite::{self, Connection, OptionalExtension as _, params};
use plaza_sqlite::{Database, Value};
use tokio::task::JoinHandle;

use super::Failure;
use super::cache::{Cache, Known};

/// How often entries that are too old are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_mins(10);

/// Keys that are looked at in one transaction of a sweep.
const SWEEP_KEYS: u32 = 500;

/// Pause between two such transactions: a sweep takes no more than a small part of the writer's time.
const SWEEP_PAUSE: Duration = Duration::from_millis(50);

/// A store.
pub(crate) struct SqliteStore {
    shared: Arc<Shared>,
    hits: Counter,
    misses: Counter,
    sweeper: Option<JoinHandle<()>>,
}

/// What requests and the sweeper share.
struct Shared {
    database: Arc<Database>,
    statements: Statements,
    cache: Cache,
}

/// The same operations on either layout. `?1` is the key, `?2` the value, `?3` the time.
struct Statements {
    get: String,
    set: String,
    delete: String,
    keys: String,
}

/// Whose file it is.
pub(crate) enum Layout {
    /// Our own: nobody else writes to it, so it has a cache of this many bytes, and entries go this long after they were
    /// last written.
    Own {
        /// Size of the cache.
        cache_bytes_max: usize,
        /// Age at which an entry is swept.
        age_max: Duration,
    },
    /// Spin's, which may be writing to it now: one table for all stores of a file, no cache, nothing swept.
    Spin,
}

impl SqliteStore {
    /// Opens the store in this file.
    pub(crate) async fn open(
        path: &Path,
        label: &str,
        settings: plaza_sqlite::Settings,
        layout: Layout,
    ) -> Result<Self, plaza_sqlite::Error> {
        let database = Database::open(path, settings)?;
        let counter = |kind: &'static str| metrics::counter!("plaza_key_value_cache_total", "store" => label.to_owned(), "result" => kind);
        let evictions = metrics::counter!("plaza_key_value_cache_evictions_total", "store" => label.to_owned());
        let (statements, cache_bytes_max, age_max) = match layout {
            Layout::Own { cache_bytes_max, age_max } => {
                database.connection()?.write(prepare_own).await?;
                (Statements::own(), cache_bytes_max, Some(age_max))
            }
            Layout::Spin => {
                database.connection()?.write(prepare_spins).await?;
                (Statements::spins(label), 0, None)
            }
        };
        let shared = Arc::new(Shared { database, statements, cache: Cache::new(cache_bytes_max, &evictions) });
        let swept = metrics::counter!("plaza_key_value_swept_total", "store" => label.to_owned());
        let sweeper = age_max.map(|age_max| tokio::spawn(Arc::clone(&shared).sweep_for_ever(age_max, swept)));
        Ok(Self { shared, hits: counter("hit"), misses: counter("miss"), sweeper })
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Bytes>, Failure> {
        let shard = self.shared.cache.shard(key);
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
        let value = self.shared.read(key).await?;
        shard.remember(key, value.clone().into());
        Ok(value)
    }

    /// Sets a key, or removes it.
    pub(super) async fn put(&self, key: &str, value: Option<Vec<u8>>) -> Result<(), Failure> {
        let statements = &self.shared.statements;
        let shard = self.shared.cache.shard(key);
        let _turn = shard.turn.lock().await;
        shard.forget(key);
        let mut connection = self.shared.database.connection()?;
        let known = if let Some(bytes) = value {
            let known = Bytes::copy_from_slice(&bytes);
            let parameters = [Value::from(key), Value::Blob(bytes), Value::Integer(now_seconds())];
            connection.execute(&statements.set, &parameters).await?;
            Known::Value(known)
        } else {
            connection.execute(&statements.delete, &[Value::from(key)]).await?;
            Known::Absent
        };
        shard.remember(key, known);
        Ok(())
    }

    /// Adds to the number at a key: eight bytes, little-endian, as Spin has it.
    pub(super) async fn increment(&self, key: &str, delta: i64) -> Result<i64, Failure> {
        let change = |value: Option<Vec<u8>>| {
            let number = match value.map(<[u8; 8]>::try_from) {
                None => 0,
                Some(Ok(bytes)) => i64::from_le_bytes(bytes),
                Some(Err(_)) => return Err(Failure::new(format!("the value of {key:?} is no number to increment"))),
            };
            let sum = number.checked_add(delta);
            let sum = sum.ok_or_else(|| Failure::new(format!("the number at {key:?} would not fit into 64 bits")))?;
            Ok((Some(sum.to_le_bytes().to_vec()), sum))
        };
        self.change(key, change).await
    }

    /// Sets a key if its value is still the expected one. Says whether it was.
    pub(super) async fn swap(&self, key: &str, expected: Option<&[u8]>, new: Vec<u8>) -> Result<bool, Failure> {
        let change = |value: Option<Vec<u8>>| {
            if value.as_deref() == expected { Ok((Some(new), true)) } else { Ok((None, false)) }
        };
        self.change(key, change).await
    }

    /// Reads a value and writes what `change` makes of it (None: nothing), and nobody comes in between.
    async fn change<T>(
        &self,
        key: &str,
        change: impl FnOnce(Option<Vec<u8>>) -> Result<(Option<Vec<u8>>, T), Failure>,
    ) -> Result<T, Failure> {
        let statements = &self.shared.statements;
        let shard = self.shared.cache.shard(key);
        let _turn = shard.turn.lock().await;
        shard.forget(key);
        let work = |connection: &Connection| {
            let value = connection.prepare_cached(&statements.get)?.query_row([key], |row| row.get(0)).optional()?;
            let outcome = change(value);
            if let Ok((Some(new), _)) = &outcome {
                connection.prepare_cached(&statements.set)?.execute(params![key, new, now_seconds()])?;
            }
            Ok(outcome)
        };
        let (new, answer) = self.shared.database.connection()?.write(work).await??;
        if let Some(new) = new {
            shard.remember(key, Known::Value(new.into()));
        }
        Ok(answer)
    }

    pub(super) async fn keys(&self) -> Result<Vec<String>, Failure> {
        let found = self.shared.database.connection()?.execute(&self.shared.statements.keys, &[]).await?;
        let text = |value| if let Value::Text(key) = value { Some(key) } else { None };
        Ok(found.rows.into_iter().flatten().filter_map(text).collect())
    }

    /// Closes the file once nobody uses it any longer.
    pub(super) async fn close(&self) {
        if let Some(sweeper) = &self.sweeper {
            sweeper.abort();
        }
        self.shared.database.close().await;
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        if let Some(sweeper) = &self.sweeper {
            sweeper.abort();
        }
    }
}

impl Shared {
    async fn read(&self, key: &str) -> Result<Option<Bytes>, Failure> {
        let found = self.database.connection()?.execute(&self.statements.get, &[Value::from(key)]).await?;
        Ok(found.rows.into_iter().flatten().next().and_then(|value| match value {
            Value::Blob(bytes) => Some(Bytes::from(bytes)),
            _ => None,
        }))
    }

    async fn sweep_for_ever(self: Arc<Self>, age_max: Duration, swept: Counter) {
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            match self.sweep(age_max).await {
                Ok(keys) => swept.increment(keys),
                Err(error) => tracing::warn!(store = self.database.name(), %error, "old entries could not be swept"),
            }
        }
    }

    /// Removes entries that were last written longer ago than this. Says how many.
    async fn sweep(&self, age_max: Duration) -> Result<u64, Failure> {
        let oldest = now_seconds().saturating_sub_unsigned(age_max.as_secs());
        let (mut after, mut swept) = (String::new(), 0);
        loop {
            let work = |connection: &Connection| sweep_portion(connection, &after, oldest);
            let (gone, last) = self.database.connection()?.write_lazily(work).await?;
            for key in &gone {
                // Whoever read the entry before it went has kept the turn until the cache knew of it.
                let shard = self.cache.shard(key);
                let _turn = shard.turn.lock().await;
                shard.forget(key);
            }
            swept += gone.len() as u64;
            let Some(last) = last else { return Ok(swept) };
            after = last;
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
    }
}

/// Sweeps some keys in their order. Answers those that are gone, and the last key that was looked at, if there may be more.
fn sweep_portion(
    connection: &Connection,
    after: &str,
    oldest: i64,
) -> Result<(Vec<String>, Option<String>), rusqlite::Error> {
    let last = "SELECT key FROM kv WHERE key > ?1 ORDER BY key LIMIT 1 OFFSET ?2";
    let last: Option<String> =
        connection.prepare_cached(last)?.query_row(params![after, SWEEP_KEYS - 1], |row| row.get(0)).optional()?;
    let sweep = "DELETE FROM kv WHERE key > ?1 AND (?2 IS NULL OR key <= ?2) AND written_at < ?3 RETURNING key";
    let mut sweep = connection.prepare_cached(sweep)?;
    let gone = sweep.query_map(params![after, last, oldest], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok((gone, last))
}

/// Our table. A file of an earlier version has no times: what is in it counts as written now.
fn prepare_own(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS kv (
             key TEXT PRIMARY KEY, value BLOB NOT NULL, written_at INTEGER NOT NULL
         ) WITHOUT ROWID",
    )?;
    let dated = "SELECT 1 FROM pragma_table_info('kv') WHERE name = 'written_at'";
    if connection.query_row(dated, [], |_| Ok(())).optional()?.is_none() {
        let now = now_seconds();
        connection.execute_batch(&format!("ALTER TABLE kv ADD COLUMN written_at INTEGER NOT NULL DEFAULT {now}"))?;
    }
    Ok(())
}

/// The table that Spin keeps all stores of a file in.
fn prepare_spins(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS spin_key_value (
             store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (store, key)
         )",
    )
}

impl Statements {
    fn own() -> Self {
        Self {
            get: "SELECT value FROM kv WHERE key = ?1".to_owned(),
            set: "INSERT INTO kv (key, value, written_at) VALUES (?1, ?2, ?3)
                  ON CONFLICT (key) DO UPDATE SET value = ?2, written_at = ?3"
                .to_owned(),
            delete: "DELETE FROM kv WHERE key = ?1".to_owned(),
            keys: "SELECT key FROM kv".to_owned(),
        }
    }

    /// A label is words of letters and digits, so it may stand in the statement.
    fn spins(label: &str) -> Self {
        Self {
            get: format!("SELECT value FROM spin_key_value WHERE store = '{label}' AND key = ?1"),
            // Spin's table has no time; `?3` has to be used all the same, and is never null.
            set: format!(
                "INSERT INTO spin_key_value (store, key, value) SELECT '{label}', ?1, ?2 WHERE ?3 IS NOT NULL
                 ON CONFLICT (store, key) DO UPDATE SET value = excluded.value"
            ),
            delete: format!("DELETE FROM spin_key_value WHERE store = '{label}' AND key = ?1"),
            keys: format!("SELECT key FROM spin_key_value WHERE store = '{label}'"),
        }
    }
}

/// Seconds since 1970.
fn now_seconds() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Layout = Layout::Own { cache_bytes_max: 1 << 20, age_max: Duration::from_mins(1) };

    async fn store(directory: &Path, layout: Layout) -> SqliteStore {
        let settings = plaza_sqlite::Settings { durable: false, ..plaza_sqlite::Settings::default() };
        SqliteStore::open(&directory.join("kv.db"), "test", settings, layout).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_set_is_read_from_cache_and_file_alike() {
        let directory = tempfile::tempdir().unwrap();
        let first = store(directory.path(), OWN).await;
        assert_eq!(first.get("a").await.unwrap(), None);
        first.put("a", Some(b"1".to_vec())).await.unwrap();
        first.put("b", Some(Vec::new())).await.unwrap();
        first.put("c", Some(b"3".to_vec())).await.unwrap();
        first.put("c", None).await.unwrap();
        first.close().await;
        for store in [&first, &store(directory.path(), OWN).await] {
            for (key, value) in [("a", Some("1")), ("b", Some("")), ("c", None), ("d", None)] {
                if key == "d" && std::ptr::eq(store, &raw const first) {
                    continue; // Never read, so not in the cache, and the file is closed.
                }
                assert_eq!(store.get(key).await.unwrap().as_deref(), value.map(str::as_bytes), "{key}");
            }
        }
    }

    #[tokio::test]
    async fn increments_count_each_once_and_are_read_back_as_spin_stores_them() {
        for layout in [OWN, Layout::Spin] {
            let directory = tempfile::tempdir().unwrap();
            let store = Arc::new(store(directory.path(), layout).await);
            let increment = |_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { store.increment("n", 1).await.unwrap() })
            };
            let mut answers = futures::future::try_join_all((0..200).map(increment)).await.unwrap();
            answers.sort_unstable();
            assert_eq!(answers, (1..=200).collect::<Vec<_>>());
            assert_eq!(store.get("n").await.unwrap().as_deref(), Some(&200_i64.to_le_bytes()[..]));
            store.put("n", Some(7_i64.to_le_bytes().to_vec())).await.unwrap();
            assert_eq!(store.increment("n", -10).await.unwrap(), -3);

            store.put("text", Some(b"text".to_vec())).await.unwrap();
            store.put("most", Some(i64::MAX.to_le_bytes().to_vec())).await.unwrap();
            assert!(store.increment("text", 1).await.is_err());
            assert!(store.increment("most", 1).await.is_err());
            assert_eq!(store.get("text").await.unwrap().as_deref(), Some(&b"text"[..]), "nothing was changed");
        }
    }

    #[tokio::test]
    async fn a_value_is_swapped_only_if_it_is_the_one_that_was_seen() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path(), OWN).await;
        assert!(store.swap("a", None, b"1".to_vec()).await.unwrap());
        assert!(!store.swap("a", None, b"2".to_vec()).await.unwrap());
        assert!(store.swap("a", Some(b"1"), b"2".to_vec()).await.unwrap());
        assert!(!store.swap("a", Some(b"1"), b"3".to_vec()).await.unwrap());
        assert_eq!(store.get("a").await.unwrap().as_deref(), Some(&b"2"[..]));
    }

    #[tokio::test]
    async fn what_is_too_old_goes_from_file_and_cache() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kv.db");
        let earlier = Connection::open(&path).unwrap();
        let table = "CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID";
        earlier.execute_batch(&format!("{table}; INSERT INTO kv VALUES ('of an earlier version', x'00')")).unwrap();
        drop(earlier);

        let store = store(directory.path(), OWN).await;
        for number in 0..3 * SWEEP_KEYS {
            store.put(&format!("key {number}"), Some(vec![0])).await.unwrap();
        }
        assert_eq!(store.shared.sweep(Duration::from_mins(1)).await.unwrap(), 0);
        let age = "UPDATE kv SET written_at = written_at - 100 WHERE key LIKE 'key %' AND key NOT LIKE '%7'";
        store.shared.database.connection().unwrap().execute(age, &[]).await.unwrap();
        let aged = u64::from(3 * SWEEP_KEYS / 10 * 9);
        assert_eq!(store.shared.sweep(Duration::from_mins(1)).await.unwrap(), aged);
        assert_eq!(store.keys().await.unwrap().len(), 3 * SWEEP_KEYS as usize / 10 + 1);
        assert_eq!(store.get("key 1").await.unwrap(), None, "the cache knows");
        assert!(
            store.get("key 7").await.unwrap().is_some() && store.get("of an earlier version").await.unwrap().is_some()
        );
    }

    #[tokio::test]
    async fn spin_and_this_host_write_to_one_file() {
        let directory = tempfile::tempdir().unwrap();
        let spin = Connection::open(directory.path().join("kv.db")).unwrap();
        spin.busy_timeout(Duration::from_secs(5)).unwrap();
        let table = "CREATE TABLE spin_key_value (store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (store, key))";
        spin.execute_batch(table).unwrap();
        let store = store(directory.path(), Layout::Spin).await;
        for (round, value) in [b"1", b"2", b"3"].into_iter().enumerate() {
            let set = "INSERT INTO spin_key_value VALUES (?1, 'a', ?2) ON CONFLICT DO UPDATE SET value = ?2";
            spin.execute(set, params!["test", &value[..]]).unwrap();
            spin.execute(set, params!["another", &b"x"[..]]).unwrap();
            assert_eq!(store.get("a").await.unwrap().as_deref(), Some(&value[..]), "round {round}");
            store.put("b", Some(value.to_vec())).await.unwrap();
            let get = "SELECT value FROM spin_key_value WHERE store = 'test' AND key = 'b'";
            assert_eq!(spin.query_row(get, [], |row| row.get::<_, Vec<u8>>(0)).unwrap(), value);
        }
        let mut keys = store.keys().await.unwrap();
        keys.sort();
        assert_eq!(keys, ["a", "b"]);
    }
}
