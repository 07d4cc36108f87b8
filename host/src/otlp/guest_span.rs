//! A span that a guest made, as it is sent.
//! Does not say of which call it is: whoever knows the call adds that.

use std::num::NonZeroU64;

use serde_json::Value;
use steerage_core::units::nanoseconds;

use super::message::{
    AttributeValue, KeyValue, SpanEventMessage, SpanMessage, SpanStatus, id_bytes,
};
use crate::call::GuestSpan;

/// How names begin that only the host may use.
const OURS: &str = "steerage.";

/// All that the guest has said of it.
pub(super) fn message(span: &GuestSpan) -> SpanMessage {
    let (began_at, ended_at) = span.times;
    let [n_attributes, n_events, n_links] = span.n_dropped;
    SpanMessage {
        span_id: NonZeroU64::new(span.id).map(id_bytes).unwrap_or_default(),
        name: span.name.clone(),
        kind: span.kind,
        start_time_unix_nano: nanoseconds(began_at),
        end_time_unix_nano: nanoseconds(ended_at),
        attributes: attributes(&span.attributes),
        dropped_attributes_count: n_attributes,
        events: span
            .events
            .iter()
            .map(|event| SpanEventMessage {
                time_unix_nano: nanoseconds(event.at),
                name: event.name.clone(),
                attributes: attributes(&event.attributes),
            })
            .collect(),
        dropped_events_count: n_events,
        dropped_links_count: n_links,
        status: span
            .status
            .as_ref()
            .map(|(code, message)| SpanStatus { message: message.clone(), code: *code }),
        ..SpanMessage::default()
    }
}

fn attributes(said: &[(String, String)]) -> Vec<KeyValue> {
    let of_guest = said.iter().filter(|(name, _)| !name.starts_with(OURS));
    of_guest.map(|(name, json)| KeyValue::of(name, value(json))).collect()
}

/// A value that is written as JSON. What has no type of its own here, as a list, stays a text.
fn value(json: &str) -> AttributeValue {
    match serde_json::from_str(json) {
        Ok(Value::String(text)) => AttributeValue::String(text),
        Ok(Value::Bool(truth)) => AttributeValue::Bool(truth),
        Ok(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => AttributeValue::Int(int),
            (None, Some(double)) => AttributeValue::Double(double),
            (None, None) => AttributeValue::String(json.to_owned()),
        },
        _ => AttributeValue::String(json.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_types_that_json_says_and_no_guest_speaks_for_the_host() {
        for (json, expected) in [
            (r#""a b""#, AttributeValue::String("a b".to_owned())),
            ("true", AttributeValue::Bool(true)),
            ("-7", AttributeValue::Int(-7)),
            ("0.5", AttributeValue::Double(0.5)),
            ("[1,2]", AttributeValue::String("[1,2]".to_owned())),
            ("no json", AttributeValue::String("no json".to_owned())),
        ] {
            assert_eq!(value(json), expected, "{json}");
        }
        let said = ["steerage.app", "app"].map(|name| (name.to_owned(), "1".to_owned()));
        let told = attributes(&said);
        assert!(told.len() == 1 && told[0].key == "app", "{told:?}");
    }
}
