//! Where the guests of an app spend their CPU time.

use serde::{Deserialize, Serialize};

use super::Sources;

/// The profiles of the last deployments of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct AppProfile {
    /// Samples for each second of CPU time of a thread; 0 where there are none.
    pub per_second: u32,
    /// Of each deployment that was called, the oldest first.
    pub deployments: Vec<DeploymentProfile>,
    /// Samples of all apps that were lost, since nobody took them in time.
    #[serde(default)]
    pub lost: u64,
    /// Which hosts of the fleet told; nothing where the host is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
}

/// The profile of one deployment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct DeploymentProfile {
    /// Its generation.
    pub generation: u64,
    /// When the first sample was taken.
    #[serde(with = "super::time")]
    pub since: u64,
    /// When the last one was.
    #[serde(with = "super::time")]
    pub until: u64,
    /// Samples, with those whose stack is not kept.
    pub samples: u64,
    /// Samples whose stack is not kept, since there were too many.
    pub left_out: u64,
    /// The names of functions. Stacks have their places here.
    pub functions: Vec<String>,
    /// What was found.
    pub stacks: Vec<ProfileStack>,
}

/// One stack.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ProfileStack {
    /// The functions by their places, the outermost first.
    pub functions: Vec<usize>,
    /// How often it was found.
    pub samples: u64,
}
