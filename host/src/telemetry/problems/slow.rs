//! How long the calls of one app take beside what it promises, as calls count it.
//! Does not judge: `core::problem` does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steerage_core::objective::Latency;
use steerage_core::problem::{ProblemTurn, SlowWatch};
use steerage_core::units::nanoseconds;

/// How long the calls take of an app that promises something about it.
#[derive(Debug)]
pub(super) struct Slow {
    watch: Mutex<Option<SlowWatch>>,
    /// Calls that take longer are slow: nanoseconds; the largest number where nothing is promised.
    after: AtomicU64,
    /// Calls since the last look.
    n_quick: AtomicU64,
    n_slow: AtomicU64,
}

impl Slow {
    /// The watch, where something is promised.
    pub(super) fn watch(&self) -> MutexGuard<'_, Option<SlowWatch>> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches by what is promised from now on; whether a problem was open by what was promised before.
    pub(super) fn set(&self, promised: Option<Latency>) -> bool {
        let watch = promised.map(|it| SlowWatch::new(it.slow_after, it.quick.rest()));
        let after = promised.map_or(u64::MAX, |it| nanoseconds(it.slow_after));
        let mut known = self.watch();
        self.after.store(after, Ordering::Relaxed);
        self.n_quick.store(0, Ordering::Relaxed);
        self.n_slow.store(0, Ordering::Relaxed);
        let before = std::mem::replace(&mut *known, watch);
        before.is_some_and(|watch| watch.open().is_some())
    }

    /// A call that did not fail is over, and took this without its client's time.
    pub(super) fn note(&self, cause: &str, took: impl FnOnce() -> Duration) {
        let after = self.after.load(Ordering::Relaxed);
        if after == u64::MAX {
            return;
        }
        let is_slow = nanoseconds(took()) > after;
        // Who went away after that time has waited longer; who did before says nothing.
        if cause != "answered" && !(cause == "client_gone" && is_slow) {
            return;
        }
        let counter = if is_slow { &self.n_slow } else { &self.n_quick };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Looks at the calls since the last look: what has become of it, and what is wrong.
    pub(super) fn look(&self, app: &str, now: u64) -> Option<(ProblemTurn, Option<String>)> {
        let mut watch = self.watch();
        let watch = watch.as_mut()?;
        let quick = self.n_quick.swap(0, Ordering::Relaxed);
        let slow = self.n_slow.swap(0, Ordering::Relaxed);
        let turn = watch.look(now, quick, slow)?;
        Some((turn, watch.claim(app)))
    }
}

impl Default for Slow {
    fn default() -> Self {
        Self {
            watch: Mutex::default(),
            after: AtomicU64::new(u64::MAX),
            n_quick: AtomicU64::new(0),
            n_slow: AtomicU64::new(0),
        }
    }
}
