//! One request to a collector, by HTTP or gRPC, with its deadline, and what its answer means.
//! Does not try again.

use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Connections;
use hyper_util::rt::TokioExecutor;
use prost::Message as _;
use steerage_core::excerpt::excerpt;
use steerage_core::otlp::BatchAnswer;

use super::grpc;
use super::message::ExportTracesAnswer;
use super::settings::{CollectorHeaders, CollectorUrl, OtlpProtocol, OtlpSettings};
use crate::connector::{Connector, connector, http2_connector};

/// Longest time to reach a collector, or the whole time of a request where that is less.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// So much of an answer is read, and so much of it shown: bytes.
const LARGEST_ANSWER: usize = 64 << 10;
const SHOWN: usize = 200;

/// Sends batches.
#[derive(Debug)]
pub(super) struct SpanSender {
    connections: Connections<Connector, Full<Bytes>>,
    url: CollectorUrl,
    protocol: OtlpProtocol,
    headers: CollectorHeaders,
    timeout: Duration,
}

impl SpanSender {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn new(url: &CollectorUrl, settings: &OtlpSettings) -> io::Result<Self> {
        let (within, protocol) = (CONNECT_TIMEOUT.min(settings.timeout), settings.protocol);
        let mut connections = Connections::builder(TokioExecutor::new());
        let connections = match protocol {
            OtlpProtocol::Http => connections.build(connector(within)?),
            OtlpProtocol::Grpc => connections.http2_only(true).build(http2_connector(within)?),
        };
        Ok(Self {
            connections,
            protocol,
            url: url.clone(),
            headers: settings.headers.clone(),
            timeout: settings.timeout,
        })
    }

    /// Where it sends.
    pub(super) fn place(&self) -> String {
        self.url.place()
    }

    /// Sends a message; what became of it, and why something of it was lost, if anything was.
    pub(super) async fn send(&self, message: Bytes) -> (BatchAnswer, String) {
        match tokio::time::timeout(self.timeout, self.ask(message)).await {
            Ok(answered) => answered,
            Err(_) => {
                let why = format!("it does not answer within {:?}", self.timeout);
                (BatchAnswer::InDoubt, why)
            }
        }
    }

    async fn ask(&self, message: Bytes) -> (BatchAnswer, String) {
        let (message, content_type) = match self.protocol {
            OtlpProtocol::Http => (message, "application/x-protobuf"),
            OtlpProtocol::Grpc => (grpc::framed(&message), "application/grpc"),
        };
        let mut request = Request::new(Full::new(message));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.url.uri().clone();
        let headers = request.headers_mut();
        let ours = concat!("steerage/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(ours));
        for (name, value) in self.headers.each() {
            headers.insert(name, value.clone());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if self.protocol == OtlpProtocol::Grpc {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        match self.connections.request(request).await {
            Ok(response) => self.understand(response).await,
            Err(error) if error.is_connect() => (BatchAnswer::NotReached, last_cause(&error)),
            Err(error) => (BatchAnswer::InDoubt, last_cause(&error)),
        }
    }

    async fn understand(&self, response: Response<Incoming>) -> (BatchAnswer, String) {
        let status = response.status();
        let answer = meant(status, response.headers(), SystemTime::now());
        let head = response.headers().clone();
        // Read also where it says nothing new: the connection can be used again then. It ends with the
        // time of the whole request.
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
        let trailers = body.as_ref().ok().and_then(|body| body.trailers().cloned());
        let mut body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let is_taken = matches!(answer, BatchAnswer::Taken { .. });
        if is_taken && self.protocol == OtlpProtocol::Grpc {
            let (answer, why) = grpc::meant(&trailers.unwrap_or(head));
            if !matches!(answer, BatchAnswer::Taken { .. }) {
                return (answer, excerpt(SHOWN, why));
            }
            body = grpc::unframed(body);
        }
        if is_taken {
            let told = ExportTracesAnswer::decode(body).ok().and_then(|told| told.partial_success);
            let told = told.unwrap_or_default();
            let rejected = u64::try_from(told.rejected_spans).unwrap_or(0);
            let why = match rejected {
                0 => "it takes them too slowly".to_owned(),
                _ => excerpt(SHOWN, format_args!("it rejects {rejected}: {}", told.error_message)),
            };
            return (BatchAnswer::Taken { rejected }, why);
        }
        let text = String::from_utf8_lossy(&body);
        (answer, format!("it answers {status}: {}", excerpt(SHOWN, text.trim())))
    }
}

/// What a status says of a batch. Only these four say by the specification that it may be taken later.
fn meant(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> BatchAnswer {
    match status.as_u16() {
        200..=299 => BatchAnswer::Taken { rejected: 0 },
        429 | 502 | 503 | 504 => BatchAnswer::Later { after: after(headers, now) },
        _ => BatchAnswer::Refused,
    }
}

/// How long a collector wants not to be asked, in milliseconds: it says seconds, or until when.
fn after(headers: &HeaderMap, now: SystemTime) -> Option<u64> {
    let said = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = said.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let until = httpdate::parse_http_date(said).ok()?;
    let left = until.duration_since(now).unwrap_or_default();
    Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}

/// The library's own words say little; the first cause says what happened.
fn last_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_four_statuses_mean_later_and_a_collector_says_when() {
        let now = SystemTime::now();
        let means = |status: u16, said: Option<&str>| {
            let said = said.map(|said| (RETRY_AFTER, HeaderValue::from_str(said).unwrap()));
            meant(StatusCode::from_u16(status).unwrap(), &said.into_iter().collect(), now)
        };
        for status in [200, 202, 299] {
            assert_eq!(means(status, None), BatchAnswer::Taken { rejected: 0 });
        }
        for status in [429, 502, 503, 504] {
            assert_eq!(means(status, None), BatchAnswer::Later { after: None });
            assert_eq!(means(status, Some("7")), BatchAnswer::Later { after: Some(7_000) });
        }
        for status in [100, 301, 400, 401, 404, 413, 500, 501, 505] {
            assert_eq!(means(status, Some("7")), BatchAnswer::Refused, "{status}");
        }
        let in_a_minute = httpdate::fmt_http_date(now + Duration::from_secs(60));
        let BatchAnswer::Later { after: Some(after) } = means(503, Some(&in_a_minute)) else {
            panic!("{in_a_minute} is a date");
        };
        assert!((59_000..=60_000).contains(&after), "{after}");
        let past = httpdate::fmt_http_date(now - Duration::from_secs(60));
        assert_eq!(means(503, Some(&past)), BatchAnswer::Later { after: Some(0) });
        assert_eq!(means(503, Some("soon")), BatchAnswer::Later { after: None });
    }
}
