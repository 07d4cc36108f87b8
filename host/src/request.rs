//! The story of one call: accept, route, admit, call, answer. The only file that knows the order.
//! Each stage takes what the one before it returned, so that none can be skipped.

mod accepted;
mod capture;
mod context;
mod forwarded;
mod guards;
pub mod head;
mod hops;
mod host_headers;
pub mod inbound;
mod one_app;
mod peer_api;
mod peer_blobs;
mod peer_certificates;
mod proxied;
mod proxy;
mod record;
mod replay;
mod spin_headers;
mod told;
mod trace;
mod well_known;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request, Response};
use steerage_core::id::CallId;
use steerage_core::outcome::{Outcome, Refusal};
use steerage_core::spent::Phase;

use self::accepted::{Accepted, Head, read, read_and_complete};
pub use self::context::CallContext;
use self::forwarded::Forwarded;
use self::guards::{EndOnDrop, QueuedUntilDrop, StopOnDrop};
use self::head::{Caller, REQUEST_ID, Visitor};
pub use self::hops::Hops;
use self::host_headers::DeferredHeaders;
use self::inbound::{Inbound, RequestBody};
pub use self::peer_api::{PeerApi, PeerApiSlot};
use self::proxied::Proxied;
use self::record::{Beginning, CallRecord};
use crate::admission::Permit;
use crate::call::{CallSide, GuestResponse, ResponseSender};
use crate::catalog::LoadedDeployment;
use crate::forward::RUN;
use crate::header::HostHeaders;
use crate::io_charge;
use crate::listener::upload::Upload;
use crate::meter;
use crate::respond::{self, ResponseBody, guest};
use crate::sandbox::instance::GuestRequest;
use crate::sandbox::verdict::GuestKind;

/// How long a host of a fleet waits for the end of an answer whose head is there.
const WHOLE_WITHIN: Duration = Duration::from_millis(3);

/// A response of this host.
pub type Reply = Response<ResponseBody>;

/// A request whose app is known, as the guest shall see it.
struct Routed {
    is_late: bool,
    call: CallSide,
    started_at: Instant,
    deployed: Arc<LoadedDeployment>,
    /// In a box from here to the guest: each stage would move some 500 bytes several times.
    guest_request: Box<GuestRequest<RequestBody>>,
}

/// A request that may run now.
struct Admitted {
    routed: Routed,
    permit: Permit,
}

/// What came of the call.
struct Answered {
    call: CallSide,
    deployed: Arc<LoadedDeployment>,
    is_head: bool,
    answer: Option<GuestResponse>,
}

/// Serves one request, from its head to the last byte of its answer.
pub async fn serve(context: &Arc<CallContext>, by: &Visitor, request: Request<Upload>) -> Reply {
    let peer = &by.caller;
    let mut request = request.map(Inbound::Coming);
    let is_head = request.method() == Method::HEAD;
    // In boxes: what few calls need would make the future of every call larger, which is moved.
    let reply = if peer.is_fleet {
        return Box::pin(serve_host(context, by, request)).await;
    } else if proxied::is_trusted(peer, &context.trusted_proxies) {
        Box::pin(serve_proxied(context, peer, request)).await
    } else {
        let id = head::new_call_id();
        let head = read(&mut request, peer);
        tell_story(context, peer, (id, meter::now()), head, request).await
    };
    if is_head { respond::without_body(reply) } else { reply }
}

/// The same for another host of the fleet.
async fn serve_host(context: &Arc<CallContext>, by: &Visitor, request: Request<Inbound>) -> Reply {
    let peer = &by.caller;
    let is_head = request.method() == Method::HEAD;
    if let Some(uri) = peer_api::asked(&request) {
        return context.peer_api.answer(uri).await;
    }
    if peer_certificates::is_asked(&request) {
        return peer_certificates::answer(context, by, request).await;
    }
    let mut request = match peer_blobs::answer(context, request).await {
        Ok(reply) => return reply,
        Err(request) => request,
    };
    let reply = match forwarded::take(request.headers_mut()) {
        Some(Forwarded { client, id, age }) => {
            let now = meter::now();
            let started_at = now.checked_sub(age).unwrap_or(now);
            // What guests are told was put there by the host before this one.
            let host = head::read(&mut request, &client);
            let head = host.map(|host| Head { host, is_completed: true });
            tell_story(context, &client, (id, started_at), head, request).await
        }
        None => {
            let id = head::new_call_id();
            let head = read_and_complete(&mut request, id, peer);
            let mut reply = tell_story(context, peer, (id, meter::now()), head, request).await;
            if let Some(fleet) = &context.fleet {
                // It is asked for itself: whether it is there, and in which run.
                reply.headers_mut().insert(RUN, fleet.run().into());
            }
            reply
        }
    };
    let reply = if is_head { respond::without_body(reply) } else { reply };
    respond::for_host(reply, &proxy::REFUSED, is_head)
}

/// The same for a proxy that says whom a request comes from.
async fn serve_proxied(
    context: &Arc<CallContext>,
    proxy: &Caller,
    mut request: Request<Inbound>,
) -> Reply {
    let proxied = Proxied::read(request.headers(), proxy, &context.trusted_proxies);
    let id = proxied.call_id.unwrap_or_else(head::new_call_id);
    let head = read_and_complete(&mut request, id, &proxied.client);
    proxied.tell(request.headers_mut());
    let call = (id, meter::now());
    let mut reply = tell_story(context, &proxied.client, call, head, request).await;
    if let Some(id) = proxied.request_id {
        reply.headers_mut().insert(REQUEST_ID, id);
    }
    reply
}

async fn tell_story(
    context: &Arc<CallContext>,
    peer: &Caller,
    (id, started_at): (CallId, Instant),
    head: Result<Head, Refusal>,
    request: Request<Inbound>,
) -> Reply {
    let is_late = context.shutdown.is_cut();
    let mut accepted = match head {
        Ok(Head { host, is_completed }) => {
            Accepted { id, is_late, started_at, host, is_completed, request }
        }
        Err(refusal) => return context.turn_away(id, Outcome::Refused(refusal)),
    };
    if let Some(report) = well_known::answer(&accepted, context) {
        return report;
    }
    // One hop at most: what another host passed on is served here.
    if let Some(fleet) = context.fleet.as_ref().filter(|_| !peer.is_fleet) {
        accepted.complete(peer);
        accepted = match Box::pin(proxy::send(context, fleet, peer, accepted)).await {
            Ok(reply) => return reply,
            Err(accepted) => accepted,
        };
    }
    let routed = match accepted.route(context, peer).await {
        Ok(routed) => routed,
        Err(outcome) => return context.turn_away(id, outcome),
    };
    if peer.is_fleet && routed.guest_request.deadline <= tokio::time::Instant::now() {
        // The host before this one, or those that it asked, have taken all its time.
        let limit = routed.deployed.prepared.limits().timeout;
        return respond::fail(&routed.call, Outcome::TimedOut { limit });
    }
    match routed.admit(context).await {
        Ok(admitted) => admitted.call(context, peer).await.reply(),
        Err((call, refusal)) => respond::fail(&call, Outcome::Refused(refusal)),
    }
}

impl Accepted {
    async fn route(self, context: &Arc<CallContext>, peer: &Caller) -> Result<Routed, Outcome> {
        let Self { id, is_late, started_at, host, is_completed, request } = self;
        let (mut parts, body) = request.into_parts();
        let trace = context
            .collector
            .spans
            .as_ref()
            .map(|spans| trace::of_call(&parts.headers, id, spans.sampler()));
        let (ready, route, place, mut untold, count) = {
            let snapshot = context.catalog.load();
            let path = parts.uri.path();
            let found = match snapshot.routes.find(&host, path) {
                None if context.is_for_one_app => one_app::find(&snapshot.routes, path),
                found => found.ok_or(Refusal::NoRoute),
            };
            if found.is_err() {
                context.note_without_route(started_at, &host, path);
            }
            let found = found.map_err(Outcome::Refused)?;
            let (route, place) = (found.target.route(), host_headers::place(&found, path, peer));
            let untold = if is_completed {
                if let Some(trace) = &trace {
                    trace::tell(&mut parts.headers, trace);
                }
                DeferredHeaders::of_route(&found)
            } else {
                DeferredHeaders::of(&found, id, trace, peer)
            };
            let app = &found.target.app;
            if context.catalog.is_quarantined(&app.name, app.generation) {
                return Err(Outcome::Refused(Refusal::Quarantined));
            }
            app.touch(context.loader.clock(started_at));
            let (ready, count) = app.pick(head::draw);
            (ready.ok_or_else(|| app.clone()), route, place, untold, count)
        };
        let asked_at = meter::now();
        let deployed = match ready {
            Ok(deployed) => deployed,
            Err(app) => Box::pin(context.loader.load(&app)).await?,
        };
        io_charge::is_for(&deployed.state.flow);
        let (route, deployed_to) = (&route, &deployed);
        let call =
            Beginning { id, started_at, client: peer, deployed: deployed_to, route, count, trace };
        let call = CallRecord::begin(context, call, &parts);
        if deployed.prepared.spin().is_some() {
            untold.add_spin(&parts, peer);
        }
        call.time().add(Phase::Code, meter::since(asked_at));
        let limits = deployed.prepared.limits();
        let deadline = tokio::time::Instant::from_std(started_at + limits.timeout);
        let head = ResponseSender::new(call.call().clone());
        let body = RequestBody::new(body, limits.request_body, call.call().clone());
        let mut request = Request::from_parts(parts, body);
        let kind = deployed.prepared.kind();
        // Guests of 0.2 ask for their headers; all others are given them.
        let host_headers = if kind == GuestKind::Http02 {
            Some(untold as Box<dyn HostHeaders>)
        } else {
            untold.set(request.headers_mut());
            None
        };
        if kind == GuestKind::Http03 {
            head::complete_uri(&mut request, peer.https);
        }
        let https = peer.https;
        let given =
            GuestRequest { request, host_headers, https, place, deadline, head, tape: None };
        Ok(Routed { is_late, call, started_at, deployed, guest_request: Box::new(given) })
    }
}

impl Routed {
    /// Waits until it may run; returns the call where it may not.
    async fn admit(self, context: &CallContext) -> Result<Admitted, (CallSide, Refusal)> {
        match self.permit(context).await {
            Ok(permit) => Ok(Admitted { routed: self, permit }),
            Err(refusal) => Err((self.call, refusal)),
        }
    }

    async fn permit(&self, context: &CallContext) -> Result<Permit, Refusal> {
        if self.is_late {
            return Err(Refusal::Draining);
        }
        let deployed = &self.deployed;
        let limits = deployed.prepared.limits();
        let headers = self.guest_request.request.headers();
        if head::content_length(headers).unwrap_or(0) > limits.request_body.get() {
            return Err(Refusal::RequestTooLarge { limit: limits.request_body });
        }
        deployed.state.memory.admit()?;
        let (needs, deadline) = (deployed.prepared.slots(), self.guest_request.deadline);
        let queued = QueuedUntilDrop::new(&self.call);
        let permit = deployed.state.gate.admit(limits, needs, self.started_at, deadline).await;
        drop(queued);
        let permit = permit?;
        // What was cut has made room for what waited. It was not begun, so another host may have it.
        if context.shutdown.is_cut() {
            return Err(Refusal::Draining);
        }
        context.crash_log.note(deployed);
        Ok(permit)
    }
}

impl Admitted {
    async fn call(self, context: &Arc<CallContext>, peer: &Caller) -> Answered {
        let Self { routed, permit } = self;
        let Routed { call, deployed, guest_request, .. } = routed;
        let method = guest_request.request.method();
        let (is_head, is_idempotent) = (*method == Method::HEAD, method.is_idempotent());
        let guest = {
            let deployed = deployed.clone();
            let ending = EndOnDrop { call: call.clone(), context: context.clone() };
            let admitted_at = meter::now();
            Box::pin(async move {
                ending.call.call().time().note_first_slice(admitted_at, meter::now());
                ending.call.begin();
                deployed.prepared.run(ending.call.call(), guest_request).await;
                drop(permit);
                ending.context.crash_log.note_end(&deployed);
                drop(ending);
            })
        };
        let watch = StopOnDrop::new(&call);
        context.cpu.run(&deployed.state.flow, call.call(), guest).await;
        let answer = call.answered().await;
        if answer.is_none() {
            // The guest gave up its right to answer and may run on: how it ends is the answer.
            call.over().await;
        }
        if peer.is_fleet && is_idempotent && !call.is_over() {
            // A small answer is there whole, or not at all and asked for again, should this host be lost.
            drop(Box::pin(tokio::time::timeout(WHOLE_WITHIN, call.over())).await);
        }
        watch.disarm();
        Answered { call, deployed, is_head, answer }
    }
}

impl Answered {
    fn reply(self) -> Reply {
        let Self { call, deployed, is_head, answer } = self;
        // What failed before anything was sent is told, whatever response was set by then.
        if call.failed() {
            return respond::failure(&call);
        }
        let response = match answer {
            Some(Ok(response)) => response,
            Some(Err(detail)) => return respond::fail(&call, Outcome::NoAnswer { detail }),
            None => return respond::failure(&call),
        };
        call.set_status(response.status().as_u16());
        let limit = deployed.prepared.limits().response_body;
        match guest::answer(response, is_head, &call, limit) {
            Ok(mut reply) => {
                // Spin's rules for hosts have no header in an answer that the guest did not give.
                if deployed.prepared.spin().is_some() {
                    guest::leave_length_unsaid(&mut reply);
                } else {
                    head::mark(reply.headers_mut(), call.id);
                }
                reply
            }
            Err(outcome) => respond::fail(&call, outcome),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<'r, F>(
        _: fn(&'r Arc<CallContext>, &'r Visitor, Request<Upload>) -> F,
    ) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_future_of_a_call_is_small() {
        // It is moved for each call. What only fleets need had made it 11 KiB.
        let size = size_of_future(serve);
        assert!(size <= 2500, "{size} bytes");
    }
}
