//! A view as flat arrays, so that looking at ten thousand hosts for a replica takes microseconds.
//! Hosts and apps are numbered in the order of their names. Holds what is on which host while a plan
//! is made; does not decide anything.

use std::collections::BTreeMap;

use super::names::Names;
use super::view::{App, Room, Spread, Standing, View};
use super::why::{Lacks, Why};
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
    pub(super) lanes: Vec<Lane>,
    /// Which hosts have the labels, for each set of labels that apps ask for.
    labelled: Vec<Vec<bool>>,
    /// One over what a host has of each on average.
    pub(super) mean_cpu_unit: f64,
    pub(super) mean_memory_unit: f64,
    lowest_priority: i32,
    by_name: Names<'v>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Lane {
    /// Less than nothing where the host is over-full.
    pub(super) free: Free,
    /// One over what it has of each, for scores.
    pub(super) cpu_unit: f64,
    pub(super) memory_unit: f64,
    pub(super) zone: u32,
    /// Whether it takes replicas.
    pub(super) is_open: bool,
    /// Whether nothing is on it.
    pub(super) is_idle: bool,
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
    pub(super) labels: Option<usize>,
    pub(super) apart: Vec<AppIndex>,
    /// Where it is by now.
    pub(super) on: Vec<HostIndex>,
    /// Where it was and is not any more, with the reason.
    pub(super) left: Vec<(&'v HostName, Why)>,
    /// Where it came to, with the reason.
    pub(super) came: Vec<(HostIndex, Why)>,
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
            by_name: Names::new(view.hosts.keys()),
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
        self.by_name.get(name)
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

    pub(super) fn shares_zone(&self, app: &DenseApp<'_>, host: HostIndex) -> bool {
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

    /// Takes room on a host for something that is no app of the view.
    pub(super) fn occupy(&mut self, host: HostIndex, demand: &Room) {
        let need = Free::of(demand);
        if let Some(lane) = self.lanes.get_mut(host) {
            lane.free.cpu = lane.free.cpu.saturating_sub(need.cpu);
            lane.free.memory = lane.free.memory.saturating_sub(need.memory);
            lane.is_idle = false;
        }
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
}

impl Free {
    pub(super) fn of(room: &Room) -> Self {
        let signed = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
        Self { cpu: signed(room.cpu.get()), memory: signed(room.memory.get()) }
    }

    pub(super) fn room(self) -> Room {
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
