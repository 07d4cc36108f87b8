//! Reporting what apps use on this host, so that placement goes by what is used and not by what was
//! asked for. Apps that use nothing are not listed, and what has hardly changed is not told again: who
//! plans asks thousands of hosts with thousands of apps each, and most shall have no news.
//! Measures nothing itself: it reads the meters of the calls. Asks nobody: `asking` does.

mod tell;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use steerage_core::id::{AppName, HostName};
use steerage_core::node::{AppRow, AppRows};

use self::tell::{InStore, Told};
use super::{Member, Shared};
use crate::catalog::App;
use crate::fleet::record::{AppRecord, AppUse, CanaryUse, UseRecord};
use crate::fleet::{StoreRecords, View, part_of};

/// How often is looked, and told what is news.
const EVERY: Duration = Duration::from_secs(2);
/// How many times meanwhile the counts of canaries are told, so that a bad one is taken
/// back soon.
const TRIALS: u32 = 4;
/// Looks in a window, half a minute: shorter bursts are what shares of a host and headroom are for. Of
/// thousands of apps that are called now and then, the busiest seconds of each add up to many times
/// what all use.
const LOOKS: u32 = 15;
/// So many windows are kept: ten minutes.
const WINDOWS: usize = 20;
/// One window of so many may be higher than what is called high.
const ONE_OF: usize = 20;
/// Apps in one record: some 200 KiB.
const APPS_IN_PART: usize = 2_000;

/// Looks at one app.
#[derive(Debug, Default)]
pub struct Memory {
    /// The window that has begun: looks in it, millionths of a core in all of them, most KiB in one.
    n_in_window: u32,
    cpu_in_window: u64,
    memory_in_window: u32,
    /// The windows before it, the latest last: millionths of a core on average and most KiB. Empty while
    /// all of them would be nothing.
    windows: VecDeque<(u32, u32)>,
    n_windows: usize,
    before: Option<Reading>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    cpu: Duration,
}

/// Apps that have come to be at hand here a short time ago, and were asked resources for: until they
/// have been looked at for long enough, these count and not that they do nothing yet. Of an app that is
/// here for longer and is called for the first time, it is known that it did nothing before.
#[derive(Debug, Default)]
struct Young {
    /// By app, the look at which it was there.
    since: BTreeMap<AppName, u32>,
    before: AppRows<StoreRecords>,
}

/// Reports until it is dropped.
pub(super) async fn report(shared: &Shared) {
    let Shared { member, lease, .. } = shared;
    let mut apps: BTreeMap<AppName, Memory> = BTreeMap::new();
    let (mut told, mut now, mut young) = (Told::default(), BTreeMap::new(), Young::default());
    let mut in_store = InStore::default();
    let (mut n_looks, mut ticks) = (0, tokio::time::interval(EVERY / TRIALS));
    for n_tick in (0..TRIALS).cycle() {
        ticks.tick().await;
        if n_tick == 0 {
            n_looks += 1;
            young.look(&member.fleet.view(), member.fleet.me(), n_looks);
            let mut whole = look_at_all(member, &mut apps, n_looks);
            young.add_to(&mut whole, n_looks);
            now = in_parts(whole, told.n_parts());
        } else if !count_canaries(member, &mut now) {
            continue;
        }
        told.publish(&member.fleet, &now);
        let lease = *lease.borrow();
        if let Some(lease) = lease {
            in_store.tell(&member.fleet, lease, &now).await;
        }
    }
}

/// Takes a look at all apps; what those use that use anything.
fn look_at_all(member: &Member, apps: &mut BTreeMap<AppName, Memory>, n_looks: u32) -> UseRecord {
    let snapshot = member.own.catalog.snapshot();
    apps.retain(|app, _| snapshot.apps.contains_key(app));
    let mut whole = UseRecord { rest_is_idle: n_looks >= AppUse::BELIEVED, ..UseRecord::default() };
    for app in snapshot.apps.values() {
        let Some(state) = app.state() else { continue };
        let (_, cpu, _) = state.meter.totals();
        let mut held = state.memory.held().get();
        state.meter.look_back();
        if let Some(trial) = app.canary() {
            held += trial.deployed.state.memory.held().get();
        }
        if let Some(counted) = counted(app) {
            whole.canaries.insert(app.name.to_string(), counted);
        }
        let memory = apps.entry(app.name.clone()).or_default();
        let used = memory.look(Reading { at: Instant::now(), cpu }, held);
        if !used.is_idle() {
            // No more than are needed to be believed: a number that only counts would be news for ever.
            let looks = n_looks.min(AppUse::BELIEVED);
            whole.apps.insert(app.name.to_string(), AppUse { looks, ..used });
        }
    }
    whole
}

impl Young {
    /// Notes what has come to be at hand, and what is not young any more. While the host itself is young,
    /// it says of nothing that it is idle, so there is nothing to note.
    fn look(&mut self, view: &View, me: &HostName, n_looks: u32) {
        let here = |row: &AppRow<StoreRecords>| row.ready.contains_key(me);
        for (app, old, new) in view.rows.changed_since(&self.before) {
            let (was_here, is_here) = (old.is_some_and(here), new.is_some_and(here));
            let asks = |record: &AppRecord| record.cpu_m.is_some() || record.memory.is_some();
            if !is_here {
                self.since.remove(app);
            } else if !was_here && n_looks >= AppUse::BELIEVED && view.app(app).is_some_and(asks) {
                self.since.insert(app.clone(), n_looks);
            }
        }
        self.before = view.rows.clone();
        self.since.retain(|_, since| n_looks - *since < AppUse::BELIEVED);
    }

    /// Lists those that are young, with how long they have been looked at.
    fn add_to(&self, whole: &mut UseRecord, n_looks: u32) {
        for (app, since) in &self.since {
            whole.apps.entry(app.to_string()).or_default().looks = n_looks - since;
        }
    }
}

/// Divides a record, into no fewer parts than before unless these are mostly empty: what does not
/// change shall stay where it is.
fn in_parts(whole: UseRecord, n_before: u32) -> BTreeMap<u32, UseRecord> {
    let n_needed = whole.apps.len().div_ceil(APPS_IN_PART).max(1).next_power_of_two();
    let n_needed = u32::try_from(n_needed).unwrap_or(u32::MAX);
    let n_parts = if n_needed < n_before / 4 { n_needed } else { n_needed.max(n_before) };
    let mut parts: BTreeMap<u32, UseRecord> =
        (0..n_parts).map(|part| (part, UseRecord::default())).collect();
    let UseRecord { rest_is_idle, apps, canaries } = whole;
    for (app, used) in apps {
        if let Some(part) = parts.get_mut(&part_of(&app, n_parts)) {
            part.apps.insert(app, used);
        }
    }
    if let Some(first) = parts.get_mut(&0) {
        (first.rest_is_idle, first.canaries) = (rest_is_idle, canaries);
    }
    parts
}

/// Counts canaries and watched deployments anew, also those that began since all apps were looked at;
/// whether there are any, or were.
fn count_canaries(member: &Member, now: &mut BTreeMap<u32, UseRecord>) -> bool {
    let (tried, served) = (member.agent.canaries(), &member.own.catalog);
    let Some(first) =
        now.get_mut(&0).filter(|first| !(tried.is_empty() && first.canaries.is_empty()))
    else {
        return false;
    };
    let counted = |app: &AppName| Some((app.to_string(), counted(&*served.app(app)?)?));
    first.canaries = tried.iter().filter_map(counted).collect();
    true
}

/// What the canary of an app did, or a deployment of it that is watched, beside the one before it.
fn counted(app: &App) -> Option<CanaryUse> {
    let (generation, old, new) = app.evidence()?;
    Some(CanaryUse::of(generation.get(), &old, &new))
}

impl Memory {
    /// Takes one look; how many there were is not known here. The first has nothing to compare with and
    /// sees no use of the processor.
    fn look(&mut self, reading: Reading, memory: u64) -> AppUse {
        let before = self.before.replace(reading).unwrap_or(reading);
        let passed = reading.at.saturating_duration_since(before.at);
        let nanos = reading.cpu.saturating_sub(before.cpu).as_nanos();
        let cpu_u = u64::try_from(nanos * 1000 / passed.as_micros().max(1)).unwrap_or(u64::MAX);
        self.n_in_window += 1;
        self.cpu_in_window = self.cpu_in_window.saturating_add(cpu_u);
        let kibibytes = u32::try_from(memory.div_ceil(1024)).unwrap_or(u32::MAX);
        self.memory_in_window = self.memory_in_window.max(kibibytes);
        if self.n_in_window == LOOKS {
            self.end_window();
        }
        let most = self.windows.iter().map(|(_, memory)| *memory).max().unwrap_or(0);
        AppUse {
            cpu_u,
            cpu_high_u: self.high_cpu().into(),
            memory,
            memory_high: u64::from(most.max(self.memory_in_window)) * 1024,
            looks: 0,
        }
    }

    fn end_window(&mut self) {
        self.windows.push_back((self.average(), self.memory_in_window));
        if self.windows.len() > WINDOWS {
            self.windows.pop_front();
        }
        if self.windows.iter().all(|window| *window == (0, 0)) {
            self.windows = VecDeque::new();
        }
        self.n_windows = (self.n_windows + 1).min(WINDOWS);
        (self.n_in_window, self.cpu_in_window, self.memory_in_window) = (0, 0, 0);
    }

    /// Of the window that has begun.
    fn average(&self) -> u32 {
        u32::try_from(self.cpu_in_window / u64::from(self.n_in_window.max(1))).unwrap_or(u32::MAX)
    }

    /// What is exceeded in one of twenty windows only; before there is one, what was seen so far.
    fn high_cpu(&self) -> u32 {
        if self.n_windows == 0 {
            return self.average();
        }
        let mut values: Vec<u32> = self.windows.iter().map(|(cpu, _)| *cpu).collect();
        values.sort_unstable();
        // Windows that are not kept saw nothing.
        values.iter().rev().nth(self.n_windows / ONE_OF).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::record::ReadyRecord;
    use crate::store::Revision;

    const MIB: u64 = 1 << 20;

    /// Looks every two seconds at an app that uses so many thousandths of a core each time.
    fn looked(memory: &mut Memory, start: Instant, uses: &[(u64, u64)]) -> AppUse {
        let mut cpu = memory.before.map_or(Duration::ZERO, |before| before.cpu);
        let mut at = memory.before.map_or(start, |before| before.at);
        let mut seen = AppUse::default();
        for (cpu_m, held) in uses {
            at += EVERY;
            cpu += Duration::from_micros(cpu_m * 2_000);
            seen = memory.look(Reading { at, cpu }, *held);
        }
        seen
    }

    #[test]
    fn a_look_is_a_rate_since_the_one_before() {
        let (start, mut memory) = (Instant::now(), Memory::default());
        let seen = looked(&mut memory, start, &[(999, 10 * MIB)]);
        assert_eq!((seen.cpu_u, seen.memory), (0, 10 * MIB));
        let seen = looked(&mut memory, start, &[(250, 30 * MIB)]);
        assert_eq!((seen.cpu_u, seen.cpu_high_u), (250_000, 125_000));
        let seen = looked(&mut memory, start, &[(0, 20 * MIB)]);
        assert_eq!((seen.cpu_u, seen.memory, seen.memory_high), (0, 20 * MIB, 30 * MIB));
    }

    #[test]
    fn a_rare_peak_is_not_what_an_app_needs() {
        let (start, mut memory) = (Instant::now(), Memory::default());
        // Nineteen windows of little, and one of much.
        let windows = [[(30, 0); 19 * 15].as_slice(), &[(900, 0); 15]].concat();
        let seen = looked(&mut memory, start, &windows);
        assert_eq!((seen.cpu_u, seen.cpu_high_u), (900_000, 30_000));
        assert_eq!(looked(&mut memory, start, &[(900, 0); 15]).cpu_high_u, 900_000);
        // Within a window seconds are evened out.
        let mut memory = Memory::default();
        let burst = [[(0, 0); 14].as_slice(), &[(900, 0)]].concat();
        assert_eq!(looked(&mut memory, start, &burst.repeat(3)).cpu_high_u, 60_000);
    }

    #[test]
    fn nothing_is_kept_of_what_does_nothing() {
        let (start, mut memory) = (Instant::now(), Memory::default());
        let seen = looked(&mut memory, start, &[(0, 0); 405]);
        assert!(seen.is_idle() && memory.windows.capacity() == 0, "{seen:?}");
        assert_eq!(looked(&mut memory, start, &[(900, 0); 15]).cpu_high_u, 0);
        assert_eq!(looked(&mut memory, start, &[(900, 0); 15]).cpu_high_u, 900_000);
        let seen = looked(&mut memory, start, &[(0, 0); 300]);
        assert!(seen.is_idle() && memory.windows.capacity() == 0, "{seen:?}");
    }

    #[test]
    fn what_was_asked_for_counts_until_an_app_was_looked_at_and_not_again_at_its_first_call() {
        let me: HostName = "h1".parse().unwrap();
        let (mut view, mut young) = (View::default(), Young::default());
        let wants = |cpu_m: Option<u64>| {
            let record = serde_json::json!({ "generation": 1, "min": 1, "max": 1, "cpu_m": cpu_m });
            serde_json::from_value::<AppRecord>(record).unwrap()
        };
        for (app, cpu_m) in [("early", Some(500)), ("asks", Some(500)), ("asks-not", None)] {
            view.put_app(&app.parse().unwrap(), Some(wants(cpu_m)), Revision(1));
        }
        let come = |view: &mut View, app: &str, host: &str| {
            let ready = ReadyRecord { generation: 1, canary: None, fingerprint: None };
            let ready = [(host.parse().unwrap(), ready)].into_iter().collect();
            view.put_ready(&app.parse().unwrap(), ready);
        };
        let mut told = |view: &View, n_looks: u32, calls: &[&str]| {
            let used = AppUse { cpu_u: 7, looks: n_looks, ..AppUse::default() };
            let apps = calls.iter().map(|app| ((*app).to_owned(), used)).collect();
            let mut whole = UseRecord { apps, ..UseRecord::default() };
            young.look(view, &me, n_looks);
            young.add_to(&mut whole, n_looks);
            let apps = whole.apps.into_iter().map(|(app, used)| (app, used.is_believed()));
            apps.collect::<Vec<_>>()
        };
        come(&mut view, "early", "h1");
        assert_eq!(told(&view, 1, &[]), []);
        come(&mut view, "asks", "h1");
        come(&mut view, "asks-not", "h1");
        let asks = |is_believed| ("asks".to_owned(), is_believed);
        assert_eq!(told(&view, 40, &[]), [asks(false)], "it does nothing, and that is no news yet");
        assert_eq!(told(&view, 69, &["asks"]), [asks(false)]);
        assert_eq!(told(&view, 70, &["asks"]), [asks(true)]);
        assert_eq!(told(&view, 90, &["early"]), [("early".to_owned(), true)], "its first call");
        come(&mut view, "asks", "h2");
        assert_eq!(told(&view, 91, &[]), []);
        come(&mut view, "asks", "h1");
        assert_eq!(told(&view, 92, &[]), [asks(false)], "it came anew");
    }

    fn uses(n_apps: usize, cpu_m: u64) -> UseRecord {
        let used = AppUse { cpu_u: cpu_m * 1000, looks: 40, ..AppUse::default() };
        let apps = (0..n_apps).map(|n| (format!("app-{n}"), used)).collect();
        UseRecord { rest_is_idle: true, apps, ..UseRecord::default() }
    }

    #[test]
    fn parts_are_small_enough_and_stay_what_they_are() {
        for (n_apps, n_before, n_parts) in [
            (0, 0, 1),
            (2_000, 1, 1),
            (2_001, 1, 2),
            (100_000, 1, 64),
            (30_000, 64, 64),
            (9, 64, 1),
        ] {
            let parts = in_parts(uses(n_apps, 1), n_before);
            assert_eq!(parts.len(), n_parts, "{n_apps} after {n_before}");
            assert_eq!(parts.values().map(|part| part.apps.len()).sum::<usize>(), n_apps);
            assert!(parts[&0].rest_is_idle);
            let longest =
                parts.values().map(|part| crate::fleet::record::encode(part).len()).max().unwrap();
            assert!(longest < crate::store::MOST_BYTES / 2, "{longest} bytes of {n_apps}");
        }
    }
}
