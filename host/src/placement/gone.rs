//! Whether a host is gone whose machine refused a connection: other hosts say whether they are refused,
//! too. A firewall between two parts of a fleet refuses as well, both ways, and each part would take
//! what the other one has, for ever; so most hosts of the fleet have to say so, and where they do not,
//! its lease is waited for. Asked by the host that plans only.
//! Does not watch hosts: `forward` does.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use steerage_core::id::HostName;
use steerage_core::liveness::{Eyes, Liveness, Probe};

use crate::fleet::{Fleet, View};
use crate::forward::Peer;

/// How long others may take to say. Who does not says nothing.
const WITHIN: Duration = Duration::from_millis(300);

/// Asks about every registered host that refuses this one; whether there are some of which it is not
/// clear yet.
pub(super) async fn ask(fleet: &Fleet) -> bool {
    let view = fleet.view();
    let mut is_unclear = false;
    for peer in fleet.peers().all() {
        let is_registered = view.hosts.contains_key(&peer.name);
        if !is_registered || peer.probe() != Probe::Refused {
            continue;
        }
        // Also of one that most have said to be gone: more hosts may be registered by now.
        let was_suspect = fleet.liveness(&view, &peer.name) == Liveness::Suspect;
        let n_refused = 1 + count(fleet, &view, &peer).await;
        let eyes = Eyes::of(n_refused, view.n_registered());
        peer.note_eyes(eyes);
        if eyes == Eyes::Most && was_suspect {
            tracing::info!(host = %peer.name, n_refused, "most hosts say that a host is gone");
        }
        is_unclear |= eyes == Eyes::Own;
    }
    is_unclear
}

/// How many others are refused by this host, until there are enough.
async fn count(fleet: &Fleet, view: &View, gone: &Arc<Peer>) -> usize {
    let others = fleet.peers().all().into_iter();
    // Who is not registered is no witness: most is reckoned of those who are.
    let is_witness = |other: &Arc<Peer>| {
        other.liveness().is_candidate_for_calls() && view.hosts.contains_key(&other.name)
    };
    let others = others.filter(is_witness);
    let asked: FuturesUnordered<_> =
        others.map(|other| says_gone(other, gone.name.clone())).collect();
    let mut answers = asked.filter(|says_so| std::future::ready(*says_so)).boxed();
    let mut n_refused = 0;
    while Eyes::of(1 + n_refused, view.n_registered()) == Eyes::Own
        && answers.next().await.is_some()
    {
        n_refused += 1;
    }
    n_refused
}

async fn says_gone(other: Arc<Peer>, about: HostName) -> bool {
    let asked = other.ask_about(&about);
    tokio::time::timeout(WITHIN, asked).await.is_ok_and(|said| said == Some(Probe::Refused))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::SocketAddr;
    use std::sync::Mutex;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::net::TcpListener;

    use super::super::view;
    use super::*;
    use crate::forward::{self, Peers};
    use crate::store::{Change, Revision, Store, StoreSettings};

    /// A host that says this of every other one.
    async fn witness(says: Arc<Mutex<&'static str>>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let says = says.clone();
                let answer = service_fn(move |request: Request<Incoming>| {
                    let is_asked = request.uri().path().ends_with("/h9");
                    let text = if is_asked { *says.lock().unwrap() } else { "ok" };
                    std::future::ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(
                        text,
                    )))))
                });
                let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(async move {
                    drop(http.serve_connection(TokioIo::new(stream), answer).await);
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn a_refused_connection_is_believed_once_most_hosts_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::Embedded(folder.path().to_owned())).await.unwrap();
        let me: HostName = "h1".parse().unwrap();
        let fleet = Fleet::new(me, store, Peers::new(None), folder.path().join("copy"));
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refuses = closed.local_addr().unwrap();
        drop(closed);
        let says = Arc::new(Mutex::new("answers"));
        let hosts = [
            ("h1", SocketAddr::from(([127, 0, 0, 1], 1))),
            ("h2", witness(says.clone()).await),
            ("h9", refuses),
        ];
        for (revision, (name, address)) in (1..).zip(hosts) {
            let record = serde_json::json!({
                "v": 1, "id": name, "run": 1, "address": address, "listen": "127.0.0.1:2",
                "admin": "127.0.0.1:3", "zone": name, "cpu_m": 1000, "memory": 1_u64 << 30,
                "version": "1"
            });
            let value = Some(record.to_string().into_bytes());
            let key = format!("observed/hosts/{name}");
            fleet.apply(&[Change { key, value, revision: Revision(revision) }]);
        }
        let h9: HostName = "h9".parse().unwrap();
        let peer = fleet.peers().named(&h9).unwrap();
        let mut changes = fleet.peers().changes();
        let watching = tokio::spawn(forward::keep_watch(fleet.peers().clone(), fleet.me().clone()));
        while peer.probe() != Probe::Refused {
            changes.changed().await.unwrap();
        }
        let is_there = || view::hosts(&fleet, &fleet.view()).contains_key(&h9);
        // A firewall between this host and that one.
        assert!(ask(&fleet).await);
        assert!(is_there());
        *says.lock().unwrap() = "gone";
        assert!(!ask(&fleet).await);
        assert!(!is_there());
        watching.abort();
    }
}
