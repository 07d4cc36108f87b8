//! An event as a line of a file: JSON, one object, with the number of its version.
//! Does not read or write files.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use steerage_core::id::Generation;

use super::{Event, EventPlace, Severity};

/// The version of the lines that this host writes. It reads those of later ones as far as it knows them.
const VERSION: u32 = 1;

/// The longest line in bytes, its end included: an event's parts are bounded, and text that is written as
/// JSON takes up to six bytes for one.
pub(super) const MOST: usize = 64 << 10;

#[derive(Debug, Deserialize, Serialize)]
struct Line<'l> {
    v: u32,
    id: u64,
    first_at: u64,
    at: u64,
    kind: Cow<'l, str>,
    severity: Cow<'l, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    app: Option<Cow<'l, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    #[serde(default)]
    place: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    call: Option<Cow<'l, str>>,
    message: Cow<'l, str>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    evidence: Cow<'l, [(String, String)]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    advice: Option<Cow<'l, str>>,
    count: u64,
}

/// The line of an event, with its end; `None` where it is too long.
pub(super) fn of(event: &Event) -> Option<Vec<u8>> {
    let line = Line {
        v: VERSION,
        id: event.id,
        first_at: event.first_at,
        at: event.at,
        kind: Cow::Borrowed(&event.kind),
        severity: Cow::Borrowed(match event.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }),
        app: event.app.as_ref().map(|app| Cow::Borrowed(app.as_str())),
        generation: event.generation.map(Generation::get),
        place: event.place.0,
        call: event.call.map(|call| Cow::Owned(call.to_string())),
        message: Cow::Borrowed(&event.message),
        evidence: Cow::Borrowed(&event.evidence),
        advice: event.advice.as_deref().map(Cow::Borrowed),
        count: event.count,
    };
    let mut text = serde_json::to_vec(&line).ok()?;
    text.push(b'\n');
    (text.len() <= MOST).then_some(text)
}

/// The event of a line without its end.
///
/// # Errors
/// It is no event.
pub(super) fn read(line: &[u8]) -> Result<Event, serde_json::Error> {
    let line: Line<'_> = serde_json::from_slice(line)?;
    let app = line.app.map(|app| app.parse()).transpose().map_err(bad)?;
    let call = line.call.map(|call| call.parse()).transpose().map_err(bad)?;
    let event = Event {
        id: line.id,
        first_at: line.first_at,
        at: line.at,
        kind: Cow::Owned(line.kind.into_owned()),
        severity: match &*line.severity {
            "info" => Severity::Info,
            "error" => Severity::Error,
            // What a later version may have between them.
            _ => Severity::Warning,
        },
        app,
        generation: line.generation.and_then(Generation::new),
        place: EventPlace(line.place),
        call,
        span: None,
        message: line.message.into_owned(),
        evidence: line.evidence.into_owned(),
        advice: line.advice.map(Cow::into_owned),
        count: line.count,
    };
    // Whoever wrote it: the bounds hold.
    Ok(event.bounded())
}

fn bad(error: impl std::fmt::Display) -> serde_json::Error {
    serde::de::Error::custom(error)
}

#[cfg(test)]
mod tests {
    use steerage_core::id::CallId;

    use super::*;

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let event = Event {
            id: 7,
            count: 3,
            severity: Severity::Warning,
            app: "shop".parse().ok(),
            generation: Generation::new(4),
            call: Some(CallId::from_u128(9)),
            evidence: vec![("fuel".to_owned(), "1 of 2".to_owned())],
            advice: Some("look\nthere".to_owned()),
            ..Event::now("trapped", "a \"word\" \u{1b}".to_owned())
        };
        let line = of(&event).unwrap();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(read(&line).unwrap(), event);
        let bare = Event::now("started", String::new());
        assert_eq!(read(&of(&bare).unwrap()).unwrap(), bare);
    }

    #[test]
    fn what_a_later_version_adds_does_not_matter() {
        let line = br#"{"v":2,"id":1,"first_at":1,"at":2,"kind":"new_kind","severity":"notice",
            "message":"m","count":1,"more":[1]}"#;
        let event = read(line).unwrap();
        assert_eq!((&*event.kind, event.severity), ("new_kind", Severity::Warning));
    }

    #[test]
    fn the_largest_event_has_a_line() {
        let long = "\u{1}".repeat(20_000);
        let evidence = (0..9).map(|frame| (frame.to_string(), long.clone())).collect();
        let (message, advice) = (long.clone(), Some(long));
        let event = Event { evidence, advice, ..Event::now("trapped", message) };
        let n_bytes = of(&event.bounded()).unwrap().len();
        assert!(n_bytes <= MOST && n_bytes as u64 <= steerage_core::event_log::BURST / 8);
    }
}
