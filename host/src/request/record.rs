//! What is recorded of a call when both its sides are gone: it is counted, logged and told once.
//! Does not decide how it ended; `Call` holds that.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{HeaderValue, Method};
use steerage_core::id::CallId;
use steerage_core::outcome::{Fault, Outcome};
use steerage_core::spent::TimeSpent;
use steerage_core::trace::CallTrace;

use super::head::Caller;
use super::told::{EndedParts, LONGEST_PATH, RequestHead, http_kind};
use super::{CallContext, capture};
use crate::call::{Call, CallIds, CallSide, Recorder, Usage};
use crate::catalog::{Count, LoadedDeployment};
use crate::meter;
use crate::telemetry::calls::CallSummary;
use crate::telemetry::events::{Event, EventPlace, Same, Severity};
use crate::telemetry::problems::EndedCall;

/// A method of more bytes than this is cut where it is kept; none that is in use is half as long.
const LONGEST_METHOD: usize = 32;

/// What is recorded of a call that was routed, once both its sides are gone.
#[derive(Debug)]
pub(super) struct CallRecord {
    deployed: Arc<LoadedDeployment>,
    count: Option<Arc<Count>>,
    context: Arc<CallContext>,
    client: IpAddr,
    method: Method,
    path: Arc<str>,
    span: tracing::Span,
    /// What is told outside only, where anybody is told.
    told: Option<Box<RequestHead>>,
}

/// A call that is about to begin.
pub(super) struct Beginning<'c> {
    pub(super) id: CallId,
    pub(super) started_at: Instant,
    /// Who called.
    pub(super) client: &'c Caller,
    /// The deployment that serves it.
    pub(super) deployed: &'c Arc<LoadedDeployment>,
    /// The route as the manifest has it.
    pub(super) route: &'c HeaderValue,
    /// Where it is counted, while a deployment is on trial.
    pub(super) count: Option<Arc<Count>>,
    /// Where it stands in its trace, where spans are exported.
    pub(super) trace: Option<CallTrace>,
}

impl CallRecord {
    /// Begins a call that is recorded.
    pub(super) fn begin(
        context: &Arc<CallContext>,
        call: Beginning<'_>,
        request: &Parts,
    ) -> CallSide {
        let Beginning { id, started_at, client, deployed, route, count, trace } = call;
        let path = request.uri.path();
        let path = path.get(..path.floor_char_boundary(LONGEST_PATH)).unwrap_or(path);
        let path = &*deployed.state.log.hidden().taken_out_of(path);
        let method = cut(&request.method);
        let span = tracing::debug_span!(
            "call",
            call_id = %id,
            app = %deployed.app,
            deployment = %deployed.generation,
            "http.request.method" = %method,
            "http.route" = route.to_str().unwrap_or_default(),
            "url.path" = path,
            "http.response.status_code" = tracing::field::Empty,
            outcome = tracing::field::Empty,
            fuel = tracing::field::Empty,
        );
        let (deployed, context, path) = (deployed.clone(), context.clone(), path.into());
        let is_told = trace.is_some() || context.access_log.is_some();
        let told = is_told.then(|| Box::new(RequestHead::of(request, route, client.https, trace)));
        let client = client.remote.ip();
        let record = Self { deployed, count, context, client, method, path, span, told };
        let call: Arc<Call> = Arc::new(Call::new(id, started_at, record));
        if let Some(trace) = trace {
            call.time().spans().tell_below(trace.told());
        }
        CallSide::of(call)
    }

    /// Tells that the host does not do as the manifest says.
    fn tell_of_reuse(&self, call: CallId, n_served: u32) {
        let calls = if n_served == 1 { "1 call" } else { &format!("{n_served} calls") };
        let message = format!(
            "an instance answers no more than {calls}: one that had was asked again and gave no \
             answer, a fresh one did; instances of this deployment serve {calls} from now on"
        );
        let advice = format!(
            "set [instance] reuse = {n_served}, or build the guest with a toolchain whose instances \
             take more requests"
        );
        self.context.events.push(Event {
            app: Some(self.deployed.app.clone()),
            generation: Some(self.deployed.generation),
            call: Some(call),
            severity: Severity::Warning,
            advice: Some(advice),
            ..Event::now("reuse_refused", message)
        });
    }

    fn tell(&self, call: CallIds, outcome: &Outcome, usage: &Usage, spent: &TimeSpent) {
        let severity = match outcome.fault() {
            Fault::None | Fault::Client => return,
            Fault::Guest => Severity::Warning,
            Fault::Host => Severity::Error,
        };
        let same = Same {
            app: Some(&self.deployed.app),
            generation: Some(self.deployed.generation),
            kind: outcome.cause(),
            place: self.place(outcome),
        };
        // Before anything is made of it: the next thousand may be refused for the same reason.
        let is_counted = self.context.events.counted(&same);
        if is_counted && !self.context.events.are_repeats_followed() {
            return;
        }
        let mut evidence = vec![
            ("method".to_owned(), self.method.to_string()),
            ("path".to_owned(), self.path.to_string()),
            ("fuel".to_owned(), usage.fuel.about()),
            ("memory".to_owned(), usage.memory.about()),
            ("cpu".to_owned(), format!("{:.1?}", usage.cpu)),
            ("time".to_owned(), told(spent)),
        ];
        let frames = outcome.backtrace().iter();
        evidence.extend(frames.map(|frame| ("backtrace".to_owned(), frame.clone())));
        let event = Event {
            app: Some(self.deployed.app.clone()),
            generation: same.generation,
            place: same.place,
            call: Some(call.call),
            span: call.span,
            severity,
            evidence,
            advice: advice(outcome, spent),
            ..Event::now(outcome.cause(), self.shown(&outcome.to_string()))
        };
        if is_counted {
            self.context.events.repeat(event);
        } else {
            self.context.events.push(event);
        }
    }

    /// The text without secrets of the app: its guest may have had a hand in it.
    fn shown(&self, text: &str) -> String {
        self.deployed.state.log.hidden().taken_out_of(text).into_owned()
    }

    /// Where a failure happened: in these frames of the guest, or where none are known on this path,
    /// for this reason. A call that was refused happened nowhere.
    fn place(&self, outcome: &Outcome) -> EventPlace {
        match outcome {
            Outcome::Refused(_) => EventPlace::ANY,
            Outcome::NoAnswer { detail } | Outcome::HostFailed { detail } => {
                EventPlace::of((&self.path, without_amounts(detail)))
            }
            _ if outcome.backtrace().is_empty() => EventPlace::of(&self.path),
            _ => EventPlace::of(outcome.backtrace()),
        }
    }
}

impl Recorder for CallRecord {
    fn record(&self, call: &Call) {
        let ended = call.ended();
        let (outcome, usage) = ended.unwrap_or_else(|| (Outcome::ClientGone, Usage::default()));
        let (started_at, now) = (call.time().started_at(), meter::read());
        let duration = now.saturating_duration_since(started_at);
        let spent = call.time().spent(now, &usage);
        let waits = call.time().longest_waits(now);
        let [waited_for, failed_by] = waits.map(|wait| wait.map(Box::new));
        let (status, response_bytes) = (call.status(), call.response_bytes());
        let state = &self.deployed.state;
        state.meter.record(&outcome, status, duration, &usage, response_bytes);
        if self.context.collector.metrics.is_some()
            && let Some(kind) = http_kind(&self.method, status, &outcome)
        {
            state.meter.record_http(kind, duration);
        }
        state.meter.add_waits(&spent);
        if let Some(count) = &self.count {
            count.record(&outcome, status, duration);
        }
        let began = meter::milliseconds_since_epoch(started_at);
        state.problems.note(EndedCall {
            at: meter::milliseconds_since_epoch(now),
            client: self.client,
            path: &self.path,
            generation: self.deployed.generation,
            outcome: &outcome,
            status,
            took: duration,
            spent: &spent,
        });
        self.tell(call.ids(), &outcome, &usage, &spent);
        if let Some(n_served) = call.most_served() {
            self.tell_of_reuse(call.id, n_served);
        }
        self.span.record("http.response.status_code", status);
        self.span.record("outcome", outcome.cause());
        self.span.record("fuel", usage.fuel.get());
        let duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(parent: &self.span, duration_us, "call ended");
        if let Some(head) = &self.told {
            head.tell(&EndedParts {
                context: &self.context,
                deployed: &self.deployed,
                client: self.client,
                method: &self.method,
                path: &self.path,
                call,
                outcome: &outcome,
                usage: &usage,
                spent: &spent,
                duration,
            });
        }
        let summary = CallSummary {
            id: call.id,
            at: began,
            generation: self.deployed.generation,
            method: self.method.clone(),
            path: self.path.clone(),
            status,
            cause: outcome.cause(),
            duration,
            spent,
            waited_for,
            failed_by,
            usage,
            request_bytes: call.request_bytes(),
            response_bytes,
            client: self.client,
            capsule: capture::leave(&self.deployed, call, &outcome),
        };
        state.calls.push(summary, state.meter.is_spread());
    }
}

/// What to do about it. Of a call whose time was over it is known where that went.
fn advice(outcome: &Outcome, spent: &TimeSpent) -> Option<String> {
    match outcome {
        Outcome::TimedOut { limit } => spent.advice(*limit),
        _ => None,
    }
    .or_else(|| outcome.advice())
}

/// Where the time of a call went, what took most of it first.
fn told(spent: &TimeSpent) -> String {
    let mut each: Vec<_> = spent.each().collect();
    each.sort_by_key(|(_, spent)| Reverse(*spent));
    let each = each.into_iter().map(|(phase, spent)| format!("{} {spent:.1?}", phase.code()));
    each.collect::<Vec<_>>().join(", ")
}

/// The method as it is kept: a caller may send any.
fn cut(method: &Method) -> Method {
    let kept = method.as_str().as_bytes().get(..LONGEST_METHOD);
    kept.and_then(|kept| Method::from_bytes(kept).ok()).unwrap_or_else(|| method.clone())
}

/// The reason without its figures, which differ where the reason does not.
fn without_amounts(reason: &str) -> String {
    reason.chars().filter(|char| !char.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_method_is_cut_and_no_other() {
        assert_eq!(cut(&Method::OPTIONS), Method::OPTIONS);
        let long = Method::from_bytes(&[b'X'; 60_000]).unwrap();
        assert_eq!(cut(&long).as_str(), "X".repeat(LONGEST_METHOD));
    }
}
