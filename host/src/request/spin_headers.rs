//! What a component of a Spin app is told of its request in headers, besides what all guests are told.
//! Does not tell them to a guest: `host_headers` does, when the guest asks.
//!
//! The names and what they say are those of Spin's HTTP trigger (spinframework.dev, "The Spin HTTP trigger").

use std::net::SocketAddr;

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");
const PATH_INFO: HeaderName = HeaderName::from_static("spin-path-info");
const MATCHED_ROUTE: HeaderName = HeaderName::from_static("spin-matched-route");
const COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-component-route");
const RAW_COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-raw-component-route");
const BASE_PATH: HeaderName = HeaderName::from_static("spin-base-path");
const CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");
/// What the name of a part of the path that a route names begins with.
const PATH_MATCH: &str = "spin-path-match-";
/// What all of these begin with. No client's copy reaches a guest.
pub(super) const PREFIX: &str = "spin-";

/// What is known of a request when its route was found.
pub(super) struct Found<'f> {
    pub(super) uri: &'f Uri,
    pub(super) headers: &'f HeaderMap,
    pub(super) is_https: bool,
    pub(super) client: SocketAddr,
    /// The route as guests are told it, which may begin with a host.
    pub(super) route: &'f HeaderValue,
    /// The parts of the path that the route names.
    pub(super) params: &'f [(HeaderName, HeaderValue)],
    /// What of the path is below the route.
    pub(super) rest: Option<&'f HeaderValue>,
}

/// The headers for one request. `param` gives the name by which a route names a part of the path.
pub(super) fn headers(
    found: &Found<'_>,
    param: impl Fn(&HeaderName) -> Option<&str>,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut told = Vec::with_capacity(7 + found.params.len());
    let route = found.route.to_str().unwrap_or_default();
    let route = route.find('/').and_then(|at| route.get(at..)).unwrap_or_default();
    // For Spin the end of a route that leads on is not a part of it.
    let prefix = route.strip_suffix("/...").unwrap_or(route);
    let host = found.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = if found.is_https { "https" } else { "http" };
    let path = found.uri.path_and_query().map_or("/", |path| path.as_str());
    let texts = [
        (FULL_URL, format!("{scheme}://{host}{path}")),
        (MATCHED_ROUTE, route.to_owned()),
        (RAW_COMPONENT_ROUTE, route.to_owned()),
        (COMPONENT_ROUTE, prefix.to_owned()),
        (CLIENT_ADDR, found.client.to_string()),
    ];
    told.extend(texts.into_iter().filter_map(|(name, text)| Some((name, text.try_into().ok()?))));
    told.push((BASE_PATH, HeaderValue::from_static("/")));
    told.push((PATH_INFO, found.rest.cloned().unwrap_or(HeaderValue::from_static(""))));
    told.extend(found.params.iter().filter_map(|(name, value)| {
        let name = format!("{PATH_MATCH}{}", param(name)?.replace('_', "-"));
        Some((HeaderName::try_from(name).ok()?, value.clone()))
    }));
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(route: &str, path: &str, rest: Option<&str>) -> Vec<String> {
        let params = [(HeaderName::from_static("p-user_id"), HeaderValue::from_static("7"))];
        let rest = rest.map(|rest| HeaderValue::from_str(rest).unwrap());
        let mut client = HeaderMap::new();
        client.insert(HOST, HeaderValue::from_static("a.b:80"));
        let found = Found {
            uri: &path.parse().unwrap(),
            headers: &client,
            is_https: true,
            client: "9.8.7.6:5".parse().unwrap(),
            route: &HeaderValue::from_str(route).unwrap(),
            params: if route.contains(':') { &params } else { &[] },
            rest: rest.as_ref(),
        };
        let headers = headers(&found, |name| name.as_str().strip_prefix("p-"));
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn a_route_that_leads_on_is_told_with_and_without_its_end() {
        let told = told("a.b/u/:user_id/...", "/u/7/x?q=1", Some("/x"));
        let expected = [
            "spin-full-url: https://a.b:80/u/7/x?q=1",
            "spin-matched-route: /u/:user_id/...",
            "spin-raw-component-route: /u/:user_id/...",
            "spin-component-route: /u/:user_id",
            "spin-client-addr: 9.8.7.6:5",
            "spin-base-path: /",
            "spin-path-info: /x",
            "spin-path-match-user-id: 7",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn nothing_is_below_a_route_that_ends() {
        let told = told("/hello", "/hello", None);
        assert!(told.contains(&"spin-path-info: ".to_owned()), "{told:?}");
        assert!(told.contains(&"spin-component-route: /hello".to_owned()), "{told:?}");
    }
}
