//! Asking the other hosts what apps use there, and telling them what apps use here. Nothing of it goes
//! into the store, which would bring every word of each host to all: who has to know asks. The hosts that
//! plan or may soon have to ask all the time, others when an operator looks.
//! What is not known stays as it was known last: a host that does not answer has told nothing new.
//! Measures nothing, and does not say what an app needs.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde::{Deserialize, Serialize};
use steerage_core::id::HostName;
use steerage_core::node::KEEPERS;

use super::Fleet;
use super::record::{self, AppUse, UseRecord};
use super::view::View;
use crate::forward::{OBSERVED, Peer, no_body};

/// Below [`OBSERVED`] hosts ask each other here what apps use.
pub const TOLD_USE: &str = "/v1/use";

/// How long a host may take to say what apps use there.
const WITHIN: Duration = Duration::from_secs(1);
/// Hosts that are asked at once.
const AT_ONCE: usize = 64;
/// Bytes of one answer.
const LONGEST: usize = 64 << 20;
/// Who has asked all others so long ago at most knows what apps use: those that may have to plan soon ask
/// several times as often.
const KNOWN_FOR: Duration = Duration::from_secs(30);

/// What a host says to another one that asks what apps use there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ToldUse {
    /// In which of its runs it says so.
    pub run: u64,
    /// Which of its own revisions this is up to.
    pub at: u64,
    /// Into how many parts it is divided, from 0.
    pub n_parts: u32,
    /// Those that are new to whoever asks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<u32, UseRecord>,
    /// What it knows or remembers of apps, on whatever host, where that was asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub last_known: BTreeMap<String, AppUse>,
}

/// What apps use on this host, as others are told it.
#[derive(Debug, Default)]
pub(super) struct OwnUse {
    /// Raised with each change.
    at: u64,
    /// Each part, and in which revision it changed.
    parts: BTreeMap<u32, (u64, Arc<UseRecord>)>,
}

/// When this host asked all others the last time.
#[derive(Debug, Default)]
pub(super) struct Asked {
    ended_at: Option<Instant>,
    /// Whether it knew then which hosts there are.
    knew_all: bool,
}

impl OwnUse {
    /// Takes parts that have changed, and how many there are.
    fn publish(&mut self, changed: BTreeMap<u32, UseRecord>, n_parts: u32) {
        self.at += 1;
        let at = self.at;
        self.parts.extend(changed.into_iter().map(|(part, used)| (part, (at, Arc::new(used)))));
        self.parts.retain(|part, _| *part < n_parts);
    }

    /// What changed after this revision.
    fn told(&self, run: u64, since: u64) -> ToldUse {
        let new = self.parts.iter().filter(|(_, (at, _))| *at > since);
        ToldUse {
            run,
            at: self.at,
            n_parts: u32::try_from(self.parts.len()).unwrap_or(u32::MAX),
            parts: new.map(|(part, (_, used))| (*part, UseRecord::clone(used))).collect(),
            last_known: BTreeMap::new(),
        }
    }
}

impl Fleet {
    /// Takes what has changed of what apps use on this host, and into how many parts that is divided.
    pub fn publish_use(&self, changed: BTreeMap<u32, UseRecord>, n_parts: u32) {
        self.own_use().publish(changed, n_parts);
    }

    /// What another host is told that knows so much: of which run, and up to which revision of it.
    #[must_use]
    pub fn tell_use(&self, (run, since): (u64, u64), with_last_known: bool) -> ToldUse {
        let since = if run == self.run() { since } else { 0 };
        let mut told = self.own_use().told(self.run(), since);
        if with_last_known {
            let known = self.view().last_known_use();
            told.last_known = known.iter().map(|(app, used)| (app.to_string(), *used)).collect();
        }
        told
    }

    /// How long ago this host asked all others the last time, if it did.
    #[must_use]
    pub fn asked_use_ago(&self) -> Option<Duration> {
        self.asked().ended_at.map(|at| at.elapsed())
    }

    /// Whether this host has asked all others a short time ago, and knew then of all. Before that it knows
    /// no more than what apps used once, and plans nothing.
    #[must_use]
    pub fn knows_use(&self) -> bool {
        let asked = self.asked();
        asked.knew_all && asked.ended_at.is_some_and(|at| at.elapsed() < KNOWN_FOR)
    }

    /// Asks all others what apps use there, unless they were asked so long ago at most. Who knows nothing
    /// yet asks some also for what was used on hosts that are gone.
    pub async fn ask_use(&self, fresh: Duration) {
        if self.is_alone() {
            // It keeps no view, and plans nothing.
            return;
        }
        let _turn = self.inner.asking.lock().await;
        let (view, knows_use, knew_all) = (self.view(), self.knows_use(), self.is_current());
        // Who did not know then which hosts there are, and does now, plans nothing until it has asked again.
        let was_partial = !self.asked().knew_all;
        let is_fresh = self.asked_use_ago().is_some_and(|ago| ago <= fresh);
        if is_fresh && !(was_partial && knew_all) {
            return;
        }
        let others = view.all_hosts().filter(|(name, record)| {
            record.tells_use
                && *name != self.me()
                && self.liveness(&view, name).is_candidate_for_calls()
        });
        let questions = others.enumerate().filter_map(|(place, (name, _))| {
            let with_last_known = !knows_use && place < KEEPERS;
            Some((self.peers().named(name)?, question(&view, name, with_last_known)))
        });
        let questions: Vec<(Arc<Peer>, String)> = questions.collect();
        let asked = stream::iter(questions).map(|(peer, path)| async move {
            let told = tokio::time::timeout(WITHIN, ask(&peer, &path)).await;
            if told.is_err() {
                // Who watches hosts looks whether it is there.
                peer.doubt();
            }
            Some((peer.name.clone(), told.ok()??))
        });
        let mut told: Vec<_> =
            asked.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
        // Who comes first has planned, and knows best what was.
        told.sort_by(|(one, _), (other, _)| other.cmp(one));
        self.hear_use(told);
        *self.asked() = Asked { ended_at: Some(Instant::now()), knew_all };
        if !knows_use && knew_all {
            // It may plan from now on.
            self.inner.changed.send_modify(|n_views| *n_views += 1);
        }
    }

    fn hear_use(&self, told: Vec<(HostName, ToldUse)>) {
        let _turn = self.inner.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mut view = View::clone(&self.inner.view.load_full());
        let own = self.tell_use(heard_of(&view, self.me()), false);
        for (host, told) in told.into_iter().chain([(self.me().clone(), own)]) {
            // It may have gone meanwhile.
            if view.host(&host).is_some_and(|record| record.tells_use) {
                view.hear_use(&host, told);
            }
        }
        // It changes all the time, and wakes nobody.
        self.inner.view.store(Arc::new(view));
    }

    fn own_use(&self) -> MutexGuard<'_, OwnUse> {
        self.inner.own_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.inner.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of what a host tells: of which run, and up to which revision.
fn heard_of(view: &View, host: &HostName) -> (u64, u64) {
    view.heard.get(host).map_or((0, 0), |heard| (heard.run, heard.at))
}

fn question(view: &View, host: &HostName, with_last_known: bool) -> String {
    let (run, since) = heard_of(view, host);
    format!("{TOLD_USE}?run={run}&since={since}&last_known={with_last_known}")
}

/// Asks one host; nothing where it does not say, or in words of a later version.
async fn ask(peer: &Arc<Peer>, path: &str) -> Option<ToldUse> {
    let request = Request::get(format!("http://fleet{OBSERVED}{path}")).body(no_body()).ok()?;
    let (response, _in_flight) = peer.send(request).await.ok()?;
    if response.status() != StatusCode::OK {
        return None;
    }
    let said = Limited::new(response.into_body(), LONGEST).collect().await.ok()?.to_bytes();
    let told = record::decode(path, &said);
    told.inspect_err(
        |error| tracing::debug!(host = %peer.name, %error, "cannot read what apps use"),
    )
    .ok()
}

#[cfg(test)]
mod tests;
