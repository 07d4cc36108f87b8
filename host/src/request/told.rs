//! What those outside are told of a call that is over: a line of the access log, and a span.
//! Does not write or send either: `telemetry::access` and `otlp` do.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Method, Version};
use jiff::Timestamp;
use steerage_core::excerpt::excerpt;
use steerage_core::otlp;
use steerage_core::outcome::{Fault, Outcome};
use steerage_core::spent::TimeSpent;
use steerage_core::trace::CallTrace;

use super::CallContext;
use crate::call::{Call, Usage, known_method};
use crate::catalog::LoadedDeployment;
use crate::meter;
use crate::otlp::{CallExemplar, CallSpan};
use crate::telemetry::access::AccessLine;
use crate::telemetry::metrics::HttpKind;

/// A path of more bytes than this is cut where it is kept, and so is a host.
pub(super) const LONGEST_PATH: usize = 256;
/// So much is told of why a call failed: bytes.
const SHOWN: usize = 200;

/// What is told of a request beside what is kept of each.
#[derive(Debug)]
pub(super) struct RequestHead {
    /// A copy: the header may be a part of all that was read of the head.
    host: String,
    route: HeaderValue,
    https: bool,
    version: Version,
    /// Where spans are exported.
    trace: Option<CallTrace>,
}

/// A call that is over, and how it ended.
pub(super) struct EndedParts<'e> {
    pub(super) context: &'e CallContext,
    pub(super) deployed: &'e LoadedDeployment,
    pub(super) client: IpAddr,
    pub(super) method: &'e Method,
    pub(super) path: &'e Arc<str>,
    pub(super) call: &'e Call,
    pub(super) outcome: &'e Outcome,
    pub(super) usage: &'e Usage,
    pub(super) spent: &'e TimeSpent,
    pub(super) duration: Duration,
}

/// As what a call is counted where a collector is told how long calls take: refused ones are not.
pub(super) fn http_kind(method: &Method, status: u16, outcome: &Outcome) -> Option<HttpKind> {
    let is_refused = matches!(outcome, Outcome::Refused(_));
    let (method, cause) = (known_method(method), outcome.cause());
    (!is_refused).then_some(HttpKind { method, status, cause })
}

impl RequestHead {
    /// Of a request that begins.
    pub(super) fn of(
        request: &Parts,
        route: &HeaderValue,
        https: bool,
        trace: Option<CallTrace>,
    ) -> Self {
        // `head` has written there whom the request is for, however it was sent.
        let host = request.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = host.unwrap_or_default();
        let host = host.get(..host.floor_char_boundary(LONGEST_PATH)).unwrap_or(host).to_owned();
        Self { host, route: route.clone(), https, version: request.version, trace }
    }

    /// Tells it, now that the call is over.
    pub(super) fn tell(&self, ended: &EndedParts<'_>) {
        self.write_line(ended);
        let Some(trace) = self.trace else { return };
        let Some(spans) = &ended.context.collector.spans else { return };
        let EndedParts { call, outcome, spent, duration, .. } = *ended;
        let is_failed =
            matches!(outcome.fault(), Fault::Guest | Fault::Host) || call.status() >= 500;
        let is_kept = trace.is_sampled() || is_failed || {
            let declared = ended.deployed.objective().latency.map(|latency| latency.slow_after);
            otlp::is_slow(duration, spent.of_client(), declared)
        };
        if is_kept {
            self.show(ended, trace);
            spans.tell(self.span(ended, trace, is_failed));
        }
    }

    /// As an example of how long calls take, since its span can be found.
    fn show(&self, ended: &EndedParts<'_>, trace: CallTrace) {
        let EndedParts { call, outcome, duration: took, .. } = *ended;
        let Some(metrics) = &ended.context.collector.metrics else { return };
        let Some(kind) = http_kind(ended.method, call.status(), outcome) else { return };
        let began_at = meter::since_epoch(call.time().started_at());
        let exemplar = CallExemplar { span: trace.told(), took, ended_at: began_at + took };
        metrics.show(&ended.deployed.app, kind, exemplar);
    }

    fn span(&self, ended: &EndedParts<'_>, trace: CallTrace, is_failed: bool) -> Box<CallSpan> {
        let EndedParts { call, outcome, usage, spent, duration, .. } = *ended;
        let error = (*outcome != Outcome::Answered).then(|| outcome.cause());
        // Of a status that the guest has sent there is no more to say.
        let hidden = ended.deployed.state.log.hidden();
        // The guest may have had a hand in it.
        let why = || hidden.taken_out_of(&outcome.to_string()).into_owned();
        let failure = is_failed.then(|| error.map_or_else(String::new, |_| excerpt(SHOWN, why())));
        Box::new(CallSpan {
            trace,
            call: call.id,
            began_at: meter::since_epoch(call.time().started_at()),
            took: duration,
            app: ended.deployed.app.clone(),
            generation: ended.deployed.generation,
            method: ended.method.clone(),
            route: self.route.clone(),
            path: ended.path.clone(),
            host: self.host.clone(),
            https: self.https,
            version: self.protocol().trim_start_matches("HTTP/"),
            client: ended.client,
            status: call.status(),
            error,
            failure,
            usage: *usage,
            spent: *spent,
            n_bytes: (call.request_bytes(), call.response_bytes()),
            outbound: call.time().outbound_requests(),
            guest_spans: call.time().spans().take(),
        })
    }

    fn protocol(&self) -> &'static str {
        match self.version {
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2",
            _ => "HTTP/1.1",
        }
    }

    fn write_line(&self, ended: &EndedParts<'_>) {
        let Some(log) = &ended.context.access_log else { return };
        let EndedParts { call, outcome, usage, spent, duration, .. } = *ended;
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let began = meter::milliseconds_since_epoch(call.time().started_at());
        let began = i64::try_from(began).unwrap_or(i64::MAX);
        let time = Timestamp::from_millisecond(began).unwrap_or_default();
        log.write(&AccessLine {
            time: format!("{time:.3}"),
            call_id: call.id.to_string(),
            client: ended.client,
            method: ended.method.as_str(),
            host: &self.host,
            path: ended.path,
            protocol: self.protocol(),
            route: self.route.to_str().unwrap_or_default(),
            app: ended.deployed.app.as_str(),
            generation: ended.deployed.generation.get(),
            status: call.status(),
            cause: outcome.cause(),
            request_bytes: call.request_bytes(),
            response_bytes: call.response_bytes(),
            duration_us: micros(duration),
            time_us: spent.each().map(|(phase, time)| (phase.code(), micros(time))).collect(),
            fuel: usage.fuel.get(),
            cpu_us: micros(usage.cpu),
            memory_bytes: usage.memory.get(),
        });
    }
}
