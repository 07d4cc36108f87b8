//! The body of a response on its way to a guest, with the guest's patience between two of its bytes.
//! Does not know what connection it comes over.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};
use wasmtime_wasi_http::Error;

use super::tally::RequestTally;

/// A body that ends with an error where nothing comes for too long while somebody waits for it.
pub(super) struct AnswerBody {
    body: Incoming,
    patience: Duration,
    timer: Pin<Box<Sleep>>,
    /// Whether somebody has been waiting since the timer was set.
    is_waiting: bool,
    tally: RequestTally,
    /// The request is one of its call's until its response is taken.
    _turn: OwnedSemaphorePermit,
}

impl AnswerBody {
    /// `tally` knows that its head is there.
    pub(super) fn new(
        body: Incoming,
        patience: Duration,
        turn: OwnedSemaphorePermit,
        mut tally: RequestTally,
    ) -> Self {
        if body.is_end_stream() {
            tally.finish();
        }
        let timer = Box::pin(sleep(patience));
        Self { body, patience, timer, is_waiting: false, tally, _turn: turn }
    }

    fn note_waiting(&mut self, is_waiting: bool) {
        self.is_waiting = is_waiting;
        self.tally.wait(is_waiting);
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.note_waiting(false);
            let frame = frame.map(|frame| frame.map_err(Error::from));
            match &frame {
                None => this.tally.finish(),
                Some(Ok(_)) if this.body.is_end_stream() => this.tally.finish(),
                Some(Ok(_)) => {}
                Some(Err(error)) => this.tally.fail(error),
            }
            return Poll::Ready(frame);
        }
        // From the moment somebody waits: a guest that takes its time is not the server's delay.
        if !this.is_waiting {
            this.note_waiting(true);
            this.timer.as_mut().reset(Instant::now() + this.patience);
        }
        let timer = this.timer.as_mut().poll(context);
        timer.map(|()| {
            let late = Error::ConnectionReadTimeout;
            this.tally.fail(&late);
            Some(Err(late))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
