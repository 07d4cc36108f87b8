//! The meta-variables of RFC 3875 for one request.
//! Does not include anything of the host's own environment.

use std::net::IpAddr;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::request::Parts;

/// What the connection and the route add to the request's head.
#[derive(Clone, Debug)]
pub struct Place {
    /// The client's address.
    pub remote: IpAddr,
    /// The port the request came in on.
    pub port: u16,
    /// Whether it came over TLS.
    pub https: bool,
    /// The part of the path that the route names; see RFC 3875, 4.1.13.
    pub script_name: String,
    /// The part of the path below that; see RFC 3875, 4.1.5.
    pub path_info: String,
}

/// All meta-variables of a request, in a stable order.
#[must_use]
pub fn variables(head: &Parts, place: &Place) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = Vec::with_capacity(16 + head.headers.len());
    let mut set = |name: &str, value: &str| variables.push((name.to_owned(), value.to_owned()));
    set("GATEWAY_INTERFACE", "CGI/1.1");
    set("SERVER_SOFTWARE", concat!("steerage/", env!("CARGO_PKG_VERSION")));
    set("SERVER_PROTOCOL", &format!("{:?}", head.version));
    set("SERVER_NAME", server_name(head));
    set("SERVER_PORT", &place.port.to_string());
    set("REQUEST_METHOD", head.method.as_str());
    set("REQUEST_URI", head.uri.path_and_query().map_or("/", |path| path.as_str()));
    set("SCRIPT_NAME", &place.script_name);
    set("PATH_INFO", &place.path_info);
    set("QUERY_STRING", head.uri.query().unwrap_or(""));
    set("REMOTE_ADDR", &place.remote.to_string());
    if place.https {
        set("HTTPS", "on");
    }
    for (name, variable) in [(CONTENT_LENGTH, "CONTENT_LENGTH"), (CONTENT_TYPE, "CONTENT_TYPE")] {
        if let Some(value) = head.headers.get(name).and_then(|value| value.to_str().ok()) {
            set(variable, value);
        }
    }
    for name in head.headers.keys() {
        // `Proxy:` would become HTTP_PROXY, which many programs obey (CVE-2016-5385).
        if *name == CONTENT_LENGTH || *name == CONTENT_TYPE || name.as_str() == "proxy" {
            continue;
        }
        let values: Vec<String> = head
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        let separator = if name.as_str() == "cookie" { "; " } else { ", " };
        let variable = format!("HTTP_{}", name.as_str().to_ascii_uppercase().replace('-', "_"));
        set(&variable, &values.join(separator));
    }
    variables
}

fn server_name(head: &Parts) -> &str {
    let host = head
        .headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| head.uri.authority().map(http::uri::Authority::as_str))
        .unwrap_or("");
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_header_never_becomes_http_proxy() {
        let request = http::Request::builder()
            .uri("/a/b?c=d")
            .header("host", "example.org:8080")
            .header("proxy", "http://evil")
            .header("x-one", "1")
            .header("x-one", "2")
            .header("content-length", "3")
            .body(())
            .unwrap();
        let place = Place {
            remote: "10.0.0.9".parse().unwrap(),
            port: 8080,
            https: false,
            script_name: "/a".to_owned(),
            path_info: "/b".to_owned(),
        };
        let variables = variables(&request.into_parts().0, &place);
        let value = |name: &str| {
            variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
        };
        assert_eq!(value("HTTP_PROXY"), None);
        assert_eq!(value("HTTP_X_ONE"), Some("1, 2"));
        assert_eq!(value("CONTENT_LENGTH"), Some("3"));
        assert_eq!(value("HTTP_CONTENT_LENGTH"), None);
        assert_eq!(value("SERVER_NAME"), Some("example.org"));
        assert_eq!(value("SCRIPT_NAME"), Some("/a"));
        assert_eq!(value("PATH_INFO"), Some("/b"));
        assert_eq!(value("QUERY_STRING"), Some("c=d"));
        assert_eq!(value("REMOTE_ADDR"), Some("10.0.0.9"));
    }
}
