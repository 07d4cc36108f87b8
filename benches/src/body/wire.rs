//! Clients that send and take large bodies, over each version of HTTP.
//! Measures nothing.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Bytes of a piece that is sent.
const PIECE: u64 = 64 << 10;
/// Windows of HTTP/2: as large as browsers have theirs.
const WINDOW: u32 = 6 << 20;
const NAME: &str = "localhost";

/// How a body travels.
#[derive(Clone, Copy)]
pub(super) enum Wire<'c> {
    Http1,
    Http2,
    /// HTTP/2 over TLS.
    Tls(&'c Certificate),
}

/// A certificate that nobody but this bench trusts.
pub(super) struct Certificate {
    pub(super) cert: String,
    pub(super) key: String,
    config: Arc<ClientConfig>,
}

impl Certificate {
    pub(super) fn new() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let mut config =
            ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            cert: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            config: Arc::new(config),
        })
    }
}

/// Sends so many bytes; says how many came back.
pub(super) async fn echoed(
    address: SocketAddr,
    path: &str,
    wire: Wire<'_>,
    n_bytes: u64,
) -> Result<u64> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let piece = Bytes::from(vec![b'x'; usize::try_from(PIECE)?]);
    let pieces = stream::unfold(n_bytes, move |left| {
        let length = left.min(PIECE);
        let piece = piece.slice(..usize::try_from(length).unwrap_or(0));
        let frame = Ok::<_, Infallible>(Frame::data(piece));
        async move { (left > 0).then_some((frame, left - length)) }
    });
    let body = StreamBody::new(Box::pin(pieces));
    let request = Request::post(match wire {
        Wire::Http1 => path.to_owned(),
        Wire::Http2 => format!("http://{NAME}{path}"),
        Wire::Tls(_) => format!("https://{NAME}{path}"),
    });
    match wire {
        Wire::Http1 => {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            let request = request.header("host", NAME).body(body)?;
            length_of(sender.send_request(request).await?).await
        }
        Wire::Http2 => over_http2(stream, request.body(body)?).await,
        Wire::Tls(certificate) => {
            let connector = TlsConnector::from(certificate.config.clone());
            let stream = connector.connect(ServerName::try_from(NAME)?, stream).await?;
            over_http2(stream, request.body(body)?).await
        }
    }
}

async fn over_http2<S, B>(stream: S, request: Request<B>) -> Result<u64>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(connection);
    length_of(sender.send_request(request).await?).await
}

async fn length_of(response: Response<Incoming>) -> Result<u64> {
    ensure!(response.status() == 200, "answered with {}", response.status());
    let (mut body, mut length) = (response.into_body(), 0);
    while let Some(frame) = body.frame().await {
        length += frame?.data_ref().map_or(0, Bytes::len) as u64;
    }
    Ok(length)
}

/// Asks, and reads a little now and then, for as long as the server goes on.
pub(super) async fn read_slowly(address: SocketAddr, path: String) -> Result<()> {
    let mut stream = TcpStream::connect(address).await.context("cannot connect")?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut sip = [0; 4096];
    while stream.read(&mut sip).await? > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
