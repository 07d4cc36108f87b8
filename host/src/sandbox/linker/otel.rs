//! `wasi:otel/tracing` (0.2.0-rc.2): a guest says what spans it makes of its call, below the span that the host
//! makes of it. Metrics and logs of that interface are not linked.
//! Does not send spans: they are kept with the call, which bounds them.
//!
//! The release candidate asks for the host's span by `outer-span-context`, as Spin has it, and what comes after it
//! by `current-span-context`. Both are linked and mean the same: here no other span of the host is ever between.

use std::num::NonZeroU64;
use std::time::Duration;

use steerage_core::trace::{TraceParent, span_id, trace_id};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use crate::call::{GuestSpan, GuestSpanEvent};
use crate::sandbox::guest::Guest;

const TRACING: &str = "wasi:otel/tracing@0.2.0-rc.2";
/// What OTLP has for a span that is well, and for one that failed.
const WELL: i32 = 1;
const FAILED: i32 = 2;

wasmtime::component::flags! {
    TraceFlags {
        #[component(name = "sampled")]
        const SAMPLED;
    }
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct SpanContext {
    #[component(name = "trace-id")]
    trace_id: String,
    #[component(name = "span-id")]
    span_id: String,
    #[component(name = "trace-flags")]
    trace_flags: TraceFlags,
    #[component(name = "is-remote")]
    is_remote: bool,
    #[component(name = "trace-state")]
    trace_state: Vec<(String, String)>,
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct KeyValue {
    key: String,
    /// JSON, since WIT has no types that hold themselves.
    value: String,
}

#[derive(ComponentType, Lift)]
#[component(record)]
#[expect(dead_code, reason = "what a guest sends has these fields as well")]
struct Scope {
    name: String,
    version: Option<String>,
    #[component(name = "schema-url")]
    schema_url: Option<String>,
    attributes: Vec<KeyValue>,
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "it is read as a number")]
enum SpanKind {
    #[component(name = "client")]
    Client,
    #[component(name = "server")]
    Server,
    #[component(name = "producer")]
    Producer,
    #[component(name = "consumer")]
    Consumer,
    #[component(name = "internal")]
    Internal,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct SpanEvent {
    name: String,
    time: Datetime,
    attributes: Vec<KeyValue>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
#[expect(dead_code, reason = "links are counted, not sent")]
struct Link {
    #[component(name = "span-context")]
    span_context: SpanContext,
    attributes: Vec<KeyValue>,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
enum Status {
    #[component(name = "unset")]
    Unset,
    #[component(name = "ok")]
    Ok,
    #[component(name = "error")]
    Error(String),
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct SpanData {
    #[component(name = "span-context")]
    span_context: SpanContext,
    #[component(name = "parent-span-id")]
    parent_span_id: String,
    #[component(name = "span-kind")]
    span_kind: SpanKind,
    name: String,
    #[component(name = "start-time")]
    start_time: Datetime,
    #[component(name = "end-time")]
    end_time: Datetime,
    attributes: Vec<KeyValue>,
    events: Vec<SpanEvent>,
    links: Vec<Link>,
    status: Status,
    #[component(name = "instrumentation-scope")]
    instrumentation_scope: Scope,
    #[component(name = "dropped-attributes")]
    dropped_attributes: u32,
    #[component(name = "dropped-events")]
    dropped_events: u32,
    #[component(name = "dropped-links")]
    dropped_links: u32,
}

/// Links it.
///
/// # Errors
/// When a function is there already, which would be a bug.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut tracing = linker.instance(TRACING)?;
    tracing.func_wrap(
        "on-start",
        |store: StoreContextMut<'_, Guest>, (begun,): (SpanContext,)| {
            let guest = store.data();
            if let (Some(time), Some(id)) = (guest.outbound.time(), span_id(&begun.span_id))
                && is_of_call(time.spans().of_call(), &begun.trace_id)
            {
                time.spans().begin(id);
            }
            Ok(())
        },
    )?;
    tracing.func_wrap(
        "on-end",
        |mut store: StoreContextMut<'_, Guest>, (span,): (SpanData,)| {
            let guest = store.data_mut();
            // So that what is kept counts against the app's memory.
            guest.look();
            if let Some(time) = guest.outbound.time()
                && let of_call @ Some(_) = time.spans().of_call()
            {
                let is_of_call = is_of_call(of_call, &span.span_context.trace_id);
                time.spans().end(kept(span), is_of_call);
            }
            Ok(())
        },
    )?;
    for name in ["outer-span-context", "current-span-context"] {
        tracing.func_wrap(name, |store: StoreContextMut<'_, Guest>, (): ()| {
            Ok((context(store.data()),))
        })?;
    }
    Ok(())
}

/// The span of the call. Where spans are told nobody it is one that is not recorded, so that a guest spares itself
/// the work.
fn context(guest: &Guest) -> SpanContext {
    let of_call = guest.outbound.time().and_then(|time| time.spans().of_call());
    let now = of_call.unwrap_or_else(|| TraceParent::begun(guest.stdio.call()));
    let told = match guest.tape() {
        Some(tape) => tape.span_context(now),
        None => now,
    };
    SpanContext {
        trace_id: format!("{:032x}", told.trace),
        span_id: format!("{:016x}", told.span),
        trace_flags: if told.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::empty() },
        is_remote: true,
        trace_state: Vec::new(),
    }
}

/// Whether a span is of the trace of its call: a guest must not write into the traces of others.
fn is_of_call(of_call: Option<TraceParent>, trace: &str) -> bool {
    of_call.is_some_and(|of_call| trace_id(trace) == Some(of_call.trace))
}

fn kept(span: SpanData) -> GuestSpan {
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let mut attributes = pairs(span.attributes);
    let scope = span.instrumentation_scope;
    // As what carries no scopes says it: all spans of a host are of one.
    let version = scope.version.map(|version| ("otel.scope.version", version));
    for (name, text) in [("otel.scope.name", scope.name)].into_iter().chain(version) {
        attributes.push((name.to_owned(), serde_json::Value::String(text).to_string()));
    }
    GuestSpan {
        id: span_id(&span.span_context.span_id).map_or(0, NonZeroU64::get),
        parent: span_id(&span.parent_span_id),
        name: span.name,
        kind: match span.span_kind {
            SpanKind::Internal => 1,
            SpanKind::Server => 2,
            SpanKind::Client => 3,
            SpanKind::Producer => 4,
            SpanKind::Consumer => 5,
        },
        times: (since_epoch(span.start_time), since_epoch(span.end_time)),
        attributes,
        events: span
            .events
            .into_iter()
            .map(|event| GuestSpanEvent {
                name: event.name,
                at: since_epoch(event.time),
                attributes: pairs(event.attributes),
            })
            .collect(),
        status: match span.status {
            Status::Unset => None,
            Status::Ok => Some((WELL, String::new())),
            Status::Error(why) => Some((FAILED, why)),
        },
        n_dropped: [
            span.dropped_attributes,
            span.dropped_events,
            // Links are not sent.
            span.dropped_links.saturating_add(count(span.links.len())),
        ],
    }
}

fn pairs(attributes: Vec<KeyValue>) -> Vec<(String, String)> {
    attributes.into_iter().map(|KeyValue { key, value }| (key, value)).collect()
}

fn since_epoch(at: Datetime) -> Duration {
    // Nanoseconds beyond a second would be added to seconds that may have no room for them.
    Duration::new(at.seconds, at.nanoseconds.min(999_999_999))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_trace_of_the_call_is_its_own() {
        let of_call = TraceParent { trace: 0xa, span: NonZeroU64::MIN, flags: 1 };
        let own = format!("{:032x}", 0xa);
        assert!(is_of_call(Some(of_call), &own));
        for trace in ["a", "", "0000000000000000000000000000000b"] {
            assert!(!is_of_call(Some(of_call), trace), "{trace:?}");
        }
        assert!(!is_of_call(None, &own));
    }
}
