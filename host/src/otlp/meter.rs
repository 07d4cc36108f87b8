//! What became of the spans, log records or points of metrics of this host, to be read while they are sent.
//! Does not count: `core::otlp` does, but for those that found no place.

use std::sync::atomic::{AtomicU64, Ordering};

use steerage_core::otlp::{BatchCounts, DropReason};

/// The counts.
#[derive(Debug, Default)]
pub(super) struct BatchMeter {
    sent: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    /// Those that were left out since too many waited; written by calls.
    n_left_out: AtomicU64,
}

impl BatchMeter {
    /// There was no place for so many.
    pub(super) fn leave_out(&self, n_records: u64) {
        self.n_left_out.fetch_add(n_records, Ordering::Relaxed);
    }

    /// For how many there was none.
    pub(super) fn n_left_out(&self) -> u64 {
        self.n_left_out.load(Ordering::Relaxed)
    }

    /// These are the counts now.
    pub(super) fn set(&self, counts: BatchCounts) {
        self.sent.store(counts.sent, Ordering::Relaxed);
        for (ours, count) in self.dropped.iter().zip(counts.dropped) {
            ours.store(count, Ordering::Relaxed);
        }
    }

    /// The same for who asks.
    pub(super) fn reading(&self) -> BatchCounts {
        let mut dropped = self.dropped.each_ref().map(|count| count.load(Ordering::Relaxed));
        // What sends may be waiting for a collector and not have heard of all of them yet.
        if let Some(full) = dropped.get_mut(DropReason::QueueFull as usize) {
            *full = self.n_left_out();
        }
        BatchCounts { sent: self.sent.load(Ordering::Relaxed), dropped }
    }
}
