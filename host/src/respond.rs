//! From an outcome to what the client sees: the one place that knows statuses. What guests answer
//! themselves is read in `head` and sent in `guest`. Does not decide how a call ended.

mod gathered;
pub mod guest;
pub mod head;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use serde_json::json;
use steerage_core::id::CallId;
use steerage_core::outcome::{Outcome, Refusal};
use steerage_core::units::Fuel;

use self::guest::GuestBody;
use crate::call::{Call, Usage};

/// Seconds after which a refused client may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// The body of any response of this host.
#[derive(Debug)]
pub enum ResponseBody {
    /// Made by the host: a problem document or a health report.
    Host(Full<Bytes>),
    /// Made by a guest.
    Guest(GuestBody),
    /// Made by another host, or read from the disk for one.
    Elsewhere(UnsyncBoxBody<Bytes, Cut>),
}

/// Follows the cause of a refusal that came when the guest may have done something.
pub const BEGUN: &str = "; begun";

/// Stands in a response that is a refusal, beside its document.
#[derive(Clone, Copy, Debug)]
struct RefusedAs {
    cause: &'static str,
    /// Whether the guest may have done something before the host ended the call.
    has_begun: bool,
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

/// The same answer for a HEAD request: without its body, whose length it still tells.
#[must_use]
pub fn without_body(response: Response<ResponseBody>) -> Response<ResponseBody> {
    let (mut head, body) = response.into_parts();
    let body = match body {
        ResponseBody::Host(body) => {
            let length = body.size_hint().exact().filter(|length| *length > 0);
            if let Some(length) = length {
                head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
            }
            ResponseBody::Host(Full::default())
        }
        body => body,
    };
    Response::from_parts(head, body)
}

/// Completes a response for another host: says in a header whether it is a refusal, and which; and how
/// long it is, which HTTP/2 leaves out and the caller may want to know. `is_head` for the answer to a
/// HEAD request, whose length is not that of its body.
#[must_use]
pub fn for_host<B: Body>(
    mut response: Response<B>,
    name: &http::HeaderName,
    is_head: bool,
) -> Response<B> {
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
    let is_unsaid = !is_head
        && !bodiless.contains(&response.status())
        && !response.headers().contains_key(header::CONTENT_LENGTH);
    if let Some(length) = response.body().size_hint().exact().filter(|_| is_unsaid) {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    let refused = response.extensions().get().copied();
    if let Some(RefusedAs { cause, has_begun }) = refused {
        let value = match has_begun {
            false => Some(HeaderValue::from_static(cause)),
            true => HeaderValue::try_from(format!("{cause}{BEGUN}")).ok(),
        };
        if let Some(value) = value {
            response.headers_mut().insert(name, value);
        }
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
            | Refusal::HostExhausted { .. }
            | Refusal::NotReady
            | Refusal::NotBuilt
            | Refusal::NoReplica
            | Refusal::Quarantined
            | Refusal::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::UpgradeUnsupported => StatusCode::NOT_IMPLEMENTED,
        },
    }
}

/// Answers a call whose guest has ended without a response.
#[must_use]
pub fn failure(call: &Call) -> Response<ResponseBody> {
    let (outcome, usage) = call.ended().unwrap_or_else(|| {
        let detail = "the call ended without an outcome".to_owned();
        (Outcome::HostFailed { detail }, Usage::default())
    });
    let mut response = problem(&outcome, call.id);
    // For a call that found no slot no instance was made: any other host may have it.
    let is_without_slot =
        outcome == Outcome::Refused(Refusal::HostFull) && usage.fuel == Fuel::default();
    if let Some(refused) = response.extensions_mut().get_mut::<RefusedAs>() {
        refused.has_begun = call.has_begun() && !is_without_slot;
    }
    call.set_status(response.status().as_u16());
    response
}

/// Ends a call with `outcome`, unless it ended otherwise before, and answers it so.
#[must_use]
pub fn fail(call: &Call, outcome: Outcome) -> Response<ResponseBody> {
    call.cut(outcome);
    failure(call)
}

/// An RFC 9457 problem document: what happened, with a stable `cause` and the call's id, and
/// nothing of the host's or the guest's inside.
#[must_use]
pub fn problem(outcome: &Outcome, call: CallId) -> Response<ResponseBody> {
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
        response.extensions_mut().insert(RefusedAs { cause, has_begun: false });
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
        Outcome::Refused(Refusal::HostExhausted { .. }) => {
            "the host has no memory left for another call".to_owned()
        }
        shown => shown.to_string(),
    }
}

impl Body for ResponseBody {
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
