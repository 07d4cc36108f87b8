//! One request to a collector, by HTTP or gRPC, with its deadline, and what its answer means.
//! Does not try again.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::Client as Connections;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use prost::Message as _;
use steerage_core::otlp::BatchAnswer;

use super::grpc;
use super::message::ExportAnswer;
use super::settings::{OtlpProtocol, SignalEndpoint};
use crate::connector::{
    Connector, NoAnswer, OutsideAnswer, Roots, ask, connector_trusting, http2_connector,
};
use crate::pem;

/// Longest time to reach a collector, or the whole time of a request where that is less.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that went away without a word is noticed by a ping that it does not answer: otherwise each batch would
/// go to the dead connection and be lost, until the kernel gives it up after many minutes. There are pings only
/// while a request waits, since some collectors take those of idle connections for an attack.
const PING_AFTER: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends batches.
#[derive(Debug)]
pub(super) struct CollectorSender {
    connections: Connections<Connector, Full<Bytes>>,
    endpoint: SignalEndpoint,
}

impl CollectorSender {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// TLS cannot be set up, or the file of authorities cannot be used.
    pub(super) fn new(endpoint: &SignalEndpoint) -> io::Result<Self> {
        let within = CONNECT_TIMEOUT.min(endpoint.timeout);
        let roots = endpoint.certificate.as_deref().map(roots).transpose()?;
        let mut connections = Connections::builder(TokioExecutor::new());
        let connections = match endpoint.protocol {
            OtlpProtocol::Http => connections.build(connector_trusting(within, roots.as_ref())?),
            OtlpProtocol::Grpc => connections
                .http2_only(true)
                .timer(TokioTimer::new())
                .http2_keep_alive_interval(PING_AFTER)
                .http2_keep_alive_timeout(PING_TIMEOUT)
                .build(http2_connector(within, roots.as_ref())?),
        };
        Ok(Self { connections, endpoint: endpoint.clone() })
    }

    /// Where it sends.
    pub(super) fn authority(&self) -> String {
        self.endpoint.url.authority()
    }

    /// Sends a message, within this time or the one of the settings; what became of it, and why something of it was
    /// lost, if anything was.
    pub(super) async fn send(&self, message: Bytes, within: Duration) -> (BatchAnswer, String) {
        let within = within.min(self.endpoint.timeout);
        match ask(&self.connections, self.request(message), within).await {
            Ok(answer) => self.understand(answer).await,
            Err(NoAnswer { is_reached: true, why }) => (BatchAnswer::InDoubt, why),
            Err(NoAnswer { is_reached: false, why }) => (BatchAnswer::NotReached, why),
        }
    }

    fn request(&self, message: Bytes) -> Request<Full<Bytes>> {
        let (message, content_type) = match self.endpoint.protocol {
            OtlpProtocol::Http => (message, "application/x-protobuf"),
            OtlpProtocol::Grpc => (grpc::framed(&message), "application/grpc"),
        };
        let mut request = Request::new(Full::new(message));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.endpoint.url.uri().clone();
        let headers = request.headers_mut();
        let ours = concat!("steerage/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(ours));
        for (name, value) in self.endpoint.headers.each() {
            headers.insert(name, value.clone());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if self.endpoint.protocol == OtlpProtocol::Grpc {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        request
    }

    async fn understand(&self, mut answer: OutsideAnswer) -> (BatchAnswer, String) {
        let meant = meant(answer.head.status, &answer.head.headers, SystemTime::now());
        if !matches!(meant, BatchAnswer::Taken { .. }) {
            return (meant, answer.words().await);
        }
        // Only the whole answer says what was taken.
        let Some((mut body, trailers)) = answer.whole().await else {
            let why = "its answer breaks off or does not end in time".to_owned();
            return (BatchAnswer::InDoubt, why);
        };
        if self.endpoint.protocol == OtlpProtocol::Grpc {
            let (meant, why) = grpc::meant(trailers.as_ref().unwrap_or(&answer.head.headers));
            if !matches!(meant, BatchAnswer::Taken { .. }) {
                return (meant, answer.shown(&why));
            }
            body = grpc::unframed(body);
        }
        let told = ExportAnswer::decode(body).ok().and_then(|told| told.partial_success);
        let told = told.unwrap_or_default();
        let rejected = u64::try_from(told.rejected).unwrap_or(0);
        let why = match rejected {
            0 => "it takes them too slowly".to_owned(),
            _ => answer.shown(&format!("it rejects {rejected}: {}", told.error_message)),
        };
        (BatchAnswer::Taken { rejected }, why)
    }
}

/// The authorities in a file.
fn roots(file: &Path) -> io::Result<Roots> {
    let wrong = |why: &dyn fmt::Display| {
        let file = file.display();
        io::Error::other(format!("cannot use {file}, the certificate for a collector: {why}"))
    };
    let text = std::fs::read(file).map_err(|error| wrong(&error))?;
    let certificates = pem::certificates(&text).map_err(|why| wrong(&why))?;
    Roots::of(certificates).map_err(|error| wrong(&error))
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use hyper_util::server::conn::auto::Builder;

    use super::super::settings::Signal;
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

    /// A collector on localhost whose certificate this authority has signed, and the authority's own.
    async fn over_tls(protocol: OtlpProtocol) -> (String, String) {
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut ca = rcgen::CertificateParams::default();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = ca.self_signed(&ca_key).unwrap().pem();
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let signed = params.signed_by(&key, &issuer).unwrap();
        let key = pem::private_key(key.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        let mut config = config.with_single_cert(vec![signed.der().clone()], key).unwrap();
        let is_grpc = protocol == OtlpProtocol::Grpc;
        config.alpn_protocols = vec![if is_grpc { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("localhost:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Who does not believe it goes away.
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let answer = service_fn(async |_request: Request<Incoming>| {
                    let answer = http::Response::builder().header("grpc-status", "0");
                    Ok::<_, Infallible>(answer.body(Full::new(Bytes::new())).unwrap())
                });
                let stream = TokioIo::new(stream);
                let served = Builder::new(TokioExecutor::new());
                drop(served.serve_connection(stream, answer).await);
            }
        });
        (url, authority)
    }

    #[tokio::test]
    async fn a_collector_is_believed_whose_authority_is_in_the_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("authority.pem");
        for protocol in [OtlpProtocol::Http, OtlpProtocol::Grpc] {
            let (url, authority) = over_tls(protocol).await;
            let (_, another) = over_tls(protocol).await;
            let url = Signal::Metrics.below(&url, protocol).unwrap();
            let endpoint = SignalEndpoint { protocol, ..SignalEndpoint::at(url) };
            let at = |certificate| {
                CollectorSender::new(&SignalEndpoint { certificate, ..endpoint.clone() })
            };
            std::fs::write(&file, &authority).unwrap();
            let (answer, why) =
                at(Some(file.clone())).unwrap().send(Bytes::new(), Duration::MAX).await;
            assert_eq!(answer, BatchAnswer::Taken { rejected: 0 }, "{why}");
            std::fs::write(&file, &another).unwrap();
            // One of the file's is not the signer's, and without the file only public ones are believed.
            for certificate in [Some(file.clone()), None] {
                let (answer, why) =
                    at(certificate).unwrap().send(Bytes::new(), Duration::MAX).await;
                assert_eq!(answer, BatchAnswer::NotReached, "{why}");
                assert!(why.contains("certificate"), "{why}");
            }
            std::fs::write(&file, "no certificate").unwrap();
            let why = at(Some(file.clone())).unwrap_err().to_string();
            assert!(why.contains("authority.pem, the certificate for a collector"), "{why}");
            assert!(at(Some(folder.path().join("missing"))).is_err());
        }
    }
}
