//! What is wrong with calls that fail: how they end, and what those have in common that the others have
//! not. What fails in the same way everywhere is not blamed on one deployment, path or host.

use std::collections::{BTreeMap, BTreeSet};

use super::{AppPast, Diagnosis, PastCall, PastEvent, Remedy, ago, mostly};
use crate::outcome::{Fault, fault_of};
use crate::spent::Phase;
use crate::units::many;

/// As many good calls of one deployment show that it does not fail as the other does.
const ENOUGH: usize = 5;
/// As many failed calls in one place, and none anywhere else, show that it is the place.
const IN_ONE_PLACE: usize = 3;
/// What happened so long before the first failure may have to do with it: milliseconds.
const JUST_BEFORE: u64 = 60_000;
/// A phase that takes so much of the time of failed calls says what they waited for: percent.
const MOST_OF_IT: u128 = 60;
/// Frames that are told.
const FRAMES: usize = 3;

/// Calls that failed.
pub(super) fn calls(past: &AppPast) -> Option<Diagnosis> {
    // What was gone back from fails no more.
    let is_served =
        |call: &PastCall| call.generation == past.current || Some(call.generation) == past.canary;
    let failed = past.calls.iter().filter(|call| call.is_failed());
    let failed: Vec<&PastCall> = failed.filter(|call| is_served(call)).collect();
    let mut ways = BTreeMap::<(&str, u16), Vec<&PastCall>>::new();
    for call in &failed {
        ways.entry(way(call)).or_default().push(call);
    }
    // Of two that are as frequent the later one.
    let (way, these) = ways
        .iter()
        .max_by_key(|(_, calls)| (calls.len(), calls.iter().map(|call| call.at).max()))?;
    let event = past.events.iter().rev().find(|event| event.kind == way.0);
    let n_calls = past.calls.len();
    let how_many = if these.len() == n_calls && n_calls > 1 {
        format!("all of the last {} of {}", many(n_calls, "call"), past.app)
    } else {
        format!("{} of the last {} of {}", these.len(), many(n_calls, "call"), past.app)
    };
    let claim = match (*way, event) {
        (("answered", status), _) => format!("{how_many} were answered {status} by the app itself"),
        ((cause, _), Some(event)) => format!("{how_many} failed ({cause}): {}", event.message),
        ((cause, _), None) => format!("{how_many} failed ({cause})"),
    };
    let deployment = deployment(past, these);
    let mut evidence = Vec::new();
    evidence.extend(deployment.told());
    evidence.extend(one_place(past, these, "path", |call| &call.path));
    evidence.extend(one_place(past, these, "method", |call| &call.method));
    evidence
        .extend(one_place(past, these, "host", |call| call.host.as_deref().unwrap_or_default()));
    if let Some(frames) = event.map(|event| &event.frames).filter(|frames| !frames.is_empty()) {
        let frames: Vec<&str> = frames.iter().take(FRAMES).map(String::as_str).collect();
        evidence.push(format!("the guest was in {}", frames.join(", called by ")));
    }
    let waited = mostly(these.iter().copied()).filter(|(_, percent)| *percent >= MOST_OF_IT);
    let waited = waited.filter(|(phase, _)| !matches!(phase, Phase::Guest | Phase::Host));
    if let Some((phase, percent)) = waited {
        evidence
            .push(format!("{percent}% of the time of a call that failed it {}", phase.meaning()));
    }
    evidence.extend(just_before(past, these));
    let others: usize = failed.len() - these.len();
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
    if let Some(last) = these.last() {
        evidence.push(format!("the last of them is {}, {} ago", last.id, ago(past.now, last.at)));
    }
    let remedy = remedy(past, way.0, event, &deployment, waited.map(|(phase, _)| phase));
    Some(Diagnosis { claim, evidence, remedy: Some(remedy) })
}

/// What is the same of calls that fail in the same way.
fn way(call: &PastCall) -> (&str, u16) {
    (&call.cause, if call.cause == "answered" { call.status } else { 0 })
}

/// Whether a deployment is to blame.
enum Deployment {
    /// Only this one fails; the one before it has answered so many calls, and not failed so.
    Only { generation: u64, deployed: Option<String>, before: u64, n_good: usize },
    /// These all fail alike.
    Alike(BTreeSet<u64>),
    /// There is nothing to compare with.
    Unknown,
}

fn deployment(past: &AppPast, these: &[&PastCall]) -> Deployment {
    let the_way = these.first().map(|call| way(call));
    // What failed earlier and in the same way counts, too.
    let earlier = past.older_failures.iter().chain(&past.calls);
    let earlier = earlier.filter(|call| call.is_failed() && Some(way(call)) == the_way);
    let all: BTreeSet<u64> =
        these.iter().copied().chain(earlier).map(|call| call.generation).collect();
    let mut failing = all.iter().copied();
    let (Some(generation), None) = (failing.next(), failing.next()) else {
        return Deployment::Alike(all);
    };
    let good = past.calls.iter().filter(|call| call.generation < generation && !call.is_failed());
    let before = good.clone().map(|call| call.generation).max();
    let n_good = good.filter(|call| Some(call.generation) == before).count();
    match before {
        Some(before) if n_good >= ENOUGH => {
            let deployed = past.deployments.iter().find(|(known, _)| *known == generation);
            let deployed = deployed.map(|(_, at)| ago(past.now, *at));
            Deployment::Only { generation, deployed, before, n_good }
        }
        _ => Deployment::Unknown,
    }
}

impl Deployment {
    fn told(&self) -> Option<String> {
        match self {
            Self::Only { generation, deployed, before, n_good } => {
                let deployed = deployed.as_ref();
                let deployed =
                    deployed.map(|ago| format!(", deployed {ago} ago")).unwrap_or_default();
                Some(format!(
                    "all are of generation {generation}{deployed}; of generation {before} the last {} \
                     went well",
                    many(n_good, "call")
                ))
            }
            Self::Alike(generations) => {
                let several = generations.len() > 1;
                let named: Vec<String> = generations.iter().map(u64::to_string).collect();
                several.then(|| {
                    format!(
                        "generations {} fail alike: it is not what was deployed last",
                        named.join(" and ")
                    )
                })
            }
            Self::Unknown => None,
        }
    }
}

/// That all calls with one value fail, and none of the others.
fn one_place<'c>(
    past: &'c AppPast,
    these: &[&'c PastCall],
    what: &str,
    value: impl Fn(&'c PastCall) -> &'c str,
) -> Option<String> {
    let values: BTreeSet<&str> = these.iter().map(|call| value(call)).collect();
    let mut values = values.into_iter().filter(|value| !value.is_empty());
    let (Some(only), None) = (values.next(), values.next()) else { return None };
    let there = past.calls.iter().filter(|call| value(call) == only).count();
    let elsewhere = past.calls.len() - there;
    (these.len() >= IN_ONE_PLACE && elsewhere >= IN_ONE_PLACE).then(|| {
        format!(
            "all have the {what} {only}: {} of {there} fail there, none of {elsewhere} elsewhere",
            these.len()
        )
    })
}

/// What happened just before the first failure of this kind.
fn just_before(past: &AppPast, these: &[&PastCall]) -> Option<String> {
    let first = these.iter().map(|call| call.at).min()?;
    // Failures are no reasons: only changes are.
    let changes = past.events.iter().filter(|event| {
        fault_of(&event.kind).is_none()
            && event.first_at <= first
            && event.first_at + JUST_BEFORE >= first
    });
    let change = changes.max_by_key(|event| event.first_at)?;
    Some(format!(
        "{} s before the first of them: {}",
        (first - change.first_at).div_ceil(1000),
        change.message
    ))
}

fn remedy(
    past: &AppPast,
    cause: &str,
    event: Option<&PastEvent>,
    deployment: &Deployment,
    waited: Option<Phase>,
) -> Remedy {
    if let Deployment::Only { generation, before, .. } = deployment
        && fault_of(cause) != Some(Fault::Host)
    {
        // Going back takes a canary back, and the number would take away what is served beside it.
        let to = if Some(*generation) == past.canary {
            String::new()
        } else {
            format!(" --to {before}")
        };
        return Remedy {
            text: format!("go back to generation {before}, and find out what has changed since"),
            command: Some(format!("steerage rollback {}{to}", past.app)),
            changes: true,
        };
    }
    let advice = event.and_then(|event| event.advice.clone());
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
