//! What limits, replicas and resources apps should have, and why.
//! Holds texts as a manifest has them; programs find the numbers in the history.

use serde::{Deserialize, Serialize};

use super::sources::Sources;
use super::time;

/// What apps should have.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct AdviceReport {
    /// The apps, those that used the most CPU time first.
    pub apps: Vec<AppAdvice>,
    /// How many apps were called in the time of which there is history, told or not.
    pub apps_called: usize,
    /// Which hosts of the fleet told what they know; nothing where the host is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
}

/// What one app should have.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct AppAdvice {
    /// The app.
    pub app: String,
    /// Whose it is.
    pub tenant: String,
    /// Its deployment.
    pub generation: u64,
    /// Since when that is served.
    #[serde(with = "time")]
    pub deployed_at: u64,
    /// Calls since then, as far as history goes back; those of that whole day included.
    pub calls: u64,
    /// Days since then, the first with a call and this one included.
    pub days: u32,
    /// Each key of the manifest that was looked at.
    pub keys: Vec<KeyAdvice>,
}

/// What one key of a manifest should say.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct KeyAdvice {
    /// The key, such as `limits.memory`.
    pub key: String,
    /// What it says, or what stands for it where it says nothing.
    pub present: Option<String>,
    /// What it should say; nothing where it stays.
    pub advised: Option<String>,
    /// The most that was seen; of replicas and concurrency how many calls were refused.
    pub seen: String,
    /// How far above `seen` a lowered limit has to be: in percent of that.
    pub margin_percent: Option<u64>,
    /// So many calls of a million may need more than `seen`, with 95 % certainty; fewer pass what is advised.
    pub risk_per_million: Option<u64>,
    /// Why.
    pub reason: String,
}
