//! A request that a guest of 0.2 makes to somebody else, and what becomes of it.
//! Does not send it: `outbound` does.

use std::mem;
use std::pin::Pin;
use std::task::Poll;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, Uri};
use http_body_util::BodyExt as _;
use wasmtime_wasi::p2::Pollable;
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, poll_noop, spawn};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, WasiBody};

use super::body::Waited;
use super::fields::{Fields, announced};
use crate::body::{Produced, Reader};

/// A request that is made.
pub(in crate::sandbox) struct OutgoingRequest {
    pub(in crate::sandbox) method: Method,
    pub(in crate::sandbox) scheme: Option<Scheme>,
    pub(in crate::sandbox) authority: Option<Authority>,
    pub(in crate::sandbox) path: Option<PathAndQuery>,
    pub(in crate::sandbox) headers: Fields,
    /// The other end of the body that the guest has asked for.
    pub(in crate::sandbox) body: Option<Reader>,
}

/// What came of a request that was sent.
type Sent = Result<Response<WasiBody>, Error>;

/// A response that may be yet to come. Nobody sends the request any more once this is dropped.
pub(in crate::sandbox) enum FutureResponse {
    Pending(AbortOnDropJoinHandle<Sent>),
    Ready(Sent),
    Taken,
}

/// The path of a request, which begins where the authority ends: anything else would stand as it is in the
/// first line of a request, and be taken for another server's address.
pub(in crate::sandbox) fn path_of(text: String) -> Option<PathAndQuery> {
    let begins = text.starts_with(['/', '?']);
    begins.then(|| PathAndQuery::try_from(text).ok()).flatten()
}

impl OutgoingRequest {
    /// A request with these headers, which says nothing else yet.
    pub(in crate::sandbox) fn new(mut headers: Fields) -> Self {
        headers.freeze();
        let (scheme, authority, path) = (None, None, None);
        Self { method: Method::GET, scheme, authority, path, headers, body: None }
    }

    /// What it says beside its headers, in bytes: each part is as long as the guest likes.
    pub(in crate::sandbox) fn n_words(&self) -> usize {
        let scheme = self.scheme.as_ref().map_or(0, |scheme| scheme.as_str().len());
        let authority = self.authority.as_ref().map_or(0, |authority| authority.as_str().len());
        let path = self.path.as_ref().map_or(0, |path| path.as_str().len());
        self.method.as_str().len() + scheme + authority + path
    }

    /// As it is sent.
    ///
    /// # Errors
    /// It cannot be.
    pub(in crate::sandbox) fn into_http(self) -> Result<Request<WasiBody>, ErrorCode> {
        let length = announced(self.headers.lines()).map_err(|()| {
            ErrorCode::InternalError(Some("its `content-length` is no length".to_owned()))
        })?;
        if self.body.is_none() && length.is_some_and(|length| length > 0) {
            return Err(ErrorCode::HttpRequestBodySize(Some(0)));
        }
        let scheme = self.scheme.unwrap_or(Scheme::HTTPS);
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(ErrorCode::HttpProtocolError);
        }
        let authority = self.authority.ok_or(ErrorCode::HttpRequestUriInvalid)?;
        let path = self.path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path);
        let uri = uri.build().map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        let body = self.body.map_or(Produced::Nothing, Produced::Written);
        let mut request = Request::new(body.boxed_unsync());
        *request.method_mut() = self.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.into();
        Ok(request)
    }
}

impl FutureResponse {
    /// What comes of a request that is sent from now on, whether somebody waits for it or not.
    pub(in crate::sandbox) fn new(sent: impl Future<Output = Sent> + Send + 'static) -> Self {
        Self::Pending(spawn(sent))
    }

    /// The same of what may have come already, as where nothing is sent.
    pub(in crate::sandbox) fn at_once(sent: impl Future<Output = Sent> + Send + 'static) -> Self {
        let mut sent = Box::pin(sent);
        match poll_noop(sent.as_mut()) {
            Some(come) => Self::Ready(come),
            None => Self::new(sent),
        }
    }

    /// Whether something has come, or was taken before.
    pub(in crate::sandbox) fn is_there(&mut self) -> bool {
        if let Self::Pending(sent) = self {
            let Some(come) = poll_noop(Pin::new(sent)) else { return false };
            *self = Self::Ready(come);
        }
        true
    }

    /// What has come: `None` where nothing has yet, and an error where it was taken before.
    pub(in crate::sandbox) fn take(&mut self) -> Option<Result<Sent, ()>> {
        if let Self::Pending(sent) = self {
            *self = Self::Ready(poll_noop(Pin::new(sent))?);
        }
        match mem::replace(self, Self::Taken) {
            Self::Ready(come) => Some(Ok(come)),
            Self::Taken | Self::Pending(_) => Some(Err(())),
        }
    }
}

impl Pollable for FutureResponse {
    // What `async_trait` would make of it, but that it waits in one place.
    fn ready<'s, 'f>(&'s mut self) -> Waited<'f>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(std::future::poll_fn(move |context| {
            if let Self::Pending(sent) = self {
                *self = Self::Ready(std::task::ready!(Pin::new(sent).poll(context)));
            }
            Poll::Ready(())
        }))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CONTENT_LENGTH;

    use super::*;
    use crate::body;

    fn to(authority: &str) -> OutgoingRequest {
        let mut request = OutgoingRequest::new(Fields::new());
        request.authority = Some(authority.parse().unwrap());
        request
    }

    fn uri(request: OutgoingRequest) -> String {
        request.into_http().unwrap().uri().to_string()
    }

    #[test]
    fn what_is_not_said_of_a_request_is_as_wasi_has_it() {
        assert_eq!(uri(to("a:81")), "https://a:81/");
        let mut asks = to("a");
        asks.scheme = Some(Scheme::HTTP);
        asks.path = path_of("?b=c".to_owned());
        assert_eq!(uri(asks), "http://a/?b=c");
        assert_eq!(to("a").into_http().unwrap().method(), Method::GET);
    }

    #[test]
    fn a_path_begins_where_the_authority_ends() {
        for text in ["/", "/a?b", "?b", "/a%20b"] {
            assert!(path_of(text.to_owned()).is_some(), "{text}");
        }
        for text in ["*", "x", "http://elsewhere/", "/a b", "/\n"] {
            assert!(path_of(text.to_owned()).is_none(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_sent_says_why() {
        let none = OutgoingRequest::new(Fields::new()).into_http().unwrap_err();
        assert!(matches!(none, ErrorCode::HttpRequestUriInvalid), "{none:?}");
        let mut other = to("a");
        other.scheme = Some("ftp".parse().unwrap());
        let other = other.into_http().unwrap_err();
        assert!(matches!(other, ErrorCode::HttpProtocolError), "{other:?}");
        let mut headers = Fields::new();
        headers.append(CONTENT_LENGTH, HeaderValue::from_static("3")).unwrap();
        let mut request = OutgoingRequest::new(headers.copy());
        request.authority = Some("a".parse().unwrap());
        let empty = request.into_http().unwrap_err();
        assert!(matches!(empty, ErrorCode::HttpRequestBodySize(Some(0))), "{empty:?}");
        let mut request = OutgoingRequest::new(headers);
        request.authority = Some("a".parse().unwrap());
        request.body = Some(body::channel().1);
        assert!(request.into_http().is_ok());
    }

    #[tokio::test]
    async fn what_comes_is_taken_once_and_found_without_waiting_for_it() {
        let mut future = FutureResponse::new(async { Err(Error::ConnectionRefused) });
        while future.take().is_none() {
            tokio::task::yield_now().await;
        }
        assert!(matches!(future.take(), Some(Err(()))));
        let mut future = FutureResponse::new(async { Err(Error::ConnectionRefused) });
        future.ready().await;
        future.ready().await;
        assert!(matches!(future.take(), Some(Ok(Err(Error::ConnectionRefused)))));
    }
}
