//! Whom a host of a large fleet asks, and whom it has look at one that does not answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Mutex;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use steerage_core::liveness::LeaseState;
use tokio::net::TcpListener;

use super::*;
use crate::forward::HOSTS;

/// Another host.
struct Other {
    address: SocketAddr,
    /// The paths that it was asked for.
    asked: Arc<Mutex<Vec<String>>>,
    /// Closes its door and all connections.
    ends: Sender<bool>,
}

impl Other {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (ends, mut end) = tokio::sync::watch::channel(false);
        let told = asked.clone();
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    _ = end.wait_for(|ends| *ends) => return,
                };
                let asked = told.clone();
                let answer = service_fn(move |request: Request<Incoming>| {
                    asked.lock().unwrap().push(request.uri().path().to_owned());
                    std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
                });
                let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let mut end = end.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = http.serve_connection(TokioIo::new(accepted), answer) => {}
                        _ = end.wait_for(|ends| *ends) => {}
                    }
                });
            }
        });
        Self { address, asked, ends }
    }

    fn n_asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.ends_with(path)).count()
    }
}

fn name(number: usize) -> HostName {
    format!("h{number:02}").parse().unwrap()
}

#[tokio::test]
async fn a_host_asks_few_of_a_large_fleet_and_has_those_look_that_decide() {
    let n_hosts = 20;
    let (peers, me) = (Peers::new(None), name(10));
    let mut others: Vec<(HostName, Other)> = Vec::new();
    for other in (0..n_hosts).map(name).filter(|name| *name != me) {
        let host = Other::start().await;
        peers.know(&other, (host.address, 1), LeaseState::Held);
        others.push((other, host));
    }
    let hosts: BTreeSet<HostName> = (0..n_hosts).map(name).collect();
    let mine = probing::probed_by(&me, &hosts);
    assert!(!mine.is_empty() && mine.len() < n_hosts / 2, "{mine:?}");
    let (mine, other): (Vec<_>, Vec<_>) = others.iter().partition(|(name, _)| mine.contains(name));
    let watching = tokio::spawn(keep_watch(peers.clone(), me.clone()));
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    while mine.iter().any(|(_, host)| host.n_asked("/health") < 4) {
        ticks.tick().await;
    }
    for (name, host) in &other {
        assert_eq!(host.n_asked("/health"), 1, "{name} is others' to ask");
    }
    // One that is this host's to ask ends, and one that is not: of that a call tells.
    let (lost, host) = mine.last().unwrap();
    host.ends.send_replace(true);
    let question = format!("{HOSTS}{lost}");
    let keepers: Vec<_> = others.iter().filter(|(name, _)| name != lost).take(KEEPERS).collect();
    while keepers.iter().any(|(_, host)| host.n_asked(&question) == 0) {
        ticks.tick().await;
    }
    assert_eq!(peers.named(lost).unwrap().probe(), Probe::Refused);
    for (name, host) in others.iter().filter(|(name, _)| keepers.iter().all(|(one, _)| one != name))
    {
        assert_eq!(host.n_asked(&question), 0, "{name} does not decide");
    }
    let (lost, host) = other.last().unwrap();
    host.ends.send_replace(true);
    let peer = peers.named(lost).unwrap();
    assert_eq!(peer.probe(), Probe::Answers, "nobody has said anything of {lost}");
    let asked = tokio::spawn(async move { peer.look().await });
    assert_eq!(asked.await.unwrap(), Probe::Refused);
    // One that the store has lost is asked without anybody having said anything of it.
    let (gone, host) = other.first().unwrap();
    host.ends.send_replace(true);
    let known = peers.named(gone).unwrap();
    assert_eq!(known.probe(), Probe::Answers);
    peers.know(gone, (known.address, known.run), LeaseState::Ended);
    while known.probe() != Probe::Refused {
        ticks.tick().await;
    }
    // It is asked until it is back, which another process there shows.
    let listener = TcpListener::bind(host.address).await.unwrap();
    let again = tokio::spawn(async move { listener.accept().await.is_ok() });
    assert!(again.await.unwrap());
    watching.abort();
}
