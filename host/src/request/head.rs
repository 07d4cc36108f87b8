//! Reading and rewriting request heads: what is refused, what the guest is told besides, and which
//! headers are ours alone. Does not look at bodies.

use std::cell::RefCell;
use std::net::SocketAddr;

use http::header::{CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use steerage_core::canary::Share;
use steerage_core::id::CallId;
use steerage_core::outcome::Refusal;
use steerage_core::route::Match;

use crate::catalog::Signpost;
use crate::sandbox::cgi::environment::Place;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const ROUTE: HeaderName = HeaderName::from_static("x-steerage-route");
const REST: HeaderName = HeaderName::from_static("x-steerage-rest");
/// Every header below this prefix is ours: a client's copy never reaches a guest.
const OURS: &str = "x-steerage-";
const PARAM: &str = "x-steerage-param-";

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client's address.
    pub remote: SocketAddr,
    /// The client's IP address as a header value.
    pub remote_header: HeaderValue,
    /// The address the client connected to.
    pub local: SocketAddr,
    /// Whether the connection is TLS.
    pub https: bool,
    /// Whether the other end is a host of the fleet, or one has passed the request on.
    pub is_fleet: bool,
}

/// A fresh call id. Ids need to be different, not secret.
#[must_use]
pub fn new_call_id() -> CallId {
    CallId::from_u128(RANDOM.with_borrow_mut(|random| random.u128(1..)))
}

/// A number below `bound`; none is below 0.
#[must_use]
pub fn random_below(bound: usize) -> Option<usize> {
    (bound > 0).then(|| RANDOM.with_borrow_mut(|random| random.usize(..bound)))
}

/// A number that decides whether a call is a canary's.
#[must_use]
pub fn draw() -> u32 {
    RANDOM.with_borrow_mut(|random| random.u32(..Share::WHOLE))
}

thread_local! {
    static RANDOM: RefCell<fastrand::Rng> = RefCell::new(fastrand::Rng::new());
}

/// Refuses heads that could mean different things to different readers, and protocol switches.
///
/// # Errors
/// The refusal.
pub fn check<B>(request: &Request<B>) -> Result<(), Refusal> {
    let headers = request.headers();
    let bad = |detail: &str| Err(Refusal::BadRequest { detail: detail.to_owned() });
    // RFC 9112, 6.1: both together is how requests are smuggled past proxies.
    if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
        return bad("both Transfer-Encoding and Content-Length");
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(first) = lengths.next()
        && lengths.any(|length| length != first)
    {
        return bad("conflicting Content-Length headers");
    }
    if headers.get_all(HOST).iter().nth(1).is_some() {
        return bad("more than one Host header");
    }
    let websocket = |upgrade: &HeaderValue| {
        upgrade.to_str().is_ok_and(|names| names.to_ascii_lowercase().contains("websocket"))
    };
    if request.method() == Method::CONNECT || headers.get_all(UPGRADE).iter().any(websocket) {
        return Err(Refusal::UpgradeUnsupported);
    }
    Ok(())
}

/// The host a request is for: lower case, without a port.
///
/// # Errors
/// There is none, or it is no host.
pub fn host<B>(request: &Request<B>) -> Result<String, Refusal> {
    let bad = || Refusal::BadRequest { detail: "the Host header is no host name".to_owned() };
    let parsed;
    let authority = match (request.uri().authority(), request.headers().get(HOST)) {
        (Some(authority), _) => authority,
        (None, Some(host)) => {
            let host = host.to_str().map_err(|_| bad())?;
            if host.is_empty() {
                return Err(Refusal::NoHost);
            }
            if is_plain(host) {
                return Ok(host.to_owned());
            }
            parsed = host.parse::<Authority>().map_err(|_| bad())?;
            &parsed
        }
        // HTTP/1.0 clients need not send one; they reach routes without a host.
        (None, None) if request.version() == Version::HTTP_10 => return Ok(String::new()),
        (None, None) => return Err(Refusal::NoHost),
    };
    if authority.as_str().contains('@') {
        return Err(bad());
    }
    Ok(authority.host().trim_end_matches('.').to_ascii_lowercase())
}

/// Whether a host is written as we compare it, as nearly all are: nothing to parse or change.
fn is_plain(host: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !host.ends_with('.') && host.bytes().all(|byte| plain(byte) || byte == b'.')
}

/// What the route tells the guest.
fn route_headers(found: &Match<'_, '_, Signpost>, headers: &mut HeaderMap) {
    headers.insert(ROUTE, found.target.route());
    for (name, value) in &found.params {
        let name = HeaderName::try_from(format!("{PARAM}{name}"));
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    if let Some(Ok(rest)) = found.rest.map(HeaderValue::from_str) {
        headers.insert(REST, rest);
    }
}

/// What a CGI program is told of where it stands.
#[must_use]
pub fn place(found: &Match<'_, '_, Signpost>, path: &str, peer: &Peer) -> Place {
    let mut place = Place {
        remote: peer.remote.ip(),
        port: peer.local.port(),
        https: peer.https,
        script_name: String::new(),
        path_info: String::new(),
    };
    if found.target.app.kind.is_cgi() {
        let rest = found.rest.unwrap_or("");
        let script = path.strip_suffix(rest).unwrap_or(path).trim_end_matches('/');
        script.clone_into(&mut place.script_name);
        path.strip_prefix(script).unwrap_or("").clone_into(&mut place.path_info);
    }
    place
}

/// Takes out what only we may say and says it.
pub fn rewrite(
    headers: &mut HeaderMap,
    found: &Match<'_, '_, Signpost>,
    id: CallId,
    peer: &Peer,
    host: &str,
) {
    claim(headers, id, peer, host);
    route_headers(found, headers);
}

fn claim(headers: &mut HeaderMap, id: CallId, peer: &Peer, host: &str) {
    let is_ours = |name: &HeaderName| name.as_str().starts_with(OURS);
    if headers.keys().any(is_ours) {
        let spoofed: Vec<HeaderName> = headers.keys().filter(|n| is_ours(n)).cloned().collect();
        for name in spoofed {
            headers.remove(name);
        }
    }
    // What follows, in one allocation.
    headers.reserve(8);
    headers.insert(FORWARDED_FOR, peer.remote_header.clone());
    let proto = if peer.https { "https" } else { "http" };
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(proto));
    let host = headers.get(HOST).cloned().or_else(|| HeaderValue::from_str(host).ok());
    if let Some(host) = host {
        headers.insert(FORWARDED_HOST, host);
    }
    mark(headers, id);
    if let Some(trace) = traceparent(headers.get(TRACEPARENT), id) {
        headers.insert(TRACEPARENT, trace);
    }
}

/// Names the call.
pub fn mark(headers: &mut HeaderMap, id: CallId) {
    let mut digits = [0; 32];
    hex(id.as_u128(), &mut digits);
    if let Ok(id) = HeaderValue::from_bytes(&digits) {
        headers.insert(REQUEST_ID, id);
    }
}

/// Writes the low digits of a number, as many as there is room for.
fn hex(mut number: u128, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        let nibble = u8::try_from(number & 15).unwrap_or(0);
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        number >>= 4;
    }
}

/// The request's length as its head says it.
#[must_use]
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Gives the URI a scheme and an authority, which `wasi:http` 0.3 takes from there.
pub fn complete_uri<B>(request: &mut Request<B>, host: &str, peer: &Peer) {
    let mut parts = request.uri().clone().into_parts();
    if parts.authority.is_none() {
        let sent = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        parts.authority = sent.unwrap_or(host).parse().ok();
    }
    if parts.authority.is_some() {
        parts.scheme = Some(if peer.https { Scheme::HTTPS } else { Scheme::HTTP });
    }
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// The W3C trace context for the guest: the client's trace with a span of ours, or a new trace that
/// carries the call's id.
fn traceparent(sent: Option<&HeaderValue>, id: CallId) -> Option<HeaderValue> {
    let span = RANDOM.with_borrow_mut(|random| random.u64(1..));
    let sent = sent.and_then(|value| value.to_str().ok()).and_then(parse_traceparent);
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    let (trace, rest) = text.get_mut(3..)?.split_at_mut(32);
    let (span_id, rest) = rest.get_mut(1..)?.split_at_mut(16);
    hex(u128::from(span), span_id);
    match sent {
        Some((sent, flags)) => {
            trace.copy_from_slice(sent.as_bytes());
            rest.get_mut(1..)?.copy_from_slice(flags.as_bytes());
        }
        None => hex(id.as_u128(), trace),
    }
    HeaderValue::from_bytes(&text).ok()
}

/// Trace id and flags of a valid `traceparent`; see W3C Trace Context, 3.2.
fn parse_traceparent(text: &str) -> Option<(&str, &str)> {
    let mut fields = text.split('-');
    let (version, trace, span, flags) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let hex = |field: &str, length: usize| {
        field.len() == length
            && field.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let zero = |field: &str| field.bytes().all(|byte| byte == b'0');
    let valid = hex(version, 2)
        && version != "ff"
        && (version != "00" || fields.next().is_none())
        && hex(trace, 32)
        && !zero(trace)
        && hex(span, 16)
        && !zero(span)
        && hex(flags, 2);
    valid.then_some((trace, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri("/a");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn ambiguous_heads_are_refused() {
        let cause = |headers: &[(&str, &str)]| {
            check(&request(headers)).err().map_or("none", |refusal| refusal.cause())
        };
        assert_eq!(
            cause(&[("transfer-encoding", "chunked"), ("content-length", "3")]),
            "bad_request"
        );
        assert_eq!(cause(&[("content-length", "3"), ("content-length", "4")]), "bad_request");
        assert_eq!(cause(&[("host", "a"), ("host", "b")]), "bad_request");
        assert_eq!(cause(&[("upgrade", "WebSocket")]), "upgrade_unsupported");
        assert_eq!(cause(&[("upgrade", "h2c"), ("host", "a")]), "none");
    }

    #[test]
    fn the_host_is_lower_case_and_without_port() {
        let found = |value: &str| host(&request(&[("host", value)]));
        assert_eq!(found("Example.ORG.:8080").unwrap(), "example.org");
        assert_eq!(found("a-1.example.org").unwrap(), "a-1.example.org");
        assert_eq!(found("[::1]:80").unwrap(), "[::1]");
        assert_eq!(found("").unwrap_err(), Refusal::NoHost);
        assert_eq!(found("user@host").unwrap_err().cause(), "bad_request");
        assert_eq!(host(&request(&[])).unwrap_err(), Refusal::NoHost);
    }

    #[test]
    fn only_a_valid_trace_is_carried_on() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let valid = format!("00-{trace}-b7ad6b7169203331-01");
        assert_eq!(parse_traceparent(&valid), Some((trace, "01")));
        assert_eq!(
            parse_traceparent("00-00000000000000000000000000000000-b7ad6b7169203331-01"),
            None
        );
        assert_eq!(parse_traceparent(&format!("{valid}-extra")), None);
        assert_eq!(parse_traceparent("nonsense"), None);
        let id = CallId::from_u128(0xab);
        let carried = traceparent(Some(&HeaderValue::from_str(&valid).unwrap()), id).unwrap();
        assert_eq!(parse_traceparent(carried.to_str().unwrap()), Some((trace, "01")));
        let new = traceparent(None, id).unwrap();
        assert_eq!(parse_traceparent(new.to_str().unwrap()), Some((&*id.to_string(), "00")));
    }

    #[test]
    fn a_client_cannot_speak_for_us() {
        let mut headers = request(&[
            ("host", "a.b"),
            ("x-steerage-route", "/admin"),
            ("x-steerage-param-id", "1"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-request-id", "mine"),
        ])
        .headers()
        .clone();
        let peer = Peer {
            remote: "9.8.7.6:5".parse().unwrap(),
            remote_header: HeaderValue::from_static("9.8.7.6"),
            local: "127.0.0.1:80".parse().unwrap(),
            https: false,
            is_fleet: false,
        };
        let id = CallId::from_u128(7);
        claim(&mut headers, id, &peer, "a.b");
        assert!(!headers.contains_key("x-steerage-route"));
        assert!(!headers.contains_key("x-steerage-param-id"));
        assert_eq!(headers["x-forwarded-for"], "9.8.7.6");
        assert_eq!(headers["x-request-id"].to_str().unwrap(), id.to_string());
    }
}
