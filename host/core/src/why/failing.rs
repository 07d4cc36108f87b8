//! What is wrong with calls that fail: how they end, and what those have in common that the others have
//! not. What fails in the same way everywhere is not blamed on one deployment, path or host.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::destination::{self, Culprit};
use super::{AppPast, Diagnosis, PastCall, PastEvent, Remedy, busy, common, mostly, printed};
use crate::outcome::{Fault, fault_of};
use crate::spent::Phase;
use crate::units::{age, ago, many};

/// As many good calls of one deployment show that it does not fail as the other does.
const ENOUGH: usize = 5;
/// A deployment is to blame where as many failures would have been among the good calls of the one before,
/// had it failed as often.
const EXPECTED: usize = 3;
/// Fewer failures of other deployments, within so many milliseconds, do not show that they fail alike.
const ALIKE: usize = 3;
const ALIKE_WITHIN: u64 = 3_600_000;
/// Failures that began so long after a deployment have another reason: milliseconds.
const AFTER_DEPLOY: u64 = 600_000;
/// Endings of calls whose time was over, or would have been.
const OF_TIME: [&str; 2] = ["timed_out", "too_late"];
/// A wait for less than this is the reason of nothing.
const WORTH_TELLING: Duration = Duration::from_millis(10);
/// What happened so long before the first failure may have to do with it: milliseconds.
const JUST_BEFORE: u64 = 60_000;
/// Failures that are kept for longer count for so long: milliseconds.
const RECENT: u64 = 600_000;
/// Endings for which load is to blame: going back would not help.
const OF_LOAD: [&str; 4] = ["app_busy", "too_late", "host_memory", "quarantined"];
/// Endings for which somebody else may be to blame whom the guest has asked.
const FAILED_BY_OTHERS: [&str; 3] = ["answered", "timed_out", "no_answer"];
/// A phase that takes so much of the time of failed calls says what they waited for: percent.
const MOST_OF_IT: u128 = 60;
/// As many calls fill what is kept of the last.
const MANY: usize = 64;

/// Calls that failed.
pub(super) fn calls(past: &AppPast) -> Option<Diagnosis> {
    // What was gone back from fails no more.
    let is_served = |call: &PastCall| past.is_served(call.generation);
    let is_recent = |call: &PastCall| call.at.saturating_add(RECENT) >= past.now;
    let older = past.older_failures.iter().filter(|call| is_recent(call));
    let failed = older.chain(past.calls.iter().filter(|call| call.is_failed()));
    let mut ways = BTreeMap::<(&str, u16), Vec<&PastCall>>::new();
    for call in failed.filter(|call| is_served(call)) {
        ways.entry(way(call)).or_default().push(call);
    }
    // Of two that are as frequent the later one.
    let (way, these) = ways
        .iter()
        .max_by_key(|(_, calls)| (calls.len(), calls.iter().map(|call| call.at).max()))?;
    let last = these.last()?;
    let is_same = |event: &&PastEvent| {
        event.kind == way.0 && event.generation.is_none_or(|of| of == last.generation)
    };
    let event = past.events.iter().rev().find(is_same);
    let how_many = how_many(past, these);
    let claim = match *way {
        ("answered", status) => format!("{how_many}: the app itself answered {status}"),
        (cause, _) => format!("{how_many}: failed ({cause})"),
    };
    let waited = mostly(these.iter().copied()).filter(|(_, percent)| *percent >= MOST_OF_IT);
    let waited = waited.filter(|(phase, _)| is_reason(*phase, way.0, these));
    let deployment = deployment(past, these);
    let mut evidence = Vec::new();
    evidence.extend(event.map(|event| format!("what was said of it last: {}", event.message)));
    evidence.extend(deployment.told());
    evidence.extend(printed::by(past, these));
    evidence.extend(common::all(past, these));
    evidence.extend(event.and_then(|event| printed::frames(&event.frames)));
    if let Some((phase, percent)) = waited {
        evidence
            .push(format!("{percent}% of the time of a call that failed it {}", phase.meaning()));
        evidence.extend(busy::neighbour(past, phase, these.iter().copied()));
    }
    let culprit = destination::of_failed(past, these);
    evidence.extend(culprit.as_ref().map(|culprit| culprit.told.clone()));
    evidence.extend(just_before(past, these));
    let others: usize = ways.values().map(Vec::len).sum::<usize>() - these.len();
    if others > 0 {
        let causes: BTreeSet<&str> =
            ways.keys().filter(|other| *other != way).map(|(cause, _)| *cause).collect();
        let causes: Vec<&str> = causes.into_iter().collect();
        evidence.push(format!(
            "{} failed in other ways: {}",
            many(others, "call"),
            causes.join(", ")
        ));
    }
    evidence.push(format!("the last of them is {}, {} ago", last.id, ago(past.now, last.at)));
    let because = Because { deployment, waited: waited.map(|(phase, _)| phase), culprit };
    let remedy = remedy(past, way.0, event, &because);
    Some(Diagnosis { claim, evidence, remedy: Some(remedy) })
}

/// Whether what calls waited for may have to do with how they ended.
fn is_reason(phase: Phase, cause: &str, these: &[&PastCall]) -> bool {
    match phase {
        Phase::Guest | Phase::Host => false,
        // Whom a guest asks has a part in what it answers, however long that takes.
        Phase::Outbound => {
            let waited = these.iter().flat_map(|call| &call.phases);
            let waited = waited.filter(|(of, _)| *of == phase).map(|(_, took)| *took);
            let n_calls = u32::try_from(these.len()).unwrap_or(u32::MAX).max(1);
            OF_TIME.contains(&cause) || waited.sum::<Duration>() / n_calls >= WORTH_TELLING
        }
        // Others make a call fail only where its time is over.
        _ => OF_TIME.contains(&cause),
    }
}

/// How many calls failed, of how many.
pub(super) fn how_many(past: &AppPast, these: &[&PastCall]) -> String {
    let (app, n_calls) = (&past.app, past.calls.len());
    let n_last = these.iter().filter(|call| past.is_among_the_last(call)).count();
    if n_last == 0 {
        let first = these.iter().map(|call| call.at).min().unwrap_or(past.now);
        let calls = many(these.len(), "call");
        return format!("within {} {calls} of {app}", ago(past.now, first));
    }
    let whose = if n_last == n_calls && n_calls > 1 { "all" } else { &n_last.to_string() };
    format!("{whose} of the last {} of {app}", many(n_calls, "call"))
}

/// What is the same of calls that fail in the same way.
fn way(call: &PastCall) -> (&str, u16) {
    (&call.cause, if call.cause == "answered" { call.status } else { 0 })
}

/// Whether a deployment is to blame.
enum Deployment {
    /// This one fails since it was deployed; the one before it has answered so many calls well, and has
    /// failed in the same way so often.
    Only { generation: u64, deployed: Option<String>, before: u64, n_good: usize, n_failed: usize },
    /// These all fail alike.
    Alike(BTreeSet<u64>),
    /// There is nothing to compare with, or it shows nothing.
    Unknown,
}

fn deployment(past: &AppPast, these: &[&PastCall]) -> Deployment {
    let Some(last) = these.last() else { return Deployment::Unknown };
    let (the_way, generation) = (way(last), last.generation);
    let is_same = |call: &&PastCall| call.is_failed() && way(call) == the_way;
    let all = || past.older_failures.iter().chain(&past.calls);
    let is_other = |call: &&PastCall| {
        call.generation != generation && call.at.saturating_add(ALIKE_WITHIN) >= past.now
    };
    let others = || all().filter(is_same).filter(is_other);
    if others().count() >= ALIKE {
        let others = others().map(|call| call.generation);
        return Deployment::Alike(others.chain([generation]).collect());
    }
    // Where it was gone back to: not what was taken back, nor what is kept no more.
    let before =
        past.deployments.iter().map(|(known, _)| *known).filter(|known| *known < generation);
    let Some(before) = before.max() else { return Deployment::Unknown };
    let of = |generation: u64| past.calls.iter().filter(move |call| call.generation == generation);
    let n_good = of(before).filter(|call| !call.is_failed()).count();
    let n_failed = of(before).count() - n_good;
    let n_these = of(generation).filter(is_same).count();
    let n_all = of(generation).count().max(1);
    let deployed_at = past.deployments.iter().find(|(known, _)| *known == generation);
    let first = all().filter(is_same).filter(|call| call.generation == generation);
    let first = first.map(|call| call.at).min().unwrap_or(last.at);
    let is_since = deployed_at.is_none_or(|(_, at)| first <= at.saturating_add(AFTER_DEPLOY));
    let is_more = n_these * n_good >= EXPECTED * n_all && n_failed * n_all * 2 <= n_these * n_good;
    if n_good < ENOUGH || !is_since || !is_more {
        return Deployment::Unknown;
    }
    let deployed = deployed_at.map(|(_, at)| ago(past.now, *at));
    Deployment::Only { generation, deployed, before, n_good, n_failed }
}

impl Deployment {
    fn told(&self) -> Option<String> {
        match self {
            Self::Only { generation, deployed, before, n_good, n_failed } => {
                let deployed = deployed.as_ref();
                let deployed =
                    deployed.map(|ago| format!(", deployed {ago} ago")).unwrap_or_default();
                let failed = match n_failed {
                    0 => "none".to_owned(),
                    number => number.to_string(),
                };
                Some(format!(
                    "all are of generation {generation}{deployed}; of generation {before} {failed} of \
                     the last {} failed",
                    many(n_good + n_failed, "call")
                ))
            }
            Self::Alike(generations) => {
                let named: Vec<String> = generations.iter().map(u64::to_string).collect();
                Some(format!(
                    "generations {} fail alike: it is not what was deployed last",
                    named.join(" and ")
                ))
            }
            Self::Unknown => None,
        }
    }
}

/// What happened just before the first failure of this kind.
fn just_before(past: &AppPast, these: &[&PastCall]) -> Option<String> {
    let first = these.iter().map(|call| call.at).min()?;
    // It may have begun before what is kept.
    if past.calls.first().is_none_or(|oldest| oldest.at >= first && past.calls.len() >= MANY) {
        return None;
    }
    // Failures are no reasons: only changes are.
    let changes = past.events.iter().filter(|event| {
        fault_of(&event.kind).is_none()
            && event.first_at <= first
            && event.first_at.saturating_add(JUST_BEFORE) >= first
    });
    let change = changes.max_by_key(|event| event.first_at)?;
    Some(format!(
        "{} before the first of them: {}",
        age((first - change.first_at).div_ceil(1000)),
        change.message
    ))
}

/// What was found out about calls that fail.
struct Because<'p> {
    deployment: Deployment,
    waited: Option<Phase>,
    culprit: Option<Culprit<'p>>,
}

fn remedy(past: &AppPast, cause: &str, event: Option<&PastEvent>, because: &Because<'_>) -> Remedy {
    let Because { deployment, waited, culprit } = because;
    let is_of_others = fault_of(cause) == Some(Fault::Host) || OF_LOAD.contains(&cause);
    if let Deployment::Only { generation, before, .. } = deployment
        && !is_of_others
    {
        let is_canary = Some(*generation) == past.canary;
        return Remedy {
            text: if is_canary {
                "take the canary back, and find out what it does otherwise".to_owned()
            } else {
                format!("go back to generation {before}, and find out what has changed since")
            },
            // The number would take away what is served beside a canary.
            command: Some(if is_canary {
                format!("steerage rollback {}", past.app)
            } else {
                format!("steerage rollback {} --to {before}", past.app)
            }),
            changes: true,
        };
    }
    let advice = event.and_then(|event| event.advice.clone());
    // Where one destination is to blame, it is the one to look at; but a guest that traps does wrong itself.
    let is_passed_on = FAILED_BY_OTHERS.contains(&cause);
    let of_culprit = culprit.as_ref().filter(|_| is_passed_on).and_then(Culprit::remedy);
    let advice = of_culprit.or(advice);
    let advice = advice.or_else(|| waited.map(|phase| phase.remedy().to_owned()));
    let (text, command) = match advice {
        Some(advice) => (advice, None),
        None => {
            let text = "see what the app printed when it failed".to_owned();
            (text, Some(format!("steerage logs {}", past.app)))
        }
    };
    Remedy { text, command, changes: false }
}
