//! What the table of a guest of `wasi:http` 0.2 holds: a request that is kept as it came, a response whose
//! parts are moved and not copied, bodies without a channel. Does not know the functions that a guest
//! calls with them, nor what a response may say.
//!
//! Their handles are typed as those of `wasmtime-wasi-http`, with whose functions ours are linked
//! together; there the types only tell the kinds of handles apart.

mod body;
mod incoming;
mod request;
mod response;

use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::body::{HostIncomingBody, HostOutgoingBody};
use wasmtime_wasi_http::p2::types::{
    HostIncomingRequest, HostIncomingResponse, HostOutgoingResponse, HostResponseOutparam,
};

pub(super) use self::body::{BodyOutput, OutgoingBody};
pub(super) use self::incoming::{BodyInput, IncomingBody};
pub(super) use self::request::IncomingRequest;
pub(super) use self::response::{IncomingResponse, OutgoingResponse};

/// The handle of an [`IncomingRequest`].
pub(super) type RequestHandle = Resource<HostIncomingRequest>;
/// The handle of what a guest answers through, a `ResponseSender`.
pub(super) type OutparamHandle = Resource<HostResponseOutparam>;
/// The handle of an [`OutgoingResponse`].
pub(super) type ResponseHandle = Resource<HostOutgoingResponse>;
/// The handle of an [`OutgoingBody`].
pub(super) type BodyHandle = Resource<HostOutgoingBody>;
/// The handle of an [`IncomingBody`].
pub(super) type IncomingBodyHandle = Resource<HostIncomingBody>;
/// The handle of an [`IncomingResponse`].
pub(super) type IncomingResponseHandle = Resource<HostIncomingResponse>;
