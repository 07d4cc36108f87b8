//! What came of a guest's own requests, written down or said again. Sends nothing: what is said again was sent
//! by another run.

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::{Error, WasiBody};

use super::connect::Destination;
use crate::capsule::{Planned, Tape, ToldAnswer, ToldBody, ToldOf};
use crate::sandbox::taped::{PlayedBody, TapedBody, read, written};

/// What is told of the requests of one call.
#[derive(Debug)]
pub(super) struct ToldRequests {
    tape: Tape,
}

/// One of them.
#[derive(Debug)]
pub(super) struct ToldRequest {
    tape: Tape,
    /// Which it is of those that are in the capsule.
    number: Option<usize>,
}

impl ToldRequests {
    pub(super) fn new(tape: Tape) -> Self {
        Self { tape }
    }

    /// The next one.
    pub(super) fn begin(&self, request: &Request<WasiBody>) -> ToldRequest {
        // Without the path, in which a secret may stand that nobody has declared.
        let to = Destination::of(request.uri()).map(|to| {
            format!(
                "{}://{}:{}",
                request.uri().scheme_str().unwrap_or_default(),
                to.host(),
                to.port()
            )
        });
        let method = request.method().as_str();
        let number = self.tape.begin_exchange(method, &to.unwrap_or_default());
        ToldRequest { tape: self.tape.clone(), number }
    }
}

impl ToldRequest {
    /// Whether its answer is known, so that it is not sent.
    pub(super) fn is_played(&self) -> bool {
        self.tape.is_playing()
    }

    /// Writes down what came of it, and what its body brings.
    pub(super) fn note(
        self,
        sent: Result<Response<WasiBody>, Error>,
    ) -> Result<Response<WasiBody>, Error> {
        let Self { tape, number: Some(number) } = self else { return sent };
        let response = sent.inspect_err(|error| {
            tape.note_answer(number, ToldAnswer::Failed { error: code(error) });
        })?;
        let (status, headers) = (response.status().as_u16(), written(response.headers()));
        let body = ToldBody::default();
        tape.note_answer(number, ToldAnswer::Answered { status, headers, body });
        Ok(response.map(|body| TapedBody::new(body, tape, ToldOf::Answer(number)).boxed_unsync()))
    }

    /// What came of it then.
    pub(super) async fn play(
        self,
        request: Request<WasiBody>,
    ) -> Result<Response<WasiBody>, Error> {
        // Somebody took it then.
        let mut body = request.into_body();
        tokio::spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
        match self.tape.planned_answer(self.number) {
            Planned::Never => std::future::pending().await,
            Planned::Unknown => {
                Err(Error::InternalError(Some("the capsule has no answer to this".to_owned())))
            }
            Planned::Answer(ToldAnswer::Failed { error }) => Err(of_code(&error)),
            Planned::Answer(ToldAnswer::Answered { status, headers, body }) => {
                let mut response = Response::new(PlayedBody::new(body).boxed_unsync());
                *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
                *response.headers_mut() = read(&headers);
                Ok(response)
            }
        }
    }
}

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
fn code(error: &Error) -> String {
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
fn of_code(code: &str) -> Error {
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
