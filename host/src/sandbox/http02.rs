//! What the table of a guest of `wasi:http` 0.2 holds: a request that is kept as it came, messages whose
//! parts are moved and not copied, fields that are shared until they are changed, bodies without a channel.
//! Does not know the functions that a guest calls with them, nor what a response may say.
//!
//! Of `wasmtime-wasi-http` there are only the words of the interface (methods, schemes, codes of errors)
//! and the body that `outbound` sends and gets for both versions of it.

mod body;
mod error;
mod fields;
mod handler;
mod incoming;
mod outgoing;
mod request;
mod response;

pub(super) use self::body::{BodyOf, BodyOutput, OutgoingBody};
pub(super) use self::error::code_of;
pub(super) use self::fields::{Fields, MOST_FIELDS, Refusal, announced, name_of, value_of};
pub(super) use self::handler::{Handler, HandlerPre};
pub(super) use self::incoming::{BodyInput, FutureTrailers, IncomingBody};
pub(super) use self::outgoing::{FutureResponse, OutgoingRequest, path_of};
pub(super) use self::request::IncomingRequest;
pub(super) use self::response::{IncomingResponse, OutgoingResponse};
