//! What one host tells another of a request that it passes on: whose it is, and its id. Only hosts of
//! the fleet are believed; a client's copy of the header never gets this far.

use std::net::SocketAddr;

use http::header::TRAILER;
use http::{HeaderMap, HeaderName, HeaderValue};
use steerage_core::id::CallId;

use super::head::Caller;
use crate::header::{is_of_connection, remove};

const HOP: HeaderName = HeaderName::from_static("x-steerage-hop");
/// Prepares headers for the next host.
pub(super) fn tell(headers: &mut HeaderMap, peer: &Caller, id: CallId) {
    remove(headers, |name| is_of_connection(name) || *name == TRAILER);
    let scheme = if peer.https { "https" } else { "http" };
    let text = format!("{} {} {scheme} {:032x}", peer.remote, peer.local, id.as_u128());
    if let Ok(hop) = HeaderValue::try_from(text) {
        headers.insert(HOP, hop);
    }
}

/// What the host before this one told; `None` where nobody passed the request on.
pub(super) fn take(headers: &mut HeaderMap) -> Option<(Caller, CallId)> {
    let hop = headers.remove(HOP)?;
    let mut fields = hop.to_str().ok()?.split(' ');
    let remote: SocketAddr = fields.next()?.parse().ok()?;
    let local = fields.next()?.parse().ok()?;
    let https = fields.next()? == "https";
    let id = u128::from_str_radix(fields.next()?, 16).ok()?;
    let remote_header = HeaderValue::from_str(&remote.ip().to_string()).ok()?;
    let peer = Caller { remote, remote_header, local, https, is_fleet: true };
    Some((peer, CallId::from_u128(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        let peer = Caller {
            remote: "9.8.7.6:5".parse().unwrap(),
            remote_header: HeaderValue::from_static("9.8.7.6"),
            local: "[::1]:80".parse().unwrap(),
            https: true,
            is_fleet: false,
        };
        let mut headers = HeaderMap::new();
        headers.insert("connection", HeaderValue::from_static("keep-alive"));
        tell(&mut headers, &peer, CallId::from_u128(77));
        assert!(!headers.contains_key("connection"));
        let (told, id) = take(&mut headers).unwrap();
        assert_eq!((told.remote, told.local, told.https), (peer.remote, peer.local, true));
        assert!(told.is_fleet && headers.is_empty());
        assert_eq!(id, CallId::from_u128(77));
        assert!(take(&mut headers).is_none());
    }
}
