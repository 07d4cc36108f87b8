//! Bodies of requests to other hosts.
//! Bounds none: whoever passes one on does.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};

/// Whatever went wrong while a body was read.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// The body of a request to another host.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// The body of a question.
#[must_use]
pub fn no_body() -> Body {
    Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is at hand.
#[must_use]
pub fn whole_body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
