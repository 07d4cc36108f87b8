//! Watches whether the other hosts answer: asks each now and then, and those that fell silent more
//! often, so that they are used again as soon as they are back.
//! Does not act on what it finds.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::DATE;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Empty};
use steerage_core::liveness::Probe;
use tokio::task::JoinSet;

use super::{Body, Peer, Peers, RUN, connect};

/// How often a host that answers is asked. A connection that breaks is noticed at once besides.
const EVERY: Duration = Duration::from_millis(500);
/// How often one that does not is asked.
const EVERY_SILENT: Duration = Duration::from_millis(100);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_millis(750);
/// What is asked: whether it is ready for callers.
const QUESTION: &str = "http://fleet/.well-known/steerage/health";

/// Watches until it is dropped.
pub async fn keep_watch(peers: Peers) {
    let mut watched: JoinSet<u64> = JoinSet::new();
    let mut known = std::collections::BTreeSet::new();
    let mut ticks = tokio::time::interval(EVERY_SILENT);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            Some(ended) = watched.join_next() => {
                if let Ok(key) = ended {
                    known.remove(&key);
                }
            }
        }
        for peer in peers.all() {
            if known.insert(peer.key) {
                let peers = peers.clone();
                watched.spawn(watch_one(peers, peer));
            }
        }
    }
}

/// Watches one host for as long as it is known.
async fn watch_one(peers: Peers, peer: Arc<Peer>) -> u64 {
    let mut changes = peers.changes();
    loop {
        let is_known = peers.named(&peer.name).is_some_and(|now| Arc::ptr_eq(&now, &peer));
        if !is_known {
            return peer.key;
        }
        changes.mark_unchanged();
        ask(&peer).await;
        if peer.probe() == Probe::Answers {
            // Any news may be about this host.
            drop(tokio::time::timeout(EVERY, changes.changed()).await);
        } else {
            tokio::time::sleep(EVERY_SILENT).await;
        }
    }
}

/// Asks whether it answers. That it is not ready for callers does not matter: others skip it by
/// what it says of itself.
pub(super) async fn ask(peer: &Arc<Peer>) {
    let body: Body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
    let Ok(request) = Request::get(QUESTION).body(body) else { return };
    let asked = async {
        let (mut sender, _stream) = connect::connection(peer).await?;
        sender.try_send_request(request).await.map_err(|error| super::chain(error.error()))
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(response)) => {
            if let Some(ahead) = clock_ahead(response.headers(), SystemTime::now()) {
                peer.clock_ahead.store(ahead, Ordering::Relaxed);
            }
            if let Some(run) = run_of(response.headers()) {
                peer.note_run(run);
            }
            peer.note(Probe::Answers);
        }
        // The kernel said that nobody listens, which was noted where the connection was tried.
        Ok(Err(_)) if peer.probe() == Probe::Refused => {}
        Ok(Err(why)) => {
            peer.note_why(&why);
            peer.note(Probe::Silent);
        }
        Err(_) => {
            peer.note_why(&format!("no answer within {PATIENCE:?}"));
            peer.note(Probe::Silent);
        }
    }
}

/// Which of its runs answered; `None` where it did not say, as hosts of earlier versions do not.
fn run_of(headers: &HeaderMap) -> Option<u64> {
    headers.get(RUN)?.to_str().ok()?.parse().ok()
}

/// By how many seconds the clock of whoever answered so is ahead of `now` (RFC 9110, 6.6.1).
fn clock_ahead(headers: &HeaderMap, now: SystemTime) -> Option<i64> {
    let theirs = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let seconds = |gap: Duration| i64::try_from(gap.as_secs()).unwrap_or(i64::MAX);
    Some(match theirs.duration_since(now) {
        Ok(ahead) => seconds(ahead),
        Err(behind) => -seconds(behind.duration()),
    })
}
