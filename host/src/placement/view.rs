//! From what the fleet knows to what placement decides on: hosts with their room, apps with what they
//! need. Decides nothing.

use std::collections::BTreeMap;

use steerage_core::id::{AppName, HostName};
use steerage_core::place::{self, Room, Spread, Standing};
use steerage_core::replicas::{self, Load};
use steerage_core::units::{Bytes, Millicpu};

use crate::fleet::record::{AppRecord, AppUse, HostRecord};
use crate::fleet::{Fleet, View};
use crate::forward::Health;

/// What a replica is taken to need of which nothing is known: a hundredth of a core and some
/// instances' memory. It is soon known.
const UNKNOWN: Room = Room { cpu: Millicpu::new(10), memory: Bytes::mebi(16) };
/// The least a replica is taken to need: an app nobody calls may be called.
const LEAST: Room = Room { cpu: Millicpu::new(1), memory: Bytes::mebi(1) };
/// Looks before what was seen is believed: a minute.
const LOOKS: u32 = 30;

/// What each app was seen to use: the most on any host, but all hosts' recent use together.
pub type Demands<'v> = BTreeMap<&'v str, AppUse>;

/// What placement decides on.
#[must_use]
pub fn of(fleet: &Fleet, view: &View, headroom: u32) -> place::View {
    let mut seen: Demands<'_> = BTreeMap::new();
    for (app, used) in view.usage.values().flat_map(|usage| &usage.apps) {
        let most = seen.entry(app.as_str()).or_default();
        most.cpu_high_m = most.cpu_high_m.max(used.cpu_high_m);
        most.memory_high = most.memory_high.max(used.memory_high);
        most.looks = most.looks.max(used.looks);
        most.cpu_m = most.cpu_m.saturating_add(used.cpu_m);
    }
    let hosts = view.all_hosts().filter(|(name, _)| is_there(fleet, view, name));
    place::View {
        hosts: hosts.map(|(name, record)| (name.clone(), host(view, name, record))).collect(),
        apps: view
            .apps
            .iter()
            .map(|(name, (record, _))| (name.clone(), app(view, name, record, &seen, headroom)))
            .collect(),
    }
}

/// Whether a host is there to be placed on, or at least to keep what it has. One whose machine says
/// that its process is gone is not, before its lease has ended.
fn is_there(fleet: &Fleet, view: &View, name: &HostName) -> bool {
    if name == fleet.me() {
        return true;
    }
    let health = fleet.peers().named(name).map(|peer| peer.health());
    match health {
        Some(Health::Gone) => false,
        Some(Health::Silent) => view.hosts.contains_key(name),
        Some(Health::Answers) => true,
        None => view.hosts.contains_key(name),
    }
}

fn host(view: &View, name: &HostName, record: &HostRecord) -> place::Host {
    let is_registered = view.hosts.contains_key(name);
    let standing = match view.wishes.get(name) {
        Some(wish) if wish.drain => Standing::Draining,
        Some(_) => Standing::Cordoned,
        // It cannot hear of anything new.
        None if !is_registered => Standing::Cordoned,
        None => Standing::Open,
    };
    place::Host {
        zone: record.zone.as_str().into(),
        labels: record.labels.clone(),
        capacity: Room { cpu: Millicpu::new(record.cpu_m), memory: Bytes::new(record.memory) },
        standing,
    }
}

fn app(
    view: &View,
    name: &AppName,
    record: &AppRecord,
    seen: &Demands<'_>,
    headroom: u32,
) -> place::App {
    let declared = Room {
        cpu: record.cpu_m.map_or(UNKNOWN.cpu, Millicpu::new),
        memory: record.memory.map_or(UNKNOWN.memory, Bytes::new),
    };
    let measured = seen.get(name.as_str()).filter(|seen| seen.looks >= LOOKS).map(|seen| Room {
        cpu: Millicpu::new(seen.cpu_high_m).max(LEAST.cpu),
        memory: Bytes::new(seen.memory_high).max(LEAST.memory),
    });
    let assigned = view.assigned_to(name);
    let load = Load {
        min: record.min,
        max: record.max,
        now: assigned.map_or(0, |hosts| u32::try_from(hosts.len()).unwrap_or(u32::MAX)),
        used: Millicpu::new(seen.get(name.as_str()).map_or(0, |seen| seen.cpu_m)),
        target: record.cpu_m.map_or(replicas::TARGET, Millicpu::new),
    };
    place::App {
        replicas: replicas::wanted(&load),
        demand: place::demand(Some(declared), measured, headroom),
        priority: record.priority,
        needs: record.labels.clone(),
        apart_from: record.apart_from.iter().filter_map(|app| app.parse().ok()).collect(),
        on: assigned.map(|hosts| hosts.iter().cloned().collect()).unwrap_or_default(),
        spread: if record.zones { Spread::Zones } else { Spread::BestEffort },
    }
}
