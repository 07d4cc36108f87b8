//! One app's part in the sharing of the CPU: what its slices take, and what it owes for reading and
//! writing. A value that the run queue, admission's callers and I/O all hold.
//! Decides nothing: `core::fair` does, behind [`Order`].

use std::cell::Cell;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use steerage_core::fair::{self, FlowEntry, FlowKey};
use steerage_core::units::nanoseconds;

use crate::shared::Shared;

/// Of the slices that took about as long as is known, so many are learned from by each thread: what all
/// cores read is better not written for what teaches little.
const LEARNED: u32 = 16;

thread_local! {
    static N_SKIPPED: Cell<u32> = const { Cell::new(0) };
}

/// The order among flows, as those see it who run no slices. The run queues have it; each of these may
/// take the lock of a queue, so nobody calls one who holds that.
pub trait Order: Debug + Send + Sync {
    /// Whether more than one app has asked lately, when last looked at. Takes no lock.
    fn is_contended(&self) -> bool;

    /// Whether the app was given more than another that asks.
    fn is_over_share(&self, key: FlowKey) -> bool;

    /// Which of these apps was given the least, by its place among them.
    fn least(&self, keys: &mut dyn Iterator<Item = FlowKey>) -> Option<usize>;
}

/// One app among those that share the CPU. All its deployments, calls and connections share this.
#[derive(Debug)]
pub struct Flow {
    entry: Arc<FlowEntry>,
    order: Arc<dyn Order>,
    /// What a slice takes, wherever it runs, in nanoseconds: what can be asked without the lock of the
    /// run queue. `core::fair` has its own for the slices that it charges.
    estimate: CachePadded<Shared<AtomicU64>>,
    /// I/O done for the app that it was not charged for yet, in nanoseconds.
    io_debt: Shared<AtomicU64>,
}

impl Flow {
    /// The flow of an app that `order` knows as this.
    #[must_use]
    pub fn new(entry: Arc<FlowEntry>, order: Arc<dyn Order>) -> Arc<Self> {
        let estimate = Shared::new(AtomicU64::new(nanoseconds(fair::FIRST_ESTIMATE)));
        Arc::new(Self { entry, order, estimate: estimate.into(), io_debt: Shared::default() })
    }

    /// What the order knows the app by.
    #[must_use]
    pub fn key(&self) -> FlowKey {
        self.entry.key()
    }

    /// The same with the app's tenant and weight.
    #[must_use]
    pub fn entry(&self) -> &Arc<FlowEntry> {
        &self.entry
    }

    /// What a slice of the app takes, as learned so far.
    #[must_use]
    pub fn estimate(&self) -> Duration {
        Duration::from_nanos(self.estimate.load(Ordering::Relaxed))
    }

    /// Learns from what a slice took, and from one in `LEARNED` of those that took about as long as
    /// is known. Two that learn at once may lose what one learned.
    pub fn learn(&self, used: Duration) {
        let estimate = self.estimate();
        let n_skipped = N_SKIPPED.get() + 1;
        let teaches_little = (estimate / 2..=estimate * 2).contains(&used);
        if teaches_little && n_skipped < LEARNED {
            return N_SKIPPED.set(n_skipped);
        }
        N_SKIPPED.set(0);
        let learned = nanoseconds(fair::learn(estimate, used));
        self.estimate.write().store(learned, Ordering::Relaxed);
    }

    /// Notes I/O done for the app. While no other app asks, nobody is to be protected from it.
    pub fn charge_io(&self, used: Duration) {
        if self.order.is_contended() {
            self.io_debt.write().fetch_add(nanoseconds(used), Ordering::Relaxed);
        }
    }

    /// The I/O that is to be charged now.
    #[must_use]
    pub fn take_io_debt(&self) -> Option<Duration> {
        if self.io_debt.load(Ordering::Relaxed) == 0 {
            return None;
        }
        Some(Duration::from_nanos(self.io_debt.write().swap(0, Ordering::Relaxed)))
    }

    /// Whether the app was given more than another that asks.
    #[must_use]
    pub fn is_over_share(&self) -> bool {
        self.order.is_over_share(self.key())
    }
}
