//! The callers' door, and beside it that of the fleet's other hosts: sockets, TLS, HTTP/1.1 and
//! HTTP/2, and patience with slow clients.
//! Does not know apps: every request goes to `request::serve`.

pub mod patience;
mod sockets;
pub mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http::HeaderValue;
use http::header::CONNECTION;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use self::patience::Patient;
pub use self::sockets::BACKLOG;
use self::sockets::{sockets, sockets_for_peers};
use crate::forward;
use crate::priority;
use crate::request::head::Peer;
use crate::request::{self, Front};
use crate::sandbox::engine;
use crate::schedule::errand;

/// How the door stands.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads that read requests and write responses; one per core.
    pub n_threads: usize,
    /// Most connections at once; more wait in the kernel's queue.
    pub n_connections: usize,
    /// Longest wait for a request's head, and for a TLS handshake.
    pub head_timeout: Duration,
    /// Longest wait on a connection that moves no byte while nothing is being computed for it.
    pub idle_timeout: Duration,
    /// Most bytes of a request's head.
    pub head_size: usize,
    /// How to speak TLS; plain text without.
    pub tls: Option<tls::Files>,
    /// Where other hosts come in, if this one is not alone.
    pub peers: Option<PeerDoor>,
    /// How long callers are still let in once the host is ending, so that those who choose hosts see
    /// that it is not ready before it is gone. Makes sense where others answer meanwhile.
    pub lame_duck: Duration,
}

/// Where other hosts come in.
#[derive(Clone, Debug)]
pub struct PeerDoor {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How to tell hosts of the fleet from others; everybody is let in without.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// Longest unsent remainder held per HTTP/2 stream.
const H2_SEND_BUFFER: usize = 64 << 10;
/// Most HTTP/2 streams at once on one connection.
const H2_STREAMS: u32 = 256;
/// How often an HTTP/2 client is asked whether it is still there.
const H2_PING: Duration = Duration::from_secs(30);
/// Bytes that tell HTTP/2 from HTTP/1.
const FIRST_BYTES: usize = 3;

/// An open door.
#[derive(Debug)]
pub struct Ingress {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it listens for other hosts.
    pub peers: Option<SocketAddr>,
    /// Open connections.
    pub connections: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

struct Door {
    /// Whether those who come in are hosts of the fleet.
    is_fleet: bool,
    front: Arc<Front>,
    settings: Settings,
    tls: Option<TlsAcceptor>,
    room: Arc<Semaphore>,
    connections: Arc<AtomicU64>,
}

impl Ingress {
    /// Opens the door. Each thread has a socket of its own on the same port, so that a connection
    /// stays on one core and threads share nothing.
    ///
    /// # Errors
    /// The address is taken or not ours, or the TLS files are unusable.
    pub fn open(settings: Settings, front: Arc<Front>) -> io::Result<Self> {
        let tls = settings.tls.as_ref().map(tls::acceptor).transpose()?;
        let (listen, sockets) = sockets(settings.listen, settings.n_threads)?;
        let connections = Arc::new(AtomicU64::new(0));
        let room = Arc::new(Semaphore::new(settings.n_connections));
        let callers = Arc::new(Door {
            is_fleet: false,
            front: front.clone(),
            tls,
            room,
            connections: connections.clone(),
            settings: settings.clone(),
        });
        let (mut peers, mut peer_sockets) = (None, Vec::new());
        if let Some(door) = &settings.peers {
            let (listen, sockets) = sockets_for_peers(door.listen, settings.n_threads)?;
            let door = Door {
                is_fleet: true,
                front,
                tls: door.tls.clone().map(TlsAcceptor::from),
                // As many as there are hosts and threads of theirs, which no caller can take away.
                room: Arc::new(Semaphore::new(settings.n_connections)),
                connections: Arc::default(),
                settings: settings.clone(),
            };
            peers = Some((listen, Arc::new(door)));
            peer_sockets = sockets;
        }
        let mut peer_sockets = peer_sockets.into_iter();
        let mut threads = Vec::with_capacity(sockets.len());
        for socket in sockets {
            let door = callers.clone();
            let beside = peers.as_ref().map(|(_, door)| door.clone()).zip(peer_sockets.next());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let thread = thread::Builder::new().name("ingress".to_owned()).spawn(move || {
                priority::prompt();
                engine::ready_thread();
                runtime.block_on(async move {
                    let helping = tokio::task::spawn(door.front.schedule.help());
                    match beside {
                        Some((peers, peer_socket)) => {
                            tokio::join!(door.accept(socket), peers.accept(peer_socket));
                        }
                        None => door.accept(socket).await,
                    }
                    helping.abort();
                });
                // Connections still open belong to clients that were given their time.
                runtime.shutdown_background();
            })?;
            threads.push(thread);
        }
        let peers = peers.map(|(listen, _)| listen);
        Ok(Self { listen, peers, connections, threads })
    }

    /// Waits until all threads have ended, which they do once a shutdown has drained.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("an ingress thread panicked");
            }
        }
    }
}

impl Door {
    async fn accept(self: Arc<Self>, socket: std::net::TcpListener) {
        let listener = match TcpListener::from_std(socket) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "cannot listen");
                return;
            }
        };
        let mut ending = std::pin::pin!(self.closing());
        loop {
            let accepted = tokio::select! {
                biased; // The end comes first, or a flood of connections would delay it.
                () = &mut ending => break,
                accepted = self.accept_one(&listener) => accepted,
            };
            match accepted {
                Ok((stream, remote, room)) => {
                    let door = self.clone();
                    let connection = async move {
                        door.serve(stream, remote).await;
                        drop(room);
                    };
                    tokio::task::spawn(errand::charged(connection));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: wait for some to be closed.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(listener);
        self.front.shutdown.closed().await;
    }

    /// Returns once nobody is let in any more.
    async fn closing(&self) {
        let shutdown = &self.front.shutdown;
        shutdown.begun().await;
        tokio::select! {
            () = tokio::time::sleep(self.settings.lame_duck) => {}
            () = shutdown.closed() => {}
        }
    }

    async fn accept_one(
        &self,
        listener: &TcpListener,
    ) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
        let (stream, remote) = listener.accept().await?;
        // In this order, since room that one thread holds for whoever comes is missing to another
        // that somebody has come to.
        let room = self.room.clone().acquire_owned().await.map_err(io::Error::other)?;
        Ok((stream, remote, room))
    }

    async fn serve(&self, stream: TcpStream, remote: SocketAddr) {
        let counted = Counted::enter(&self.connections);
        // The end of the host waits for this: told to end, a connection finishes what it has.
        let busy = self.front.shutdown.busy();
        if let Err(error) = self.converse(stream, remote).await {
            tracing::debug!(%remote, %error, "connection ended");
        }
        drop((busy, counted));
    }

    async fn converse(&self, stream: TcpStream, remote: SocketAddr) -> Result<(), BoxError> {
        stream.set_nodelay(true)?;
        let peer = Peer {
            remote,
            remote_header: HeaderValue::from_str(&remote.ip().to_string())?,
            local: stream.local_addr()?,
            https: self.tls.is_some(),
            is_fleet: self.is_fleet,
        };
        let Some(acceptor) = &self.tls else {
            let is_http2 = within(self.settings.head_timeout, speaks_http2(&stream)).await??;
            let stream = Patient::new(stream, self.settings.idle_timeout);
            return self.talk(stream, peer, is_http2).await;
        };
        let stream = within(self.settings.head_timeout, acceptor.accept(stream)).await??;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = Patient::new(stream, self.settings.idle_timeout);
        self.talk(stream, peer, is_http2).await
    }

    async fn talk<S>(&self, stream: Patient<S>, peer: Peer, is_http2: bool) -> Result<(), BoxError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let front = self.front.clone();
        let (activity, closes) = (stream.activity(), !self.settings.lame_duck.is_zero());
        let peer = Arc::new(peer);
        let service = service_fn(move |request| {
            let (front, peer, working) = (front.clone(), peer.clone(), activity.enter());
            async move {
                let is_http1 = request.version() < http::Version::HTTP_2;
                let mut reply = request::serve(&front, &peer, request).await;
                if closes && is_http1 && front.shutdown.has_begun() {
                    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, std::convert::Infallible>(reply.map(|body| working.on(body)))
            }
        });
        let stream = TokioIo::new(stream);
        if is_http2 {
            let connection = self.http2().serve_connection(stream, service);
            drive(connection, self.closing(), http2::Connection::graceful_shutdown).await
        } else {
            let connection = self.http1().serve_connection(stream, service);
            drive(connection, self.closing(), http1::Connection::graceful_shutdown).await
        }
    }

    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.settings.head_timeout)
            .max_header_size(self.settings.head_size);
        builder
    }

    fn http2(&self) -> http2::Builder<Streams> {
        let mut builder = http2::Builder::new(Streams);
        let head_size = u32::try_from(self.settings.head_size).unwrap_or(u32::MAX);
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(H2_PING)
            .keep_alive_timeout(self.settings.head_timeout)
            .max_concurrent_streams(H2_STREAMS)
            .max_header_list_size(head_size)
            .max_send_buf_size(H2_SEND_BUFFER);
        if self.is_fleet {
            // All apps of a host come on one connection: a body that nobody reads keeps back no other.
            builder
                .max_concurrent_streams(forward::STREAMS)
                .initial_stream_window_size(forward::STREAM_WINDOW)
                .initial_connection_window_size(forward::CONNECTION_WINDOW);
        }
        builder
    }
}

/// Starts what hyper does for each HTTP/2 stream.
#[derive(Clone, Debug)]
struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::task::spawn(errand::charged(stream));
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Serves a connection until it ends, or asks it to end when the host does.
async fn drive<C>(
    connection: C,
    closing: impl Future<Output = ()>,
    end: fn(std::pin::Pin<&mut C>),
) -> Result<(), BoxError>
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = &mut connection => return Ok(ended?),
        () = closing => {}
    }
    end(connection.as_mut());
    Ok(connection.await?)
}

/// Looks at the first bytes of a plain connection: HTTP/2 clients with prior knowledge begin with
/// `PRI`, which no HTTP/1 method is.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut start = [0; FIRST_BYTES];
    loop {
        let n_read = stream.peek(&mut start).await?;
        let seen = start.get(..n_read).unwrap_or_default();
        if n_read == 0 || !b"PRI".starts_with(seen) {
            return Ok(false);
        }
        if n_read == FIRST_BYTES {
            return Ok(true);
        }
        // Less than three bytes have come: what is there keeps the socket readable, so wait a
        // moment instead of spinning.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, BoxError> {
    Ok(tokio::time::timeout(limit, work).await?)
}

/// Counts a connection for as long as it is open.
struct Counted<'c>(&'c AtomicU64);

impl<'c> Counted<'c> {
    fn enter(count: &'c AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
