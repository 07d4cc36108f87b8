//! Fresh sandboxes by restoration: an instance that has served a call is put back, bit by bit, to what
//! it was before its first call, and serves the next one. To a guest that is the same as a new instance.
//! This file is what is known of it for one deployment. Does not decide who may run and does not serve:
//! `service` does.
//!
//! What a call can leave in an instance: its memories (`memory`, `pages`), its mutable globals
//! (`core_module`), its handles (`helper`), what the host keeps for it (`live`). There is nothing else:
//! a component whose code could change a table or a segment is not restored (`component` looks). Whatever
//! does not add up costs that instance: it is dropped, and another is made.

mod component;
mod core_module;
mod helper;
mod learned;
mod live;
mod maker;
mod memory;
mod pages;
mod unfit;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use steerage_core::id::Digest;
use steerage_core::restoring::{self, Record};
use steerage_core::units::{Bytes, Fuel};

pub(super) use self::learned::Learned;
pub(super) use self::live::{Lost, Restorer, watched};
pub(super) use self::maker::Maker;
pub(super) use self::memory::Creator;
pub use self::unfit::Unfit;
use super::compiler::Compiler;
use super::engine::MOST_CORE_INSTANCES;
use super::guest::ServiceParts;
use super::idle::{IdleInstances, Pool};
use super::outbound::Charge;
use super::verdict::{Kind, Shape};
use crate::telemetry::metrics::AppMeter;

/// Stands for all that decides what a rewritten component is. To be raised whenever that changes, so
/// that no code is used that was compiled of another.
pub(super) const VERSION: u32 = 1;
/// Most bytes of all memories at start: they are kept once more, and read when an instance is made.
const MOST_AT_START: Bytes = Bytes::mebi(64);

/// What is known of restoring the instances of one deployment.
pub(super) struct Restoring {
    /// What its guests are made of.
    pub(super) parts: Arc<ServiceParts>,
    pub(super) fuel: Fuel,
    pub(super) slice: Fuel,
    pub(super) learned: Learned,
    maker: Maker,
    source: Source,
    slots: (Arc<Pool>, u32),
    idle: Arc<IdleInstances>,
    meter: Arc<AppMeter>,
    charge: Charge,
    /// What stands in the way, once that is known.
    unfit: OnceLock<Unfit>,
    code: OnceLock<live::Code>,
    is_asked: AtomicBool,
    n_missed: AtomicU32,
    n_live: Arc<AtomicU32>,
    n_restored: AtomicU64,
    n_lost: AtomicU64,
    /// Fuel that a new instance has left when its handler is called.
    fuel_left: AtomicU64,
}

/// Where its code comes from.
pub(super) struct Source {
    pub(super) digest: Digest,
    /// The component as it was deployed.
    pub(super) wasm: PathBuf,
    pub(super) compiler: Compiler,
}

/// What a deployment has that is needed to make instances.
pub(super) struct Means {
    pub(super) parts: Arc<ServiceParts>,
    pub(super) fuel: Fuel,
    pub(super) slice: Fuel,
    pub(super) maker: Maker,
    pub(super) source: Source,
    pub(super) slots: (Arc<Pool>, u32),
    pub(super) idle: Arc<IdleInstances>,
    pub(super) meter: Arc<AppMeter>,
    pub(super) charge: Charge,
}

/// What stands in the way of restoring instances of this binary, as far as it shows in its bytes.
pub(super) fn examine(bytes: &[u8], shape: &Shape) -> Option<Unfit> {
    let needs = &shape.needs;
    if shape.kind != Kind::Http02 {
        return Some(Unfit::Kind(shape.kind));
    }
    if needs.is_collected {
        return Some(Unfit::Collected);
    }
    if needs.least_memory > MOST_AT_START.get() {
        return Some(Unfit::Large { bytes: needs.least_memory, limit: MOST_AT_START.get() });
    }
    if needs.core_instances >= u64::from(MOST_CORE_INSTANCES) {
        let limit = u64::from(MOST_CORE_INSTANCES);
        return Some(Unfit::CoreInstances { count: needs.core_instances, limit });
    }
    component::rewritten(bytes).err()
}

/// The component by which its instances can be put back.
///
/// # Errors
/// What stands in the way.
pub(super) fn rewrite(bytes: &[u8]) -> Result<Vec<u8>, Unfit> {
    component::rewritten(bytes)
}

impl Restoring {
    pub(super) fn new(means: Means) -> Arc<Self> {
        let Means { parts, fuel, slice, maker, source, slots, idle, meter, charge } = means;
        Arc::new(Self {
            parts,
            fuel,
            slice,
            learned: Learned::default(),
            maker,
            source,
            slots,
            idle,
            meter,
            charge,
            unfit: OnceLock::new(),
            code: OnceLock::new(),
            is_asked: AtomicBool::new(false),
            n_missed: AtomicU32::new(0),
            n_live: Arc::default(),
            n_restored: AtomicU64::new(0),
            n_lost: AtomicU64::new(0),
            fuel_left: AtomicU64::new(fuel.get()),
        })
    }

    /// What stands in the way, as far as is known.
    pub(super) fn unfit(&self) -> Option<&Unfit> {
        self.unfit.get()
    }

    /// No instance is restored any more, for this reason.
    fn give_up(&self, unfit: Unfit) {
        tracing::debug!(digest = %self.source.digest, %unfit, "instances are not restored");
        drop(self.unfit.set(unfit));
        self.idle.give_up(Duration::ZERO);
    }

    /// A new instance, such as serve before there are any that can be put back, has so much fuel left
    /// when its handler is called. Making one that can be put back may take more or less.
    pub(super) fn note_made(&self, fuel_left: u64) {
        self.fuel_left.store(fuel_left, Ordering::Relaxed);
    }

    /// What one that was put back has left then: as much.
    pub(super) fn fuel_left(&self) -> u64 {
        self.fuel_left.load(Ordering::Relaxed)
    }

    /// A call found no restored instance and is served by a new one. Has one made where calls do so
    /// again and again, beside them: making one takes as long as tens of calls.
    pub(super) fn note_missed(self: &Arc<Self>) {
        let n_missed = self.n_missed.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let n_live = self.n_live.load(Ordering::Relaxed);
        if restoring::is_wanted(n_missed, n_live) && !self.is_asked.swap(true, Ordering::Relaxed) {
            self.n_missed.store(0, Ordering::Relaxed);
            self.maker.ask(self);
        }
    }

    /// The same, whatever was missed, for one that was lost to find something out.
    fn replace(self: &Arc<Self>) {
        if !self.is_asked.swap(true, Ordering::Relaxed) {
            self.maker.ask(self);
        }
    }

    /// An instance was put back after a call.
    pub(super) fn note_restored(&self) {
        self.n_restored.fetch_add(1, Ordering::Relaxed);
        self.meter.restored.fetch_add(1, Ordering::Relaxed);
    }

    /// An instance could not be put back, or its call ended badly.
    pub(super) fn note_lost(self: &Arc<Self>, lost: &Lost) {
        self.meter.not_restored.fetch_add(1, Ordering::Relaxed);
        self.learned.note(lost);
        if matches!(lost, Lost::Differs) {
            // A mistake of the host, which must not go on.
            tracing::error!(digest = %self.source.digest, "a restored instance is not as it was");
            let why = "an instance that was put back was not as before, a mistake of the host";
            return self.give_up(Unfit::Host(why.to_owned()));
        }
        tracing::debug!(digest = %self.source.digest, %lost, "an instance is not restored");
        let n_lost = self.n_lost.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let restored = self.n_restored.load(Ordering::Relaxed);
        if !(Record { lost: n_lost, restored }).pays() {
            self.give_up(Unfit::Lost { lost: n_lost, restored });
        } else if matches!(lost, Lost::WrongType { .. }) {
            self.replace();
        }
    }
}

impl fmt::Debug for Restoring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restoring").field("unfit", &self.unfit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
