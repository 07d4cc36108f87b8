//! When restoring instances pays, and when one more should be made.
//! Does not make or restore any.

/// Calls without a restored instance after which one is made: making one takes as long as some tens of
/// such calls, and a burst is over by then.
const MISSES: u32 = 16;
/// The most instances of one deployment that are restored, those that run included.
pub const MOST_LIVE: u32 = 64;
/// So many instances may be lost while it is found out what a component leaves behind.
const LOSSES: u64 = 200;
/// Later, each that is made must have served so many calls on average: what making one costs is then
/// less than half of what restoring saves.
const CALLS_EACH: u64 = 32;

/// Whether one more is to be made, after so many calls that found none since the last was.
#[must_use]
pub fn is_wanted(n_missed: u32, n_live: u32) -> bool {
    n_missed >= MISSES && n_live < MOST_LIVE
}

/// What came of restoring so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Instances that could not be put back, or whose call ended badly.
    pub lost: u64,
    /// Calls after which an instance was put back.
    pub restored: u64,
}

impl Record {
    /// Whether it is worth going on.
    #[must_use]
    pub fn pays(self) -> bool {
        self.lost <= LOSSES || self.restored / self.lost >= CALLS_EACH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_made_when_calls_found_none_again_and_again() {
        assert!(!is_wanted(MISSES - 1, 0));
        assert!(is_wanted(MISSES, 0));
        assert!(is_wanted(MISSES, MOST_LIVE - 1));
        assert!(!is_wanted(u32::MAX, MOST_LIVE));
    }

    #[test]
    fn what_is_lost_too_often_does_not_pay_once_it_had_time_to_learn() {
        assert!(Record { lost: LOSSES, restored: 0 }.pays());
        let lost = LOSSES + 1;
        assert!(!Record { lost, restored: lost * CALLS_EACH - 1 }.pays());
        assert!(Record { lost, restored: lost * CALLS_EACH }.pays());
    }
}
