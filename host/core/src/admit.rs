//! Decides whether one app's next call starts, waits or is refused.
//! Knows nothing of other apps or of order within the queue: the caller counts and measures, and
//! the fair sharing of a host among apps is another decision.

use std::time::Duration;

use crate::limits::Limits;
use crate::outcome::Refusal;

/// How slowly the length of calls is learned when they get longer.
const HOLD_RISE: u32 = 8;
/// How slowly when they get shorter.
const HOLD_FALL: u32 = 2;

/// What to do with a call that has just arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Run it now.
    Start,
    /// Queue it behind the app's waiting calls.
    Wait,
    /// Answer it without running it.
    Refuse(Refusal),
}

/// How an app's calls stand at the moment when another one arrives.
#[derive(Clone, Copy, Debug, Default)]
pub struct GateLoad {
    /// Calls in guests.
    pub running: u32,
    /// Calls waiting.
    pub queued: u32,
    /// How long a call lately kept its right to run; zero when unknown.
    pub hold: Duration,
    /// How many calls run at a time while others wait: the app's `concurrency`, or fewer where the host
    /// has no more slots for it.
    pub at_once: u32,
    /// How long it is until the new call is out of time.
    pub left: Duration,
}

impl GateLoad {
    /// How long a call that waits now will take until it is over: those before it go first, as many
    /// at a time as may run.
    #[must_use]
    pub fn needs(&self) -> Duration {
        let turns = self.queued / self.at_once.max(1) + 1;
        self.hold.saturating_mul(turns.saturating_add(1))
    }
}

/// How long calls are taken to keep their right to run, after one that kept it for `held`; `before` is
/// zero when nothing is known.
///
/// Follows slowly when calls get longer, since one that was held up says little about the next, and
/// fast when they get shorter: a call that waits in vain costs its caller some patience, one that is
/// refused in vain is lost.
#[must_use]
pub fn learn(before: Duration, held: Duration) -> Duration {
    if before.is_zero() {
        return held;
    }
    match held.checked_sub(before) {
        Some(more) => before.saturating_add(more / HOLD_RISE),
        None => held.saturating_add((before.saturating_sub(held)) / HOLD_FALL),
    }
}

/// Whether a call that could start now is not to: lately calls have kept their right to run for longer
/// than what is left to it. A quarter more is asked for, since one that is ended by the clock has used
/// up what another could have been answered with.
#[must_use]
pub fn is_too_late(hold: Duration, left: Duration) -> bool {
    hold.saturating_add(hold / 4) > left
}

/// Decides for a call of an app that has `running` calls in guests and `queued` calls waiting.
///
/// A call never overtakes: it starts only if nothing waits and fewer than the app's
/// `concurrency` calls run, and it waits only if fewer than the app's `queue` calls do and it can be
/// over in half the time it has: what cannot is refused now, while its client can still go elsewhere.
/// Half, since in an overload calls get longer while they wait, and one that is ended by the clock
/// has used up what two others could have been answered with.
#[must_use]
pub fn decide(standing: &GateLoad, limits: &Limits) -> Decision {
    let concurrency = limits.concurrency.get();
    let needs = standing.needs();
    if standing.queued == 0 && standing.running < concurrency {
        Decision::Start
    } else if standing.queued >= limits.queue {
        Decision::Refuse(Refusal::AppBusy { concurrency, queue: limits.queue })
    } else if needs.saturating_mul(2) > standing.left {
        Decision::Refuse(Refusal::TooLate { needs, limit: limits.timeout })
    } else {
        Decision::Wait
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;

    fn limits(concurrency: u32, queue: u32) -> Limits {
        let concurrency = NonZeroU32::new(concurrency).unwrap();
        Limits { concurrency, queue, ..Limits::default() }
    }

    fn decide(running: u32, queued: u32, limits: &Limits) -> Decision {
        super::decide(&GateLoad { running, queued, ..GateLoad::default() }, limits)
    }

    #[test]
    fn a_call_that_cannot_be_over_in_time_is_refused_now() {
        let limits = limits(2, 100);
        let second = Duration::from_secs(1);
        let standing =
            |queued| GateLoad { running: 2, queued, hold: second, at_once: 2, left: 10 * second };
        // With two at a time, the seventh in line starts its second after three others.
        assert_eq!(super::decide(&standing(7), &limits), Decision::Wait);
        assert_eq!(
            super::decide(&standing(8), &limits),
            Decision::Refuse(Refusal::TooLate { needs: 6 * second, limit: limits.timeout })
        );
    }

    #[test]
    fn short_calls_are_believed_soon_and_long_ones_slowly() {
        let millis = Duration::from_millis;
        assert_eq!(learn(Duration::ZERO, millis(1500)), millis(1500));
        assert_eq!(learn(millis(80), millis(160)), millis(90));
        let mut hold = millis(1500);
        for _ in 0..8 {
            hold = learn(hold, millis(5));
        }
        assert!(hold < millis(12), "{hold:?}");
    }

    #[test]
    fn calls_start_then_wait_then_are_refused() {
        let two_and_one = limits(2, 1);
        assert_eq!(decide(0, 0, &two_and_one), Decision::Start);
        assert_eq!(decide(1, 0, &two_and_one), Decision::Start);
        assert_eq!(decide(2, 0, &two_and_one), Decision::Wait);
        assert_eq!(
            decide(2, 1, &two_and_one),
            Decision::Refuse(Refusal::AppBusy { concurrency: 2, queue: 1 })
        );
    }

    #[test]
    fn without_a_queue_nothing_waits() {
        assert!(matches!(decide(1, 0, &limits(1, 0)), Decision::Refuse(_)));
    }

    #[test]
    fn a_call_does_not_overtake_waiting_ones() {
        assert_eq!(decide(0, 1, &limits(2, 5)), Decision::Wait);
    }

    proptest! {
        #[test]
        fn no_limit_is_ever_passed(
            arrivals in proptest::collection::vec(any::<bool>(), 0..200),
            concurrency in 1..5u32,
            queue in 0..5u32,
        ) {
            let limits = limits(concurrency, queue);
            let (mut running, mut queued) = (0u32, 0u32);
            for arrives in arrivals {
                if arrives {
                    match decide(running, queued, &limits) {
                        Decision::Start => running += 1,
                        Decision::Wait => queued += 1,
                        Decision::Refuse(_) => prop_assert!(queued == queue),
                    }
                } else if queued > 0 {
                    queued -= 1;
                } else {
                    running = running.saturating_sub(1);
                }
                prop_assert!(running <= concurrency && queued <= queue);
            }
        }
    }
}
