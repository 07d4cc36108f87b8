//! What the guest is told of a request besides what its client said, and which headers are therefore
//! not the client's to say. Does not look at hosts, bodies or routes.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use steerage_core::id::CallId;
use steerage_core::route::Match;
use steerage_core::trace::CallTrace;

use super::head::{Caller, mark};
use super::spin_headers::{self, Found};
use super::trace;
use crate::catalog::RouteTarget;
use crate::header::{HostHeaders, is_of_connection, is_ours, remove};
use crate::sandbox::cgi::environment::Origin;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const ROUTE: HeaderName = HeaderName::from_static("x-steerage-route");
const REST: HeaderName = HeaderName::from_static("x-steerage-rest");
const PARAM: &str = "x-steerage-param-";

/// Headers by which programs and frameworks let a proxy tell them the client's address, scheme, host
/// or path, or by which they would be told to use a proxy (`proxy`, as CGI's HTTP_PROXY). The host
/// tells these things in `x-forwarded-for`, `-proto` and `-host`; whoever reads another one would
/// believe the client.
const OF_PROXIES: [&str; 21] = [
    "cf-connecting-ip",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "forwarded-for",
    "front-end-https",
    "proxy",
    // For the proxy before this host, and no guest's to know; see RFC 9110, 11.7.2.
    "proxy-authorization",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-host",
    "x-original-for",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-proto",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "x-scheme",
    "x-url-scheme",
];

/// Headers that a client may send, and that the host has settled or replaced by the time a guest sees them: nothing
/// else may be taken for one of them.
const SETTLED: [&str; 5] = ["content-length", "host", "traceparent", "tracestate", "x-request-id"];

/// Whether no client's copy of this header reaches a guest.
///
/// CGI and what follows it make the same variable of `x_forwarded_for` and `x-forwarded-for`, and some of
/// `x.forwarded.for`: a name is judged as that which it would be taken for.
pub(super) fn is_not_the_clients(name: &HeaderName) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    if name.as_str().chars().all(is_plain) {
        return is_the_hosts(name);
    }
    let taken_for = name.as_str().replace(|letter| !is_plain(letter), "-");
    SETTLED.contains(&taken_for.as_str())
        || HeaderName::try_from(taken_for).is_ok_and(|name| is_the_hosts(&name))
}

fn is_the_hosts(name: &HeaderName) -> bool {
    let text = name.as_str();
    text.starts_with("x-forwarded")
        || text.starts_with(spin_headers::PREFIX)
        || is_ours(name)
        || OF_PROXIES.contains(&text)
        || (is_of_connection(name) && *name != TE)
}

/// What a guest is told of a call and its route, while nobody has asked for it: most guests never look at
/// their headers, and six more of them cost an allocation for each three.
#[derive(Debug)]
pub(super) struct DeferredHeaders {
    /// `None` where that was told already.
    about: Option<AboutCall>,
    route: AboutRoute,
    /// Of a component of a Spin app.
    spin: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Debug)]
struct AboutCall {
    id: CallId,
    remote: HeaderValue,
    https: bool,
    /// Its span, where spans are exported.
    trace: Option<CallTrace>,
}

#[derive(Debug)]
struct AboutRoute {
    route: HeaderValue,
    params: Vec<(HeaderName, HeaderValue)>,
    rest: Option<HeaderValue>,
}

/// Takes out what is not the client's to say.
pub(super) fn clean(headers: &mut HeaderMap) {
    remove_named_by_connection(headers);
    remove(headers, is_not_the_clients);
}

/// Says what the host says of the call. The request's host is settled, and what is not the client's to say
/// is out.
pub(super) fn set(headers: &mut HeaderMap, id: CallId, peer: &Caller) {
    AboutCall::of(id, peer, None).set(headers);
}

impl AboutCall {
    fn of(id: CallId, peer: &Caller, trace: Option<CallTrace>) -> Self {
        Self { id, remote: peer.remote_header.clone(), https: peer.https, trace }
    }

    fn set(self, headers: &mut HeaderMap) {
        // What follows and what the route tells, in one allocation.
        headers.reserve(8);
        headers.insert(FORWARDED_FOR, self.remote);
        let proto = if self.https { "https" } else { "http" };
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(proto));
        if let Some(host) = headers.get(HOST).cloned() {
            headers.insert(FORWARDED_HOST, host);
        }
        mark(headers, self.id);
        match &self.trace {
            Some(trace) => trace::tell(headers, trace),
            None => trace::carry_on(headers, self.id),
        }
    }
}

impl DeferredHeaders {
    /// What is to be told of this call on this route.
    pub(super) fn of(
        found: &Match<'_, '_, RouteTarget>,
        id: CallId,
        trace: Option<CallTrace>,
        peer: &Caller,
    ) -> Box<Self> {
        let about = Some(AboutCall::of(id, peer, trace));
        Box::new(Self { about, route: AboutRoute::of(found), spin: Vec::new() })
    }

    /// What is to be told where that of the call was told before its route was known.
    pub(super) fn of_route(found: &Match<'_, '_, RouteTarget>) -> Box<Self> {
        Box::new(Self { about: None, route: AboutRoute::of(found), spin: Vec::new() })
    }

    /// Adds what a component of a Spin app is told.
    pub(super) fn add_spin(&mut self, request: &Parts, peer: &Caller) {
        let found = Found {
            uri: &request.uri,
            headers: &request.headers,
            is_https: peer.https,
            client: peer.remote,
            route: &self.route.route,
            params: &self.route.params,
            rest: self.route.rest.as_ref(),
        };
        self.spin = spin_headers::headers(&found, |name| name.as_str().strip_prefix(PARAM));
    }
}

impl HostHeaders for DeferredHeaders {
    fn set(self: Box<Self>, headers: &mut HeaderMap) {
        if let Some(about) = self.about {
            about.set(headers);
        }
        self.route.set(headers);
        headers.extend(self.spin);
    }
}

/// Takes out what is about the client's connection only; see RFC 9110, 7.6.1.
fn remove_named_by_connection(headers: &mut HeaderMap) {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<HeaderName> = values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        // Said by nearly all that send this header; they name no header.
        .filter(|name| !["keep-alive", "close"].contains(name))
        .filter_map(|name| HeaderName::try_from(name).ok())
        // These say what the request is, whoever names them.
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        .collect();
    for name in named {
        headers.remove(name);
    }
}

impl AboutRoute {
    fn of(found: &Match<'_, '_, RouteTarget>) -> Self {
        let param = |(name, value): &(&str, &str)| {
            let name = HeaderName::try_from(format!("{PARAM}{name}")).ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        };
        let params = found.params.iter().filter_map(param).collect();
        let rest = found.rest.and_then(|rest| HeaderValue::from_str(rest).ok());
        Self { route: found.target.route(), params, rest }
    }

    fn set(self, headers: &mut HeaderMap) {
        headers.insert(ROUTE, self.route);
        headers.extend(self.params);
        if let Some(rest) = self.rest {
            headers.insert(REST, rest);
        }
    }
}

/// What a CGI program is told of where it stands.
pub(super) fn place(found: &Match<'_, '_, RouteTarget>, path: &str, peer: &Caller) -> Origin {
    let mut place = Origin {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(said: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in said {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let peer = Caller {
            remote: "9.8.7.6:5".parse().unwrap(),
            remote_header: HeaderValue::from_static("9.8.7.6"),
            local: "127.0.0.1:80".parse().unwrap(),
            https: false,
            is_fleet: false,
        };
        clean(&mut headers);
        set(&mut headers, CallId::from_u128(7), &peer);
        headers
    }

    #[test]
    fn a_client_cannot_speak_for_us() {
        let headers = told(&[
            ("host", "a.b"),
            ("x-steerage-route", "evil"),
            ("x-steerage-param-id", "evil"),
            ("x_steerage-param-id", "evil"),
            ("x_forwarded_for", "evil"),
            ("x.forwarded.for", "evil"),
            ("x-forwarded-for", "evil"),
            ("x-forwarded-port", "evil"),
            ("x-forwarded-prefix", "evil"),
            ("x-forwarded", "evil"),
            ("forwarded", "for=evil"),
            ("x-real-ip", "evil"),
            ("x-original-url", "evil"),
            ("x-rewrite-url", "evil"),
            ("proxy", "evil"),
            ("x-request-id", "evil"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-proto", "evil"),
            ("spin-client-addr", "evil"),
            ("spin_full_url", "evil"),
            ("x_request.id", "evil"),
        ]);
        let evil = headers.values().any(|value| value.to_str().unwrap().contains("evil"));
        assert!(!evil, "{headers:?}");
        assert_eq!(headers["x-forwarded-for"], "9.8.7.6");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "a.b");
        assert_eq!(headers["x-request-id"].to_str().unwrap(), CallId::from_u128(7).to_string());
    }

    #[test]
    fn what_is_the_clients_own_is_left() {
        let own = [
            ("accept", "a"),
            ("cookie", "b"),
            ("authorization", "c"),
            ("x-api-key", "d"),
            ("redis_address", "e"),
        ];
        let headers = told(&own);
        for (name, value) in own {
            assert_eq!(headers[name], value);
        }
    }

    #[test]
    fn headers_of_the_connection_stay_behind() {
        let headers = told(&[
            ("host", "a"),
            ("content-length", "3"),
            ("connection", "close, x-hop, host, Content-Length, x-forwarded-for"),
            ("keep-alive", "1"),
            ("x-hop", "1"),
            ("x-end", "1"),
            ("te", "trailers"),
        ]);
        for gone in ["connection", "keep-alive", "x-hop"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        for there in ["host", "content-length", "x-end", "te", "x-forwarded-for"] {
            assert!(headers.contains_key(there), "{there}");
        }
    }
}
