//! What has become of a view, as a plan: each replica that left is paired with one that came.
//! Decides nothing.

use super::dense::{Dense, DenseApp, HostIndex};
use super::draft::{Change, What};
use super::why::Why;
use super::{Move, Plan, Unplaced};
use crate::id::HostName;

impl Dense {
    /// What has become of the view, as a plan.
    pub(super) fn plan(&self, unplaced: Vec<Unplaced>) -> Plan {
        let mut changes: Vec<&Change> = self.draft.iter().collect();
        changes.sort_by_key(|change| change.app);
        let mut moves = Vec::new();
        for changes in changes.chunk_by(|one, other| one.app == other.app) {
            let app = changes.first().and_then(|change| self.apps.get(change.app));
            if let Some(app) = app {
                self.add_moves(app, changes, &mut moves);
            }
        }
        let spare = self.hosts.iter();
        let spare = spare.filter(|host| host.standing.is_some() && host.apps.is_empty());
        let spare = spare.map(|host| host.name.clone()).collect();
        Plan { moves, unplaced, spare, ..Plan::default() }
    }

    fn add_moves(&self, app: &DenseApp, changes: &[&Change], moves: &mut Vec<Move>) {
        let (mut left, mut came): (Vec<&Change>, Vec<&Change>) = (Vec::new(), Vec::new());
        for change in changes {
            let was_there = app.was.contains(change.host);
            let is_there = app.on.contains(change.host);
            match change.what {
                What::Put if !was_there && is_there => {
                    came.retain(|other| other.host != change.host);
                    came.push(change);
                }
                What::Lost | What::Taken if was_there && !is_there => left.push(change),
                _ => {}
            }
        }
        let name = |host: HostIndex| self.hosts.get(host).map(|host| &host.name);
        left.sort_by_key(|change| name(change.host));
        left.dedup_by_key(|change| change.host);
        came.sort_by_key(|change| change.host);
        let mut left = left.into_iter();
        let mut add = |from: Option<&Change>, to: Option<&Change>| {
            let named = |at: Option<&Change>| -> Option<HostName> { name(at?.host).cloned() };
            // What only starts may have been moved in this very plan; that is nobody's concern.
            let starts = if app.was.is_empty() { Why::New } else { Why::Wanted };
            let why = from.map_or(starts, |change| change.why.clone());
            moves.push(Move { app: app.name.clone(), from: named(from), to: named(to), why });
        };
        for change in came {
            add(left.next(), Some(change));
        }
        for change in left {
            add(Some(change), None);
        }
    }
}
