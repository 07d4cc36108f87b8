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

use crate::call::WaitedFor;

/// A body that ends with an error where nothing comes for too long while somebody waits for it.
pub(super) struct AnswerBody {
    body: Incoming,
    patience: Duration,
    timer: Pin<Box<Sleep>>,
    /// Whether somebody has been waiting since the timer was set.
    is_waiting: bool,
    waited_for: Option<WaitedFor>,
    /// The request is one of its call's until its response is taken.
    _turn: OwnedSemaphorePermit,
}

impl AnswerBody {
    /// `waited_for` has said that the response was waited for.
    pub(super) fn new(
        body: Incoming,
        patience: Duration,
        turn: OwnedSemaphorePermit,
        waited_for: Option<WaitedFor>,
    ) -> Self {
        let timer = Box::pin(sleep(patience));
        let mut body = Self { body, patience, timer, is_waiting: false, waited_for, _turn: turn };
        body.note_waiting(false);
        body
    }

    fn note_waiting(&mut self, is_waiting: bool) {
        self.is_waiting = is_waiting;
        if let Some(waited_for) = &mut self.waited_for {
            waited_for.set(is_waiting);
        }
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
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::from)));
        }
        // From the moment somebody waits: a guest that takes its time is not the server's delay.
        if !this.is_waiting {
            this.note_waiting(true);
            this.timer.as_mut().reset(Instant::now() + this.patience);
        }
        let timer = this.timer.as_mut().poll(context);
        timer.map(|()| Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
