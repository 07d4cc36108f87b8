//! Components between hosts: fetched from whichever has them, brought to others before a deployment
//! is acknowledged. Every byte is verified where it arrives.
//! Does not know which host should have which.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use steerage_core::id::{AppName, Digest, HostName};
use tokio_util::io::ReaderStream;

use super::{CodeError, Loader};
use crate::blobs::{BlobError, PinOwner};
use crate::forward::{Body, Peer, Peers, no_body};
use crate::telemetry::chain;

/// Where hosts ask each other for components.
pub const COMPONENTS: &str = "/.well-known/steerage/fleet/blobs/";
/// Before the owner of the pin under which a component is brought, in the query.
pub const FOR: &str = "for=";
/// How long a transfer may take at least, and how much more for each so many bytes: a host whose disk
/// stands still is not waited for, and slow lines are.
const PATIENCE: Duration = Duration::from_secs(15);
const BYTES_A_SECOND: u64 = 256 << 10;
/// How often a transfer says how far it is.
const PROGRESS: Duration = Duration::from_secs(1);

impl Loader {
    /// Sees to it that a component is here, fetching it from another host where it is not: from those
    /// that are said to have it, and where they have not, from any other.
    ///
    /// # Errors
    /// No host that answers has it, or this one has no room for it.
    pub async fn download(&self, digest: Digest, who_has: &[HostName]) -> Result<(), CodeError> {
        let parts = self.parts();
        if parts.blobs.contains(&digest) {
            return Ok(());
        }
        let Some(peers) = &parts.peers else { return Ok(()) };
        let mut asked = Vec::new();
        for peer in in_turn(answering(peers), who_has) {
            let within = patience(parts.max_component.get());
            let fetched = tokio::time::timeout(within, self.fetch_from(&peer, digest)).await;
            let too_long = || NotTaken::There(format!("not there within {within:?}"));
            match fetched.unwrap_or_else(|_| Err(too_long())) {
                Ok(()) => return Ok(()),
                Err(NotTaken::Full(error)) => return Err(error.into()),
                Err(NotTaken::There(why)) => asked.push(format!("{}: {why}", peer.name)),
            }
        }
        let asked =
            if asked.is_empty() { "no other host answers".into() } else { asked.join("; ") };
        Err(CodeError::Missing { digest, asked })
    }

    async fn fetch_from(&self, peer: &Arc<Peer>, digest: Digest) -> Result<(), NotTaken> {
        let parts = self.parts();
        let there = |error: &dyn std::error::Error| NotTaken::There(chain(error));
        let request = Request::get(uri(&digest)).body(no_body()).map_err(|error| there(&error))?;
        let asked = tokio::time::timeout(PATIENCE, peer.send(request)).await;
        let asked = asked.map_err(|_| NotTaken::There(format!("no answer within {PATIENCE:?}")))?;
        let (response, in_flight) = asked.map_err(|error| there(&error))?;
        if response.status() != StatusCode::OK {
            return Err(NotTaken::There(text_of(response).await));
        }
        let size = http_body::Body::size_hint(response.body()).exact();
        let chunks = response.into_body().into_data_stream();
        let what = format!("component {digest} from {}", peer.name);
        let mut chunks = Box::pin(with_progress(chunks, what, size));
        let taken = parts.blobs.put(digest, &mut chunks, parts.max_component).await;
        drop(in_flight);
        match taken {
            Ok(bytes) => {
                self.note_written(bytes);
                Ok(())
            }
            Err(error @ BlobError::Full { .. }) => Err(NotTaken::Full(error)),
            Err(error) => Err(there(&error)),
        }
    }

    /// Brings a component to `wanted` other hosts for a deployment of an app that they will hear of;
    /// returns how many have it then. Fewer answer where the fleet is smaller.
    pub async fn spread(&self, app: &AppName, digest: Digest, wanted: usize) -> usize {
        let owner = PinOwner::App(app.clone());
        let Some(peers) = &self.parts().peers else { return 0 };
        let mut n_have = 0;
        let within = patience(self.parts().blobs.size(&digest).unwrap_or(0));
        let mut others = answering(peers);
        // Beginning with another one for each component, so that not all are brought to the same few.
        let first = digest.as_bytes().first().map_or(0, |byte| usize::from(*byte));
        let first = first.checked_rem(others.len()).unwrap_or(0);
        others.rotate_left(first);
        for peer in others {
            if n_have == wanted {
                break;
            }
            let loaded = tokio::time::timeout(within, self.bring_to(&peer, digest, &owner)).await;
            match loaded.unwrap_or_else(|_| Err(format!("not taken within {within:?}"))) {
                Ok(()) => n_have += 1,
                Err(why) => {
                    tracing::warn!(host = %peer.name, %digest, why, "cannot bring it there");
                }
            }
        }
        n_have
    }

    async fn bring_to(
        &self,
        peer: &Arc<Peer>,
        digest: Digest,
        owner: &PinOwner,
    ) -> Result<(), String> {
        let blobs = &self.parts().blobs;
        let size = blobs.size(&digest).map_err(|error| chain(&error))?;
        let file = tokio::fs::File::open(blobs.path(&digest)).await;
        let file = file.map_err(|error| error.to_string())?;
        let chunks = ReaderStream::with_capacity(file, 64 << 10);
        let what = format!("component {digest} to {}", peer.name);
        let frames = with_progress(chunks, what, Some(size)).map(|chunk| match chunk {
            Ok(bytes) => Ok(http_body::Frame::data(bytes)),
            Err(error) => Err(error.into()),
        });
        let body: Body = StreamBody::new(frames).boxed_unsync();
        let uri = format!("{}?{FOR}{owner}", uri(&digest));
        let request = Request::put(uri).body(body).map_err(|error| error.to_string())?;
        let (response, _in_flight) = peer.send(request).await.map_err(|error| error.to_string())?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(text_of(response).await)
    }
}

/// Those first that are said to have something, and either in an order that is another one each time:
/// many hosts ask at once, and must not all ask the same one.
pub(super) fn in_turn(mut all: Vec<Arc<Peer>>, who_has: &[HostName]) -> Vec<Arc<Peer>> {
    fastrand::shuffle(&mut all);
    all.sort_by_key(|peer| !who_has.contains(&peer.name));
    all
}

pub(super) fn answering(peers: &Peers) -> Vec<Arc<Peer>> {
    let mut all = peers.all();
    all.retain(|peer| peer.liveness().is_candidate_for_calls());
    all
}

/// How long a transfer of so many bytes may take.
fn patience(n_bytes: u64) -> Duration {
    PATIENCE.saturating_add(Duration::from_secs(n_bytes / BYTES_A_SECOND))
}

/// Why a component was not taken from another host.
enum NotTaken {
    /// There is no room for it here: no other host can help.
    Full(BlobError),
    /// The other one does not have it, or does not answer, as a text.
    There(String),
}

/// What another host said instead.
pub(super) async fn text_of(response: Response<Incoming>) -> String {
    let text = response.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    String::from_utf8_lossy(&text.unwrap_or_default()).into_owned()
}

pub(super) fn uri(digest: &Digest) -> String {
    format!("http://fleet{COMPONENTS}{digest}")
}

/// Logs now and then how much has passed.
fn with_progress<E>(
    chunks: impl Stream<Item = Result<Bytes, E>> + Send,
    what: String,
    size: Option<u64>,
) -> impl Stream<Item = Result<Bytes, E>> + Send {
    let (mut passed, mut told_at, began_at) = (0u64, Instant::now(), Instant::now());
    tracing::info!(size, "{what}: begins");
    chunks.inspect(move |chunk| {
        let Ok(bytes) = chunk else { return };
        passed += bytes.len() as u64;
        if Some(passed) == size {
            let took_ms = u64::try_from(began_at.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(bytes = passed, took_ms, "{what}: done");
        } else if told_at.elapsed() >= PROGRESS {
            told_at = Instant::now();
            tracing::info!(bytes = passed, of = size, "{what}");
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use steerage_core::liveness::LeaseState;

    use super::*;

    #[test]
    fn those_that_are_said_to_have_it_are_asked_first_and_not_all_hosts_ask_the_same() {
        let peers = Peers::new(None);
        let names: Vec<HostName> = (0..8).map(|n| format!("h{n}").parse().unwrap()).collect();
        for name in &names {
            peers.know(name, (([127, 0, 0, 1], 1).into(), 1), LeaseState::Held);
        }
        let who_has = [names[3].clone(), names[6].clone()];
        let mut firsts = BTreeSet::new();
        for _ in 0..100 {
            let asked = in_turn(answering(&peers), &who_has);
            let asked: Vec<&HostName> = asked.iter().map(|peer| &peer.name).collect();
            assert_eq!(asked.len(), names.len());
            assert!(asked[..2].iter().all(|name| who_has.contains(name)), "{asked:?}");
            firsts.insert(asked[0].clone());
        }
        // Of a hundred even draws, all alike is as likely as one in 2^99.
        assert_eq!(firsts.len(), 2);
    }
}
