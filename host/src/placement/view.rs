//! From what the fleet knows to what placement decides on: hosts with their room, apps with what they
//! need. Decides nothing.

use std::collections::BTreeMap;

use steerage_core::id::{AppName, HostName};
use steerage_core::liveness::Liveness;
use steerage_core::place::{self, Room, Spread, Standing};
use steerage_core::replicas::{self, Load};
use steerage_core::units::{Bytes, Cpu};

use crate::fleet::record::{AppRecord, AppUse, HostRecord};
use crate::fleet::{Fleet, View};

/// What a replica is taken to need that is to be placed, where nothing is known: a hundredth of a core
/// and some instances' memory. It is soon known.
const UNKNOWN: Room = Room { cpu: Cpu::milli(10), memory: Bytes::mebi(16) };
/// What a replica needs that does nothing: its place in tables, and what the first call of it brings
/// before anybody has looked.
const IDLE: Room = Room { cpu: Cpu::ZERO, memory: Bytes::new(64 << 10) };

/// What placement decides on.
#[must_use]
pub fn of(fleet: &Fleet, view: &View, headroom: u32) -> place::View {
    let apps = view.apps();
    place::View {
        hosts: hosts(fleet, view),
        apps: apps
            .map(|(name, record)| (name.clone(), app(view, name, record, headroom)))
            .collect(),
    }
}

/// The hosts that are there, or at least keep what they have.
pub(super) fn hosts(fleet: &Fleet, view: &View) -> BTreeMap<HostName, place::Host> {
    // Of what a newer host, or a damaged record, says of itself nothing is known but that it is there.
    let hosts = view.outlined().chain(view.all_hosts());
    let hosts = hosts.map(|(name, record)| (name, record, fleet.liveness(view, name)));
    let there = hosts.filter(|(.., liveness)| liveness.keeps_replicas());
    there
        .map(|(name, record, liveness)| (name.clone(), host(view, name, record, liveness)))
        .collect()
}

fn host(view: &View, name: &HostName, record: &HostRecord, liveness: Liveness) -> place::Host {
    let standing = match view.host_specs.get(name) {
        Some(spec) if spec.drain => Standing::Draining,
        Some(_) => Standing::Cordoned,
        None if !liveness.may_get_replicas() => Standing::Cordoned,
        None => Standing::Open,
    };
    place::Host {
        zone: record.zone.as_str().into(),
        labels: record.labels.clone(),
        capacity: Room { cpu: Cpu::milli(record.cpu_m), memory: Bytes::new(record.memory) },
        standing,
    }
}

/// What is wanted of an app, and what it needs.
pub(super) fn app(view: &View, name: &AppName, record: &AppRecord, headroom: u32) -> place::App {
    let assigned = view.assigned_to(name);
    let seen = view.used_by(name);
    let (min, max) = record.bounds();
    let load = Load {
        min,
        max,
        now: assigned.map_or(0, |hosts| u32::try_from(hosts.len()).unwrap_or(u32::MAX)),
        used: Cpu::micro(seen.as_ref().map_or(0, |seen| seen.cpu_u)),
        target: record.cpu_m.map_or(replicas::TARGET, Cpu::milli),
    };
    let declared = Room {
        cpu: record.cpu_m.map_or(UNKNOWN.cpu, Cpu::milli),
        memory: record.memory.map_or(UNKNOWN.memory, Bytes::new),
    };
    // Hosts may remember different things of what the store does not say now; what planners agree on is
    // how many replicas there are.
    let replicas = if view.is_remembered(name) { load.now } else { replicas::wanted(&load) };
    place::App {
        replicas,
        demand: place::demand(
            Some(declared),
            measured(view, name, record, seen.as_ref()),
            headroom,
        ),
        priority: record.priority,
        needs: record.labels.clone(),
        apart_from: record.apart_from.iter().filter_map(|app| app.parse().ok()).collect(),
        on: assigned.map(|hosts| hosts.keys().cloned().collect()).unwrap_or_default(),
        spread: if record.zones { Spread::Zones } else { Spread::BestEffort },
    }
}

/// What one replica was seen to need, if anybody can say: the hosts that have it; failing these, those
/// that had it and are gone. What nobody has declared and is placed already is taken for what was seen
/// so far: it must not be driven away because its host has just begun to look.
fn measured(
    view: &View,
    name: &AppName,
    record: &AppRecord,
    seen: Option<&AppUse>,
) -> Option<Room> {
    let room = |used: &AppUse| Room {
        cpu: Cpu::micro(used.cpu_high_u).max(IDLE.cpu),
        memory: Bytes::new(used.memory_high).max(IDLE.memory),
    };
    if let Some(seen) = seen.filter(|seen| seen.is_believed()) {
        return Some(room(seen));
    }
    let assigned = view.assigned_to(name);
    if assigned.is_some_and(|hosts| hosts.keys().any(|host| view.is_idle_on(name, host))) {
        return Some(IDLE);
    }
    if let Some(remembered) = view.remembered.get(name) {
        // It is here for a short time, and may have become more than it was.
        let so_far = seen.map_or(IDLE, room);
        let before = room(remembered);
        let (cpu, memory) = (before.cpu.max(so_far.cpu), before.memory.max(so_far.memory));
        return Some(Room { cpu, memory });
    }
    let is_declared = record.cpu_m.is_some() || record.memory.is_some();
    let is_placed = assigned.is_some_and(|hosts| !hosts.is_empty());
    (is_placed && !is_declared).then(|| seen.map_or(IDLE, room))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use steerage_core::id::HostName;

    use super::*;
    use crate::fleet::record::{ReadyRecord, UseRecord};
    use crate::store::Revision;

    const MIB: u64 = 1 << 20;

    /// A fleet in which `shop` is placed on `h1`, if at all, and what it was said to need.
    fn fleet(declared: Option<u64>, is_placed: bool) -> (View, AppName, AppRecord) {
        let shop: AppName = "shop".parse().unwrap();
        let record: AppRecord = serde_json::from_value(serde_json::json!({
            "generation": 1, "min": 1, "max": 1, "cpu_m": declared
        }))
        .unwrap();
        let mut view = View::default();
        view.put_app(&shop, Some(record.clone()), Revision(1));
        if is_placed {
            let hosts = [h1()].into_iter().collect();
            view.put_assigned(&shop, Some((hosts, Revision(1))));
            let ready = ReadyRecord { generation: 1, canary: None, fingerprint: None };
            view.put_ready(&shop, [(h1(), ready)].into_iter().collect());
        }
        (view, shop, record)
    }

    fn h1() -> HostName {
        "h1".parse().unwrap()
    }

    fn used(cpu_m: u64, looks: u32) -> AppUse {
        AppUse {
            cpu_u: cpu_m * 1000,
            cpu_high_u: cpu_m * 1000,
            memory: MIB,
            memory_high: 2 * MIB,
            looks,
        }
    }

    fn tells(view: &mut View, rest_is_idle: bool, shop: Option<AppUse>) {
        let apps = shop.map(|used| ("shop".to_owned(), used)).into_iter().collect();
        let told = UseRecord { rest_is_idle, apps, ..UseRecord::default() };
        view.usage.insert(h1(), [(0u32, Arc::new(told))].into_iter().collect());
    }

    /// Thousandths of a core and KiB that one replica is taken to need.
    fn need((view, shop, record): &(View, AppName, AppRecord)) -> (u64, u64) {
        let demand = app(view, shop, record, 20).demand;
        (demand.cpu.as_millis(), demand.memory.get() / 1024)
    }

    #[test]
    fn what_was_seen_counts_once_it_is_believed_and_what_was_declared_before() {
        let mut fleet = fleet(Some(500), true);
        assert_eq!(need(&fleet), (500, 16 * 1024));
        tells(&mut fleet.0, false, Some(used(100, 29)));
        assert_eq!(need(&fleet), (500, 16 * 1024));
        tells(&mut fleet.0, true, Some(used(100, 30)));
        assert_eq!(need(&fleet), (120, 2457));
        // The host lists only what does something.
        tells(&mut fleet.0, true, None);
        assert_eq!(need(&fleet), (0, 76));
    }

    #[test]
    fn what_was_seen_is_not_unknown_again_when_its_host_is_gone() {
        for (told, needs) in [(Some(used(100, 60)), (120, 2457)), (None, (0, 76))] {
            let mut fleet = fleet(Some(500), true);
            tells(&mut fleet.0, true, told);
            let before = fleet.0.clone();
            fleet.0.usage.clear();
            assert_eq!(need(&fleet), (500, 16 * 1024));
            fleet.0.keep_detached(&before, |_, _| false);
            assert_eq!(need(&fleet), needs);
            // It starts anew, and its host has only just begun to look.
            tells(&mut fleet.0, true, Some(used(0, 1)));
            assert_eq!(need(&fleet), (needs.0, 2457));
            tells(&mut fleet.0, true, Some(used(900, 2)));
            assert_eq!(need(&fleet), (1080, 2457), "more than before");
        }
    }

    #[test]
    fn what_nobody_has_declared_is_reckoned_with_only_while_it_is_placed() {
        assert_eq!(need(&fleet(None, false)), (10, 16 * 1024));
        let mut fleet = fleet(None, true);
        assert_eq!(need(&fleet), (0, 76), "thousands may be on a host that has just begun to look");
        tells(&mut fleet.0, false, Some(used(100, 2)));
        assert_eq!(need(&fleet), (120, 2457));
    }
}
