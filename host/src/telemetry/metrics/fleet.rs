//! Metrics of the fleet, as one host sees it.
//! Reads nothing itself.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

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
    /// How many of them are in each state, by what operators are told.
    pub hosts_by_state: [(&'static str, u64); 4],
    /// How long ago the store said the last time that this host is registered, and how long it took to say
    /// so; nothing while it is not.
    pub lease_kept: Option<(Duration, Duration)>,
    /// How long ago the store was heard of; nothing while everything is to be read again.
    pub view_age: Option<Duration>,
    /// How long ago this host asked all others what apps use there, if it did.
    pub use_age: Option<Duration>,
    /// How often this host began to take what the store tells, by what it read before: all, or what it
    /// missed.
    pub beginnings: [(&'static str, u64); 2],
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
        self.encode_states(encoder)?;
        self.encode_ages(encoder)?;
        let help = "Times that this host began to follow the store, by what it read before";
        let mut metric =
            encoder.encode_descriptor("fleet_store_reads", help, None, MetricType::Counter)?;
        for (what, n_times) in self.beginnings {
            let labels = [("read", what)];
            let mut counter = metric.encode_family(&labels)?;
            counter.encode_counter::<NoLabels, _, u64>(&n_times, None)?;
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

    fn encode_states(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Hosts that are known, by how they stand with this one";
        let mut metric =
            encoder.encode_descriptor("fleet_hosts_by_state", help, None, MetricType::Gauge)?;
        for (state, n_hosts) in self.hosts_by_state {
            super::encode_gauge(metric.encode_family(&[("state", state)])?, n_hosts)?;
        }
        Ok(())
    }

    /// What is not known has no line: an age of nothing would look young.
    fn encode_ages(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, age) in [
            (
                "fleet_lease_age",
                "Since the store said that this host is registered",
                self.lease_kept.map(|(age, _)| age),
            ),
            (
                "fleet_store_latency",
                "How long the store took to say so the last time",
                self.lease_kept.map(|(_, took)| took),
            ),
            ("fleet_view_age", "Since the store was heard of", self.view_age),
            ("fleet_use_age", "Since all others were asked what apps use there", self.use_age),
        ] {
            let Some(age) = age else { continue };
            let unit = Some(&Unit::Seconds);
            let mut gauge = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            gauge.encode_gauge(&age.as_secs_f64())?;
        }
        Ok(())
    }
}
