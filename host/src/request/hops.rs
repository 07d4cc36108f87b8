//! Calls that were passed on to other hosts: how many, and how many more may be asked again.
//! Does not pass on any.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use steerage_core::retry::Bucket;

/// Calls that were passed on to other hosts.
#[derive(Debug)]
pub struct Hops {
    /// Times a host was asked.
    pub sent: AtomicU64,
    /// Times another one had to be, since the first broke.
    pub again: AtomicU64,
    /// Calls that were served here since nobody answered who should.
    pub fallen_back: AtomicU64,
    /// What may be asked again; see `core::retry`.
    budget: AtomicU32,
}

impl Default for Hops {
    fn default() -> Self {
        let budget = AtomicU32::new(Bucket::default().get());
        let (sent, again, fallen_back) = Default::default();
        Self { sent, again, fallen_back, budget }
    }
}

impl Hops {
    /// Counts a call that is passed on.
    pub(super) fn count(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        // Most of the time it is full, and then nobody writes.
        self.change_budget(|bucket| Some(bucket.deposit()).filter(|after| *after != bucket));
    }

    /// Whether one more may be asked again after a refusal for want of room; takes from the budget.
    pub(super) fn may_retry(&self) -> bool {
        self.change_budget(Bucket::take)
    }

    fn change_budget(&self, change: impl Fn(Bucket) -> Option<Bucket>) -> bool {
        let change = |parts| change(Bucket::new(parts)).map(Bucket::get);
        self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }
}
