//! Which headers are not everybody's to say: those of one connection, those of `wasi:http`'s host, and
//! those of Steerage's hosts. Does not say who may, nor what happens to a message that has one.
//!
//! Names are compared as text: an array of `HeaderName`s would be made and dropped at each look.

use std::fmt;

use http::HeaderMap;
use http::header::HeaderName;

/// Headers below this prefix are what hosts say to guests and to each other; a guest or a client that
/// says one would be taken for a host.
const OURS: &str = "x-steerage-";

/// What a guest is told in headers besides what its client said.
pub trait HostHeaders: fmt::Debug + Send + Sync {
    /// Adds them to those of the client.
    fn set(self: Box<Self>, headers: &mut HeaderMap);
}

/// Whether a header is about one connection only; see RFC 9110, 7.6.1.
#[must_use]
pub fn is_of_connection(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "http2-settings"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether `wasi:http` lets no guest say this header, nor shows it to one: the names of
/// [`wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS`].
#[must_use]
pub fn is_forbidden(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "host"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether only hosts may say this header.
#[must_use]
pub fn is_ours(name: &HeaderName) -> bool {
    name.as_str().starts_with(OURS)
}

/// Takes headers out.
pub fn remove(headers: &mut HeaderMap, is_unwanted: impl Fn(&HeaderName) -> bool) {
    // Nearly all heads have none, so names are copied only when there is one.
    if headers.keys().any(&is_unwanted) {
        let unwanted: Vec<HeaderName> =
            headers.keys().filter(|name| is_unwanted(name)).cloned().collect();
        for name in unwanted {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forbidden_is_what_wasmtime_forbids() {
        let names = wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS;
        assert!(names.iter().all(is_forbidden), "{names:?}");
        for other in ["te", "trailer", "x-host", "content-length", "cookie"] {
            assert!(!is_forbidden(&HeaderName::from_static(other)), "{other}");
        }
    }
}
