//! Tells a collector about calls, what guests print, events and what the host counts, by OTLP. Whatever tells something
//! puts it into a bounded queue and never waits; a task of each signal sends it.
//! Does not decide which calls are kept, nor when anything is sent: `core::otlp` does.

mod collect;
mod delivery;
mod exemplars;
mod exported_apps;
mod families;
mod grpc;
mod guest_span;
mod log_message;
mod log_record;
mod logs;
mod message;
mod meter;
mod metric_message;
mod news;
mod pairs;
mod point_requests;
mod points;
mod records;
mod resource;
mod send;
mod settings;
mod span;
mod spans;

use std::sync::Arc;

pub use self::delivery::{CollectorDriver, LastExport};
pub use self::exemplars::CallExemplar;
pub use self::logs::{LogDriver, LogExporter};
pub use self::pairs::pairs;
pub use self::points::{MetricDriver, MetricExporter};
pub use self::settings::{CollectorHeaders, OtlpProtocol, OtlpSettings, Signal, SignalEndpoint};
pub use self::span::CallSpan;
pub use self::spans::{SpanDriver, SpanExporter};

/// What a collector is told by.
#[derive(Clone, Debug, Default)]
pub struct CollectorExporters {
    /// Calls, where anybody wants to hear of them.
    pub spans: Option<Arc<SpanExporter>>,
    /// Metrics, likewise.
    pub metrics: Option<Arc<MetricExporter>>,
    /// What guests print, and events, likewise.
    pub logs: Option<Arc<LogExporter>>,
}
