//! The W3C trace context that a guest is given. Where spans are exported, that is the call's own span, below the
//! caller's. Otherwise the host puts none of its own between, and it is the caller's, or a new trace.
//! Does not decide what a context means nor which calls are sampled: `core::trace` and `core::otlp` do.

use std::num::NonZeroU64;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use steerage_core::id::CallId;
use steerage_core::otlp::Sampler;
use steerage_core::trace::{CallTrace, TraceParent};

use super::head::random;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Leaves a valid context as it is. Otherwise begins a trace that carries the call's id.
pub(super) fn carry_on(headers: &mut HeaderMap, id: CallId) {
    if sent(headers).is_none() {
        // W3C Trace Context, 3.3.1: the state belongs to a parent that could be read.
        headers.remove(TRACESTATE);
        put(headers, &TraceParent::begun(id));
    }
}

/// Where a call with these headers stands, which is exported as a span.
pub(super) fn of_call(headers: &HeaderMap, id: CallId, sampler: &Sampler) -> CallTrace {
    let span = random(|random| random.u64(1..));
    let span = NonZeroU64::new(span).unwrap_or(NonZeroU64::MIN);
    CallTrace::of(id, sent(headers), span, |trace, parent| sampler.samples(trace, parent))
}

/// Tells the guest the call's own span.
pub(super) fn tell(headers: &mut HeaderMap, trace: &CallTrace) {
    if trace.parent.is_none() {
        headers.remove(TRACESTATE);
    }
    put(headers, &trace.told());
}

/// The context that came with a request: two are none.
fn sent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut sent = headers.get_all(TRACEPARENT).iter();
    let first = TraceParent::parse(sent.next()?.as_bytes());
    first.filter(|_| sent.next().is_none())
}

fn put(headers: &mut HeaderMap, context: &TraceParent) {
    // It has digits and dashes only.
    if let Ok(value) = HeaderValue::from_bytes(&context.text()) {
        headers.insert(TRACEPARENT, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(sent: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in sent {
            headers.append(TRACEPARENT, value.parse().unwrap());
        }
        headers.insert(TRACESTATE, HeaderValue::from_static("a=1"));
        headers
    }

    fn told(headers: &HeaderMap) -> (String, bool) {
        assert_eq!(headers.get_all(TRACEPARENT).iter().count(), 1);
        let told = headers[TRACEPARENT].to_str().unwrap().to_owned();
        (told, headers.contains_key(TRACESTATE))
    }

    fn carried(sent: &[&str]) -> (String, bool) {
        let mut headers = headers(sent);
        carry_on(&mut headers, CallId::from_u128(0xab));
        told(&headers)
    }

    #[test]
    fn a_valid_trace_is_carried_on_with_its_span() {
        assert_eq!(carried(&[VALID]), (VALID.to_owned(), true));
        let later = VALID.replacen("00", "01", 1) + "-more";
        assert_eq!(carried(&[&later]), (later.clone(), true));
    }

    #[test]
    fn what_is_no_trace_is_replaced_with_its_state() {
        let id = CallId::from_u128(0xab).to_string();
        let zero = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
        let extra = format!("{VALID}-extra");
        let of_ff = VALID.replacen("00", "ff", 1);
        let capitals = VALID.to_uppercase();
        for sent in [&[][..], &["nonsense"], &[&zero], &[&extra], &[&of_ff], &[&capitals]] {
            let (new, has_state) = carried(sent);
            let is_valid = TraceParent::parse(new.as_bytes()).is_some();
            assert!(is_valid && new.contains(&id) && !has_state, "{sent:?}: {new}");
        }
        assert!(carried(&[VALID, VALID]).0.contains(&id), "two parents are none");
    }

    #[test]
    fn what_is_told_is_the_span_of_the_call_with_the_callers_state() {
        let id = CallId::from_u128(0xab);
        for (sent, is_below) in [(&[VALID][..], true), (&[], false), (&[VALID, VALID], false)] {
            let mut headers = headers(sent);
            let trace = of_call(&headers, id, &Sampler::default());
            tell(&mut headers, &trace);
            let (told, has_state) = told(&headers);
            assert_eq!(TraceParent::parse(told.as_bytes()), Some(trace.told()));
            assert_eq!((trace.parent.is_some(), has_state), (is_below, is_below), "{sent:?}");
            assert!(is_below || trace.trace == id.as_u128());
        }
    }
}
