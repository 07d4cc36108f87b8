//! One HTTP/2 connection to another host for each thread that asks it. A connection stays with its
//! thread, so that threads share nothing, and is made again when it broke.
//! Does not send requests.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Body, Health, Peer};

/// Longest wait for a connection and for the handshake on it: hosts of one fleet are near.
const CONNECT: Duration = Duration::from_millis(700);
/// How often a host is asked on each connection whether it is still there.
const PING: Duration = Duration::from_millis(250);
/// How long it may take to say so. A machine that is shared stands still for some 20 ms now and then
/// (measured), a busy one for longer.
const PONG: Duration = Duration::from_millis(750);
/// Unsent bytes held per stream.
const SEND_BUFFER: usize = 256 << 10;
/// What a stream may have under way towards us.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same for all streams of a connection together.
const CONNECTION_WINDOW: u32 = 8 << 20;

type Slot = Arc<tokio::sync::Mutex<Option<SendRequest<Body>>>>;

thread_local! {
    static CONNECTIONS: RefCell<HashMap<u64, Slot>> = RefCell::default();
}

/// This thread's connection to the host, made now where there is none.
pub(super) async fn connection(peer: &Arc<Peer>) -> Result<SendRequest<Body>, String> {
    let slot = CONNECTIONS.with_borrow_mut(|connections| {
        if let Some(slot) = connections.get(&peer.key) {
            return slot.clone();
        }
        // What nobody uses any more belongs to runs that are over.
        connections.retain(|_, slot| {
            Arc::strong_count(slot) > 1
                || slot
                    .try_lock()
                    .is_ok_and(|sender| sender.as_ref().is_some_and(|sender| !sender.is_closed()))
        });
        connections.entry(peer.key).or_default().clone()
    });
    // Others who want the same connection wait for it instead of making their own.
    let mut kept = slot.lock().await;
    if let Some(sender) = &*kept
        && !sender.is_closed()
    {
        return Ok(sender.clone());
    }
    *kept = None;
    let sender = open(peer).await?;
    *kept = Some(sender.clone());
    Ok(sender)
}

/// Opens a connection that nobody shares.
pub(super) async fn open(peer: &Arc<Peer>) -> Result<SendRequest<Body>, String> {
    match tokio::time::timeout(CONNECT, dial(peer)).await {
        Ok(Ok(sender)) => Ok(sender),
        Ok(Err(error)) => {
            let is_gone = error.kind() == io::ErrorKind::ConnectionRefused;
            peer.note(if is_gone { Health::Gone } else { Health::Silent });
            Err(error.to_string())
        }
        Err(_) => {
            peer.note(Health::Silent);
            Err(format!("no connection within {CONNECT:?}"))
        }
    }
}

async fn dial(peer: &Arc<Peer>) -> io::Result<SendRequest<Body>> {
    let stream = TcpStream::connect(peer.address).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = &peer.tls else { return shake_hands(peer, stream).await };
    let name = ServerName::try_from(peer.name.as_str().to_owned()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls.clone()).connect(name, stream).await?;
    shake_hands(peer, stream).await
}

async fn shake_hands<S>(peer: &Arc<Peer>, stream: S) -> io::Result<SendRequest<Body>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let peer = peer.clone();
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(host = %peer.name, %error, "a connection to another host broke");
            // At once, long before its lease ends; whoever watches asks whether that is true.
            if peer.health() == Health::Answers {
                peer.note(Health::Silent);
            }
        }
    });
    Ok(sender)
}
