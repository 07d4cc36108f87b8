//! A timer that is made at its first use and moved when it fires, which most never do.
//! Does not know what is waited for.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Wakes at a time that may move. Made at the first wait.
#[derive(Debug, Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready at `deadline`, which may be another one at each poll.
    pub(super) fn poll(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        // One that stands at an earlier time fires in vain once, and is moved on then.
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// Wakes within `limit`, to look again: who is idle by then may have been so for a while, and
    /// nobody tells when an answer was taken.
    pub(super) fn look_again(&mut self, limit: Duration, context: &mut Context<'_>) {
        let timer = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        while timer.as_mut().poll(context).is_ready() {
            timer.as_mut().reset(Instant::now() + limit);
        }
    }
}
