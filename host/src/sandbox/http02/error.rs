//! What a guest of 0.2 is told of a failure, by its code.

use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::bindings::http::types::{DnsErrorPayload, ErrorCode};

/// The code of a failure of a request to somebody else, or of a body.
pub(in crate::sandbox) fn code_of(error: &Error) -> ErrorCode {
    match error {
        // A body that broke off.
        Error::Hyper(_) | Error::HttpProtocolError => ErrorCode::HttpProtocolError,
        Error::DnsError { rcode, info_code } => {
            let (rcode, info_code) = (rcode.clone(), *info_code);
            ErrorCode::DnsError(DnsErrorPayload { rcode, info_code })
        }
        Error::DestinationIpProhibited => ErrorCode::DestinationIpProhibited,
        Error::ConnectionRefused => ErrorCode::ConnectionRefused,
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::ConnectionTimeout => ErrorCode::ConnectionTimeout,
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        Error::ConnectionLimitReached => ErrorCode::ConnectionLimitReached,
        Error::TlsProtocolError => ErrorCode::TlsProtocolError,
        Error::TlsCertificateError => ErrorCode::TlsCertificateError,
        Error::HttpRequestDenied => ErrorCode::HttpRequestDenied,
        Error::HttpRequestMethodInvalid => ErrorCode::HttpRequestMethodInvalid,
        Error::HttpRequestUriInvalid => ErrorCode::HttpRequestUriInvalid,
        Error::HttpRequestBodySize(limit) => ErrorCode::HttpRequestBodySize(*limit),
        // Nothing of ours says any other.
        other => ErrorCode::InternalError(Some(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_its_own_code_and_one_of_no_code_its_text() {
        let codes = [Error::ConnectionRefused, Error::HttpRequestDenied, Error::LoopDetected]
            .map(|error| format!("{:?}", code_of(&error)));
        let text = r#"ErrorCode::InternalError(Some("request loop detected"))"#;
        assert_eq!(codes, ["ErrorCode::ConnectionRefused", "ErrorCode::HttpRequestDenied", text]);
    }
}
