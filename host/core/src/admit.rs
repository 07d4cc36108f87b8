//! Decides whether one app's next call starts, waits or is refused.
//! Knows nothing of other apps, of order within the queue or of time: the caller counts, and
//! the fair sharing of a host among apps is another decision.

use crate::limits::Limits;
use crate::outcome::Refusal;

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

/// Decides for a call of an app that has `running` calls in guests and `queued` calls waiting.
///
/// A call never overtakes: it starts only if nothing waits and fewer than the app's
/// `concurrency` calls run, and it waits only if fewer than the app's `queue` calls do.
#[must_use]
pub fn decide(running: u32, queued: u32, limits: &Limits) -> Decision {
    let concurrency = limits.concurrency.get();
    if queued == 0 && running < concurrency {
        Decision::Start
    } else if queued < limits.queue {
        Decision::Wait
    } else {
        Decision::Refuse(Refusal::AppBusy { concurrency, queue: limits.queue })
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
