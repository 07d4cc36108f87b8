//! A fleet as flat arrays, so that looking at ten thousand hosts for a replica takes microseconds.
//! Hosts and apps are numbered in the order of their names. Holds what is on which host, and answers
//! what is asked about it; does not decide anything, nor know how it is made of a view or changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Policy;
use super::draft::Change;
use super::few::Few;
use super::labels::{LabelSet, Labels};
use super::names::Names;
use super::view::{Room, Spread, Standing};
use crate::id::{AppName, HostName};
use crate::units::{Bytes, Cpu};

/// A host by its number.
pub(super) type HostIndex = usize;
/// An app by its number.
pub(super) type AppIndex = usize;

/// The fleet with every replica where it is and may stay, and what a plan that is being made has
/// changed of that.
#[derive(Debug)]
pub(super) struct Dense {
    /// First those of the view in the order of their names, then those that apps still name and that
    /// are gone. Those that go later keep their number.
    pub(super) hosts: Vec<DenseHost>,
    pub(super) apps: Vec<DenseApp>,
    /// What is looked at of every host for every replica, and nothing else: nearly all hosts are passed
    /// over by what is free.
    pub(super) lanes: Vec<Lane>,
    pub(super) labels: Labels,
    pub(super) zones: BTreeMap<Arc<str>, u32>,
    /// One over what a host has of each on average.
    pub(super) mean_cpu_unit: f64,
    pub(super) mean_memory_unit: f64,
    /// No app has a lower priority.
    pub(super) lowest_priority: i32,
    pub(super) by_name: Names,
    /// The numbers of those that were gone from the start.
    pub(super) strangers: BTreeMap<HostName, HostIndex>,
    /// Apps that have not just as many replicas as they want, all of them where they may stay.
    pub(super) due: BTreeSet<AppIndex>,
    /// Hosts where apps may be that must not meet; all others have none.
    pub(super) crowded: BTreeSet<HostIndex>,
    /// Hosts of which it has to be counted anew what is free.
    pub(super) uncounted: BTreeSet<HostIndex>,
    pub(super) policy: Policy,
    /// What the plan has changed so far.
    pub(super) draft: Vec<Change>,
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
pub(super) struct DenseHost {
    pub(super) name: HostName,
    pub(super) capacity: Room,
    /// None where it is gone.
    pub(super) standing: Option<Standing>,
    /// The apps on it, in no order.
    pub(super) apps: Vec<AppIndex>,
}

#[derive(Debug)]
pub(super) struct DenseApp {
    pub(super) name: AppName,
    pub(super) need: Free,
    /// Where the view has it, in the order of the names.
    pub(super) was: Few,
    /// Where it is by now.
    pub(super) on: Few,
    pub(super) apart: Few,
    pub(super) replicas: u32,
    pub(super) priority: i32,
    pub(super) labels: LabelSet,
    pub(super) spread: Spread,
}

impl Dense {
    /// The number of a host that is there or that an app names.
    pub(super) fn index(&self, name: &HostName) -> Option<HostIndex> {
        self.by_name.get(name).or_else(|| self.strangers.get(name).copied())
    }

    /// The number of an app.
    pub(super) fn app_index(&self, name: &AppName) -> Option<AppIndex> {
        self.apps.binary_search_by(|app| app.name.cmp(name)).ok()
    }

    /// What is free on a host.
    pub(super) fn free(&self, host: HostIndex) -> Free {
        self.lanes.get(host).map_or(Free { cpu: 0, memory: 0 }, |lane| lane.free)
    }

    /// What may happen to a host; `None` where it is gone.
    pub(super) fn standing(&self, host: HostIndex) -> Option<Standing> {
        self.hosts.get(host).and_then(|host| host.standing)
    }

    /// Whether nothing but room keeps a replica from a host.
    pub(super) fn may_be_on(&self, app: &DenseApp, host: HostIndex) -> bool {
        self.standing(host) == Some(Standing::Open)
            && self.labels.has(app.labels, host)
            && !app.on.contains(host)
            && !self.meets(app, host)
            && !self.shares_zone(app, host)
    }

    /// Whether an app that it must not meet is on the host.
    pub(super) fn meets(&self, app: &DenseApp, host: HostIndex) -> bool {
        app.apart
            .iter()
            .any(|other| self.apps.get(other).is_some_and(|other| other.on.contains(host)))
    }

    pub(super) fn shares_zone(&self, app: &DenseApp, host: HostIndex) -> bool {
        app.spread == Spread::Zones && self.n_in_zone(&app.on, host) > 0
    }

    /// How many of these hosts are in the zone of that one.
    pub(super) fn n_in_zone(&self, on: &Few, host: HostIndex) -> u32 {
        let there = on.iter().filter(|on| self.same_zone(*on, host));
        u32::try_from(there.count()).unwrap_or(u32::MAX)
    }

    pub(super) fn same_zone(&self, one: HostIndex, other: HostIndex) -> bool {
        let zone = |host: HostIndex| self.lanes.get(host).map(|lane| lane.zone);
        zone(one).is_some() && zone(one) == zone(other)
    }

    /// Replicas that an app still wants.
    pub(super) fn missing(&self, app: AppIndex) -> u32 {
        self.apps.get(app).map_or(0, DenseApp::missing)
    }

    /// Puts a replica on a host, or takes it off.
    pub(super) fn change(&mut self, app: AppIndex, host: HostIndex, is_put: bool) {
        let (Some(changed), Some(on), Some(lane)) =
            (self.apps.get_mut(app), self.hosts.get_mut(host), self.lanes.get_mut(host))
        else {
            return;
        };
        if is_put {
            lane.free = lane.free.minus(changed.need);
            changed.on.push(host);
            on.apps.push(app);
        } else {
            lane.free = lane.free.plus(changed.need);
            changed.on.remove(host);
            if let Some(place) = on.apps.iter().position(|kept| *kept == app) {
                on.apps.swap_remove(place);
            }
        }
        lane.is_idle = on.apps.is_empty();
    }

    /// Takes room on a host for something that is no app of the view, until the host is counted anew.
    pub(super) fn occupy(&mut self, host: HostIndex, demand: &Room) {
        if let Some(lane) = self.lanes.get_mut(host) {
            lane.free = lane.free.minus(Free::of(demand));
            lane.is_idle = false;
            self.uncounted.insert(host);
        }
    }

    /// Counts what is free where that may be wrong by now: from what is there, and not by what came and
    /// went, so that it is the same whatever happened before.
    pub(super) fn count(&mut self) {
        for host in std::mem::take(&mut self.uncounted) {
            let (Some(at), Some(lane)) = (self.hosts.get(host), self.lanes.get_mut(host)) else {
                continue;
            };
            let needs = at.apps.iter().filter_map(|app| self.apps.get(*app)).map(|app| app.need);
            lane.free = needs.fold(Free::of(&at.capacity), Free::minus);
            lane.is_idle = at.apps.is_empty();
        }
    }

    /// Notes what a host has on average.
    pub(super) fn weigh(&mut self) {
        let there = || self.hosts.iter().filter(|host| host.standing.is_some());
        let all = there().fold(Room::default(), |all, host| all.plus(&host.capacity));
        let n_hosts = there().count().max(1) as u64;
        self.mean_cpu_unit = unit(all.cpu.get_micro() / n_hosts);
        self.mean_memory_unit = unit(all.memory.get() / n_hosts);
    }
}

impl DenseApp {
    /// Whether nothing but room decides where it may be.
    pub(super) fn is_plain(&self) -> bool {
        self.is_free() && self.spread == Spread::BestEffort
    }

    /// Whether nothing but room decides where its next replica may be.
    pub(super) fn is_free(&self) -> bool {
        self.labels == Labels::NONE && self.apart.is_empty() && self.on.is_empty()
    }

    pub(super) fn missing(&self) -> u32 {
        self.replicas.saturating_sub(u32::try_from(self.on.len()).unwrap_or(u32::MAX))
    }
}

impl Free {
    pub(super) fn of(room: &Room) -> Self {
        let signed = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
        Self { cpu: signed(room.cpu.get_micro()), memory: signed(room.memory.get()) }
    }

    pub(super) fn room(self) -> Room {
        let amount = |free: i64| u64::try_from(free).unwrap_or(0);
        Room { cpu: Cpu::micro(amount(self.cpu)), memory: Bytes::new(amount(self.memory)) }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
        }
    }

    /// Whether this is less than nothing.
    pub(super) fn is_over(self) -> bool {
        self.cpu < 0 || self.memory < 0
    }

    /// Whether a replica with this need fits once one with that need has gone.
    pub(super) fn holds_without(self, need: Self, gone: Self) -> bool {
        let free = self.plus(gone);
        free.cpu >= need.cpu && free.memory >= need.memory
    }
}

/// One over what there is of something, nothing where there is none of it.
#[expect(clippy::cast_precision_loss, reason = "a score, not an amount")]
pub(super) fn unit(capacity: u64) -> f64 {
    if capacity == 0 { 0.0 } else { 1.0 / capacity as f64 }
}
