//! Asks other hosts to keep components that this one would let go. A host that promises does not let its copy
//! go for an hour at its disk's bound, so two hosts do not both let go since each counts on the other. It goes
//! all the same once no deployment there needs it.
//! Does not decide what goes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::{Request, StatusCode};
use steerage_core::disk::COPIES;
use steerage_core::id::Digest;

use super::scan::Scan;
use crate::code::Loader;
use crate::code::carry::{answering, in_turn, uri};
use crate::forward::{Peer, no_body};

/// About how many components others are asked at once.
const AT_ONCE: usize = 8;
/// How long one host may take to promise something. It reads the component, to be sure.
const PATIENCE: Duration = Duration::from_secs(10);

impl Loader {
    /// How many other hosts have promised to keep each of these components, `COPIES` at most.
    pub(super) async fn ask_others(&self, scan: &Scan, places: &[usize]) -> Vec<(usize, u32)> {
        let Some(peers) = &self.parts().peers else { return Vec::new() };
        let named = places.iter().filter_map(|place| Some((*place, scan.files.get(*place)?.0)));
        let asked: Vec<_> = named
            .map(|(place, digest)| n_promised(place, digest, in_turn(answering(peers), &[])))
            .collect();
        stream::iter(asked).buffer_unordered(AT_ONCE).collect().await
    }
}

/// How many of these hosts promise to keep a component; they are asked until enough do.
async fn n_promised(place: usize, digest: Digest, others: Vec<Arc<Peer>>) -> (usize, u32) {
    let mut copies = 0;
    for peer in others {
        if copies < COPIES && promises(&peer, digest).await {
            copies += 1;
        }
    }
    (place, copies)
}

/// Whether another host has a component, and promises to keep it.
async fn promises(peer: &Arc<Peer>, digest: Digest) -> bool {
    let Ok(request) = Request::post(uri(&digest)).body(no_body()) else { return false };
    let answered = tokio::time::timeout(PATIENCE, peer.send(request)).await;
    matches!(answered, Ok(Ok((response, _in_flight))) if response.status() == StatusCode::OK)
}
