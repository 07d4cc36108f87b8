//! The story of a call whose app runs elsewhere: one hop to the less loaded of two replicas, another
//! replica when that breaks before the answer begins, and this host itself when no replica answers and
//! it may run the app.
//! Does not know where apps run: the fleet does.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, Response};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use steerage_core::id::AppName;
use steerage_core::outcome::{Outcome, Refusal};
use steerage_core::retry;

use super::head::{self, Caller};
use super::replay::{Attempt, ReplayBody, ReplayableRequest};
use super::{Accepted, CallContext, Reply};
use crate::fleet::Fleet;
use crate::forward;
use crate::respond::{BEGUN, Cut, ResponseBody};

/// By this a host tells another why it refused, and whether the guest may have done something before.
pub(super) const REFUSED: HeaderName = HeaderName::from_static("x-steerage-refused");
/// Refusals that are about the host that was asked; another one may not refuse.
const OF_HOST: [&str; 7] = [
    "draining",
    "not_ready",
    "host_full",
    "host_busy",
    "host_memory",
    "host_exhausted",
    "no_route",
];

/// Those of them that mean that there is much to do, everywhere perhaps.
const FOR_WANT_OF_ROOM: [&str; 3] = ["host_full", "host_busy", "host_memory"];

/// Passes a request on if its app runs elsewhere; returns it where it is for this host.
pub(super) async fn send(
    context: &CallContext,
    fleet: &Fleet,
    peer: &Caller,
    accepted: Accepted,
) -> Result<Reply, Accepted> {
    let (app, mut left) = match way_of(context, fleet, &accepted) {
        Way::Here => return Err(accepted),
        Way::Nowhere => return Ok(context.turn_away(accepted.id, NO_REPLICA)),
        Way::Elsewhere(app, hosts) => (app, hosts),
    };
    let (id, is_late) = (accepted.id, accepted.is_late);
    let replayable = match ReplayableRequest::read(accepted, peer).await {
        Ok(replayable) => replayable,
        Err(unread) => return Ok(context.turn_away(id, unread.into())),
    };
    let mut refused = None;
    for _ in 0..retry::TRIES {
        let Some(to) = choose(&mut left) else { break };
        context.hops.count();
        match replayable.send(&to).await {
            Attempt::Answered(response) => match refused_by_host(response.headers()) {
                Some(Refused { cause, has_begun }) if replayable.may_repeat(has_begun) => {
                    // A fleet that is full is asked again now and then only.
                    if FOR_WANT_OF_ROOM.contains(&cause) && !context.hops.may_retry() {
                        return Ok(reply(response, &replayable));
                    }
                    refused = Some(response);
                }
                _ => return Ok(reply(response, &replayable)),
            },
            Attempt::Again(broken) => {
                context.hops.again.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(call_id = %id, %broken, "asking another host");
            }
            Attempt::Lost(_) if replayable.is_broken() => {
                return Ok(context.turn_away(id, Outcome::ClientGone));
            }
            Attempt::Lost(broken) => {
                let detail = broken.to_string();
                return Ok(context.turn_away(id, Outcome::HostFailed { detail }));
            }
        }
    }
    let last_word = match is_late {
        true => Some(Outcome::Refused(Refusal::Draining)),
        false => (!fleet.may_run(&app, fleet.me())).then_some(NO_REPLICA),
    };
    if let Some(outcome) = last_word {
        let turned_away = || context.turn_away(id, outcome);
        return Ok(refused.map_or_else(turned_away, |refused| reply(refused, &replayable)));
    }
    // Any host can run any app that may run there.
    context.hops.fallen_back.fetch_add(1, Ordering::Relaxed);
    Err(replayable.open())
}

/// Who serves a request.
enum Way {
    /// This host.
    Here,
    /// Nobody: no replica is known, and this host may not run the app.
    Nowhere,
    /// One of these hosts.
    Elsewhere(AppName, Vec<Arc<forward::Peer>>),
}

const NO_REPLICA: Outcome = Outcome::Refused(Refusal::NoReplica);

fn way_of(context: &CallContext, fleet: &Fleet, accepted: &Accepted) -> Way {
    let snapshot = context.catalog.load();
    let Some(found) = snapshot.routes.find(&accepted.host, accepted.request.uri().path()) else {
        return Way::Here;
    };
    let app = &found.target.app.name;
    if context.catalog.is_quarantined(app, found.target.app.generation) {
        // It is refused here as well as anywhere.
        return Way::Here;
    }
    let replicas = fleet.replicas(app);
    if accepted.is_late {
        // Those that are here are about to go, so anybody else will do who may.
        let elsewhere = replicas.map(|replicas| replicas.elsewhere.clone()).unwrap_or_default();
        if !elsewhere.is_empty() {
            return Way::Elsewhere(app.clone(), elsewhere);
        }
        let mut all = fleet.peers().all();
        all.retain(|peer| fleet.may_run(app, &peer.name));
        return Way::Elsewhere(app.clone(), all);
    }
    match replicas {
        Some(replicas) if !replicas.is_here => match replicas.elsewhere.is_empty() {
            false => Way::Elsewhere(app.clone(), replicas.elsewhere.clone()),
            true if fleet.may_run(app, fleet.me()) => Way::Here,
            true => Way::Nowhere,
        },
        _ => Way::Here,
    }
}

/// Takes out the less loaded of two that answer, chosen at random; see Mitzenmacher, The Power of Two
/// Choices.
fn choose(left: &mut Vec<Arc<forward::Peer>>) -> Option<Arc<forward::Peer>> {
    left.retain(|peer| peer.liveness().is_candidate_for_calls());
    let n_left = left.len();
    let first = head::random_below(n_left)?;
    let second = head::random_below(n_left)?;
    let load = |place: usize| left.get(place).map_or(usize::MAX, |peer| peer.in_flight());
    let best = if load(second) < load(first) { second } else { first };
    Some(left.swap_remove(best))
}

/// Why a host refused, where that is about the host and not about the app.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    cause: &'static str,
    /// Whether the guest may have done something before.
    has_begun: bool,
}

fn refused_by_host(headers: &HeaderMap) -> Option<Refused> {
    let said = headers.get(REFUSED)?.to_str().ok()?;
    let cause = said.strip_suffix(BEGUN);
    let (cause, has_begun) = (cause.unwrap_or(said), cause.is_some());
    let cause = OF_HOST.into_iter().find(|of_host| *of_host == cause)?;
    Some(Refused { cause, has_begun })
}

fn reply(mut response: Response<ReplayBody>, replayable: &ReplayableRequest) -> Reply {
    response.headers_mut().remove(REFUSED);
    head::mark(response.headers_mut(), replayable.id());
    *response.version_mut() = http::Version::HTTP_11;
    response.map(|body| match body {
        ReplayBody::Whole(bytes) => ResponseBody::Host(bytes),
        ReplayBody::Coming(held, body, in_flight) => {
            let coming = BodyStream::new(body).map(move |frame| {
                let _under_way = &in_flight;
                frame.map_err(|_| Cut::by("host_lost"))
            });
            let all = stream::iter(held.into_iter().map(Ok)).chain(coming);
            ResponseBody::Elsewhere(StreamBody::new(all).boxed_unsync())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_whether_the_guest_had_begun() {
        for cause in OF_HOST {
            for (begun, has_begun) in [("", false), (BEGUN, true)] {
                let said = format!("{cause}{begun}").parse().unwrap();
                let headers = HeaderMap::from_iter([(REFUSED, said)]);
                assert_eq!(refused_by_host(&headers), Some(Refused { cause, has_begun }));
            }
        }
        for said in ["app_busy", "app_busy; begun", "draining; of a later version"] {
            let headers = HeaderMap::from_iter([(REFUSED, said.parse().unwrap())]);
            assert_eq!(refused_by_host(&headers), None, "{said}");
        }
        assert_eq!(refused_by_host(&HeaderMap::new()), None);
    }
}
