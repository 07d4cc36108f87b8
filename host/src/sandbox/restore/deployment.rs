//! What is known of restoring the instances of one deployment: whether it is done, and what came of it.
//! Does not make instances: `maker` does when it is asked here.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use steerage_core::id::Digest;
use steerage_core::restoring::{Missed, Pauses, Record};
use steerage_core::units::{Bytes, Fuel};
use tokio::sync::mpsc;

use super::learned::Learned;
use super::live::Code;
use super::outcome::Lost;
use super::unfit::Unfit;
use crate::sandbox::compiler::Compiler;
use crate::sandbox::guest::ServiceParts;
use crate::sandbox::idle::{IdleInstances, Pool};
use crate::sandbox::outbound::ConnectionCharge;
use crate::sandbox::verdict::GuestKind;
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
    pub(super) charge: ConnectionCharge,
    began_at: Instant,
    /// What stands in the way for good, once that is known.
    unfit: OnceLock<Unfit>,
    /// Whether `pause` has one. Calls look at this only; one that sees it late is served all the same.
    is_paused: AtomicBool,
    pause: Mutex<Pause>,
    /// Only while instances of it live or were called for lately: it is mapped, with an open file.
    code: Mutex<Option<Arc<Code>>>,
    /// Whether it was compiled some time.
    is_compiled: AtomicBool,
    is_asked: AtomicBool,
    /// A [`Missed`], its second in the upper half.
    missed: AtomicU64,
    pub(super) n_live: Arc<AtomicU32>,
    n_restored: AtomicU32,
    n_lost: AtomicU32,
    /// Fuel that a new instance has left when its handler is called.
    fuel_left: AtomicU64,
}

/// New instances serve for a while, since too many that were to be put back were lost, or since the host
/// failed to make one.
#[derive(Default)]
struct Pause {
    pauses: Pauses,
    /// Why there was the last one.
    why: Option<Unfit>,
}

/// Where its code comes from.
pub(in crate::sandbox) struct Source {
    pub(in crate::sandbox) digest: Digest,
    pub(in crate::sandbox) kind: GuestKind,
    /// The component as it was deployed.
    pub(in crate::sandbox) wasm: PathBuf,
    /// How large it is.
    pub(in crate::sandbox) size: Bytes,
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
    pub(in crate::sandbox) charge: ConnectionCharge,
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
        let is_compiled = source.compiler.cached_restoring(source.digest).is_some();
        Arc::new(Self {
            parts,
            learned: Learned::default(),
            maker,
            source,
            slots,
            idle,
            meter,
            charge,
            began_at: Instant::now(),
            unfit: OnceLock::new(),
            is_paused: AtomicBool::new(false),
            pause: Mutex::default(),
            code: Mutex::default(),
            is_compiled: AtomicBool::new(is_compiled),
            is_asked: AtomicBool::new(false),
            missed: AtomicU64::new(0),
            n_live: Arc::default(),
            n_restored: AtomicU32::new(0),
            n_lost: AtomicU32::new(0),
            fuel_left: AtomicU64::new(fuel.get()),
        })
    }

    /// What stands in the way now, as far as is known.
    pub(in crate::sandbox) fn unfit(&self) -> Option<Unfit> {
        let paused = || {
            let pause = self.pause();
            pause.why.clone().filter(|_| pause.pauses.is_on(self.began_at.elapsed()))
        };
        self.unfit.get().cloned().or_else(paused)
    }

    /// Whether nothing stands in the way, as far as is known.
    pub(in crate::sandbox) fn is_on(&self) -> bool {
        let is_paused = || self.is_paused.load(Ordering::Relaxed) && !self.is_pause_over();
        self.unfit.get().is_none() && !is_paused()
    }

    /// No instance is restored any more, for this reason.
    pub(super) fn give_up(&self, unfit: Unfit) {
        tracing::debug!(digest = %self.source.digest, %unfit, "instances are not restored");
        drop(self.unfit.set(unfit));
        self.idle.give_up(Duration::ZERO);
        self.forget_code();
    }

    /// None is for a while, for this reason; longer each time.
    pub(super) fn pause_for(&self, unfit: Unfit) {
        tracing::debug!(digest = %self.source.digest, %unfit, "no instances are restored for a while");
        let mut pause = self.pause();
        if !pause.pauses.begin(self.began_at.elapsed()) {
            return;
        }
        pause.why = Some(unfit);
        self.is_paused.store(true, Ordering::Relaxed);
        drop(pause);
        self.idle.give_up(Duration::ZERO);
        self.forget_code();
    }

    fn is_pause_over(&self) -> bool {
        // Held to the end: another may begin meanwhile.
        let pause = self.pause();
        if pause.pauses.is_on(self.began_at.elapsed()) {
            return false;
        }
        // Not what was lost before.
        self.n_lost.store(0, Ordering::Relaxed);
        self.n_restored.store(0, Ordering::Relaxed);
        self.is_paused.store(false, Ordering::Relaxed);
        true
    }

    fn pause(&self) -> MutexGuard<'_, Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The code, where it is mapped.
    pub(super) fn code(&self) -> Option<Arc<Code>> {
        self.code.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps code that was mapped.
    pub(super) fn keep_code(&self, code: Arc<Code>) {
        // It is on the disk from now on.
        self.is_compiled.store(true, Ordering::Relaxed);
        *self.code.lock().unwrap_or_else(PoisonError::into_inner) = Some(code);
    }

    fn forget_code(&self) {
        let code = self.code.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Without the lock: unmapping takes a while, where no instance has it any more.
        drop(code);
    }

    /// Lets the code go where no instance lives and none is being made: nobody calls often enough.
    pub(in crate::sandbox) fn rest(&self) {
        let is_asked = self.is_asked.load(Ordering::Relaxed);
        if self.n_live.load(Ordering::Relaxed) == 0 && !is_asked {
            self.forget_code();
        }
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
        let now = u32::try_from(self.began_at.elapsed().as_secs()).unwrap_or(u32::MAX);
        let (order, n_live) = (Ordering::Relaxed, self.n_live.load(Ordering::Relaxed));
        // What another call counts at the same moment may be lost, which does no harm.
        let missed = unpacked(self.missed.load(order)).and_one(now);
        self.missed.store(packed(missed), order);
        let is_compiled = self.is_compiled.load(order);
        let to_compile = (!is_compiled).then_some(self.source.size);
        if missed.want_one(n_live, to_compile) && !self.is_asked.swap(true, order) {
            self.missed.store(0, order);
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
        // Far beyond what is remembered of them.
        if self.n_restored.load(Ordering::Relaxed) < u32::MAX / 2 {
            self.n_restored.fetch_add(1, Ordering::Relaxed);
        }
        self.meter.note_restored();
    }

    /// An instance could not be put back, or its call ended badly.
    pub(in crate::sandbox) fn note_lost(&self, lost: &Lost) {
        self.meter.note_not_restored(lost.reason());
        if matches!(lost, Lost::Differs) {
            // A mistake of the host, which must not go on.
            tracing::error!(digest = %self.source.digest, "a restored instance is not as it was");
            let why = "an instance that was put back was not as before, a mistake of the host";
            return self.give_up(Unfit::Host(why.to_owned()));
        }
        tracing::debug!(digest = %self.source.digest, %lost, "an instance is not restored");
        let (n_lost, n_restored) = (&self.n_lost, &self.n_restored);
        let order = Ordering::Relaxed;
        let record = Record { lost: n_lost.load(order), restored: n_restored.load(order) };
        let record = record.and_lost();
        // What another call counts at the same moment may be lost, which does no harm.
        n_lost.store(record.lost, order);
        n_restored.store(record.restored, order);
        if !record.pays() {
            let Record { lost: n_lost, restored } = record;
            self.pause_for(Unfit::Lost { lost: n_lost, restored, last: lost.to_string() });
        }
    }
}

fn packed(missed: Missed) -> u64 {
    u64::from(missed.since) << 32 | u64::from(missed.count)
}

fn unpacked(bits: u64) -> Missed {
    let [since, count] =
        [bits >> 32, bits & u64::from(u32::MAX)].map(|half| u32::try_from(half).unwrap_or(0));
    Missed { since, count }
}

impl fmt::Debug for Restoring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restoring").field("unfit", &self.unfit).finish_non_exhaustive()
    }
}
