//! Metrics of what a collector gets from this host; nothing where there is none.
//! Reads nothing itself.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use steerage_core::otlp::{BatchCounts, DropReason};

use super::NoLabels;

/// Writes those of one kind of things, which has this name and is called so.
pub(super) fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    (name, things): (&str, &str),
    counts: Option<&BatchCounts>,
) -> fmt::Result {
    let Some(counts) = counts else { return Ok(()) };
    let (of_sent, help) = (format!("{name}_sent"), format!("{things} that the collector took"));
    let mut sent = encoder.encode_descriptor(&of_sent, &help, None, MetricType::Counter)?;
    sent.encode_counter::<NoLabels, _, u64>(&counts.sent, None)?;
    let of_dropped = format!("{name}_dropped");
    let help = format!("{things} that the collector never gets, by the reason");
    let mut metric = encoder.encode_descriptor(&of_dropped, &help, None, MetricType::Counter)?;
    for (reason, count) in DropReason::ALL.into_iter().zip(counts.dropped) {
        let labels = [("reason", reason.code())];
        let mut family = metric.encode_family(&labels)?;
        family.encode_counter::<NoLabels, _, u64>(&count, None)?;
    }
    Ok(())
}
