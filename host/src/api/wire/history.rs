//! What apps did at other times, by minutes and hours.
//! Does not hold rates: a slot says how long it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::sources::Sources;
use super::time;

/// How long a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

/// What one app did, slot by slot, the oldest first; slots in which it was idle are left out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct AppHistory {
    /// The app.
    pub app: String,
    /// How long each slot is.
    pub step: Step,
    /// When the first slot begins that was looked at.
    #[serde(with = "time")]
    pub since: u64,
    /// When the last one ends; it may not be over yet.
    #[serde(with = "time")]
    pub until: u64,
    /// What it did.
    pub slots: Vec<HistorySlot>,
    /// Which hosts of the fleet told this; nothing where the host is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
}

/// What all apps did in one slot, the most CPU time first; those that were idle are left out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct HistoryAt {
    /// When the slot begins.
    #[serde(with = "time")]
    pub at: u64,
    /// How long it is.
    pub step: Step,
    /// How many apps were not idle, told or not.
    pub apps_active: usize,
    /// What they did.
    pub apps: Vec<HistorySlot>,
    /// Which hosts of the fleet told this; nothing where the host is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
}

/// What one app did in one slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct HistorySlot {
    /// When it begins.
    #[serde(with = "time")]
    pub at: u64,
    /// The app.
    pub app: String,
    /// Calls that ended, refused ones included.
    pub calls: u64,
    /// Those of them that failed through the app's own fault.
    pub failed: u64,
    /// Those of them that the app itself answered with a status of class 5xx.
    pub errors: u64,
    /// Those of them that were refused for want of room.
    pub refused: u64,
    /// All of them, by the causes of their ends.
    pub causes: BTreeMap<String, u32>,
    /// CPU time of its calls, also of those that went on.
    pub cpu_us: u64,
    /// Fuel of the calls that ended.
    pub fuel: u64,
    /// No call took more fuel than this: the most that one took, or what all took together where only that is
    /// known.
    #[serde(default)]
    pub fuel_peak: u64,
    /// The most memory that one call had.
    pub memory_peak_bytes: u64,
    /// Memory that its instances held at the end; of an hour the most of its minutes.
    pub memory_bytes: u64,
    /// Calls that ran at the end; of an hour the most of its minutes.
    pub running: u32,
    /// Calls that waited then; the same.
    pub waiting: u32,
    /// Bytes of answers' bodies.
    pub response_bytes: u64,
    /// How long half of the calls took at most, to within 5 %; nothing where none ended.
    pub p50_us: Option<u64>,
    /// The same of 95 %.
    pub p95_us: Option<u64>,
    /// The same of 99 %.
    pub p99_us: Option<u64>,
    /// How many calls took so long, by buckets of 5 %: the most microseconds of each, and the count.
    pub latency_us: Vec<(u64, u32)>,
    /// How many answers were so large, by the same buckets: the most bytes of each, and the count.
    pub sizes_bytes: Vec<(u64, u32)>,
}
