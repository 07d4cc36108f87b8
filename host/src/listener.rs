//! One door of the host: accepting connections, TLS, HTTP/1.1 and HTTP/2, and patience with slow
//! clients. Callers, other hosts and operators come in by one of these each.
//! Does not know what is asked: every request goes to the door's [`Service`].

mod accept;
mod connection;
pub mod descriptors;
mod drive;
mod idle;
pub mod patience;
mod progress;
mod room;
pub mod sockets;
mod streams;
pub mod threads;
mod timer;
pub mod tls;
pub mod upload;

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use steerage_core::mistaken::Mistaken;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use self::connection::{Connection, Word};
use self::descriptors::Descriptors;
use self::patience::{Answer, ClientTimeouts, Patient};
use self::room::{Entered, Room};
use self::streams::Streams;
use self::threads::{NewConnection, Threads};
use self::upload::Upload;
use crate::identity::{Believed, Parting, Seat};
use crate::shutdown::Shutdown;

/// What a request may end in that is not an answer.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How a listener stands.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Most connections at once; when there are as many, those that ask for nothing are ended.
    pub n_connections: usize,
    /// Longest waits for clients.
    pub limits: ClientTimeouts,
    /// Most bytes of a request's head.
    pub head_size: usize,
    /// Most bytes of answers that clients may leave untaken, all connections together.
    pub n_untaken: u64,
    /// Whether connections of HTTP/2 are ended that carry nothing, or nothing that their clients take,
    /// for the idle timeout. Other hosts keep theirs, and end them when they go.
    pub ends_idle: bool,
    /// What a connection of HTTP/2 may carry at once, where it is not what browsers are given.
    pub windows: Option<Windows>,
    /// Files that are kept for its connections when the process may open no more.
    pub n_files_kept: usize,
    /// Who spoke TLS where it is not spoken, or the other way round.
    pub mistaken: Arc<Mutex<Mistaken>>,
}

/// What a connection of HTTP/2 may carry at once.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// Most streams.
    pub n_streams: u32,
    /// Bytes of a request's body that may be on their way on one stream.
    pub stream: u32,
    /// The same on all of them.
    pub connection: u32,
}

/// Who answers the requests of a listener.
pub trait Service: Send + Sync + 'static {
    /// What a request's connection is known by.
    type Peer: Send + Sync + 'static;
    /// The body of an answer.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + Send + 'static;

    /// A client has come, and has shown this certificate if it was asked for one.
    ///
    /// # Errors
    /// It cannot be served.
    fn meet(
        &self,
        client: SocketAddr,
        local: SocketAddr,
        shown: Option<CertificateDer<'static>>,
    ) -> Result<Self::Peer, BoxError>;

    /// Answers a request.
    fn answer(
        &self,
        peer: &Self::Peer,
        request: Request<Upload>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// The threads that accept for this listener, where they share their work.
    fn threads(&self) -> Option<&Arc<Threads>> {
        None
    }

    /// The work on a connection, or on one stream of it, as it is to be run.
    fn task(
        work: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        work
    }
}

/// A door and who is in it. Shared by the threads that accept.
#[derive(Debug)]
pub struct Listener<S> {
    service: Arc<S>,
    settings: Settings,
    tls: Option<Arc<ServerConfig>>,
    /// Who is let in by the certificate that they show; nobody is asked for one without.
    believed: Option<Arc<Believed>>,
    shutdown: Shutdown,
    room: Arc<Room>,
    descriptors: Arc<Descriptors>,
}

/// How a listener speaks TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificates, and how they are checked.
    pub config: Arc<ServerConfig>,
    /// Who is let in by the certificate that they show; nobody is asked for one without.
    pub believed: Option<Arc<Believed>>,
}

impl From<Arc<ServerConfig>> for Tls {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self { config, believed: None }
    }
}

/// Most bytes that a connection of HTTP/1.1 holds of what it has read, and of what it has to write. hyper's
/// own 400 KiB would be used up for each slow reader, since pieces of bodies are large.
const H1_BUFFER: usize = 128 << 10;
/// Most a client may have in flight: longest unsent remainder held per HTTP/2 stream.
const H2_SEND_BUFFER: usize = 64 << 10;
/// Most HTTP/2 streams at once on one connection.
const H2_STREAMS: u32 = 256;
/// How often an HTTP/2 client is asked whether it is still there.
const H2_PING: Duration = Duration::from_secs(30);
/// After this the runtime has looked at its sockets: the shortest time that a timer takes.
const LOOKED_AT: Duration = Duration::from_millis(1);

impl<S: Service> Listener<S> {
    /// A door to this service.
    pub fn new(
        service: S,
        settings: Settings,
        tls: Option<Tls>,
        shutdown: Shutdown,
        descriptors: Arc<Descriptors>,
    ) -> Arc<Self> {
        let room = Room::new(settings.n_connections, settings.n_untaken);
        let service = Arc::new(service);
        let (tls, believed) = tls.map(|tls| (tls.config, tls.believed)).unzip();
        let believed = believed.flatten();
        Arc::new(Self { service, settings, tls, believed, shutdown, room, descriptors })
    }

    /// How many connections are open, to be read whenever somebody asks.
    #[must_use]
    pub fn n_open(&self) -> Arc<AtomicU64> {
        self.room.n_open()
    }

    /// Who spoke TLS where it is not spoken, or the other way round.
    #[must_use]
    pub fn mistaken(&self) -> Arc<Mutex<Mistaken>> {
        self.settings.mistaken.clone()
    }

    /// On how many connections requests are being answered.
    #[must_use]
    pub fn n_answering(&self) -> usize {
        self.room.n_answering()
    }

    /// The same, and how many connections there may be.
    #[must_use]
    pub fn answering(&self) -> (usize, usize) {
        (self.n_answering(), self.settings.n_connections)
    }

    /// Whether nobody is connected, nor was for so long.
    #[must_use]
    pub fn is_quiet(&self, span: Duration) -> bool {
        self.room.is_quiet(span)
    }

    async fn converse(
        &self,
        stream: NewConnection,
        client: SocketAddr,
        entered: &Entered,
    ) -> Result<(), BoxError> {
        let stream = stream.arrive()?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let connection = &entered.connection;
        // A connection that is made room of, or that the end of the host finds without a request,
        // ends here; later its driver hears of it.
        let told = async {
            std::future::poll_fn(|context| connection.poll_told(None, context)).await;
            // What the client has written by now is known once the runtime has looked at its sockets, which
            // it does before a timer ends. To give way once would not do: that is over as soon as anybody
            // wakes this task, as the other threads of the door do that tell it to finish.
            tokio::time::sleep(LOOKED_AT).await;
        };
        let begun = tokio::select! {
            biased;
            begun = tokio::time::timeout(self.settings.limits.head, self.begin(stream, entered)) => begun??,
            () = told => return Ok(()),
        };
        match begun {
            Begun::Plain(stream, is_http2) => {
                let peer = self.service.meet(client, local, None)?;
                self.talk(stream, peer, is_http2, entered).await
            }
            Begun::Tls(stream, is_http2, seat) => {
                let shown = seat.as_ref().and_then(Seat::shown);
                let peer = self.service.meet(client, local, shown)?;
                self.talk(*stream, peer, is_http2, entered).await
            }
        }
    }

    /// Learns which version the client speaks.
    async fn begin(&self, stream: TcpStream, entered: &Entered) -> Result<Begun, BoxError> {
        let (connection, limits) = (entered.connection.clone(), self.settings.limits);
        let Some(tls) = &self.tls else {
            let mut stream = Patient::new(stream, connection, limits);
            let is_http2 = stream.begins_http2().await?;
            if stream.begins_tls() {
                tls::note_mistaken(&self.settings.mistaken);
            }
            return Ok(Begun::Plain(stream, is_http2));
        };
        let accepted = TlsAcceptor::from(tls.clone()).accept(stream).await;
        let is_mistaken = accepted.as_ref().is_err_and(tls::speaks_none);
        if is_mistaken {
            tls::note_mistaken(&self.settings.mistaken);
        }
        let stream = accepted?;
        let seat = self.seat(stream.get_ref().1.peer_certificates(), &connection)?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = Patient::new(stream, connection, limits);
        let stream = if is_http2 { stream.http2() } else { stream };
        Ok(Begun::Tls(Box::new(stream), is_http2, seat))
    }

    /// Has a connection ended once who has come in is not believed any more.
    fn seat(
        &self,
        shown: Option<&[CertificateDer<'_>]>,
        connection: &Arc<Connection>,
    ) -> Result<Option<Seat>, BoxError> {
        let Some(believed) = &self.believed else { return Ok(None) };
        let connection = connection.clone();
        let seat = believed.seat(shown.unwrap_or_default(), move |parting| {
            connection.tell(match parting {
                Parting::Finish => Word::Finish,
                Parting::Cut => Word::End,
            });
        });
        Ok(Some(seat.ok_or("it is not believed any more")?))
    }

    async fn talk<T>(
        &self,
        stream: Patient<T>,
        peer: S::Peer,
        is_http2: bool,
        entered: &Entered,
    ) -> Result<(), BoxError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // One count a request, and of this connection alone: those of the whole host are shared by all
        // threads.
        let parts = Parts {
            service: self.service.clone(),
            shutdown: self.shutdown.clone(),
            connection: entered.connection.clone(),
            peer,
        };
        let parts = Arc::new(parts);
        let service = service_fn(move |request: Request<Incoming>| {
            let parts = parts.clone();
            let answering = parts.connection.answer();
            let request = Upload::of(request, &parts.connection);
            async move {
                let mut response = parts.service.answer(&parts.peer, request).await;
                if !is_http2 && parts.shutdown.has_begun() {
                    let headers = response.headers_mut();
                    headers.insert(CONNECTION, HeaderValue::from_static("close"));
                }
                let answer = response.map(|body| Answer::new(body, is_http2, answering));
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        let stream = TokioIo::new(stream);
        if is_http2 {
            let connection = self.http2(entered).serve_connection(stream, service);
            self.drive(connection, http2::Connection::graceful_shutdown, entered, true).await
        } else {
            let connection = self.http1().serve_connection(stream, service);
            self.drive(connection, http1::Connection::graceful_shutdown, entered, false).await
        }
    }

    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        // `Patient` times heads; without a timer hyper does not.
        builder
            .header_read_timeout(None)
            .max_header_size(self.settings.head_size)
            .max_buf_size(H1_BUFFER.max(self.settings.head_size));
        builder
    }

    fn http2(&self, entered: &Entered) -> http2::Builder<Streams<S>> {
        let threads = self.service.threads().cloned();
        let streams = Streams::new(entered, self.room.clone(), &self.settings, threads);
        let mut builder = http2::Builder::new(streams);
        let head_size = u32::try_from(self.settings.head_size).unwrap_or(u32::MAX);
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(H2_PING)
            .keep_alive_timeout(self.settings.limits.head)
            .max_concurrent_streams(H2_STREAMS)
            .max_header_list_size(head_size)
            .max_send_buf_size(H2_SEND_BUFFER);
        if let Some(windows) = self.settings.windows {
            builder
                .max_concurrent_streams(windows.n_streams)
                .initial_stream_window_size(windows.stream)
                .initial_connection_window_size(windows.connection);
        }
        builder
    }
}

/// What each request of a connection needs.
struct Parts<S: Service> {
    service: Arc<S>,
    shutdown: Shutdown,
    connection: Arc<Connection>,
    peer: S::Peer,
}

/// A connection whose version is known.
enum Begun {
    Plain(Patient<TcpStream>, bool),
    Tls(Box<Patient<tokio_rustls::server::TlsStream<TcpStream>>>, bool, Option<Seat>),
}
