//! What a handler can take.
//!
//! Each argument asks the host for its own part of the request and no other.

use http::{HeaderMap, HeaderValue, Method, Uri};
use wasip2::http::types::IncomingRequest;

use crate::{Body, Error, Request, Result, convert};

/// The request as the host holds it; each method asks the host anew.
#[derive(Debug)]
pub struct Incoming {
    request: IncomingRequest,
}

impl Incoming {
    pub(crate) fn new(request: IncomingRequest) -> Self {
        Self { request }
    }

    /// The method.
    ///
    /// # Errors
    ///
    /// 400 when it is not one.
    pub fn method(&self) -> Result<Method> {
        convert::method(self.request.method())
    }

    /// The whole address: scheme, authority, path and query.
    ///
    /// # Errors
    ///
    /// 400 when it is not one.
    pub fn uri(&self) -> Result<Uri> {
        convert::uri(
            self.request.scheme(),
            self.request.authority(),
            self.request.path_with_query(),
        )
    }

    /// The first value of one header, without reading the others.
    pub fn header(&self, name: &str) -> Option<HeaderValue> {
        let value = self.request.headers().get(name).into_iter().next()?;
        HeaderValue::try_from(value).ok()
    }

    /// All headers.
    pub fn headers(&self) -> HeaderMap {
        convert::header_map(&self.request.headers())
    }

    /// The body.
    ///
    /// # Errors
    ///
    /// 500 when it was taken before: a handler that takes a [`Request`] has its body there.
    pub fn body(&self) -> Result<Body> {
        let body = self.request.consume();
        body.map(Body::incoming).map_err(|()| Error::internal("the body was taken twice"))
    }
}

/// A value a handler can take. Implement it for what several handlers read alike.
///
/// ```
/// use steerage_sdk::{Argument, Error, Incoming, Result, StatusCode, handler};
///
/// struct Token(String);
///
/// impl Argument for Token {
///     fn take(incoming: &Incoming) -> Result<Self> {
///         let value = incoming.header("authorization");
///         let token = value.as_ref().and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
///         let refused = || Error::new(StatusCode::UNAUTHORIZED, "a bearer token is needed");
///         token.map(|token| Self(token.to_owned())).ok_or_else(refused)
///     }
/// }
///
/// #[handler]
/// fn serve(token: Token) -> String {
///     format!("you hold {}\n", token.0)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}`",
    note = "it takes `Request`, `Method`, `Uri`, `HeaderMap`, `Body`, or what you implement \
            `Argument` for"
)]
pub trait Argument: Sized {
    /// Reads it from the request.
    ///
    /// # Errors
    ///
    /// What the caller is answered with instead of the handler's reply.
    fn take(incoming: &Incoming) -> Result<Self>;
}

impl Argument for Method {
    fn take(incoming: &Incoming) -> Result<Self> {
        incoming.method()
    }
}

impl Argument for Uri {
    fn take(incoming: &Incoming) -> Result<Self> {
        incoming.uri()
    }
}

impl Argument for HeaderMap {
    fn take(incoming: &Incoming) -> Result<Self> {
        Ok(incoming.headers())
    }
}

impl Argument for Body {
    fn take(incoming: &Incoming) -> Result<Self> {
        incoming.body()
    }
}

impl Argument for Request {
    fn take(incoming: &Incoming) -> Result<Self> {
        let mut request = Self::new(incoming.body()?);
        *request.method_mut() = incoming.method()?;
        *request.uri_mut() = incoming.uri()?;
        *request.headers_mut() = incoming.headers();
        Ok(request)
    }
}
