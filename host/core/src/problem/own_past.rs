//! How long an app's calls take as a rule, from the hours of its last days: what is judged where nothing is
//! promised. An hour in which a problem was open is none from which is learned, but after a day of it: then
//! it is how the app is.
//! Knows nothing before a day of hours with enough calls: an app that is called seldom is not judged.

use std::collections::VecDeque;
use std::time::Duration;

/// So many hours make a day, and that must be known of the last days.
const LEAST_HOURS: u32 = 24;
/// Days that are known.
const DAYS: usize = 8;
const HOURS_OF_DAY: u32 = 24;
/// An hour with fewer calls shows no 99th percentile.
const LEAST_CALLS: u64 = 100;
/// A call is slow that takes longer than the slowest hour's 99th percentile by this part, and by so much. What
/// is known of an hour is known to 5 %.
const LONGER_BY: f64 = 0.1;
const AND_BY: Duration = Duration::from_millis(1);
/// Of a hundred calls one took longer than the 99th percentile of its hour, and fewer than the highest of
/// these. Twice as many as that may.
pub(super) const MAY_BE: f64 = 0.02;

/// The hours of an app's last days.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnPast {
    days: VecDeque<PastDay>,
    /// Hours in a row in which something was wrong.
    n_open: u32,
}

#[derive(Clone, Copy, Debug)]
struct PastDay {
    day: u32,
    n_hours: u32,
    /// The highest 99th percentile of them, in microseconds.
    most_us: u64,
}

impl OwnPast {
    /// An hour is over, by its number since the epoch: 99 of 100 of so many calls took no longer than so many
    /// microseconds; and something was wrong in it, or not.
    pub(super) fn note(&mut self, hour: u32, n_calls: u64, p99_us: u64, was_wrong: bool) {
        self.n_open = if was_wrong { self.n_open.saturating_add(1) } else { 0 };
        if n_calls < LEAST_CALLS || was_wrong && self.n_open <= HOURS_OF_DAY {
            return;
        }
        let day = hour / HOURS_OF_DAY;
        match self.days.back_mut().filter(|known| known.day == day) {
            Some(known) => {
                known.n_hours += 1;
                known.most_us = known.most_us.max(p99_us);
            }
            None => self.days.push_back(PastDay { day, n_hours: 1, most_us: p99_us }),
        }
        let n_days = u32::try_from(DAYS).unwrap_or(u32::MAX);
        self.days.retain(|known| known.day.saturating_add(n_days) > day && known.day <= day);
    }

    /// Calls that take longer than this are slow; nothing where too little is known.
    #[must_use]
    pub(super) fn slow_after(&self) -> Option<Duration> {
        let n_hours: u32 = self.days.iter().map(|day| day.n_hours).sum();
        if n_hours < LEAST_HOURS {
            return None;
        }
        let most = self.days.iter().map(|day| day.most_us).max()?;
        let most = Duration::from_micros(most);
        let slow_after = most.mul_f64(1.0 + LONGER_BY) + AND_BY;
        // In whole milliseconds, as people read it.
        let milliseconds = slow_after.as_millis().try_into().unwrap_or(u64::MAX);
        Some(Duration::from_millis(milliseconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_day() -> OwnPast {
        let mut past = OwnPast::default();
        for hour in 0..24 {
            assert_eq!(past.slow_after(), None);
            past.note(hour, 100, if hour == 5 { 200_000 } else { 50_000 }, false);
        }
        past
    }

    #[test]
    fn a_day_of_hours_says_what_is_slow_by_the_slowest_of_them() {
        let mut past = after_day();
        assert_eq!(past.slow_after(), Some(Duration::from_millis(221)));
        // Hours of few calls say nothing, and what was eight days ago is forgotten.
        past.note(24, 99, 10_000_000, false);
        assert_eq!(past.slow_after(), Some(Duration::from_millis(221)));
        for hour in 24 * 6..24 * 9 {
            past.note(hour, 1000, 50_000, false);
        }
        assert_eq!(past.slow_after(), Some(Duration::from_millis(56)));
    }

    #[test]
    fn what_is_slow_is_not_learned_before_it_has_been_so_for_a_day() {
        let mut past = after_day();
        for hour in 24..24 + 24 {
            past.note(hour, 1000, 900_000, true);
            assert_eq!(past.slow_after(), Some(Duration::from_millis(221)));
        }
        past.note(48, 1000, 900_000, true);
        assert_eq!(past.slow_after(), Some(Duration::from_millis(991)));
    }

    #[test]
    fn a_clock_that_goes_back_forgets_what_lies_ahead() {
        let mut past = after_day();
        past.note(24 * 1000, 1000, 1, false);
        assert_eq!(past.slow_after(), None);
        past.note(1, 1000, 1, false);
        assert_eq!(past.slow_after(), None);
    }
}
