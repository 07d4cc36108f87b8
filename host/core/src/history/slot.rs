//! What one app did in one slot of time, as sums.
//! Does not know which slot, nor how it is written.

use super::histogram::Histogram;
use crate::outcome::Outcome;

/// The number of a cause that this version does not know: a later one wrote it.
pub(super) const UNKNOWN: u8 = u8::MAX;
/// What is shown for such a cause.
const UNKNOWN_CAUSE: &str = "unknown";
/// The causes from `trapped` to `no_answer` are the guest's own failures; see [`Outcome::CAUSES`].
const FAILURES: std::ops::RangeInclusive<u8> = 1..=6;

/// One call that is over, as a slot counts it.
#[derive(Clone, Copy, Debug)]
pub struct SlotCall {
    /// The cause of its end, one of [`Outcome::CAUSES`].
    pub cause: &'static str,
    /// The status that was sent, 0 where none was.
    pub status: u16,
    /// Microseconds from accepting the request to the last byte of its answer.
    pub latency_us: u64,
    /// Bytes of the answer's body.
    pub response_bytes: u64,
    /// Fuel it took.
    pub fuel: u64,
    /// The most memory it had, in bytes.
    pub memory_bytes: u64,
}

/// How many calls ended by each cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountedCauses {
    /// By the number of the cause; in order of these, and none that is 0.
    pub(super) counts: Vec<(u8, u32)>,
}

/// What one app did in a minute or an hour. Takes at most 8 KiB, and some 200 bytes and 8 for each bucket
/// in which there is something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Calls that ended, by their causes.
    pub causes: CountedCauses,
    /// Calls that the app itself answered with a status of class 5xx.
    pub errors: u64,
    /// CPU time of its calls, also of those that still run, in microseconds.
    pub cpu_us: u64,
    /// Fuel of the calls that ended.
    pub fuel: u64,
    /// No call took more fuel than this. It is the most that one took, but for slots that a version wrote which
    /// did not note it: there it is the fuel of all calls together, which is no less.
    pub fuel_peak: u64,
    /// Bytes of answers' bodies.
    pub response_bytes: u64,
    /// The most memory that one call had, in bytes.
    pub memory_peak: u64,
    /// Memory that its instances held when the slot ended, in bytes; of an hour the most of its minutes.
    pub memory_held: u64,
    /// Calls that ran when the slot ended; of an hour the most of its minutes.
    pub running: u32,
    /// Calls that waited then; the same.
    pub waiting: u32,
    /// Latencies in microseconds, of calls that were not refused.
    pub latency: Histogram,
    /// Sizes of answers' bodies, in bytes, of the same calls.
    pub sizes: Histogram,
}

impl Slot {
    /// Counts a call that is over. Its CPU time is counted elsewhere, since that is told while calls run.
    pub fn record(&mut self, call: &SlotCall) {
        self.causes.add(call.cause, 1);
        if call.status >= 500 && call.cause == "answered" {
            self.errors += 1;
        }
        self.fuel = self.fuel.saturating_add(call.fuel);
        self.fuel_peak = self.fuel_peak.max(call.fuel);
        self.response_bytes = self.response_bytes.saturating_add(call.response_bytes);
        self.memory_peak = self.memory_peak.max(call.memory_bytes);
        let place = number_of(call.cause).map(usize::from);
        if !place.is_some_and(|place| Outcome::REFUSALS.contains(&place)) {
            self.latency.record(call.latency_us);
            self.sizes.record(call.response_bytes);
        }
    }

    /// Adds what happened at another time or place: sums, and the most of what has no sum. Of several hosts
    /// at the same time, what was held, ran and waited is a sum as well: see [`Slot::add_beside`].
    pub fn add(&mut self, other: &Self) {
        let held = (
            self.memory_held.max(other.memory_held),
            self.running.max(other.running),
            self.waiting.max(other.waiting),
        );
        self.add_beside(other);
        (self.memory_held, self.running, self.waiting) = held;
    }

    /// Adds what happened on another host at the same time.
    pub fn add_beside(&mut self, other: &Self) {
        for (cause, count) in &other.causes.counts {
            self.causes.count(*cause, *count);
        }
        self.errors = self.errors.saturating_add(other.errors);
        self.cpu_us = self.cpu_us.saturating_add(other.cpu_us);
        self.fuel = self.fuel.saturating_add(other.fuel);
        self.fuel_peak = self.fuel_peak.max(other.fuel_peak);
        self.response_bytes = self.response_bytes.saturating_add(other.response_bytes);
        self.memory_peak = self.memory_peak.max(other.memory_peak);
        self.memory_held = self.memory_held.saturating_add(other.memory_held);
        self.running = self.running.saturating_add(other.running);
        self.waiting = self.waiting.saturating_add(other.waiting);
        self.latency.add(&other.latency);
        self.sizes.add(&other.sizes);
    }

    /// Whether nothing happened: such a slot is not kept.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.causes.counts.is_empty() && self.cpu_us == 0 && self.running == 0 && self.waiting == 0
    }

    /// Calls that ended, refused ones included.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.causes.counts.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// Those of them that failed through the guest.
    #[must_use]
    pub fn failed(&self) -> u64 {
        let failed = self.causes.counts.iter().filter(|(cause, _)| FAILURES.contains(cause));
        failed.map(|(_, count)| u64::from(*count)).sum()
    }

    /// Bytes of memory that it takes, itself included.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        let causes = self.causes.counts.capacity() * size_of::<(u8, u32)>();
        size_of::<Self>() + causes + self.latency.n_bytes() + self.sizes.n_bytes()
    }
}

impl CountedCauses {
    /// How the calls ended, by the causes' codes. A cause that only a later version knows is `unknown`.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.counts.iter().map(|(cause, count)| {
            let code = Outcome::CAUSES.get(usize::from(*cause)).copied();
            (code.unwrap_or(UNKNOWN_CAUSE), *count)
        })
    }

    /// Counts calls that ended with this cause, by its code; one that is not known counts as `unknown`.
    pub fn add(&mut self, code: &str, count: u32) {
        self.count(number_of(code).unwrap_or(UNKNOWN), count);
    }

    pub(super) fn count(&mut self, cause: u8, count: u32) {
        if count == 0 {
            return;
        }
        match self.counts.binary_search_by_key(&cause, |(cause, _)| *cause) {
            Ok(place) => {
                if let Some((_, sum)) = self.counts.get_mut(place) {
                    *sum = sum.saturating_add(count);
                }
            }
            Err(place) => {
                // Nearly all apps have one or two.
                self.counts.reserve_exact(1);
                self.counts.insert(place, (cause, count));
            }
        }
    }
}

/// The number of a cause that this version knows.
pub(super) fn number_of(code: &str) -> Option<u8> {
    let place = Outcome::CAUSES.iter().position(|known| *known == code)?;
    u8::try_from(place).ok()
}
