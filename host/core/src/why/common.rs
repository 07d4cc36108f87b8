//! What calls that fail have in common that the others have not: one path, one method, one client, one host,
//! or larger requests.
//! Does not say how they fail.

use std::collections::BTreeSet;

use super::{AppPast, PastCall};
use crate::units::{Bytes, many};

/// As many failed calls in one place, and none anywhere else, show that it is the place.
const IN_ONE_PLACE: usize = 3;
/// Requests of fewer bytes are not large.
const LARGE: u64 = 1024;
/// The smallest request that fails is to be so many times as large as the largest that does not.
const TIMES_AS_LARGE: u64 = 2;

/// All that these calls have in common, a sentence each.
pub(super) fn all(past: &AppPast, these: &[&PastCall]) -> Vec<String> {
    let places = [
        one_place(past, these, "path", |call| &call.path),
        one_place(past, these, "method", |call| &call.method),
        one_place(past, these, "client", |call| call.client.as_deref().unwrap_or_default()),
        one_place(past, these, "host", |call| call.host.as_deref().unwrap_or_default()),
        large(past, these),
    ];
    places.into_iter().flatten().collect()
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
    let served = || past.calls.iter().filter(|call| past.is_served(call.generation));
    let there = || served().filter(|call| value(call) == only);
    let n_these = there().filter(|call| these.iter().any(|one| one.id == call.id)).count();
    let elsewhere = || served().filter(|call| value(call) != only);
    let is_shown = n_these >= IN_ONE_PLACE
        && elsewhere().count() >= IN_ONE_PLACE
        && !elsewhere().any(PastCall::is_failed);
    is_shown.then(|| {
        format!(
            "all have the {what} {only}: {n_these} of {} fail there, none of {} elsewhere",
            there().count(),
            elsewhere().count()
        )
    })
}

/// That the requests of these calls are larger than those of all that were answered.
fn large(past: &AppPast, these: &[&PastCall]) -> Option<String> {
    let is_good = |call: &&PastCall| past.is_served(call.generation) && !call.is_failed();
    let good = || past.calls.iter().filter(is_good).map(|call| call.request_bytes);
    let least = these.iter().map(|call| call.request_bytes).min()?;
    let most = good().max()?;
    let is_shown = these.len() >= IN_ONE_PLACE
        && good().count() >= IN_ONE_PLACE
        && least >= LARGE
        && least / TIMES_AS_LARGE >= most;
    is_shown.then(|| {
        format!(
            "all have a large request: of {} of body at least, where the {} that did not fail had {} at \
             most",
            Bytes::new(least).about(),
            many(good().count(), "call"),
            Bytes::new(most).about()
        )
    })
}
