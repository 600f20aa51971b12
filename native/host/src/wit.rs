//! What `wit/` defines, in Rust: Spin's own interfaces, which this crate implements. Those of WASI come from Wasmtime.

#![allow(missing_docs, clippy::pedantic)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "spin",
    imports: { default: async | trappable },
    require_store_data_send: true,
    with: {
        "fermyon:spin/key-value.store": crate::key_value::OpenStore,
        "wasi:keyvalue/store.bucket": crate::key_value::OpenStore,
        "wasi:keyvalue/atomics.cas": crate::key_value::Seen,
        "fermyon:spin/mysql.connection": crate::mysql::Connection,
        "spin:sqlite/sqlite.connection": plaza_sqlite::Connection,
    },
});
