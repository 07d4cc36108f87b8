//! Requests to the other hosts of the fleet: pooled HTTP/2, connections for each thread and host,
//! and what is known of whether a host answers.
//! Does not decide which host is asked, and does not ask another one: `request` does.

mod body;
mod connect;
mod state;
mod watch;
mod why;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use steerage_core::id::HostName;
use steerage_core::liveness::{self, Evidence, Eyes, LeaseState, Liveness, Probe, Run};
use tokio::sync::Notify;
use tokio::sync::watch as tokio_watch;

pub use self::body::{Body, BodyError, no_body, whole_body};
use self::state::KnownState;
pub use self::watch::keep_watch;
pub use self::why::Silence;
use crate::identity::{Believed, Outgoing};

/// Clocks differ that are so many seconds apart: far more than an answer takes, and less than anybody
/// who looks at times of two hosts would take for the same.
const CLOCKS_DIFFER: i64 = 30;

/// Requests that a host takes at once on one connection from another one.
pub const STREAMS: u32 = 256;
/// Bytes of one body that may be under way unread, in either direction. On a network with an answer in
/// 2 ms this is still 60 MB a second for one body.
pub const STREAM_WINDOW: u32 = 128 << 10;
/// The same of a whole connection: as much as all bodies on it together, so that those which nobody
/// reads never keep back another one.
pub const CONNECTION_WINDOW: u32 = STREAMS * STREAM_WINDOW;

/// Where hosts ask each other what they know of a third one.
pub const HOSTS: &str = "/.well-known/steerage/fleet/hosts/";

/// Where hosts ask each other what they know of calls, lines, events and counters; what is asked for
/// follows as in the control API.
pub const OBSERVED: &str = "/.well-known/steerage/fleet/api";

/// Where a host asks another one, which has the authority's key, to sign what it sends.
pub const CERTIFICATES: &str = "/.well-known/steerage/fleet/certificate";

/// In this header of its answer a host says which of its runs it is, where it is asked for itself.
pub const RUN: HeaderName = HeaderName::from_static("x-steerage-run");

/// What came of asking a host, as hosts call it among themselves.
const PROBES: [(Probe, &str); 3] =
    [(Probe::Answers, "answers"), (Probe::Silent, "silent"), (Probe::Refused, "gone")];

/// What hosts call it among themselves.
#[must_use]
pub fn name_of(probe: Probe) -> &'static str {
    PROBES.iter().find(|(named, _)| *named == probe).map_or("unknown", |(_, name)| name)
}

/// The other hosts. Clones share them.
#[derive(Clone, Debug)]
pub struct Peers {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    tls: Option<Outgoing>,
    by_name: Mutex<BTreeMap<HostName, Arc<Peer>>>,
    next_key: AtomicU64,
    changed: Arc<tokio_watch::Sender<u64>>,
}

/// Another host, in one of its runs.
#[derive(Debug)]
pub struct Peer {
    /// Its name.
    pub name: HostName,
    /// Where it takes requests of other hosts.
    pub address: SocketAddr,
    /// Which of its runs this is.
    pub run: u64,
    tls: Option<Outgoing>,
    /// Under what this thread keeps its connection.
    key: u64,
    in_flight: AtomicUsize,
    /// What came of asking it the last time, what the store says of its registration as of the current
    /// view, whether the run answered that is known, and who is refused, as long as this host is.
    state: KnownState,
    /// Says to whoever watches it that it may not answer any more.
    doubted: Notify,
    /// Why it did not answer, while it does not.
    why: ArcSwapOption<Silence>,
    clock_ahead: AtomicI64,
    changed: Arc<tokio_watch::Sender<u64>>,
}

/// A request that was not answered.
#[derive(Debug, thiserror::Error)]
#[error("{host} at {address} does not answer: {why}")]
pub struct SendError {
    /// The host that was asked.
    pub host: HostName,
    /// Where it was asked.
    pub address: SocketAddr,
    /// What happened.
    pub why: String,
    /// The request, where nothing of it was sent.
    pub unsent: Option<Box<Request<Body>>>,
}

impl Peers {
    /// Nobody yet; they are asked over TLS with this configuration, in plain text without.
    #[must_use]
    pub fn new(tls: Option<Outgoing>) -> Self {
        let inner = Inner {
            tls,
            by_name: Mutex::default(),
            next_key: AtomicU64::new(0),
            changed: Arc::new(tokio_watch::channel(0).0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The host of this name in this run, made known if it is not; and what the store says of it.
    pub fn know(&self, name: &HostName, (address, run): (SocketAddr, u64), lease: LeaseState) {
        let mut by_name = self.inner.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = by_name.get(name)
            && (peer.address, peer.run) == (address, run)
        {
            let before = peer.state.change(|known| known.lease = lease).lease;
            if before == LeaseState::Held && lease != before {
                // Whoever asks it seldom has to know now whether it is there without its lease.
                peer.doubt();
            }
            return;
        }
        let peer = Arc::new(Peer {
            name: name.clone(),
            address,
            run,
            tls: self.inner.tls.clone(),
            key: self.inner.next_key.fetch_add(1, Ordering::Relaxed),
            in_flight: AtomicUsize::new(0),
            state: KnownState::new(Evidence {
                lease,
                probe: Probe::Answers,
                run: Run::Same,
                eyes: Eyes::Own,
            }),
            doubted: Notify::new(),
            why: ArcSwapOption::empty(),
            clock_ahead: AtomicI64::new(0),
            changed: self.inner.changed.clone(),
        });
        by_name.insert(name.clone(), peer);
    }

    /// Whose certificates are believed; `None` where everybody is.
    #[must_use]
    pub fn believed(&self) -> Option<&Arc<Believed>> {
        self.inner.tls.as_ref().map(|tls| &tls.believed)
    }

    /// Forgets every host that is not among these.
    pub fn keep_only(&self, is_known: impl Fn(&HostName) -> bool) {
        let mut by_name = self.inner.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.retain(|name, _| is_known(name));
    }

    /// The host of this name.
    #[must_use]
    pub fn named(&self, name: &HostName) -> Option<Arc<Peer>> {
        self.inner.by_name.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All that are known, in the order of their names.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Peer>> {
        let by_name = self.inner.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.values().cloned().collect()
    }

    /// Changes whenever it becomes known that a host answers or does not.
    #[must_use]
    pub fn changes(&self) -> tokio_watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }
}

impl Peer {
    /// Requests that are under way to it from here.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What came of asking it the last time.
    #[must_use]
    pub fn probe(&self) -> Probe {
        self.state.read().probe
    }

    /// Asks it now whether it answers.
    pub async fn look(self: &Arc<Self>) -> Probe {
        watch::ask(self).await;
        self.probe()
    }

    /// Has whoever watches it ask it now: it may not answer any more.
    pub fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// Whether the store says that its lease has ended.
    fn has_no_lease(&self) -> bool {
        self.state.read().lease == LeaseState::Ended
    }

    /// Whether it is there, as of the current view.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        liveness::state(self.state.read())
    }

    /// The same where the store says this of its registration.
    #[must_use]
    pub fn liveness_under(&self, lease: LeaseState) -> Liveness {
        liveness::state(Evidence { lease, ..self.state.read() })
    }

    /// Notes who is refused by it. It counts for as long as this host is.
    pub fn note_eyes(&self, eyes: Eyes) {
        self.state.change(|known| known.eyes = eyes);
    }

    /// Asks it what it knows of another host; `None` where it does not say.
    pub async fn ask_about(self: &Arc<Self>, other: &HostName) -> Option<Probe> {
        let uri = format!("http://fleet{HOSTS}{other}");
        let request = Request::get(uri).body(no_body()).ok()?;
        let (response, _in_flight) = self.send(request).await.ok()?;
        let said = Limited::new(response.into_body(), 64).collect().await.ok()?.to_bytes();
        PROBES.into_iter().find(|(_, name)| name.as_bytes() == said).map(|(probe, _)| probe)
    }

    /// Why it does not answer, where that is known.
    #[must_use]
    pub fn why(&self) -> Option<Arc<Silence>> {
        self.why.load_full()
    }

    /// Keeps why it does not answer. What is about certificates is kept over what follows from it: the
    /// side that is refused hears of that once, and of broken connections ever after.
    fn note_why(&self, said: &str) {
        let why = Silence::new(said);
        let is_known = self.why.load().as_ref().is_some_and(|why| why.is_about_certificates());
        if why.is_about_certificates() || !is_known {
            self.why.store(Some(Arc::new(why)));
        }
    }

    /// By how many seconds its clock is ahead of this host's, or behind if that is less than nothing,
    /// where it is so much that times which both tell cannot be compared.
    #[must_use]
    pub fn clock_ahead(&self) -> Option<i64> {
        let ahead = self.clock_ahead.load(Ordering::Relaxed);
        (ahead.abs() >= CLOCKS_DIFFER).then_some(ahead)
    }

    /// Asks it; returns its answer's head, and its body as it comes.
    ///
    /// # Errors
    /// It could not be reached, or the connection broke before the answer began.
    pub async fn send(
        self: &Arc<Self>,
        request: Request<Body>,
    ) -> Result<(Response<Incoming>, InFlight), SendError> {
        let mut in_flight = InFlight::enter(self);
        let (mut sender, stream) = match connect::connection(self).await {
            Ok(connection) => connection,
            Err(why) => return Err(self.broken(why, Some(request))),
        };
        in_flight.stream = Some(stream);
        match sender.try_send_request(request).await {
            Ok(response) => {
                self.note(Probe::Answers);
                Ok((response, in_flight))
            }
            Err(mut error) => {
                let unsent = error.take_message();
                Err(self.broken(chain(error.error()), unsent))
            }
        }
    }

    /// Asks it over a connection of its own, on which the certificate of now is shown: others keep the one that
    /// they began with.
    ///
    /// # Errors
    /// As of [`Peer::send`].
    pub async fn send_apart(
        self: &Arc<Self>,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, String> {
        let mut sender = connect::apart(self).await?;
        sender.try_send_request(request).await.map_err(|error| chain(error.error()))
    }

    fn broken(&self, why: String, unsent: Option<Request<Body>>) -> SendError {
        let (host, address) = (self.name.clone(), self.address);
        let known = self.why().filter(|why| why.is_about_certificates());
        let why = known.map_or(why, |why| why.to_string());
        SendError { host, address, why, unsent: unsent.map(Box::new) }
    }

    /// Keeps what was learnt of it; tells those who wait when that is news.
    fn note(&self, probe: Probe) {
        if probe == Probe::Answers && self.why.load().is_some() {
            self.why.store(None);
        }
        let before = self.state.change(|known| {
            known.probe = probe;
            if probe != Probe::Refused {
                known.eyes = Eyes::Own;
            }
        });
        if before.probe != probe {
            tracing::info!(host = %self.name, ?probe, "what is known of a host has changed");
            self.changed.send_modify(|n_changes| *n_changes += 1);
            if probe != Probe::Answers {
                self.doubt();
            }
        }
    }

    /// Notes which run of it answered; tells those who wait when that is news.
    fn note_run(&self, run: u64) {
        // 0 is what a host says that does not say.
        let now = if run == 0 || run == self.run { Run::Same } else { Run::Other };
        if self.state.change(|known| known.run = now).run != now {
            tracing::info!(host = %self.name, run, known = self.run, "another run of a host answers");
            self.changed.send_modify(|n_changes| *n_changes += 1);
        }
    }
}

/// Counts a request for as long as it is under way.
#[derive(Debug)]
pub struct InFlight {
    peer: Arc<Peer>,
    /// Its place on a connection.
    stream: Option<connect::Stream>,
}

impl InFlight {
    fn enter(peer: &Arc<Peer>) -> Self {
        peer.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { peer: peer.clone(), stream: None }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.peer.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An error with all its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
