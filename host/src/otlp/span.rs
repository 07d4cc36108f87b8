//! A call that is over, as it is kept until it is sent, and what spans become of it: one of the server, one of a
//! client for each of its requests to others that are known, and those that its guest made.
//! Attributes follow the stable conventions for HTTP; what these have no name for begins with `steerage.`.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method};
use steerage_core::id::{AppName, CallId, Generation};
use steerage_core::spent::TimeSpent;
use steerage_core::trace::CallTrace;
use steerage_core::units::nanoseconds;

use super::guest_span;
use super::message::{CLIENT, FAILED, KeyValue, SERVER, SpanMessage, SpanStatus, id_bytes};
use crate::call::{GuestSpan, OTHER_METHOD, OutboundRequest, Usage, known_method};

/// In the flags of a span: it is known whether its parent is on another machine, and it is.
const KNOWS_PARENT: u32 = 0x100;
const PARENT_IS_REMOTE: u32 = 0x200;

/// A call that is over.
#[derive(Debug)]
pub struct CallSpan {
    /// Where it stands in its trace.
    pub trace: CallTrace,
    /// The call.
    pub call: CallId,
    /// When its request came in, since 1970.
    pub began_at: Duration,
    /// From then to the last byte of the answer.
    pub took: Duration,
    /// The app that served it.
    pub app: AppName,
    /// The generation of the deployment that did.
    pub generation: Generation,
    /// The request's method; cut when long.
    pub method: Method,
    /// The route as the manifest has it.
    pub route: HeaderValue,
    /// Its path without the query; cut when long.
    pub path: Arc<str>,
    /// The host it was for; cut when long.
    pub host: String,
    /// Whether it came over TLS.
    pub https: bool,
    /// The version of HTTP, without the name.
    pub version: &'static str,
    /// Who called.
    pub client: IpAddr,
    /// The status that was sent, 0 when none was.
    pub status: u16,
    /// How it ended, as a stable code; `None` where the guest answered.
    pub error: Option<&'static str>,
    /// Whether that, or the status, is a failure of the server, and which.
    pub failure: Option<String>,
    /// What it took.
    pub usage: Usage,
    /// Where its time went.
    pub spent: TimeSpent,
    /// Bytes of request body, and of the response's.
    pub n_bytes: (u64, u64),
    /// What it asked others.
    pub outbound: Vec<OutboundRequest>,
    /// What its guest made of parts of it, and how much of that there was no room for.
    pub guest_spans: (Vec<GuestSpan>, u64),
}

impl CallSpan {
    /// How many spans are made of it.
    pub(super) fn n_spans(&self) -> u64 {
        (1 + self.outbound.len() + self.guest_spans.0.len()) as u64
    }

    /// The spans of it. `random` gives the ids of those that are not the call's own.
    pub(super) fn messages(&self, mut random: impl FnMut() -> u64) -> Vec<SpanMessage> {
        let of_guest = &self.guest_spans.0;
        let mut messages = Vec::with_capacity(1 + self.outbound.len() + of_guest.len());
        messages.push(self.of_server());
        for request in &self.outbound {
            messages.push(self.of_client(request, random()));
        }
        messages.extend(of_guest.iter().map(|span| self.of_guest(span)));
        messages
    }

    fn of_server(&self) -> SpanMessage {
        let method = known_method(&self.method);
        let route = self.route.to_str().unwrap_or_default();
        let name = if method == OTHER_METHOD { "HTTP" } else { method };
        let remote = self.trace.parent.map_or(0, |_| PARENT_IS_REMOTE);
        SpanMessage {
            parent_span_id: self.trace.parent.map(id_bytes).unwrap_or_default(),
            name: format!("{name} {route}"),
            kind: SERVER,
            attributes: self.attributes(method, route),
            status: self.failure.as_ref().map(|message| failed(message)),
            flags: u32::from(self.trace.flags) | KNOWS_PARENT | remote,
            ..self.message(self.trace.span, Duration::ZERO..self.took)
        }
    }

    /// What all spans of this call have, with their ids and times after it began.
    fn message(&self, id: NonZeroU64, times: Range<Duration>) -> SpanMessage {
        SpanMessage {
            trace_id: self.trace.trace.to_be_bytes().to_vec(),
            span_id: id_bytes(id),
            start_time_unix_nano: nanoseconds(self.began_at + times.start),
            end_time_unix_nano: nanoseconds(self.began_at + times.end),
            flags: u32::from(self.trace.flags) | KNOWS_PARENT,
            ..SpanMessage::default()
        }
    }

    fn attributes(&self, method: &str, route: &str) -> Vec<KeyValue> {
        let scheme = if self.https { "https" } else { "http" };
        let mut all = vec![
            KeyValue::string("http.request.method", method),
            KeyValue::string("http.route", route),
            KeyValue::string("url.path", &*self.path),
            KeyValue::string("url.scheme", scheme),
            KeyValue::string("network.protocol.version", self.version),
            KeyValue::string("client.address", self.client.to_canonical().to_string()),
        ];
        if method == OTHER_METHOD {
            all.push(KeyValue::string("http.request.method_original", self.method.as_str()));
        }
        all.extend(server(&self.host));
        if self.status > 0 {
            all.push(KeyValue::int("http.response.status_code", self.status));
        }
        let is_failed = self.failure.is_some();
        if let Some(error) = self.error {
            all.push(KeyValue::string("error.type", error));
        } else if is_failed {
            all.push(KeyValue::string("error.type", self.status.to_string()));
        }
        let (request_bytes, response_bytes) = self.n_bytes;
        let microseconds = |time: Duration| time.as_micros();
        all.extend([
            KeyValue::int("http.request.body.size", request_bytes),
            KeyValue::int("http.response.body.size", response_bytes),
            KeyValue::string("steerage.app", self.app.as_str()),
            KeyValue::int("steerage.generation", self.generation.get()),
            KeyValue::string("steerage.call_id", self.call.to_string()),
            KeyValue::int("steerage.fuel", self.usage.fuel.get()),
            KeyValue::int("steerage.memory_peak_bytes", self.usage.memory.get()),
            KeyValue::int("steerage.cpu_us", microseconds(self.usage.cpu)),
        ]);
        if self.guest_spans.1 > 0 {
            all.push(KeyValue::int("steerage.guest_spans_left_out", self.guest_spans.1));
        }
        let phases = self.spent.each().map(|(phase, spent)| {
            KeyValue::int(&format!("steerage.time.{}_us", phase.code()), microseconds(spent))
        });
        all.extend(phases);
        all
    }

    fn of_guest(&self, span: &GuestSpan) -> SpanMessage {
        let mut message = guest_span::message(span);
        // What the host says cannot be said by a guest, which might name another app.
        message.attributes.extend([
            KeyValue::string("steerage.app", self.app.as_str()),
            KeyValue::string("steerage.call_id", self.call.to_string()),
        ]);
        let below = span.parent.unwrap_or(self.trace.span);
        SpanMessage {
            trace_id: self.trace.trace.to_be_bytes().to_vec(),
            parent_span_id: id_bytes(below),
            flags: u32::from(self.trace.flags) | KNOWS_PARENT,
            ..message
        }
    }

    fn of_client(&self, request: &OutboundRequest, id: u64) -> SpanMessage {
        let method = request.method;
        let mut attributes = vec![KeyValue::string("http.request.method", method)];
        attributes.extend(server(&request.destination));
        if request.status > 0 {
            attributes.push(KeyValue::int("http.response.status_code", request.status));
        }
        // By the conventions a client's request has failed that was answered 4xx as well.
        let is_error_status = request.status >= 400;
        let is_wrong = request.end.is_wrong() || is_error_status;
        if is_wrong {
            let error = match request.status {
                0 => request.end.code().to_owned(),
                status => status.to_string(),
            };
            attributes.push(KeyValue::string("error.type", error));
        }
        let waited = request.waited.as_micros();
        attributes.push(KeyValue::int("steerage.waited_us", waited));
        let id = NonZeroU64::new(id).unwrap_or(NonZeroU64::MIN);
        SpanMessage {
            parent_span_id: id_bytes(request.below.unwrap_or(self.trace.span)),
            name: if method == OTHER_METHOD { "HTTP".to_owned() } else { method.to_owned() },
            kind: CLIENT,
            attributes,
            status: is_wrong.then(|| failed("")),
            ..self.message(id, request.began_after..request.ended_after)
        }
    }
}

fn failed(message: &str) -> SpanStatus {
    SpanStatus { message: message.to_owned(), code: FAILED }
}

/// Whom a request is for.
fn server(authority: &str) -> impl Iterator<Item = KeyValue> + use<> {
    let (name, port) = split_port(authority);
    let port = port.map(|port| KeyValue::int("server.port", port));
    [KeyValue::string("server.address", name)].into_iter().chain(port)
}

/// A host and its port, where it has one.
fn split_port(authority: &str) -> (&str, Option<u16>) {
    let parted = authority.rsplit_once(':');
    let parted = parted.and_then(|(name, port)| Some((name, port.parse().ok()?)));
    parted.map_or((authority, None), |(name, port)| (name, Some(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_told_apart_from_an_address() {
        assert_eq!(split_port("a.b:80"), ("a.b", Some(80)));
        assert_eq!(split_port("a.b"), ("a.b", None));
        assert_eq!(split_port("[::1]"), ("[::1]", None));
        assert_eq!(split_port("[::1]:8080"), ("[::1]", Some(8080)));
    }
}
