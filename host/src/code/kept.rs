//! Whether other hosts keep a deployment: its record in their ledgers, and its component on their disks.
//! Brings nothing there: `carry` does, and following the store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use steerage_core::id::{AppName, Generation};

use super::Loader;
use super::carry::{answering, text_of};
use crate::forward::{Body, Peer};
use crate::ledger::deployment::Deployment;
use crate::ledger::record::Fingerprint;

/// Where hosts ask each other what they keep, as `APP/GENERATION`.
pub const KEPT: &str = "/.well-known/steerage/fleet/kept/";
/// What a host says that does not keep it yet.
pub const NOT_YET: &str = "not yet";
/// How long one host may take to say so.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait between two questions.
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

    /// Asks the other hosts until `wanted` of them keep a deployment, or for as long as `within`.
    pub async fn kept_by(
        &self,
        deployment: &Deployment,
        wanted: usize,
        within: Duration,
    ) -> KeptBy {
        let Some(peers) = &self.parts().peers else { return KeptBy::default() };
        let (mut left, mut by) = (answering(peers), KeptBy::default());
        let uri = format!("http://fleet{KEPT}{}/{}", deployment.app(), deployment.generation());
        let fingerprint = deployment.fingerprint().to_string();
        let asked = async {
            while by.hosts + by.unsure < wanted && !left.is_empty() {
                let said = join_all(left.iter().map(|peer| ask(peer, &uri, &fingerprint))).await;
                by.hosts += said.iter().filter(|said| matches!(said, Answer::Kept)).count();
                by.unsure += said.iter().filter(|said| matches!(said, Answer::Unsure)).count();
                let mut said = said.into_iter();
                left.retain(|_| matches!(said.next(), Some(Answer::NotYet)));
                if by.hosts + by.unsure < wanted {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        // Whatever was said until then counts.
        drop(tokio::time::timeout(within, asked).await);
        by
    }
}

async fn ask(peer: &Arc<Peer>, uri: &str, fingerprint: &str) -> Answer {
    let body: Body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
    let Ok(request) = Request::get(uri).body(body) else { return Answer::Unsure };
    let Ok(Ok((response, _in_flight))) = tokio::time::timeout(PATIENCE, peer.send(request)).await
    else {
        return Answer::NotYet;
    };
    if response.status() != StatusCode::OK {
        return Answer::Unsure;
    }
    if text_of(response).await == fingerprint { Answer::Kept } else { Answer::NotYet }
}
