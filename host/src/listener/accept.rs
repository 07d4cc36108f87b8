//! Accepting connections until the door shuts, and starting the work on each where it is best.
//! Does not know what is said on them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::descriptors::SpareFiles;
use super::room::Entered;
use super::threads::Placed;
use super::{Listener, Service};

/// Wait after a connection that could not be accepted: out of files, most likely.
const BREATH: Duration = Duration::from_millis(50);

impl<S: Service> Listener<S> {
    /// Accepts connections until `ending`; those that are open finish what they have then.
    pub async fn accept(self: Arc<Self>, socket: TcpListener, ending: impl Future<Output = ()>) {
        let mut ending = std::pin::pin!(ending);
        let mut kept = SpareFiles::open(self.settings.n_files_kept);
        let mut is_out = false;
        loop {
            if !is_out {
                // Otherwise the file that was just released would be taken from who waits for it.
                kept.refill();
            }
            let accepted = tokio::select! {
                biased; // The end comes first, or a flood of connections would delay it.
                () = &mut ending => break,
                accepted = socket.accept() => accepted,
            };
            let (stream, client) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    is_out = self.descriptors.is_out(&error);
                    if is_out && kept.release() {
                        continue;
                    }
                    tracing::debug!(%error, "cannot accept a connection");
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            };
            is_out = false;
            // In this order, since room that one thread holds for whoever comes is missing to another
            // that somebody has come to.
            let entered = tokio::select! {
                biased;
                () = &mut ending => {
                    self.start_if_room(stream, client);
                    break;
                }
                entered = self.room.enter(client.ip()) => entered,
            };
            let Some(entered) = entered else { break };
            self.start(stream, client, entered);
        }
        self.start_waiting(socket);
        self.room.finish();
    }

    /// Starts the work on connections that the kernel has taken and nobody has accepted: were the socket
    /// closed over them, they would be reset, and what their clients have asked would be lost.
    fn start_waiting(self: &Arc<Self>, socket: TcpListener) {
        let Ok(socket) = socket.into_std() else { return };
        // No more than there may be at once, or a flood of connections would delay the end.
        for _ in 0..self.settings.n_connections {
            // It does not block: an error is that none waits, most often.
            let Ok((stream, client)) = socket.accept() else { return };
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            match stream {
                Ok(stream) => self.start_if_room(stream, client),
                Err(error) => tracing::debug!(%client, %error, "connection ended"),
            }
        }
    }

    /// Starts the work on a connection where there is room for it just now.
    fn start_if_room(self: &Arc<Self>, stream: TcpStream, client: SocketAddr) {
        if let Some(Some(entered)) = self.room.enter(client.ip()).now_or_never() {
            self.start(stream, client, entered);
        }
    }

    /// Starts the work on a connection, on the thread where it is best.
    fn start(self: &Arc<Self>, stream: TcpStream, client: SocketAddr, entered: Entered) {
        let placed = self.service.threads().map_or_else(Placed::here, |it| it.for_connection());
        let (counted, start) = placed.split();
        let stream = match start.take(stream) {
            Ok(stream) => stream,
            Err(error) => return tracing::debug!(%client, %error, "connection ended"),
        };
        let listener = self.clone();
        // The end of the host waits for this: told to end, a connection finishes what it has.
        let busy = self.shutdown.busy();
        start.spawn(S::task(async move {
            if let Err(error) = listener.converse(stream, client, &entered).await {
                tracing::debug!(%client, %error, "connection ended");
            }
            drop((entered, counted, busy));
        }));
    }
}
