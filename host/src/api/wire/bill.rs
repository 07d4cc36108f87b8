//! What the hosts cost, split among tenants and apps.
//! Holds no price of a provider: whoever asks says what hosts cost.

use serde::{Deserialize, Serialize};

use super::Sources;

/// What the hosts cost, split. Money is in millionths of whatever currency the prices are in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Bill {
    /// When the time begins that is billed; it ends now.
    #[serde(with = "super::time")]
    pub since: u64,
    /// To how many decimals of the currency all parts are rounded, so that they sum to the total.
    pub decimals: u32,
    /// What all hosts cost in that time.
    pub total_millionths: u64,
    /// What stood idle and no app pays.
    pub idle_millionths: u64,
    /// What hosts cost in the time of which nobody knows what apps did.
    pub unknown_millionths: u64,
    /// Seconds of that time, of all hosts together.
    pub seconds: u64,
    /// Those of them of which it is known what apps did.
    pub known_seconds: u64,
    /// The apps that pay, in order of their tenants and names.
    pub apps: Vec<BilledApp>,
    /// The hosts, in order of their names.
    pub hosts: Vec<BilledHost>,
    /// What could be given back.
    pub spare: SpareHosts,
    /// Which hosts of the fleet told what apps used; nothing where the host is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
}

/// What one app pays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct BilledApp {
    /// Whose it is; nothing where nobody says it, such as of one that was removed.
    pub tenant: Option<String>,
    /// The app.
    pub app: String,
    /// For what it used.
    pub use_millionths: u64,
    /// For what it reserved and did not use.
    pub reserved_millionths: u64,
    /// Its part of what stood idle, where that is shared.
    pub idle_millionths: u64,
    /// All of that.
    pub sum_millionths: u64,
}

/// What one host costs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct BilledHost {
    /// Its name.
    pub host: String,
    /// What it costs an hour.
    pub hourly_millionths: u64,
    /// What it cost in all of the time; these sum to the total.
    pub cost_millionths: u64,
    /// Seconds of that time.
    pub seconds: u64,
    /// Those of them of which it is known what apps did.
    pub known_seconds: u64,
}

/// The hosts that could be given back now, as the planner of the fleet says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct SpareHosts {
    /// Their names; nothing where the planner knows only what the store said earlier.
    pub hosts: Option<Vec<String>>,
    /// What they cost an hour; 0 where they are not known.
    pub hourly_millionths: u64,
    /// What all hosts cost an hour.
    pub hourly_of_all_millionths: u64,
}
