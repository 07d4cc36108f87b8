//! What clients do that keeps most of an app's calls from being answered: requests that are larger than they
//! may be, and clients that do not wait. It is nobody's failure, and nobody is answered.
//! Says nothing of calls that reach no app.

use std::time::Duration;

use super::{
    AppPast, Diagnosis, PastCall, Remedy, common, destination, failing, mostly, percentiles,
};
use crate::spent::Phase;
use crate::units::{about_duration, many};

/// The endings that are looked at.
const TOO_LARGE: &str = "request_too_large";
const GONE: &str = "client_gone";
/// As many calls, and this part of all, end so: percent.
const LEAST: usize = 5;
const MOST_OF_ALL: usize = 50;
/// Who went away before that has not waited.
const PATIENCE: Duration = Duration::from_secs(1);

/// Calls that were not answered because of their clients.
pub(super) fn calls(past: &AppPast) -> Option<Diagnosis> {
    let served = || past.calls.iter().filter(|call| past.is_served(call.generation));
    let ending = |cause: &str| -> Vec<&PastCall> {
        // Who goes away from an answer that has begun may have had enough of it.
        served().filter(|call| call.cause == cause && (cause != GONE || call.status == 0)).collect()
    };
    // Where fewer end so, it is the affair of those clients: a scanner, or one program with a short timeout.
    let is_most = |these: &[&PastCall]| {
        these.len() >= LEAST && these.len() * 100 >= served().count() * MOST_OF_ALL
    };
    let large = ending(TOO_LARGE);
    if is_most(&large) {
        return Some(too_large(past, &large));
    }
    let gone = ending(GONE);
    (is_most(&gone) && have_waited(past, &gone)).then(|| went_away(past, &gone))
}

/// Whether clients had reason to go: who searches while typing goes at once, and is not told of.
fn have_waited(past: &AppPast, gone: &[&PastCall]) -> bool {
    let (median, _) = percentiles(gone.iter().map(|call| call.took));
    let answered = answered_calls(past);
    let (of_answered, _) = percentiles(answered.clone().map(|call| call.took));
    median >= PATIENCE && (answered.count() == 0 || median > of_answered * 2)
}

fn answered_calls(past: &AppPast) -> impl Iterator<Item = &PastCall> + Clone {
    past.calls.iter().filter(|call| past.is_served(call.generation) && call.cause == "answered")
}

fn too_large(past: &AppPast, these: &[&PastCall]) -> Diagnosis {
    let limit = past.request_body;
    let limit = limit.map_or_else(|| "its limit".to_owned(), |limit| limit.to_string());
    Diagnosis {
        claim: format!(
            "{}: refused (request_too_large), the request is larger than {limit}",
            failing::how_many(past, these)
        ),
        evidence: common::all(past, these),
        remedy: Some(Remedy {
            text: format!(
                "if such requests are meant, raise [limits] request_body above {limit} in steerage.toml"
            ),
            command: None,
            changes: false,
        }),
    }
}

fn went_away(past: &AppPast, these: &[&PastCall]) -> Diagnosis {
    let (median, _) = percentiles(these.iter().map(|call| call.took));
    let phase = mostly(these.iter().copied());
    let culprit = match phase {
        Some((Phase::Outbound, _)) => destination::of_slow(past, these.iter().copied()),
        _ => None,
    };
    let mut evidence: Vec<String> = culprit.iter().map(|culprit| culprit.told.clone()).collect();
    evidence.extend(common::all(past, these));
    evidence.extend(phase.map(|(phase, percent)| {
        format!("{percent}% of the time until they went it {}", phase.meaning())
    }));
    evidence.extend(answered(past));
    let phase = phase.map(|(phase, _)| phase).filter(|phase| !phase.is_of_client());
    Diagnosis {
        claim: format!(
            "{}: the client went away before it was answered (client_gone), after {} at the median",
            failing::how_many(past, these),
            about_duration(median)
        ),
        evidence,
        remedy: Some(Remedy {
            text: match culprit {
                Some(culprit) => format!("see why {} takes so long", culprit.name),
                None => format!(
                    "have clients wait for longer, or make the calls shorter: {}",
                    phase.unwrap_or(Phase::Guest).remedy()
                ),
            },
            command: these.last().map(|last| format!("steerage call {}", last.id)),
            changes: false,
        }),
    }
}

/// How long the calls take that are answered.
fn answered(past: &AppPast) -> Option<String> {
    let n_answered = answered_calls(past).count();
    let (median, _) = percentiles(answered_calls(past).map(|call| call.took));
    (n_answered > 0).then(|| {
        let calls = many(n_answered, "call");
        format!("the {calls} that were answered took {} at the median", about_duration(median))
    })
}
