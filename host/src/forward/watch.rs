//! Watches whether other hosts answer: asks those that are this host's to ask now and then, and whoever
//! does not answer more often, so that it is used again as soon as it is back. Who is asked by others is
//! believed to answer until a call to it breaks or somebody has this host look.
//! Does not act on what it finds, but has the hosts look that decide.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use http::header::DATE;
use http::{HeaderMap, Request};
use hyper::client::conn::http2::SendRequest;
use steerage_core::id::HostName;
use steerage_core::liveness::Probe;
use steerage_core::node::KEEPERS;
use steerage_core::probing;
use tokio::sync::watch::{Receiver, Sender};
use tokio::task::JoinSet;

use super::{Body, Peer, Peers, RUN, connect, no_body};

/// How often a host that answers is asked. A connection that breaks is noticed at once besides.
const EVERY: Duration = Duration::from_millis(500);
/// How often one that does not is asked.
const EVERY_SILENT: Duration = Duration::from_millis(100);
/// How much less often in the end where that is others' to do: all that had calls there do it.
const SLOWER: u32 = 10;
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_millis(750);
/// How often those are told that decide, while a host does not answer: who decides may have changed.
const TELL_AGAIN: Duration = Duration::from_secs(1);
/// What is asked: whether it is ready for callers.
const QUESTION: &str = "http://fleet/.well-known/steerage/health";

/// The hosts that are this one's to ask.
type Asked = Arc<BTreeSet<HostName>>;

/// Watches for the host `me` until it is dropped.
pub async fn keep_watch(peers: Peers, me: HostName) {
    let mut watched: JoinSet<u64> = JoinSet::new();
    let mut known = BTreeSet::new();
    let (asked, mut keys) = (Sender::new(Asked::default()), Vec::new());
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
        let all = peers.all();
        let now: Vec<u64> = all.iter().map(|peer| peer.key).collect();
        if now != keys {
            keys = now;
            let hosts = all.iter().map(|peer| &peer.name).chain([&me]).cloned().collect();
            let mine = probing::probed_by(&me, &hosts);
            asked.send_replace(Arc::new(mine.into_iter().cloned().collect()));
        }
        for peer in all {
            if known.insert(peer.key) {
                let watch = Watch { peers: peers.clone(), peer, asked: asked.subscribe() };
                watched.spawn(watch.run());
            }
        }
    }
}

/// The watch over one host.
struct Watch {
    peers: Peers,
    peer: Arc<Peer>,
    asked: Receiver<Asked>,
}

impl Watch {
    /// Watches it for as long as it is known.
    async fn run(mut self) -> u64 {
        let (mut n_silent, mut told_at) = (0_u32, None);
        while self.is_known() {
            // Once it is asked in any case: what is known of it may be from long ago.
            let is_asked = self.asked.borrow_and_update().contains(&self.peer.name);
            // One that the store has lost is asked by all: each has to find out whether to keep it.
            let is_mine = is_asked || self.peer.has_no_lease();
            if is_mine {
                ask(&self.peer).await;
            } else {
                ask_apart(&self.peer).await;
            }
            if self.peer.probe() == Probe::Answers {
                n_silent = 0;
                self.rest(is_mine).await;
                continue;
            }
            let is_due = |at: Instant| at.elapsed() >= TELL_AGAIN;
            if is_asked && told_at.is_none_or(is_due) {
                told_at = Some(Instant::now());
                have_others_look(&self.peers, &self.peer);
            }
            n_silent += 1;
            let slower = if is_mine { 1 } else { n_silent.min(SLOWER) };
            tokio::time::sleep(EVERY_SILENT * slower).await;
        }
        self.peer.key
    }

    fn is_known(&self) -> bool {
        self.peers.named(&self.peer.name).is_some_and(|now| Arc::ptr_eq(&now, &self.peer))
    }

    /// Waits until it is to be asked again, while it answers; or may not be known any more.
    async fn rest(&mut self, is_mine: bool) {
        let doubted = self.peer.doubted.notified();
        if is_mine {
            drop(tokio::time::timeout(EVERY, doubted).await);
            return;
        }
        tokio::pin!(doubted);
        loop {
            tokio::select! {
                () = &mut doubted => return,
                changed = self.asked.changed() => {
                    let is_mine = self.asked.borrow().contains(&self.peer.name);
                    if changed.is_err() || is_mine || !self.is_known() {
                        return;
                    }
                }
            }
        }
    }
}

/// Has those hosts look that plan, or may have to next, unless they ask it themselves as all do in a small
/// fleet. They do not believe this one, whose link may be bad; what they see decides.
fn have_others_look(peers: &Peers, about: &Arc<Peer>) {
    let all = peers.all();
    if all.len() <= probing::PROBERS {
        return;
    }
    let well = all.into_iter().filter(|peer| peer.liveness().counts_for_planner());
    for keeper in well.filter(|peer| peer.name != about.name).take(KEEPERS) {
        let about = about.name.clone();
        tokio::spawn(async move {
            let said = tokio::time::timeout(2 * PATIENCE, keeper.ask_about(&about)).await;
            tracing::debug!(host = %about, asked = %keeper.name, ?said, "had another host look");
        });
    }
}

/// Asks whether it answers. That it is not ready for callers does not matter: others skip it by
/// what it says of itself.
pub(super) async fn ask(peer: &Arc<Peer>) {
    let asked = async {
        let (sender, _stream) = connect::connection(peer).await?;
        question(sender).await
    };
    take(peer, tokio::time::timeout(PATIENCE, asked).await);
}

/// The same over a connection of its own, of which nothing is left: thousands of hosts may know one.
async fn ask_apart(peer: &Arc<Peer>) {
    let asked = async { question(connect::apart(peer).await?).await };
    take(peer, tokio::time::timeout(PATIENCE, asked).await);
}

async fn question(mut sender: SendRequest<Body>) -> Result<HeaderMap, String> {
    let request = Request::get(QUESTION).body(no_body()).map_err(|error| error.to_string())?;
    let answered = sender.try_send_request(request).await;
    let response = answered.map_err(|error| super::chain(error.error()))?;
    Ok(response.into_parts().0.headers)
}

fn take(peer: &Peer, asked: Result<Result<HeaderMap, String>, tokio::time::error::Elapsed>) {
    match asked {
        Ok(Ok(headers)) => {
            if let Some(ahead) = clock_ahead(&headers, SystemTime::now()) {
                peer.clock_ahead.store(ahead, Ordering::Relaxed);
            }
            if let Some(run) = run_of(&headers) {
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

#[cfg(test)]
mod tests;
