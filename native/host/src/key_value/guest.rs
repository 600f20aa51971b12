//! What a function sees of its stores.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::Resource;

use super::{Failure, Store};
use crate::metrics::Limit;
use crate::state::State;
use crate::wit::fermyon::spin::key_value as spin;
use crate::wit::wasi::keyvalue::{atomics, batch, store as wasi};

/// A store that an instance holds open. Public because the generated bindings name it; its module is not.
#[allow(unreachable_pub)]
pub struct OpenStore(Arc<Store>);

/// A value that an instance has seen, to be swapped.
#[allow(unreachable_pub)]
pub struct Seen {
    store: Arc<Store>,
    key: String,
    value: Option<Bytes>,
}

impl Seen {
    async fn look(store: Arc<Store>, key: String) -> Result<Self, Failure> {
        let value = store.get(&key).await?;
        Ok(Self { store, key, value })
    }
}

/// Why a store was not opened.
enum Refusal {
    NotGranted,
    TooMany,
}

impl State {
    fn open_store(&mut self, label: &str) -> wasmtime::Result<Result<Resource<OpenStore>, Refusal>> {
        let Some(store) = self.guest.component.key_value_stores.get(label) else {
            return Ok(Err(Refusal::NotGranted));
        };
        if self.stores_open >= self.guest.host.limits.key_value_stores_max {
            Limit::KeyValueStores.hit();
            return Ok(Err(Refusal::TooMany));
        }
        let opened = self.table.push(OpenStore(store.clone()))?;
        self.stores_open += 1;
        Ok(Ok(opened))
    }

    fn store(&self, open: &Resource<OpenStore>) -> wasmtime::Result<Arc<Store>> {
        Ok(Arc::clone(&self.table.get(open)?.0))
    }

    fn close_store(&mut self, open: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.table.delete(open)?;
        self.stores_open -= 1;
        Ok(())
    }
}

impl From<Failure> for spin::Error {
    fn from(failure: Failure) -> Self {
        Self::Other(failure.to_string())
    }
}

impl From<Failure> for wasi::Error {
    fn from(failure: Failure) -> Self {
        Self::Other(failure.to_string())
    }
}

impl spin::Host for State {}

impl spin::HostStore for State {
    async fn open(&mut self, label: String) -> wasmtime::Result<Result<Resource<OpenStore>, spin::Error>> {
        Ok(self.open_store(&label)?.map_err(|refusal| match refusal {
            Refusal::NotGranted => spin::Error::AccessDenied,
            Refusal::TooMany => spin::Error::StoreTableFull,
        }))
    }

    async fn get(
        &mut self,
        store: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, spin::Error>> {
        let value = self.store(&store)?.get(&key).await;
        Ok(value.map(|value| value.map(Vec::from)).map_err(Into::into))
    }

    async fn set(
        &mut self,
        store: Resource<OpenStore>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), spin::Error>> {
        Ok(self.store(&store)?.set(&key, value).await.map_err(Into::into))
    }

    async fn delete(&mut self, store: Resource<OpenStore>, key: String) -> wasmtime::Result<Result<(), spin::Error>> {
        Ok(self.store(&store)?.delete(&key).await.map_err(Into::into))
    }

    async fn exists(&mut self, store: Resource<OpenStore>, key: String) -> wasmtime::Result<Result<bool, spin::Error>> {
        Ok(self.store(&store)?.exists(&key).await.map_err(Into::into))
    }

    async fn get_keys(&mut self, store: Resource<OpenStore>) -> wasmtime::Result<Result<Vec<String>, spin::Error>> {
        Ok(self.store(&store)?.keys().await.map_err(Into::into))
    }

    async fn drop(&mut self, store: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.close_store(store)
    }
}

impl wasi::Host for State {
    async fn open(&mut self, identifier: String) -> wasmtime::Result<Result<Resource<OpenStore>, wasi::Error>> {
        Ok(self.open_store(&identifier)?.map_err(|refusal| match refusal {
            Refusal::NotGranted => wasi::Error::AccessDenied,
            Refusal::TooMany => wasi::Error::Other("store table full".to_owned()),
        }))
    }
}

impl wasi::HostBucket for State {
    async fn get(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, wasi::Error>> {
        let value = self.store(&bucket)?.get(&key).await;
        Ok(value.map(|value| value.map(Vec::from)).map_err(Into::into))
    }

    async fn set(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), wasi::Error>> {
        Ok(self.store(&bucket)?.set(&key, value).await.map_err(Into::into))
    }

    async fn delete(&mut self, bucket: Resource<OpenStore>, key: String) -> wasmtime::Result<Result<(), wasi::Error>> {
        Ok(self.store(&bucket)?.delete(&key).await.map_err(Into::into))
    }

    async fn exists(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<bool, wasi::Error>> {
        Ok(self.store(&bucket)?.exists(&key).await.map_err(Into::into))
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<OpenStore>,
        cursor: Option<String>,
    ) -> wasmtime::Result<Result<wasi::KeyResponse, wasi::Error>> {
        if cursor.is_some() {
            return Ok(Err(wasi::Error::Other("list_keys: cursor not supported".to_owned())));
        }
        let keys = self.store(&bucket)?.keys().await;
        Ok(keys.map(|keys| wasi::KeyResponse { keys, cursor: None }).map_err(Into::into))
    }

    async fn drop(&mut self, bucket: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.close_store(bucket)
    }
}

impl atomics::Host for State {
    async fn increment(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
        delta: i64,
    ) -> wasmtime::Result<Result<i64, wasi::Error>> {
        Ok(self.store(&bucket)?.increment(&key, delta).await.map_err(Into::into))
    }

    async fn swap(&mut self, seen: Resource<Seen>, value: Vec<u8>) -> wasmtime::Result<Result<(), atomics::CasError>> {
        let Seen { store, key, value: expected } = self.table.delete(seen)?;
        let outcome = async {
            if store.swap(&key, expected.as_deref(), value).await? {
                return Ok(None);
            }
            Seen::look(store, key).await.map(Some)
        };
        Ok(match outcome.await {
            Ok(None) => Ok(()),
            Ok(Some(changed)) => Err(atomics::CasError::CasFailed(self.table.push(changed)?)),
            Err(failure) => Err(atomics::CasError::StoreError(failure.into())),
        })
    }
}

impl atomics::HostCas for State {
    async fn new(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<Resource<Seen>, wasi::Error>> {
        match Seen::look(self.store(&bucket)?, key).await {
            Ok(seen) => Ok(Ok(self.table.push(seen)?)),
            Err(failure) => Ok(Err(failure.into())),
        }
    }

    async fn current(&mut self, seen: Resource<Seen>) -> wasmtime::Result<Result<Option<Vec<u8>>, wasi::Error>> {
        let seen = self.table.get_mut(&seen)?;
        Ok(match seen.store.get(&seen.key).await {
            Ok(value) => {
                seen.value.clone_from(&value);
                Ok(value.map(Vec::from))
            }
            Err(failure) => Err(failure.into()),
        })
    }

    async fn drop(&mut self, seen: Resource<Seen>) -> wasmtime::Result<()> {
        self.table.delete(seen)?;
        Ok(())
    }
}

impl batch::Host for State {
    async fn get_many(
        &mut self,
        bucket: Resource<OpenStore>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<(String, Option<Vec<u8>>)>, wasi::Error>> {
        let found = self.store(&bucket)?.get_many(&keys).await;
        let pairs =
            |values: Vec<Option<Bytes>>| keys.into_iter().zip(values.into_iter().map(|v| v.map(Vec::from))).collect();
        Ok(found.map(pairs).map_err(Into::into))
    }

    async fn set_many(
        &mut self,
        bucket: Resource<OpenStore>,
        entries: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Result<(), wasi::Error>> {
        Ok(self.store(&bucket)?.set_many(entries).await.map_err(Into::into))
    }

    async fn delete_many(
        &mut self,
        bucket: Resource<OpenStore>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<(), wasi::Error>> {
        Ok(self.store(&bucket)?.delete_many(&keys).await.map_err(Into::into))
    }
}
