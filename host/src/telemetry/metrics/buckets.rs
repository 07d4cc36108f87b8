//! A histogram of durations that calls write and a scrape reads. Does not know what it is of.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::MetricEncoder;
use steerage_core::latency::{self, BOUNDS};
use steerage_core::units::nanoseconds;

use super::NoLabels;

/// How many counters it is made of: one for each of [`BOUNDS`], one beyond the last, and the sum.
pub const DURATION_COUNTERS: usize = BOUNDS.len() + 2;

/// A histogram of durations.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    counts: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Buckets {
    pub(super) fn record(&self, duration: Duration) {
        if let Some(count) = self.counts.get(latency::bucket(duration)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.nanoseconds.fetch_add(nanoseconds(duration), Ordering::Relaxed);
    }

    /// How many there were up to each of [`BOUNDS`], and beyond the last.
    pub(super) fn counts(&self) -> &[AtomicU64; BOUNDS.len() + 1] {
        &self.counts
    }

    /// All that is counted: the counts, and then nanoseconds.
    pub(super) fn each(&self) -> impl Iterator<Item = &AtomicU64> {
        self.counts.iter().chain([&self.nanoseconds])
    }

    /// Writes several as one.
    pub(super) fn encode<'b>(
        all: impl Iterator<Item = &'b Self>,
        mut encoder: MetricEncoder<'_>,
    ) -> fmt::Result {
        let bounds = BOUNDS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        let mut buckets: Vec<(f64, u64)> = bounds.map(|bound| (bound, 0)).collect();
        let mut nanoseconds = 0;
        for one in all {
            for ((_, sum), count) in buckets.iter_mut().zip(&one.counts) {
                *sum += count.load(Ordering::Relaxed);
            }
            nanoseconds += one.nanoseconds.load(Ordering::Relaxed);
        }
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_nanos(nanoseconds).as_secs_f64();
        encoder.encode_histogram::<NoLabels>(sum, count, &buckets, None)
    }
}
