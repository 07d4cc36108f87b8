//! Who may run now, and where: admission per app and per host, and CPU time by fair shares.
//! Knows no Wasm: it polls futures. Who is next is `core::fair`'s decision, whether a call starts,
//! waits or is refused `core::admit`'s.
//!
//! A call's first slice runs where its request was read, since a hop to another thread costs more
//! than a small call: freely while cores are idle and one app asks alone, and by the grace of
//! `core::fair` otherwise. Whatever does not end there, and all of an app that is ahead of its share,
//! is polled in fair order: apps of short slices by the threads that read requests, between two looks
//! at what there is to read, apps of long ones by the guest threads.

mod crowd;
pub mod errand;
mod gate;
mod helper;
mod hold;
mod line;
mod room;
mod task;
mod tenants;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use steerage_core::fair::{self, Charge};
use steerage_core::id::TenantName;
use steerage_core::limits::Limits;
use steerage_core::units::{Fuel, Weight};

pub use self::gate::{Gate, Permit};
use self::line::{Line, Workers};
use self::room::Bounds;
use self::tenants::Tenants;
use crate::call::Call;

/// What is polled: a guest, to its end. Boxed by whoever makes it, since it is large and moving it is
/// a part of what a small call costs.
pub type Guest = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How the CPU is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuSettings {
    /// Fuel between two looks at who else waits.
    pub slice: Fuel,
    /// Threads that poll guests; one per core.
    pub threads: usize,
}

/// How many calls may run and wait.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Instance slots: instances at once, where each needs one.
    pub slots: u32,
    /// Calls waiting at once, of all apps together.
    pub queue: u32,
}

/// The host's scheduler. Clones share it.
#[derive(Clone, Debug)]
pub struct Schedule {
    line: Arc<Line>,
    bounds: Arc<Bounds>,
    tenants: Arc<Tenants>,
}

/// The guest threads, of which there is one per core. Dropping it ends them with what runs there.
#[derive(Debug)]
pub struct GuestThreads {
    workers: Workers,
}

/// The right to poll one slice here. Given back on every path, a panic of the guest's included.
struct Turn<'s> {
    gate: &'s Gate,
    /// What was charged for it; nothing while cores are idle and no other app asks, since nobody is
    /// harmed.
    charge: Option<Charge>,
}

impl GuestThreads {
    /// Starts `n_threads` threads for guests.
    ///
    /// # Errors
    /// When the system refuses threads.
    pub fn start(n_threads: usize) -> io::Result<Self> {
        Self::start_ready(n_threads, || ())
    }

    /// The same, where each thread does this before anything else.
    ///
    /// # Errors
    /// When the system refuses threads.
    pub fn start_ready(n_threads: usize, ready: fn()) -> io::Result<Self> {
        Ok(Self { workers: Workers::start(n_threads.max(1), ready)? })
    }

    /// Ends the threads without waiting for the slices that run. May be called anywhere.
    pub fn stop(self) {
        self.workers.end(Duration::ZERO);
    }

    /// Ends the threads. Guests that still run are dropped between two of their slices. Blocks, so
    /// not to be called where futures are polled.
    pub fn join(self) {
        self.workers.end(line::STOP_TIMEOUT);
    }
}

impl Schedule {
    /// A scheduler over these threads, with this much room, for tenants that weigh so much.
    #[must_use]
    pub fn new(threads: &GuestThreads, room: Room, weights: BTreeMap<TenantName, Weight>) -> Self {
        Self {
            line: threads.workers.line().clone(),
            bounds: Arc::new(Bounds::new(room)),
            tenants: Arc::new(Tenants::new(weights)),
        }
    }

    /// Makes the right of one app to run. Its tenant's share of the CPU is divided among those of
    /// the tenant's apps that are busy.
    #[must_use]
    pub fn gate(&self, limits: &Limits, tenant: &TenantName, weight: Weight) -> Arc<Gate> {
        let tenant = self.tenants.key(&self.line, tenant);
        let key = self.line.queue().fair.add(tenant, weight);
        Gate::new(key, self.line.clone(), self.bounds.clone(), limits, weight)
    }

    /// Makes a gate as wide, and the app's share as large, as a new deployment says. Calls that run
    /// keep their right.
    pub fn reshape(&self, gate: &Arc<Gate>, limits: &Limits, tenant: &TenantName, weight: Weight) {
        let tenant = self.tenants.key(&self.line, tenant);
        self.line.set_weight(gate.key(), tenant, weight);
        gate.reshape(limits, weight);
    }

    /// Runs a guest to its end: its first slice here if it may, the rest in line. When
    /// `call` must stop, the guest is polled next, whoever waits: ending gives back what it holds.
    pub async fn run(&self, gate: &Arc<Gate>, call: &Arc<Call>, mut guest: Guest) {
        if let Some(mut turn) = self.turn(gate) {
            let polled = poll_fn(|context| {
                errand::pause();
                Poll::Ready(guest.as_mut().poll(context))
            })
            .await;
            let used = errand::resume();
            gate.learn(used);
            turn.settle(used);
            if polled.is_ready() {
                return;
            }
        }
        self.line.spawn(gate.clone(), call.clone(), guest);
    }

    /// Serves the line on this thread for good, besides what else its runtime does. To be spawned
    /// on each thread that reads requests; as many help as threads are to run guests.
    pub fn help(&self) -> impl Future<Output = ()> + Send + use<> {
        helper::help(self.line.clone())
    }

    /// Instance slots in use, and how many there are.
    #[must_use]
    pub fn slots(&self) -> (u32, u32) {
        self.bounds.slots()
    }

    /// Calls that wait for their right to run, of all apps.
    #[must_use]
    pub fn n_waiting(&self) -> u32 {
        self.bounds.n_waiting()
    }

    fn turn<'g>(&self, gate: &'g Gate) -> Option<Turn<'g>> {
        let line = gate.line();
        let is_idle = line.enter();
        let mut turn = Turn { gate, charge: None };
        if !line.is_contended(gate.key()) && is_idle {
            return (gate.estimate() <= fair::LONGEST_HERE).then_some(turn);
        }
        turn.charge = Some(line.queue().fair.start_here(gate.key(), line.now())?);
        Some(turn)
    }
}

impl Turn<'_> {
    fn settle(&mut self, used: Duration) {
        if let Some(charge) = self.charge.take() {
            self.gate.line().settle(charge, self.gate, used);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.settle(Duration::ZERO);
        self.gate.line().leave();
    }
}

#[cfg(test)]
mod tests;
