//! How an app's calls get their instances, as the API says it.
//! Does not find it out.

use serde::{Deserialize, Serialize};

/// How an app's calls get their instances.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Instances {
    /// What is done for a call.
    pub made: Made,
    /// Why instances are not restored although they should be, as far as this host has found out.
    pub in_the_way: Option<String>,
}

/// Where the instance of a call comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Made {
    /// One that has served is put back to what it was before, where one is free; otherwise a new one.
    Restored,
    /// A new one for each call.
    #[default]
    New,
    /// One that has served, as it was left.
    Reused,
}
