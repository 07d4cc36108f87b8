//! Whom calls wait for, and who fails them: one destination of their outbound requests, with its figures.
//! Names nobody where it is several, nor who fails good calls as often as others.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{AppPast, Diagnosis, PastCall, PastWait, Remedy};
use crate::destinations::{EndReason, RequestEnd};
use crate::units::{about_duration, many};

/// A destination counts as what a call waited for that took so much of its time: percent.
const MOST_OF_A_CALL: u32 = 60;
/// What is over so long before the first of the calls has nothing to do with them: milliseconds. What is
/// known of requests is known to the second.
const SLACK: u64 = 1_000;
/// A destination hardly answers where so many requests in a row are over and most of them had something wrong,
/// the last of them within so many milliseconds.
const LAST_REQUESTS: usize = 5;
const RECENT: u64 = 600_000;

/// A destination that is to blame.
pub(super) struct Culprit<'p> {
    pub(super) name: &'p str,
    /// What is wrong with it; nothing where it is only slow.
    pub(super) wrong: Option<RequestEnd>,
    /// It with its figures, in a sentence.
    pub(super) told: String,
    /// Why the last request to it failed in this way, where that is known.
    reason: Option<EndReason>,
}

impl<'p> Culprit<'p> {
    fn new(past: &AppPast, name: &'p str, wrong: Option<RequestEnd>, told: String) -> Self {
        let known = past.destinations.iter().find(|known| known.name == name);
        let last = known.and_then(|known| known.last_error.as_ref());
        let last = last.filter(|(end, _)| Some(*end) == wrong);
        Self { name, wrong, told, reason: last.and_then(|(_, why)| EndReason::of_text(why)) }
    }

    /// What to do about requests that end so; nothing where it is only slow.
    pub(super) fn remedy(&self) -> Option<String> {
        let wrong = self.wrong?;
        let remedy = self.reason.map_or_else(|| wrong.remedy(), EndReason::remedy);
        Some(format!("{}: {remedy}", self.name))
    }
}

/// Of a call, whom it has to do with.
type Pick = fn(&PastCall) -> Option<&PastWait>;

/// The destination that these failed calls have in common.
pub(super) fn of_failed<'p>(past: &'p AppPast, these: &[&'p PastCall]) -> Option<Culprit<'p>> {
    // A call that had no time left was failed by whom it waited for; another one by who gave it no answer.
    let n_late = these.iter().filter(|call| call.cause == "timed_out").count();
    let failed_by: Pick = |call| call.failed_by.as_ref();
    let picks = if n_late * 2 >= these.len() { [mostly, failed_by] } else { [failed_by, mostly] };
    picks.into_iter().find_map(|pick| in_common(past, these, pick))
}

/// The destination that these failed calls have in common, of those that are picked.
fn in_common<'p>(past: &'p AppPast, these: &[&'p PastCall], pick: Pick) -> Option<Culprit<'p>> {
    let name = most_frequent(these.iter().filter_map(|call| Some(&*pick(call)?.destination)))?;
    let blaming: Vec<(&PastCall, &PastWait)> = these
        .iter()
        .filter_map(|call| Some((*call, pick(call)?)))
        .filter(|(_, wait)| wait.destination == name)
        .collect();
    let wrongs = || blaming.iter().filter_map(|(_, wait)| wait.wrong);
    let is_by_wrong = wrongs().count() * 2 >= blaming.len();
    let shortest = blaming.iter().map(|(_, wait)| wait.waited).min().unwrap_or_default();
    // Where calls end well though they are failed by it as well, or wait for it as long, it is not the reason.
    let is_as_bad = |wait: &PastWait| {
        let is_as_long = !is_by_wrong && wait.waited * 2 >= shortest;
        wait.destination == name && (wait.wrong.is_some() || is_as_long)
    };
    let waits = |call: &'p PastCall| [&call.waited_for, &call.failed_by].into_iter().flatten();
    let good = || past.calls.iter().filter(|call| !call.is_failed());
    let n_good_as_bad = good().filter(|call| waits(call).any(is_as_bad)).count();
    let is_shown = blaming.len() * 2 >= these.len().max(1)
        && n_good_as_bad * these.len() * 2 <= blaming.len() * good().count().max(1);
    if !is_shown {
        return None;
    }
    let wrong = most_frequent(wrongs());
    let n_waiting = blaming.iter().filter(|(call, wait)| is_most_of(call, wait)).count();
    let lead = if n_waiting * 2 >= blaming.len() {
        format!("it waits for {name}")
    } else {
        format!("its requests to {name} fail")
    };
    let first = these.iter().map(|call| call.at).min().unwrap_or(past.now);
    let (wrong, figures) = figures(past, name, wrong, first).unwrap_or_else(|| {
        let calls = many(these.len(), "call");
        (wrong, format!("{} of the {calls} had no good answer from it", blaming.len()))
    });
    Some(Culprit::new(past, name, wrong, format!("{lead}: {figures}")))
}

/// A destination that hardly answers an app whose own calls are answered: it does without, or passes on what
/// it was told.
///
/// What was denied is none of that: the host has done its work.
pub(super) fn of_well(past: &AppPast) -> Option<Diagnosis> {
    // What a deployment asked that is gone is over.
    let current = past.deployments.iter().find(|(generation, _)| *generation == past.current);
    let deployed_at = current.map_or(0, |(_, at)| *at);
    let failing = past.destinations.iter().filter_map(|known| {
        let last = known.recent.iter().rev().take(LAST_REQUESTS);
        let is_failing = |end: RequestEnd| end.is_wrong() && end != RequestEnd::Denied;
        let n_wrong = last.clone().filter(|(_, end, _)| is_failing(*end)).count();
        let first_at = last.clone().map(|(at, _, _)| *at).min()?;
        let last_at = known.recent.last().map(|(at, _, _)| *at)?;
        let is_recent = last_at.saturating_add(RECENT) >= past.now;
        let is_failing = last.len() == LAST_REQUESTS && n_wrong * 5 >= LAST_REQUESTS * 4;
        let is_of_current = first_at.saturating_add(SLACK) >= deployed_at;
        (is_recent && is_failing && is_of_current && is_answered(past, first_at))
            .then_some((&*known.name, first_at))
    });
    // Of several the one that comes first in their own order, so that it stays the same.
    let (name, since) = failing.min()?;
    let (wrong, figures) = figures(past, name, None, since)?;
    let culprit = Culprit::new(past, name, wrong, figures);
    let text = culprit.remedy()?;
    Some(Diagnosis {
        claim: format!(
            "requests of {} to {name} fail, and its calls are answered all the same",
            past.app
        ),
        evidence: vec![culprit.told],
        remedy: Some(Remedy {
            text,
            command: Some(format!("steerage show {}", past.app)),
            changes: false,
        }),
    })
}

/// The destination for which these slow calls wait, the most of their waiting for any.
pub(super) fn of_slow<'p>(
    past: &'p AppPast,
    these: impl Iterator<Item = &'p PastCall> + Clone,
) -> Option<Culprit<'p>> {
    let mut waited = BTreeMap::<&str, Duration>::new();
    for wait in these.clone().filter_map(|call| call.waited_for.as_ref()) {
        *waited.entry(&wait.destination).or_default() += wait.waited;
    }
    let all: Duration = waited.values().sum();
    let (name, most) = waited.into_iter().max_by_key(|(_, waited)| *waited)?;
    if most * 2 < all || most.is_zero() {
        return None;
    }
    let first = these.map(|call| call.at).min().unwrap_or(past.now);
    let (wrong, figures) = figures(past, name, None, first)?;
    Some(Culprit::new(past, name, wrong, format!("it waits for {name}: {figures}")))
}

/// Whether most calls since then were answered.
fn is_answered(past: &AppPast, since: u64) -> bool {
    let since = past
        .calls
        .iter()
        .filter(|call| past.is_served(call.generation) && call.at.saturating_add(SLACK) >= since);
    let n_answered = since.clone().filter(|call| call.cause == "answered").count();
    n_answered > 0 && n_answered * 2 > since.count()
}

/// Whom a call waited for and did little else.
fn mostly(call: &PastCall) -> Option<&PastWait> {
    call.waited_for.as_ref().filter(|wait| is_most_of(call, wait))
}

fn is_most_of(call: &PastCall, wait: &PastWait) -> bool {
    !wait.waited.is_zero() && wait.waited * 100 >= call.took * MOST_OF_A_CALL
}

/// What the last requests to a destination came to since then: what is wrong with most of them, or with those
/// of the calls, `wrong`, and how many ended so; or how long they took. `None` where none is known.
fn figures(
    past: &AppPast,
    name: &str,
    wrong: Option<RequestEnd>,
    since: u64,
) -> Option<(Option<RequestEnd>, String)> {
    let known = past.destinations.iter().find(|known| known.name == name)?;
    let is_since = |at: u64| at.saturating_add(SLACK) >= since;
    let recent: Vec<_> = known.recent.iter().filter(|(at, _, _)| is_since(*at)).collect();
    let last = match recent.len() {
        0 => return None,
        1 => "its last request".to_owned(),
        number => format!("its last {}", many(number, "request")),
    };
    let n_ended = |end| recent.iter().filter(|(_, of, _)| *of == end).count();
    // A call may be over before its request is, and does not know then how that ended.
    let commonest = || {
        let wrongs = recent.iter().map(|(_, end, _)| *end).filter(|end| end.is_wrong());
        most_frequent(wrongs).filter(|end| n_ended(*end) * 2 >= recent.len())
    };
    let found = wrong.filter(|wrong| n_ended(*wrong) > 0).or_else(commonest);
    if let Some(end) = found {
        let why = known.last_error.as_ref().filter(|(of, _)| *of == end);
        let why = why.map_or_else(String::new, |(_, why)| format!(" ({why})"));
        let whose = match n_ended(end) {
            number if number == recent.len() => "all".to_owned(),
            number => number.to_string(),
        };
        let told = match recent.len() {
            1 => format!("{last}: {}{why}", end.code().replace('_', " ")),
            _ => format!("{whose} of {last} {}{why}", end.meaning()),
        };
        return Some((found, told));
    }
    let mut took: Vec<Duration> = recent.iter().map(|(_, _, took)| *took).collect();
    took.sort_unstable();
    let median = took.get((took.len() - 1) / 2).copied().unwrap_or_default();
    let told = match recent.len() {
        1 => format!("{last} took {}", about_duration(median)),
        _ => format!("{last} took {} at the median", about_duration(median)),
    };
    Some((wrong, told))
}

/// Of two that are as frequent the one that comes last in their own order.
fn most_frequent<T: Ord>(all: impl Iterator<Item = T>) -> Option<T> {
    let mut counts = BTreeMap::<T, usize>::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(one, _)| one)
}
