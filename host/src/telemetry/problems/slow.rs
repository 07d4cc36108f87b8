//! How long the calls of one app take beside what it promises, or beside its own past, as calls count it.
//! Does not judge: `core::problem` does.
//!
//! A call writes here only where it was slow: how many were not is known from the app's counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steerage_core::objective::Latency;
use steerage_core::problem::{OwnPast, ProblemTurn, SlowWatch};
use steerage_core::units::nanoseconds;

/// How long the calls take of an app.
#[derive(Debug)]
pub(super) struct Slow {
    state: Mutex<SlowState>,
    /// Calls that take longer are slow: nanoseconds; the largest number where nothing is judged.
    after: AtomicU64,
    /// Slow calls since the last look: those that were answered, and those whose clients went away.
    n_slow: AtomicU64,
    n_gone: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct SlowState {
    /// Nothing where nothing is promised and too little is known of before.
    pub(super) watch: Option<SlowWatch>,
    promised: Option<Latency>,
    past: OwnPast,
    /// Calls of the app that had been answered at the last look.
    n_answered: u64,
}

/// What has become of how an app is judged by its past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PastTurn {
    /// Nothing.
    None,
    /// It is judged by it from now on, or by other figures.
    Judged,
    /// What was a problem has been so for a day, and is how the app is.
    IsUsual,
}

impl Slow {
    pub(super) fn state(&self) -> MutexGuard<'_, SlowState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches by what is promised from now on, when so many calls have been answered; whether a problem was
    /// open by what was promised before.
    pub(super) fn promise(&self, promised: Option<Latency>, n_answered: u64) -> bool {
        let mut state = self.state();
        let was_open = state.is_open();
        state.promised = promised;
        state.watch = None;
        self.watch_anew(&mut state, n_answered);
        was_open
    }

    /// An hour is over; see [`OwnPast::note`]. Something was wrong in it, or not. What has become of that the
    /// app is slow.
    pub(super) fn note_hour(
        &self,
        hour: u32,
        (n_calls, p99_us): (u64, u64),
        was_wrong: bool,
        n_answered: u64,
    ) -> PastTurn {
        let mut state = self.state();
        let (was_open, before) = (state.is_open(), state.past.slow_after());
        state.past.note(hour, n_calls, p99_us, was_open || was_wrong);
        let now = state.past.slow_after();
        let is_other = now != before || state.watch.is_none();
        // What is open is judged on by what it was opened by, until that is how the app is.
        let is_kept = was_open && now <= before;
        if state.promised.is_some() || is_kept || !is_other {
            return PastTurn::None;
        }
        self.watch_anew(&mut state, n_answered);
        match (&state.watch, was_open) {
            (Some(_), true) => PastTurn::IsUsual,
            (Some(_), false) => PastTurn::Judged,
            (None, _) => PastTurn::None,
        }
    }

    fn watch_anew(&self, state: &mut SlowState, n_answered: u64) {
        state.watch = match state.promised {
            Some(it) => Some(SlowWatch::new(it.slow_after, it.quick.rest())),
            None => state.past.slow_after().map(SlowWatch::by_past),
        };
        state.n_answered = n_answered;
        let after = state.watch.as_ref().map_or(u64::MAX, |it| nanoseconds(it.slow_after()));
        self.after.store(after, Ordering::Relaxed);
        self.n_slow.store(0, Ordering::Relaxed);
        self.n_gone.store(0, Ordering::Relaxed);
    }

    /// A call that did not fail is over, and took this without its client's time.
    pub(super) fn note(&self, cause: &str, took: impl FnOnce() -> Duration) {
        let after = self.after.load(Ordering::Relaxed);
        if after == u64::MAX || nanoseconds(took()) <= after {
            return;
        }
        match cause {
            "answered" => drop(self.n_slow.fetch_add(1, Ordering::Relaxed)),
            // Who went away after that time has waited longer; who did before says nothing.
            "client_gone" => drop(self.n_gone.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
    }

    /// Looks at the calls since the last look, up to which so many were answered in all: what has become of
    /// it, and what is wrong.
    pub(super) fn look(
        &self,
        app: &str,
        now: u64,
        n_answered: u64,
    ) -> Option<(ProblemTurn, Option<String>)> {
        let mut state = self.state();
        let n_new = n_answered.saturating_sub(state.n_answered);
        state.n_answered = n_answered;
        let watch = state.watch.as_mut()?;
        let slow = self.n_slow.swap(0, Ordering::Relaxed);
        let gone = self.n_gone.swap(0, Ordering::Relaxed);
        let turn = watch.look(now, n_new.saturating_sub(slow), slow + gone)?;
        Some((turn, watch.claim(app)))
    }
}

impl SlowState {
    pub(super) fn is_open(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.open().is_some())
    }
}

impl Default for Slow {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            after: AtomicU64::new(u64::MAX),
            n_slow: AtomicU64::new(0),
            n_gone: AtomicU64::new(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_been_slow_for_a_day_is_how_the_app_is() {
        let slow = Slow::default();
        for hour in 0..24 {
            let turn = slow.note_hour(hour, (1000, 50_000), false, 0);
            assert_eq!(turn, if hour == 23 { PastTurn::Judged } else { PastTurn::None });
        }
        let mut n_answered = 0;
        let mut found = false;
        for look in 0..20 {
            for _ in 0..50 {
                slow.note("answered", || Duration::from_millis(300));
            }
            n_answered += 50;
            found |= slow.look("shop", look * 10_000, n_answered).is_some();
        }
        assert!(found);
        for hour in 24..48 {
            assert_eq!(slow.note_hour(hour, (1000, 300_000), false, 0), PastTurn::None);
        }
        assert_eq!(slow.note_hour(48, (1000, 300_000), false, 0), PastTurn::IsUsual);
        assert!(!slow.state().is_open());
    }

    #[test]
    fn an_hour_in_which_something_was_wrong_is_not_learned() {
        let slow = Slow::default();
        for hour in 0..25 {
            let was_wrong = hour == 7;
            let p99 = if was_wrong { 30_000_000 } else { 50_000 };
            slow.note_hour(hour, (1000, p99), was_wrong, 0);
        }
        let watch = slow.state().watch.clone().unwrap();
        assert_eq!(watch.slow_after(), Duration::from_millis(56));
    }
}
