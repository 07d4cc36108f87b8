//! What a plan changes in the store, app by app, and what must hold for each: that it still is as the plan
//! saw it. So a second planner is harmless, since what one has written the other's commit does not
//! find unchanged. Writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::origin::{Assigned, ReplicaOrigin};
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
    pub hosts: Option<BTreeMap<HostName, ReplicaOrigin>>,
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
    let mut after: BTreeMap<&AppName, BTreeMap<HostName, ReplicaOrigin>> = BTreeMap::new();
    for step in &plan.moves {
        let hosts = after.entry(&step.app).or_insert_with(|| {
            let now = view.assigned_to(&step.app).map(Assigned::iter);
            now.into_iter().flatten().map(|(host, origin)| (host.clone(), *origin)).collect()
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
    let since = |app: &AppName| view.assigned(app).map(|(_, revision)| *revision);
    let moved = after.into_iter().map(|(app, hosts)| (app, Some(hosts)));
    let all = moved.chain(orphans.iter().map(|app| (app, None)));
    let all = all.map(|(app, hosts)| Assignment { app: app.clone(), hosts, since: since(app) });
    all.collect()
}

fn origin(stamp: PlanStamp, why: &Why) -> ReplicaOrigin {
    ReplicaOrigin { plan: stamp.number, at: stamp.at, why: why.code() }
}

#[cfg(test)]
mod tests {
    use super::super::nothing::Nothing;
    use super::*;
    use crate::place::Move;

    #[test]
    fn what_moves_says_by_which_plan_and_what_stays_says_what_it_said() {
        let (app, host) = ("shop".parse::<AppName>().unwrap(), |name: &str| -> HostName {
            name.parse().unwrap()
        });
        let before = |plan| ReplicaOrigin { plan, at: 1, why: 12 };
        let on = [(host("a"), before(1)), (host("b"), before(2))];
        let mut view = FleetView::<Nothing>::default();
        view.put_assigned(&app, Some((on.into_iter().collect(), Revision(7))));
        let (from, to) = (Some(host("b")), Some(host("c")));
        let step = Move { app: app.clone(), from, to, why: Why::Draining };
        let plan = Plan { moves: vec![step], ..Plan::default() };
        let stamp = PlanStamp { number: 9, at: 5 };
        let all = assignments(&view, &plan, &BTreeSet::new(), stamp);
        let [one] = &all[..] else { panic!("{all:?}") };
        assert_eq!((&one.app, one.since), (&app, Some(Revision(7))));
        let after = [(host("a"), before(1)), (host("c"), ReplicaOrigin { plan: 9, at: 5, why: 4 })];
        assert_eq!(one.hosts, Some(after.into()));
    }
}
