//! Rolling back canaries that do worse: the host that plans looks at what all hosts report of them.
//! Promotes none, and does not say what is worse: `core::canary` does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use steerage_core::canary::{self, CanaryVerdict, Margin, Side, Worse};
use steerage_core::id::{AppName, Generation};

use super::Member;
use crate::fleet::View;
use crate::fleet::record::RolledBack;
use crate::placement;
use crate::telemetry::chain;
use crate::telemetry::events::{Event, Severity};

/// How often is looked. Hosts report as often while there is a trial.
const EVERY: Duration = Duration::from_millis(500);

/// A canary that does worse.
#[derive(Debug)]
struct Regression {
    app: AppName,
    generation: u64,
    worse: Worse,
    old: Side,
    canary: Side,
}

/// Looks for them until it is dropped.
pub(super) async fn analyze(member: &Member) {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        let Some(view) = view(member).await else { continue };
        for regression in found(&view) {
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let rolled_back = RolledBack {
                generation: regression.generation,
                why: regression.worse.to_string(),
                at: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            };
            let done = member.desired.roll_back_canary(&regression.app, rolled_back).await;
            match done {
                Ok(true) => tell(member, &regression),
                // Somebody else was first.
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(app = %regression.app, error = chain(&error), "a canary does worse and cannot be rolled back yet");
                }
            }
        }
    }
}

/// What is looked at; nothing where another host does, or nothing is tried.
async fn view(member: &Member) -> Option<Arc<View>> {
    if !member.fleet.is_alone() {
        return placement::is_planner(&member.fleet).then(|| member.fleet.view());
    }
    let tried = member.agent.canaries();
    if tried.is_empty() {
        return None;
    }
    member.desired.look_at(&tried).await.ok()
}

/// The canaries that do worse.
fn found(view: &View) -> Vec<Regression> {
    let parts = view.usage.values().flat_map(imbl::OrdMap::values);
    let reported = parts.flat_map(|part| part.canaries.keys());
    let apps: BTreeSet<AppName> = reported.filter_map(|app| app.parse().ok()).collect();
    let regressions = apps.into_iter().filter_map(|app| {
        let generation = view.apps.get(&app)?.0.canary.as_ref()?.generation;
        let (old, canary) = view.canary_sides(&app, generation);
        match canary::judge(&old, &canary, &Margin::STATED) {
            CanaryVerdict::TooEarly | CanaryVerdict::Fine => None,
            CanaryVerdict::Worse(worse) => Some(Regression { app, generation, worse, old, canary }),
        }
    });
    regressions.collect()
}

fn tell(member: &Member, regression: &Regression) {
    let Regression { app, generation, worse, old, canary } = regression;
    let mut evidence = Vec::new();
    for (name, side) in [("old", old), ("canary", canary)] {
        let slow = side.durations.exceeded_by(Margin::STATED.slow);
        evidence.push((format!("{name}_calls"), side.calls.to_string()));
        evidence.push((format!("{name}_failed"), side.failed.to_string()));
        evidence.push((format!("{name}_p95"), format!("{:?}", Duration::from_micros(slow))));
    }
    tracing::warn!(%app, generation, %worse, "rolled a canary back");
    member.own.events.push(Event {
        app: Some(app.clone()),
        generation: Generation::new(*generation),
        severity: Severity::Warning,
        evidence,
        advice: Some(format!("see `steerage calls {app}` and `steerage logs {app}`")),
        ..Event::now(
            "canary_rolled_back",
            format!("generation {generation} of {app} was rolled back: {worse}"),
        )
    });
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
        view.apps.insert(shop.clone(), (Arc::new(record), Revision(1)));
        for (host, generation) in [("h1", 2), ("h2", 2), ("h3", 9)] {
            let report = CanaryUse::of(generation, &side(1000, 0), &side(60, 30));
            let canaries = [("shop".to_owned(), report)].into();
            let used = UseRecord { canaries, ..UseRecord::default() };
            let parts = [(0u32, Arc::new(used))].into_iter().collect();
            view.usage.insert(host.parse().unwrap(), parts);
        }
        let found_now = found(&view);
        assert_eq!(found_now.len(), 1);
        assert_eq!(
            (found_now[0].generation, found_now[0].canary.calls, found_now[0].old.calls),
            (2, 120, 2000)
        );
        let mut record = AppRecord::clone(&view.apps[&shop].0);
        record.canary.as_mut().unwrap().generation = 9;
        view.apps.insert(shop.clone(), (Arc::new(record.clone()), Revision(2)));
        assert_eq!(found(&view)[0].canary.calls, 60);
        record.canary = None;
        view.apps.insert(shop, (Arc::new(record), Revision(3)));
        assert!(found(&view).is_empty());
    }
}
