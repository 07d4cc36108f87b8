//! What apps used of each host and reserved there, as a bill needs it.
//! Holds no prices: the operator has them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::sources::Sources;
use super::time;

/// What apps had of all hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Consumption {
    /// The hosts that told, in order of their names.
    pub hosts: Vec<HostConsumption>,
    /// The tenant of each app, but for those that were removed, and those whose deployment cannot be read.
    pub tenants: BTreeMap<String, String>,
    /// Which hosts of the fleet told this; nothing where the host is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
}

/// What apps had of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct HostConsumption {
    /// Its name.
    pub host: String,
    /// When the time begins that was looked at.
    #[serde(with = "time")]
    pub since: u64,
    /// Seconds of that time, up to now.
    pub seconds: u64,
    /// Those of them of which history knows what apps used, or that they used nothing.
    pub known_seconds: u64,
    /// The apps that used or reserved something in the known time.
    pub apps: Vec<AppConsumption>,
}

/// What one app had of one host in the known time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct AppConsumption {
    /// The app.
    pub app: String,
    /// CPU time of its calls.
    pub cpu_us: u64,
    /// Memory that its instances held: of each hour the most, for all of the hour.
    pub mebibyte_seconds: u64,
    /// CPU time that it reserved beyond that, hour by hour.
    pub unused_cpu_us: u64,
    /// Memory that it reserved beyond that.
    pub unused_mebibyte_seconds: u64,
}
