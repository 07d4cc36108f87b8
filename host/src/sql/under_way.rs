//! Waiting for a statement, and for the ends of its slices: what does not end its slice steps back for all others.
//! Does not run it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use super::error::SqlError;
use super::run::Told;
use super::thread::SqlThread;
use super::turns::SqlTurns;

/// How long after a slice should have ended it is looked at what its thread does.
const LOOK_AFTER: Duration = Duration::from_millis(20);
/// A thread that has computed for so long since then steps back for all others. One that waits for the disk, or for a
/// core, has not.
const LONGEST_SLICE: Duration = Duration::from_millis(10);
/// The same where nobody looks again.
const LONGEST_LAST_SLICE: Duration = Duration::from_millis(1);

/// A statement that runs; ended when this is dropped.
pub(super) struct UnderWay {
    turns: Arc<SqlTurns<Told>>,
    thread: SqlThread,
    /// Its slice should have ended.
    late: Option<Late>,
    is_over: bool,
}

/// When it is looked at what a thread does that has not ended its slice, and what it had used before.
struct Late {
    look: Pin<Box<Sleep>>,
    used: Option<Duration>,
}

impl UnderWay {
    /// What this thread does, which takes these turns.
    pub(super) fn new(turns: Arc<SqlTurns<Told>>, thread: SqlThread) -> Self {
        Self { turns, thread, late: None, is_over: false }
    }

    /// Has a thread step back that has computed for so long since it should have ended its slice.
    fn step_back_after(&self, most: Duration) {
        let before = self.late.as_ref().and_then(|late| late.used);
        let used = self.thread.used().zip(before).map(|(now, before)| now.saturating_sub(before));
        if used.is_none_or(|used| used >= most) {
            self.thread.step_back();
        }
    }
}

impl Future for UnderWay {
    type Output = Told;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Told> {
        let this = self.get_mut();
        if let Poll::Ready(told) = this.turns.poll(context) {
            this.is_over = true;
            return Poll::Ready(told.unwrap_or(Err(SqlError::Lost)));
        }
        if !this.turns.is_running() {
            this.late = None;
            return Poll::Pending;
        }
        loop {
            let late = this.late.get_or_insert_with(|| Late {
                look: Box::pin(sleep(LOOK_AFTER)),
                used: this.thread.used(),
            });
            if late.look.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            this.step_back_after(LONGEST_SLICE);
            this.late = None;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.is_over && self.turns.stop() {
            self.step_back_after(LONGEST_LAST_SLICE);
        }
    }
}
