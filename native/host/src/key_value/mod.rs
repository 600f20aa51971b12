//! Key-value stores: `fermyon:spin/key-value`, and beside it `wasi:keyvalue`, which adds numbers that are counted up and
//! values that are swapped. Both open the same stores by the same grants.

mod cache;
mod guest;
mod redis;
mod sqlite;

use std::fmt;

use bytes::Bytes;

#[allow(unreachable_pub)]
pub use guest::{OpenStore, Seen};
pub(crate) use redis::{Redis, RedisStore};
pub(crate) use sqlite::{Layout, SqliteStore};

/// A key-value store.
pub(crate) enum Store {
    /// In a file.
    Sqlite(SqliteStore),
    /// In Redis.
    Redis(RedisStore),
}

/// What a store failed of, in words for the guest and the log.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(String);

impl Failure {
    fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }
}

impl From<plaza_sqlite::Error> for Failure {
    fn from(error: plaza_sqlite::Error) -> Self {
        Self::new(error)
    }
}

impl Store {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Sqlite(store) => store.get(key).await,
            Self::Redis(store) => store.get(key).await,
        }
    }

    /// The values of keys, in their order.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, Failure> {
        match self {
            Self::Sqlite(store) => {
                let mut values = Vec::with_capacity(keys.len());
                for key in keys {
                    values.push(store.get(key).await?);
                }
                Ok(values)
            }
            Self::Redis(store) => store.get_many(keys).await,
        }
    }

    async fn exists(&self, key: &str) -> Result<bool, Failure> {
        match self {
            Self::Sqlite(store) => Ok(store.get(key).await?.is_some()),
            Self::Redis(store) => store.exists(key).await,
        }
    }

    async fn set(&self, key: &str, value: Vec<u8>) -> Result<(), Failure> {
        match self {
            Self::Sqlite(store) => store.put(key, Some(value)).await,
            Self::Redis(store) => store.set_many(vec![(key.to_owned(), value)]).await,
        }
    }

    async fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
        match self {
            Self::Sqlite(store) => {
                for (key, value) in entries {
                    store.put(&key, Some(value)).await?;
                }
                Ok(())
            }
            Self::Redis(store) => store.set_many(entries).await,
        }
    }

    async fn delete(&self, key: &str) -> Result<(), Failure> {
        match self {
            Self::Sqlite(store) => store.put(key, None).await,
            Self::Redis(store) => store.delete_many(&[key.to_owned()]).await,
        }
    }

    async fn delete_many(&self, keys: &[String]) -> Result<(), Failure> {
        match self {
            Self::Sqlite(store) => {
                for key in keys {
                    store.put(key, None).await?;
                }
                Ok(())
            }
            Self::Redis(store) => store.delete_many(keys).await,
        }
    }

    async fn keys(&self) -> Result<Vec<String>, Failure> {
        match self {
            Self::Sqlite(store) => store.keys().await,
            Self::Redis(store) => store.keys().await,
        }
    }

    async fn increment(&self, key: &str, delta: i64) -> Result<i64, Failure> {
        match self {
            Self::Sqlite(store) => store.increment(key, delta).await,
            Self::Redis(store) => store.increment(key, delta).await,
        }
    }

    /// Sets a key if its value is still the expected one. Says whether it was.
    async fn swap(&self, key: &str, expected: Option<&[u8]>, new: Vec<u8>) -> Result<bool, Failure> {
        match self {
            Self::Sqlite(store) => store.swap(key, expected, new).await,
            Self::Redis(store) => store.swap(key, expected, new).await,
        }
    }

    /// Closes it once nobody uses it any longer.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Redis(_) => {}
        }
    }
}
