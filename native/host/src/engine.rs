//! The WebAssembly engine: how components are compiled, where instances live, and the clock that interrupts them.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, ProfilingStrategy,
};

use crate::error::Error;
use crate::settings::Limits;

/// Where this environment variable is set, `/tmp/perf-<pid>.map` names the functions' code for Linux's `perf`.
const PERF_MAP: &str = "PLAZA_PERF_MAP";

/// How often a running instance gives way to other work, and looks whether its time is up.
const TICK: Duration = Duration::from_millis(10);

/// Memory of a slot that is cleared by writing zeros instead of giving its pages back, in bytes. Functions are small, so
/// most requests then cost no page fault; 256 KiB by 1,000 slots is 256 MiB at worst.
const MEMORY_KEPT_BYTES: usize = 256 << 10;

/// The same for tables.
const TABLE_KEPT_BYTES: usize = 64 << 10;

/// Stack of one instance, in bytes: half for WebAssembly (Wasmtime's own default), half for the host functions it calls,
/// of which SQLite takes the most.
const STACK_BYTES: usize = 1 << 20;
const WASM_STACK_BYTES: usize = 512 << 10;

/// A component is several core modules: its own, and small ones that tie it to its imports.
const CORE_INSTANCES_MAX: u32 = 8;
const TABLES_MAX: u32 = 4;

/// Slots beyond the instances that may run, for those that are being torn down.
const SPARE_SLOTS: u32 = 16;

/// Slots that wait for the next request of the same component, warm, before those of others are taken.
const WARM_SLOTS_MAX: u32 = 256;

/// An engine and the thread that ticks for it. The thread ends with this.
pub(crate) struct Ticking {
    pub(crate) engine: Engine,
    _stop: Sender<()>,
}

impl Ticking {
    pub(crate) fn new(limits: &Limits) -> Result<Self, Error> {
        let engine = Engine::new(&config(limits)).map_err(|error| Error::Engine(format!("{error:#}")))?;
        let (stop, stopped) = channel();
        let ticking = engine.weak();
        std::thread::Builder::new()
            .name("plaza-epoch".to_owned())
            .spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(TICK) {
                    match ticking.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => return,
                    }
                }
            })
            .map_err(|error| Error::Engine(error.to_string()))?;
        Ok(Self { engine, _stop: stop })
    }
}

fn config(limits: &Limits) -> Config {
    let slots = limits.instances_max.saturating_add(limits.chained_instances_max).saturating_add(SPARE_SLOTS);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES_MAX))
        .total_memories(slots)
        .total_tables(slots.saturating_mul(TABLES_MAX))
        .total_stacks(slots)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(1)
        .max_tables_per_component(TABLES_MAX)
        .max_memory_size(limits.memory_bytes_max)
        .table_elements(limits.table_elements_max)
        .max_unused_warm_slots(WARM_SLOTS_MAX)
        .linear_memory_keep_resident(MEMORY_KEPT_BYTES)
        .table_keep_resident(TABLE_KEPT_BYTES)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // WASI 0.2 has no concurrency within an instance, and the bookkeeping for it costs at every call.
        .concurrency_support(false)
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        .memory_init_cow(true)
        .async_stack_size(STACK_BYTES)
        .max_wasm_stack(WASM_STACK_BYTES)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    if std::env::var_os(PERF_MAP).is_some() {
        config.profiler(ProfilingStrategy::PerfMap);
    }
    config
}
