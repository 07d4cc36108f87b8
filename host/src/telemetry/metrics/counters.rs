//! What is counted of the calls of one app, and which of that only grows.
//! Does not know whose they are, nor whether a thread has some of its own.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use steerage_core::outcome::Outcome;
use steerage_core::spent::{Phase, TimeSpent};
use steerage_core::units::nanoseconds;

use super::buckets::{Buckets, DURATION_COUNTERS};
use super::http_durations::{HttpDurations, HttpKind};
use super::{NOT_RESTORED, STATUS_CLASSES};
use crate::call::Usage;

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) by_cause: [AtomicU64; Outcome::CAUSES.len()],
    pub(super) by_status: [AtomicU64; STATUS_CLASSES.len()],
    pub(super) duration: Buckets,
    pub(super) instantiate: Buckets,
    pub(super) fuel: AtomicU64,
    pub(super) cpu_nanoseconds: AtomicU64,
    pub(super) memory_peak: AtomicU64,
    pub(super) response_bytes: AtomicU64,
    pub(super) memory_refused: AtomicU64,
    pub(super) errors: AtomicU64,
    /// Microseconds that calls waited, by phase; a call that waits for nothing writes none of these. The time
    /// of guests and of making instances is counted elsewhere.
    pub(super) waited: [AtomicU64; Phase::ALL.len()],
    pub(super) restored: AtomicU64,
    pub(super) not_restored: [AtomicU64; NOT_RESTORED.len()],
    /// By method, status and cause, where a collector is told so; nothing elsewhere.
    pub(super) http: OnceLock<Box<HttpDurations>>,
}

impl Counters {
    /// Says how many calls had ended so before, those that others count at the same time left out.
    pub(super) fn record(
        &self,
        outcome: &Outcome,
        status: u16,
        duration: Duration,
        usage: &Usage,
        bytes: u64,
    ) -> u64 {
        let cause = outcome.cause();
        let place = Outcome::CAUSES.iter().position(|known| *known == cause);
        let counter = place.and_then(|place| self.by_cause.get(place));
        let n_before = counter.map_or(0, |counter| counter.fetch_add(1, Ordering::Relaxed));
        if let Some(counter) = self.by_status.get(usize::from(status / 100)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        // Refused calls are over at once: an app that can hardly serve anybody would look quick.
        if !matches!(outcome, Outcome::Refused(_)) {
            self.duration.record(duration);
        }
        if usage.instantiate > Duration::ZERO {
            self.instantiate.record(usage.instantiate);
        }
        self.fuel.fetch_add(usage.fuel.get(), Ordering::Relaxed);
        self.add_cpu(usage.cpu.saturating_sub(usage.cpu_counted));
        // Hardly ever more than before, so mostly a look.
        if usage.memory.get() > self.memory_peak.load(Ordering::Relaxed) {
            self.memory_peak.fetch_max(usage.memory.get(), Ordering::Relaxed);
        }
        self.response_bytes.fetch_add(bytes, Ordering::Relaxed);
        if matches!(outcome, Outcome::Answered) && status >= 500 {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(outcome, Outcome::OutOfMemory { .. }) {
            self.memory_refused.fetch_add(1, Ordering::Relaxed);
        }
        n_before
    }

    pub(super) fn add_waits(&self, spent: &TimeSpent) {
        for (phase, spent) in spent.waits() {
            if let Some(time) = self.waited.get(phase as usize) {
                let us = u64::try_from(spent.as_micros()).unwrap_or(u64::MAX);
                time.fetch_add(us, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn add_cpu(&self, used: Duration) {
        self.cpu_nanoseconds.fetch_add(nanoseconds(used), Ordering::Relaxed);
    }

    /// Counts how long a call took that came to this; says how many bytes that took for good.
    pub(super) fn record_http(&self, kind: HttpKind, duration: Duration) -> u64 {
        let mut taken = 0;
        let durations = self.http.get_or_init(|| {
            taken = HttpDurations::SIZE;
            Box::default()
        });
        taken + durations.record(kind, duration)
    }

    /// Bytes of what it has beside itself.
    pub(super) fn http_bytes(&self) -> u64 {
        self.http.get().map_or(0, |durations| durations.n_bytes())
    }

    /// All that only grows but for what is by kinds of calls, in the order that [`APP_COUNTERS`] counts.
    pub(super) fn each(&self) -> impl Iterator<Item = &AtomicU64> {
        let Self { by_cause, by_status, waited, not_restored, .. } = self;
        let by = by_cause.iter().chain(by_status).chain(waited).chain(not_restored);
        let single = [
            &self.fuel,
            &self.cpu_nanoseconds,
            &self.response_bytes,
            &self.memory_refused,
            &self.errors,
            &self.restored,
        ];
        by.chain(single).chain(self.duration.each()).chain(self.instantiate.each())
    }
}

/// How many counters [`Counters::each`] has.
pub(super) const APP_COUNTERS: usize = Outcome::CAUSES.len()
    + STATUS_CLASSES.len()
    + Phase::ALL.len()
    + NOT_RESTORED.len()
    + 6
    + 2 * DURATION_COUNTERS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_has_its_place() {
        assert_eq!(Counters::default().each().count(), APP_COUNTERS);
    }
}
