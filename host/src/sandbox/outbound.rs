//! Outbound HTTP of guests: only to hosts the manifest allows, checked again after name resolution.
//! Does not follow redirects and keeps no cookies: a guest does what it wants to itself.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderName, Uri};
use http_body_util::BodyExt;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use steerage_core::outbound::{OutboundPolicy, Verdict, is_public};
use tokio::net::TcpStream;
use tower_service::Service;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Longest wait for a connection unless the guest asks for less.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept for the next call of the same deployment.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

type Answer = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

/// The way out for one deployment's calls. Connections are kept, and never shared with others.
#[derive(Clone, Debug)]
pub struct Outbound {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    policy: Arc<OutboundPolicy>,
    client: std::sync::OnceLock<Client<HttpsConnector<Checked>, WasiBody>>,
    denied: Arc<AtomicU64>,
}

impl Outbound {
    /// A way out that `policy` guards; refusals are counted in `denied`.
    #[must_use]
    pub fn new(policy: OutboundPolicy, denied: Arc<AtomicU64>) -> Self {
        let inner = Inner { policy: Arc::new(policy), client: std::sync::OnceLock::new(), denied };
        Self { inner: Arc::new(inner) }
    }

    async fn send(
        self,
        request: http::Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Answer, Error> {
        if let Verdict::Denied = self.inner.verdict(request.uri()) {
            self.inner.denied.fetch_add(1, Ordering::Relaxed);
            return Err(Error::HttpRequestDenied);
        }
        let answer = self.inner.client().request(request);
        let patience = options
            .connect_timeout
            .unwrap_or(CONNECT_TIMEOUT)
            .saturating_add(options.first_byte_timeout.unwrap_or(Duration::from_secs(600)));
        let response = match tokio::time::timeout(patience, answer).await {
            Err(_) => return Err(Error::HttpResponseTimeout),
            Ok(Err(error)) => return Err(self.inner.explain(&error)),
            Ok(Ok(response)) => response,
        };
        let done: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async { Ok(()) });
        Ok((response.map(|body| body.map_err(Error::from).boxed_unsync()), done))
    }
}

impl Inner {
    fn verdict(&self, uri: &Uri) -> Verdict {
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Verdict::Denied;
        };
        self.policy.permits(scheme, host, port(uri))
    }

    fn client(&self) -> &Client<HttpsConnector<Checked>, WasiBody> {
        self.client.get_or_init(|| {
            let connector = hyper_rustls::HttpsConnectorBuilder::new()
                .with_webpki_roots()
                .https_or_http()
                .enable_http1()
                .wrap_connector(Checked { policy: self.policy.clone() });
            Client::builder(TokioExecutor::new())
                .pool_idle_timeout(IDLE_TIMEOUT)
                .pool_timer(TokioTimer::new())
                .build(connector)
        })
    }

    /// The error a guest sees. A refused address is told apart from one that did not answer.
    fn explain(&self, error: &hyper_util::client::legacy::Error) -> Error {
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            if let Some(failure) = cause.downcast_ref::<ConnectFailure>() {
                return match failure {
                    ConnectFailure::Denied | ConnectFailure::PrivateAddress => {
                        self.denied.fetch_add(1, Ordering::Relaxed);
                        Error::DestinationIpProhibited
                    }
                    ConnectFailure::Unresolved(_) => Error::DnsError {
                        rcode: Some("name not found".to_owned()),
                        info_code: None,
                    },
                    ConnectFailure::TimedOut => Error::ConnectionTimeout,
                    ConnectFailure::Refused(_) => Error::ConnectionRefused,
                };
            }
            source = cause.source();
        }
        if error.is_connect() { Error::TlsProtocolError } else { Error::HttpProtocolError }
    }
}

impl WasiHttpHooks for Outbound {
    // The same as the default, which makes and drops a shared closure for each header.
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS.contains(name)
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answer, Error>> + Send> {
        Box::new(self.clone().send(request, options.unwrap_or_default()))
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        super::BODY_CHUNK
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        super::BODY_CHUNK
    }
}

/// Connects only to addresses the policy permits, whatever a name resolves to.
#[derive(Clone, Debug)]
struct Checked {
    policy: Arc<OutboundPolicy>,
}

#[derive(Debug, thiserror::Error)]
enum ConnectFailure {
    #[error("the app may not call this host")]
    Denied,
    #[error("the name resolves to private addresses only, and the app may not call those")]
    PrivateAddress,
    #[error("the name does not resolve")]
    Unresolved(#[source] io::Error),
    #[error("no connection in time")]
    TimedOut,
    #[error("no connection")]
    Refused(#[source] io::Error),
}

impl Service<Uri> for Checked {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let policy = self.policy.clone();
        Box::pin(async move {
            let attempt = connect(&policy, &uri);
            match tokio::time::timeout(CONNECT_TIMEOUT, attempt).await {
                Ok(result) => result,
                Err(_) => Err(ConnectFailure::TimedOut),
            }
        })
    }
}

async fn connect(policy: &OutboundPolicy, uri: &Uri) -> Result<TokioIo<TcpStream>, ConnectFailure> {
    let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(ConnectFailure::Denied);
    };
    let port = port(uri);
    let Verdict::Allowed { private_ok } = policy.permits(scheme, host, port) else {
        return Err(ConnectFailure::Denied);
    };
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let addresses =
        tokio::net::lookup_host((name, port)).await.map_err(ConnectFailure::Unresolved)?;
    let permitted: Vec<SocketAddr> =
        addresses.filter(|address| private_ok || is_public(address.ip())).collect();
    let mut last = ConnectFailure::PrivateAddress;
    for address in permitted {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // A guest's small writes should not wait for one another.
                stream.set_nodelay(true).map_err(ConnectFailure::Refused)?;
                return Ok(TokioIo::new(stream));
            }
            Err(error) => last = ConnectFailure::Refused(error),
        }
    }
    Err(last)
}

fn port(uri: &Uri) -> u16 {
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    uri.port_u16().unwrap_or(default)
}
