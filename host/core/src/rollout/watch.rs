//! Whether a deployment that took the place of another at once fails where that one did not.
//!
//! Both serve all calls, one after the other. So the old one's last minutes are all there is to compare
//! with, and whatever changed at the same time looks like the new one's doing: only failures count here,
//! and only where chance does not explain them. What is looked at twice a second would by a plain bound be
//! called worse by luck some time, so this is an e-process: under every rate of failures that the old one
//! may have had it is expected to stay below 1, whenever it is looked at (Ville's inequality).
//! Does not judge how long calls take.

use std::time::Duration;

use crate::canary::Side;

/// A call that was given up without any answer after so long counts as failed: nobody who means to wait
/// for an answer goes away earlier.
pub const GIVEN_UP: Duration = Duration::from_secs(1);

/// Calls of the old one before anything is said.
const FEW: u64 = 10;
/// Failures before anything is said: fewer may be one caller's.
const FAILED: u64 = 10;
/// The chance, as a natural logarithm, that the rate of the old one was higher than is allowed for; and
/// the same that a rate within that looks like a higher one at any time. One in 100,000 each.
const DOUBT: f64 = 11.513;
/// What more may fail, as a part of all: what a caller who tries again does not notice.
const MORE: f64 = 0.01;
/// And so many times as many: what a service that fails now and then does on a bad day.
const TIMES: f64 = 2.0;
/// Rates that are not told apart from all calls.
const NEARLY_ALL: f64 = 0.999;
/// The odds of the rates that are looked for, as powers of two: from one call in 60 to nearly all.
const LEAST_ODDS: i32 = -6;
const MOST_ODDS: i32 = 11;

/// A deployment that fails where the one before it did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Calls of the new one since it has all of them, those that were given up after too long among them.
    pub calls: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Those of these that were given up.
    pub given_up: u64,
    /// Calls of the old one in its last minutes.
    pub old_calls: u64,
    /// Those of them that failed.
    pub old_failed: u64,
}

impl std::fmt::Display for Failing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { calls, failed, given_up, old_calls, old_failed } = self;
        write!(f, "{failed} of its {calls} calls failed")?;
        if *given_up > 0 {
            write!(f, ", {given_up} of them given up by callers without an answer")?;
        }
        write!(
            f,
            ", and {old_failed} of the last {old_calls} calls of the deployment that it replaced"
        )
    }
}

/// Whether the new one fails where the old one did not, since both did this: `old` in its last minutes,
/// `new` since it has all calls. Nothing where that cannot be said, too.
#[must_use]
pub fn failing(old: &Side, new: &Side) -> Option<Failing> {
    let given_up = u64::try_from(GIVEN_UP.as_micros()).unwrap_or(u64::MAX);
    let (old_calls, old_failed, _) = old.within(given_up);
    let (calls, failed, given_up) = new.within(given_up);
    if old_calls < FEW || failed < FAILED {
        return None;
    }
    let allowed = allowed(old_calls, old_failed);
    let is_failing = allowed < NEARLY_ALL && evidence(calls, failed, allowed) >= DOUBT;
    is_failing.then_some(Failing { calls, failed, given_up, old_calls, old_failed })
}

/// The part of all calls that may fail. It is no lower than the rate that the old one had, but by a chance
/// of [`DOUBT`] (Chernoff's bound).
fn allowed(calls: u64, failed: u64) -> f64 {
    let (calls, rate) = (calls as f64, failed as f64 / calls as f64);
    let (mut low, mut high) = (rate, 1.0);
    // Each time half of what is left: 40 times leave nothing that a float tells.
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if calls * divergence(rate, middle) > DOUBT { high = middle } else { low = middle }
    }
    high.max(rate * TIMES).max(rate + MORE).min(1.0)
}

/// How surprising one is whose rate is `found` where `expected` is, for each call.
fn divergence(found: f64, expected: f64) -> f64 {
    let part = |found: f64, expected: f64| {
        if found > 0.0 { found * (found / expected).ln() } else { 0.0 }
    };
    part(found, expected) + part(1.0 - found, 1.0 - expected)
}

/// The logarithm of the e-value: how much likelier so many failures are under higher rates, some of which
/// are mixed, than under the one that is allowed. Which rates are mixed does not depend on what is allowed,
/// so that allowing more never makes more evidence.
fn evidence(calls: u64, failed: u64, allowed: f64) -> f64 {
    let (failed, others) = (failed as f64, calls.saturating_sub(failed) as f64);
    let of_rate =
        |rate: f64| failed * (rate / allowed).ln() + others * ((1.0 - rate) / (1.0 - allowed)).ln();
    let rates = (LEAST_ODDS..=MOST_ODDS).map(|doublings| {
        let odds = f64::from(doublings).exp2();
        odds / (1.0 + odds)
    });
    let logs: Vec<f64> = rates.filter(|rate| *rate > allowed).map(of_rate).collect();
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logs.iter().map(|log| (log - most).exp()).sum();
    most + sum.ln() - f64::from(MOST_ODDS - LEAST_ODDS + 1).ln()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::canary::Durations;
    use crate::world::random::Random;

    fn side(calls: u64, failed: u64) -> Side {
        Side { calls, failed, ..Side::default() }
    }

    fn is_failing(old: (u64, u64), new: (u64, u64)) -> bool {
        failing(&side(old.0, old.1), &side(new.0, new.1)).is_some()
    }

    /// Whether something happens that has this chance, in millionths.
    fn happens(random: &mut Random, chance: u64) -> bool {
        random.below(1_000_000) < chance
    }

    /// What a deployment did that fails by this chance.
    fn lived(random: &mut Random, calls: u64, chance: u64) -> Side {
        let failed = (0..calls).filter(|_| happens(random, chance)).count();
        side(calls, u64::try_from(failed).unwrap())
    }

    /// After how many calls a deployment is seen to fail that fails by this chance; nothing if it never is.
    fn seen_after(random: &mut Random, old: &Side, chance: u64, most: u64) -> Option<u64> {
        let mut new = Side::default();
        for calls in 1..=most {
            new.calls = calls;
            let has_failed = happens(random, chance);
            new.failed += u64::from(has_failed);
            // A call that went well is evidence of nothing.
            if has_failed && failing(old, &new).is_some() {
                return Some(calls);
            }
        }
        None
    }

    #[test]
    fn the_same_behaviour_is_taken_for_failing_less_than_once_in_a_thousand() {
        let mut n_false = 0;
        let n_histories = 4_000;
        for seed in 0..n_histories {
            let mut random = Random::new(seed);
            // From one call in 10,000 to nearly all, after few calls of the old one and after many; it is
            // looked after each call.
            let chances = [100, 1_000, 10_000, 50_000, 200_000, 500_000, 950_000];
            let chance = chances[usize::try_from(seed).unwrap() % chances.len()];
            let old_calls = [10, 30, 100, 1_000][usize::try_from(random.below(4)).unwrap()];
            let old = lived(&mut random, old_calls, chance);
            n_false += u64::from(seen_after(&mut random, &old, chance, 1_500).is_some());
        }
        assert!(n_false * 1_000 < n_histories, "{n_false} of {n_histories}");
    }

    #[test]
    fn what_fails_always_where_the_old_one_hardly_did_is_seen_within_a_few_calls() {
        for (old_calls, old_failed, within) in
            [(10, 0, 40), (20, 0, 18), (100, 0, 10), (100, 1, 11), (1_000, 9, 10), (100_000, 0, 10)]
        {
            let old = side(old_calls, old_failed);
            let seen = seen_after(&mut Random::new(1), &old, 1_000_000, 1_000).unwrap();
            assert!(seen <= within, "{old_failed} of {old_calls}: after {seen} calls");
        }
        // One call in twenty where none failed before.
        let mut n_calls: Vec<u64> = (0..200)
            .map(|seed| seen_after(&mut Random::new(seed), &side(1_000, 0), 50_000, 5_000).unwrap())
            .collect();
        n_calls.sort_unstable();
        assert!(n_calls[100] < 500 && n_calls[199] < 2_000, "{n_calls:?}");
    }

    #[test]
    fn want_of_evidence_is_no_evidence() {
        assert!(!is_failing((0, 0), (10_000, 10_000)), "nothing to compare with");
        assert!(!is_failing((9, 0), (10_000, 10_000)));
        assert!(!is_failing((10_000, 0), (9, 9)), "nine failures may be one caller's");
        assert!(!is_failing((10_000, 0), (0, 0)));
        assert!(is_failing((10_000, 0), (10, 10)));
    }

    #[test]
    fn what_fails_as_the_old_one_did_is_not_failing() {
        assert!(!is_failing((200, 200), (10_000, 10_000)));
        assert!(!is_failing((200, 190), (10_000, 10_000)), "nearly all, and all");
        assert!(!is_failing((1_000, 100), (10_000, 1_500)), "on a bad day");
        assert!(is_failing((1_000, 100), (1_000, 600)));
        assert!(!is_failing((10_000, 0), (10_000, 90)), "what nobody notices");
        assert!(is_failing((10_000, 0), (10_000, 250)));
    }

    #[test]
    fn who_waits_in_vain_has_failed_and_who_goes_at_once_has_not() {
        let given_up = |seconds: u64, calls| {
            let mut side = side(5, 0);
            side.abandoned.add(Durations::class(seconds * 1_000_000), calls);
            side
        };
        let old = side(500, 0);
        let found = failing(&old, &given_up(3, 40)).unwrap();
        assert_eq!(
            found.to_string(),
            "40 of its 45 calls failed, 40 of them given up by callers without an answer, and 0 of the \
             last 500 calls of the deployment that it replaced"
        );
        assert_eq!(failing(&old, &given_up(0, 40)), None);
        assert_eq!(
            failing(&given_up(3, 40), &given_up(3, 4_000)),
            None,
            "the old one hung as well"
        );
    }

    proptest! {
        #[test]
        fn more_failures_never_help_and_a_worse_old_one_never_harms(
            old in (0u64..5_000, 0u64..=100), new in (0u64..5_000, 0u64..=100), more in 0u64..500,
        ) {
            let part = |(calls, percent): (u64, u64)| (calls, calls * percent / 100);
            let (old, new) = (part(old), part(new));
            let worse = (new.0, (new.1 + more).min(new.0));
            prop_assert!(!is_failing(old, new) || is_failing(old, worse));
            let bad = (old.0, (old.1 + more).min(old.0));
            prop_assert!(!is_failing(bad, new) || is_failing(old, new));
        }

        #[test]
        fn no_deployment_fails_where_itself_does_not(calls in 0u64..100_000, percent in 0u64..=100) {
            let one = (calls, calls * percent / 100);
            prop_assert!(!is_failing(one, one));
        }
    }
}
