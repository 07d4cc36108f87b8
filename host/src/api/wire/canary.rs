//! What the control API says of a deployment on trial.

use serde::{Deserialize, Serialize};

/// A deployment on trial beside an app's current one.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Canary {
    /// Which of the app's deployments.
    pub generation: u64,
    /// Its share of the calls, like `5%`.
    pub share: String,
    /// The same in percent.
    pub share_percent: f64,
    /// Since when.
    #[serde(with = "super::time")]
    pub since: u64,
    /// Hosts that try it.
    pub trying: u32,
    /// Hosts that shall.
    pub hosts: u32,
    /// What is to be said of it: `too_early`, `fine` or `worse`.
    pub verdict: String,
    /// So many percent of the canary's calls may fail, beside what the current one did.
    #[serde(default)]
    pub allowed_failed_percent: f64,
    /// And so much may its slowest twentieth take.
    #[serde(default)]
    pub allowed_p95_us: u64,
    /// What the current deployment did meanwhile, on all hosts.
    pub old: CanarySide,
    /// What the one on trial did.
    pub canary: CanarySide,
}

/// What one of the two did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct CanarySide {
    /// Calls that are over and tell something of it.
    pub calls: u64,
    /// Those that failed by its fault, answers of class 5xx included.
    pub failed: u64,
    /// Half of its calls took longer.
    pub p50_us: u64,
    /// One of twenty took longer.
    pub p95_us: u64,
}

/// A deployment that was on trial, did worse, and was rolled back by the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct TakenBack {
    /// Which of the app's deployments.
    pub generation: u64,
    /// In what it did worse.
    pub why: String,
    /// When.
    #[serde(with = "super::time")]
    pub at: u64,
}
