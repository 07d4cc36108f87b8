//! What one receiver was told and never heard, to be read while it is told.
//! Does not count: `core::notify` does.

use std::sync::atomic::{AtomicU64, Ordering};

use steerage_core::notify::NotifyCounts;

use crate::telemetry::metrics::ReceiverReading;

/// The counts of one receiver.
#[derive(Debug, Default)]
pub(super) struct NotifyMeter {
    taken: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
}

impl NotifyMeter {
    /// These are the counts now; how many more were lost than before.
    pub(super) fn set(&self, counts: NotifyCounts) -> u64 {
        self.taken.store(counts.taken, Ordering::Relaxed);
        self.failed.store(counts.failed, Ordering::Relaxed);
        counts.lost.saturating_sub(self.lost.swap(counts.lost, Ordering::Relaxed))
    }

    /// The same for who asks for metrics.
    pub(super) fn reading(&self, kind: &'static str, to: String) -> ReceiverReading {
        ReceiverReading {
            kind,
            to,
            taken: self.taken.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
        }
    }
}
