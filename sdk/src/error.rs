//! How a handler fails: one error type that says what the caller is told and what the log is.
//!
//! It does not retry, count or classify; the host counts answers by status.

use std::{borrow::Cow, error::Error as StdError, fmt};

use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};

use crate::{Body, Response};

/// What a handler or one of its parts returns.
pub type Result<T = Response, E = Error> = std::result::Result<T, E>;

/// A failure that becomes an answer.
///
/// Below 500 the message is for the caller: it is the body, and nothing is logged. From 500 on the
/// message is for the author: it is logged on standard error with what caused it, and the caller
/// reads only the status's name.
///
/// With `?` every other error becomes a 500: those of `std` and of libraries, `anyhow::Error`,
/// `Box<dyn Error + Send + Sync>`, and a plain text. A `Box<dyn Error>` that may not go to another
/// thread is the one that does not; its text does (`.map_err(|error| error.to_string())?`).
///
/// It is no `std` error itself, or it could not take all of those. With the feature `anyhow`, which
/// is on unless it is left out, it goes into an `anyhow::Error` and comes back out of one with its
/// status, whatever context was added on the way; so a handler may return `anyhow::Result`:
///
/// ```
/// use anyhow::Context as _;
/// use steerage_sdk::{Error, Request, Response, Router, get, handler};
///
/// static ROUTES: Router = Router::new(&[get("/", |_, _| Err(Error::not_found("no home")))]);
///
/// #[handler]
/// fn serve(request: Request) -> anyhow::Result<Response> {
///     let limit: usize = "64".parse().context("the limit is no number")?;
///     anyhow::ensure!(request.uri().path().len() <= limit, "the path is too long");
///     Ok(ROUTES.serve(request)?)
/// }
/// # let error: Error = serve(Request::new(().into())).unwrap_err().into();
/// # assert_eq!(error.status(), 404);
/// ```
///
/// Without it:
///
/// ```
/// use http::StatusCode;
/// use steerage_sdk::{Error, Result};
///
/// fn age(text: &str) -> Result<u8> {
///     text.parse().map_err(|_| Error::new(StatusCode::BAD_REQUEST, "the age is no number"))
/// }
/// # assert_eq!(age("old").unwrap_err().status(), StatusCode::BAD_REQUEST);
/// ```
#[derive(Debug)]
pub struct Error {
    status: StatusCode,
    message: Cow<'static, str>,
    /// Where there is one, it is the message.
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure with this status and message.
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), source: None }
    }

    /// 400: what the caller sent cannot be used, and why.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404: there is nothing here, and what was looked for.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 500: a fault of the service's own.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// The same failure with another status, say a 502 for an outbound request that failed.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The status it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The answer the host would give for it, with what must be logged logged: for what is wrapped
    /// around a handler, such as a header on every answer.
    ///
    /// ```
    /// use steerage_sdk::{Error, HeaderValue, Request, Response, Router, get};
    ///
    /// static ROUTES: Router = Router::new(&[get("/", |_, _| Ok(Response::default()))]);
    ///
    /// fn serve(request: Request) -> Response {
    ///     let mut response = ROUTES.serve(request).unwrap_or_else(Error::into_response);
    ///     let everybody = HeaderValue::from_static("*");
    ///     response.headers_mut().insert("access-control-allow-origin", everybody);
    ///     response
    /// }
    /// # let request = http::Request::get("/nowhere").body(().into()).unwrap();
    /// # let response = serve(request);
    /// # assert_eq!(response.status(), 404);
    /// # assert_eq!(response.headers()["access-control-allow-origin"], "*");
    /// ```
    #[must_use]
    pub fn into_response(self) -> Response {
        let text = if self.status.is_server_error() {
            eprintln!("error: {self}");
            Cow::Borrowed(self.status.canonical_reason().unwrap_or("server error"))
        } else {
            self.message
        };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        let text = HeaderValue::from_static(crate::reply::TEXT);
        response.headers_mut().insert(CONTENT_TYPE, text);
        response
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(source) = &self.source else { return f.write_str(&self.message) };
        write!(f, "{source}")?;
        let mut next = source.source();
        while let Some(source) = next {
            write!(f, ": {source}")?;
            next = source.source();
        }
        Ok(())
    }
}

impl<E: Into<Box<dyn StdError + Send + Sync>> + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        #[cfg(feature = "anyhow")]
        if let Some(carried) = through_anyhow::carried(&error) {
            return carried;
        }
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: Cow::Borrowed(""),
            source: Some(error.into()),
        }
    }
}

/// The way through an `anyhow::Error` and back.
#[cfg(feature = "anyhow")]
mod through_anyhow {
    use std::{any::Any, fmt};

    use super::{Error, StdError};

    /// An [`Error`] as `anyhow` can hold it.
    #[derive(Debug)]
    struct Carried(Error);

    impl fmt::Display for Carried {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fmt(f)
        }
    }

    impl StdError for Carried {}

    impl From<Error> for anyhow::Error {
        fn from(error: Error) -> Self {
            Self::new(Carried(error))
        }
    }

    /// The error that an `anyhow::Error` holds, or was given as context, with its status. What was
    /// added to it on the way is for the log only.
    pub(super) fn carried<E: 'static>(error: &E) -> Option<Error> {
        let error = (error as &dyn Any).downcast_ref::<anyhow::Error>()?;
        let carried = error.downcast_ref().map(|Carried(inner)| inner);
        let inner = carried.or_else(|| error.downcast_ref::<Error>())?;
        let message = match inner.status.is_server_error() {
            true => format!("{error:#}").into(),
            false => inner.message.clone(),
        };
        Some(Error::new(inner.status, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: Error, status: u16, text: &str) {
        let response = error.into_response();
        assert_eq!(response.status(), status);
        assert_eq!(response.into_body().text().unwrap(), text);
    }

    #[test]
    fn the_caller_reads_of_his_own_faults_only() {
        check(Error::bad_request("no such month"), 400, "no such month");
        check(Error::internal("the table is missing"), 500, "Internal Server Error");
        let error = Error::from(std::io::Error::other("no route"));
        check(error.with_status(StatusCode::BAD_GATEWAY), 502, "Bad Gateway");
    }

    #[test]
    fn the_log_has_the_whole_chain() {
        let cause = "x".parse::<u8>().unwrap_err();
        let text = Error::from(std::io::Error::other(cause)).to_string();
        assert!(text.starts_with("invalid digit found in string"), "{text}");
    }

    #[test]
    fn every_kind_of_error_is_taken() {
        fn fails<E: Into<Error>>(error: E) -> Result<()> {
            Err(error.into())
        }
        let boxed: Box<dyn StdError + Send + Sync> = "boxed".into();
        let errors = [
            (fails("text"), "text"),
            (fails("owned".to_owned()), "owned"),
            (fails(boxed), "boxed"),
            (fails(std::io::Error::other("io")), "io"),
            (fails(Error::internal("own")), "own"),
        ];
        for (error, text) in errors {
            let error = error.unwrap_err();
            assert_eq!((error.status().as_u16(), error.to_string().as_str()), (500, text));
        }
    }

    #[cfg(feature = "anyhow")]
    #[test]
    fn a_status_survives_anyhow() {
        use anyhow::Context as _;

        let through = |error: Error| -> Error {
            let result: anyhow::Result<()> = (|| Err(error)?)();
            result.context("while looking").unwrap_err().into()
        };
        let missing = through(Error::not_found("no such month"));
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        check(missing, 404, "no such month");
        let bad_gateway = Error::from(std::io::Error::other("refused"));
        let failed = through(bad_gateway.with_status(StatusCode::BAD_GATEWAY));
        assert_eq!(failed.status(), StatusCode::BAD_GATEWAY);
        assert_eq!(failed.to_string(), "while looking: refused");
        let gone: Result<(), _> = Err(std::io::Error::other("no file"));
        let gone: Error = gone.context(Error::not_found("no such page")).unwrap_err().into();
        check(gone, 404, "no such page");
        let other: Error = anyhow::anyhow!("root").context("outer").into();
        assert_eq!((other.status().as_u16(), other.to_string().as_str()), (500, "outer: root"));
    }
}
