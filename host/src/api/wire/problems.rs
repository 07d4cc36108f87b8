//! What is wrong surely enough that somebody should be told.

use serde::{Deserialize, Serialize};

use super::{Remedy, Sources};

/// All that is wrong now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Problems {
    /// Each of them, the oldest first.
    pub problems: Vec<ToldProblem>,
    /// Which hosts of the fleet told; nothing where the host is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
}

/// One problem. What it brings about stands in it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ToldProblem {
    /// What kind: `failing`, `slow`, `memory`, `slots`, `disk`, `open files`, `registration`, `store`, `host`,
    /// `certificate` or `clock`.
    pub kind: String,
    /// `open`, or `unmeasured` where nothing has been measured since for ten minutes.
    pub state: String,
    /// The app, where it is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The hosts that have it; nothing where the host is alone.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Since when, where that is known.
    #[serde(default, with = "super::maybe_time", skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// The last time that it was so.
    #[serde(default, with = "super::maybe_time", skip_serializing_if = "Option::is_none")]
    pub last_at: Option<u64>,
    /// Of an app: calls that failed, each a piece of evidence of its own, a caller who tries again being
    /// none; or calls that were slow.
    #[serde(default)]
    pub failed: u64,
    /// Of an app: calls that were answered well, or soon, meanwhile.
    #[serde(default)]
    pub answered: u64,
    /// Of an app: the cause of most failures, or `slow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Of an app: the same in words, with the status that the app itself answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<String>,
    /// Of an app that is slow: calls that took longer are slow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_after_us: Option<u64>,
    /// What is wrong, in a sentence.
    pub claim: String,
    /// What that is concluded from, and what narrows it down.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
    /// What else is wrong because of it.
    #[serde(default)]
    pub symptoms: Vec<String>,
}
