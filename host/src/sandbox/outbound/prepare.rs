//! A guest's request made ready to be written, once or twice.
//! Does not send it.

use std::future::ready;
use std::mem;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Request, Uri, request};
use http_body::Body as _;
use http_body_util::{BodyExt as _, BodyStream, Empty, StreamBody};
use tokio::time::timeout;
use wasmtime_wasi_http::{Error, WasiBody};

/// How long a body may be neither begun nor ended before the request is sent as it is.
const SETTLED_WITHIN: Duration = Duration::from_millis(500);

/// Addresses a request to the server itself, as to no proxy: the host in its header, and not in its
/// first line.
pub(super) fn direct<B>(request: &mut Request<B>) -> Result<(), Error> {
    if !request.headers().contains_key(HOST) {
        let authority = request.uri().authority().ok_or(Error::HttpRequestUriInvalid)?;
        let host = HeaderValue::from_str(authority.as_str());
        let host = host.map_err(|_| Error::HttpRequestUriInvalid)?;
        // First, as RFC 9110, 7.2, would have it.
        let mut headers = HeaderMap::with_capacity(request.headers().len() + 1);
        headers.insert(HOST, host);
        headers.extend(mem::take(request.headers_mut()));
        *request.headers_mut() = headers;
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    Ok(())
}

/// Waits a moment for the body of a request that may be sent twice: most guests begin a body also where
/// they have none, and end it right after. Then it is no body, and is not announced as one either.
pub(super) async fn settle(request: Request<WasiBody>) -> Request<WasiBody> {
    if !request.method().is_idempotent() || request.body().is_end_stream() {
        return request;
    }
    let (head, mut body) = request.into_parts();
    let body = match timeout(SETTLED_WITHIN, body.frame()).await {
        Ok(None) => empty(),
        Ok(Some(first)) => {
            let all = stream::once(ready(first)).chain(BodyStream::new(body));
            StreamBody::new(all).boxed_unsync()
        }
        Err(_) => body,
    };
    Request::from_parts(head, body)
}

/// The head of a request that may be sent twice.
pub(super) fn repeatable(request: &Request<WasiBody>) -> Option<request::Parts> {
    if !request.method().is_idempotent() || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    *copy.version_mut() = request.version();
    Some(copy.into_parts().0)
}

pub(super) fn empty() -> WasiBody {
    Empty::new().map_err(|never: std::convert::Infallible| match never {}).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn request(method: Method, body: &'static str) -> Request<WasiBody> {
        let body = http_body_util::Full::from(body)
            .map_err(|never: std::convert::Infallible| match never {})
            .boxed_unsync();
        let uri = "http://api.example.com:81/a?b=c";
        Request::builder().method(method).uri(uri).body(body).unwrap()
    }

    #[test]
    fn only_what_is_as_good_twice_is_sent_twice() {
        for (method, body, expected) in [
            (Method::GET, "", true),
            (Method::HEAD, "", true),
            (Method::DELETE, "", true),
            (Method::PUT, "x", false),
            (Method::POST, "", false),
            (Method::PATCH, "", false),
        ] {
            let copy = repeatable(&request(method.clone(), body));
            assert_eq!(copy.is_some(), expected, "{method} {body:?}");
        }
    }

    #[test]
    fn a_server_is_addressed_by_path_and_host() {
        let mut plain = request(Method::GET, "");
        for text in ["1", "2"] {
            plain.headers_mut().append("x-many", HeaderValue::from_static(text));
        }
        direct(&mut plain).unwrap();
        let lines: Vec<_> = plain.headers().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(lines, ["host", "x-many", "x-many"]);
        assert_eq!(plain.uri(), "/a?b=c");
        assert_eq!(plain.headers()[HOST], "api.example.com:81");
        let mut named = request(Method::GET, "");
        named.headers_mut().insert(HOST, HeaderValue::from_static("other"));
        direct(&mut named).unwrap();
        assert_eq!(named.headers()[HOST], "other");
    }

    #[tokio::test]
    async fn a_body_that_is_begun_and_ended_is_none_and_one_with_bytes_is_whole() {
        let begun = |texts: &'static [&'static str]| {
            let frames = texts.iter().map(|text| Ok(http_body::Frame::data((*text).into())));
            let mut wanted = request(Method::PUT, "");
            *wanted.body_mut() = StreamBody::new(stream::iter(frames)).boxed_unsync();
            wanted
        };
        let none = settle(begun(&[])).await;
        assert!(repeatable(&none).is_some() && none.body().is_end_stream());
        let some = settle(begun(&["one, ", "two"])).await;
        assert!(repeatable(&some).is_none());
        assert_eq!(some.into_body().collect().await.unwrap().to_bytes(), "one, two");
    }
}
