//! When an HTTP/2 connection has carried nothing for too long. Bytes do not count: whoever answers
//! pings may keep a connection for ever otherwise. Tells nobody: the connection's driver asks.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

use super::connection::{Connection, Word};
use super::patience::ClientTimeouts;

/// The end of an HTTP/2 connection that carries nothing: first it is told to go, then it is ended.
pub(super) struct Idle {
    limits: ClientTimeouts,
    timer: Pin<Box<Sleep>>,
    is_finishing: bool,
}

impl Idle {
    pub(super) fn new(limits: ClientTimeouts) -> Self {
        let timer = Box::pin(tokio::time::sleep(limits.idle));
        Self { limits, timer, is_finishing: false }
    }

    /// Ready with what the connection is to be told.
    pub(super) fn poll(
        &mut self,
        connection: &Connection,
        context: &mut Context<'_>,
    ) -> Poll<Word> {
        // Nobody wakes this when a stream ends: it looks when its timer fires.
        while self.timer.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let is_busy = connection.is_answering() || connection.is_uploading();
            let since = if is_busy { now } else { connection.idle_since() };
            let deadline = since + self.limits.idle;
            if deadline > now {
                self.is_finishing = false;
                self.timer.as_mut().reset(deadline);
            } else if self.is_finishing {
                return Poll::Ready(Word::End);
            } else {
                self.is_finishing = true;
                self.timer.as_mut().reset(now + self.limits.head);
                return Poll::Ready(Word::Finish);
            }
        }
        Poll::Pending
    }
}
