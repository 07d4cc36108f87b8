//! Whether other hosts keep a deployment: its record in their ledgers, and its component on their disks.
//! Brings nothing there: `carry` does, and following the store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{Request, StatusCode};
use steerage_core::id::{AppName, Digest, Generation};

use super::Loader;
use super::carry::{answering, text_of};
use crate::forward::{Peer, no_body};
use crate::ledger::deployment::Deployment;
use crate::ledger::record::Fingerprint;

/// Where hosts ask each other what they keep, as `APP/GENERATION`.
pub const KEPT: &str = "/.well-known/steerage/fleet/kept/";
/// Before the milliseconds that a host may wait with saying that it does not yet, in the query.
pub const WAIT: &str = "wait=";
/// What a host says that does not keep it yet.
pub const NOT_YET: &str = "not yet";
/// How long a host is asked to wait. It answers as soon as it keeps it.
const WAITS: Duration = Duration::from_millis(500);
/// How long one host may take to say anything.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait between two questions to an older host, which does not wait, or to one that fails.
const PAUSE: Duration = Duration::from_millis(20);

/// How many other hosts keep a deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptBy {
    /// Those that said so.
    pub hosts: usize,
    /// Those that cannot say, being of an older version.
    pub unsure: usize,
}

enum Answer {
    Kept,
    NotYet,
    Unsure,
}

impl Loader {
    /// The fingerprint of a deployment whose record is in the ledger and whose component is here.
    pub async fn kept(&self, app: AppName, generation: Generation) -> Option<Fingerprint> {
        let loader = self.clone();
        let kept = self.blocking(move || {
            let record = loader.parts().ledger.deployment(&app, generation)?;
            let kept = record.filter(|record| loader.parts().blobs.contains(&record.digest));
            Ok(kept.map(|record| record.fingerprint()))
        });
        kept.await.ok().flatten()
    }

    /// Whether a deployment in the ledger needs a component.
    pub async fn needs(&self, digest: Digest) -> bool {
        let loader = self.clone();
        let is_used = self.blocking(move || Ok(loader.parts().ledger.is_used(&digest)?));
        is_used.await.unwrap_or(false)
    }

    /// The same as [`Loader::kept`], waiting for it at most for so long.
    pub async fn kept_within(
        &self,
        app: AppName,
        generation: Generation,
        within: Duration,
    ) -> Option<Fingerprint> {
        let (mut written, mut came) = (self.parts().ledger.changes(), self.parts().blobs.changes());
        let until = tokio::time::Instant::now() + within;
        loop {
            // What changes while it is looked for is noticed.
            written.mark_unchanged();
            came.mark_unchanged();
            if let Some(kept) = self.kept(app.clone(), generation).await {
                return Some(kept);
            }
            // Both senders live as long as `self`.
            tokio::select! {
                _ = written.changed() => {}
                _ = came.changed() => {}
                () = tokio::time::sleep_until(until) => return None,
            }
        }
    }

    /// Asks the other hosts until `wanted` of them keep a deployment, or for as long as `within`.
    pub async fn kept_by(
        &self,
        deployment: &Deployment,
        wanted: usize,
        within: Duration,
    ) -> KeptBy {
        let Some(peers) = &self.parts().peers else { return KeptBy::default() };
        let mut by = KeptBy::default();
        let (app, generation) = (deployment.app(), deployment.generation());
        let uri = format!("http://fleet{KEPT}{app}/{generation}?{WAIT}{}", WAITS.as_millis());
        let fingerprint = deployment.fingerprint().to_string();
        let others = answering(peers);
        let asked = others.iter().map(|peer| until_kept(peer, &uri, &fingerprint));
        let mut asked: FuturesUnordered<_> = asked.collect();
        let counted = async {
            while by.hosts + by.unsure < wanted {
                match asked.next().await {
                    Some(true) => by.hosts += 1,
                    Some(false) => by.unsure += 1,
                    None => break,
                }
            }
        };
        // Whatever was said until then counts.
        drop(tokio::time::timeout(within, counted).await);
        by
    }
}

/// Asks one host until it keeps it, or cannot say; whether it does.
async fn until_kept(peer: &Arc<Peer>, uri: &str, fingerprint: &str) -> bool {
    loop {
        let asked_at = Instant::now();
        match ask(peer, uri, fingerprint).await {
            Answer::Kept => return true,
            Answer::Unsure => return false,
            Answer::NotYet if asked_at.elapsed() >= WAITS => {}
            Answer::NotYet => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn ask(peer: &Arc<Peer>, uri: &str, fingerprint: &str) -> Answer {
    let Ok(request) = Request::get(uri).body(no_body()) else { return Answer::Unsure };
    let Ok(Ok((response, _in_flight))) = tokio::time::timeout(PATIENCE, peer.send(request)).await
    else {
        return Answer::NotYet;
    };
    if response.status() != StatusCode::OK {
        return Answer::Unsure;
    }
    if text_of(response).await == fingerprint { Answer::Kept } else { Answer::NotYet }
}
