//! The one reading of a request's head: what is refused, and which host it is for. Does not look at
//! bodies, and what guests are told besides is in `told`.

use std::cell::RefCell;
use std::net::SocketAddr;

use http::header::{CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use rustls::pki_types::CertificateDer;
use steerage_core::canary::Share;
use steerage_core::id::CallId;
use steerage_core::outcome::Refusal;
use steerage_core::route::Authority;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest method, in bytes: the longest of IANA's registry has 17.
const LONGEST_METHOD: usize = 32;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The client's address.
    pub remote: SocketAddr,
    /// The client's IP address as a header value, and those of trusted proxies behind it.
    pub remote_header: HeaderValue,
    /// The address the client connected to.
    pub local: SocketAddr,
    /// Whether the connection is TLS.
    pub https: bool,
    /// Whether the other end is a host of the fleet, or one has passed the request on.
    pub is_fleet: bool,
}

/// Who has come in on a connection.
#[derive(Debug)]
pub struct Visitor {
    /// The other end.
    pub caller: Caller,
    /// The certificate that it has shown, where it was asked for one.
    pub shown: Option<CertificateDer<'static>>,
}

/// A fresh call id. Ids need to be different, not secret.
#[must_use]
pub fn new_call_id() -> CallId {
    CallId::from_u128(random(|random| random.u128(1..)))
}

/// A number below `bound`; none is below 0.
#[must_use]
pub fn random_below(bound: usize) -> Option<usize> {
    (bound > 0).then(|| random(|random| random.usize(..bound)))
}

/// A number that decides whether a call is a canary's.
#[must_use]
pub fn draw() -> u32 {
    random(|random| random.u32(..Share::WHOLE))
}

/// Something random, that need not be secret.
pub(super) fn random<T>(draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
    RANDOM.with_borrow_mut(draw)
}

thread_local! {
    static RANDOM: RefCell<fastrand::Rng> = RefCell::new(fastrand::Rng::new());
}

/// Reads a head, and says which host it is for: lower case, without a port. The request then names
/// that host in its `Host` header and nowhere else, so that whoever reads it is told the same.
///
/// # Errors
/// The refusal.
pub fn read<B>(request: &mut Request<B>, peer: &Caller) -> Result<String, Refusal> {
    check(request)?;
    say_length_once(request.headers_mut());
    if request.uri().authority().is_none()
        && let Some(host) = plain_host(request.headers())
    {
        return Ok(host);
    }
    let sent = sent_authority(request)?;
    let Some(text) = sent.or_else(|| default_authority(request.version(), peer)) else {
        return Err(Refusal::NoHost);
    };
    let authority = Authority::parse(&text).map_err(bad)?;
    let (host, form) = (authority.host.to_string(), authority.to_string());
    request.headers_mut().insert(HOST, HeaderValue::try_from(form).map_err(bad)?);
    if request.uri().authority().is_some() {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    }
    Ok(host)
}

/// Refuses heads that could mean different things to different readers, and protocol switches.
fn check<B>(request: &Request<B>) -> Result<(), Refusal> {
    let headers = request.headers();
    let length = request.method().as_str().len();
    if length > LONGEST_METHOD {
        let most = LONGEST_METHOD;
        return Err(bad(format!("the method has {length} bytes: at most {most} are allowed")));
    }
    // RFC 9112, 6.1: both together is how requests are smuggled past proxies.
    if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
        return Err(bad("both Transfer-Encoding and Content-Length"));
    }
    // The guest is given the body without its chunks. Of another coding it would not be told, and two
    // readers of `chunked, chunked` need not agree.
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(first) = codings.next()
        && (codings.next().is_some() || !first.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(bad("a Transfer-Encoding other than chunked"));
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(first) = lengths.next()
        && lengths.any(|length| length != first)
    {
        return Err(bad("conflicting Content-Length headers"));
    }
    if headers.get_all(HOST).iter().nth(1).is_some() {
        return Err(bad("more than one Host header"));
    }
    let websocket = |upgrade: &HeaderValue| {
        upgrade.to_str().is_ok_and(|names| names.to_ascii_lowercase().contains("websocket"))
    };
    if request.method() == Method::CONNECT || headers.get_all(UPGRADE).iter().any(websocket) {
        return Err(Refusal::UpgradeUnsupported);
    }
    Ok(())
}

/// RFC 9110, 8.6: of equal lengths guests get one, as hyper leaves one over HTTP/1.1.
fn say_length_once(headers: &mut HeaderMap) {
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some()
        && let Some(length) = headers.get(CONTENT_LENGTH).cloned()
    {
        headers.insert(CONTENT_LENGTH, length);
    }
}

/// The host of a header that is in its one form already, as nearly all are.
fn plain_host(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(HOST)?.to_str().ok()?;
    let authority = Authority::parse(text).ok()?;
    authority.is_spelt(text).then(|| authority.host.into_owned())
}

/// The authority that the client sent, if any.
fn sent_authority<B>(request: &Request<B>) -> Result<Option<String>, Refusal> {
    let header = request
        .headers()
        .get(HOST)
        .map(|host| host.to_str().map_err(|_| bad("the Host header is no host name")));
    let header = header.transpose()?.filter(|host| !host.is_empty());
    let Some(target) = request.uri().authority() else { return Ok(header.map(str::to_owned)) };
    // RFC 9112, 3.2.2: the target's authority takes the place of the header. RFC 9113, 8.3.1: over
    // HTTP/2 they must not differ.
    if request.version() >= Version::HTTP_2
        && let Some(header) = header
        && Authority::parse(header).map_err(bad)?
            != Authority::parse(target.as_str()).map_err(bad)?
    {
        return Err(bad("the Host header differs from :authority"));
    }
    Ok(Some(target.as_str().to_owned()))
}

/// The host of a client that need not send one: where it connected to.
fn default_authority(version: Version, peer: &Caller) -> Option<String> {
    let is_usual = peer.local.port() == if peer.https { 443 } else { 80 };
    (version <= Version::HTTP_10).then(|| match (peer.local, is_usual) {
        (SocketAddr::V6(local), true) => format!("[{}]", local.ip()),
        (SocketAddr::V4(local), true) => local.ip().to_string(),
        (local, false) => local.to_string(),
    })
}

fn bad(detail: impl std::fmt::Display) -> Refusal {
    Refusal::BadRequest { detail: detail.to_string() }
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
pub(super) fn hex(mut number: u128, digits: &mut [u8]) {
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

/// Gives the URI a scheme and an authority, which `wasi:http` 0.3 and HTTP/2 take from there: those of
/// the `Host` header, once the head was read.
pub fn complete_uri<B>(request: &mut Request<B>, https: bool) {
    let mut parts = request.uri().clone().into_parts();
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    parts.authority = host.and_then(|host| host.parse().ok());
    if parts.authority.is_some() {
        parts.scheme = Some(if https { Scheme::HTTPS } else { Scheme::HTTP });
        let path = parts.path_and_query.take();
        parts.path_and_query = path.or_else(|| Some(PathAndQuery::from_static("/")));
    }
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::Changes;

    fn peer(local: &str) -> Caller {
        Caller {
            remote: "9.8.7.6:5".parse().unwrap(),
            remote_header: HeaderValue::from_static("9.8.7.6"),
            local: local.parse().unwrap(),
            https: false,
            is_fleet: false,
        }
    }

    fn request(version: Version, uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().version(version).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn cause(mut request: Request<()>) -> &'static str {
        read(&mut request, &peer("127.0.0.1:80")).err().map_or("none", |refusal| refusal.cause())
    }

    /// The host that routes see, and the `Host` header and URI that guests see.
    fn told(version: Version, uri: &str, host: Option<&str>) -> String {
        let headers: Vec<_> = host.map(|host| ("host", host)).into_iter().collect();
        let mut request = request(version, uri, &headers);
        match read(&mut request, &peer("127.0.0.1:8080")) {
            Ok(host) => {
                let header = request.headers()[HOST].to_str().unwrap();
                format!("{host} {header} {}", request.uri())
            }
            Err(refusal) => refusal.cause().to_owned(),
        }
    }

    #[test]
    fn ambiguous_heads_are_refused() {
        let cause = |headers: &[(&str, &str)]| cause(request(Version::HTTP_11, "/a", headers));
        assert_eq!(
            cause(&[("transfer-encoding", "chunked"), ("content-length", "3")]),
            "bad_request"
        );
        assert_eq!(cause(&[("content-length", "3"), ("content-length", "4")]), "bad_request");
        let twice = [("content-length", "3"), ("content-length", "3"), ("host", "a")];
        let mut twice = request(Version::HTTP_2, "/a", &twice);
        read(&mut twice, &peer("127.0.0.1:80")).unwrap();
        assert_eq!(twice.headers().get_all(CONTENT_LENGTH).iter().count(), 1);
        for coding in ["gzip, chunked", "chunked, chunked", "identity", "identity, chunked"] {
            assert_eq!(cause(&[("transfer-encoding", coding)]), "bad_request", "{coding}");
        }
        assert_eq!(cause(&[("transfer-encoding", "Chunked"), ("host", "a")]), "none");
        assert_eq!(cause(&[("host", "a"), ("host", "b")]), "bad_request");
        assert_eq!(cause(&[("host", "a"), ("host", "a")]), "bad_request");
        assert_eq!(cause(&[("upgrade", "WebSocket")]), "upgrade_unsupported");
        assert_eq!(cause(&[("upgrade", "h2c"), ("host", "a")]), "none");
    }

    #[test]
    fn a_method_is_short() {
        for (length, expect) in [(LONGEST_METHOD, "none"), (LONGEST_METHOD + 1, "bad_request")] {
            let mut request = request(Version::HTTP_11, "/a", &[("host", "a")]);
            *request.method_mut() = Method::from_bytes(&vec![b'M'; length]).unwrap();
            assert_eq!(cause(request), expect, "{length}");
        }
    }

    #[test]
    fn one_host_is_read_and_told() {
        let http1 = |uri: &str, host: &str| told(Version::HTTP_11, uri, Some(host));
        assert_eq!(http1("/p?q", "a-1.example.org"), "a-1.example.org a-1.example.org /p?q");
        assert_eq!(http1("/", "Example.ORG.:8080"), "example.org example.org:8080 /");
        assert_eq!(http1("/", "[0::1]:80"), "[::1] [::1]:80 /");
        assert_eq!(http1("/", ""), "no_host");
        for wrong in ["user@host", "a b", "a/b", "a:x", "a,b", "::1"] {
            assert_eq!(http1("/", wrong), "bad_request", "{wrong}");
        }
        // The target's authority takes the place of the header.
        assert_eq!(http1("http://A.test/p?q", "b.test"), "a.test a.test /p?q");
        assert_eq!(http1("http://a.test:81", "b.test"), "a.test a.test:81 /");
        assert_eq!(http1("http://a.test/", "user@host"), "a.test a.test /");
        assert_eq!(told(Version::HTTP_11, "http://a.test/", None), "a.test a.test /");
        assert_eq!(http1("http://user@a.test/", "a.test"), "bad_request");
        assert_eq!(told(Version::HTTP_11, "/", None), "no_host");
    }

    #[test]
    fn over_http_2_the_header_must_not_differ() {
        let http2 = |host: Option<&str>| told(Version::HTTP_2, "http://a.test/p", host);
        assert_eq!(http2(None), "a.test a.test /p");
        assert_eq!(http2(Some("A.test.")), "a.test a.test /p");
        assert_eq!(http2(Some("b.test")), "bad_request");
        assert_eq!(http2(Some("a.test:81")), "bad_request");
        assert_eq!(told(Version::HTTP_2, "/p", Some("b.test")), "b.test b.test /p");
        assert_eq!(told(Version::HTTP_2, "/p", None), "no_host");
    }

    #[test]
    fn who_need_not_name_a_host_means_where_it_connected_to() {
        assert_eq!(told(Version::HTTP_10, "/", None), "127.0.0.1 127.0.0.1:8080 /");
        assert_eq!(told(Version::HTTP_10, "/", Some("")), "127.0.0.1 127.0.0.1:8080 /");
        assert_eq!(told(Version::HTTP_10, "/", Some("a")), "a a /");
        let default = |local: &str| default_authority(Version::HTTP_10, &peer(local)).unwrap();
        assert_eq!(default("10.0.0.1:80"), "10.0.0.1");
        assert_eq!(default("[::1]:80"), "[::1]");
        assert_eq!(default("[::1]:443"), "[::1]:443");
    }

    #[test]
    fn a_uri_is_completed_from_the_host() {
        let mut request = request(Version::HTTP_11, "/p?q", &[("host", "a:81")]);
        complete_uri(&mut request, true);
        assert_eq!(request.uri(), "https://a:81/p?q");
    }

    /// Headers that mean something to hosts, and some that only look so.
    const NAMES: [&str; 14] = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-steerage-route",
        "x_forwarded_for",
        "forwarded",
        "traceparent",
        "x-request-id",
        "te",
        "cookie",
    ];

    /// Values that mean something in one of them. Random bytes are mostly none.
    const VALUES: [&str; 12] = [
        "",
        "3",
        "4",
        "chunked",
        "gzip, chunked",
        "close, host, content-length, x-forwarded-for",
        "websocket",
        "a.example:81",
        "b.example",
        "evil",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "trailers",
    ];

    /// Changes that are made to one text in sixteen: most leave nothing that can be sent.
    #[derive(Clone, Debug, bolero::TypeGenerator)]
    struct Rarely {
        odds: u8,
        changes: Changes,
    }

    impl Rarely {
        fn made_to(&self, text: &str) -> Vec<u8> {
            if !self.odds.is_multiple_of(16) {
                return text.as_bytes().to_vec();
            }
            self.changes.made_to(text.as_bytes())
        }
    }

    #[derive(Clone, Debug, bolero::TypeGenerator)]
    struct Sent {
        is_http2: bool,
        target: Rarely,
        host: Rarely,
        has_authority: bool,
        /// How many of the headers are sent: among many there is always one that is refused.
        n_headers: u8,
        headers: [(u8, u8, Rarely); 6],
    }

    fn sent(sent: &Sent) -> Option<Request<()>> {
        let target = if sent.has_authority { "http://a.example:81/p/:q?r" } else { "/p/:q?r" };
        let uri = Uri::try_from(sent.target.made_to(target)).ok()?;
        let mut request =
            Request::builder().uri(uri).header(HOST, sent.host.made_to("a.example:81"));
        request = request.version(if sent.is_http2 { Version::HTTP_2 } else { Version::HTTP_11 });
        for (name, value, changes) in sent.headers.iter().take(usize::from(sent.n_headers) % 7) {
            let value = changes.made_to(VALUES[usize::from(*value) % VALUES.len()]);
            request = request.header(NAMES[usize::from(*name) % NAMES.len()], value);
        }
        request.body(()).ok()
    }

    /// Fuzzed: whoever reads a head that was taken is told of one host, and reads it as it was read.
    #[test]
    fn fuzzed_heads_name_one_host_or_are_refused() {
        let peer = peer("127.0.0.1:80");
        bolero::check!().with_type::<Sent>().for_each(|fuzzed| {
            let Some(mut request) = sent(fuzzed) else { return };
            let Ok(host) = read(&mut request, &peer) else { return };
            assert_eq!(host, host.to_ascii_lowercase());
            assert!(request.uri().authority().is_none(), "{}", request.uri());
            let hosts: Vec<_> = request.headers().get_all(HOST).iter().collect();
            let [told] = hosts[..] else { panic!("{hosts:?}") };
            assert_eq!(Authority::parse(told.to_str().unwrap()).unwrap().host, host);
            assert!(request.headers().get_all(CONTENT_LENGTH).iter().count() <= 1);
            let headers = request.headers().clone();
            assert_eq!(read(&mut request, &peer).unwrap(), host, "read twice");
            assert_eq!(*request.headers(), headers);
            super::super::host_headers::clean(request.headers_mut());
            super::super::host_headers::set(request.headers_mut(), CallId::from_u128(1), &peer);
            let told = request.headers();
            assert_eq!(told.get_all("x-forwarded-for").iter().collect::<Vec<_>>(), ["9.8.7.6"]);
            for name in ["x-steerage-route", "x_forwarded_for", "forwarded", "connection"] {
                assert!(!told.contains_key(name), "{told:?}");
            }
        });
    }
}
