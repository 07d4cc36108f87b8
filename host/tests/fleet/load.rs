//! Callers of a fleet, as a load balancer in front of it makes them: a steady rate of requests over
//! kept connections, to the hosts in turn, and a record of each.
//!
//! What it does when a host fails is what such clients do. A request whose connection is refused, or
//! that could not be sent, goes once more to another host; so does an idempotent one whose connection
//! broke before the answer began. How often is counted. A host that failed, or whose health path does
//! not say so in time, gets no requests until it is well again. Nothing else is tried again: an error
//! status, a broken body and a missing answer are failures.
//! Does not know what happens to the fleet meanwhile.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Requests a second, of all kinds and to all hosts together.
const RATE: u64 = 250;
/// How long a connection may take: they are on one switch.
const CONNECT: Duration = Duration::from_secs(1);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How often a host is asked whether it is well, and how long it may take to say so.
const PROBE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(500));
/// Where it is asked.
const HEALTH: &str = "/.well-known/steerage/health";
/// Idle connections kept to each host.
const KEPT: usize = 8;

/// Something to ask for, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// How every right answer begins.
    pub(crate) begins: String,
}

/// One request and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// When it was sent, since the load began.
    pub(crate) at: Duration,
    pub(crate) took: Duration,
    pub(crate) is_idempotent: bool,
    pub(crate) path: String,
    /// The host that was asked last, by its place in the list.
    pub(crate) host: usize,
    pub(crate) is_retried: bool,
    /// Why there was no right answer.
    pub(crate) failure: Option<String>,
    /// Whether nothing at all came back in time.
    pub(crate) is_silent: bool,
}

/// The longest time without an answer to anybody.
pub(crate) fn longest_gap(records: &[Record]) -> Duration {
    let answered = records.iter().filter(|record| record.failure.is_none());
    let mut at: Vec<Duration> = answered.map(|record| record.at + record.took).collect();
    at.sort_unstable();
    let gaps = at.iter().zip(at.iter().skip(1)).map(|(one, next)| *next - *one);
    gaps.max().unwrap_or_default()
}

/// Load that goes on until it is stopped.
#[derive(Debug)]
pub(crate) struct Load {
    stops: Arc<AtomicBool>,
    began_at: Instant,
    thread: JoinHandle<anyhow::Result<Vec<Record>>>,
}

impl Load {
    /// Begins to ask these hosts for these things, from the machine that this thread is on.
    pub(crate) fn start(hosts: Vec<SocketAddr>, asks: Vec<Ask>) -> Self {
        let stops = Arc::new(AtomicBool::new(false));
        let stopped = stops.clone();
        let began_at = Instant::now();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.context("no runtime for the load")?;
            Ok(runtime.block_on(ask_on(Arc::new(Client::new(hosts)), asks, began_at, &stopped)))
        });
        Self { stops, began_at, thread }
    }

    /// When it began.
    pub(crate) fn began_at(&self) -> Instant {
        self.began_at
    }

    /// Ends it; returns what came of each request once all are over.
    pub(crate) fn stop(self) -> anyhow::Result<Vec<Record>> {
        self.stops.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the load generator panicked"))?
    }
}

async fn ask_on(
    client: Arc<Client>,
    asks: Vec<Ask>,
    began_at: Instant,
    stopped: &AtomicBool,
) -> Vec<Record> {
    let mut probes = JoinSet::new();
    for host in &client.hosts {
        let host = host.clone();
        probes.spawn(async move { host.watch().await });
    }
    let mut ticks = interval(Duration::from_micros(1_000_000 / RATE));
    // A moment without this thread is no reason to ask for less.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut running, mut records) = (JoinSet::new(), Vec::new());
    for ask in asks.iter().cycle() {
        ticks.tick().await;
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        running.spawn(client.clone().record(ask.clone(), began_at));
        while let Some(ended) = running.try_join_next() {
            records.extend(ended);
        }
    }
    while let Some(ended) = running.join_next().await {
        records.extend(ended);
    }
    records
}

#[derive(Debug)]
struct Client {
    hosts: Vec<Arc<Host>>,
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Host {
    address: SocketAddr,
    is_well: AtomicBool,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

/// How one attempt ended.
enum Tried {
    Answered,
    /// There was an answer, or a part of one, and it was wrong.
    Wrong(String),
    /// Nothing was sent.
    Unsent(String),
    /// The connection broke before the answer began.
    Broken(String),
    /// Nothing came back.
    Silent,
}

impl Client {
    fn new(hosts: Vec<SocketAddr>) -> Self {
        let host = |address| {
            Arc::new(Host { address, is_well: AtomicBool::new(true), idle: Mutex::default() })
        };
        Self { hosts: hosts.into_iter().map(host).collect(), turn: AtomicUsize::new(0) }
    }

    async fn record(self: Arc<Self>, ask: Ask, began_at: Instant) -> Record {
        let sent_at = Instant::now();
        let is_idempotent = ask.method.is_idempotent();
        let (mut place, mut tried) = self.try_next(None, &ask).await;
        let goes_again = match &tried {
            Tried::Unsent(_) => true,
            Tried::Broken(_) => is_idempotent,
            Tried::Answered | Tried::Wrong(_) | Tried::Silent => false,
        };
        if goes_again {
            (place, tried) = self.try_next(Some(place), &ask).await;
        }
        let is_silent = matches!(tried, Tried::Silent);
        let failure = match tried {
            Tried::Answered => None,
            Tried::Wrong(why) | Tried::Broken(why) | Tried::Unsent(why) => Some(why),
            Tried::Silent => Some(format!("no answer in {ANSWER:?}")),
        };
        let (at, took) = (sent_at - began_at, sent_at.elapsed());
        let (path, is_retried) = (ask.path, goes_again);
        Record { at, took, is_idempotent, path, host: place, is_retried, failure, is_silent }
    }

    /// Asks the host whose turn it is, among those that are well and not this one. If none is well,
    /// any other has to do.
    async fn try_next(&self, but: Option<usize>, ask: &Ask) -> (usize, Tried) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let order = || {
            let places = self.hosts.iter().enumerate().cycle().skip(turn % self.hosts.len());
            places.take(self.hosts.len()).filter(|(place, _)| Some(*place) != but)
        };
        let well = order().find(|(_, host)| host.is_well.load(Ordering::Relaxed));
        match well.or_else(|| order().next()) {
            Some((place, host)) => (place, host.attempt(ask).await),
            None => (0, Tried::Unsent("there is no other host".to_owned())),
        }
    }
}

impl Host {
    /// Asks it now and then whether it is well.
    async fn watch(&self) {
        let (every, patience) = PROBE;
        let ask = Ask { method: Method::GET, path: HEALTH.to_owned(), begins: "ok".to_owned() };
        loop {
            let tried = timeout(patience, self.attempt(&ask)).await;
            self.is_well.store(matches!(tried, Ok(Tried::Answered)), Ordering::Relaxed);
            sleep(every).await;
        }
    }

    async fn attempt(&self, ask: &Ask) -> Tried {
        let tried = match self.connection().await {
            Ok(sender) => match timeout(ANSWER, self.exchange(sender, ask)).await {
                Ok(tried) => tried,
                Err(_) => Tried::Silent,
            },
            Err(why) => Tried::Unsent(why),
        };
        if matches!(tried, Tried::Unsent(_) | Tried::Broken(_) | Tried::Silent) {
            self.is_well.store(false, Ordering::Relaxed);
        }
        tried
    }

    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        while let Some(mut kept) = self.take() {
            if kept.ready().await.is_ok() {
                return Ok(kept);
            }
        }
        let stream = match timeout(CONNECT, TcpStream::connect(self.address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(format!("no connection in {CONNECT:?}")),
        };
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // How it ends is seen by whoever asks on it.
        drop(tokio::spawn(connection));
        Ok(sender)
    }

    async fn exchange(&self, mut sender: SendRequest<Full<Bytes>>, ask: &Ask) -> Tried {
        let body =
            if ask.method == Method::POST { Bytes::from("a few bytes") } else { Bytes::new() };
        let request = Request::builder()
            .method(ask.method.clone())
            .uri(&ask.path)
            .header("host", "fleet")
            .body(Full::new(body));
        let Ok(request) = request else { return Tried::Wrong("no request".to_owned()) };
        let response = match sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut error) => {
                let why = error.error().to_string();
                let is_unsent = error.take_message().is_some();
                return if is_unsent { Tried::Unsent(why) } else { Tried::Broken(why) };
            }
        };
        let status = response.status();
        let body = match response.into_body().collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return Tried::Wrong(format!("{status}, then {error}")),
        };
        let text = String::from_utf8_lossy(&body);
        if !status.is_success() || !text.starts_with(&ask.begins) {
            return Tried::Wrong(format!("{status} {}", text.trim()));
        }
        self.keep(sender);
        Tried::Answered
    }

    fn take(&self) -> Option<SendRequest<Full<Bytes>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, sender: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(sender);
        }
    }
}
