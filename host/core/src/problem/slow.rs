//! What is wrong with one app whose calls take longer than they may. Calls that are slow at one time mostly
//! have one reason, so those of one look together say no more than a bounded amount: it takes several looks.
//! Does not say how long calls may take, nor why they take longer.

use std::time::Duration;

use super::course::{Course, OpenProblem, ProblemTurn};
use super::detector::{Detector, Odds};
use super::own_past::MAY_BE;
use crate::units::{many, show_duration};

/// At most one in so many looks opens a problem that is none: with one each ten seconds, one in three years
/// over 10,000 apps.
const LOOKS_FOR_ONE: f64 = 1e11;
/// What is seen in one look is this many times as likely at most.
const MOST_OF_LOOK: f64 = 100.0;
/// See [`super::AppWatch`].
const CALM: f64 = 2.0;

/// Watches how long the calls of one app take.
#[derive(Clone, Debug)]
pub struct SlowWatch {
    slow_after: Duration,
    may_be: f64,
    /// Whether that is how it was before, and nobody has promised it.
    is_by_past: bool,
    odds: Odds,
    change: Detector,
    /// Since when, and how many were slow and quick.
    run: Option<(u64, u64, u64)>,
    course: Course,
}

impl SlowWatch {
    /// Watches an app of whose calls a part, from 0 to 1, may take longer than this.
    #[must_use]
    pub fn new(slow_after: Duration, may_be: f64) -> Self {
        let odds = Odds::new(may_be);
        let change = Detector::new(&odds);
        let (is_by_past, run, course) = (false, None, Course::default());
        Self { slow_after, may_be, is_by_past, odds, change, run, course }
    }

    /// Watches an app of whose calls hardly any took longer than this in the last days.
    #[must_use]
    pub fn by_past(slow_after: Duration) -> Self {
        Self { is_by_past: true, ..Self::new(slow_after, MAY_BE) }
    }

    /// Calls that take longer are slow.
    #[must_use]
    pub fn slow_after(&self) -> Duration {
        self.slow_after
    }

    /// Looks, at a time in milliseconds since the epoch, at what calls took since the last look: so many
    /// were quick, and so many slow.
    pub fn look(&mut self, now: u64, n_quick: u64, n_slow: u64) -> Option<ProblemTurn> {
        if self.course.open().is_some() {
            let turn = self.course.tell(now, self.may_be, n_quick, n_slow)?;
            if turn == ProblemTurn::Closed {
                self.change = Detector::new(&self.odds);
                self.run = None;
            }
            return Some(turn);
        }
        if n_quick == 0 && n_slow == 0 {
            return None;
        }
        let calm = Detector::new(&self.odds).evidence() * CALM;
        if self.change.evidence() <= calm {
            self.run = None;
        }
        self.change.together(&self.odds, (n_quick, n_slow), MOST_OF_LOOK);
        if n_slow > 0 || self.run.is_some() {
            let (_, slow, quick) = self.run.get_or_insert((now, 0, 0));
            (*slow, *quick) = (*slow + n_slow, *quick + n_quick);
        }
        let (since, slow, quick) = self.run?;
        if self.change.evidence() < LOOKS_FOR_ONE {
            return None;
        }
        self.course.begin(now, since, slow, quick)
    }

    /// The problem, while it is open: what is bad are slow calls.
    #[must_use]
    pub fn open(&self) -> Option<&OpenProblem> {
        self.course.open()
    }

    /// What is wrong, in a sentence, while something is.
    #[must_use]
    pub fn claim(&self, app: &str) -> Option<String> {
        let open = self.course.open()?;
        Some(slow_claim(app, open.n_bad, open.n_bad + open.n_good, &self.how()))
    }

    /// What its calls do that they should not.
    #[must_use]
    pub fn how(&self) -> String {
        let slow_after = show_duration(self.slow_after);
        if self.is_by_past {
            format!("longer than {slow_after}, as hardly any did in the last days")
        } else {
            format!("longer than {slow_after}")
        }
    }
}

/// That an app is slow: so many of so many calls.
#[must_use]
pub fn slow_claim(app: &str, n_slow: u64, n_calls: u64, how: &str) -> String {
    format!("{app} is slow: {n_slow} of {} took {how}", many(n_calls, "call"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: u64 = 10_000;

    fn watch() -> SlowWatch {
        SlowWatch::new(Duration::from_millis(200), 0.01)
    }

    /// After how many looks of so many quick and slow calls each it is found.
    fn found_after(watch: &mut SlowWatch, from: u64, each: (u64, u64)) -> Option<u64> {
        (1..=400).find(|n| watch.look(from + n * LOOK, each.0, each.1) == Some(ProblemTurn::Opened))
    }

    #[test]
    fn an_app_whose_calls_become_slow_is_found_within_minutes() {
        for (each, most) in [((0, 200), 6), ((180, 20), 8), ((190, 10), 12), ((0, 1), 6)] {
            let mut watch = watch();
            for n in 0..1000 {
                assert_eq!(watch.look(n * LOOK, 198, 2), None);
            }
            let found = found_after(&mut watch, 1000 * LOOK, each);
            assert!(found.is_some_and(|found| found <= most), "{each:?}: {found:?}");
        }
    }

    #[test]
    fn as_many_slow_calls_as_there_may_be_are_no_problem() {
        let mut watch = watch();
        for n in 0..10_000 {
            assert_eq!(watch.look(n * LOOK, 99, 1), None);
        }
    }

    #[test]
    fn a_moment_in_which_all_is_slow_is_none() {
        let mut watch = watch();
        for n in 0..10_000 {
            let each = if n % 100 < 3 { (0, 500) } else { (500, 0) };
            assert_eq!(watch.look(n * LOOK, each.0, each.1), None, "look {n}");
        }
    }

    #[test]
    fn it_is_told_with_its_figures_and_closes_when_calls_are_quick_again() {
        let mut watch = watch();
        found_after(&mut watch, 0, (50, 50)).unwrap();
        let claim = watch.claim("shop").unwrap();
        assert!(
            claim.starts_with("shop is slow: ") && claim.ends_with("took longer than 200ms"),
            "{claim}"
        );
        let since = watch.open().unwrap().opened_at;
        let closed = (1..100).find(|n| watch.look(since + n * LOOK, 100, 0).is_some());
        assert!(closed.is_some_and(|n| n <= 10), "{closed:?}");
        assert!(watch.open().is_none());
    }
}
