//! A request body: as it comes, or held where it may have to be sent twice; and on its way into a
//! guest, bounded by the app's limit. Buffers nothing that is not small and asked to be held.

use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use steerage_core::outcome::{Outcome, Refusal};
use steerage_core::spent::Phase;
use steerage_core::units;
use wasmtime_wasi_http::Error;

use super::host_headers;
use crate::call::{Call, WaitedFor};
use crate::header::remove;
use crate::listener::upload::Upload;

/// A request's body, from wherever it is.
#[derive(Debug)]
pub enum Inbound {
    /// On its way from the client.
    Coming(Upload),
    /// All of it.
    Held(Full<Bytes>),
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Coming(body) => Pin::new(body).poll_frame(context),
            Self::Held(body) => {
                let frame = Pin::new(body).poll_frame(context);
                frame.map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Coming(body) => body.is_end_stream(),
            Self::Held(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Coming(body) => body.size_hint(),
            Self::Held(body) => body.size_hint(),
        }
    }
}

/// How a call ends whose request body cannot be read to its end.
fn broken(error: &hyper::Error) -> Outcome {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref());
    match cause.map(std::io::Error::kind) {
        // Chunks that are none; the client is still there.
        Some(ErrorKind::InvalidInput | ErrorKind::InvalidData) => {
            let detail = "the chunks of the request body are malformed".to_owned();
            Outcome::Refused(Refusal::BadRequest { detail })
        }
        _ => Outcome::ClientGone,
    }
}

/// A bounded request body.
#[derive(Debug)]
pub struct RequestBody {
    inner: Inbound,
    left: u64,
    limit: units::Bytes,
    call: Arc<Call>,
    waited_for: WaitedFor,
}

impl RequestBody {
    /// Lets `limit` bytes of `inner` through. A body that goes on, or breaks off, ends `call`.
    #[must_use]
    pub fn new(inner: Inbound, limit: units::Bytes, call: Arc<Call>) -> Self {
        let waited_for = WaitedFor::new(call.time().clone(), Phase::RequestBody);
        if let Some(said) = inner.size_hint().exact().filter(|said| *said > 0) {
            call.note_request_bytes(said);
        }
        Self { inner, left: limit.get(), limit, call, waited_for }
    }

    /// Ends the call, whatever the guest makes of it, unless it is over: a program's stdin is read
    /// ahead of it. What was said before stays: when a response is cut over HTTP/2, its request breaks
    /// off as well.
    fn end(&self, outcome: Outcome) {
        if !self.call.is_over() {
            self.call.cut(outcome);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        self.waited_for.set(polled.is_pending());
        let frame = match std::task::ready!(polled) {
            None => return Poll::Ready(None),
            Some(Err(error)) => {
                self.end(broken(&error));
                return Poll::Ready(Some(Err(Error::Hyper(error))));
            }
            Some(Ok(frame)) => frame,
        };
        if let Some(data) = frame.data_ref() {
            let Some(left) = self.left.checked_sub(data.len() as u64) else {
                let limit = self.limit;
                self.end(Outcome::Refused(Refusal::RequestTooLarge { limit }));
                return Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(limit.get())))));
            };
            self.left = left;
            self.call.note_request_bytes(self.limit.get() - left);
        }
        // What a client may not say in a head, it may not say in trailers.
        Poll::Ready(Some(Ok(match frame.into_trailers() {
            Ok(mut trailers) => {
                remove(&mut trailers, host_headers::is_not_the_clients);
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
