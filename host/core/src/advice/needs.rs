//! What an app needed, day by day: the most of each resource that one call or one hour took.
//! Decides nothing, and does not know what the app may use.

use std::collections::BTreeMap;

use crate::history::{Grain, Slot};
use crate::outcome::Outcome;

/// Seconds of a day.
const DAY: u64 = 24 * 3600;

/// What an app needed in one day. Days add up, whether of other hours or of other hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayNeeds {
    /// Calls that ran: refused ones tell nothing of what calls need.
    pub calls: u64,
    /// No call took more fuel.
    pub fuel: u64,
    /// The most memory that one call had, in bytes.
    pub memory: u64,
    /// No call took longer, in microseconds, to within 5 %.
    pub latency_us: u64,
    /// Calls that ended because they had no fuel left.
    pub out_of_fuel: u64,
    /// Calls that ended because they got no more memory.
    pub out_of_memory: u64,
    /// Calls that ended because their time was over.
    pub timed_out: u64,
    /// Calls that were refused because the app ran as many as it may at once.
    pub busy: u64,
    /// CPU time of all calls, in microseconds.
    pub cpu_us: u64,
    /// The most CPU time of one hour on one host, in microseconds.
    pub cpu_hour_us: u64,
    /// The most memory that all instances on one host held at the end of a minute, in bytes.
    pub held: u64,
}

/// What an app needed on each day that it was called, by days since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppNeeds {
    /// The days.
    pub days: BTreeMap<u32, DayNeeds>,
}

impl AppNeeds {
    /// Counts what the app did in an hour, which is counted from the epoch, on one host.
    pub fn add_hour(&mut self, hour: u32, slot: &Slot) {
        let mut did = DayNeeds {
            fuel: slot.fuel_peak,
            memory: slot.memory_peak,
            latency_us: slot.latency.buckets().last().map_or(0, |(most, _)| most),
            cpu_us: slot.cpu_us,
            cpu_hour_us: slot.cpu_us,
            held: slot.memory_held,
            ..DayNeeds::default()
        };
        for (cause, count) in slot.causes.each() {
            let count = u64::from(count);
            match cause {
                "out_of_fuel" => did.out_of_fuel = count,
                "out_of_memory" => did.out_of_memory = count,
                "timed_out" => did.timed_out = count,
                "app_busy" => did.busy = count,
                _ => {}
            }
            let place = Outcome::CAUSES.iter().position(|known| *known == cause);
            if !place.is_some_and(|place| Outcome::REFUSALS.contains(&place)) {
                did.calls += count;
            }
        }
        let day = day_of(Grain::Hour.begin_of(hour));
        self.days.entry(day).or_default().add(&did);
    }

    /// Adds what happened on another host.
    pub fn add_beside(&mut self, other: &Self) {
        for (day, did) in &other.days {
            self.days.entry(*day).or_default().add(did);
        }
    }
}

impl DayNeeds {
    /// Adds other hours, or what another host says of the same day.
    pub fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.fuel = self.fuel.max(other.fuel);
        self.memory = self.memory.max(other.memory);
        self.latency_us = self.latency_us.max(other.latency_us);
        self.out_of_fuel = self.out_of_fuel.saturating_add(other.out_of_fuel);
        self.out_of_memory = self.out_of_memory.saturating_add(other.out_of_memory);
        self.timed_out = self.timed_out.saturating_add(other.timed_out);
        self.busy = self.busy.saturating_add(other.busy);
        self.cpu_us = self.cpu_us.saturating_add(other.cpu_us);
        self.cpu_hour_us = self.cpu_hour_us.max(other.cpu_hour_us);
        self.held = self.held.max(other.held);
    }
}

/// The day of a moment, which is in seconds since the epoch; days are counted from there, too.
#[must_use]
pub fn day_of(moment: u64) -> u32 {
    u32::try_from(moment / DAY).unwrap_or(u32::MAX)
}
