//! Metrics of whom this host tells what is wrong: as many as an operator has named.
//! Reads nothing itself.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::NoLabels;

/// What is read of one receiver of problems.
#[derive(Clone, Debug)]
pub struct ReceiverReading {
    /// `webhook` or `alertmanager`.
    pub kind: &'static str,
    /// Its host and port.
    pub to: String,
    /// Notices it took.
    pub taken: u64,
    /// Messages it did not take.
    pub failed: u64,
    /// Notices it will never get.
    pub lost: u64,
}

/// Writes all of them; nothing where there is no receiver.
pub(super) fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    receivers: &[ReceiverReading],
) -> fmt::Result {
    if receivers.is_empty() {
        return Ok(());
    }
    type Read = fn(&ReceiverReading) -> u64;
    let families: [(&str, &str, Read); 3] = [
        ("notices_taken", "Notices of problems that a receiver took", |it| it.taken),
        ("notices_failed", "Messages that a receiver did not take", |it| it.failed),
        ("notices_lost", "Notices that a receiver will never get", |it| it.lost),
    ];
    for (name, help, read) in families {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for receiver in receivers {
            let labels = [("receiver", receiver.kind), ("to", receiver.to.as_str())];
            let mut family = metric.encode_family(&labels)?;
            family.encode_counter::<NoLabels, _, u64>(&read(receiver), None)?;
        }
    }
    Ok(())
}
