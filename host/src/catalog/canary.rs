//! A canary beside an app's current one: its code, its part of the calls, and what both
//! did since it began, apart from each other.
//! Does not judge: `core::canary` does, of what all hosts report.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use steerage_core::canary::{Durations, Share, Side};
use steerage_core::id::Generation;
use steerage_core::outcome::{Fault, Outcome};

use super::LoadedDeployment;

/// A canary.
#[derive(Debug)]
pub struct RunningCanary {
    /// Its code, which stays mapped for as long as the trial lasts. It has a gate and memory of its
    /// own, so that one that hangs takes no room from the current one.
    pub deployed: Arc<LoadedDeployment>,
    /// Its part of the calls, out of [`Share::WHOLE`].
    share: AtomicU32,
    /// What the current deployment did meanwhile.
    pub old: Arc<Count>,
    /// What this one did.
    pub canary: Arc<Count>,
}

/// What one of the two did, written by its calls.
#[derive(Debug)]
pub struct Count {
    calls: AtomicU64,
    failed: AtomicU64,
    durations: [AtomicU64; Durations::CLASSES],
    /// Of calls that their callers gave up.
    abandoned: [AtomicU64; Durations::CLASSES],
    /// Whether a call that was given up counts also where its answer had begun: a stream that somebody
    /// leaves is the same on both sides of a canary, and is no failure where there is no other side.
    is_beside_another: bool,
}

impl RunningCanary {
    /// A trial that begins now.
    #[must_use]
    pub fn new(deployed: LoadedDeployment, share: Share) -> Self {
        let (old, canary) = Default::default();
        let deployed = LoadedDeployment { is_canary: true, ..deployed };
        Self { deployed: Arc::new(deployed), share: share.get().into(), old, canary }
    }

    /// The same trial, with the deployment made anew: it counts on.
    #[must_use]
    pub fn with(&self, deployed: LoadedDeployment) -> Self {
        let deployed = LoadedDeployment { is_canary: true, ..deployed };
        let share = AtomicU32::new(self.share.load(Ordering::Relaxed));
        let (old, canary) = (self.old.clone(), self.canary.clone());
        Self { deployed: Arc::new(deployed), share, old, canary }
    }

    /// Whether a call is the canary's that drew this number below [`Share::WHOLE`].
    #[must_use]
    pub fn takes(&self, drawn: u32) -> bool {
        Share::new(self.share.load(Ordering::Relaxed)).is_ok_and(|share| share.takes(drawn))
    }

    /// Gives it another part of the calls, from now on.
    pub fn set_share(&self, share: Share) {
        self.share.store(share.get(), Ordering::Relaxed);
    }

    /// The canary.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.deployed.generation
    }
}

impl Default for Count {
    fn default() -> Self {
        let none = || std::array::from_fn(|_| AtomicU64::new(0));
        let (calls, failed) = Default::default();
        Self { calls, failed, durations: none(), abandoned: none(), is_beside_another: true }
    }
}

impl Count {
    /// One that has no other to be compared with at the same time.
    pub(super) fn of_watch() -> Self {
        Self { is_beside_another: false, ..Self::default() }
    }

    /// Counts one call that is over, unless it says nothing of the deployment.
    pub fn record(&self, outcome: &Outcome, status: u16, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let count_in = |classes: &[AtomicU64; Durations::CLASSES]| {
            if let Some(count) = classes.get(Durations::class(micros)) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        let has_failed = match outcome.fault() {
            // How long it lasted tells whether the caller had reason to.
            _ if matches!(outcome, Outcome::ClientGone) => {
                if status == 0 || self.is_beside_another {
                    count_in(&self.abandoned);
                }
                return;
            }
            // What an app answers itself is its own doing.
            Fault::None => status >= 500,
            Fault::Guest => true,
            Fault::Client | Fault::Host => return,
        };
        self.calls.fetch_add(1, Ordering::Relaxed);
        if has_failed {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        // A refusal was quick, but did nothing; and what is beside no other is not compared in time.
        if matches!(outcome, Outcome::Refused(_)) || !self.is_beside_another {
            return;
        }
        count_in(&self.durations);
    }

    /// What was counted so far.
    #[must_use]
    pub fn read(&self) -> Side {
        let all = |classes: &[AtomicU64; Durations::CLASSES]| {
            let mut durations = Durations::default();
            for (class, count) in classes.iter().enumerate() {
                durations.add(class, count.load(Ordering::Relaxed));
            }
            durations
        };
        let (durations, abandoned) = (all(&self.durations), all(&self.abandoned));
        // Failures first: there must never be more of them than calls.
        let failed = self.failed.load(Ordering::Relaxed);
        let calls = self.calls.load(Ordering::Relaxed).max(failed);
        Side { calls, failed, durations, abandoned }
    }
}

#[cfg(test)]
mod tests {
    use steerage_core::outcome::Refusal;

    use super::*;

    #[test]
    fn what_says_nothing_of_a_deployment_is_not_counted() {
        let count = Count::default();
        let took = Duration::from_millis(3);
        count.record(&Outcome::Answered, 200, took);
        count.record(&Outcome::Answered, 404, took);
        count.record(&Outcome::Answered, 500, took);
        count.record(&Outcome::NoAnswer { detail: String::new() }, 502, took);
        count.record(&Outcome::ClientGone, 0, took);
        count.record(&Outcome::HostFailed { detail: String::new() }, 500, took);
        count.record(&Outcome::Refused(Refusal::AppBusy { concurrency: 1, queue: 1 }), 503, took);
        count.record(&Outcome::Refused(Refusal::NotReady), 503, took);
        let side = count.read();
        assert_eq!((side.calls, side.failed, side.durations.count()), (5, 3, 4));
        assert_eq!(side.abandoned.count(), 1);
    }

    #[test]
    fn a_stream_that_is_left_is_no_failure_of_a_deployment_that_is_watched() {
        let (watched, tried) = (Count::of_watch(), Count::default());
        for count in [&watched, &tried] {
            count.record(&Outcome::ClientGone, 200, Duration::from_secs(60));
            count.record(&Outcome::ClientGone, 0, Duration::from_secs(5));
        }
        let abandoned = |count: &Count| count.read().abandoned.count();
        assert_eq!((abandoned(&watched), abandoned(&tried)), (1, 2));
    }
}
