//! A response of a guest of 0.2 on its way to whoever waits for it: its head is moved, and its body goes
//! on being written. Does not judge either: `respond` does.

use http::{Response, StatusCode};
use wasmtime_wasi_http::FieldMap;

use crate::body::{Produced, Reader};

/// A response that a guest makes.
pub(in crate::sandbox) struct OutgoingResponse {
    pub(in crate::sandbox) status: StatusCode,
    pub(in crate::sandbox) headers: FieldMap,
    /// The other end of the body that the guest has asked for.
    pub(in crate::sandbox) body: Option<Reader>,
}

impl From<OutgoingResponse> for Response<Produced> {
    fn from(made: OutgoingResponse) -> Self {
        let mut response = Self::new(made.body.map_or(Produced::Nothing, Produced::Written));
        *response.status_mut() = made.status;
        *response.headers_mut() = made.headers.into();
        response
    }
}
