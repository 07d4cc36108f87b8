//! The functions of `wasi:http/types` 0.2 that each call of a service goes through, on types of our own:
//! a request that is kept as it came, a response whose parts are moved and not copied, a body without a
//! channel. What remains (fields, reading bodies, requests to others) is `wasmtime-wasi-http`'s.
//!
//! Linked by hand over what `wasmtime-wasi-http` links, whose types stand in the signatures: there they
//! say only which handle is meant. What the table holds under such a handle is ours.
//!
//! Does not send requests and does not decide what a response may say.

mod body;
mod fields;
mod request;
mod response;

use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use wasmtime::component::{Linker, LinkerInstance, Resource};

use super::guest::Guest;

pub(super) use self::body::OutgoingBody;
pub(super) use self::request::{IncomingRequest, RequestHandle};
pub(super) use self::response::{OutgoingResponse, OutparamHandle};

/// The instance whose functions these are; a component may name any earlier version of 0.2.
const TYPES: &str = "wasi:http/types@0.2.12";

/// Links these functions instead of those of `wasmtime-wasi-http`, in a linker that has them and allows
/// shadowing.
///
/// # Errors
/// When a function has another type, which would be a bug.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut types: LinkerInstance<'_, Guest> = linker.instance(TYPES)?;
    fields::link(&mut types)?;
    request::link(&mut types)?;
    response::link(&mut types)?;
    body::link(&mut types)
}

/// The same entry of the table, as what it is there.
fn ours<T: 'static, U: 'static>(handle: &Resource<U>) -> Resource<T> {
    Resource::new_own(handle.rep())
}

/// The handle that a guest is given for an entry of ours.
fn theirs<T: 'static, U: 'static>(entry: &Resource<T>) -> Resource<U> {
    Resource::new_own(entry.rep())
}

/// The length that headers announce. Fields hold at most one, in digits.
fn announced(headers: &HeaderMap) -> Result<Option<u64>, ()> {
    let Some(value) = headers.get(CONTENT_LENGTH) else { return Ok(None) };
    value.to_str().ok().and_then(|digits| digits.parse().ok()).map(Some).ok_or(())
}
