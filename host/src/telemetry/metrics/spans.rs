//! Metrics of what a collector of traces gets from this host; nothing where there is none.
//! Reads nothing itself.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use steerage_core::otlp::{BatchCounts, DropReason};

use super::NoLabels;

/// Writes them.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, counts: &BatchCounts) -> fmt::Result {
    let help = "Spans that the collector took";
    let mut sent = encoder.encode_descriptor("otlp_spans_sent", help, None, MetricType::Counter)?;
    sent.encode_counter::<NoLabels, _, u64>(&counts.sent, None)?;
    let help = "Spans that the collector never gets, by the reason";
    let mut metric =
        encoder.encode_descriptor("otlp_spans_dropped", help, None, MetricType::Counter)?;
    for (reason, count) in DropReason::ALL.into_iter().zip(counts.dropped) {
        let labels = [("reason", reason.code())];
        let mut family = metric.encode_family(&labels)?;
        family.encode_counter::<NoLabels, _, u64>(&count, None)?;
    }
    Ok(())
}
