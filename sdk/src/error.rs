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
/// Every `std` error converts to a 500 with `?`.
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

    /// Logs what must be logged and makes the answer.
    pub(crate) fn into_response(self) -> Response {
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

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(source: E) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: Cow::Borrowed(""),
            source: Some(Box::new(source)),
        }
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
}
