//! Lines of guests and events of the host as log records: what they are called there, how bad they are, and to which
//! span they belong.
//! Does not know when they are sent.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use steerage_core::id::{AppName, CallId, Generation};
use steerage_core::trace::TraceParent;
use steerage_core::units::nanoseconds;

use super::families::APP_ATTRIBUTE;
use super::log_message::LogMessage;
use super::message::{AnyValue, KeyValue, id_bytes};
use crate::telemetry::events::{Event, Severity};
use crate::telemetry::logs::{LogLine, PrintedLine, Stream};

/// The bytes that a line takes beside its text, as long as it waits.
const LINE: usize = size_of::<GuestLine>();

/// A line as it is kept until it is sent.
#[derive(Debug)]
pub(super) struct GuestLine {
    app: AppName,
    /// Since 1970.
    at: Duration,
    line: LogLine,
    span: Option<TraceParent>,
}

impl GuestLine {
    pub(super) fn of(printed: &PrintedLine<'_>) -> Self {
        let PrintedLine { app, at, line, span } = *printed;
        Self { app: app.clone(), at, line: line.clone(), span }
    }

    /// Bytes that such a line takes while it waits.
    pub(super) fn n_bytes_of(printed: &PrintedLine<'_>) -> usize {
        LINE + printed.line.text.len()
    }

    /// Bytes that it takes.
    pub(super) fn n_bytes(&self) -> usize {
        LINE + self.line.text.len()
    }

    /// Nobody knows how bad it is: a guest only says on which stream.
    pub(super) fn into_message(self) -> Bytes {
        let Self { app, at, line, span } = self;
        let stream = match line.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        let mut attributes = vec![KeyValue::string("log.iostream", stream)];
        attributes.extend(of_call(Some(&app), Some(line.generation), Some(line.call)));
        written(LogMessage {
            body: Some(AnyValue::string(line.text)),
            attributes,
            ..at_time(nanoseconds(at), span)
        })
    }
}

/// An event of the host.
pub(super) fn event_message(event: Event) -> Bytes {
    let (severity_number, severity_text) = match event.severity {
        Severity::Info => (9, "INFO"),
        Severity::Warning => (13, "WARN"),
        Severity::Error => (17, "ERROR"),
    };
    let mut attributes: Vec<KeyValue> =
        of_call(event.app.as_ref(), event.generation, event.call).collect();
    attributes.push(KeyValue::int("steerage.count", event.count));
    if let Some(advice) = event.advice {
        attributes.push(KeyValue::string("steerage.advice", advice));
    }
    // Some have several of a name, such as the frames of a backtrace: by the specification a name is there once.
    let mut evidence: Vec<(String, String)> = Vec::new();
    for (name, value) in event.evidence {
        match evidence.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => *values = format!("{values}\n{value}"),
            None => evidence.push((name, value)),
        }
    }
    attributes.extend(evidence.into_iter().map(|(name, value)| {
        KeyValue::string(&format!("steerage.evidence.{}", name.replace(' ', "_")), value)
    }));
    written(LogMessage {
        severity_number,
        severity_text: severity_text.to_owned(),
        body: Some(AnyValue::string(event.message)),
        attributes,
        event_name: event.kind.into_owned(),
        ..at_time(event.at.saturating_mul(1_000_000), event.span)
    })
}

/// The names are those that spans have for it.
fn of_call(
    app: Option<&AppName>,
    generation: Option<Generation>,
    call: Option<CallId>,
) -> impl Iterator<Item = KeyValue> {
    let app = app.map(|app| KeyValue::string(APP_ATTRIBUTE, app.as_str()));
    let generation =
        generation.map(|generation| KeyValue::int("steerage.generation", generation.get()));
    let call = call.map(|call| KeyValue::string("steerage.call_id", call.to_string()));
    app.into_iter().chain(generation).chain(call)
}

/// What the host tells it saw when it happened.
fn at_time(nanoseconds: u64, span: Option<TraceParent>) -> LogMessage {
    LogMessage {
        time_unix_nano: nanoseconds,
        observed_time_unix_nano: nanoseconds,
        trace_id: span.map(|span| span.trace.to_be_bytes().to_vec()).unwrap_or_default(),
        span_id: span.map(|span| id_bytes(span.span)).unwrap_or_default(),
        flags: span.map_or(0, |span| u32::from(span.flags)),
        ..LogMessage::default()
    }
}

fn written(message: LogMessage) -> Bytes {
    Bytes::from(message.encode_to_vec())
}
