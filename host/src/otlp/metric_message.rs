//! The messages of OTLP for metrics, as far as they are sent here: `opentelemetry.proto.metrics.v1`, by their field
//! numbers.
//! Does not know what they are about.

use bytes::Bytes;
use prost::{Message, Oneof};

use super::message::{KeyValue, ResourceMessage, ScopeMessage};

/// Numbers count from a moment that stays, until they begin anew.
pub(super) const CUMULATIVE: i32 = 2;

/// What a collector is sent.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportMetrics {
    #[prost(message, repeated, tag = "1")]
    pub(super) resource_metrics: Vec<ResourceMetrics>,
}

/// Metrics of one service.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    pub(super) resource: Option<ResourceMessage>,
    #[prost(message, repeated, tag = "2")]
    pub(super) scope_metrics: Vec<ScopeMetrics>,
    #[prost(string, tag = "3")]
    pub(super) schema_url: String,
}

/// Metrics made by one program.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ScopeMetrics {
    #[prost(message, optional, tag = "1")]
    pub(super) scope: Option<ScopeMessage>,
    /// Each a `MetricMessage`, written already.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) metrics: Vec<Bytes>,
}

/// One metric, with some of its points.
#[derive(Clone, PartialEq, Message)]
pub(super) struct MetricMessage {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) description: String,
    #[prost(string, tag = "3")]
    pub(super) unit: String,
    #[prost(oneof = "MetricPoints", tags = "5, 7, 9")]
    pub(super) points: Option<MetricPoints>,
}

/// Its points, by what it is.
#[derive(Clone, PartialEq, Oneof)]
pub(super) enum MetricPoints {
    #[prost(message, tag = "5")]
    Gauge(GaugePoints),
    #[prost(message, tag = "7")]
    Sum(SumPoints),
    #[prost(message, tag = "9")]
    Histogram(HistogramPoints),
}

/// What is so now.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GaugePoints {
    #[prost(message, repeated, tag = "1")]
    pub(super) points: Vec<NumberPoint>,
}

/// What was counted.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SumPoints {
    #[prost(message, repeated, tag = "1")]
    pub(super) points: Vec<NumberPoint>,
    /// [`CUMULATIVE`].
    #[prost(int32, tag = "2")]
    pub(super) temporality: i32,
    #[prost(bool, tag = "3")]
    pub(super) is_monotonic: bool,
}

/// What was counted by size.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HistogramPoints {
    #[prost(message, repeated, tag = "1")]
    pub(super) points: Vec<HistogramPoint>,
    /// [`CUMULATIVE`].
    #[prost(int32, tag = "2")]
    pub(super) temporality: i32,
}

/// One number.
#[derive(Clone, PartialEq, Message)]
pub(super) struct NumberPoint {
    #[prost(fixed64, tag = "2")]
    pub(super) start_time_unix_nano: u64,
    #[prost(fixed64, tag = "3")]
    pub(super) time_unix_nano: u64,
    #[prost(message, repeated, tag = "7")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(oneof = "PointNumber", tags = "4, 6")]
    pub(super) number: Option<PointNumber>,
}

/// The kinds of numbers.
#[derive(Clone, Copy, PartialEq, Oneof)]
pub(super) enum PointNumber {
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(sfixed64, tag = "6")]
    Int(i64),
}

/// Many numbers, by size.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HistogramPoint {
    #[prost(fixed64, tag = "2")]
    pub(super) start_time_unix_nano: u64,
    #[prost(fixed64, tag = "3")]
    pub(super) time_unix_nano: u64,
    #[prost(fixed64, tag = "4")]
    pub(super) count: u64,
    #[prost(double, optional, tag = "5")]
    pub(super) sum: Option<f64>,
    /// How many up to each bound and above the one before, and beyond the last.
    #[prost(fixed64, repeated, tag = "6")]
    pub(super) bucket_counts: Vec<u64>,
    #[prost(double, repeated, tag = "7")]
    pub(super) explicit_bounds: Vec<f64>,
    #[prost(message, repeated, tag = "8")]
    pub(super) exemplars: Vec<ExemplarMessage>,
    #[prost(message, repeated, tag = "9")]
    pub(super) attributes: Vec<KeyValue>,
}

/// One of those that were counted.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExemplarMessage {
    #[prost(fixed64, tag = "2")]
    pub(super) time_unix_nano: u64,
    /// One of two kinds of numbers, of which the other one has no use here.
    #[prost(double, optional, tag = "3")]
    pub(super) value: Option<f64>,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    pub(super) trace_id: Vec<u8>,
}
