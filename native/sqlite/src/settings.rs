use std::time::Duration;

/// How a database is opened. The defaults suit a component's store.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Longest time one statement may run; it is interrupted then. Statements run on the calling worker thread, so this
    /// also bounds how long they keep it from other work.
    pub statement_time_max: Duration,
    /// Longest wait for the turn to write; then the statement fails as `database is locked`.
    pub gate_wait_max: Duration,
    /// Most connections open at once. One more fails with [`Error::Exhausted`](crate::Error::Exhausted).
    pub pool_max: usize,
    /// Page cache of each pooled connection, in bytes. Every commit makes what is in it stale, so a large one is of no use.
    pub cache_size_bytes: u32,
    /// Page cache of the writer's connection, in bytes. It stays valid from one transaction to the next.
    pub writer_cache_size_bytes: u32,
    /// Prepared statements kept per connection.
    pub statements_cached_max: usize,
    /// Largest result of one statement, in bytes of its values.
    pub result_bytes_max: usize,
    /// Largest string, blob or row, in bytes.
    pub value_bytes_max: i32,
    /// Size of the write-ahead log, in bytes, from which it is moved into the database beside the writers.
    pub wal_checkpoint_bytes: u64,
    /// Size of the write-ahead log, in bytes, from which writers are made to wait until it has been moved.
    pub wal_bytes_max: u64,
    /// Whether a commit is answered only when it is on disk. `false` is for what can be had again: a power cut may lose
    /// the last commits (never the file's consistency), the end of the process loses none.
    pub durable: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            statement_time_max: Duration::from_secs(1),
            gate_wait_max: Duration::from_secs(5),
            pool_max: 256,
            cache_size_bytes: 1 << 20,
            writer_cache_size_bytes: 8 << 20,
            statements_cached_max: 64,
            result_bytes_max: 16 << 20,
            value_bytes_max: 64 << 20,
            wal_checkpoint_bytes: 16 << 20,
            wal_bytes_max: 64 << 20,
            durable: true,
        }
    }
}
