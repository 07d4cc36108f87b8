//! What is next about a canary that has steps: it waits, gets more of the calls, gets all of them, or is
//! rolled back.
//! Does not compare the two deployments itself: `canary` does.

use super::steps::CanaryStep;
use crate::canary::{CanaryVerdict, Margin, Side, Worse, judge};

/// Calls of the canary in each step before the next begins, beside those that the judgement needs in all.
/// Of a deployment that fails one call in ten, thirty calls show a failure with a chance of 96 %.
pub const STEP_CALLS: u64 = 30;

/// How far a canary is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Which of its steps it is at; the first is 0.
    pub step: usize,
    /// When that began, in milliseconds since the epoch.
    pub since: u64,
    /// Calls of the canary that were over before it began, on all hosts.
    pub calls_before: u64,
    /// Whether an operator wants no step to be taken.
    pub is_paused: bool,
    /// Whether it gets all calls after the last step without an operator's word.
    pub promotes: bool,
}

/// What is next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing yet.
    Wait(Wait),
    /// It gets the share of this step.
    Step(usize),
    /// It gets all calls.
    Promote,
    /// It gets none any more.
    RollBack(Worse),
}

/// Why nothing is next yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The step is not over before this, in milliseconds since the epoch.
    Until(u64),
    /// There are too few calls to say how the canary does: so many more of it are needed, and of the
    /// deployment that is served.
    Calls {
        /// Of the canary.
        canary: u64,
        /// Of the one that is served.
        old: u64,
    },
    /// An operator has paused it.
    Paused,
    /// Only an operator takes the next step, which is to promote it.
    Operator,
}

/// What is next about a canary of these steps, of which there may be none, since both deployments did this.
#[must_use]
pub fn next(
    steps: &[CanaryStep],
    progress: &Progress,
    (old, canary): (&Side, &Side),
    now: u64,
) -> Next {
    let margin = Margin::STATED;
    let verdict = judge(old, canary, &margin);
    if let CanaryVerdict::Worse(worse) = verdict {
        return Next::RollBack(worse);
    }
    let Some(step) = steps.get(progress.step) else { return Next::Wait(Wait::Operator) };
    let is_last = progress.step + 1 >= steps.len();
    if is_last && !progress.promotes {
        return Next::Wait(Wait::Operator);
    }
    if progress.is_paused {
        return Next::Wait(Wait::Paused);
    }
    let time = u64::try_from(step.time.as_millis()).unwrap_or(u64::MAX);
    let due_at = progress.since.saturating_add(time);
    if now < due_at {
        return Next::Wait(Wait::Until(due_at));
    }
    // A host that ended has taken its counts along: fewer than before means that all are newer.
    let before = Some(progress.calls_before).filter(|before| *before <= canary.calls).unwrap_or(0);
    let needed = margin.calls.max(before.saturating_add(STEP_CALLS));
    let lacks = (needed.saturating_sub(canary.calls), margin.calls.saturating_sub(old.calls));
    if lacks != (0, 0) || verdict == CanaryVerdict::TooEarly {
        return Next::Wait(Wait::Calls { canary: lacks.0, old: lacks.1 });
    }
    if is_last { Next::Promote } else { Next::Step(progress.step + 1) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::canary::{Durations, Share};

    const STEP: u64 = 60_000;

    fn steps(n_steps: u32) -> Vec<CanaryStep> {
        let step = |number| CanaryStep {
            share: Share::new(number * 100).unwrap(),
            time: Duration::from_millis(STEP),
        };
        (1..=n_steps).map(step).collect()
    }

    fn side(calls: u64, failed: u64) -> Side {
        let mut durations = Durations::default();
        durations.add(Durations::class(5_000), calls);
        Side { calls, failed, durations, ..Side::default() }
    }

    #[test]
    fn a_step_ends_after_its_time_and_enough_calls_that_did_well() {
        let (steps, old) = (steps(3), side(1_000, 0));
        let at = |progress: Progress, calls, failed, now| {
            next(&steps, &progress, (&old, &side(calls, failed)), now)
        };
        let first = Progress { since: 1_000, ..Progress::default() };
        assert_eq!(at(first, 500, 0, 1_000 + STEP - 1), Next::Wait(Wait::Until(1_000 + STEP)));
        assert_eq!(at(first, 500, 0, 1_000 + STEP), Next::Step(1));
        let lacks = |canary| Next::Wait(Wait::Calls { canary, old: 0 });
        assert_eq!(at(first, 90, 0, 1_000 + STEP), lacks(10));
        assert_eq!(at(first, 0, 0, u64::MAX), lacks(100), "no calls say nothing, however long");
        // Each step wants calls of its own.
        let second = Progress { step: 1, calls_before: 500, ..first };
        assert_eq!(at(second, 510, 0, 1_000 + STEP), lacks(20));
        assert_eq!(at(second, 530, 0, 1_000 + STEP), Next::Step(2));
        // Hosts that ended took what they had counted along.
        assert_eq!(at(second, 40, 0, 1_000 + STEP), lacks(60));
        let paused = Progress { is_paused: true, ..second };
        assert_eq!(at(paused, 530, 0, u64::MAX), Next::Wait(Wait::Paused));
        assert!(matches!(at(paused, 530, 300, 1_000), Next::RollBack(_)), "paused is not spared");
    }

    #[test]
    fn the_last_step_waits_for_an_operator_unless_it_was_asked_to_go_on() {
        let (steps, sides) = (steps(2), (&side(1_000, 0), &side(1_000, 0)));
        let last = Progress { step: 1, ..Progress::default() };
        assert_eq!(next(&steps, &last, sides, u64::MAX), Next::Wait(Wait::Operator));
        let promotes = Progress { promotes: true, ..last };
        assert_eq!(next(&steps, &promotes, sides, STEP - 1), Next::Wait(Wait::Until(STEP)));
        assert_eq!(next(&steps, &promotes, sides, STEP), Next::Promote);
        // One without steps, and one that a newer host has taken further than this one knows.
        assert_eq!(next(&[], &promotes, sides, u64::MAX), Next::Wait(Wait::Operator));
        let beyond = Progress { step: 9, ..promotes };
        assert_eq!(next(&steps, &beyond, sides, u64::MAX), Next::Wait(Wait::Operator));
    }

    proptest! {
        /// Whatever is counted and whatever the clocks say, steps are taken one after the other, none before
        /// its time, and what does worse is rolled back from any of them.
        #[test]
        fn steps_are_monotonic(
            n_steps in 1u32..6,
            promotes: bool,
            looks in proptest::collection::vec((0u64..100_000, 0u64..400, 0u64..40, 0u64..400), 1..60),
        ) {
            let steps = steps(n_steps);
            let mut progress = Progress { promotes, ..Progress::default() };
            let (mut now, mut old, mut canary) = (0, side(0, 0), side(0, 0));
            for (passed, calls, failed, old_calls) in looks {
                now += passed;
                old = side(old.calls + old_calls, old.failed);
                canary = side(canary.calls + calls, canary.failed + failed.min(calls));
                let is_worse =
                    matches!(judge(&old, &canary, &Margin::STATED), CanaryVerdict::Worse(_));
                match next(&steps, &progress, (&old, &canary), now) {
                    Next::Step(step) => {
                        prop_assert!(!is_worse);
                        prop_assert_eq!(step, progress.step + 1);
                        prop_assert!(step < steps.len());
                        prop_assert!(now >= progress.since + STEP);
                        prop_assert!(canary.calls >= progress.calls_before + STEP_CALLS);
                        progress =
                            Progress { step, since: now, calls_before: canary.calls, ..progress };
                    }
                    Next::Promote => {
                        prop_assert!(!is_worse && promotes && progress.step + 1 == steps.len());
                        prop_assert!(now >= progress.since + STEP);
                        break;
                    }
                    Next::RollBack(_) => {
                        prop_assert!(is_worse);
                        break;
                    }
                    Next::Wait(_) => prop_assert!(!is_worse),
                }
            }
        }
    }
}
