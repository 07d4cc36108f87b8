//! What has become of a view, as a plan: each replica that left is paired with one that came.
//! Decides nothing.

use super::dense::{Dense, DenseApp, HostIndex};
use super::{Move, Plan, Unplaced};
use crate::id::HostName;

impl Dense<'_> {
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
