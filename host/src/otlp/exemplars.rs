//! Calls as examples of how long calls took, from where they end until metrics are told.
//! Does not choose which: `core::otlp` does.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use steerage_core::id::AppName;
use steerage_core::latency;
use steerage_core::otlp::Exemplars;
use steerage_core::trace::TraceParent;
use steerage_core::units::nanoseconds;

use super::message::id_bytes;
use super::metric_message::ExemplarMessage;
use crate::telemetry::metrics::HttpKind;

/// So many are kept at most until metrics are told, of all apps: some 600 KB.
const MOST: usize = 4_096;

/// A call of which a span is told.
#[derive(Clone, Copy, Debug)]
pub struct CallExemplar {
    /// Its span.
    pub span: TraceParent,
    /// How long it took.
    pub took: Duration,
    /// When it ended, since 1970.
    pub ended_at: Duration,
}

/// Those that were not told yet.
#[derive(Debug)]
pub(super) struct CallExemplars(Mutex<Exemplars<(AppName, HttpKind), CallExemplar>>);

/// Those that are told now, by app and kind of calls.
#[derive(Debug, Default)]
pub(super) struct TakenExemplars(BTreeMap<(String, HttpKind), Vec<ExemplarMessage>>);

impl CallExemplars {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Exemplars::new(MOST)))
    }

    /// Notes one. Nobody waits for this lock: of two at once one is no example.
    pub(super) fn note(&self, app: &AppName, kind: HttpKind, exemplar: CallExemplar) {
        if let Ok(mut exemplars) = self.0.try_lock() {
            exemplars.note((app.clone(), kind), latency::bucket(exemplar.took), exemplar);
        }
    }

    pub(super) fn take(&self) -> TakenExemplars {
        let taken = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let mut by_series: BTreeMap<_, Vec<ExemplarMessage>> = BTreeMap::new();
        for (((app, kind), _), exemplar) in taken {
            by_series.entry((app.to_string(), kind)).or_default().push(message(&exemplar));
        }
        TakenExemplars(by_series)
    }
}

impl TakenExemplars {
    /// Those of a series.
    pub(super) fn of(&mut self, app: &str, kind: HttpKind) -> Vec<ExemplarMessage> {
        self.0.remove(&(app.to_owned(), kind)).unwrap_or_default()
    }
}

fn message(exemplar: &CallExemplar) -> ExemplarMessage {
    let CallExemplar { span, took, ended_at } = exemplar;
    ExemplarMessage {
        time_unix_nano: nanoseconds(*ended_at),
        value: Some(took.as_secs_f64()),
        span_id: id_bytes(span.span),
        trace_id: span.trace.to_be_bytes().to_vec(),
    }
}
