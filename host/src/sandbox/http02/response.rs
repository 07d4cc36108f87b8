//! A response of a guest of 0.2 on its way to whoever waits for it: its head is moved, and its body goes
//! on being written. And a response that a guest was given. Does not judge either: `respond` does.

use http::{Response, StatusCode};
use wasmtime_wasi_http::WasiBody;

use super::fields::Fields;
use super::incoming::IncomingBody;
use crate::body::{Produced, Reader};

/// A response that a guest makes.
pub(in crate::sandbox) struct OutgoingResponse {
    pub(in crate::sandbox) status: StatusCode,
    pub(in crate::sandbox) headers: Fields,
    /// The other end of the body that the guest has asked for.
    pub(in crate::sandbox) body: Option<Reader>,
}

/// A response of somebody else.
pub(in crate::sandbox) struct IncomingResponse {
    pub(in crate::sandbox) status: StatusCode,
    pub(in crate::sandbox) headers: Fields,
    /// The body, unless the guest has taken it.
    pub(in crate::sandbox) body: Option<IncomingBody>,
}

impl IncomingResponse {
    /// A response that has come, with the headers that a guest may see.
    pub(in crate::sandbox) fn new(response: Response<WasiBody>) -> Self {
        let (head, body) = response.into_parts();
        let headers = Fields::shown(head.headers);
        Self { status: head.status, headers, body: Some(IncomingBody::new(body)) }
    }
}

impl From<OutgoingResponse> for Response<Produced> {
    fn from(made: OutgoingResponse) -> Self {
        let mut response = Self::new(made.body.map_or(Produced::Nothing, Produced::Written));
        *response.status_mut() = made.status;
        *response.headers_mut() = made.headers.into();
        response
    }
}
