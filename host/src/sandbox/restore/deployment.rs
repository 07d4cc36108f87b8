//! What is known of restoring the instances of one deployment: whether it is done, and what came of it.
//! Does not make instances: `maker` does when it is asked here.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use steerage_core::id::Digest;
use steerage_core::restoring::{self, Record};
use steerage_core::units::Fuel;
use tokio::sync::mpsc;

use super::learned::Learned;
use super::live::{Code, Lost};
use super::unfit::Unfit;
use crate::sandbox::compiler::Compiler;
use crate::sandbox::guest::ServiceParts;
use crate::sandbox::idle::{IdleInstances, Pool};
use crate::sandbox::outbound::Charge;
use crate::telemetry::metrics::AppMeter;

/// What is known of restoring the instances of one deployment.
pub(in crate::sandbox) struct Restoring {
    /// What its guests are made of.
    pub(in crate::sandbox) parts: Arc<ServiceParts>,
    learned: Learned,
    /// Where to ask for an instance.
    maker: mpsc::Sender<Weak<Self>>,
    pub(super) source: Source,
    pub(super) slots: (Arc<Pool>, u32),
    pub(super) idle: Arc<IdleInstances>,
    pub(super) meter: Arc<AppMeter>,
    pub(super) charge: Charge,
    /// What stands in the way, once that is known.
    unfit: OnceLock<Unfit>,
    pub(super) code: OnceLock<Code>,
    is_asked: AtomicBool,
    n_missed: AtomicU32,
    pub(super) n_live: Arc<AtomicU32>,
    n_restored: AtomicU64,
    n_lost: AtomicU64,
    /// Fuel that a new instance has left when its handler is called.
    fuel_left: AtomicU64,
}

/// Where its code comes from.
pub(in crate::sandbox) struct Source {
    pub(in crate::sandbox) digest: Digest,
    /// The component as it was deployed.
    pub(in crate::sandbox) wasm: PathBuf,
    pub(in crate::sandbox) compiler: Compiler,
}

/// What a deployment has that is needed to make instances.
pub(in crate::sandbox) struct Means {
    pub(in crate::sandbox) parts: Arc<ServiceParts>,
    pub(in crate::sandbox) fuel: Fuel,
    pub(in crate::sandbox) maker: mpsc::Sender<Weak<Restoring>>,
    pub(in crate::sandbox) source: Source,
    pub(in crate::sandbox) slots: (Arc<Pool>, u32),
    pub(in crate::sandbox) idle: Arc<IdleInstances>,
    pub(in crate::sandbox) meter: Arc<AppMeter>,
    pub(in crate::sandbox) charge: Charge,
}

impl Source {
    /// Whether the component is there as it was deployed. Reads all of it.
    pub(super) fn is_whole(&self) -> bool {
        let mut hasher = Sha256::new();
        let read = File::open(&self.wasm).and_then(|mut file| io::copy(&mut file, &mut hasher));
        read.is_ok() && hasher.finalize().as_slice() == self.digest.as_bytes()
    }
}

impl Restoring {
    pub(in crate::sandbox) fn new(means: Means) -> Arc<Self> {
        let Means { parts, fuel, maker, source, slots, idle, meter, charge } = means;
        Arc::new(Self {
            parts,
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
    pub(in crate::sandbox) fn unfit(&self) -> Option<&Unfit> {
        self.unfit.get()
    }

    /// No instance is restored any more, for this reason.
    pub(super) fn give_up(&self, unfit: Unfit) {
        tracing::debug!(digest = %self.source.digest, %unfit, "instances are not restored");
        drop(self.unfit.set(unfit));
        self.idle.give_up(Duration::ZERO);
    }

    /// A new instance, such as serve before there are any that can be put back, has so much fuel left
    /// when its handler is called. Making one that can be put back may take more or less.
    pub(in crate::sandbox) fn note_made(&self, fuel_left: u64) {
        self.fuel_left.store(fuel_left, Ordering::Relaxed);
    }

    /// What one that was put back has left then: as much.
    pub(in crate::sandbox) fn fuel_left(&self) -> u64 {
        self.fuel_left.load(Ordering::Relaxed)
    }

    /// A call found no restored instance and is served by a new one. Has one made where calls do so
    /// again and again, beside them: making one takes as long as tens of calls.
    pub(in crate::sandbox) fn note_missed(self: &Arc<Self>) {
        let n_missed = self.n_missed.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let n_live = self.n_live.load(Ordering::Relaxed);
        if restoring::is_wanted(n_missed, n_live) && !self.is_asked.swap(true, Ordering::Relaxed) {
            self.n_missed.store(0, Ordering::Relaxed);
            self.ask();
        }
    }

    /// The same, whatever was missed, for one that was lost to find something out.
    fn replace(self: &Arc<Self>) {
        if !self.is_asked.swap(true, Ordering::Relaxed) {
            self.ask();
        }
    }

    /// Asks for an instance, which comes to those that wait when it is made. Where too many ask, a later
    /// call asks again.
    fn ask(self: &Arc<Self>) {
        if self.maker.try_send(Arc::downgrade(self)).is_err() {
            self.note_seen_to();
        }
    }

    /// What was asked for is there, or will not be.
    pub(super) fn note_seen_to(&self) {
        self.is_asked.store(false, Ordering::Relaxed);
    }

    /// What is known of the handles that its guests keep.
    pub(in crate::sandbox) fn learned(&self) -> &Learned {
        &self.learned
    }

    /// An instance was put back after a call.
    pub(in crate::sandbox) fn note_restored(&self) {
        self.n_restored.fetch_add(1, Ordering::Relaxed);
        self.meter.restored.fetch_add(1, Ordering::Relaxed);
    }

    /// An instance could not be put back, or its call ended badly.
    pub(in crate::sandbox) fn note_lost(self: &Arc<Self>, lost: &Lost) {
        self.meter.not_restored.fetch_add(1, Ordering::Relaxed);
        if let Lost::WrongType { handle, ty, n_types, .. } = lost {
            self.learned.note_wrong(*handle, *ty, *n_types);
        }
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
