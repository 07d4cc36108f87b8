//! What apps had of one host, hour by hour, and of which hours that is known.
//! Does not read history: whoever does tells it here. Knows no prices.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::{BilledUse, Consumed};
use crate::history::Grain;
use crate::pack::MachineRoom;

/// What an app reserves on a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppReservation {
    /// How much.
    pub room: MachineRoom,
    /// Since when, in seconds since the epoch. Before that it may have been anything, so it counts as none.
    pub since: u64,
}

/// What apps had of one host. First [`tell`](Self::tell) it all hours, then [`finish`](Self::finish).
#[derive(Debug)]
pub struct HostUse {
    hours: Range<u32>,
    now: u64,
    reserved: BTreeMap<String, AppReservation>,
    /// The hours of which something was told.
    told: BTreeSet<u32>,
    apps: BTreeMap<String, ToldUse>,
}

/// What was told of one app.
#[derive(Debug, Default)]
struct ToldUse {
    billed: BilledUse,
    /// Seconds of told hours in which it had its reservation.
    reserved_seconds: u64,
}

impl HostUse {
    /// The hours from one moment, which counts as the beginning of its hour, to now, both in seconds since the
    /// epoch; no more than are kept.
    #[must_use]
    pub fn new(since: u64, now: u64, reserved: BTreeMap<String, AppReservation>) -> Self {
        let this = Grain::Hour.slot_of(now);
        let oldest = this.saturating_sub(Grain::Hour.kept());
        let first = Grain::Hour.slot_of(since).clamp(oldest, this);
        let hours = first..this.saturating_add(1);
        Self { hours, now, reserved, told: BTreeSet::new(), apps: BTreeMap::new() }
    }

    /// The hours, counted from the epoch.
    #[must_use]
    pub fn hours(&self) -> Range<u32> {
        self.hours.clone()
    }

    /// Seconds of all these hours; the last is not over.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.hours.clone().map(|hour| self.seconds_of(hour, 0)).sum()
    }

    /// What an app did in one of the hours: its CPU time in microseconds, and the most bytes that it held.
    pub fn tell(&mut self, hour: u32, app: &str, (cpu_us, held): (u64, u64)) {
        if !self.hours.contains(&hour) {
            return;
        }
        self.told.insert(hour);
        let seconds = self.seconds_of(hour, 0);
        let used = Consumed { cpu_us, byte_seconds: u128::from(held) * u128::from(seconds) };
        let reserved = self.reserved.get(app).copied().unwrap_or_default();
        let reserved_seconds = self.seconds_of(hour, reserved.since);
        let unused = Consumed::of(reserved.room, reserved_seconds).minus(used);
        if !self.apps.contains_key(app) {
            self.apps.insert(app.to_owned(), ToldUse::default());
        }
        if let Some(told) = self.apps.get_mut(app) {
            told.billed.used = told.billed.used.plus(used);
            told.billed.unused = told.billed.unused.plus(unused);
            told.reserved_seconds = told.reserved_seconds.saturating_add(reserved_seconds);
        }
    }

    /// In how many seconds it is known what apps did, and what each had in these.
    ///
    /// Of an hour in which no app was called history has nothing. It is known to be idle where the process has
    /// run since before it, which is in seconds since the epoch, and where an hour that is no later, or none at
    /// all, is kept, so that the bound of the disk has not taken it: `oldest` is the oldest that is on the disk,
    /// whether it is told or not. Where nothing is there, that is the first one told. Otherwise nobody knows.
    #[must_use]
    pub fn finish(
        mut self,
        started: u64,
        oldest: Option<u32>,
    ) -> (u64, BTreeMap<String, BilledUse>) {
        let mut apps = std::mem::take(&mut self.apps);
        let oldest = oldest.or_else(|| self.told.first().copied()).unwrap_or(0);
        let idle_from = Grain::Hour.slot_of(started).saturating_add(1).max(oldest);
        let is_known = |hour: &u32| *hour >= idle_from || self.told.contains(hour);
        let known: Vec<u32> = self.hours.clone().filter(is_known).collect();
        let seconds = |since| known.iter().map(|hour| self.seconds_of(*hour, since)).sum::<u64>();
        let known_seconds = seconds(0);
        for (app, reserved) in &self.reserved {
            let all = seconds(reserved.since);
            let told = apps.get(app).map_or(0, |told| told.reserved_seconds);
            let unused = Consumed::of(reserved.room, all.saturating_sub(told));
            if unused != Consumed::default() {
                let told = apps.entry(app.clone()).or_default();
                told.billed.unused = told.billed.unused.plus(unused);
            }
        }
        let apps = apps.into_iter().map(|(app, told)| (app, told.billed));
        // One whose calls were all refused is of no account.
        let apps = apps.filter(|(_, billed)| *billed != BilledUse::default());
        (known_seconds, apps.collect())
    }

    /// Seconds of an hour that have passed since a moment.
    fn seconds_of(&self, hour: u32, since: u64) -> u64 {
        let begin = Grain::Hour.begin_of(hour);
        let end = begin.saturating_add(Grain::Hour.seconds()).min(self.now.max(1));
        end.saturating_sub(begin.max(since))
    }
}

impl Consumed {
    /// So much for so many seconds.
    #[must_use]
    pub fn of(room: MachineRoom, seconds: u64) -> Self {
        Self {
            cpu_us: room.cpu.get_micro().saturating_mul(seconds),
            byte_seconds: u128::from(room.memory.get()) * u128::from(seconds),
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            cpu_us: self.cpu_us.saturating_add(other.cpu_us),
            byte_seconds: self.byte_seconds.saturating_add(other.byte_seconds),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            cpu_us: self.cpu_us.saturating_sub(other.cpu_us),
            byte_seconds: self.byte_seconds.saturating_sub(other.byte_seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::units::{Bytes, Cpu};

    const HOUR: u64 = 3600;

    fn reserves(milli: u64, mebi: u64, since: u64) -> AppReservation {
        let room = MachineRoom { cpu: Cpu::milli(milli), memory: Bytes::mebi(mebi) };
        AppReservation { room, since }
    }

    fn consumed(cpu_seconds: u64, mebi_seconds: u64) -> Consumed {
        Consumed { cpu_us: cpu_seconds * 1_000_000, byte_seconds: u128::from(mebi_seconds) << 20 }
    }

    #[test]
    fn an_app_has_what_it_used_and_of_each_hour_what_it_reserved_beyond_that() {
        let now = 103 * HOUR + 1800;
        let reserved = [("web".to_owned(), reserves(500, 10, 101 * HOUR + 1800))];
        let mut host = HostUse::new(100 * HOUR + 5, now, reserved.into());
        assert_eq!((host.hours(), host.seconds()), (100..104, 3 * HOUR + 1800));
        host.tell(99, "web", (7, 7));
        host.tell(100, "web", (10_000_000, 1 << 20));
        // More than it reserves of the one, and nothing of the other.
        host.tell(102, "web", (3_600_000_000, 0));
        host.tell(102, "other", (1_000_000, 0));
        host.tell(102, "refused", (0, 0));
        let (known, apps) = host.finish(50 * HOUR, Some(100));
        assert_eq!(known, 3 * HOUR + 1800);
        let web = apps["web"];
        assert_eq!(web.used, consumed(10 + 3600, 3600));
        // Half an hour of the second hour, nothing of the third's CPU, and half an hour of the last.
        assert_eq!(web.unused, consumed(900 + 900, 10 * (1800 + 3600 + 1800)));
        assert_eq!(apps.len(), 2, "{apps:?}");
        assert_eq!(apps["other"], BilledUse { used: consumed(1, 0), ..BilledUse::default() });
    }

    #[test]
    fn an_hour_without_calls_is_known_only_where_the_host_ran_and_history_goes_back() {
        let of = |told: &[u32], started, oldest| {
            let mut host = HostUse::new(100 * HOUR, 105 * HOUR, BTreeMap::new());
            told.iter().for_each(|hour| host.tell(*hour, "web", (1, 1)));
            host.finish(started * HOUR, oldest).0 / HOUR
        };
        // The last hour has just begun.
        assert_eq!(of(&[], 50, None), 5, "it ran all the time");
        assert_eq!(of(&[], 102, None), 2, "it may have been down in the hour in which it started");
        assert_eq!(of(&[101], 102, Some(101)), 3, "the hour before its start has calls");
        assert_eq!(of(&[103], 50, Some(103)), 2, "what is before the first may be gone");
        assert_eq!(of(&[], 105, None), 0);
        assert_eq!(of(&[104], 50, None), 1, "what was to be written before may not have been");
        // What was asked for begins later than what is kept: that an hour is not told hides no idle one.
        assert_eq!(of(&[103], 50, Some(99)), 5, "an hour before these is kept");
        assert_eq!(of(&[], 50, Some(102)), 3, "of the first two hours nothing is kept");
    }

    #[test]
    fn no_more_hours_are_billed_than_are_kept() {
        let host = HostUse::new(0, 10_000 * HOUR, BTreeMap::new());
        assert_eq!(host.hours(), 10_000 - 720..10_001);
        assert_eq!(HostUse::new(9 * HOUR, 5 * HOUR, BTreeMap::new()).hours(), 5..6);
    }
}
