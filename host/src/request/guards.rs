//! What is done about a call when the task on either side of it is dropped or panics.
//! Does not know the story of a call.

use std::sync::Arc;

use std::time::Instant;

use steerage_core::outcome::{Outcome, Refusal};
use steerage_core::spent::Phase;

use super::CallContext;
use crate::call::{Call, CallSide, Usage};
use crate::meter;

/// The guest's side of a call: says that it is over even when its task was dropped or panicked.
pub(super) struct EndOnDrop {
    pub(super) call: CallSide,
    pub(super) context: Arc<CallContext>,
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        if !self.call.is_over() {
            let outcome = if self.context.shutdown.is_cut() {
                Outcome::Refused(Refusal::Draining)
            } else {
                let detail = "the guest's task ended without saying how".to_owned();
                Outcome::HostFailed { detail }
            };
            self.call.end(outcome, Usage::default());
        }
    }
}

/// Stops the guest when the client goes away before there is an answer.
pub(super) struct StopOnDrop<'c> {
    call: &'c Call,
    is_armed: bool,
}

impl<'c> StopOnDrop<'c> {
    pub(super) fn new(call: &'c Call) -> Self {
        Self { call, is_armed: true }
    }

    /// There is an answer: what becomes of the client is the response's business.
    pub(super) fn disarm(mut self) {
        self.is_armed = false;
    }
}

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        if self.is_armed {
            self.call.cut(Outcome::ClientGone);
        }
    }
}

/// Notes how long a call waited for its turn, whether that came or the client went away first.
pub(super) struct QueuedUntilDrop<'c> {
    call: &'c Call,
    since: Instant,
}

impl<'c> QueuedUntilDrop<'c> {
    pub(super) fn new(call: &'c Call) -> Self {
        Self { call, since: meter::now() }
    }
}

impl Drop for QueuedUntilDrop<'_> {
    fn drop(&mut self) {
        self.call.time().add(Phase::Queue, meter::since(self.since));
    }
}
