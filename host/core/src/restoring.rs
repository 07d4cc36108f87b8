//! When restoring instances pays: when the code for it is wanted, when one more instance is, and when too
//! many were lost. Does not make or restore any.

use std::time::Duration;

use crate::units::Bytes;

/// Calls without a restored instance, within [`MISSED_FOR`], after which one is made: making one takes as
/// long as some tens of such calls, and a burst is over by then.
const MISSES: u64 = 16;
/// How long calls are counted together. An app that is called less than [`MISSES`] times in it keeps
/// nothing that waits.
const MISSED_FOR: Duration = Duration::from_secs(60);
/// Calls more, for each so many bytes of the component, before its code is compiled once more. A second
/// of compiling is won back by some thousand calls of an interpreter, which are some megabytes a second
/// to compile.
const BYTES_A_CALL: u64 = 16 << 10;
/// The most instances of one deployment that are restored, those that run included.
pub const MOST_LIVE: u32 = 64;
/// So many instances may be lost whatever was restored.
const LOSSES: u32 = 64;
/// Beyond that, each that is made must have served so many calls on average: what making one costs is
/// then less than half of what restoring saves.
const CALLS_EACH: u32 = 32;
/// What came of more calls than this is counted by half, so that the latest ones decide.
const REMEMBERED: u32 = 8_192;
/// How long new instances serve after too many were lost, or a failure of the host; twice as long each
/// time.
const FIRST_PAUSE: Duration = Duration::from_secs(600);
/// The most often that time is doubled: to ten hours and a half.
const MOST_DOUBLED: u32 = 6;

/// Calls that found no restored instance, and since which second they are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Seconds on the caller's clock.
    pub since: u32,
    /// How many.
    pub count: u32,
}

impl Missed {
    /// One more, at this second.
    #[must_use]
    pub fn and_one(self, now: u32) -> Self {
        if u64::from(now.saturating_sub(self.since)) < MISSED_FOR.as_secs() && self.count > 0 {
            return Self { count: self.count.saturating_add(1), ..self };
        }
        Self { since: now, count: 1 }
    }

    /// Whether one more instance is to be made where so many live. Where the code for it has yet to be
    /// compiled, of a component of so many bytes, more calls must want it.
    #[must_use]
    pub fn want_one(self, n_live: u32, to_compile: Option<Bytes>) -> bool {
        let more = to_compile.map_or(0, |bytes| bytes.get() / BYTES_A_CALL);
        u64::from(self.count) >= MISSES.saturating_add(more) && n_live < MOST_LIVE
    }
}

/// What came of restoring lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Instances that could not be put back, or whose call ended badly.
    pub lost: u32,
    /// Calls after which an instance was put back.
    pub restored: u32,
}

impl Record {
    /// Whether it is worth going on.
    #[must_use]
    pub fn pays(self) -> bool {
        self.lost <= LOSSES || self.restored / self.lost >= CALLS_EACH
    }

    /// The same after one more was lost.
    #[must_use]
    pub fn and_lost(self) -> Self {
        let lost = self.lost.saturating_add(1);
        if self.restored > REMEMBERED {
            return Self { lost: lost.div_ceil(2), restored: self.restored / 2 };
        }
        Self { lost, ..self }
    }
}

/// Times in which new instances serve, since restoring did not pay, or since the host failed to make what
/// it takes and may not another time. Moments are told as the time since some beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    until: Option<Duration>,
    n_before: u32,
}

impl Pauses {
    /// Begins one, unless there is one: calls that ran when it began may lose their instances as well.
    /// Says whether it began.
    pub fn begin(&mut self, now: Duration) -> bool {
        if self.is_on(now) {
            return false;
        }
        let length = FIRST_PAUSE.saturating_mul(1 << self.n_before.min(MOST_DOUBLED));
        self.until = Some(now.saturating_add(length));
        self.n_before = self.n_before.saturating_add(1);
        true
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_on(self, now: Duration) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missed(seconds: impl IntoIterator<Item = u32>) -> Missed {
        seconds.into_iter().fold(Missed::default(), Missed::and_one)
    }

    #[test]
    fn one_is_made_when_calls_found_none_again_and_again() {
        assert!(!missed([5; 15]).want_one(0, None));
        assert!(missed([5; 16]).want_one(0, None));
        assert!(missed([5; 16]).want_one(MOST_LIVE - 1, None));
        assert!(!missed([5; 100]).want_one(MOST_LIVE, None));
    }

    #[test]
    fn an_app_that_is_called_now_and_then_has_none() {
        // Every five seconds, for a day.
        let mut missed_so_far = Missed::default();
        for n in 0..17_280 {
            missed_so_far = missed_so_far.and_one(5 * n);
            assert!(!missed_so_far.want_one(0, None), "{missed_so_far:?} after {n}");
        }
        assert!(missed((0..20).map(|n| 3 * n)).want_one(0, None), "every three");
    }

    #[test]
    fn what_is_long_to_compile_is_compiled_for_more_calls() {
        let large = Some(Bytes::mebi(13));
        assert!(missed([1; 848]).want_one(0, large) && !missed([1; 847]).want_one(0, large));
        assert!(missed([1; 16]).want_one(0, Some(Bytes::new(15 << 10))));
    }

    #[test]
    fn what_is_lost_too_often_does_not_pay() {
        assert!(Record { lost: LOSSES, restored: 0 }.pays());
        let lost = LOSSES + 1;
        assert!(!Record { lost, restored: lost * CALLS_EACH - 1 }.pays());
        assert!(Record { lost, restored: lost * CALLS_EACH }.pays());
    }

    #[test]
    fn a_good_past_does_not_count_for_ever() {
        let mut record = Record { lost: 0, restored: 1_000_000_000 };
        let mut n_lost = 0;
        while record.pays() {
            record = record.and_lost();
            n_lost += 1;
        }
        assert!(n_lost < 300, "{n_lost}");
    }

    #[test]
    fn who_loses_again_pauses_longer_up_to_some_hours() {
        let (mut pauses, mut now) = (Pauses::default(), Duration::from_secs(5));
        for minutes in [10, 20, 40, 80, 160, 320, 640, 640, 640] {
            assert!(!pauses.is_on(now) && pauses.begin(now));
            // What is lost meanwhile makes it no longer.
            assert!(!pauses.begin(now + Duration::from_secs(1)));
            now += Duration::from_secs(60 * minutes);
            assert!(pauses.is_on(now - Duration::from_secs(1)));
        }
        assert!(!pauses.is_on(now));
    }
}
