//! How others raise alarms: the page rules of Google's workbook for 99.9 %, and fixed thresholds.
//! Asked only when something fails, since none of them begins at another time.

use std::collections::VecDeque;

use crate::{HOUR, MINUTE};

/// The part of calls that may fail.
const ALLOWED: f64 = 0.001;

pub(crate) const NAMES: [&str; 3] = [
    "Google's page rules",
    "Google's page rules, at least 10 failures",
    "more than 1 % in 5 minutes",
];

/// What they have raised.
#[derive(Default)]
pub(crate) struct Others {
    failed: VecDeque<u64>,
    is_on: [bool; NAMES.len()],
    asked_at: u64,
    pub(crate) raised: [u64; NAMES.len()],
}

impl Others {
    /// A call failed, when so many good ones had come within a time.
    pub(crate) fn failed(&mut self, now: u64, n_good_in: impl Fn(u64) -> f64) {
        self.failed.push_back(now);
        while self.failed.front().is_some_and(|at| at + 6 * HOUR <= now) {
            self.failed.pop_front();
        }
        let n_failed_in = |window: u64| {
            let first = self.failed.partition_point(|at| at + window <= now);
            (self.failed.len() - first) as f64
        };
        let rate = |window: u64| {
            let n_failed = n_failed_in(window);
            n_failed / (n_failed + n_good_in(window)).max(1.0)
        };
        let burns = |window: u64, times: f64| {
            rate(window) > ALLOWED * times && rate(window / 12) > ALLOWED * times
        };
        let google = burns(HOUR, 14.4) || burns(6 * HOUR, 6.0);
        let is_on = [google, google && n_failed_in(HOUR) >= 10.0, rate(5 * MINUTE) > 0.01];
        // Without failures for so long each of them was off in between.
        let was_off = self.asked_at + 5 * MINUTE <= now;
        for (place, is_on) in is_on.into_iter().enumerate() {
            self.raised[place] += u64::from(is_on && (was_off || !self.is_on[place]));
        }
        (self.is_on, self.asked_at) = (is_on, now);
    }
}
