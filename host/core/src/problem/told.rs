//! What is said of a problem: its claim, and of what is used up also what to do about it.
//! Of apps that fail `core::why` says the rest.

use super::level::OpenLevel;
use crate::units::{Bytes, about_duration, many};

/// How most calls ended that belong to a problem.
#[must_use]
pub fn how_it_ended(cause: &str, status: u16) -> String {
    match cause {
        "answered" => format!("it answered {status}"),
        cause => cause.to_owned(),
    }
}

/// That an app fails: so many of so many calls, most of them so.
#[must_use]
pub fn failing_claim(app: &str, n_failed: u64, n_calls: u64, how: &str) -> String {
    format!("{app} fails: {n_failed} of {}, mostly: {how}", many(n_calls, "call"))
}

/// That something of a host is nearly used up.
#[must_use]
pub fn level_claim(host: &str, what: &str, level: &OpenLevel) -> String {
    match level.left {
        Some(left) if left.is_zero() => {
            format!("the {what} of {host} {} used up", is_or_are(what))
        }
        Some(left) => {
            format!("the {what} of {host} will be used up in {} at this pace", about_duration(left))
        }
        None => format!("the {what} of {host} {} nearly used up", is_or_are(what)),
    }
}

/// What it is concluded from.
#[must_use]
pub fn level_evidence(what: &str, level: &OpenLevel) -> String {
    let (used, most) = level.used;
    let shown = |amount: u64| match what {
        "memory" | "disk" => Bytes::new(amount).about(),
        _ => amount.to_string(),
    };
    let percent = u128::from(used) * 100 / u128::from(most.max(1));
    format!("{} of {} {} in use, {percent}%", shown(used), shown(most), is_or_are(what))
}

fn is_or_are(what: &str) -> &'static str {
    if what.ends_with('s') { "are" } else { "is" }
}
