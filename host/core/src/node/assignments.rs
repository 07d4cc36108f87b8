//! What a plan changes in the store, app by app, and what must hold for each: that it still is as the plan
//! saw it. So a second planner is harmless, since what one has written the other's commit does not
//! find unchanged. Writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::origin::Origin;
use super::records::{FleetKey, Records, Revision};
use super::view::FleetView;
use crate::id::{AppName, HostName};
use crate::place::{Plan, Why};

/// Where an app shall run from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The app.
    pub app: AppName,
    /// The hosts, each with why its replica is there; `None` for no word of it any more.
    pub hosts: Option<BTreeMap<HostName, Origin>>,
    /// When it was assigned that the plan was made of; `None` where it was not.
    pub since: Option<Revision>,
}

/// Which plan it is whose moves are written: what replicas that it places say of themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanStamp {
    /// Its number.
    pub number: u32,
    /// When it was made, in seconds since the epoch.
    pub at: u32,
}

/// What a plan that was made of this view changes, and that what was removed runs nowhere.
#[must_use]
pub fn assignments<R: Records>(
    view: &FleetView<R>,
    plan: &Plan,
    orphans: &BTreeSet<AppName>,
    stamp: PlanStamp,
) -> Vec<Assignment> {
    let mut after: BTreeMap<&AppName, BTreeMap<HostName, Origin>> = BTreeMap::new();
    for step in &plan.moves {
        let hosts = after.entry(&step.app).or_insert_with(|| {
            let now = view.assigned.get(&step.app).map(|(assigned, _)| assigned.with_origins());
            now.into_iter().flatten().map(|(host, origin)| (host.clone(), origin)).collect()
        });
        if let Some(from) = &step.from {
            hosts.remove(from);
        }
        if let Some(to) = &step.to {
            hosts.insert(to.clone(), origin(stamp, &step.why));
        }
    }
    // Where an app is placed that nobody here can read is not written over.
    after.retain(|app, _| !view.is_unreadable(&FleetKey::Assigned(AppName::clone(app))));
    let since = |app: &AppName| view.assigned.get(app).map(|(_, revision)| *revision);
    let moved = after.into_iter().map(|(app, hosts)| (app, Some(hosts)));
    let all = moved.chain(orphans.iter().map(|app| (app, None)));
    let all = all.map(|(app, hosts)| Assignment { app: app.clone(), hosts, since: since(app) });
    all.collect()
}

fn origin(stamp: PlanStamp, why: &Why) -> Origin {
    Origin { plan: stamp.number, at: stamp.at, why: why.code() }
}
