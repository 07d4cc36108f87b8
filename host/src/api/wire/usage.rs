//! What the apps and the host use: counters since the host started, of which two readings make rates.
//! Does not hold rates: whoever asks knows over which time it wants them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::latency::Latency;
use super::sources::Sources;

/// What is used, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Usage {
    /// How long the host has run; the time that lies between two readings.
    pub uptime_ms: u64,
    /// The host as a whole.
    pub host: HostUsage,
    /// The apps that were called since the host started, in order of their names.
    pub apps: Vec<AppUsage>,
    /// The same of each host of the fleet, of which all this is the sum; nothing where the host is alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub each: BTreeMap<String, Self>,
    /// Which hosts of the fleet told this; nothing where the host is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
}

/// What the host uses, and of how much.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct HostUsage {
    /// Cores it may use.
    pub cores: usize,
    /// CPU time of the whole process.
    pub cpu_seconds: f64,
    /// Memory of the whole process.
    pub resident_bytes: u64,
    /// Memory that instances have reserved.
    pub memory_bytes: u64,
    /// Memory that the process may use.
    pub memory_budget_bytes: u64,
    /// What components and compiled code take on the disk.
    #[serde(default)]
    pub disk_bytes: u64,
    /// What they may take; 0 where there is no bound.
    #[serde(default)]
    pub disk_bound_bytes: u64,
    /// Instance slots in use.
    pub slots_used: u32,
    /// Instance slots there are.
    pub slots_total: u32,
    /// Apps it serves.
    pub apps: usize,
    /// Those of them whose code is mapped.
    pub apps_mapped: u64,
    /// How many may be.
    pub apps_mapped_most: u32,
    /// Open connections of callers.
    pub connections: u64,
    /// Calls that wait now.
    pub waiting: u32,
    /// Calls refused before an app was found for them.
    pub unrouted: u64,
}

/// What one app uses.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct AppUsage {
    /// The app.
    pub app: String,
    /// CPU time of its calls.
    pub cpu_seconds: f64,
    /// Fuel of its calls.
    pub fuel: u64,
    /// Memory that its instances hold now.
    pub memory_bytes: u64,
    /// Calls that are over, refused ones included.
    pub calls: u64,
    /// Those of them that failed through the app's own fault.
    pub failed: u64,
    /// Those of them that the app itself answered with a status of class 5xx.
    #[serde(default)]
    pub errors: u64,
    /// Those of them that were refused for want of room, by cause.
    pub refused: BTreeMap<String, u64>,
    /// How long those took that are over, refused ones included.
    #[serde(default)]
    pub latency: Latency,
    /// Calls that run now.
    pub running: u32,
    /// Calls that wait now.
    pub waiting: u32,
}

impl HostUsage {
    /// Adds what another host uses.
    pub(in crate::api) fn add(&mut self, host: &Self) {
        self.cores += host.cores;
        self.cpu_seconds += host.cpu_seconds;
        self.resident_bytes += host.resident_bytes;
        self.memory_bytes += host.memory_bytes;
        self.memory_budget_bytes += host.memory_budget_bytes;
        self.disk_bytes += host.disk_bytes;
        self.disk_bound_bytes += host.disk_bound_bytes;
        self.slots_used += host.slots_used;
        self.slots_total += host.slots_total;
        // All hosts of a fleet know the same apps.
        self.apps = self.apps.max(host.apps);
        self.apps_mapped += host.apps_mapped;
        self.apps_mapped_most += host.apps_mapped_most;
        self.connections += host.connections;
        self.waiting += host.waiting;
        self.unrouted += host.unrouted;
    }
}

impl AppUsage {
    /// Adds what the same app uses on another host.
    pub fn add(&mut self, app: &Self) {
        self.app.clone_from(&app.app);
        self.cpu_seconds += app.cpu_seconds;
        self.fuel = self.fuel.saturating_add(app.fuel);
        self.memory_bytes += app.memory_bytes;
        self.calls += app.calls;
        self.failed += app.failed;
        self.errors += app.errors;
        for (cause, count) in &app.refused {
            *self.refused.entry(cause.clone()).or_default() += count;
        }
        self.latency.add(&app.latency);
        self.running += app.running;
        self.waiting += app.waiting;
    }

    /// What was counted on one host since an earlier reading; what is held now is held since then as well.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        // An app that was removed and deployed again counts from zero.
        let passed = |before: u64, now: u64| now.checked_sub(before).unwrap_or(now);
        let refused = self.refused.iter().map(|(cause, count)| {
            let earlier = before.refused.get(cause).copied().unwrap_or(0);
            (cause.clone(), passed(earlier, *count))
        });
        let is_anew = self.cpu_seconds < before.cpu_seconds;
        Self {
            cpu_seconds: self.cpu_seconds - if is_anew { 0.0 } else { before.cpu_seconds },
            fuel: passed(before.fuel, self.fuel),
            calls: passed(before.calls, self.calls),
            failed: passed(before.failed, self.failed),
            errors: passed(before.errors, self.errors),
            refused: refused.filter(|(_, count)| *count > 0).collect(),
            latency: self.latency.since(&before.latency),
            ..self.clone()
        }
    }
}
