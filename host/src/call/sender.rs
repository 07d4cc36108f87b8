//! The right to answer a call, which there is one of. Does not keep the answer.

use std::sync::Arc;

use super::state::{Call, GuestResponse};

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
