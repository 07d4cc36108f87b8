//! What apps' outbound requests came to, by destination, as metrics. Which destinations there are is the
//! guest's choice, so each app has a few and one for all others: see `core::destinations`.
//! Does not count them.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use steerage_core::destinations::RequestEnd;

use super::{AppReading, NoLabels};

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, apps: &[AppReading]) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(
        "http_client_requests",
        "Outbound requests that are over, by destination and how they ended",
        None,
        MetricType::Counter,
    )?;
    for app in apps {
        let Some(table) = app.destinations.read() else { continue };
        for (name, counts) in table.each() {
            for end in RequestEnd::ALL {
                let count = counts.ended(end);
                if count > 0 {
                    let labels =
                        [("app", &*app.app), ("destination", name), ("outcome", end.code())];
                    let mut family = metric.encode_family(&labels)?;
                    family.encode_counter::<NoLabels, _, u64>(&count, None)?;
                }
            }
        }
    }
    let mut metric = encoder.encode_descriptor(
        "http_client_wait",
        "Time that calls have waited for outbound requests, by destination",
        Some(&Unit::Seconds),
        MetricType::Counter,
    )?;
    for app in apps {
        let Some(table) = app.destinations.read() else { continue };
        for (name, counts) in table.each() {
            let labels = [("app", &*app.app), ("destination", name)];
            let mut family = metric.encode_family(&labels)?;
            family.encode_counter::<NoLabels, _, u64>(&counts.waited().as_secs_f64(), None)?;
        }
    }
    Ok(())
}
