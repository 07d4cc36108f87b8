//! What one host tells another of a request that it passes on: whose it is, its id, and how long ago it came,
//! so that the app's timeout counts from then. Only hosts of the fleet are believed; a client's copy of the
//! header never gets this far.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::TRAILER;
use http::{HeaderMap, HeaderName, HeaderValue};
use steerage_core::id::CallId;

use super::head::Caller;
use crate::header::{is_of_connection, remove};

const HOP: HeaderName = HeaderName::from_static("x-steerage-hop");
/// Bytes that an age takes at most, with the space before it.
const AGE: usize = 1 + 20;

/// What stays the same of what the next host is told, however often the request is sent.
#[derive(Debug)]
pub(super) struct Hop(String);

impl Hop {
    /// Prepares headers for the next host.
    pub(super) fn new(headers: &mut HeaderMap, peer: &Caller, id: CallId) -> Self {
        remove(headers, |name| is_of_connection(name) || *name == TRAILER);
        let scheme = if peer.https { "https" } else { "http" };
        Self(format!("{} {} {scheme} {:032x}", peer.remote, peer.local, id.as_u128()))
    }

    /// Tells it, and how long ago the request came: each time it is sent that is longer.
    pub(super) fn tell(&self, headers: &mut HeaderMap, age: Duration) {
        // One text that becomes the value's own: this is done for every call between hosts.
        let mut text = String::with_capacity(self.0.len() + AGE);
        text.push_str(&self.0);
        if write!(text, " {}", age.as_millis()).is_ok()
            && let Ok(hop) = HeaderValue::from_maybe_shared(Bytes::from(text))
        {
            headers.insert(HOP, hop);
        }
    }
}

/// What the host before this one told.
#[derive(Debug)]
pub(super) struct Forwarded {
    pub(super) client: Caller,
    pub(super) id: CallId,
    /// How long ago it came to that host; hosts of earlier versions do not say.
    pub(super) age: Duration,
}

/// Takes it out of the headers; `None` where nobody passed the request on.
pub(super) fn take(headers: &mut HeaderMap) -> Option<Forwarded> {
    let hop = headers.remove(HOP)?;
    let mut fields = hop.to_str().ok()?.split(' ');
    let remote: SocketAddr = fields.next()?.parse().ok()?;
    let local = fields.next()?.parse().ok()?;
    let https = fields.next()? == "https";
    let id = u128::from_str_radix(fields.next()?, 16).ok()?;
    let age = fields
        .next()
        .and_then(|age| age.parse().ok())
        .map_or(Duration::ZERO, Duration::from_millis);
    let remote_header = HeaderValue::from_str(&remote.ip().to_string()).ok()?;
    let client = Caller { remote, remote_header, local, https, is_fleet: true };
    Some(Forwarded { client, id: CallId::from_u128(id), age })
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
        let hop = Hop::new(&mut headers, &peer, CallId::from_u128(77));
        assert!(headers.is_empty());
        for age in [Duration::ZERO, Duration::from_millis(1_500), Duration::from_millis(u64::MAX)] {
            hop.tell(&mut headers, age);
            let Forwarded { client: told, id, age: told_age } = take(&mut headers).unwrap();
            assert_eq!((told.remote, told.local, told.https), (peer.remote, peer.local, true));
            assert!(told.is_fleet && headers.is_empty());
            assert_eq!(id, CallId::from_u128(77));
            assert_eq!(told_age.as_millis(), age.as_millis());
        }
        assert!(take(&mut headers).is_none());
        // Hosts of earlier versions do not say how long ago it came.
        headers.insert(HOP, HeaderValue::from_static("9.8.7.6:5 [::1]:80 http 4d"));
        assert_eq!(take(&mut headers).unwrap().age, Duration::ZERO);
    }
}
