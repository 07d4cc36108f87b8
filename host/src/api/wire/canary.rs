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
    /// Its steps, if it has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<CanaryStep>,
    /// Which of them it is at, counted from 1; 0 where it has none.
    #[serde(default)]
    pub step: u32,
    /// What the next step waits for: `time`, `calls`, `resume` or `promote`; nothing where it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// When the next step is due, where it waits for time.
    #[serde(default, with = "super::maybe_time", skip_serializing_if = "Option::is_none")]
    pub due_at: Option<u64>,
    /// How many calls of the canary, or of the current deployment if that is more, are missing.
    #[serde(default)]
    pub lacks_calls: u64,
    /// Whether it gets all calls by itself after the last step.
    #[serde(default)]
    pub auto_promote: bool,
}

/// One step of a canary.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CanaryStep {
    /// Its share of the calls, like `25%`.
    pub share: String,
    /// How long it takes at least, in milliseconds.
    pub time_ms: u64,
}

/// What is wanted of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CanaryRequest {
    /// Whether it shall take no steps until this is false again.
    pub paused: bool,
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

/// The watch over a deployment that took the place of another: it is rolled back by itself if it fails
/// where that one did not.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Watch {
    /// Which of the app's deployments is watched.
    pub generation: u64,
    /// The one that it replaced.
    pub replaced: u64,
    /// Until when.
    #[serde(with = "super::time")]
    pub until: u64,
    /// What the one that it replaced did in its last minutes; its times are not known.
    pub old: CanarySide,
    /// What it did itself since then, on all hosts.
    pub new: CanarySide,
}

/// A deployment that did worse than the one beside it or before it, and was rolled back by the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct TakenBack {
    /// Which of the app's deployments.
    pub generation: u64,
    /// In what it did worse.
    pub why: String,
    /// When.
    #[serde(with = "super::time")]
    pub at: u64,
    /// Whether it had all calls, and was no canary.
    #[serde(default)]
    pub had_all: bool,
}
