//! A plan written into the store, where the hosts that it concerns find it.
//! Does not decide anything: what the plan says is written, or left to the next one.

use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use steerage_core::node::{Assignment, PlanNumbers, PlanStamp, assignments};
use steerage_core::place::Plan;

use super::history::{self, Drawn};
use crate::fleet::record::{self, AssignedRecord, PlanRecord, PlanResult};
use crate::fleet::{Fleet, View, keys};
use crate::store::{Commit, Guard, MOST_WRITES, Revision, StoreError, Write, in_commits};
use crate::telemetry::chain;

/// How many commits of one plan are under way at once: the store then waits for its disk once for several.
const COMMITS_AT_ONCE: usize = 8;
/// As many moves of one plan are told one by one in the log.
const TOLD: usize = 20;

/// What came of writing a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Its number; 0 where nothing was to be written.
    pub(super) number: u32,
    /// How many apps it has moved.
    pub(super) n_apps: usize,
}

/// Writes what the plan changes, app by app, each only where it is as the plan saw it, and the plan
/// itself for whoever asks why. What others changed meanwhile is left out, and the rest is written all
/// the same: the loss of a host moves thousands of apps, of which one may just be deployed anew.
///
/// # Errors
/// The store does not take it.
pub(super) async fn write(
    fleet: &Fleet,
    view: &View,
    drawn: &Drawn<'_>,
    numbers: &mut PlanNumbers,
) -> Result<Written, StoreError> {
    if drawn.plan.moves.is_empty() && drawn.orphans.is_empty() {
        return Ok(Written::default());
    }
    history::learn(fleet, numbers).await?;
    let written = write_numbered(fleet, view, drawn, numbers).await;
    if written.is_err() {
        // Whether the number is taken now only the store can tell.
        numbers.doubt();
    }
    written
}

async fn write_numbered(
    fleet: &Fleet,
    view: &View,
    drawn: &Drawn<'_>,
    numbers: &mut PlanNumbers,
) -> Result<Written, StoreError> {
    let Some(number) = numbers.next() else { return Err(StoreError::Conflict { key: None }) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let stamp = PlanStamp { number, at: u32::try_from(now.as_secs()).unwrap_or(u32::MAX) };
    let assignments = assignments(view, drawn.plan, drawn.orphans, stamp);
    if assignments.is_empty() {
        return Ok(Written::default());
    }
    log(number, drawn.plan);
    let at = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let mut record = history::kept(fleet, view, drawn, &assignments, at);
    let n_apps = assignments.len();
    let forgotten = numbers.forgotten();
    if n_apps + 1 + forgotten.len() > MOST_WRITES {
        record.result = PlanResult::Writing;
    }
    let of_plan = history::changes(stamp, &record, &forgotten);
    let changes = of_plan.into_iter().chain(assignments.into_iter().map(change));
    let mut commits = in_commits(changes).into_iter();
    // The first has the plan itself, and nothing is written without it.
    let first = commits.next().unwrap_or_default();
    let Some((mut n_written, written_at)) = commit_if_current(fleet, first).await? else {
        return Err(StoreError::Conflict { key: None });
    };
    numbers.wrote(number, written_at, &forgotten);
    // The others are about other apps each, so they need not wait for one another.
    let rest = commits.map(|commit| async {
        let committed = commit_if_current(fleet, commit).await?;
        Ok(committed.map_or(0, |(n_apps, _)| n_apps))
    });
    n_written += sum_of(rest).await?;
    let n_left = n_apps.saturating_sub(n_written);
    if n_left > 0 || record.result == PlanResult::Writing {
        record.result = PlanResult::Written;
        record.n_left = u32::try_from(n_left).unwrap_or(u32::MAX);
        // All is written by then, whatever becomes of this.
        let told = tell_result(fleet, number, written_at, &record, numbers).await;
        if let Err(error) = told {
            tracing::debug!(error = chain(&error), "what came of a plan is not told");
            numbers.doubt();
        }
    }
    Ok(Written { number, n_apps: n_written })
}

/// Says in a plan that was begun what came of it.
async fn tell_result(
    fleet: &Fleet,
    number: u32,
    at: Revision,
    record: &PlanRecord,
    numbers: &mut PlanNumbers,
) -> Result<(), StoreError> {
    let key = keys::plan(number);
    let write = Write::Put { key: key.clone(), value: record::encode(record), lease: None };
    let commit = Commit { guards: vec![Guard::At(key, at)], writes: vec![write] };
    let at = fleet.commit_marked(commit).await?;
    numbers.wrote(number, at, &[]);
    Ok(())
}

fn log(number: u32, plan: &Plan) {
    for (place, step) in plan.moves.iter().enumerate() {
        if place < TOLD {
            tracing::info!(plan = number, "{step}");
        } else {
            tracing::debug!(plan = number, "{step}");
        }
    }
    if plan.moves.len() > TOLD {
        tracing::info!(plan = number, "and {} moves more", plan.moves.len() - TOLD);
    }
}

/// What all commits together have written; [`COMMITS_AT_ONCE`] of them are under way at the same time.
///
/// # Errors
/// That of the first that fails. No other one begins after it, and nothing is under way any more when this
/// returns: what were to land later would be news to nobody.
async fn sum_of<F>(mut commits: impl Iterator<Item = F>) -> Result<usize, StoreError>
where
    F: Future<Output = Result<usize, StoreError>>,
{
    let mut under_way: FuturesUnordered<F> = commits.by_ref().take(COMMITS_AT_ONCE).collect();
    let mut sum = Ok(0);
    while let Some(written) = under_way.next().await {
        sum = sum.and_then(|sum| written.map(|written| sum + written));
        if sum.is_ok() {
            under_way.extend(commits.next());
        }
    }
    sum
}

/// Commits, but not where this host stood still since it planned: another host may have planned meanwhile.
async fn commit_if_current(
    fleet: &Fleet,
    commit: Commit,
) -> Result<Option<(usize, Revision)>, StoreError> {
    if !fleet.is_current() {
        return Err(StoreError::Conflict { key: None });
    }
    commit_what_holds(fleet, commit).await
}

/// Commits those changes whose guards hold; returns of how many apps, and when that was, if of any.
async fn commit_what_holds(
    fleet: &Fleet,
    mut commit: Commit,
) -> Result<Option<(usize, Revision)>, StoreError> {
    let is_of_app = |write: &&Write| write.key().starts_with(keys::ASSIGNED);
    loop {
        let n_apps = commit.writes.iter().filter(is_of_app).count();
        if n_apps == 0 {
            return Ok(None);
        }
        let broken = match fleet.commit_marked(commit.clone()).await {
            Ok(at) => return Ok(Some((n_apps, at))),
            Err(StoreError::Conflict { key: Some(key) }) => key,
            Err(error) => return Err(error),
        };
        let n_before = commit.writes.len();
        let is_new_plan = |guard: &Guard| matches!(guard, Guard::Absent(key) if *key == broken);
        if broken.starts_with(keys::PLANS) && commit.guards.iter().any(is_new_plan) {
            // Somebody else has planned: of what they have written this plan knows nothing.
            return Err(StoreError::Conflict { key: Some(broken) });
        }
        commit.guards.retain(|guard| guard.key() != broken);
        commit.writes.retain(|write| write.key() != broken);
        if commit.writes.len() == n_before {
            // It is about something else than what is written: nothing would come of another try.
            return Err(StoreError::Conflict { key: Some(broken) });
        }
        tracing::debug!(key = broken, "changed meanwhile, and left to the next plan");
    }
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
            let record = AssignedRecord::of(hosts.iter());
            Write::Put { key, value: record::encode(&record), lease: None }
        }
        None => Write::Delete(key),
    };
    (guard, write)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use steerage_core::id::{AppName, HostName};
    use steerage_core::place::{Move, Why, reason};

    use super::*;
    use crate::forward::Peers;
    use crate::store::{Store, StoreSettings};

    #[tokio::test]
    async fn after_a_commit_that_fails_none_begins_and_none_is_left_under_way() {
        let (n_begun, n_done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let commit = |number: usize| {
            let (n_begun, n_done) = (&n_begun, &n_done);
            async move {
                n_begun.fetch_add(1, Ordering::Relaxed);
                // The others take longer than the one that fails.
                for _ in 0..number {
                    tokio::task::yield_now().await;
                }
                n_done.fetch_add(1, Ordering::Relaxed);
                if number == 2 { Err(StoreError::LeaseLost) } else { Ok(100) }
            }
        };
        let failed = sum_of((0..50).map(commit)).await;
        assert!(matches!(failed, Err(StoreError::LeaseLost)), "{failed:?}");
        // Two had ended well before.
        assert_eq!(n_begun.load(Ordering::Relaxed), COMMITS_AT_ONCE + 2);
        assert_eq!(n_done.load(Ordering::Relaxed), COMMITS_AT_ONCE + 2);
        let all = sum_of((0..50).map(|number| commit(number + 3))).await;
        assert!(matches!(all, Ok(5000)), "{all:?}");
    }

    #[tokio::test]
    async fn what_others_changed_meanwhile_keeps_back_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::Embedded(folder.path().to_owned())).await.unwrap();
        let fleet =
            Fleet::new("h1".parse().unwrap(), store, Peers::new(None), folder.path().join("copy"));
        let assigned = |app: &str, host: &str| {
            let hosts = [host.to_owned()].into();
            let record = AssignedRecord { hosts, ..AssignedRecord::default() };
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
        let (orphans, mut numbers) = (BTreeSet::new(), PlanNumbers::default());
        let drawn = Drawn { plan: &plan, orphans: &orphans, triggers: vec!["it was time".into()] };
        let written = write(&fleet, &view, &drawn, &mut numbers).await.unwrap();
        assert_eq!(written, Written { number: 1, n_apps: 298 });
        let (view, _) = View::read(&fleet.store().read("").await.unwrap());
        let (b, h2): (AppName, HostName) = ("b".parse().unwrap(), "h2".parse().unwrap());
        let b = view.assigned_to(&b).unwrap().get(&h2).unwrap();
        assert_eq!((b.plan, reason(b.why)), (1, "more replicas were wanted"));
        let (plans, troubles) = history::history(&fleet).await.unwrap();
        assert_eq!((plans.len(), troubles.len(), plans[0].0), (1, 0, 1));
        let plan = &plans[0].1;
        assert_eq!((plan.n_moves, plan.n_apps, plan.n_left), (302, 302, 4));
        assert_eq!((plan.result, &*plan.host), (PlanResult::Written, "h1"));
        assert_eq!(plan.triggers, ["it was time"]);
        let size = serde_json::to_vec(plan).unwrap().len();
        assert!(plan.moves.len() > 90 && size < 16 << 10, "{} in {size}", plan.moves.len());
        for (app, host) in [("a", "h7"), ("b", "h2"), ("app-099", "h2"), ("app-299", "h7")] {
            let on = view.assigned_to(&app.parse().unwrap()).unwrap();
            assert_eq!(on.keys().map(HostName::as_str).collect::<Vec<_>>(), [host], "{app}");
        }
    }
}
