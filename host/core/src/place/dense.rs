//! A view as flat arrays, so that looking at ten thousand hosts for a replica takes microseconds.
//! Hosts and apps are numbered in the order of their names. Holds what is on which host while a plan
//! is made; does not decide anything.

use std::collections::BTreeMap;

use super::score::{Score, waste};
use super::view::{App, Room, Spread, Standing, View};
use super::why::{Lacks, Why};
use super::{Move, Plan, Unplaced};
use crate::id::{AppName, HostName};
use crate::units::{Bytes, Millicpu};

/// A host by its number.
pub(super) type HostIndex = usize;
/// An app by its number.
pub(super) type AppIndex = usize;

/// The view, and what has become of it so far.
#[derive(Debug)]
pub(super) struct Dense<'v> {
    pub(super) hosts: Vec<DenseHost<'v>>,
    pub(super) apps: Vec<DenseApp<'v>>,
    /// What is looked at of every host for every replica, and nothing else: nearly all hosts are passed
    /// over by what is free.
    lanes: Vec<Lane>,
    /// Which hosts have the labels, for each set of labels that apps ask for.
    labelled: Vec<Vec<bool>>,
    /// One over what a host has of each on average.
    mean_cpu_unit: f64,
    mean_memory_unit: f64,
    lowest_priority: i32,
    by_name: BTreeMap<&'v str, HostIndex>,
}

#[derive(Clone, Copy, Debug)]
struct Lane {
    /// Less than nothing where the host is over-full.
    free: Free,
    /// One over what it has of each, for scores.
    cpu_unit: f64,
    memory_unit: f64,
    zone: u32,
    /// Whether it takes replicas.
    is_open: bool,
    /// Whether nothing is on it.
    is_idle: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Free {
    pub(super) cpu: i64,
    pub(super) memory: i64,
}

#[derive(Debug)]
pub(super) struct DenseHost<'v> {
    pub(super) name: &'v HostName,
    pub(super) standing: Standing,
    pub(super) zone: u32,
    /// The apps on it, in no order.
    pub(super) apps: Vec<AppIndex>,
}

#[derive(Debug)]
pub(super) struct DenseApp<'v> {
    pub(super) name: &'v AppName,
    pub(super) app: &'v App,
    pub(super) need: Free,
    labels: Option<usize>,
    pub(super) apart: Vec<AppIndex>,
    /// Where it is by now.
    pub(super) on: Vec<HostIndex>,
    /// Where it was and is not any more, with the reason.
    left: Vec<(&'v HostName, Why)>,
    /// Where it came to, with the reason.
    came: Vec<(HostIndex, Why)>,
    pub(super) unplaced: Option<(u32, Lacks)>,
}

impl<'v> Dense<'v> {
    pub(super) fn new(view: &'v View) -> Self {
        let mut zones = BTreeMap::new();
        for host in view.hosts.values() {
            let n_zones = zones.len();
            let number = u32::try_from(n_zones).unwrap_or(u32::MAX);
            zones.entry(&*host.zone).or_insert(number);
        }
        let hosts = view.hosts.iter().map(|(name, host)| DenseHost {
            name,
            standing: host.standing,
            zone: zones.get(&*host.zone).copied().unwrap_or(0),
            apps: Vec::new(),
        });
        let lanes = view.hosts.values().map(|host| Lane {
            free: Free::of(&host.capacity),
            cpu_unit: unit(host.capacity.cpu.get()),
            memory_unit: unit(host.capacity.memory.get()),
            zone: zones.get(&*host.zone).copied().unwrap_or(0),
            is_open: host.standing == Standing::Open,
            is_idle: true,
        });
        let all = view.hosts.values().fold(Room::default(), |all, host| all.plus(&host.capacity));
        let n_hosts = view.hosts.len().max(1) as u64;
        let mut dense = Self {
            mean_cpu_unit: unit(all.cpu.get() / n_hosts),
            mean_memory_unit: unit(all.memory.get() / n_hosts),
            lowest_priority: view.apps.values().map(|app| app.priority).min().unwrap_or(0),
            hosts: hosts.collect(),
            apps: Vec::with_capacity(view.apps.len()),
            lanes: lanes.collect(),
            by_name: view.hosts.keys().map(HostName::as_str).zip(0..).collect(),
            labelled: Vec::new(),
        };
        let mut classes = BTreeMap::new();
        for (name, app) in &view.apps {
            let labels = (!app.needs.is_empty()).then(|| {
                *classes.entry(&app.needs).or_insert_with(|| {
                    let has = |host: &super::Host| {
                        app.needs.iter().all(|(name, value)| host.labels.get(name) == Some(value))
                    };
                    dense.labelled.push(view.hosts.values().map(has).collect());
                    dense.labelled.len() - 1
                })
            });
            dense.apps.push(DenseApp {
                name,
                app,
                need: Free::of(&app.demand),
                labels,
                apart: Vec::new(),
                on: Vec::with_capacity(app.on.len()),
                left: Vec::new(),
                came: Vec::new(),
                unplaced: None,
            });
        }
        dense.set_apart(view);
        dense
    }

    fn set_apart(&mut self, view: &View) {
        let speaks = view.apps.values().any(|app| !app.apart_from.is_empty());
        if !speaks {
            return;
        }
        let index: BTreeMap<&AppName, AppIndex> =
            view.apps.keys().enumerate().map(|(index, name)| (name, index)).collect();
        for (one, app) in view.apps.values().enumerate() {
            for other in app.apart_from.iter().filter_map(|other| index.get(other).copied()) {
                if one == other {
                    continue;
                }
                for (from, to) in [(one, other), (other, one)] {
                    if let Some(app) = self.apps.get_mut(from)
                        && !app.apart.contains(&to)
                    {
                        app.apart.push(to);
                    }
                }
            }
        }
    }

    /// What is free on a host.
    pub(super) fn free(&self, host: HostIndex) -> Free {
        self.lanes.get(host).map_or(Free { cpu: 0, memory: 0 }, |lane| lane.free)
    }

    /// Puts a replica on a host where it was from the start.
    pub(super) fn keep(&mut self, app: AppIndex, host: HostIndex) {
        self.change(app, host, 1);
    }

    /// Puts a replica on a host.
    pub(super) fn put(&mut self, app: AppIndex, host: HostIndex, why: Why) {
        self.change(app, host, 1);
        if let Some(app) = self.apps.get_mut(app) {
            app.came.push((host, why));
        }
    }

    /// Takes a replica off a host.
    pub(super) fn take(&mut self, app: AppIndex, host: HostIndex, why: Why) {
        self.change(app, host, -1);
        let name = self.hosts.get(host).map(|host| host.name);
        if let (Some(app), Some(name)) = (self.apps.get_mut(app), name) {
            app.came.retain(|(came, _)| *came != host);
            app.left.push((name, why));
        }
    }

    /// Notes a replica that is not where it was.
    pub(super) fn note_left(&mut self, app: AppIndex, host: &'v HostName, why: Why) {
        if let Some(app) = self.apps.get_mut(app) {
            app.left.push((host, why));
        }
    }

    fn change(&mut self, app: AppIndex, host: HostIndex, sign: i64) {
        let (Some(changed), Some(on), Some(lane)) =
            (self.apps.get_mut(app), self.hosts.get_mut(host), self.lanes.get_mut(host))
        else {
            return;
        };
        let free = &mut lane.free;
        free.cpu = free.cpu.saturating_sub(sign.saturating_mul(changed.need.cpu));
        free.memory = free.memory.saturating_sub(sign.saturating_mul(changed.need.memory));
        if sign > 0 {
            changed.on.push(host);
            on.apps.push(app);
        } else {
            changed.on.retain(|kept| *kept != host);
            if let Some(place) = on.apps.iter().position(|kept| *kept == app) {
                on.apps.swap_remove(place);
            }
        }
        lane.is_idle = on.apps.is_empty();
    }

    /// The number of a host.
    pub(super) fn index(&self, name: &HostName) -> Option<HostIndex> {
        self.by_name.get(name.as_str()).copied()
    }

    /// Whether nothing but room keeps a replica from a host.
    pub(super) fn may_be_on(&self, app: &DenseApp<'_>, host: HostIndex) -> bool {
        self.hosts.get(host).is_some_and(|at| at.standing == Standing::Open)
            && self.has_labels(app, host)
            && !app.on.contains(&host)
            && !self.meets(app, host)
            && !self.shares_zone(app, host)
    }

    pub(super) fn has_labels(&self, app: &DenseApp<'_>, host: HostIndex) -> bool {
        let Some(labels) = app.labels else { return true };
        let labelled = self.labelled.get(labels).and_then(|labelled| labelled.get(host));
        labelled.copied().unwrap_or(false)
    }

    /// Whether an app that it must not meet is on the host.
    pub(super) fn meets(&self, app: &DenseApp<'_>, host: HostIndex) -> bool {
        app.apart
            .iter()
            .any(|other| self.apps.get(*other).is_some_and(|other| other.on.contains(&host)))
    }

    fn shares_zone(&self, app: &DenseApp<'_>, host: HostIndex) -> bool {
        app.app.spread == Spread::Zones && self.n_in_zone(app, host) > 0
    }

    /// How many replicas are in the host's zone.
    pub(super) fn n_in_zone(&self, app: &DenseApp<'_>, host: HostIndex) -> u32 {
        let zone = self.hosts.get(host).map(|host| host.zone);
        let there = app
            .on
            .iter()
            .filter(|on| zone.is_some() && self.hosts.get(**on).map(|host| host.zone) == zone);
        u32::try_from(there.count()).unwrap_or(u32::MAX)
    }

    /// The best host for one more replica; `allowed` may rule some out.
    pub(super) fn best(
        &self,
        app: AppIndex,
        allowed: impl Fn(HostIndex) -> bool,
    ) -> Option<HostIndex> {
        let app = self.apps.get(app)?;
        let zones: Vec<u32> =
            app.on.iter().filter_map(|on| self.hosts.get(*on).map(|host| host.zone)).collect();
        let is_free = app.labels.is_none() && app.apart.is_empty() && app.on.is_empty();
        let may = |host: HostIndex| (is_free || self.may_be_on(app, host)) && allowed(host);
        self.scan(app.need, &zones, may)
    }

    /// The best host for something that has a need and no wishes.
    pub(super) fn best_for(&self, demand: &Room) -> Option<HostIndex> {
        self.scan(Free::of(demand), &[], |_| true)
    }

    /// The best of all hosts that have room and where it may be; `zones` are those of the replicas
    /// there are.
    fn scan(
        &self,
        need: Free,
        zones: &[u32],
        may: impl Fn(HostIndex) -> bool,
    ) -> Option<HostIndex> {
        let mut best: Option<Score> = None;
        for (host, lane) in self.lanes.iter().enumerate() {
            if lane.free.cpu < need.cpu || lane.free.memory < need.memory || !lane.is_open {
                continue;
            }
            let in_zone = zones.iter().filter(|zone| **zone == lane.zone).count();
            let in_zone = u32::try_from(in_zone).unwrap_or(u32::MAX);
            // Cheap to see, and true of nearly all hosts at first, since all of them are idle.
            let is_worse =
                best.is_some_and(|best| (in_zone, lane.is_idle) > (best.in_zone, best.is_idle));
            if is_worse {
                continue;
            }
            let score = lane.score(host, need, in_zone);
            if best.is_none_or(|best| score < best) && may(host) {
                best = Some(score);
            }
        }
        best.map(|best| best.host as HostIndex)
    }

    /// Takes room on a host for something that is no app of the view.
    pub(super) fn occupy(&mut self, host: HostIndex, demand: &Room) {
        let need = Free::of(demand);
        if let Some(lane) = self.lanes.get_mut(host) {
            lane.free.cpu = lane.free.cpu.saturating_sub(need.cpu);
            lane.free.memory = lane.free.memory.saturating_sub(need.memory);
            lane.is_idle = false;
        }
    }

    /// Why a replica fits nowhere.
    pub(super) fn lacks(&self, app: AppIndex) -> Lacks {
        let mut lacks = Lacks::default();
        let Some(app) = self.apps.get(app) else { return lacks };
        lacks.needs = app.app.demand;
        for (host, at) in self.hosts.iter().enumerate() {
            lacks.hosts += 1;
            if app.on.contains(&host) {
                lacks.taken += 1;
            } else if at.standing != Standing::Open {
                lacks.closed += 1;
            } else if !self.has_labels(app, host) {
                lacks.unlabelled += 1;
            } else if self.meets(app, host) {
                lacks.apart += 1;
            } else if self.shares_zone(app, host) {
                lacks.zone += 1;
            } else {
                lacks.short(self.free(host).room());
            }
        }
        lacks
    }

    /// Replicas that an app still wants.
    pub(super) fn missing(&self, app: AppIndex) -> u32 {
        self.apps.get(app).map_or(0, |app| {
            app.app.replicas.saturating_sub(u32::try_from(app.on.len()).unwrap_or(u32::MAX))
        })
    }

    /// Puts replicas back on hosts that are drained, where nobody else has room for them.
    pub(super) fn stay_where_drained(&mut self, app: AppIndex) {
        let Some(at) = self.apps.get_mut(app) else { return };
        let mut n_missing =
            at.app.replicas.saturating_sub(u32::try_from(at.on.len()).unwrap_or(u32::MAX));
        let mut stay = Vec::new();
        at.left.retain(|(host, why)| {
            let stays = *why == Why::Draining && n_missing > 0;
            if stays {
                n_missing -= 1;
                stay.push(*host);
            }
            !stays
        });
        for name in stay {
            if let Some(host) = self.index(name) {
                self.keep(app, host);
            }
        }
    }

    /// What has become of the view, as a plan.
    pub(super) fn plan(self) -> Plan {
        let mut plan = Plan::default();
        let is_touched = |app: &&DenseApp<'_>| {
            !app.left.is_empty() || !app.came.is_empty() || app.unplaced.is_some()
        };
        for app in self.apps.iter().filter(is_touched) {
            let was = |host: HostIndex| {
                self.hosts.get(host).is_some_and(|host| app.app.on.contains(host.name))
            };
            let is = |name: &HostName| {
                app.on.iter().any(|on| self.hosts.get(*on).is_some_and(|host| host.name == name))
            };
            let mut left =
                app.left.iter().filter(|(name, _)| app.app.on.contains(*name) && !is(name));
            let mut left: Vec<_> = left.by_ref().collect();
            left.sort_by_key(|(name, _)| *name);
            left.dedup_by_key(|(name, _)| *name);
            let mut left = left.into_iter();
            let mut came: Vec<_> = app.came.iter().filter(|(host, _)| !was(*host)).collect();
            came.sort_by_key(|(host, _)| *host);
            for (host, why) in came {
                let to = self.hosts.get(*host).map(|host| host.name.clone());
                let (from, why) = match left.next() {
                    Some((from, why)) => (Some((*from).clone()), why.clone()),
                    None => (None, why.clone()),
                };
                plan.moves.push(Move { app: app.name.clone(), from, to, why });
            }
            for (from, why) in left {
                let (from, why) = (Some((*from).clone()), why.clone());
                plan.moves.push(Move { app: app.name.clone(), from, to: None, why });
            }
            if let Some((replicas, lacks)) = &app.unplaced {
                let (app, lacks) = (app.name.clone(), lacks.clone());
                plan.unplaced.push(Unplaced { app, replicas: *replicas, lacks });
            }
        }
        let spare = self.hosts.iter().filter(|host| host.apps.is_empty());
        plan.spare = spare.map(|host| host.name.clone()).collect();
        plan
    }
}

impl Lane {
    fn score(&self, host: HostIndex, need: Free, in_zone: u32) -> Score {
        let left = |free: i64, need: i64| u64::try_from(free - need).unwrap_or(0);
        let cpu = left(self.free.cpu, need.cpu);
        let memory = left(self.free.memory, need.memory);
        Score {
            in_zone,
            is_idle: self.is_idle,
            waste: waste(cpu, self.cpu_unit, memory, self.memory_unit),
            host: u32::try_from(host).unwrap_or(u32::MAX),
        }
    }
}

impl Free {
    fn of(room: &Room) -> Self {
        let signed = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
        Self { cpu: signed(room.cpu.get()), memory: signed(room.memory.get()) }
    }

    fn room(self) -> Room {
        let amount = |free: i64| u64::try_from(free).unwrap_or(0);
        Room { cpu: Millicpu::new(amount(self.cpu)), memory: Bytes::new(amount(self.memory)) }
    }

    /// Whether this is less than nothing.
    pub(super) fn is_over(self) -> bool {
        self.cpu < 0 || self.memory < 0
    }

    /// Whether a replica with this need fits once one with that need has gone.
    pub(super) fn holds_without(self, need: Self, gone: Self) -> bool {
        self.cpu.saturating_add(gone.cpu) >= need.cpu
            && self.memory.saturating_add(gone.memory) >= need.memory
    }
}

#[expect(clippy::cast_precision_loss, reason = "a score, not an amount")]
fn unit(capacity: u64) -> f64 {
    if capacity == 0 { 0.0 } else { 1.0 / capacity as f64 }
}

impl Dense<'_> {
    /// How large a need is against all hosts together, in millionths: the larger of both resources.
    pub(super) fn size(&self, need: Free) -> u64 {
        let part = |need: i64, unit: f64| {
            #[expect(clippy::cast_precision_loss, reason = "a size to sort by")]
            let part = need as f64 * unit * 1e6;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "never negative, and saturates"
            )]
            {
                part as u64
            }
        };
        part(need.cpu, self.mean_cpu_unit).max(part(need.memory, self.mean_memory_unit))
    }

    /// How much a host is used, in millionths of it: the more used of both resources.
    pub(super) fn used(&self, host: HostIndex) -> u64 {
        let Some(at) = self.lanes.get(host) else { return 0 };
        let free = at.free.room();
        #[expect(clippy::cast_precision_loss, reason = "a size to sort by")]
        let part = |free: u64, unit: f64| 1.0 - free as f64 * unit;
        let used = part(free.cpu.get(), at.cpu_unit).max(part(free.memory.get(), at.memory_unit));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 1, in millionths"
        )]
        {
            (used.clamp(0.0, 1.0) * 1e6) as u64
        }
    }

    /// How much a host lacks for a need, in millionths of all it has.
    pub(super) fn shortage(&self, host: HostIndex, need: Free) -> i64 {
        let Some(at) = self.lanes.get(host) else { return i64::MAX };
        let free = at.free;
        #[expect(clippy::cast_precision_loss, reason = "a size to sort by")]
        let part = |lacks: i64, unit: f64| lacks.max(0) as f64 * unit * 1e6;
        let lacks = part(need.cpu - free.cpu, at.cpu_unit)
            + part(need.memory - free.memory, at.memory_unit);
        #[expect(clippy::cast_possible_truncation, reason = "a size to sort by, and saturates")]
        {
            lacks as i64
        }
    }

    /// The lowest priority of any app.
    pub(super) fn lowest_priority(&self) -> i32 {
        self.lowest_priority
    }

    pub(super) fn same_zone(&self, one: HostIndex, other: HostIndex) -> bool {
        let zone = |host: HostIndex| self.hosts.get(host).map(|host| host.zone);
        zone(one) == zone(other)
    }

    /// Takes back a move of this plan.
    pub(super) fn undo_move(&mut self, app: AppIndex, from: HostIndex, to: HostIndex) {
        self.change(app, to, -1);
        self.change(app, from, 1);
        let name = self.hosts.get(from).map(|host| host.name);
        let Some(at) = self.apps.get_mut(app) else { return };
        at.came.retain(|(came, _)| *came != to);
        if let Some(place) = at.left.iter().rposition(|(left, _)| Some(*left) == name) {
            at.left.remove(place);
        }
        // It may have come there in this very plan.
        if name.is_some_and(|name| !at.app.on.contains(name)) {
            at.came.push((from, Why::Wanted));
        }
    }
}

impl DenseApp<'_> {
    /// Whether nothing but room decides where it may be.
    pub(super) fn is_plain(&self) -> bool {
        self.labels.is_none()
            && self.apart.is_empty()
            && self.on.is_empty()
            && self.app.spread == Spread::BestEffort
    }
}
