//! What an app's outbound requests came to, by destination.
//! Sums what several hosts say of one destination; does not count.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use steerage_core::destinations::RECENT;
use steerage_core::latency::Latencies;

use super::sources::Sources;
use super::time;

/// The destinations that an app asked, those that were asked most often first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Destinations {
    /// The destinations: on each host sixteen at most, and `others`, which is all that are not told apart.
    pub destinations: Vec<Destination>,
    /// Which hosts of the fleet told this; nothing where the host is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
}

/// One destination, since the host started or longest ago forgot what it knew for want of room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Destination {
    /// As `host:port`, or `others`.
    pub destination: String,
    /// Requests that are over.
    pub requests: u64,
    /// Requests that are under way.
    pub running: u32,
    /// Those that are over, by how they ended: `answered` below 500, `server_error` for 5xx, `denied`,
    /// `no_room`, `unconnected`, `timed_out`, `broke_off`, `given_up`.
    pub ended: BTreeMap<String, u64>,
    /// Those of them that got no whole answer through no choice of the guest or its client.
    pub failed: u64,
    /// Those of them that were answered with a status of class 5xx.
    pub errors: u64,
    /// How long calls waited for them in all; two that were waited for at once count twice.
    pub waited_us: u64,
    /// Half of the requests took no longer than this until the head of the answer, or until they timed out
    /// or broke off; to a tenth. 0 where none was.
    pub p50_us: u64,
    /// 95 of 100 took no longer than this.
    pub p95_us: u64,
    /// The longest.
    pub max_us: u64,
    /// How many took how long, by the number of the step: each begins at 50 us times two to the power of a
    /// fourth of it.
    pub steps: BTreeMap<usize, u64>,
    /// When something last happened.
    #[serde(with = "time")]
    pub last_at: u64,
    /// What was wrong last; nothing where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<DestinationError>,
    /// The last requests, the oldest first; nothing of `others`.
    pub recent: Vec<DestinationRequest>,
}

/// What was wrong with a destination.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct DestinationError {
    /// When.
    #[serde(with = "time")]
    pub at: u64,
    /// How the request ended.
    pub end: String,
    /// Why, in a few words.
    pub why: String,
}

/// One of the last requests to a destination.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct DestinationRequest {
    /// When it was over, to the second.
    #[serde(with = "time")]
    pub at: u64,
    /// How it ended.
    pub end: String,
    /// How long it took.
    pub took_us: u64,
}

impl Destination {
    /// Adds what another host says of the same.
    pub(in crate::api) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.running = self.running.saturating_add(other.running);
        for (end, count) in other.ended {
            *self.ended.entry(end).or_default() += count;
        }
        self.failed += other.failed;
        self.errors += other.errors;
        self.waited_us = self.waited_us.saturating_add(other.waited_us);
        for (step, count) in other.steps {
            *self.steps.entry(step).or_default() += count;
        }
        self.max_us = self.max_us.max(other.max_us);
        self.last_at = self.last_at.max(other.last_at);
        let errors = [self.last_error.take(), other.last_error];
        self.last_error = errors.into_iter().flatten().max_by_key(|error| error.at);
        self.recent.extend(other.recent);
        self.recent.sort_by_key(|request| request.at);
        self.recent.drain(..self.recent.len().saturating_sub(RECENT));
        self.measure();
    }

    /// Makes the percentiles of what was counted.
    pub(in crate::api) fn measure(&mut self) {
        let mut latencies = Latencies::default();
        for (step, count) in &self.steps {
            latencies.add(*step, *count);
        }
        latencies.note_longest(Duration::from_micros(self.max_us));
        let at = |percent| {
            let took = latencies.percentile(percent).unwrap_or_default();
            u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
        };
        (self.p50_us, self.p95_us) = (at(50), at(95));
    }
}
