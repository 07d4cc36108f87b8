//! A deployment that has all calls since it took the place of another, and is watched: what it did since
//! then, beside what the other one did in its last minutes.
//! Does not judge: `core::rollout` does, of what all hosts report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use steerage_core::canary::{Durations, Side};
use steerage_core::id::Generation;
use steerage_core::rollout::Totals;

use super::Count;

/// What the deployment did that another one replaced here, in its last minutes.
#[derive(Clone, Debug)]
pub struct Replaced {
    /// Which it was.
    pub generation: Generation,
    /// What it did.
    pub did: Totals,
}

/// The watch over a deployment.
#[derive(Debug)]
pub struct WatchedDeployment {
    /// Which it is.
    generation: Generation,
    /// Until when.
    until: Instant,
    /// What the one before it did in its last minutes.
    old: Side,
    /// What it did itself.
    new: Arc<Count>,
}

impl WatchedDeployment {
    /// A watch that begins now, and is over after some time.
    pub(super) fn new(generation: Generation, left: Duration, old: Option<Totals>) -> Self {
        let until = Instant::now() + left;
        Self {
            generation,
            until,
            old: old.map(side).unwrap_or_default(),
            new: Arc::new(Count::of_watch()),
        }
    }

    /// Which deployment it is over.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Where calls of it are counted.
    pub(super) fn count(&self) -> Arc<Count> {
        self.new.clone()
    }

    /// What both did.
    #[must_use]
    pub fn read(&self) -> (Side, Side) {
        (self.old.clone(), self.new.read())
    }
}

/// How long the calls lasted that were given up is not known of the one that was replaced: each counts as
/// one that was given up late, so that nothing is held against its successor that it did itself.
fn side(did: Totals) -> Side {
    let mut side = Side { calls: did.calls, failed: did.failed, ..Side::default() };
    side.abandoned.add(Durations::CLASSES - 1, did.given_up);
    side
}
