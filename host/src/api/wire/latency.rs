//! How long calls took, as counts from which percentiles are made, so that what several hosts say can be
//! put together.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use steerage_core::latency::percentile;

/// How long calls took. Where none is over all is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Latency {
    /// Half of them took no longer than this.
    pub p50_us: u64,
    /// 95 of 100 took no longer than this.
    pub p95_us: u64,
    /// 99 of 100 took no longer than this. Of what takes more than 30 s it is only told that it does.
    pub p99_us: u64,
    /// How many took up to 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250 and 500 ms, 1, 2.5, 5, 10 and
    /// 30 s, each without those before it, and how many longer.
    pub counts: Vec<u64>,
}

impl Latency {
    /// What was counted so.
    #[must_use]
    pub fn of(counts: Vec<u64>) -> Self {
        let at = |percent| {
            let took = percentile(&counts, percent).unwrap_or_default();
            u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
        };
        Self { p50_us: at(50), p95_us: at(95), p99_us: at(99), counts }
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        let mut counts = std::mem::take(&mut self.counts);
        counts.resize(counts.len().max(other.counts.len()), 0);
        for (sum, count) in counts.iter_mut().zip(&other.counts) {
            *sum = sum.saturating_add(*count);
        }
        *self = Self::of(counts);
    }

    /// What was counted since an earlier reading; all, where counting began anew meanwhile.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let passed: Option<Vec<u64>> = (0..self.counts.len())
            .map(|place| {
                let of = |latency: &Self| latency.counts.get(place).copied().unwrap_or(0);
                of(self).checked_sub(of(before))
            })
            .collect();
        passed.map_or_else(|| self.clone(), Self::of)
    }

    /// The percentiles of 50, 95 and 99; `None` where nothing was counted.
    #[must_use]
    pub fn percentiles(&self) -> Option<[Duration; 3]> {
        let is_any = self.counts.iter().any(|count| *count > 0);
        is_any.then(|| [self.p50_us, self.p95_us, self.p99_us].map(Duration::from_micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many of 2 ms and so many of 200 ms.
    fn latency(short: u64, long: u64) -> Latency {
        let mut counts = vec![0; 18];
        (counts[4], counts[10]) = (short, long);
        Latency::of(counts)
    }

    #[test]
    fn sums_and_differences_have_percentiles_of_their_own() {
        let mut sum = latency(90, 0);
        assert!(sum.p99_us <= 2_500, "{sum:?}");
        sum.add(&latency(0, 10));
        assert_eq!(sum, latency(90, 10));
        assert!(sum.p50_us <= 2_500 && sum.p95_us > 100_000, "{sum:?}");
        assert_eq!(sum.since(&latency(90, 0)), latency(0, 10));
        // Counted from zero.
        assert_eq!(latency(5, 0).since(&sum), latency(5, 0));
        assert_eq!(Latency::default().percentiles(), None);
        assert_eq!(Latency::default().since(&sum), Latency::of(Vec::new()));
        sum = Latency::default();
        sum.add(&latency(1, 1));
        assert_eq!(sum, latency(1, 1));
    }
}
