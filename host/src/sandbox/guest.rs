//! What a store holds for one guest. Does not know what functions a guest may call.

use wasmtime::StoreContextMut;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::context::Context;
use super::engine::Flavor;
use super::held::{MOST_FIELDS, MOST_RESOURCES, ResourceMeter};
use super::limiter::Limiter;
use super::outbound::Outbound;
use super::pace::Watched;
use super::stdio::Stdio;

/// Resources that a small call has at once: room for them is made in one piece.
const FEW_RESOURCES: usize = 8;

/// The data of a store that runs a component.
#[expect(missing_debug_implementations, reason = "the contexts of wasmtime-wasi have none")]
pub struct Guest {
    wasi: Context,
    pub(super) http: WasiHttpCtx,
    /// Dropped before the table, which holds the requests under way: those that wait must not begin
    /// when others end with the instance.
    pub(super) outbound: Outbound,
    pub(super) table: ResourceTable,
    pub(super) limiter: Limiter,
    pub(super) stdio: Stdio,
    flavor: Flavor,
    meter: ResourceMeter,
}

impl Guest {
    /// A guest that holds nothing yet.
    pub(super) fn new(
        wasi: Context,
        outbound: Outbound,
        limiter: Limiter,
        stdio: Stdio,
        flavor: Flavor,
    ) -> Self {
        let mut table = ResourceTable::with_capacity(FEW_RESOURCES);
        table.set_max_capacity(MOST_RESOURCES);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MOST_FIELDS);
        let meter = ResourceMeter::new();
        Self { wasi, http, table, outbound, limiter, stdio, flavor, meter }
    }

    /// Every call of a host function begins here: looks now and then what the guest makes the host
    /// hold. Too much is taken away at once, and the function that finds its resource gone ends the
    /// guest: until its slice is over it could take the same again many times.
    #[inline]
    pub(super) fn look(&mut self) {
        if let Some(weight) = self.meter.look(&mut self.table, self.outbound.n_bytes_sent())
            && !self.limiter.hold(weight)
        {
            self.table = ResourceTable::new();
            self.table.set_max_capacity(0);
        }
    }

    /// The resources, for a function that begins with them.
    #[inline]
    pub(super) fn resources(&mut self) -> &mut ResourceTable {
        self.look();
        &mut self.table
    }

    /// Takes note of bytes that a function will add to what a resource holds. It looks at all of them
    /// before, if it is much.
    pub(super) fn holds_more(&mut self, bytes: usize) {
        self.meter.add(bytes);
    }
}

impl Watched for Guest {
    /// What runs at the same time is in no table of ours: streams, futures and tasks are made by code
    /// that calls none of our functions.
    #[inline]
    fn after_host_call(store: &mut StoreContextMut<'_, Self>) -> wasmtime::Result<()> {
        let guest = store.data_mut();
        if guest.flavor == Flavor::Plain || !guest.meter.is_time_for_tasks() {
            return Ok(());
        }
        let n_tasks = store.concurrent_state_table_size();
        let guest = store.data_mut();
        let weight = guest.meter.found_tasks(n_tasks, guest.outbound.n_bytes_sent());
        if guest.limiter.hold(weight) {
            return Ok(());
        }
        wasmtime::bail!(
            "{n_tasks} streams, futures and tasks, and what else it holds, are too much"
        )
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.look();
        WasiCtxView { ctx: self.wasi.get(&mut self.stdio), table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.look();
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

/// The data of a store that runs a core module.
#[expect(missing_debug_implementations, reason = "the contexts of wasmtime-wasi have none")]
pub struct CoreGuest {
    pub(super) wasi: WasiP1Ctx,
    pub(super) limiter: Limiter,
    pub(super) stdio: Stdio,
}

impl Watched for CoreGuest {
    #[inline]
    fn after_host_call(_: &mut StoreContextMut<'_, Self>) -> wasmtime::Result<()> {
        Ok(())
    }
}
