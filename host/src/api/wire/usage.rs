//! What the apps and the host use: counters since the host started, of which two readings make rates.
//! Does not hold rates: whoever asks knows over which time it wants them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    /// Calls that run now.
    pub running: u32,
    /// Calls that wait now.
    pub waiting: u32,
}
