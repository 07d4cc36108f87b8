//! How long the calls of one app may take: what it promises, or where it promises nothing its own past; and
//! whether they take longer.
//! Measures nothing itself.

use std::time::Duration;

use super::course::ProblemTurn;
use super::own_past::OwnPast;
use super::slow::SlowWatch;
use crate::objective::Latency;

/// Watches how long the calls of one app take.
#[derive(Clone, Debug, Default)]
pub struct LatencyWatch {
    /// Nothing where nothing is promised and too little is known of before.
    watch: Option<SlowWatch>,
    promised: Option<Latency>,
    past: OwnPast,
}

/// What has become of how an app is judged by its past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastTurn {
    /// Nothing.
    None,
    /// It is judged by it from now on, or by other figures.
    Judged,
    /// What was a problem has been so for a day, and is how the app is.
    IsUsual,
}

impl LatencyWatch {
    /// Calls that take longer are slow; nothing where nobody judges.
    #[must_use]
    pub fn slow_after(&self) -> Option<Duration> {
        self.watch.as_ref().map(SlowWatch::slow_after)
    }

    /// The watch, while the app is slow.
    #[must_use]
    pub fn open(&self) -> Option<&SlowWatch> {
        self.watch.as_ref().filter(|watch| watch.open().is_some())
    }

    /// Watches by what is promised from now on; whether a problem was open by what was promised before.
    pub fn promise(&mut self, promised: Option<Latency>) -> bool {
        let was_open = self.open().is_some();
        self.promised = promised;
        self.watch_anew();
        was_open
    }

    /// An hour is over, see the past of hours in `own_past`; something was wrong with the app in it, or not.
    pub fn note_hour(&mut self, hour: u32, n_calls: u64, p99_us: u64, was_wrong: bool) -> PastTurn {
        let (was_open, watched) = (self.open().is_some(), self.slow_after());
        self.past.note(hour, n_calls, p99_us, was_open || was_wrong);
        let now = self.past.slow_after();
        let is_other = now != watched;
        // What is open is judged on by what it was opened by: hours that are known better must not close it, and
        // only what was learned from a day of it can be higher.
        let is_kept = was_open && now <= watched;
        if self.promised.is_some() || is_kept || !is_other {
            return PastTurn::None;
        }
        self.watch_anew();
        match (&self.watch, was_open) {
            (Some(_), true) => PastTurn::IsUsual,
            (Some(_), false) => PastTurn::Judged,
            (None, _) => PastTurn::None,
        }
    }

    /// Looks at what calls took since the last look; see [`SlowWatch::look`].
    pub fn look(&mut self, now: u64, n_quick: u64, n_slow: u64) -> Option<ProblemTurn> {
        self.watch.as_mut()?.look(now, n_quick, n_slow)
    }

    /// What is wrong, in a sentence, while something is.
    #[must_use]
    pub fn claim(&self, app: &str) -> Option<String> {
        self.watch.as_ref()?.claim(app)
    }

    fn watch_anew(&mut self) {
        self.watch = match self.promised {
            Some(it) => Some(SlowWatch::new(it.slow_after, it.quick.rest())),
            None => self.past.slow_after().map(SlowWatch::by_past),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_been_slow_for_a_day_is_how_the_app_is() {
        let mut watch = LatencyWatch::default();
        for hour in 0..24 {
            let turn = watch.note_hour(hour, 1000, 50_000, false);
            assert_eq!(turn, if hour == 23 { PastTurn::Judged } else { PastTurn::None });
        }
        assert!((0..20).any(|look| watch.look(look * 10_000, 0, 50).is_some()));
        for hour in 24..48 {
            assert_eq!(watch.note_hour(hour, 1000, 300_000, false), PastTurn::None);
        }
        assert_eq!(watch.note_hour(48, 1000, 300_000, false), PastTurn::IsUsual);
        assert!(watch.open().is_none());
        assert_eq!(watch.slow_after(), Some(Duration::from_millis(331)));
    }

    #[test]
    fn an_hour_in_which_something_was_wrong_is_not_learned() {
        let mut watch = LatencyWatch::default();
        for hour in 0..25 {
            let was_wrong = hour == 7;
            let p99_us = if was_wrong { 30_000_000 } else { 50_000 };
            watch.note_hour(hour, 1000, p99_us, was_wrong);
        }
        assert_eq!(watch.slow_after(), Some(Duration::from_millis(56)));
    }

    #[test]
    fn what_is_promised_is_judged_and_not_the_past() {
        let mut watch = LatencyWatch::default();
        assert!(!watch.promise(Some("200ms at p99".parse().unwrap())));
        for hour in 0..24 {
            assert_eq!(watch.note_hour(hour, 1000, 50_000, false), PastTurn::None);
        }
        assert_eq!(watch.slow_after(), Some(Duration::from_millis(200)));
        assert!(!watch.promise(None), "nothing was wrong");
        assert_eq!(watch.slow_after(), Some(Duration::from_millis(56)));
    }
}
