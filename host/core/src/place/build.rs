//! How flat arrays are made of a view, and follow what changes of it. What they cannot follow makes
//! them worthless, and they have to be made anew: the numbers of hosts and apps are in the order of
//! their names. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::Policy;
use super::dense::{AppIndex, Dense, DenseApp, DenseHost, Free, HostIndex, Lane, unit};
use super::few::Few;
use super::keep;
use super::labels::{LabelSet, Labels};
use super::names::Names;
use super::view::{App, Host, Room, Spread, Standing, View};
use crate::id::{AppName, HostName};

impl Dense {
    pub(super) fn new(view: &View) -> Self {
        let mut dense = Self {
            hosts: Vec::with_capacity(view.hosts.len()),
            apps: Vec::with_capacity(view.apps.len()),
            lanes: Vec::with_capacity(view.hosts.len()),
            labels: Labels::default(),
            zones: BTreeMap::new(),
            mean_cpu_unit: 0.0,
            mean_memory_unit: 0.0,
            lowest_priority: i32::MAX,
            by_name: Names::new(view.hosts.keys()),
            strangers: BTreeMap::new(),
            due: BTreeSet::new(),
            crowded: BTreeSet::new(),
            uncounted: BTreeSet::new(),
            policy: Policy::default(),
            draft: Vec::new(),
        };
        for (name, host) in &view.hosts {
            dense.push_host(name, Some(host));
        }
        for (number, (name, app)) in view.apps.iter().enumerate() {
            let labels = dense.labels.find(&app.needs).unwrap_or_else(|| {
                let hosts = view.hosts.values().map(|host| &host.labels);
                dense.labels.add(&app.needs, hosts)
            });
            let was = app.on.iter().map(|on| dense.index_or_stranger(on)).collect();
            dense.apps.push(DenseApp::of(name, app, labels, was));
            dense.lowest_priority = dense.lowest_priority.min(app.priority);
            keep::keep(&mut dense, number);
        }
        dense.set_apart(view);
        dense
    }

    fn push_host(&mut self, name: &HostName, host: Option<&Host>) {
        let lane = self.lane(host);
        self.lanes.push(lane);
        self.hosts.push(DenseHost {
            name: name.clone(),
            capacity: host.map_or_else(Room::default, |host| host.capacity),
            standing: host.map(|host| host.standing),
            apps: Vec::new(),
        });
    }

    /// A host with nothing on it.
    fn lane(&mut self, host: Option<&Host>) -> Lane {
        let capacity = host.map_or_else(Room::default, |host| host.capacity);
        Lane {
            free: Free::of(&capacity),
            cpu_unit: unit(capacity.cpu.get_micro()),
            memory_unit: unit(capacity.memory.get()),
            zone: host.map_or(0, |host| self.zone(host)),
            is_open: host.is_some_and(|host| host.standing == Standing::Open),
            is_idle: true,
        }
    }

    fn zone(&mut self, host: &Host) -> u32 {
        if let Some(zone) = self.zones.get(&host.zone) {
            return *zone;
        }
        let zone = u32::try_from(self.zones.len()).unwrap_or(u32::MAX);
        self.zones.insert(host.zone.clone(), zone);
        zone
    }

    fn index_or_stranger(&mut self, name: &HostName) -> HostIndex {
        self.index(name).unwrap_or_else(|| {
            let number = self.hosts.len();
            self.strangers.insert(name.clone(), number);
            self.push_host(name, None);
            number
        })
    }

    fn set_apart(&mut self, view: &View) {
        let mut shy = BTreeSet::new();
        for (one, app) in view.apps.values().enumerate() {
            for other in &app.apart_from {
                let Some(other) = self.app_index(other).filter(|other| *other != one) else {
                    continue;
                };
                for (from, to) in [(one, other), (other, one)] {
                    shy.insert(from);
                    if let Some(app) = self.apps.get_mut(from)
                        && !app.apart.contains(to)
                    {
                        app.apart.push(to);
                    }
                }
            }
        }
        for app in shy {
            self.note_crowd(app);
        }
    }

    /// Notes where an app meets one that it must not meet.
    fn note_crowd(&mut self, app: AppIndex) {
        let Some(at) = self.apps.get(app).filter(|at| !at.apart.is_empty()) else { return };
        let crowded: Vec<HostIndex> = at.on.iter().filter(|on| self.meets(at, *on)).collect();
        self.crowded.extend(crowded);
    }

    /// Follows a host that has changed, has gone or has come back; whether it can.
    pub(super) fn set_host(&mut self, name: &HostName, host: Option<&Host>) -> bool {
        let Some(number) = self.by_name.get(name) else { return host.is_none() };
        let lane = self.lane(host);
        let (Some(at), Some(there)) = (self.hosts.get_mut(number), self.lanes.get_mut(number))
        else {
            return false;
        };
        *there = lane;
        at.capacity = host.map_or_else(Room::default, |host| host.capacity);
        at.standing = host.map(|host| host.standing);
        if let Some(host) = host {
            self.labels.set_host(number, &host.labels);
        }
        self.uncounted.insert(number);
        // Those on it, and those that would be if they might.
        let mut named = at.apps.clone();
        let names =
            |app: &&AppIndex| self.apps.get(**app).is_some_and(|at| at.was.contains(number));
        named.extend(self.due.iter().filter(names));
        for app in named {
            self.keep_again(app);
        }
        true
    }

    /// Follows an app that has changed; whether it can. `before` is what it was.
    pub(super) fn set_app(&mut self, name: &AppName, before: &App, app: &App) -> bool {
        let was: Option<Few> = app.on.iter().map(|on| self.index(on)).collect();
        let (Some(number), Some(was), Some(labels)) =
            (self.app_index(name), was, self.labels.find(&app.needs))
        else {
            return false;
        };
        if before.apart_from != app.apart_from {
            return false;
        }
        self.replace(number, DenseApp::of(name, app, labels, was));
        self.lowest_priority = self.lowest_priority.min(app.priority);
        true
    }

    /// Follows an app that is gone; whether it can. It keeps its number and wants nothing.
    pub(super) fn drop_app(&mut self, name: &AppName) -> bool {
        let Some(number) = self.app_index(name) else { return false };
        // Others need not keep away from it any more.
        let Some(at) = self.apps.get(number).filter(|at| at.apart.is_empty()) else { return false };
        let nothing = DenseApp {
            name: at.name.clone(),
            need: Free { cpu: 0, memory: 0 },
            was: Few::default(),
            on: Few::default(),
            apart: Few::default(),
            replicas: 0,
            priority: at.priority,
            labels: Labels::NONE,
            spread: Spread::BestEffort,
        };
        self.replace(number, nothing);
        true
    }

    fn replace(&mut self, number: AppIndex, with: DenseApp) {
        let Some(at) = self.apps.get_mut(number) else { return };
        let on = std::mem::take(&mut at.on);
        let apart = std::mem::take(&mut at.apart);
        *at = DenseApp { apart, ..with };
        for host in on.iter() {
            self.change(number, host, false);
            self.uncounted.insert(host);
        }
        self.keep_again(number);
    }

    fn keep_again(&mut self, app: AppIndex) {
        keep::keep(self, app);
        self.note_crowd(app);
    }
}

impl DenseApp {
    fn of(name: &AppName, app: &App, labels: LabelSet, was: Few) -> Self {
        Self {
            name: name.clone(),
            need: Free::of(&app.demand),
            was,
            on: Few::default(),
            apart: Few::default(),
            replicas: app.replicas,
            priority: app.priority,
            labels,
            spread: app.spread,
        }
    }
}
