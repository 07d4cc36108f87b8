//! Metrics of the fleet, as one host sees it.
//! Reads nothing itself.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::NoLabels;

/// What is read of the fleet, as this host sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct FleetReading {
    /// Whether the store answers this host.
    pub store_answers: bool,
    /// For how long it has not, which is how old what this host knows is.
    pub store_silent: Duration,
    /// Hosts that are known, this one included.
    pub hosts: u64,
    /// Those of them that answer.
    pub hosts_answering: u64,
    /// Times that another host was asked to serve a request.
    pub forwarded: u64,
    /// Those of them after which another one had to be asked.
    pub retried: u64,
    /// Requests that were served here since no replica answered.
    pub fallen_back: u64,
}

impl FleetReading {
    /// Writes all of them.
    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let answers = u64::from(self.store_answers);
        for (name, help, value) in [
            ("fleet_store_answers", "Whether the store answers this host", answers),
            (
                "fleet_store_silent_seconds",
                "For how long this host has heard nothing of the store: as old is what it knows",
                self.store_silent.as_secs(),
            ),
            ("fleet_hosts", "Hosts that are known, this one included", self.hosts),
            (
                "fleet_hosts_answering",
                "Hosts that answer this one, itself included",
                self.hosts_answering,
            ),
        ] {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            super::encode_gauge(gauge, value)?;
        }
        for (name, help, value) in [
            ("fleet_forwarded_requests", "Requests passed on to other hosts", self.forwarded),
            (
                "fleet_retried_requests",
                "Requests passed on once more since the first broke",
                self.retried,
            ),
            (
                "fleet_fallback_requests",
                "Requests served here since no replica answered",
                self.fallen_back,
            ),
        ] {
            let mut counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            counter.encode_counter::<NoLabels, _, u64>(&value, None)?;
        }
        Ok(())
    }
}
