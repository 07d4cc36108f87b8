//! What is done about a call when the task on either side of it is dropped or panics.
//! Does not know the story of a call.

use std::sync::Arc;

use steerage_core::outcome::{Outcome, Refusal};

use super::tally::Tally;
use crate::call::Usage;

/// Says that the guest's side is over even when its task was dropped or panicked.
pub(super) struct EndOnDrop(pub(super) Arc<Tally>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        if !self.0.call().is_over() {
            let outcome = if self.0.is_cut() {
                Outcome::Refused(Refusal::Draining)
            } else {
                let detail = "the guest's task ended without saying how".to_owned();
                Outcome::HostFailed { detail }
            };
            self.0.call().end(outcome, Usage::default());
        }
    }
}

/// Stops the guest when the client goes away before there is an answer.
pub(super) struct StopOnDrop<'t> {
    tally: &'t Tally,
    is_armed: bool,
}

impl<'t> StopOnDrop<'t> {
    pub(super) fn new(tally: &'t Tally) -> Self {
        Self { tally, is_armed: true }
    }

    /// There is an answer: what becomes of the client is the response's business.
    pub(super) fn disarm(mut self) {
        self.is_armed = false;
    }
}

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        if self.is_armed {
            self.tally.call().cut(Outcome::ClientGone);
            self.tally.call().close_answer();
        }
    }
}
