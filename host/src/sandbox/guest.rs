//! What a store holds for one guest. Does not know what functions a guest may call.

use std::sync::Arc;

use steerage_core::capsule::CapsuleFate;
use steerage_core::id::Generation;
use steerage_core::units::Bytes;
use wasmtime::StoreContextMut;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::context::{Context, Environment};
use super::engine::Flavor;
use super::held::{MOST_RESOURCES, ResourceMeter};
use super::http02::MOST_FIELDS;
use super::limiter::Limiter;
use super::outbound::{Doorway, NoSocket, Outbound, SocketFiles};
use super::pace::Watched;
use super::reservation::Reservation;
use super::stdio::Stdio;
use crate::budget::Account;
use crate::call::CallIds;
use crate::capsule::Tape;
use crate::key_value::AppStores;
use crate::sql::AppDatabases;
use crate::telemetry::logs::AppLog;

/// Resources that a small call has at once: room for them is made in one piece.
const FEW_RESOURCES: usize = 8;

/// The data of a store that runs a component.
#[expect(missing_debug_implementations, reason = "the contexts of wasmtime-wasi have none")]
pub struct Guest {
    wasi: Context,
    /// Of `wasi:http` 0.3 only.
    pub(super) http: WasiHttpCtx,
    /// Dropped before the table, which holds the requests under way: those that wait must not begin
    /// when others end with the instance.
    pub(super) outbound: Outbound,
    pub(super) table: ResourceTable,
    pub(super) limiter: Limiter,
    pub(super) stdio: Stdio,
    /// The key-value stores of its app; `None` where its manifest names none.
    stores: Option<Arc<AppStores>>,
    /// Files of the sockets that it made; below the table, which holds those.
    sockets: SocketFiles,
    /// Its SQL databases; `None` where its manifest names none.
    databases: Option<Arc<AppDatabases>>,
    /// Where it is written down what the guest is told, or from where it is said again.
    tape: Option<Tape>,
    flavor: Flavor,
    meter: ResourceMeter,
    has_called_host: bool,
    may_rest: bool,
}

/// What the guests of a deployment are made of.
pub(super) struct ServiceParts {
    pub(super) env: Environment,
    pub(super) memory_limit: Bytes,
    pub(super) memory: Arc<Account>,
    pub(super) outbound: Outbound,
    pub(super) stores: Option<Arc<AppStores>>,
    pub(super) databases: Option<Arc<AppDatabases>>,
    pub(super) log: Arc<AppLog>,
    pub(super) generation: Generation,
    pub(super) flavor: Flavor,
}

impl ServiceParts {
    /// A guest that holds nothing yet, which serves this call first in an instance that reserves its memory
    /// there.
    pub(super) fn guest(&self, call: CallIds, reservation: Arc<Reservation>) -> Guest {
        let stdio = Stdio::new(self.log.clone(), self.generation, call);
        let wasi = Context::later(self.env.clone());
        let limiter = Limiter::new(self.memory_limit, reservation);
        Guest::new(wasi, self.outbound.for_instance(), limiter, stdio, self.flavor)
            .with_stores(self.stores.clone(), self.databases.clone())
    }

    /// The same for a core module, which is a program.
    pub(super) fn core_guest(&self, call: CallIds, reservation: Arc<Reservation>) -> CoreGuest {
        let stdio = Stdio::new(self.log.clone(), self.generation, call);
        CoreGuest::new(Limiter::new(self.memory_limit, reservation), stdio)
    }
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
        Self {
            wasi,
            http,
            table,
            outbound,
            limiter,
            stdio,
            stores: None,
            sockets: SocketFiles::default(),
            databases: None,
            tape: None,
            flavor,
            meter,
            has_called_host: false,
            may_rest: true,
        }
    }

    /// The environment of its app: all that the app is configured with.
    pub(super) fn env(&self) -> &[(String, String)] {
        self.wasi.env()
    }

    /// It has these key-value stores and databases.
    #[must_use]
    pub(super) fn with_stores(
        mut self,
        stores: Option<Arc<AppStores>>,
        databases: Option<Arc<AppDatabases>>,
    ) -> Self {
        (self.stores, self.databases) = (stores, databases);
        self
    }

    /// The key-value stores of its app, to be used now.
    pub(super) fn stores(&self) -> Option<&Arc<AppStores>> {
        if let Some(tape) = &self.tape {
            tape.note_unwritten(CapsuleFate::UsedStore);
        }
        self.stores.as_ref()
    }

    /// Takes a file for a socket that it is about to make; what is said is to be told to nobody else.
    ///
    /// # Errors
    /// Why it may have none.
    pub(super) fn take_socket_file(&mut self) -> Result<(), NoSocket> {
        let doorway = self.use_doorway().ok_or(NoSocket::NotAllowed)?;
        self.sockets.take(&doorway, &mut self.table)
    }

    /// The way out for its own connections, to be used now.
    pub(super) fn use_doorway(&self) -> Option<Doorway> {
        if let Some(tape) = &self.tape {
            tape.note_unwritten(CapsuleFate::UsedSocket);
        }
        self.outbound.doorway()
    }

    /// The SQL databases of its app, to be used now.
    pub(super) fn databases(&self) -> Option<&Arc<AppDatabases>> {
        if let Some(tape) = &self.tape {
            tape.note_unwritten(CapsuleFate::UsedStore);
        }
        self.databases.as_ref()
    }

    /// What it is told and where it prints from now on: it is a program, and runs for a call.
    pub(super) fn begin_program(&mut self, wasi: Context, stdio: Stdio) {
        self.wasi = wasi;
        self.stdio = stdio;
    }

    /// From now on a tape has part in what it is told. Returns whether it has part in all of it, which it has where
    /// the guest has called no function yet.
    #[must_use]
    pub(super) fn attach_tape(&mut self, tape: &Tape) -> bool {
        self.outbound.attach_tape(tape.clone());
        self.tape = Some(tape.clone());
        self.wasi.attach_tape(tape)
    }

    /// What has part in what it is told.
    #[inline]
    pub(super) fn tape(&self) -> Option<&Tape> {
        self.tape.as_ref()
    }

    /// Whether it has called a function of the host so far. Wasmtime's own count as well, such as that
    /// which grows a memory.
    pub(super) fn has_called_host(&self) -> bool {
        self.has_called_host
    }

    /// The most resources that the host held for the guest at any time, or some more.
    pub(super) fn most_resources(&mut self) -> usize {
        // The table keeps a place for each, taken or not.
        self.table.iter_mut().size_hint().1.unwrap_or(usize::MAX)
    }

    /// How many resources the host holds for the guest.
    pub(super) fn n_resources(&mut self) -> usize {
        self.table.iter_mut().count()
    }

    /// Every call of a host function begins here: looks now and then what the guest makes the host
    /// hold. Too much is taken away at once, and the function that finds its resource gone ends the
    /// guest: until its slice is over it could take the same again many times.
    #[inline]
    pub(super) fn look(&mut self) {
        let of_spans = self.outbound.time().map_or(0, |time| time.spans().n_bytes());
        let beside = self.outbound.n_bytes_sent() + of_spans;
        if let Some(weight) = self.meter.look(&mut self.table, beside)
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
    fn may_rest(&self) -> bool {
        self.may_rest
    }

    fn set_may_rest(&mut self, may_rest: bool) {
        self.may_rest = may_rest;
    }

    /// What runs at the same time is in no table of ours: streams, futures and tasks are made by code
    /// that calls none of our functions.
    #[inline]
    fn after_host_call(store: &mut StoreContextMut<'_, Self>) -> wasmtime::Result<()> {
        let guest = store.data_mut();
        guest.has_called_host = true;
        if guest.flavor != Flavor::Concurrent || !guest.meter.is_time_for_tasks() {
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
        let doorway = || match self.flavor {
            // Sockets of WASI 0.3 are counted nowhere.
            Flavor::Concurrent => None,
            _ => self.outbound.doorway(),
        };
        let ctx = self.wasi.get(&mut self.stdio, doorway);
        WasiCtxView { ctx, table: &mut self.table }
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
    /// Made for each call; while no call runs there is none.
    wasi: Option<WasiP1Ctx>,
    pub(super) limiter: Limiter,
    pub(super) stdio: Stdio,
    has_called_host: bool,
    may_rest: bool,
}

impl CoreGuest {
    /// A guest that is told nothing yet.
    pub(super) fn new(limiter: Limiter, stdio: Stdio) -> Self {
        Self { wasi: None, limiter, stdio, has_called_host: false, may_rest: true }
    }

    /// What it is told and where it prints from now on: it runs for a call.
    pub(super) fn begin_program(&mut self, wasi: WasiP1Ctx, stdio: Stdio) {
        self.wasi = Some(wasi);
        self.stdio = stdio;
    }

    /// The context of its functions; one that holds nothing while no call runs.
    pub(super) fn wasi(&mut self) -> &mut WasiP1Ctx {
        self.wasi.get_or_insert_with(|| WasiCtx::builder().build_p1())
    }

    /// Whether it has called a function of the host so far.
    pub(super) fn has_called_host(&self) -> bool {
        self.has_called_host
    }
}

impl Watched for CoreGuest {
    fn may_rest(&self) -> bool {
        self.may_rest
    }

    fn set_may_rest(&mut self, may_rest: bool) {
        self.may_rest = may_rest;
    }

    #[inline]
    fn after_host_call(store: &mut StoreContextMut<'_, Self>) -> wasmtime::Result<()> {
        store.data_mut().has_called_host = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
