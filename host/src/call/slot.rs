//! Where a guest's answer waits until the client's side takes it: one place in the call itself, where a
//! channel would be two allocations more. Does not read or send what is answered.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
