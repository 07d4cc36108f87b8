//! Where a guest's answer waits until the client's side takes it: one place in the call itself, where a
//! channel would be two allocations more. Does not read or send what is answered.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Call;
use crate::body::Produced;

/// What a guest answers: a response, or in one line why there is none.
pub type GuestResponse = Result<http::Response<Produced>, String>;

/// The place. Nothing is dropped under its lock: a response may be the last that knows of its body.
#[derive(Debug, Default)]
pub(super) struct ResponseSlot(Mutex<Slot>);

#[derive(Debug, Default)]
enum Slot {
    /// The guest may answer.
    #[default]
    Awaited,
    /// It has, or has given up its right to.
    Settled(Option<GuestResponse>),
    /// Whatever it answers, nobody takes it any more.
    Closed,
}

impl ResponseSlot {
    /// Puts an answer there, or that there is none, unless that was done or nobody would take it.
    pub(super) fn settle(&self, answer: Option<GuestResponse>) {
        let mut slot = self.lock();
        if matches!(*slot, Slot::Awaited) {
            *slot = Slot::Settled(answer);
        } else {
            drop(slot);
            drop(answer);
        }
    }

    /// The answer, once; `None` while the guest may still give one.
    pub(super) fn take(&self) -> Option<Option<GuestResponse>> {
        let mut slot = self.lock();
        match &mut *slot {
            Slot::Awaited => None,
            Slot::Closed => Some(None),
            Slot::Settled(answer) => {
                let answer = answer.take();
                *slot = Slot::Closed;
                Some(answer)
            }
        }
    }

    /// Nobody takes an answer any more.
    pub(super) fn close(&self) {
        let left = mem::replace(&mut *self.lock(), Slot::Closed);
        drop(left);
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to answer a call, once. Where it is dropped unused, there is no answer.
#[derive(Debug)]
pub struct ResponseSender {
    call: Arc<Call>,
    /// Whether another has it back when this one is dropped.
    is_lent: bool,
}

/// Where a right to answer that was lent is had back from.
#[derive(Debug)]
pub struct LentSender(Option<Arc<Call>>);

impl ResponseSender {
    /// The right to answer this call. There is one at a time.
    #[must_use]
    pub fn new(call: Arc<Call>) -> Self {
        Self { call, is_lent: false }
    }

    /// Sends the answer. Nobody may wait for it any more; the guest need not know.
    pub fn send(self, answer: GuestResponse) {
        self.call.answer(Some(answer));
    }

    /// Ends the call: what the guest wrote, or began to, is no response, for this reason. What it does
    /// next does not matter any more.
    pub fn refuse(self, detail: String) {
        self.call.refuse(detail);
    }

    /// The same right, which may be had back where it was not used.
    #[must_use]
    pub fn lend(mut self) -> (Self, LentSender) {
        self.is_lent = true;
        let lent = LentSender(Some(self.call.clone()));
        (self, lent)
    }
}

impl Drop for ResponseSender {
    fn drop(&mut self) {
        if !self.is_lent {
            self.call.give_up_answer();
        }
    }
}

impl LentSender {
    /// The right to answer, unless it was used.
    #[must_use]
    pub fn back(mut self) -> Option<ResponseSender> {
        let call = self.0.take()?;
        (!call.is_answered()).then(|| ResponseSender::new(call))
    }
}

impl Drop for LentSender {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call.give_up_answer();
        }
    }
}
