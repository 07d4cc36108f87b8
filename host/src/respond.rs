//! From an outcome to what the client sees: the one place that knows statuses, and the body that is
//! cut when its guest fails. Does not decide how a call ended.

mod gathered;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use serde_json::json;
use steerage_core::id::CallId;
use steerage_core::outcome::{Outcome, Refusal};
use steerage_core::units;
use wasmtime_wasi_http::WasiBody;

use crate::call::Call;

/// What a guest did that dropped its response's body before its end.
const ABANDONED: &str = "the guest abandoned its response body";
/// Seconds after which a refused client may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// The body of any response of this host.
#[derive(Debug)]
pub enum ResponseBody<T> {
    /// Made by the host: a problem document or a health report.
    Host(Full<Bytes>),
    /// Made by a guest.
    Guest(GuestBody<T>),
    /// Made by another host, or read from the disk for one.
    Elsewhere(UnsyncBoxBody<Bytes, Cut>),
}

/// Stands in a response that is a refusal, beside its document.
#[derive(Clone, Copy, Debug)]
struct RefusedAs(&'static str);

/// A guest's response body: bounded, and cut when the guest fails.
///
/// `T` is whatever must live until the response is over.
#[derive(Debug)]
pub struct GuestBody<T> {
    inner: WasiBody,
    call: Arc<Call>,
    limit: units::Bytes,
    /// What the response's `Content-Length` promises, the guest's or ours.
    promised: Option<u64>,
    complete: bool,
    _kept: T,
}

/// The response was cut: the connection or stream is broken off, so that nobody takes a part for
/// the whole.
#[derive(Debug, thiserror::Error)]
#[error("the response was cut: {cause}")]
pub struct Cut {
    cause: &'static str,
}

impl Cut {
    /// A response that was cut for this cause.
    #[must_use]
    pub fn by(cause: &'static str) -> Self {
        Self { cause }
    }
}

/// Completes a response for another host: says in a header whether it is a refusal, and which; and how
/// long it is, which HTTP/2 leaves out and the caller may want to know.
#[must_use]
pub fn for_host<B: Body>(mut response: Response<B>, name: &http::HeaderName) -> Response<B> {
    let is_unsaid = !response.headers().contains_key(header::CONTENT_LENGTH);
    if let Some(length) = response.body().size_hint().exact().filter(|_| is_unsaid) {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    if let Some(RefusedAs(cause)) = response.extensions().get().copied() {
        response.headers_mut().insert(name, HeaderValue::from_static(cause));
    }
    response
}

/// The status of an outcome that did not produce a response of its own.
#[must_use]
pub fn status(outcome: &Outcome) -> StatusCode {
    match outcome {
        Outcome::Answered => StatusCode::OK,
        Outcome::Trapped(_)
        | Outcome::OutOfFuel { .. }
        | Outcome::OutOfMemory { .. }
        | Outcome::ResponseTooLarge { .. }
        | Outcome::HostFailed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        Outcome::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
        Outcome::NoAnswer { .. } => StatusCode::BAD_GATEWAY,
        // Nobody reads it; 499 is what proxies log for this.
        Outcome::ClientGone => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Outcome::Refused(refusal) => match refusal {
            Refusal::NoRoute => StatusCode::NOT_FOUND,
            Refusal::NoHost | Refusal::BadRequest { .. } => StatusCode::BAD_REQUEST,
            Refusal::RequestTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::AppBusy { .. } => StatusCode::TOO_MANY_REQUESTS,
            Refusal::TooLate { .. }
            | Refusal::HostFull
            | Refusal::HostBusy { .. }
            | Refusal::HostMemory { .. }
            | Refusal::NotReady
            | Refusal::NotBuilt
            | Refusal::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::UpgradeUnsupported => StatusCode::NOT_IMPLEMENTED,
        },
    }
}

/// An RFC 9457 problem document: what happened, with a stable `cause` and the call's id, and
/// nothing of the host's or the guest's inside.
#[must_use]
pub fn problem<T>(outcome: &Outcome, call: CallId) -> Response<ResponseBody<T>> {
    let status = status(outcome);
    let cause = outcome.cause();
    let document = json!({
        "type": format!("urn:steerage:cause:{cause}"),
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": detail(outcome),
        "cause": cause,
        "call_id": call.to_string(),
    });
    let mut response = Response::new(ResponseBody::Host(Full::from(document.to_string())));
    *response.status_mut() = status;
    if let Outcome::Refused(_) = outcome {
        response.extensions_mut().insert(RefusedAs(cause));
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Ok(id) = HeaderValue::from_str(&call.to_string()) {
        headers.insert("x-request-id", id);
    }
    if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    if matches!(outcome, Outcome::Refused(Refusal::BadRequest { .. })) {
        // What is left of the body must not be taken for the next request.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn detail(outcome: &Outcome) -> String {
    match outcome {
        // Reasons may quote the guest; they are for its developer, who has the event.
        Outcome::Trapped(_) => "the app failed while it handled this request".to_owned(),
        Outcome::NoAnswer { .. } => "the app gave no valid answer".to_owned(),
        Outcome::HostFailed { .. } => "the host failed to run the app".to_owned(),
        shown => shown.to_string(),
    }
}

impl<T> GuestBody<T> {
    /// Takes what a guest that is over has left of its body. When that is all of it, as it is of
    /// small answers, the body becomes one of known length. `None` when it is broken or too large:
    /// `call` is told, and since nothing was sent yet, the client can be told as well.
    #[must_use]
    pub fn gather(
        response: Response<WasiBody>,
        call: &Call,
        limit: units::Bytes,
    ) -> Option<Response<WasiBody>> {
        let (parts, body) = response.into_parts();
        match gathered::gather(body) {
            Ok((_, length)) if length > limit.get() => {
                call.cut(Outcome::ResponseTooLarge { limit });
                None
            }
            Ok((body, _)) => Some(Response::from_parts(parts, body)),
            Err(_) => {
                call.cut(Outcome::NoAnswer { detail: ABANDONED.to_owned() });
                None
            }
        }
    }

    /// Wraps the body of `response`; `kept` lives until it is over.
    pub fn attach(
        response: Response<WasiBody>,
        is_head: bool,
        call: Arc<Call>,
        limit: units::Bytes,
        kept: T,
    ) -> Response<ResponseBody<T>> {
        let promised = response
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let has_no_body = is_head
            || response.status() == StatusCode::NO_CONTENT
            || response.status() == StatusCode::NOT_MODIFIED;
        response.map(|inner| {
            let complete = has_no_body || inner.is_end_stream();
            let promised = promised.or_else(|| inner.size_hint().exact());
            ResponseBody::Guest(Self { inner, call, limit, promised, complete, _kept: kept })
        })
    }

    fn count(&mut self, bytes: usize) -> Result<(), Cut> {
        let sum = self.call.add_response_bytes(bytes as u64);
        if sum > self.limit.get() {
            let outcome = Outcome::ResponseTooLarge { limit: self.limit };
            let cause = outcome.cause();
            self.call.cut(outcome);
            return Err(Cut { cause });
        }
        // With a promised length nobody asks for the end of the stream.
        self.complete |= self.promised == Some(sum);
        Ok(())
    }

    fn cut(&mut self) -> Cut {
        let outcome = Outcome::NoAnswer { detail: ABANDONED.to_owned() };
        self.call.cut(outcome);
        self.complete = true;
        let cause = self.call.ended().map_or("no_answer", |(outcome, _)| outcome.cause());
        Cut { cause }
    }
}

impl<T: Unpin> Body for GuestBody<T> {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match std::task::ready!(Pin::new(&mut self.inner).poll_frame(context)) {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let length = data.len();
                    if let Err(cut) = self.count(length) {
                        return Poll::Ready(Some(Err(cut)));
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            // A guest that fails drops its end of the body, which looks like a good end.
            None if !self.call.failed() => {
                self.complete = true;
                Poll::Ready(None)
            }
            None | Some(Err(_)) => Poll::Ready(Some(Err(self.cut()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<T> Drop for GuestBody<T> {
    fn drop(&mut self) {
        if !self.complete {
            self.call.cut(Outcome::ClientGone);
        }
    }
}

impl<T: Unpin> Body for ResponseBody<T> {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Host(body) => Pin::new(body)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
            Self::Guest(body) => Pin::new(body).poll_frame(context),
            Self::Elsewhere(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Host(body) => body.is_end_stream(),
            Self::Guest(body) => body.is_end_stream(),
            Self::Elsewhere(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Host(body) => body.size_hint(),
            Self::Guest(body) => body.size_hint(),
            Self::Elsewhere(body) => body.size_hint(),
        }
    }
}
