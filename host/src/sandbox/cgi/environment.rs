//! The meta-variables of RFC 3875 for one request.
//! Does not include anything of the host's own environment.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::request::Parts;

/// What the connection and the route add to the request's head.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The client's address.
    pub remote: IpAddr,
    /// The port the request came in on.
    pub port: u16,
    /// Whether it came over TLS.
    pub https: bool,
    /// The part of the path that the route names, as it was sent; see RFC 3875, 4.1.13.
    pub script_name: String,
    /// The part of the path below that, as it was sent; see RFC 3875, 4.1.5.
    pub path_info: String,
}

/// The whole environment of a program: what the manifest says, and the meta-variables of a request.
/// Each name stands once; a meta-variable goes before a variable of the manifest, and both before what
/// a client's header would set.
#[must_use]
pub fn variables(
    head: &Parts,
    place: &Origin,
    manifest: &[(String, String)],
) -> BTreeMap<String, String> {
    let mut variables = from_headers(&head.headers);
    variables.extend(manifest.iter().cloned());
    let mut set = |name: &str, value: &str| {
        variables.insert(name.to_owned(), value.to_owned());
    };
    set("GATEWAY_INTERFACE", "CGI/1.1");
    set("SERVER_SOFTWARE", concat!("steerage/", env!("CARGO_PKG_VERSION")));
    set("SERVER_PROTOCOL", &format!("{:?}", head.version));
    set("SERVER_NAME", server_name(head));
    set("SERVER_PORT", &place.port.to_string());
    set("REQUEST_METHOD", head.method.as_str());
    set("REQUEST_URI", head.uri.path_and_query().map_or("/", |path| path.as_str()));
    set("SCRIPT_NAME", &decoded(&place.script_name));
    set("PATH_INFO", &decoded(&place.path_info));
    set("QUERY_STRING", head.uri.query().unwrap_or(""));
    set("REMOTE_ADDR", &place.remote.to_string());
    if place.https {
        set("HTTPS", "on");
    }
    // Spin tells its programs under these names; no client's header begins so.
    for (name, value) in &head.headers {
        if let (Some(name), Ok(value)) = (name.as_str().strip_prefix("spin-"), value.to_str()) {
            set(&format!("X_{}", name.to_ascii_uppercase().replace('-', "_")), value);
        }
    }
    for (name, variable) in [(CONTENT_LENGTH, "CONTENT_LENGTH"), (CONTENT_TYPE, "CONTENT_TYPE")] {
        if let Some(value) = head.headers.get(name).and_then(|value| value.to_str().ok()) {
            set(variable, value);
        }
    }
    variables
}

/// `HTTP_*`; see RFC 3875, 4.1.18. No two headers of a request set the same variable: names have letters,
/// digits and `-` only, as nginx and Apache have it.
fn from_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    for name in headers.keys() {
        let is_apart = *name == CONTENT_LENGTH || *name == CONTENT_TYPE;
        if is_apart || !name.as_str().bytes().all(is_plain) {
            continue;
        }
        let values: Vec<Cow<'_, str>> = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        let separator = if name.as_str() == "cookie" { "; " } else { ", " };
        let variable = format!("HTTP_{}", name.as_str().to_ascii_uppercase().replace('-', "_"));
        variables.insert(variable, values.join(separator));
    }
    variables
}

/// A path without its escapes, as RFC 3875 wants it in 4.1.5 and 4.1.13. One for NUL stays: a variable
/// cannot hold it, and a program would read a shorter path. What is no UTF-8 then is replaced.
fn decoded(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = match after {
            [high, low, after @ ..] if *first == b'%' => hex(*high, *low).map(|byte| (byte, after)),
            _ => None,
        };
        let (byte, after) = escaped.filter(|(byte, _)| *byte != 0).unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// The host that the request was routed by.
fn server_name(head: &Parts) -> &str {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(headers: &[(&str, &str)], manifest: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut request = http::Request::builder().uri("/a%20b/c%2Fd?e=%20");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let place = Origin {
            remote: "10.0.0.9".parse().unwrap(),
            port: 8080,
            https: false,
            script_name: "/a%20b".to_owned(),
            path_info: "/c%2Fd".to_owned(),
        };
        let manifest: Vec<_> =
            manifest.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        variables(&request.body(()).unwrap().into_parts().0, &place, &manifest)
    }

    #[test]
    fn a_request_becomes_the_variables_of_rfc_3875() {
        let set = set(
            &[
                ("host", "example.org:8080"),
                ("x-one", "1"),
                ("x-one", "2"),
                ("cookie", "a=1"),
                ("cookie", "b=2"),
                ("content-length", "3"),
            ],
            &[("GREETING", "hello")],
        );
        for (name, value) in [
            ("HTTP_X_ONE", "1, 2"),
            ("HTTP_COOKIE", "a=1; b=2"),
            ("HTTP_HOST", "example.org:8080"),
            ("CONTENT_LENGTH", "3"),
            ("SERVER_NAME", "example.org"),
            ("SCRIPT_NAME", "/a b"),
            ("PATH_INFO", "/c/d"),
            ("QUERY_STRING", "e=%20"),
            ("REQUEST_URI", "/a%20b/c%2Fd?e=%20"),
            ("REMOTE_ADDR", "10.0.0.9"),
            ("GREETING", "hello"),
        ] {
            assert_eq!(set[name], value, "{name}");
        }
        assert!(!set.contains_key("HTTP_CONTENT_LENGTH") && !set.contains_key("HTTPS"));
    }

    #[test]
    fn ours_go_before_the_manifests_and_those_before_the_clients() {
        let manifest = [("REQUEST_METHOD", "evil"), ("HTTP_X_OWN", "manifest")];
        let set = set(&[("host", "[::1]:80"), ("x-own", "evil")], &manifest);
        assert_eq!((&*set["REQUEST_METHOD"], &*set["HTTP_X_OWN"]), ("GET", "manifest"));
        assert_eq!(set["SERVER_NAME"], "[::1]");
    }

    #[test]
    fn escapes_are_decoded_once() {
        for (path, expect) in [
            ("/a%20b", "/a b"),
            ("/caf%C3%A9", "/caf\u{e9}"),
            ("/%2e%2E", "/.."),
            ("/%2520", "/%20"),
            ("/a%00b", "/a%00b"),
            ("/%ff", "/\u{fffd}"),
            ("/%", "/%"),
            ("/%4", "/%4"),
            ("/%+4%zz", "/%+4%zz"),
        ] {
            assert_eq!(decoded(path), expect, "{path}");
        }
    }
}
