//! A request that came through proxies which the operator trusts: who its client is, and what of the
//! proxies' word goes on to the guest.
//! Does not know which proxies these are: the settings say it.

use std::net::SocketAddr;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use steerage_core::id::CallId;
use steerage_core::network::{Network, way};

use super::head::{Caller, REQUEST_ID};

const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
/// Longest request id that is kept, in bytes: a UUID has 36.
const LONGEST_ID: usize = 128;

/// What a trusted proxy said of a request.
pub(super) struct Proxied {
    /// The client, in the place of the proxy.
    pub(super) client: Caller,
    /// The call's id where the proxy's is one that we can carry.
    pub(super) call_id: Option<CallId>,
    /// The proxy's own id of the request, to be told to the guest and back to the proxy.
    pub(super) request_id: Option<HeaderValue>,
    forwarded: Option<HeaderValue>,
}

impl Proxied {
    /// Reads what `proxy` says in the headers.
    pub(super) fn read(headers: &HeaderMap, proxy: &Caller, trusted: &[Network]) -> Self {
        let forwarded = list(headers, &FORWARDED);
        let told: Vec<&str> = match list(headers, &FORWARDED_FOR).as_slice() {
            [] => forwarded.iter().map(|element| parameter(element, "for").unwrap_or("")).collect(),
            told => told.to_vec(),
        };
        let way = way(proxy.remote.ip(), told.into_iter(), trusted);
        let request_id = headers.get(REQUEST_ID).filter(|id| is_plain_id(id.as_bytes()));
        let call_id = request_id.and_then(|id| call_id(id.to_str().ok()?));
        Self {
            client: client(headers, proxy, &way, &forwarded),
            call_id,
            request_id: request_id.cloned(),
            forwarded: continued(&forwarded, proxy),
        }
    }

    /// Tells the guest what went through the proxies unchanged.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        for (name, value) in [(REQUEST_ID, &self.request_id), (FORWARDED, &self.forwarded)] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }
}

fn client(
    headers: &HeaderMap,
    proxy: &Caller,
    way: &[std::net::IpAddr],
    forwarded: &[&str],
) -> Caller {
    let mut client = proxy.clone();
    let shown: Vec<String> = way.iter().map(ToString::to_string).collect();
    if let (Some(address), Ok(text)) = (way.first(), HeaderValue::try_from(shown.join(", "))) {
        // Its port is known to the proxy alone.
        let port = if way.len() > 1 { 0 } else { proxy.remote.port() };
        client.remote = SocketAddr::new(*address, port);
        client.remote_header = text;
    }
    // Proxies that append write theirs last.
    let proto = list(headers, &FORWARDED_PROTO).last().copied();
    let proto = proto.or_else(|| parameter(forwarded.last()?, "proto"));
    match proto.map(str::to_ascii_lowercase).as_deref() {
        Some("https" | "wss") => {
            client.https = true;
            client.local.set_port(443);
        }
        Some("http" | "ws") => {
            client.https = false;
            client.local.set_port(80);
        }
        _ => {}
    }
    let port = list(headers, &FORWARDED_PORT).last().and_then(|port| port.parse().ok());
    if let Some(port) = port {
        client.local.set_port(port);
    }
    client
}

/// The elements of a header that is a list, of all its lines.
fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Vec<&'h str> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|text| !text.is_empty()).collect()
}

/// A parameter of an element of `Forwarded`; see RFC 7239, 4.
fn parameter<'e>(element: &'e str, name: &str) -> Option<&'e str> {
    element.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let value = value.trim();
        let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        key.trim().eq_ignore_ascii_case(name).then_some(bare.unwrap_or(value))
    })
}

/// `Forwarded` with the proxy itself as its last element, where the proxy speaks so.
fn continued(forwarded: &[&str], proxy: &Caller) -> Option<HeaderValue> {
    if forwarded.is_empty() {
        return None;
    }
    let address = proxy.remote.ip().to_canonical();
    let address = if address.is_ipv6() { format!("\"[{address}]\"") } else { address.to_string() };
    HeaderValue::try_from(format!("{}, for={address}", forwarded.join(", "))).ok()
}

fn is_plain_id(id: &[u8]) -> bool {
    (1..=LONGEST_ID).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// 32 hexadecimal digits, as nginx makes them, or a UUID.
fn call_id(text: &str) -> Option<CallId> {
    let is_uuid = text.len() == 36
        && [8, 13, 18, 23].iter().all(|at| text.as_bytes().get(*at) == Some(&b'-'));
    let id: CallId = if is_uuid { text.replace('-', "").parse() } else { text.parse() }.ok()?;
    (id.as_u128() != 0).then_some(id)
}

/// Whether a proxy is believed that comes from there.
pub(super) fn is_trusted(peer: &Caller, trusted: &[Network]) -> bool {
    let address = peer.remote.ip();
    trusted.iter().any(|network| network.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(said: &[(&str, &str)]) -> Proxied {
        let mut headers = HeaderMap::new();
        for (name, value) in said {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let proxy = Caller {
            remote: "10.0.0.1:4000".parse().unwrap(),
            remote_header: HeaderValue::from_static("10.0.0.1"),
            local: "10.0.0.9:8080".parse().unwrap(),
            https: false,
            is_fleet: false,
        };
        Proxied::read(&headers, &proxy, &Network::parse_list("10.0.0.0/8").unwrap())
    }

    fn client(said: &[(&str, &str)]) -> String {
        let Caller { remote, remote_header, local, https, .. } = read(said).client;
        format!("{} ({remote_header:?}) {} {https}", remote.ip(), local.port())
    }

    #[test]
    fn the_client_is_told_by_the_proxy() {
        for (said, expect) in [
            (&[][..], "10.0.0.1 (\"10.0.0.1\") 8080 false"),
            (
                &[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https")],
                "1.2.3.4 (\"1.2.3.4, 10.0.0.1\") 443 true",
            ),
            (
                &[("x-forwarded-for", "6.6.6.6, 1.2.3.4"), ("x-forwarded-for", "10.1.1.1")],
                "1.2.3.4 (\"1.2.3.4, 10.1.1.1, 10.0.0.1\") 8080 false",
            ),
            (
                &[("x-forwarded-proto", "http, https"), ("x-forwarded-port", "8443")],
                "10.0.0.1 (\"10.0.0.1\") 8443 true",
            ),
            (
                &[("forwarded", "for=6.6.6.6, for=\"[2001:db8::1]:9\";proto=https")],
                "2001:db8::1 (\"2001:db8::1, 10.0.0.1\") 443 true",
            ),
            (
                &[("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "1.2.3.4")],
                "1.2.3.4 (\"1.2.3.4, 10.0.0.1\") 8080 false",
            ),
            (&[("x-forwarded-proto", "gopher")], "10.0.0.1 (\"10.0.0.1\") 8080 false"),
            (&[("forwarded", "by=x;host=y")], "10.0.0.1 (\"10.0.0.1\") 8080 false"),
        ] {
            assert_eq!(client(said), expect, "{said:?}");
        }
    }

    #[test]
    fn the_proxys_id_is_kept_and_is_the_calls_where_it_fits() {
        let digits = "0af7651916cd43dd8448eb211c80319c";
        for (id, is_kept, call) in [
            (digits, true, Some(digits)),
            ("0af76519-16cd-43dd-8448-eb211c80319c", true, Some(digits)),
            ("from-the-balancer", true, None),
            ("00000000000000000000000000000000", true, None),
            ("two words", false, None),
            (&"x".repeat(129), false, None),
        ] {
            let read = read(&[("x-request-id", id)]);
            assert_eq!(read.request_id.is_some(), is_kept, "{id}");
            let call_id = read.call_id.map(|id| id.to_string());
            assert_eq!(call_id.as_deref(), call, "{id}");
            let mut headers = HeaderMap::new();
            read.tell(&mut headers);
            assert_eq!(headers.get("x-request-id").is_some(), is_kept);
        }
    }

    #[test]
    fn forwarded_is_continued_where_the_proxy_speaks_so() {
        let mut headers = HeaderMap::new();
        read(&[("forwarded", "for=1.2.3.4;proto=https")]).tell(&mut headers);
        assert_eq!(headers["forwarded"], "for=1.2.3.4;proto=https, for=10.0.0.1");
        headers.clear();
        read(&[("x-forwarded-for", "1.2.3.4")]).tell(&mut headers);
        assert!(headers.is_empty());
    }
}
