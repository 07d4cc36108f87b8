//! Where what is missing goes: to the best host that has room; failing that, where moving one replica
//! elsewhere makes room; failing that, where replicas of lower priority have to go.
//! Goes on until nothing more can be placed, so that planning the result changes nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Unplaced;
use super::dense::{AppIndex, Dense, Free, HostIndex};
use super::view::Standing;
use super::why::Why;
use crate::id::HostName;

/// As many hosts are looked at for making room, those that are short of the least.
const CLOSEST: usize = 64;

/// In which order replicas of equal priority are placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The largest first, which are the hardest to place.
    Largest,
    /// By name, which has nothing to do with size.
    Name,
    /// The largest first but for these, which come last: where not all fit, a few large ones are left
    /// out instead of many small ones.
    LargestBut(BTreeSet<AppIndex>),
}

/// How many replicas have no room, those of the highest priority first.
pub(super) fn left_out(dense: &Dense, missing: &[AppIndex]) -> Vec<(i32, u32)> {
    let mut by_priority: BTreeMap<i32, u32> = BTreeMap::new();
    for app in missing {
        let priority = dense.apps.get(*app).map_or(0, |at| at.priority);
        *by_priority.entry(priority).or_default() += dense.missing(*app);
    }
    // Of two such lists the lesser is the better: at the first difference it has the lower priority,
    // or fewer replicas of the same, or nothing at all.
    by_priority.into_iter().rev().collect()
}

/// Of the lowest priority that is left out, the largest that together are as large as all that is.
pub(super) fn set_aside(dense: &Dense, missing: &[AppIndex]) -> BTreeSet<AppIndex> {
    let size = |app: AppIndex| dense.apps.get(app).map_or(0, |at| dense.size(at.need));
    let priority = |app: AppIndex| dense.apps.get(app).map_or(0, |at| at.priority);
    let Some(lowest) = missing.iter().map(|app| priority(*app)).min() else {
        return BTreeSet::new();
    };
    let mut due: u64 =
        missing.iter().map(|app| size(*app).saturating_mul(dense.missing(*app).into())).sum();
    // What was there before this plan stays.
    let is_new = |app: &AppIndex| dense.apps.get(*app).is_some_and(|at| at.was.is_empty());
    let mut largest: Vec<AppIndex> =
        (0..dense.apps.len()).filter(|app| priority(*app) == lowest && is_new(app)).collect();
    largest.sort_by_cached_key(|app| (Reverse(size(*app)), *app));
    let mut aside = BTreeSet::new();
    for app in largest {
        if due == 0 {
            break;
        }
        let replicas = dense.apps.get(app).map_or(0, |at| u64::from(at.replicas));
        due = due.saturating_sub(size(app).saturating_mul(replicas));
        aside.insert(app);
    }
    aside
}

/// Places what is missing; returns the apps of which something still is.
pub(super) fn fill(dense: &mut Dense, order: &Order) -> Vec<AppIndex> {
    let touched = dense.draft.iter().map(|change| change.app);
    let due = dense.due.iter().copied().chain(touched);
    let mut queue: Vec<AppIndex> = due.filter(|app| dense.missing(*app) > 0).collect();
    queue.sort_unstable();
    queue.dedup();
    loop {
        queue.sort_by_cached_key(|app| place_in_line(dense, *app, order));
        let mut tried = Tried::default();
        let mut displaced = Vec::new();
        let mut has_progressed = false;
        for app in &queue {
            while dense.missing(*app) > 0 && place_one(dense, *app, &mut tried, &mut displaced) {
                has_progressed = true;
            }
        }
        queue.extend(displaced);
        queue.sort_unstable();
        queue.dedup();
        queue.retain(|app| dense.missing(*app) > 0);
        if !has_progressed || queue.is_empty() {
            return queue;
        }
    }
}

/// What has no room, and why. Where it was on a drained host, it stays there.
pub(super) fn give_up(dense: &mut Dense, missing: Vec<AppIndex>) -> Vec<Unplaced> {
    let mut unplaced = Vec::new();
    for app in missing {
        let (replicas, lacks) = (dense.missing(app), dense.lacks(app));
        let stays_on = stay_where_drained(dense, app);
        let Some(at) = dense.apps.get(app) else { continue };
        unplaced.push(Unplaced { app: at.name.clone(), replicas, lacks, stays_on });
    }
    unplaced
}

fn stay_where_drained(dense: &mut Dense, app: AppIndex) -> Vec<HostName> {
    let Some(at) = dense.apps.get(app) else { return Vec::new() };
    let is_drained = |host: &HostIndex| dense.standing(*host) == Some(Standing::Draining);
    let n_missing = usize::try_from(at.missing()).unwrap_or(usize::MAX);
    let stay: Vec<HostIndex> = at.was.iter().filter(is_drained).take(n_missing).collect();
    for host in &stay {
        dense.put(app, *host, Why::Draining);
    }
    let names = stay.into_iter().filter_map(|host| dense.hosts.get(host));
    names.map(|host| host.name.clone()).collect()
}

/// The more important first.
fn place_in_line(
    dense: &Dense,
    app: AppIndex,
    order: &Order,
) -> (Reverse<i32>, bool, Reverse<u64>, AppIndex) {
    let at = dense.apps.get(app);
    let priority = at.map_or(0, |at| at.priority);
    let size = at.map_or(0, |at| dense.size(at.need));
    let (is_aside, size) = match order {
        Order::Largest => (false, size),
        Order::Name => (false, 0),
        Order::LargestBut(aside) => (aside.contains(&app), size),
    };
    (Reverse(priority), is_aside, Reverse(size), app)
}

/// What could not be placed since room was last made: what asks for no less, and no more freely, cannot
/// be placed either. Room is only taken meanwhile.
#[derive(Default)]
struct Tried {
    plain: Vec<(i32, Free)>,
    /// Needs for which no host has room at all.
    nowhere: Vec<Free>,
}

impl Tried {
    fn has_failed(&self, priority: i32, need: Free) -> bool {
        self.plain.iter().any(|(failed, least)| {
            priority <= *failed && need.cpu >= least.cpu && need.memory >= least.memory
        })
    }

    fn note(&mut self, priority: i32, need: Free) {
        self.plain.retain(|(failed, least)| {
            *failed > priority || least.cpu < need.cpu || least.memory < need.memory
        });
        self.plain.push((priority, need));
    }

    /// Whether any host has room, whatever else keeps a replica from it.
    fn is_room(&mut self, dense: &Dense, need: Free) -> bool {
        let is_more = |least: &Free| need.cpu >= least.cpu && need.memory >= least.memory;
        if self.nowhere.iter().any(is_more) {
            return false;
        }
        let is_room = dense.is_room(need);
        if !is_room {
            self.nowhere.retain(|least| least.cpu < need.cpu || least.memory < need.memory);
            self.nowhere.push(need);
        }
        is_room
    }
}

fn place_one(
    dense: &mut Dense,
    app: AppIndex,
    tried: &mut Tried,
    displaced: &mut Vec<AppIndex>,
) -> bool {
    let Some(at) = dense.apps.get(app) else { return false };
    let (priority, need) = (at.priority, at.need);
    let is_plain = at.is_plain();
    if is_plain && tried.has_failed(priority, need) {
        return false;
    }
    if let Some(host) = dense.best(app, |_| true) {
        dense.put(app, host, Why::Wanted);
        return true;
    }
    if make_room(dense, app, tried) || evict(dense, app, displaced) {
        *tried = Tried::default();
        return true;
    }
    if is_plain {
        tried.note(priority, need);
    }
    false
}

/// Moves one replica elsewhere, where that lets this one in.
fn make_room(dense: &mut Dense, app: AppIndex, tried: &mut Tried) -> bool {
    let Some(at) = dense.apps.get(app) else { return false };
    let (need, name) = (at.need, at.name.clone());
    let mut close: Vec<(i64, HostIndex)> = (0..dense.hosts.len())
        .filter(|host| dense.may_be_on(at, *host))
        .map(|host| (dense.shortage(host, need), host))
        .collect();
    if close.len() > CLOSEST {
        close.select_nth_unstable(CLOSEST);
        close.truncate(CLOSEST);
    }
    close.sort_unstable();
    for (_, host) in close {
        let Some(there) = dense.hosts.get(host) else { continue };
        let mut others: Vec<(u64, AppIndex)> = there
            .apps
            .iter()
            .filter_map(|other| {
                let at = dense.apps.get(*other)?;
                let helps = dense.free(host).holds_without(need, at.need);
                helps.then(|| (dense.size(at.need), *other))
            })
            .collect();
        others.sort_unstable();
        for (_, other) in others {
            let is_room = dense.apps.get(other).is_some_and(|at| tried.is_room(dense, at.need));
            if !is_room {
                continue;
            }
            let Some(to) = dense.best(other, |to| to != host) else { continue };
            dense.take(other, host, Why::MakesRoom(name.clone()));
            dense.put(other, to, Why::MakesRoom(name.clone()));
            dense.put(app, host, Why::Wanted);
            return true;
        }
    }
    false
}

/// Takes off replicas of lower priority, where that lets this one in: of the lowest priority, and as
/// few as can be.
fn evict(dense: &mut Dense, app: AppIndex, displaced: &mut Vec<AppIndex>) -> bool {
    let Some(at) = dense.apps.get(app) else { return false };
    let (need, priority, name) = (at.need, at.priority, at.name.clone());
    if dense.lowest_priority >= priority {
        return false;
    }
    let mut best: Option<((i32, usize, HostIndex), Vec<AppIndex>)> = None;
    for host in 0..dense.hosts.len() {
        if !dense.may_be_on(at, host) {
            continue;
        }
        let Some(victims) = victims(dense, host, need, priority) else { continue };
        let highest = victims.iter().filter_map(|app| dense.apps.get(*app));
        let highest = highest.map(|at| at.priority).max().unwrap_or(i32::MIN);
        let cost = (highest, victims.len(), host);
        if best.as_ref().is_none_or(|(least, _)| cost < *least) {
            best = Some((cost, victims));
        }
    }
    let Some(((_, _, host), victims)) = best else { return false };
    for victim in victims {
        dense.take(victim, host, Why::Evicted(name.clone()));
        displaced.push(victim);
    }
    dense.put(app, host, Why::Wanted);
    true
}

/// Who has to go from a host, if that is enough.
fn victims(dense: &Dense, host: HostIndex, need: Free, priority: i32) -> Option<Vec<AppIndex>> {
    let mut lower: Vec<(i32, Reverse<u64>, AppIndex)> = dense
        .hosts
        .get(host)?
        .apps
        .iter()
        .filter_map(|app| {
            let at = dense.apps.get(*app)?;
            let key = (at.priority, Reverse(dense.size(at.need)), *app);
            (at.priority < priority).then_some(key)
        })
        .collect();
    lower.sort_unstable();
    let mut gone = Free { cpu: 0, memory: 0 };
    let mut victims = Vec::new();
    for (_, _, app) in lower {
        let at = dense.apps.get(app)?;
        gone.cpu = gone.cpu.saturating_add(at.need.cpu);
        gone.memory = gone.memory.saturating_add(at.need.memory);
        victims.push(app);
        if dense.free(host).holds_without(need, gone) {
            return Some(victims);
        }
    }
    None
}
