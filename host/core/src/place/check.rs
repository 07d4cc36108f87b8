//! What holds of every plan, stated again on the data alone, so that a mistake in how plans are made
//! is found by something that was not made the same way.

use std::collections::BTreeMap;

use super::view::{Room, Spread, Standing, View};
use super::{App, Plan};
use crate::id::{AppName, HostName};

/// Every rule that the plan breaks for this view; none for one that may be carried out.
#[must_use]
pub fn check(view: &View, plan: &Plan) -> Vec<String> {
    let mut broken = Vec::new();
    for step in &plan.moves {
        let app = &step.app;
        let Some(before) = view.apps.get(app) else {
            broken.push(format!("{app} moves and is not wanted"));
            continue;
        };
        if let Some(from) = &step.from
            && !before.on.contains(from)
        {
            broken.push(format!("{app} leaves {from}, where it is not"));
        }
        if let Some(to) = &step.to {
            if before.on.contains(to) {
                broken.push(format!("{app} comes to {to}, where it is"));
            }
            match view.hosts.get(to) {
                None => broken.push(format!("{app} comes to {to}, which is not there")),
                Some(host) if host.standing != Standing::Open => {
                    broken.push(format!("{app} comes to {to}, which takes nothing"));
                }
                Some(_) => {}
            }
        }
    }
    let mut after = view.clone();
    after.apply(plan);
    for (name, app) in &after.apps {
        check_app(&after, plan, name, app, &mut broken);
    }
    check_room(&after, &mut broken);
    broken
}

fn check_app(after: &View, plan: &Plan, name: &AppName, app: &App, broken: &mut Vec<String>) {
    let n_on = app.on.len() as u64;
    let unplaced = plan.unplaced.iter().find(|unplaced| unplaced.app == *name);
    let n_unplaced = u64::from(unplaced.map_or(0, |unplaced| unplaced.replicas));
    let wanted = u64::from(app.replicas);
    let standing = |host: &HostName| after.hosts.get(host).map(|host| host.standing);
    let on_drained = app.on.iter().filter(|on| standing(on) == Some(Standing::Draining)).count();
    if n_on > wanted {
        broken.push(format!("{name} has {n_on} replicas, {wanted} are wanted"));
    }
    if n_on - on_drained as u64 + n_unplaced != wanted {
        broken.push(format!("{name}: {n_on} placed and {n_unplaced} not, {wanted} are wanted"));
    }
    let mut zones: BTreeMap<&str, u32> = BTreeMap::new();
    for on in &app.on {
        let Some(host) = after.hosts.get(on) else {
            broken.push(format!("{name} is on {on}, which is not there"));
            continue;
        };
        let has_labels = app.needs.iter().all(|(key, value)| host.labels.get(key) == Some(value));
        if host.standing == Standing::Draining {
            continue;
        }
        *zones.entry(&host.zone).or_default() += 1;
        if !has_labels {
            broken.push(format!("{name} is on {on}, which lacks its labels"));
        }
        for other in &app.apart_from {
            if other != name && after.apps.get(other).is_some_and(|other| other.on.contains(on)) {
                broken.push(format!("{name} is on {on} with {other}"));
            }
        }
    }
    if app.spread == Spread::Zones && zones.values().any(|count| *count > 1) {
        broken.push(format!("{name} has two replicas in one zone"));
    }
}

fn check_room(after: &View, broken: &mut Vec<String>) {
    let mut used: BTreeMap<&HostName, Room> = BTreeMap::new();
    for app in after.apps.values() {
        for on in &app.on {
            let room = used.entry(on).or_default();
            *room = room.plus(&app.demand);
        }
    }
    for (name, used) in used {
        let Some(host) = after.hosts.get(name) else { continue };
        if host.standing != Standing::Draining && !host.capacity.holds(&used) {
            broken.push(format!("{name} has {:?} and bears {used:?}", host.capacity));
        }
    }
}
