//! Between the bindings' types and the `http` crate's.
//!
//! It moves heads only; bodies are `body`'s and `sink`'s.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, uri};
use wasip2::http::types::{Fields, HeaderError, Method as WasiMethod, Scheme};

use crate::{Error, Result};

pub(crate) fn method(method: WasiMethod) -> Result<Method> {
    Ok(match method {
        WasiMethod::Get => Method::GET,
        WasiMethod::Head => Method::HEAD,
        WasiMethod::Post => Method::POST,
        WasiMethod::Put => Method::PUT,
        WasiMethod::Delete => Method::DELETE,
        WasiMethod::Connect => Method::CONNECT,
        WasiMethod::Options => Method::OPTIONS,
        WasiMethod::Trace => Method::TRACE,
        WasiMethod::Patch => Method::PATCH,
        WasiMethod::Other(name) => Method::from_bytes(name.as_bytes())
            .map_err(|_| Error::bad_request("the method is not a token"))?,
    })
}

#[cfg(any(target_arch = "wasm32", test))]
pub(crate) fn wasi_method(method: &Method) -> WasiMethod {
    match method.as_str() {
        "GET" => WasiMethod::Get,
        "HEAD" => WasiMethod::Head,
        "POST" => WasiMethod::Post,
        "PUT" => WasiMethod::Put,
        "DELETE" => WasiMethod::Delete,
        "CONNECT" => WasiMethod::Connect,
        "OPTIONS" => WasiMethod::Options,
        "TRACE" => WasiMethod::Trace,
        "PATCH" => WasiMethod::Patch,
        other => WasiMethod::Other(other.to_owned()),
    }
}

pub(crate) fn uri(
    scheme: Option<Scheme>,
    authority: Option<String>,
    path_with_query: Option<String>,
) -> Result<Uri> {
    let bad = |_| Error::bad_request("the address of the request is not a URI");
    let mut parts = uri::Parts::default();
    parts.path_and_query =
        Some(path_with_query.map_or(Ok(uri::PathAndQuery::from_static("/")), TryInto::try_into))
            .transpose()
            .map_err(bad)?;
    // The `http` crate has no URI with one of the two alone.
    if let (Some(scheme), Some(authority)) = (scheme, authority) {
        parts.authority = Some(authority.try_into().map_err(bad)?);
        parts.scheme = Some(match scheme {
            Scheme::Http => uri::Scheme::HTTP,
            Scheme::Https => uri::Scheme::HTTPS,
            Scheme::Other(name) => name.as_str().try_into().map_err(bad)?,
        });
    }
    Uri::from_parts(parts).map_err(|_| Error::bad_request("the address of the request is no URI"))
}

#[cfg(target_arch = "wasm32")]
pub(crate) fn wasi_scheme(scheme: &uri::Scheme) -> Scheme {
    match scheme.as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    }
}

/// The host has checked names and values; what the `http` crate still refuses is left out.
pub(crate) fn header_map(fields: &Fields) -> HeaderMap {
    let entries = fields.entries();
    let mut headers = HeaderMap::with_capacity(entries.len());
    for (name, value) in entries {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// Headers that concern one connection are the host's. A handler that copies a head from elsewhere
/// has them without wanting to, so they are left out and said so, rather than refused.
pub(crate) fn fields(headers: &HeaderMap) -> Fields {
    let fields = Fields::new();
    for (name, value) in headers {
        match fields.append(name.as_str(), value.as_bytes()) {
            Ok(()) => {}
            Err(HeaderError::Forbidden) => {
                eprintln!("header {} is the host's: left out", name.as_str());
            }
            Err(_) => eprintln!("header {} was refused by the host: left out", name.as_str()),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_whole_or_only_a_path() {
        let check = |scheme, authority: Option<&str>, path: Option<&str>, expected: &str| {
            let uri = uri(scheme, authority.map(str::to_owned), path.map(str::to_owned));
            assert_eq!(uri.unwrap().to_string(), expected);
        };
        check(Some(Scheme::Https), Some("a.test:1"), Some("/b?c"), "https://a.test:1/b?c");
        check(Some(Scheme::Http), Some("a.test"), None, "http://a.test/");
        check(None, Some("a.test"), Some("/b"), "/b");
        check(Some(Scheme::Http), None, Some("/b"), "/b");
    }

    #[test]
    fn what_is_no_address_is_the_callers_fault() {
        let refused = uri(Some(Scheme::Http), Some("a b".to_owned()), None).unwrap_err();
        assert_eq!(refused.status(), 400);
        assert_eq!(method(WasiMethod::Other("GE T".to_owned())).unwrap_err().status(), 400);
    }

    #[test]
    fn methods_survive_both_ways() {
        for name in ["GET", "DELETE", "PROPFIND"] {
            let there = wasi_method(&Method::from_bytes(name.as_bytes()).unwrap());
            assert_eq!(method(there).unwrap().as_str(), name);
        }
    }
}
