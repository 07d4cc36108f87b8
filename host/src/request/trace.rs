//! The W3C trace context that a guest is given: the caller's, or a new trace.
//! Does not record spans: the host exports none, so it puts none of its own between.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use steerage_core::id::CallId;

use super::head::{hex, random};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Leaves a valid context as it is. Otherwise begins a trace that carries the call's id.
pub(super) fn carry_on(headers: &mut HeaderMap, id: CallId) {
    let mut sent = headers.get_all(TRACEPARENT).iter();
    let first = sent.next().and_then(|value| value.to_str().ok());
    if sent.next().is_none() && first.is_some_and(is_valid) {
        return;
    }
    // W3C Trace Context, 3.3.1: the state belongs to a parent that could be read.
    headers.remove(TRACESTATE);
    match begin(id) {
        Some(new) => headers.insert(TRACEPARENT, new),
        None => headers.remove(TRACEPARENT),
    };
}

fn begin(id: CallId) -> Option<HeaderValue> {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    let (trace, rest) = text.get_mut(3..)?.split_at_mut(32);
    hex(id.as_u128(), trace);
    hex(u128::from(random(|random| random.u64(1..))), rest.get_mut(1..17)?);
    HeaderValue::from_bytes(&text).ok()
}

/// Whether the text is a `traceparent`; see W3C Trace Context, 3.2.
fn is_valid(text: &str) -> bool {
    let mut fields = text.split('-');
    let mut next = || fields.next().unwrap_or("");
    let (version, trace, span, flags) = (next(), next(), next(), next());
    let hex = |field: &str, length: usize| {
        field.len() == length
            && field.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let zero = |field: &str| field.bytes().all(|byte| byte == b'0');
    hex(version, 2)
        && version != "ff"
        && (version != "00" || fields.next().is_none())
        && hex(trace, 32)
        && !zero(trace)
        && hex(span, 16)
        && !zero(span)
        && hex(flags, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn carried(sent: &[&str]) -> (String, bool) {
        let mut headers = HeaderMap::new();
        for value in sent {
            headers.append(TRACEPARENT, value.parse().unwrap());
        }
        headers.insert(TRACESTATE, HeaderValue::from_static("a=1"));
        carry_on(&mut headers, CallId::from_u128(0xab));
        let carried = headers[TRACEPARENT].to_str().unwrap().to_owned();
        (carried, headers.contains_key(TRACESTATE))
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
            assert!(is_valid(&new) && new.contains(&id) && !has_state, "{sent:?}: {new}");
        }
        assert!(carried(&[VALID, VALID]).0.contains(&id), "two parents are none");
    }
}
