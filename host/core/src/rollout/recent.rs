//! What a deployment did in its last minutes, out of counters that only grow: they are looked at once a
//! minute.
//! Does not count calls, and does not know when a minute is over: it is told.

use std::time::Duration;

/// How far is looked back, at least where the deployment is as old.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// How far two looks are apart.
const EVERY: Duration = Duration::from_secs(60);
/// Looks that are kept: they reach back over the window.
const KEPT: usize = 6;

/// Counters of calls that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls that tell something of the deployment, those that were given up left out.
    pub calls: u64,
    /// Those of them that failed by its fault, answers of class 5xx included.
    pub failed: u64,
    /// Calls that their callers gave up.
    pub given_up: u64,
}

/// The looks at them.
#[derive(Clone, Copy, Debug)]
pub struct Recent {
    /// The latest last; the first `n_looks` are there.
    looks: [(Duration, Totals); KEPT],
    n_looks: usize,
}

impl Default for Recent {
    /// Of counters that begin now: there were no calls at the time 0, whenever the first look is.
    fn default() -> Self {
        Self { looks: Default::default(), n_looks: 1 }
    }
}

impl Recent {
    /// Takes a look, unless the last one was a short time ago. `now` only grows.
    pub fn look(&mut self, now: Duration, totals: impl FnOnce() -> Totals) {
        let latest = self.looks.get(self.n_looks.wrapping_sub(1));
        if latest.is_some_and(|(at, _)| now < *at + EVERY) {
            return;
        }
        if self.n_looks == KEPT {
            self.looks.rotate_left(1);
            self.n_looks -= 1;
        }
        if let Some(free) = self.looks.get_mut(self.n_looks) {
            *free = (now, totals());
            self.n_looks += 1;
        }
    }

    /// What was counted in the last minutes, and forgets it: from now on it is another deployment's.
    pub fn take(&mut self, now: Duration, totals: Totals) -> Totals {
        let looks = self.looks.get(..self.n_looks).unwrap_or_default();
        let is_before = |(at, _): &&(Duration, Totals)| *at + WINDOW <= now;
        let since = looks.iter().rev().find(is_before).or_else(|| looks.first());
        let before = since.map(|(_, totals)| *totals).unwrap_or_default();
        self.n_looks = 0;
        self.look(now, || totals);
        Totals {
            calls: totals.calls.saturating_sub(before.calls),
            failed: totals.failed.saturating_sub(before.failed),
            given_up: totals.given_up.saturating_sub(before.given_up),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn totals(calls: u64) -> Totals {
        Totals { calls, failed: calls / 10, given_up: calls / 100 }
    }

    #[test]
    fn the_last_minutes_count_and_not_what_was_before() {
        let mut recent = Recent::default();
        // A thousand calls an hour ago, and one a second since.
        for second in 0..3_600 {
            recent.look(at(second), || totals(1_000 + second));
        }
        let took = recent.take(at(3_600), totals(4_600));
        assert!((300..=360).contains(&took.calls), "{took:?}");
        assert_eq!((took.failed, took.given_up), (took.calls / 10, took.calls / 100));
        // What comes now is of the next one alone.
        assert_eq!(recent.take(at(3_607), totals(4_607)).calls, 7);
    }

    #[test]
    fn what_is_young_counts_from_its_beginning() {
        // Of an app that was never looked at, all is recent.
        assert_eq!(Recent::default().take(at(9), totals(90)), totals(90));
        // And of one that was looked at for the first time after its calls.
        let mut late = Recent::default();
        late.look(at(70), || totals(90));
        assert_eq!(late.take(at(80), totals(90)), totals(90));
        let mut recent = Recent::default();
        recent.take(at(9), totals(90));
        recent.look(at(100), || totals(200));
        assert_eq!(recent.take(at(200), totals(290)).calls, 200);
    }
}
