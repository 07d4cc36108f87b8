//! A histogram of durations that calls write and a scrape reads. Does not know what it is of.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::MetricEncoder;
use steerage_core::units::nanoseconds;

use super::NoLabels;

/// Upper bounds of the duration histogram, in seconds.
const DURATION_BOUNDS: [f64; 17] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];
/// A histogram of durations.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    counts: [AtomicU64; DURATION_BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Buckets {
    pub(super) fn record(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let position = DURATION_BOUNDS.iter().position(|bound| seconds <= *bound);
        if let Some(count) = self.counts.get(position.unwrap_or(DURATION_BOUNDS.len())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.nanoseconds.fetch_add(nanoseconds(duration), Ordering::Relaxed);
    }

    /// Writes several as one.
    pub(super) fn encode<'b>(
        all: impl Iterator<Item = &'b Self>,
        mut encoder: MetricEncoder<'_>,
    ) -> fmt::Result {
        let bounds = DURATION_BOUNDS.into_iter().chain([f64::INFINITY]);
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
