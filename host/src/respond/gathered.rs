//! What a guest that is over had left of its body, taken in one go: its length is known, so a small
//! answer is sent as one piece, and what is broken is found before anything was sent.
//! Does not judge lengths or endings.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::body::Produced;

/// What was there of a body.
pub(super) struct Gathered {
    /// All of the body: what was there, and whatever is still to come.
    pub(super) body: Produced,
    /// Bytes of data that were there.
    pub(super) length: u64,
    /// Whether nothing is to come.
    pub(super) is_whole: bool,
}

/// Pieces that are here, and whatever is still to come.
struct Pieces {
    pieces: VecDeque<Frame<Bytes>>,
    rest: Option<WasiBody>,
}

/// Takes what is there of `body` without waiting.
///
/// # Errors
/// The body is broken: the guest abandoned it.
pub(super) fn gather(body: Produced) -> Result<Gathered, Error> {
    let body = match body {
        Produced::Nothing => return Ok(Gathered { body, length: 0, is_whole: true }),
        // What was written waits in one place already.
        Produced::Written(written) => {
            let (length, is_whole) = written.look()?;
            return Ok(Gathered { body: Produced::Written(written), length, is_whole });
        }
        Produced::Boxed(body) => body,
    };
    gather_boxed(body)
}

fn gather_boxed(mut body: WasiBody) -> Result<Gathered, Error> {
    let mut context = Context::from_waker(Waker::noop());
    let (mut pieces, mut length) = (VecDeque::new(), 0);
    let rest = loop {
        match Pin::new(&mut body).poll_frame(&mut context) {
            Poll::Ready(Some(frame)) => {
                let frame = frame?;
                length += frame.data_ref().map_or(0, Bytes::len) as u64;
                pieces.push_back(frame);
            }
            Poll::Ready(None) => break None,
            Poll::Pending => break Some(body),
        }
    };
    let is_whole = rest.is_none();
    let body = Produced::Boxed(Pieces { pieces, rest }.boxed_unsync());
    Ok(Gathered { body, length, is_whole })
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(piece) = self.pieces.pop_front() {
            return Poll::Ready(Some(Ok(piece)));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        if self.pieces.iter().any(Frame::is_trailers) {
            // Trailers can only follow a body of unknown length.
            return SizeHint::default();
        }
        let coming = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let here = self.pieces.iter().filter_map(Frame::data_ref);
        let length: u64 = here.map(|piece| piece.len() as u64).sum();
        let mut hint = SizeHint::default();
        hint.set_lower(coming.lower().saturating_add(length));
        if let Some(upper) = coming.upper() {
            hint.set_upper(upper.saturating_add(length));
        }
        hint
    }
}
