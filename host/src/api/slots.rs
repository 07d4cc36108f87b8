//! Slots of history in the API's words, and back: what several hosts say of one slot is added up.
//! Asks nobody.

use steerage_core::history::{CountedCauses, Grain, Histogram, Slot};

use super::wire::{HistorySlot, Step};
use crate::telemetry::metrics::SHED;

/// How long a slot is, in the API's words.
pub(super) fn step(grain: Grain) -> Step {
    match grain {
        Grain::Minute => Step::Minute,
        Grain::Hour => Step::Hour,
    }
}

/// When a slot begins, in milliseconds since the epoch.
pub(super) fn begin(grain: Grain, slot: u32) -> u64 {
    grain.begin_of(slot).saturating_mul(1000)
}

/// What an app did in a slot that began at this time.
pub(super) fn told(at: u64, app: &str, slot: &Slot) -> HistorySlot {
    let refused = slot.causes.each().filter(|(cause, _)| SHED.contains(cause));
    HistorySlot {
        at,
        app: app.to_owned(),
        calls: slot.calls(),
        failed: slot.failed(),
        errors: slot.errors,
        refused: refused.map(|(_, count)| u64::from(count)).sum(),
        causes: slot.causes.each().map(|(cause, count)| (cause.to_owned(), count)).collect(),
        cpu_us: slot.cpu_us,
        fuel: slot.fuel,
        fuel_peak: slot.fuel_peak,
        memory_peak_bytes: slot.memory_peak,
        memory_bytes: slot.memory_held,
        running: slot.running,
        waiting: slot.waiting,
        response_bytes: slot.response_bytes,
        p50_us: slot.latency.percentile(500),
        p95_us: slot.latency.percentile(950),
        p99_us: slot.latency.percentile(990),
        latency_us: slot.latency.buckets().collect(),
        sizes_bytes: slot.sizes.buckets().collect(),
    }
}

/// What two hosts tell of one app at one time, together.
pub(super) fn together(one: &HistorySlot, other: &HistorySlot) -> HistorySlot {
    let mut sum = read(one);
    sum.add_beside(&read(other));
    told(one.at, &one.app, &sum)
}

fn read(told: &HistorySlot) -> Slot {
    let mut causes = CountedCauses::default();
    told.causes.iter().for_each(|(code, count)| causes.add(code, *count));
    let histogram = |told: &[(u64, u32)]| {
        let mut histogram = Histogram::default();
        told.iter().for_each(|(most, count)| histogram.record_many(*most, *count));
        histogram
    };
    Slot {
        causes,
        errors: told.errors,
        cpu_us: told.cpu_us,
        fuel: told.fuel,
        // A host of an earlier version does not tell it: none took more than all together.
        fuel_peak: if told.fuel_peak == 0 { told.fuel } else { told.fuel_peak },
        response_bytes: told.response_bytes,
        memory_peak: told.memory_peak_bytes,
        memory_held: told.memory_bytes,
        running: told.running,
        waiting: told.waiting,
        latency: histogram(&told.latency_us),
        sizes: histogram(&told.sizes_bytes),
    }
}

#[cfg(test)]
mod tests {
    use steerage_core::history::SlotCall;

    use super::*;

    fn slot(cause: &'static str, latencies_us: &[u64]) -> Slot {
        let mut slot = Slot { cpu_us: 7, memory_held: 100, running: 1, ..Slot::default() };
        for latency_us in latencies_us {
            let (status, response_bytes, fuel, memory_bytes) = (200, 1 << 40, 5, 9);
            let latency_us = *latency_us;
            let call = SlotCall { cause, status, latency_us, response_bytes, fuel, memory_bytes };
            slot.record(&call);
        }
        slot
    }

    #[test]
    fn what_two_hosts_tell_is_what_one_would_that_did_all() {
        let (one, other) = (slot("answered", &[10, 2_000, 5_000_000]), slot("app_busy", &[9, 9]));
        let mut all = one.clone();
        all.add_beside(&other);
        let (one, other) = (told(60_000, "web", &one), told(60_000, "web", &other));
        let all = told(60_000, "web", &all);
        assert_eq!(together(&one, &other), all);
        assert_eq!(together(&other, &one), all);
        assert_eq!((all.calls, all.refused, all.running, all.memory_bytes), (5, 2, 2, 200));
        // Of those that were not refused: the middle one of three, as its bucket tells it.
        assert_eq!(all.p50_us, Some(2_001));
        let through_json = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<HistorySlot>(&through_json).unwrap(), all);
    }
}
