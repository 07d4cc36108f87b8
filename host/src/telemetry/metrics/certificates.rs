//! Metrics of how long certificates are valid.
//! Reads nothing itself.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

/// Whole days until certificates end, less than nothing once they have; nothing of those there are not.
#[derive(Clone, Copy, Debug, Default)]
pub struct CertificateDays {
    /// The one that callers are shown.
    pub callers: Option<i64>,
    /// The one by which other hosts know this one.
    pub hosts: Option<i64>,
    /// The authority that made that.
    pub authority: Option<i64>,
}

/// Writes those there are.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, days: &CertificateDays) -> fmt::Result {
    let all = [("callers", days.callers), ("hosts", days.hosts), ("authority", days.authority)];
    if all.iter().all(|(_, days)| days.is_none()) {
        return Ok(());
    }
    let help = "Whole days until a certificate ends; less than nothing once it has";
    let mut metric =
        encoder.encode_descriptor("certificate_days_left", help, None, MetricType::Gauge)?;
    for (of, days) in all {
        if let Some(days) = days {
            metric.encode_family(&[("of", of)])?.encode_gauge(&days)?;
        }
    }
    Ok(())
}
