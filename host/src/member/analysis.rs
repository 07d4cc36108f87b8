//! Seeing new deployments through: the host that plans looks at what all hosts report of those that are on
//! trial or watched. It rolls back those that do worse than the one beside them or before them, and has
//! canaries take their steps, up to getting all calls where that was asked for.
//! Does not say what is worse or when a step is over: `core` does.

mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use steerage_core::canary::Side;
use steerage_core::id::AppName;
use steerage_core::rollout::{self, Failing, Next};
use tokio::time::Instant;

use super::Member;
use crate::agent::now;
use crate::desired::DeployError;
use crate::fleet::View;
use crate::fleet::record::{CanaryRecord, RolledBack, WatchRecord};
use crate::placement;
use crate::telemetry::chain;

/// How often is looked. Hosts report as often while there is something to report.
const EVERY: Duration = Duration::from_millis(500);
/// How long after a change that came to nothing it is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// A deployment of which something is to be done.
#[derive(Debug)]
struct Finding {
    app: AppName,
    what: What,
    /// What the one beside it or before it did.
    old: Side,
    /// What it did itself.
    new: Side,
}

/// What is to be done.
#[derive(Debug)]
enum What {
    /// What is next about a canary.
    Canary(Box<CanaryRecord>, Next),
    /// The deployment that has all calls fails where the one before it did not.
    Failing(WatchRecord, Failing),
}

/// Looks for them until it is dropped.
pub(super) async fn analyze(member: &Member) {
    let mut ticks = tokio::time::interval(EVERY);
    let mut failed: BTreeMap<AppName, Instant> = BTreeMap::new();
    loop {
        ticks.tick().await;
        let Some(view) = view(member).await else { continue };
        failed.retain(|_, at| at.elapsed() < AGAIN);
        for finding in found(&view, now()) {
            if failed.contains_key(&finding.app) {
                continue;
            }
            match act(member, &finding).await {
                Ok(true) => told::tell(&member.own.events, &finding),
                // Somebody else was first.
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(app = %finding.app, error = chain(&error), "a deployment cannot be seen through yet");
                    told::tell_failed(&member.own.events, &finding, &error);
                    failed.insert(finding.app, Instant::now());
                }
            }
        }
    }
}

/// Does what is to be done; whether this did it.
async fn act(member: &Member, finding: &Finding) -> Result<bool, DeployError> {
    let (app, desired) = (&finding.app, &member.desired);
    match &finding.what {
        What::Canary(canary, next) => match next {
            Next::Wait(_) => Ok(false),
            Next::Step(step) => {
                desired.take_step(app, (canary.generation, *step), finding.new.calls).await
            }
            Next::Promote => desired.promote_by_itself(app, canary.generation).await,
            Next::RollBack(worse) => {
                let (generation, why) = (canary.generation, worse.to_string());
                let rolled_back = RolledBack { generation, why, at: now(), had_all: false };
                desired.roll_back_canary(app, rolled_back).await
            }
        },
        What::Failing(watch, failing) => {
            let (generation, why) = (watch.generation, failing.to_string());
            let rolled_back = RolledBack { generation, why, at: now(), had_all: true };
            Ok(desired.roll_back_watched(app, &rolled_back).await?.is_some())
        }
    }
}

/// What is looked at; nothing where another host does, or nothing is tried or watched.
async fn view(member: &Member) -> Option<Arc<View>> {
    if !member.fleet.is_alone() {
        return placement::is_planner(&member.fleet).then(|| member.fleet.view());
    }
    let tried = member.agent.canaries();
    if tried.is_empty() {
        return None;
    }
    let view = member.desired.look_at(&tried).await;
    view.inspect_err(|error| {
        tracing::warn!(error = chain(error), "canaries cannot be looked at");
    })
    .ok()
}

/// The deployments of which something is to be done.
fn found(view: &View, now: u64) -> Vec<Finding> {
    let parts = view.usage.values().flat_map(imbl::OrdMap::values);
    let reported = parts.flat_map(|part| part.canaries.keys());
    let apps: BTreeSet<AppName> = reported.filter_map(|app| app.parse().ok()).collect();
    apps.into_iter().filter_map(|app| found_of(view, app, now)).collect()
}

fn found_of(view: &View, app: AppName, now: u64) -> Option<Finding> {
    let record = view.app(&app)?;
    if let Some(canary) = &record.canary {
        let (old, new) = view.canary_sides(&app, canary.generation);
        let next = rollout::next(&canary.steps(), &canary.progress(), (&old, &new), now);
        let is_due = !matches!(next, Next::Wait(_));
        let what = What::Canary(Box::new(canary.clone()), next);
        return is_due.then_some(Finding { app, what, old, new });
    }
    let watch = record.watched(now)?;
    let (old, new) = view.canary_sides(&app, watch.generation);
    let what = What::Failing(watch.clone(), rollout::failing(&old, &new)?);
    Some(Finding { app, what, old, new })
}

#[cfg(test)]
mod tests {
    use steerage_core::canary::Durations;

    use super::*;
    use crate::fleet::record::{AppRecord, CanaryUse, UseRecord, decode};
    use crate::store::Revision;

    fn side(calls: u64, failed: u64) -> Side {
        let mut durations = Durations::default();
        durations.add(Durations::class(5000), calls);
        Side { calls, failed, durations, ..Side::default() }
    }

    #[test]
    fn only_what_is_on_trial_now_is_rolled_back() {
        let record = br#"{"v": 1, "generation": 1, "replicas": 1, "min": 1, "max": 1,
            "canary": {"generation": 2, "share": 500, "since": 0}}"#;
        let record: AppRecord = decode("desired/apps/shop", record).unwrap();
        let mut view = View::default();
        let shop: AppName = "shop".parse().unwrap();
        view.put_app(&shop, Some(record), Revision(1));
        for (host, generation) in [("h1", 2), ("h2", 2), ("h3", 9)] {
            let report = CanaryUse::of(generation, &side(1000, 0), &side(60, 30));
            let canaries = [("shop".to_owned(), report)].into();
            let used = UseRecord { canaries, ..UseRecord::default() };
            let parts = [(0u32, Arc::new(used))].into_iter().collect();
            view.usage.insert(host.parse().unwrap(), parts);
        }
        let found_now = found(&view, 0);
        assert_eq!(found_now.len(), 1);
        assert_eq!(
            (found_now[0].generation(), found_now[0].new.calls, found_now[0].old.calls),
            (2, 120, 2000)
        );
        let mut record = view.app(&shop).unwrap().clone();
        record.canary.as_mut().unwrap().generation = 9;
        view.put_app(&shop, Some(record.clone()), Revision(2));
        assert_eq!(found(&view, 0)[0].new.calls, 60);
        record.canary = None;
        view.put_app(&shop, Some(record), Revision(3));
        assert!(found(&view, 0).is_empty());
    }
    #[test]
    fn what_is_watched_is_rolled_back_while_it_is_watched_and_served() {
        let record = br#"{"v": 1, "generation": 2, "min": 1, "max": 1,
            "watch": {"generation": 2, "replaced": 1, "since": 0, "until": 100}}"#;
        let record: AppRecord = decode("desired/apps/shop", record).unwrap();
        let mut view = View::default();
        let shop: AppName = "shop".parse().unwrap();
        view.put_app(&shop, Some(record.clone()), Revision(1));
        // One host served both, the other one has only the new one.
        for (host, old, new) in [("h1", side(80, 0), side(9, 8)), ("h2", side(0, 0), side(7, 7))] {
            let report = CanaryUse::of(2, &old, &new);
            let canaries = [("shop".to_owned(), report)].into();
            let used = UseRecord { canaries, ..UseRecord::default() };
            let parts = [(0u32, Arc::new(used))].into_iter().collect();
            view.usage.insert(host.parse().unwrap(), parts);
        }
        let found_now = found(&view, 99);
        assert_eq!((found_now[0].generation(), found_now[0].new.calls), (2, 16));
        assert!(found(&view, 100).is_empty(), "the watch is over");
        // An operator has gone back, or deployed another one.
        for number in [1, 3] {
            let record = AppRecord { generation: number, ..record.clone() };
            view.put_app(&shop, Some(record), Revision(2));
            assert!(found(&view, 99).is_empty());
        }
    }
}
