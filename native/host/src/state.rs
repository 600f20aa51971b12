//! What the host knows of one running instance.

use std::sync::Arc;

use ::http::HeaderValue;
use plaza_sqlite::Database;
use tokio::time::Instant;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, ResourceLimiter};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings as wasi;
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::{ProxyPre, http};
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::dispatch::Shared;
use crate::grants::Grants;
use crate::hosts::AllowedHost;
use crate::key_value::Store as KeyValueStore;
use crate::metrics::{ComponentMetrics, Limit};
use crate::outbound::{self, Outbound};
use crate::output::{Kind, Lines, Output};
use crate::{variables, wit};

/// Things of the host that an instance may hold at a time: streams, requests, header sets, connections. One more traps.
const RESOURCES_MAX: usize = 4_096;

/// Random bytes that a guest may ask for at once; more traps.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// A component, ready to run.
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) pre: ProxyPre<State>,
    pub(crate) variables: Grants<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) key_value_stores: Grants<Arc<KeyValueStore>>,
    pub(crate) databases: Grants<Arc<Database>>,
    /// By their entries in the manifest.
    pub(crate) allowed_hosts: Grants<AllowedHost>,
    /// Whether other components may call it: Spin lets them if it has an HTTP trigger, private or not.
    pub(crate) chainable: bool,
    pub(crate) metrics: ComponentMetrics,
}

/// One run of a component, for one request.
pub(crate) struct Guest {
    pub(crate) component: Arc<Component>,
    pub(crate) host: Arc<Shared>,
    pub(crate) request_id: HeaderValue,
    /// When it must be done.
    pub(crate) deadline: Instant,
    /// How many components called one another to get here.
    pub(crate) depth: u8,
    pub(crate) lines: Lines,
}

impl Guest {
    pub(crate) fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }
}

/// The data of an instance's store.
pub(crate) struct State {
    pub(crate) guest: Arc<Guest>,
    pub(crate) table: ResourceTable,
    pub(crate) memory: Memory,
    pub(crate) stores_open: usize,
    pub(crate) connections_open: usize,
    pub(crate) mysql_connections_open: usize,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: Outbound,
}

impl State {
    pub(crate) fn new(guest: Arc<Guest>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        let mut wasi = WasiCtx::builder();
        wasi.max_random_size(RANDOM_BYTES_MAX);
        wasi.stdout(Output::new(&guest, Kind::Out)).stderr(Output::new(&guest, Kind::Error));
        if !guest.component.environment.is_empty() {
            wasi.envs(&guest.component.environment);
        }
        Self {
            table,
            memory: Memory { bytes_max: guest.host.limits.memory_bytes_max, exceeded: false },
            stores_open: 0,
            connections_open: 0,
            mysql_connections_open: 0,
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            outbound: Outbound::new(guest.clone()),
            guest,
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        Lines::finish(&self.guest);
    }
}

/// The memory of an instance.
pub(crate) struct Memory {
    bytes_max: usize,
    /// Whether the guest asked for more than it may have.
    pub(crate) exceeded: bool,
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, _current: usize, desired: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = desired <= self.bytes_max;
        if !allowed && !self.exceeded {
            self.exceeded = true;
            Limit::Memory.hit();
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, _current: usize, _desired: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        // The pool bounds tables by their size.
        Ok(true)
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

impl wit::fermyon::spin::variables::Host for State {
    async fn get(&mut self, name: String) -> wasmtime::Result<Result<String, wit::fermyon::spin::variables::Error>> {
        use wit::fermyon::spin::variables::Error;
        if let Err(reason) = variables::check_name(&name) {
            return Ok(Err(Error::InvalidName(format!("{name:?}: {reason}"))));
        }
        let component = &self.guest.component;
        Ok(component
            .variables
            .get(&name)
            .cloned()
            .ok_or_else(|| Error::Undefined(format!("no variable for {:?}.{name:?}", component.name))))
    }
}

/// Links exactly what the world `function` of `wit/` lets a function import.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    wit::Spin::add_to_linker::<_, HasSelf<State>>(l, |state| state)?;
    // io, clocks, secure random numbers, standard streams.
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(l)?;
    http::types::add_to_linker::<_, WasiHttp>(l, &http::types::LinkOptions::default(), State::http)?;
    l.instance("wasi:http/outgoing-handler@0.2.6")?.func_wrap("handle", |mut store, (request, options)| {
        Ok((outbound::handle(store.data_mut(), request, options)?,))
    })?;
    // What the standard library links besides.
    wasi::random::insecure::add_to_linker::<State, WasiRandom>(l, State::random)?;
    wasi::random::insecure_seed::add_to_linker::<State, WasiRandom>(l, State::random)?;
    wasi::cli::environment::add_to_linker::<State, WasiCli>(l, State::cli)?;
    wasi::cli::exit::add_to_linker::<State, WasiCli>(l, State::cli)?;
    wasi::cli::terminal_input::add_to_linker::<State, WasiCli>(l, State::cli)?;
    wasi::cli::terminal_output::add_to_linker::<State, WasiCli>(l, State::cli)?;
    wasi::cli::terminal_stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    wasi::cli::terminal_stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    wasi::cli::terminal_stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;
    wasi::filesystem::types::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;
    wasi::filesystem::preopens::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;
    Ok(linker)
}
