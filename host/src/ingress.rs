//! The callers' door, and beside it that of the fleet's other hosts: a socket of each on every thread.
//! Does not know apps: every request goes to `request::serve`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use http::{HeaderValue, Request, Response};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::forward;
use crate::io_charge;
use crate::listener::descriptors::Descriptors;
use crate::listener::threads::Threads;
use crate::listener::upload::Upload;
use crate::listener::{self, BoxError, Listener, Service, Tls, Windows, sockets};
use crate::priority;
use crate::request::head::{Caller, Visitor};
use crate::request::{self, CallContext};
use crate::respond::ResponseBody;
use crate::sandbox::engine;
use crate::shared;

/// How the doors stand.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where callers come in; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads that read requests and write responses; one per core.
    pub n_threads: usize,
    /// What each door allows.
    pub door: listener::Settings,
    /// Where other hosts come in, if this one is not alone.
    pub peers: Option<PeerDoor>,
}

/// Where other hosts come in.
#[derive(Clone, Debug)]
pub struct PeerDoor {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How to tell hosts of the fleet from others; everybody is let in without.
    pub tls: Option<Tls>,
}

/// Whose door could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// That of callers.
    Callers,
    /// That of other hosts.
    Peers,
}

/// Open doors.
#[derive(Debug)]
pub struct Ingress {
    /// Where callers come in.
    pub listen: SocketAddr,
    /// Where other hosts come in.
    pub peers: Option<SocketAddr>,
    /// The callers' door.
    pub callers: Arc<Listener<Callers>>,
    /// That of other hosts.
    of_hosts: Option<Arc<Listener<Callers>>>,
    threads: Vec<JoinHandle<()>>,
}

/// Answers callers, or other hosts.
#[derive(Debug)]
pub struct Callers {
    /// Whether those who come in are hosts of the fleet.
    is_fleet: bool,
    /// Whether they speak TLS.
    is_tls: bool,
    context: Arc<CallContext>,
    threads: Arc<Threads>,
}

impl Service for Callers {
    type Peer = Visitor;
    type Body = ResponseBody;

    fn meet(
        &self,
        remote: SocketAddr,
        local: SocketAddr,
        shown: Option<CertificateDer<'static>>,
    ) -> Result<Visitor, BoxError> {
        let caller = Caller {
            remote,
            remote_header: HeaderValue::from_str(&remote.ip().to_string())?,
            local,
            https: self.is_tls,
            is_fleet: self.is_fleet,
        };
        Ok(Visitor { caller, shown })
    }

    fn answer(
        &self,
        visitor: &Visitor,
        request: Request<Upload>,
    ) -> impl Future<Output = Response<Self::Body>> + Send {
        request::serve(&self.context, visitor, request)
    }

    fn threads(&self) -> Option<&Arc<Threads>> {
        Some(&self.threads)
    }

    fn task(
        work: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        io_charge::charged(work)
    }
}

impl Ingress {
    /// Opens the doors. Each thread has a socket of its own on the same port, so that a connection
    /// stays on one core and threads share nothing but what one hands to another that does nothing.
    ///
    /// # Errors
    /// Whose address is taken or not ours, or the system refuses threads.
    pub fn open(
        settings: Settings,
        tls: Option<Arc<ServerConfig>>,
        context: Arc<CallContext>,
        descriptors: &Arc<Descriptors>,
    ) -> Result<Self, (Who, io::Error)> {
        let for_callers = |error| (Who::Callers, error);
        let (listen, sockets) =
            sockets::open(settings.listen, settings.n_threads).map_err(for_callers)?;
        let (shared, runtimes) = Threads::build(settings.n_threads.max(1)).map_err(for_callers)?;
        let listener = |is_fleet, tls: Option<Tls>| {
            let (is_tls, threads) = (tls.is_some(), shared.clone());
            let service = Callers { is_fleet, is_tls, context: context.clone(), threads };
            let door = listener::Settings {
                // Other hosts keep their connections, and share this door with no caller.
                ends_idle: !is_fleet,
                // All apps of a host come on one connection: a body that nobody reads keeps back no
                // other.
                windows: is_fleet.then_some(Windows {
                    n_streams: forward::STREAMS,
                    stream: forward::STREAM_WINDOW,
                    connection: forward::CONNECTION_WINDOW,
                }),
                // What other hosts do wrong is no matter of callers.
                mistaken: if is_fleet { Arc::default() } else { settings.door.mistaken.clone() },
                ..settings.door.clone()
            };
            Listener::new(service, door, tls, context.shutdown.clone(), descriptors.clone())
        };
        let callers = listener(false, tls.map(Tls::from));
        let (mut peers, mut peer_sockets) = (None, Vec::new());
        if let Some(door) = &settings.peers {
            let opened = sockets::open(door.listen, settings.n_threads);
            let (listen, sockets) = opened.map_err(|error| (Who::Peers, error))?;
            peers = Some((listen, listener(true, door.tls.clone())));
            peer_sockets = sockets;
        }
        let mut peer_sockets = peer_sockets.into_iter();
        let mut threads = Vec::with_capacity(sockets.len());
        for (place, (socket, runtime)) in sockets.into_iter().zip(runtimes).enumerate() {
            let beside = peers.as_ref().map(|(_, peers)| peers.clone()).zip(peer_sockets.next());
            let shared = shared.clone();
            let begin = move || shared.take_place(place);
            let doors = ((callers.clone(), socket), beside);
            let thread = start_thread(context.clone(), runtime, begin, doors);
            threads.push(thread.map_err(for_callers)?);
        }
        let (peers, of_hosts) = peers.unzip();
        Ok(Self { listen, peers, callers, of_hosts, threads })
    }

    /// On how many connections requests are being answered, those of other hosts included.
    #[must_use]
    pub fn n_answering(&self) -> usize {
        let of_hosts = self.of_hosts.as_ref().map_or(0, |door| door.n_answering());
        self.callers.n_answering() + of_hosts
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

/// A listener and its socket on one thread.
type Door = (Arc<Listener<Callers>>, std::net::TcpListener);

fn start_thread(
    context: Arc<CallContext>,
    runtime: Runtime,
    begin: impl FnOnce() + Send + 'static,
    (callers, peers): (Door, Option<Door>),
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("ingress".to_owned()).spawn(move || {
        begin();
        priority::prompt();
        shared::count::count_here();
        engine::ready_thread();
        runtime.block_on(async move {
            let working = tokio::task::spawn(context.cpu.work_inline());
            let shutdown = &context.shutdown;
            let accept = async |(listener, socket): Door| match TcpListener::from_std(socket) {
                Ok(socket) => listener.accept(socket, shutdown.shut()).await,
                Err(error) => tracing::error!(%error, "cannot listen"),
            };
            match peers {
                Some(peers) => drop(tokio::join!(accept(callers), accept(peers))),
                None => accept(callers).await,
            }
            shutdown.closed().await;
            working.abort();
        });
        // Connections still open belong to clients that were given their time.
        runtime.shutdown_background();
    })
}
