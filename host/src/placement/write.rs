//! A plan written into the store, where the hosts that it concerns find it.
//! Does not decide anything: what the plan says is written, or left to the next one.

use std::collections::BTreeSet;

use steerage_core::id::AppName;
use steerage_core::node::{Assignment, assignments};
use steerage_core::place::Plan;

use crate::fleet::record::{self, AssignedRecord};
use crate::fleet::{Fleet, View, keys};
use crate::store::{Commit, Guard, StoreError, Write, in_commits};

/// As many moves of one plan are told one by one in the log.
const TOLD: usize = 20;

/// Writes what the plan changes, app by app, each only where it is as the plan saw it; returns of how
/// many apps. What others changed meanwhile is left out, and the rest is written all the same: the
/// loss of a host moves thousands of apps, of which one may just be deployed anew.
///
/// # Errors
/// The store does not take it.
pub(super) async fn write(
    fleet: &Fleet,
    view: &View,
    plan: &Plan,
    orphans: &BTreeSet<AppName>,
) -> Result<usize, StoreError> {
    for (number, step) in plan.moves.iter().enumerate() {
        if number < TOLD {
            tracing::info!("{step}");
        } else {
            tracing::debug!("{step}");
        }
    }
    if plan.moves.len() > TOLD {
        tracing::info!("and {} moves more", plan.moves.len() - TOLD);
    }
    let changes = assignments(view, plan, orphans).into_iter().map(change);
    let mut n_written = 0;
    for commit in in_commits(changes) {
        if !fleet.is_current() {
            // This host stood still since it planned, and others may have planned meanwhile.
            return Err(StoreError::Conflict { key: None });
        }
        n_written += commit_what_holds(fleet, commit).await?;
    }
    Ok(n_written)
}

/// Commits those changes whose guards hold; returns how many.
async fn commit_what_holds(fleet: &Fleet, mut commit: Commit) -> Result<usize, StoreError> {
    while !commit.writes.is_empty() {
        let broken = match fleet.commit_marked(commit.clone()).await {
            Ok(_) => return Ok(commit.writes.len()),
            Err(StoreError::Conflict { key: Some(key) }) => key,
            Err(error) => return Err(error),
        };
        let n_before = commit.writes.len();
        commit.guards.retain(|guard| guard.key() != broken);
        commit.writes.retain(|write| write.key() != broken);
        if commit.writes.len() == n_before {
            // It is about something else than what is written: nothing would come of another try.
            return Err(StoreError::Conflict { key: Some(broken) });
        }
        tracing::debug!(key = broken, "changed meanwhile, and left to the next plan");
    }
    Ok(0)
}

/// What is written for an app, and what must hold then.
fn change(assignment: Assignment) -> (Guard, Write) {
    let key = keys::assigned(&assignment.app);
    let guard = match assignment.since {
        Some(revision) => Guard::At(key.clone(), revision),
        None => Guard::Absent(key.clone()),
    };
    let write = match assignment.hosts {
        Some(hosts) => {
            let hosts = hosts.iter().map(ToString::to_string).collect();
            Write::Put { key, value: record::encode(&AssignedRecord { hosts }), lease: None }
        }
        None => Write::Delete(key),
    };
    (guard, write)
}

#[cfg(test)]
mod tests {
    use steerage_core::id::HostName;
    use steerage_core::place::{Move, Why};

    use super::*;
    use crate::forward::Peers;
    use crate::store::{Store, StoreSettings};

    #[tokio::test]
    async fn what_others_changed_meanwhile_keeps_back_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::Embedded(folder.path().to_owned())).await.unwrap();
        let fleet =
            Fleet::new("h1".parse().unwrap(), store, Peers::new(None), folder.path().join("copy"));
        let assigned = |app: &str, host: &str| {
            let record = AssignedRecord { hosts: [host.to_owned()].into() };
            let key = keys::assigned(&app.parse().unwrap());
            Write::Put { key, value: record::encode(&record), lease: None }
        };
        let commit = |writes| fleet.store().commit(Commit { guards: Vec::new(), writes });
        commit(vec![assigned("a", "h9"), assigned("b", "h9")]).await.unwrap();
        let seen = fleet.store().read("").await.unwrap();
        fleet.replace(&seen);
        fleet.note_cut_off(false);
        let view = fleet.view();
        // Of 300 apps, in three commits, somebody else places four.
        for app in ["a", "app-100", "app-101", "app-299"] {
            commit(vec![assigned(app, "h7")]).await.unwrap();
        }
        let apps = ["a".to_owned(), "b".to_owned()].into_iter();
        let apps = apps.chain((0..300).map(|n| format!("app-{n:03}")));
        let moves = apps.map(|app| Move {
            app: app.parse().unwrap(),
            from: (app.len() == 1).then(|| "h9".parse().unwrap()),
            to: Some("h2".parse().unwrap()),
            why: Why::Wanted,
        });
        let plan = Plan { moves: moves.collect(), ..Plan::default() };
        assert_eq!(write(&fleet, &view, &plan, &BTreeSet::new()).await.unwrap(), 298);
        let (view, _) = View::read(&fleet.store().read("").await.unwrap());
        for (app, host) in [("a", "h7"), ("b", "h2"), ("app-099", "h2"), ("app-299", "h7")] {
            let on = view.assigned_to(&app.parse().unwrap()).unwrap();
            assert_eq!(on.iter().map(HostName::as_str).collect::<Vec<_>>(), [host], "{app}");
        }
    }
}
