//! How many calls one instance of a deployment can serve, as found out by serving them.
//! Does not know what a manifest allows.
//!
//! Some toolchains make guests that take one request and answer no other. Such a guest does not say so;
//! it is noticed when an instance that has served calls fails to answer one that a fresh instance then
//! answers.

use std::sync::atomic::{AtomicU32, Ordering};

/// Calls of an instance that may be asked again in a fresh one. What fails later has another cause,
/// and keeping a request for a second try takes time.
const TRIALS: u32 = 16;

/// What is known of one deployment.
pub(super) struct Reuse {
    /// Calls that some instance has answered in its life.
    answered: AtomicU32,
    /// Calls that an instance may serve in its life.
    most: AtomicU32,
}

impl Default for Reuse {
    fn default() -> Self {
        Self { answered: AtomicU32::new(1), most: AtomicU32::new(u32::MAX) }
    }
}

impl Reuse {
    /// Whether no instance is known to have answered a call after so many others.
    pub(super) fn is_trial(&self, n_served: u32) -> bool {
        n_served < TRIALS && n_served >= self.answered.load(Ordering::Relaxed)
    }

    /// Whether an instance that has served so many calls may serve another.
    pub(super) fn allows(&self, n_served: u32) -> bool {
        n_served < self.most.load(Ordering::Relaxed)
    }

    /// An instance has answered its call of this number.
    pub(super) fn note_answered(&self, n_served: u32) {
        if self.answered.load(Ordering::Relaxed) < n_served {
            self.answered.fetch_max(n_served, Ordering::Relaxed);
        }
    }

    /// An instance that had served so many calls did not answer what a fresh one then answered. Says
    /// whether that was not known before.
    pub(super) fn note_failed(&self, n_served: u32) -> bool {
        self.most.fetch_min(n_served, Ordering::Relaxed) > n_served
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_takes_one_request_is_not_reused() {
        let reuse = Reuse::default();
        assert!(reuse.allows(1) && reuse.is_trial(1));
        assert!(reuse.note_failed(1));
        assert!(!reuse.note_failed(1), "it is told once");
        assert!(!reuse.allows(1));
        assert!(reuse.allows(0));
    }

    #[test]
    fn what_some_instance_has_answered_is_no_trial_any_more() {
        let reuse = Reuse::default();
        reuse.note_answered(2);
        assert!(!reuse.is_trial(1) && reuse.is_trial(2));
        reuse.note_answered(1);
        assert!(!reuse.is_trial(1));
        assert!(!reuse.is_trial(TRIALS));
    }

    #[test]
    fn a_guest_that_takes_three_serves_three() {
        let reuse = Reuse::default();
        for n_served in [2, 3] {
            reuse.note_answered(n_served);
        }
        assert!(reuse.is_trial(3) && reuse.note_failed(3));
        assert!(reuse.allows(2) && !reuse.allows(3));
    }
}
