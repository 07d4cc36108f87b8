//! How many calls of one app take longer than they may, as calls count it.
//! Does not judge: `core::problem` does.
//!
//! A call writes here only where it was slow: how many were not is known from the app's counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steerage_core::problem::{LatencyWatch, ProblemTurn};
use steerage_core::units::nanoseconds;

/// How long the calls take of an app.
#[derive(Debug)]
pub(super) struct Slow {
    judged: Mutex<Judged>,
    /// Calls that take longer are slow: nanoseconds; the largest number where nobody judges.
    after: AtomicU64,
    /// Slow calls since the last look: those that were answered, and those whose clients went away.
    n_slow: AtomicU64,
    n_gone: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) watch: LatencyWatch,
    /// Calls of the app that had been answered at the last look.
    n_answered: u64,
}

impl Slow {
    pub(super) fn judged(&self) -> MutexGuard<'_, Judged> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `change` done to how the app is judged, up to which so many of its calls were answered. Where that
    /// makes other calls slow, they are counted from here on.
    pub(super) fn change<T>(
        &self,
        n_answered: u64,
        change: impl FnOnce(&mut LatencyWatch) -> T,
    ) -> T {
        let mut judged = self.judged();
        let before = judged.watch.slow_after();
        let changed = change(&mut judged.watch);
        let now = judged.watch.slow_after();
        if now != before {
            // Without an order among these writes: a call that still reads the old time is counted by it, and
            // one look in which a few calls are judged by the time before says nothing.
            judged.n_answered = n_answered;
            self.after.store(now.map_or(u64::MAX, nanoseconds), Ordering::Relaxed);
            self.n_slow.store(0, Ordering::Relaxed);
            self.n_gone.store(0, Ordering::Relaxed);
        }
        changed
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
    /// it with what is wrong, and whether it is slow now.
    pub(super) fn look(
        &self,
        app: &str,
        now: u64,
        n_answered: u64,
    ) -> (Option<(ProblemTurn, Option<String>)>, bool) {
        let mut judged = self.judged();
        let n_new = n_answered.saturating_sub(judged.n_answered);
        judged.n_answered = n_answered;
        let slow = self.n_slow.swap(0, Ordering::Relaxed);
        let gone = self.n_gone.swap(0, Ordering::Relaxed);
        let turn = judged.watch.look(now, n_new.saturating_sub(slow), slow + gone);
        (turn.map(|turn| (turn, judged.watch.claim(app))), judged.watch.open().is_some())
    }
}

impl Default for Slow {
    fn default() -> Self {
        Self {
            judged: Mutex::default(),
            after: AtomicU64::new(u64::MAX),
            n_slow: AtomicU64::new(0),
            n_gone: AtomicU64::new(0),
        }
    }
}
