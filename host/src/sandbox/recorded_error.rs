//! Errors of requests and bodies as a capsule has them: the code of `wasi:http`, with what it says besides.
//! Does not know of which request or body one is.

use wasmtime_wasi_http::Error;

/// Failures that have a code and say nothing else.
const PLAIN: [(&str, Error); 14] = [
    ("http-protocol-error", Error::HttpProtocolError),
    ("destination-not-found", Error::DestinationNotFound),
    ("destination-unavailable", Error::DestinationUnavailable),
    ("destination-ip-prohibited", Error::DestinationIpProhibited),
    ("connection-refused", Error::ConnectionRefused),
    ("connection-terminated", Error::ConnectionTerminated),
    ("connection-timeout", Error::ConnectionTimeout),
    ("connection-read-timeout", Error::ConnectionReadTimeout),
    ("connection-limit-reached", Error::ConnectionLimitReached),
    ("tls-protocol-error", Error::TlsProtocolError),
    ("tls-certificate-error", Error::TlsCertificateError),
    ("http-request-denied", Error::HttpRequestDenied),
    ("http-request-method-invalid", Error::HttpRequestMethodInvalid),
    ("http-request-uri-invalid", Error::HttpRequestUriInvalid),
];
/// What the others begin with.
const DNS: &str = "dns-error";
const BODY_SIZE: &str = "http-request-body-size";

/// The code of a failure, with what it says besides.
pub(super) fn code(error: &Error) -> String {
    let is_same = |known: &Error| std::mem::discriminant(known) == std::mem::discriminant(error);
    match error {
        Error::Hyper(_) => "http-protocol-error".to_owned(),
        Error::DnsError { rcode, info_code } => {
            let info_code = info_code.map(|code| code.to_string()).unwrap_or_default();
            format!("{DNS} {info_code} {}", rcode.as_deref().unwrap_or_default())
        }
        Error::HttpRequestBodySize(size) => {
            format!("{BODY_SIZE} {}", size.map(|size| size.to_string()).unwrap_or_default())
        }
        Error::InternalError(said) => said.clone().unwrap_or_default(),
        other => match PLAIN.iter().find(|(_, known)| is_same(known)) {
            Some((code, _)) => (*code).to_owned(),
            None => other.to_string(),
        },
    }
}

/// The failure of a code; what is no code is its text.
pub(super) fn of_code(code: &str) -> Error {
    if let Some(plain) =
        PLAIN.into_iter().find_map(|(known, error)| (known == code).then_some(error))
    {
        return plain;
    }
    match code.split_once(' ') {
        Some((DNS, rest)) => {
            let (info_code, rcode) = rest.split_once(' ').unwrap_or((rest, ""));
            let rcode = (!rcode.is_empty()).then(|| rcode.to_owned());
            Error::DnsError { rcode, info_code: info_code.parse().ok() }
        }
        Some((BODY_SIZE, size)) => Error::HttpRequestBodySize(size.parse().ok()),
        _ => Error::InternalError((!code.is_empty()).then(|| code.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::http02::code_of;

    #[test]
    fn a_failure_is_said_again_with_the_same_code() {
        let others = [
            Error::DnsError { rcode: Some("no such name".to_owned()), info_code: Some(3) },
            Error::DnsError { rcode: None, info_code: None },
            Error::HttpRequestBodySize(Some(7)),
            Error::HttpRequestBodySize(None),
            Error::InternalError(Some("of some kind".to_owned())),
            Error::InternalError(None),
        ];
        let plain = PLAIN.into_iter().map(|(_, error)| error);
        for error in plain.chain(others) {
            let again = of_code(&code(&error));
            assert_eq!(format!("{:?}", code_of(&again)), format!("{:?}", code_of(&error)));
        }
    }
}
