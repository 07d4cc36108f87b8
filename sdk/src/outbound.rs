//! Requests to other services.
//!
//! The host lets them go where the manifest's `allowed_outbound_hosts` says, and nowhere without
//! it. It does not retry, follow redirects or keep cookies.

use std::{fmt, time::Duration};

use http::Uri;
pub use wasip2::http::types::ErrorCode;

use crate::{Request, Response};

#[cfg(target_arch = "wasm32")]
use wasi as host;

#[cfg(not(target_arch = "wasm32"))]
use crate::testing as host;

/// How long to wait for what. `None` leaves it to the host, whose limit for the whole call holds in
/// any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection.
    pub connect: Option<Duration>,
    /// From then on for the response's head.
    pub first_byte: Option<Duration>,
    /// Between two pieces of the response's body.
    pub between_bytes: Option<Duration>,
}

/// A request that has been sent and not yet answered.
#[derive(Debug)]
pub struct Pending {
    sent: host::Sent,
    target: Target,
}

/// A request that got no response.
#[derive(Clone, Debug)]
pub struct OutboundError {
    code: ErrorCode,
    target: Target,
}

/// Where a request went, as a manifest would allow it: `https://api.example`. Empty when unknown.
type Target = String;

/// Sends a request and waits for the head of its response.
///
/// ```no_run
/// use steerage_sdk::{Error, Request, Result, StatusCode, handler, outbound};
///
/// #[handler]
/// fn weather() -> Result {
///     let request = http::Request::get("https://api.example/weather").body(().into())?;
///     let bad_gateway = |error| Error::from(error).with_status(StatusCode::BAD_GATEWAY);
///     outbound::send(request).map_err(bad_gateway)
/// }
/// ```
///
/// # Errors
///
/// When there is no response: the host does not allow the address, or cannot reach it. Any response
/// is a success, whatever its status.
pub fn send(request: Request) -> Result<Response, OutboundError> {
    start(request, Timeouts::default())?.wait()
}

/// Sends a request, body and all, and does not wait for its response: several can be under way.
///
/// # Errors
///
/// When the host refuses it outright.
pub fn start(request: Request, timeouts: Timeouts) -> Result<Pending, OutboundError> {
    let target = target(request.uri());
    match host::start(request, timeouts) {
        Ok(sent) => Ok(Pending { sent, target }),
        Err(code) => Err(OutboundError { code, target }),
    }
}

fn target(uri: &Uri) -> Target {
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme), Some(authority)) => {
            // A name and a password are nobody else's business, and no part of an allowed host.
            let host = authority.as_str().rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}")
        }
        _ => Target::new(),
    }
}

impl Pending {
    /// Waits for the head of the response; its body follows as it is read.
    ///
    /// # Errors
    ///
    /// As [`send`].
    pub fn wait(self) -> Result<Response, OutboundError> {
        let Self { sent, target } = self;
        sent.wait().map_err(|code| OutboundError { code, target })
    }
}

/// Sending through the host.
#[cfg(target_arch = "wasm32")]
mod wasi {
    use std::time::Duration;

    use http::{header::HOST, uri};
    use wasip2::http::{
        outgoing_handler,
        types::{FutureIncomingResponse, OutgoingRequest, RequestOptions},
    };

    use super::{ErrorCode, Timeouts};
    use crate::{Body, Request, Response, convert};

    /// A request the host has taken.
    #[derive(Debug)]
    pub(super) struct Sent(FutureIncomingResponse);

    pub(super) fn start(request: Request, timeouts: Timeouts) -> Result<Sent, ErrorCode> {
        let (mut head, body) = request.into_parts();
        // The authority says it; a request that is passed on has both.
        head.headers.remove(HOST);
        let outgoing = OutgoingRequest::new(convert::fields(&head.headers));
        let uri = &head.uri;
        let described = outgoing
            .set_method(&convert::wasi_method(&head.method))
            .and_then(|()| outgoing.set_scheme(uri.scheme().map(convert::wasi_scheme).as_ref()))
            .and_then(|()| outgoing.set_authority(uri.authority().map(uri::Authority::as_str)))
            .and_then(|()| {
                outgoing.set_path_with_query(uri.path_and_query().map(uri::PathAndQuery::as_str))
            });
        described.map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
        let outgoing_body =
            outgoing.body().map_err(|()| ErrorCode::InternalError(Some("no body".to_owned())))?;
        let future = outgoing_handler::handle(outgoing, options(timeouts)?)?;
        // A body that fails midway makes the request fail, which waiting for it tells.
        drop(body.send(outgoing_body));
        Ok(Sent(future))
    }

    impl Sent {
        pub(super) fn wait(self) -> Result<Response, ErrorCode> {
            self.0.subscribe().block();
            let incoming = match self.0.get() {
                Some(Ok(result)) => result?,
                // It is ready, and this is the first time it is asked.
                Some(Err(())) | None => return Err(ErrorCode::InternalError(None)),
            };
            let body = incoming.consume().map_or_else(|()| Body::empty(), Body::incoming);
            let mut response = Response::new(body);
            *response.headers_mut() = convert::header_map(&incoming.headers());
            if let Ok(status) = http::StatusCode::from_u16(incoming.status()) {
                *response.status_mut() = status;
            }
            Ok(response)
        }
    }

    fn options(timeouts: Timeouts) -> Result<Option<RequestOptions>, ErrorCode> {
        if timeouts == Timeouts::default() {
            return Ok(None);
        }
        let nanoseconds = |duration: Option<Duration>| {
            duration.map(|duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
        };
        let options = RequestOptions::new();
        options
            .set_connect_timeout(nanoseconds(timeouts.connect))
            .and_then(|()| options.set_first_byte_timeout(nanoseconds(timeouts.first_byte)))
            .and_then(|()| options.set_between_bytes_timeout(nanoseconds(timeouts.between_bytes)))
            .map_err(|()| ErrorCode::InternalError(Some("no such timeout".to_owned())))?;
        Ok(Some(options))
    }
}

impl OutboundError {
    /// Whether the manifest's `allowed_outbound_hosts` is the reason.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self.code, ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited)
    }

    /// The host's reason.
    #[must_use]
    pub fn code(&self) -> &ErrorCode {
        &self.code
    }
}

impl fmt::Display for OutboundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, target } = self;
        match code {
            _ if target.is_empty() => write!(f, "outbound request failed: {code}"),
            ErrorCode::HttpRequestDenied => write!(
                f,
                "outbound request to {target} is not allowed: add {target:?} to \
                 allowed_outbound_hosts in steerage.toml"
            ),
            ErrorCode::DestinationIpProhibited => write!(
                f,
                "outbound request to {target} is not allowed: its address is not public; the \
                 host's operator opens it with --outbound-private"
            ),
            // Said in words, above all by tests.
            ErrorCode::InternalError(Some(reason)) => {
                write!(f, "outbound request to {target} failed: {reason}")
            }
            code => write!(f, "outbound request to {target} failed: {code}"),
        }
    }
}

impl std::error::Error for OutboundError {}

impl From<ErrorCode> for OutboundError {
    fn from(code: ErrorCode) -> Self {
        Self { code, target: Target::new() }
    }
}
