//! HTTP/2 connections to another host for each thread that asks it: one, and more while there are so
//! many requests under way that one more would wait for another to end. What waits would wait here, where
//! no app's queue bounds it and no fairness is known: on the other host both are.
//! A connection stays with its thread, so that threads share nothing, and is made again when it broke.
//! Does not send requests.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use steerage_core::liveness::Probe;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;

use crate::identity::{Parting, Seat};

use super::{Body, CONNECTION_WINDOW, Peer, STREAM_WINDOW, STREAMS};

/// Longest wait for a connection and for the handshake on it: hosts of one fleet are near.
const CONNECT: Duration = Duration::from_millis(700);
/// How often a host is asked on each connection on which it has requests whether it is still there. A
/// connection that nobody uses says nothing: the kernel tells when a process ends, and of a machine that is
/// lost the next request hears.
const PING: Duration = Duration::from_millis(250);
/// How long it may take to say so. A machine that is shared stands still for some 20 ms now and then
/// (measured), a busy one for longer.
const PONG: Duration = Duration::from_millis(750);
/// Unsent bytes held per stream.
const SEND_BUFFER: usize = 256 << 10;
/// With so many requests under way on each connection another one is made, which takes a moment.
const BUSY: usize = STREAMS as usize / 2;
/// With so many it is waited for: some are left for requests that are counted a little late.
const FULL: usize = STREAMS as usize - 16;
/// With so few on the first one, others that have none are given up.
const CALM: usize = STREAMS as usize / 4;
/// Connections of one thread to one host: together some 7,700 requests.
const MOST: usize = 32;

/// Said of a connection whose other side is not believed any more.
const NOT_BELIEVED: &str = "invalid peer certificate: it is not believed any more";

type Slot = Arc<tokio::sync::Mutex<Pool>>;

/// The connections of one thread to one host.
#[derive(Debug, Default)]
struct Pool {
    open: Vec<Connection>,
    /// Whether another one is being made.
    is_growing: bool,
}

#[derive(Clone, Debug)]
struct Connection {
    sender: SendRequest<Body>,
    n_streams: Arc<AtomicUsize>,
    /// Whether nothing more is begun on it, since its other side is not believed any more.
    is_parting: Arc<AtomicBool>,
}

/// A request's place on a connection, given up when this is dropped.
#[derive(Debug)]
pub(super) struct Stream(Arc<AtomicUsize>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    fn new(sender: SendRequest<Body>, is_parting: Arc<AtomicBool>) -> Self {
        Self { sender, n_streams: Arc::default(), is_parting }
    }

    fn is_over(&self) -> bool {
        self.sender.is_closed() || self.is_parting.load(Ordering::Relaxed)
    }

    fn n_streams(&self) -> usize {
        self.n_streams.load(Ordering::Relaxed)
    }

    fn enter(&self) -> (SendRequest<Body>, Stream) {
        self.n_streams.fetch_add(1, Ordering::Relaxed);
        (self.sender.clone(), Stream(self.n_streams.clone()))
    }
}

impl Pool {
    /// Lets go of connections that are closed or not needed any more.
    fn tidy(&mut self) {
        self.open.retain(|connection| !connection.is_over());
        if self.open.first().is_some_and(|first| first.n_streams() < CALM) {
            while self.open.len() > 1 && self.open.pop_if(|last| last.n_streams() == 0).is_some() {}
        }
    }

    /// The first that is not busy, or else the least busy one.
    fn best(&self) -> Option<&Connection> {
        let free = self.open.iter().find(|connection| connection.n_streams() < BUSY);
        free.or_else(|| self.open.iter().min_by_key(|connection| connection.n_streams()))
    }
}

thread_local! {
    static CONNECTIONS: RefCell<HashMap<u64, Slot>> = RefCell::default();
}

/// A connection of this thread to the host with room for a request, made now where there is none.
pub(super) async fn connection(peer: &Arc<Peer>) -> Result<(SendRequest<Body>, Stream), String> {
    let slot = CONNECTIONS.with_borrow_mut(|connections| {
        if let Some(slot) = connections.get(&peer.key) {
            return slot.clone();
        }
        // What nobody uses any more belongs to runs that are over.
        connections.retain(|_, slot| {
            Arc::strong_count(slot) > 1
                || slot.try_lock().is_ok_and(|mut pool| {
                    pool.tidy();
                    !pool.open.is_empty()
                })
        });
        connections.entry(peer.key).or_default().clone()
    });
    // Others who want a connection that is being made wait for it instead of making their own.
    let mut pool = slot.lock().await;
    pool.tidy();
    let n_open = pool.open.len();
    match pool.best().map(|best| (best.n_streams(), best.enter())) {
        Some((n_streams, found)) if n_streams < FULL => {
            if n_streams >= BUSY && n_open < MOST && !pool.is_growing {
                pool.is_growing = true;
                tokio::spawn(grow(slot.clone(), peer.clone()));
            }
            return Ok(found);
        }
        Some(_) if n_open >= MOST => {
            return Err(format!(
                "{MOST} connections are full of requests that it has not answered"
            ));
        }
        _ => {}
    }
    let connection = open(peer).await?;
    let entered = connection.enter();
    pool.open.push(connection);
    Ok(entered)
}

/// Makes another connection, while requests go on over those there are.
async fn grow(slot: Slot, peer: Arc<Peer>) {
    let opened = open(&peer).await;
    let mut pool = slot.lock().await;
    pool.is_growing = false;
    pool.open.extend(opened.ok());
}

/// A connection for one question, which is in no pool and ends with what is returned.
pub(super) async fn apart(peer: &Arc<Peer>) -> Result<SendRequest<Body>, String> {
    Ok(open(peer).await?.sender)
}

/// Opens a connection that nobody shares.
async fn open(peer: &Arc<Peer>) -> Result<Connection, String> {
    match tokio::time::timeout(CONNECT, dial(peer)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => {
            let is_refused = error.kind() == io::ErrorKind::ConnectionRefused;
            peer.note_why(&error.to_string());
            peer.note(if is_refused { Probe::Refused } else { Probe::Silent });
            Err(error.to_string())
        }
        Err(_) => {
            let why = format!("no connection within {CONNECT:?}");
            peer.note_why(&why);
            peer.note(Probe::Silent);
            Err(why)
        }
    }
}

async fn dial(peer: &Arc<Peer>) -> io::Result<Connection> {
    let stream = TcpStream::connect(peer.address).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = &peer.tls else {
        return Ok(Connection::new(shake_hands(peer, stream, None).await?, Arc::default()));
    };
    let name = ServerName::try_from(peer.name.as_str().to_owned()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls.config.clone()).connect(name, stream).await?;
    let (cut, is_parting) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let part = {
        let (cut, is_parting) = (cut.clone(), is_parting.clone());
        move |parting| {
            is_parting.store(true, Ordering::Relaxed);
            if parting == Parting::Cut {
                cut.notify_one();
            }
        }
    };
    let seat = tls.believed.seat(shown, part).ok_or_else(|| io::Error::other(NOT_BELIEVED))?;
    let sender = shake_hands(peer, stream, Some((seat, cut))).await?;
    Ok(Connection::new(sender, is_parting))
}

/// A connection's place among those of hosts that are believed, and how it hears that its other side is
/// not any more.
type Believing = (Seat, Arc<Notify>);

async fn shake_hands<S>(
    peer: &Arc<Peer>,
    stream: S,
    believing: Option<Believing>,
) -> io::Result<SendRequest<Body>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .keep_alive_while_idle(false)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let peer = peer.clone();
    tokio::spawn(async move {
        let cut = async {
            match &believing {
                Some((_seat, cut)) => cut.notified().await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            ended = connection => ended.map_err(|error| super::chain(&error)),
            () = cut => Err(NOT_BELIEVED.to_owned()),
        };
        if let Err(error) = ended {
            tracing::debug!(host = %peer.name, error, "a connection to another host broke");
            peer.note_why(&error);
            // At once, long before its lease ends; whoever watches asks whether that is true.
            if peer.probe() == Probe::Answers {
                peer.note(Probe::Silent);
            }
        }
    });
    Ok(sender)
}
