//! A request body on its way into a guest, bounded by the app's limit.
//! Does not buffer: the guest's reading sets the pace.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use steerage_core::units;
use wasmtime_wasi_http::Error;

use crate::call::Call;

/// A bounded request body.
#[derive(Debug)]
pub struct RequestBody {
    inner: Incoming,
    left: u64,
    limit: units::Bytes,
    call: Arc<Call>,
}

impl RequestBody {
    /// Lets `limit` bytes of `inner` through; a body that goes on is noted in `call`.
    #[must_use]
    pub fn new(inner: Incoming, limit: units::Bytes, call: Arc<Call>) -> Self {
        Self { inner, left: limit.get(), limit, call }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match std::task::ready!(Pin::new(&mut self.inner).poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(Error::Hyper(error)))),
            Some(Ok(frame)) => frame,
        };
        if let Some(data) = frame.data_ref() {
            let Some(left) = self.left.checked_sub(data.len() as u64) else {
                self.call.request_is_too_large();
                return Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(self.limit.get())))));
            };
            self.left = left;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
