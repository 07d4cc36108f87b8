//! How it is told what was done about a new deployment, with the figures and the next step.
//! Decides nothing.

use std::time::Duration;

use steerage_core::canary::Margin;
use steerage_core::id::Generation;
use steerage_core::rollout::Next;

use super::{Finding, What};
use crate::desired::DeployError;
use crate::fleet::record::CanaryRecord;
use crate::telemetry::chain;
use crate::telemetry::events::{Event, Events, Severity};

/// What was done, as an event.
pub(super) fn tell(events: &Events, finding: &Finding) {
    let (app, generation) = (&finding.app, finding.generation());
    let calls_and_logs = format!("see `steerage calls {app}` and `steerage logs {app}`");
    let (kind, message, advice) = match &finding.what {
        What::Canary(_, Next::Wait(_)) => return,
        What::Canary(canary, Next::Step(step)) => {
            ("canary_advanced", advanced(finding, canary, *step), None)
        }
        What::Canary(_, Next::Promote) => {
            let why = "it did no worse in any of its steps";
            let message = format!("generation {generation} of {app} has all calls now: {why}");
            ("canary_promoted", message, None)
        }
        What::Canary(_, Next::RollBack(worse)) => {
            let message = format!("generation {generation} of {app} was rolled back: {worse}");
            ("canary_rolled_back", message, Some(calls_and_logs))
        }
        What::Failing(watch, failing) => {
            let message = format!(
                "generation {generation} of {app} was rolled back to generation {}: {failing}",
                watch.replaced
            );
            let advice = format!(
                "see `steerage show {app}` and `steerage calls {app}`; to have it served all the same, \
                 `steerage deploy --no-watch`"
            );
            ("deployment_rolled_back", message, Some(advice))
        }
    };
    let severity = if advice.is_some() { Severity::Warning } else { Severity::Info };
    match severity {
        Severity::Info => tracing::info!(%app, generation, kind, "{message}"),
        _ => tracing::warn!(%app, generation, kind, "{message}"),
    }
    events.push(Event {
        app: Some(app.clone()),
        generation: Generation::new(generation),
        severity,
        evidence: evidence(finding),
        advice,
        ..Event::now(kind, message)
    });
}

/// That a deployment fails and could not be rolled back. What else could not be done about a canary is
/// tried again, and harms nobody meanwhile.
pub(super) fn tell_failed(events: &Events, finding: &Finding, error: &DeployError) {
    if matches!(finding.what, What::Canary(_, Next::Wait(_) | Next::Step(_) | Next::Promote)) {
        return;
    }
    let (app, generation) = (&finding.app, finding.generation());
    let message = format!(
        "generation {generation} of {app} does worse and cannot be rolled back: {}",
        chain(error)
    );
    events.push(Event {
        app: Some(app.clone()),
        generation: Generation::new(generation),
        severity: Severity::Error,
        evidence: evidence(finding),
        advice: Some(format!(
            "it is tried again; see `steerage show {app}`, and `steerage rollback {app} --to N`"
        )),
        ..Event::now("rollback_failed", message)
    });
}

fn advanced(finding: &Finding, canary: &CanaryRecord, step: usize) -> String {
    let share = canary.steps().get(step).map_or_else(String::new, |step| step.share.to_string());
    let (app, number, all) = (&finding.app, step + 1, canary.steps.len());
    let generation = canary.generation;
    format!("{share} of {app} is generation {generation} now: step {number} of {all}")
}

fn evidence(finding: &Finding) -> Vec<(String, String)> {
    let is_canary = matches!(finding.what, What::Canary(..));
    let mut evidence = Vec::new();
    for (name, side) in
        [("old", &finding.old), (if is_canary { "canary" } else { "new" }, &finding.new)]
    {
        evidence.push((format!("{name}_calls"), side.calls.to_string()));
        evidence.push((format!("{name}_failed"), side.failed.to_string()));
        if is_canary {
            let slow = side.durations.exceeded_by(Margin::STATED.slow);
            evidence.push((format!("{name}_p95"), format!("{:?}", Duration::from_micros(slow))));
        } else {
            evidence.push((format!("{name}_given_up"), side.abandoned.count().to_string()));
        }
    }
    evidence
}

impl Finding {
    pub(super) fn generation(&self) -> u64 {
        match &self.what {
            What::Canary(canary, _) => canary.generation,
            What::Failing(watch, _) => watch.generation,
        }
    }
}
