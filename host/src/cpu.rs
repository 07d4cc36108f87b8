//! Where and when guests run: CPU time by fair shares.
//! Knows no Wasm: it polls futures. Who is next is `core::fair`'s decision, and whether a call may run
//! at all is `admission`'s.
//!
//! A call's first slice runs where its request was read, since a hop to another thread costs more
//! than a small call: freely while cores are idle and one app asks alone, and by the grace of
//! `core::fair` otherwise. Whatever does not end there, and all of an app that is over its share,
//! goes through the run queue of its core in fair order: apps of short slices are polled by the thread that
//! reads requests there, between two looks at what there is to read, apps of long ones by its guest thread.

mod contention;
mod core_set;
mod cores;
mod inline_worker;
mod run_queue;
mod stopping;
mod task;
mod wake_handle;
mod workers;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use steerage_core::fair::{self, Charge, TenantEntry};
use steerage_core::id::TenantName;
use steerage_core::units::{Fuel, Weight};

use self::cores::Cores;
use self::run_queue::WorkerKind;
pub use self::task::Guest;
pub use self::workers::GuestThreads;
use crate::call::Call;
use crate::flow::Flow;
use crate::io_charge;
use crate::tenants::Tenants;

/// How the CPU is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuSettings {
    /// Fuel between two looks at who else waits.
    pub slice: Fuel,
    /// Threads that poll guests; one per core.
    pub threads: usize,
}

/// The host's cores. Clones share them.
#[derive(Clone, Debug)]
pub struct Cpu {
    cores: Arc<Cores>,
    tenants: Arc<Tenants<Arc<TenantEntry>>>,
}

/// The right to poll one slice here. Given back on every path, a panic of the guest's included.
struct Turn<'s> {
    cores: &'s Cores,
    /// The one of this thread.
    core: usize,
    flow: &'s Flow,
    /// What was charged for it; nothing while the core is idle and no other app asks, since nobody is
    /// harmed.
    charge: Option<Charge>,
}

impl Cpu {
    /// The cores of these threads, for tenants that weigh so much.
    #[must_use]
    pub fn new(threads: &GuestThreads, weights: BTreeMap<TenantName, Weight>) -> Self {
        Self { cores: threads.cores().clone(), tenants: Arc::new(Tenants::new(weights)) }
    }

    /// Makes the flow of one app. Its tenant's share of the CPU is divided among those of the tenant's
    /// apps that are busy.
    #[must_use]
    pub fn flow(&self, tenant: &TenantName, weight: Weight) -> Arc<Flow> {
        let tenant = self.tenant(tenant);
        Flow::new(self.cores.common().flow(&tenant, weight), self.cores.clone())
    }

    fn tenant(&self, name: &TenantName) -> Arc<TenantEntry> {
        self.tenants.find(name, |weight, _| self.cores.common().tenant(weight))
    }

    /// Makes the app's share as large as a new deployment says.
    pub fn reshape(&self, flow: &Flow, tenant: &TenantName, weight: Weight) {
        let tenant = self.tenant(tenant);
        flow.entry().reshape(&tenant, weight);
    }

    /// Runs a guest to its end: its first slice here if it may, the rest in the queue. When
    /// `call` must stop, the guest is polled next, whoever waits: ending gives back what it holds.
    pub async fn run(&self, flow: &Arc<Flow>, call: &Arc<Call>, mut guest: Guest) {
        if let Some(mut turn) = self.turn(flow) {
            let polled = poll_fn(|context| {
                io_charge::begin_slice();
                Poll::Ready(guest.as_mut().poll(context))
            })
            .await;
            let used = io_charge::end_slice();
            flow.learn(used);
            turn.settle(used);
            if polled.is_ready() {
                return;
            }
        }
        self.cores.spawn(flow.clone(), call.clone(), guest);
    }

    /// Serves the queue on this thread for good, besides what else its runtime does. To be spawned
    /// on each thread that reads requests; as many work inline as threads are to run guests.
    pub fn work_inline(&self) -> impl Future<Output = ()> + Send + use<> {
        inline_worker::work(self.cores.clone())
    }

    fn turn<'s>(&'s self, flow: &'s Flow) -> Option<Turn<'s>> {
        let cores = &*self.cores;
        let core = cores.here();
        let queue = cores.queue(core);
        let is_idle = queue.is_idle();
        let mut turn = Turn { cores, core, flow, charge: None };
        if !cores.note(flow.key()) && is_idle {
            return (flow.estimate() <= fair::LONGEST_HERE).then_some(turn);
        }
        let now = cores.now();
        let waits = |other| cores.queue(other).shows(WorkerKind::Inline);
        turn.charge = Some(cores.lock(core).start_here(flow, waits, now)?);
        Some(turn)
    }
}

impl Turn<'_> {
    fn settle(&mut self, used: Duration) {
        if let Some(charge) = self.charge.take() {
            self.cores.settle(self.core, charge, self.flow, used);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.settle(Duration::ZERO);
    }
}

#[cfg(test)]
mod tests;
