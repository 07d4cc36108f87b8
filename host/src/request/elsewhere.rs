//! The story of a call whose app runs elsewhere: one hop to the less loaded of two replicas, another
//! replica when that breaks before the answer begins, and this host itself when no replica answers.
//! Does not know where apps run: the fleet does.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{StreamExt, stream};
use http::{HeaderName, Response};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use steerage_core::outcome::{Outcome, Refusal};

use super::head::{self, Peer};
use super::letter::{Letter, Posted, Reading};
use super::{Front, Incoming, Reply};
use crate::fleet::Fleet;
use crate::forward::{self, Health};
use crate::respond::{Cut, ResponseBody};

/// By this a host tells another that it refused before anything ran.
pub(super) const REFUSED: HeaderName = HeaderName::from_static("x-steerage-refused");
/// Refusals that are about the host that was asked; another one may not refuse.
const OF_HOST: [&str; 6] =
    ["draining", "not_ready", "host_full", "host_busy", "host_memory", "no_route"];

/// Passes a request on if its app runs elsewhere; returns it where it is for this host.
pub(super) async fn send(
    front: &Front,
    fleet: &Fleet,
    peer: &Peer,
    incoming: Incoming,
) -> Result<Reply, Incoming> {
    let Some(mut left) = hosts_for(front, fleet, &incoming) else { return Err(incoming) };
    let (id, is_late) = (incoming.id, incoming.is_late);
    let letter = match Letter::write(incoming, peer).await {
        Ok(letter) => letter,
        Err(unread) => return Ok(front.turn_away(id, unread.into())),
    };
    let mut refused = None;
    while let Some(to) = choose(&mut left) {
        front.hops.sent.fetch_add(1, Ordering::Relaxed);
        match letter.post(&to).await {
            Posted::Answered(response) => match refused_by_host(&response) {
                true if letter.is_whole() => refused = Some(response),
                _ => return Ok(reply(response, &letter)),
            },
            Posted::Again(broken) => {
                front.hops.again.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(call_id = %id, %broken, "asking another host");
            }
            Posted::Lost(_) if letter.is_broken() => {
                return Ok(front.turn_away(id, Outcome::ClientGone));
            }
            Posted::Lost(broken) => {
                let detail = broken.to_string();
                return Ok(front.turn_away(id, Outcome::HostFailed { detail }));
            }
        }
    }
    if is_late {
        let draining = || front.turn_away(id, Outcome::Refused(Refusal::Draining));
        return Ok(refused.map_or_else(draining, |refused| reply(refused, &letter)));
    }
    // Any host can run any app.
    front.hops.fallen_back.fetch_add(1, Ordering::Relaxed);
    Err(letter.open())
}

/// The hosts to ask, if this one is not to serve the request itself.
fn hosts_for(front: &Front, fleet: &Fleet, incoming: &Incoming) -> Option<Vec<Arc<forward::Peer>>> {
    let snapshot = front.catalog.load();
    let found = snapshot.routes.find(&incoming.host, incoming.request.uri().path())?;
    let replicas = fleet.replicas(&found.target.app.name);
    if incoming.is_late {
        // Those that are here are about to go, so anybody else will do.
        let elsewhere = replicas.map(|replicas| replicas.elsewhere.clone()).unwrap_or_default();
        return Some(if elsewhere.is_empty() { fleet.peers().all() } else { elsewhere });
    }
    let replicas = replicas?;
    (!replicas.is_here && !replicas.elsewhere.is_empty()).then(|| replicas.elsewhere.clone())
}

/// Takes out the less loaded of two that answer, chosen at random; see Mitzenmacher, The Power of Two
/// Choices.
fn choose(left: &mut Vec<Arc<forward::Peer>>) -> Option<Arc<forward::Peer>> {
    left.retain(|peer| peer.health() == Health::Answers);
    let n_left = left.len();
    let first = head::random_below(n_left)?;
    let second = head::random_below(n_left)?;
    let load = |place: usize| left.get(place).map_or(usize::MAX, |peer| peer.in_flight());
    let best = if load(second) < load(first) { second } else { first };
    Some(left.swap_remove(best))
}

fn refused_by_host(response: &Response<Reading>) -> bool {
    let cause = response.headers().get(REFUSED).and_then(|cause| cause.to_str().ok());
    cause.is_some_and(|cause| OF_HOST.contains(&cause))
}

fn reply(mut response: Response<Reading>, letter: &Letter) -> Reply {
    response.headers_mut().remove(REFUSED);
    head::mark(response.headers_mut(), letter.id());
    *response.version_mut() = http::Version::HTTP_11;
    response.map(|body| match body {
        Reading::Whole(bytes) => ResponseBody::Host(bytes),
        Reading::Coming(held, body, in_flight) => {
            let coming = BodyStream::new(body).map(move |frame| {
                let _under_way = &in_flight;
                frame.map_err(|_| Cut::by("host_lost"))
            });
            let all = stream::iter(held.into_iter().map(Ok)).chain(coming);
            ResponseBody::Elsewhere(StreamBody::new(all).boxed_unsync())
        }
    })
}
