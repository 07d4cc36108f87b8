//! What is wrong with how long an app's calls take: longer than those of the deployment before, than is
//! promised, or nearly as long as they may.
//! Judges calls that were answered: those that failed have a diagnosis of their own.

use std::time::Duration;

use super::{AppPast, Diagnosis, PastCall, Remedy, busy, destination, longer, mostly, percentiles};
use crate::spent::Phase;
use crate::units::{about_duration, many};

/// So many calls of each of two deployments are compared, at least.
const COMPARED: usize = 8;
/// A deployment is slower whose median is so many times the other's, and by so much.
const TIMES: u32 = 2;
const BY: Duration = Duration::from_millis(10);

/// So many calls that take longer than is promised are told, and so many times as many as may; or as many as lie
/// in the middle between as many as may and all, where that is fewer.
const LATE: usize = 4;
const TIMES_AS_MANY: f64 = 4.0;

/// What a call took without waiting for a core, for its turn, for code or for its client.
fn own_time(call: &PastCall) -> Duration {
    let is_others = |phase: Phase| {
        phase.is_of_client() || matches!(phase, Phase::Core | Phase::Queue | Phase::Code)
    };
    let others = call.phases.iter().filter(|(phase, _)| is_others(*phase));
    call.took.saturating_sub(others.map(|(_, took)| *took).sum())
}

/// Calls of which many more take longer than is promised than may.
fn longer_than_promised(past: &AppPast) -> Option<Diagnosis> {
    let promised = past.promised?;
    let served = past.calls.iter().filter(|call| past.is_served(call.generation));
    // A deployment that was just begun or moved has its code loaded once.
    let of_code = |call: &PastCall| -> Duration {
        let phases = call.phases.iter().filter(|(phase, _)| *phase == Phase::Code);
        phases.map(|(_, took)| *took).sum()
    };
    let is_late = |call: &&PastCall| longer::is_slow(call, promised.slow_after + of_code(call));
    let n_late = served.clone().filter(is_late).count();
    let n_calls = served.count();
    let may_be = promised.quick.rest();
    let part = (may_be * TIMES_AS_MANY).min(f64::midpoint(may_be, 1.0));
    if n_late < LATE || (n_late as f64) < n_calls as f64 * part {
        return None;
    }
    let claim = format!(
        "{n_late} of the last {} of {} took longer than is promised: {promised}",
        many(n_calls, "call"),
        past.app,
    );
    let found = longer::calls(past, promised.slow_after)?;
    Some(Diagnosis { claim, ..found })
}

/// Calls that take long.
pub(super) fn calls(past: &AppPast) -> Option<Diagnosis> {
    let answered: Vec<&PastCall> =
        past.calls.iter().filter(|call| call.cause == "answered" && call.status < 500).collect();
    let of = |generation: u64| answered.iter().copied().filter(move |c| c.generation == generation);
    let current = of(past.current);
    if current.clone().count() < COMPARED {
        return None;
    }
    let (_, high) = percentiles(current.clone().map(|call| call.took));
    // What load, loading and clients took is no deployment's doing.
    let (median, _) = percentiles(current.clone().map(own_time));
    let before = past.deployments.iter().map(|(generation, _)| *generation);
    let before = before.filter(|generation| *generation < past.current).max();
    let earlier = before.map(|before| (before, of(before)));
    let slower = earlier.filter(|(_, calls)| calls.clone().count() >= COMPARED);
    let slower = slower.map(|(before, calls)| (before, percentiles(calls.map(own_time)).0));
    let slower = slower.filter(|(_, was)| median > *was * TIMES && median > *was + BY);
    let (claim, rollback) = if let Some((before, was)) = slower {
        let claim = format!(
            "generation {} of {} takes {} at the median, where generation {before} took {}",
            past.current,
            past.app,
            about_duration(median),
            about_duration(was)
        );
        (claim, Some(before))
    } else if let Some(diagnosis) = longer_than_promised(past) {
        return Some(diagnosis);
    } else if let Some(timeout) = past.timeout.filter(|timeout| high >= *timeout / 2) {
        let claim = format!(
            "calls of {} take {} at the 95th percentile, and are cut after {}",
            past.app,
            about_duration(high),
            about_duration(timeout)
        );
        (claim, None)
    } else {
        return None;
    };
    let (phase, percent) = mostly(current.clone())?;
    // A client that sends or reads slowly is nobody's fault here.
    if matches!(phase, Phase::Client | Phase::RequestBody) {
        return None;
    }
    let mut evidence = vec![format!("{percent}% of the time of a call it {}", phase.meaning())];
    evidence.extend(busy::neighbour(past, phase, current.clone()));
    if phase == Phase::Outbound {
        evidence.extend(destination::of_slow(past, current).map(|culprit| culprit.told));
    }
    let remedy = Remedy {
        text: match rollback {
            Some(before) => format!("{}; or go back to generation {before}", phase.remedy()),
            None => phase.remedy().to_owned(),
        },
        command: rollback.map(|before| format!("steerage rollback {} --to {before}", past.app)),
        changes: rollback.is_some(),
    };
    Some(Diagnosis { claim, evidence, remedy: Some(remedy) })
}
