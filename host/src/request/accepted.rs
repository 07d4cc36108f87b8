//! A request whose head was read, and how far it is what guests are told. Does not refuse anything
//! itself, and does not look for its app.

use std::time::Instant;

use http::Request;
use steerage_core::id::CallId;
use steerage_core::outcome::Refusal;

use super::head::{self, Caller};
use super::host_headers;
use super::inbound::Inbound;

/// A request whose head is in order.
pub(super) struct Accepted<B = Inbound> {
    pub(super) id: CallId,
    /// Whether the host had given up what ran when it came. Until then whoever got through the door is
    /// served.
    pub(super) is_late: bool,
    pub(super) started_at: Instant,
    pub(super) host: String,
    /// Whether the request has the headers by which guests are told of the call.
    pub(super) is_completed: bool,
    pub(super) request: Request<B>,
}

/// What was read of a head, and what was done to it.
pub(super) struct Head {
    /// The host that the request is for.
    pub(super) host: String,
    /// As of [`Accepted`].
    pub(super) is_completed: bool,
}

/// Reads a client's head, and takes out of it what is not the client's to say.
pub(super) fn read(request: &mut Request<Inbound>, client: &Caller) -> Result<Head, Refusal> {
    let host = head::read(request, client)?;
    host_headers::clean(request.headers_mut());
    Ok(Head { host, is_completed: false })
}

/// Reads a client's head, and makes of it what guests are told.
pub(super) fn read_and_complete(
    request: &mut Request<Inbound>,
    id: CallId,
    client: &Caller,
) -> Result<Head, Refusal> {
    let head = read(request, client)?;
    host_headers::set(request.headers_mut(), id, client);
    Ok(Head { is_completed: true, ..head })
}

impl Accepted {
    /// Says what guests are told, for whoever sees the head next, unless that is done.
    pub(super) fn complete(&mut self, peer: &Caller) {
        if !self.is_completed {
            host_headers::set(self.request.headers_mut(), self.id, peer);
            self.is_completed = true;
        }
    }
}
