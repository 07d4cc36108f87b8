//! What the control API says and is told, as JSON. Every name here is a promise to other programs.
//! Does not use the core's types, which stay free to change, and does not translate: `observe` and
//! `deploy` do. Moments are texts of RFC 3339; every number has its unit in its name.

mod advice;
mod bill;
mod canary;
mod capsule;
mod consumption;
mod destinations;
mod fleet;
mod happened;
mod history;
mod instances;
mod lately;
mod latency;
mod maybe_time;
mod plans;
mod problem;
mod problems;
mod profile;
mod secrets;
mod session;
mod sources;
mod sql;
mod stores;
mod time;
mod usage;
mod why;

use serde::{Deserialize, Serialize};

pub use self::advice::{AdviceReport, AppAdvice, KeyAdvice};
pub use self::bill::{Bill, BilledApp, BilledHost, SpareHosts};
pub use self::canary::{Canary, CanaryRequest, CanarySide, CanaryStep, TakenBack, Watch};
pub use self::capsule::FoundCapsules;
pub use self::consumption::{AppConsumption, Consumption, HostConsumption};
pub use self::destinations::{Destination, DestinationError, DestinationRequest, Destinations};
pub use self::fleet::{
    Certificate, FleetChanged, FreezeRequest, Frozen, HostSummary, Hosts, Plan, PlannedMove,
    Replica, Replicas, RevokeRequest, ScaleRequest, StandingRequest, Unplaced,
};
pub use self::happened::{
    Call, Calls, Event, Events, LogLine, LogLines, Severity, Stream, WaitedFor,
};
pub use self::history::{AppHistory, HistoryAt, HistorySlot, Step};
pub use self::instances::{Instances, Made};
pub use self::lately::{BusyApp, Lately};
pub use self::latency::Latency;
pub use self::plans::{PlacedBy, PlanDetail, PlanMade, PlanStep, Plans};
pub use self::problem::{Mistake, Problem};
pub use self::problems::{Problems, ToldProblem};
pub use self::profile::{AppProfile, DeploymentProfile, ProfileStack};
pub use self::secrets::{Secret, SecretSet, Secrets};
pub use self::session::{SessionKey, SessionRequest};
pub use self::sources::{Sources, Unanswered};
pub use self::sql::{DatabaseSize, DatabaseSizes, SqlResult, SqlResults, SqlStatements};
pub use self::stores::{StoreKeys, StoreUsage};
pub use self::time::moment;
pub use self::usage::{AppUsage, HostUsage, Usage};
pub use self::why::{Diagnosis, Remedy, Why};

/// The body of a deploy.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DeployRequest {
    /// The manifest, as TOML text.
    pub manifest: String,
    /// The digest of a component that was uploaded before.
    pub component: String,
    /// The share of the calls that it gets beside the current deployment, like `5%`, or several, each after
    /// the time of the one before: `5%:2m,25%:5m`; where there is none it takes that one's place.
    #[serde(default)]
    pub canary: Option<String>,
    /// Whether the canary gets all calls by itself, after the time of its last step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_promote: bool,
    /// How long it is watched where it takes that one's place, like `5m`, or `never`; as long as the host
    /// says where there is nothing. It is rolled back if it fails where that one did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<String>,
    /// Whether the app may be taken from the tenant that it belongs to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub change_tenant: bool,
}

/// The body of a rollback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The generation to go back to; the one before the current where there is none.
    #[serde(default)]
    pub to: Option<u64>,
}

/// The body of a validation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ValidateRequest {
    /// The manifest, as TOML text.
    pub manifest: String,
}

/// A manifest that has no mistakes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Validated {
    /// The app it describes.
    pub app: String,
    /// Its routes.
    pub routes: Vec<String>,
    /// Its limits, defaults filled in.
    pub limits: Limits,
}

/// A component that this host now holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Blob {
    /// Its digest.
    pub digest: String,
    /// Its size.
    pub size_bytes: u64,
}

/// What a deploy or a rollback has put in place.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Deployed {
    /// The app.
    pub app: String,
    /// Which of its deployments is served now.
    pub generation: u64,
    /// The share of the calls that it gets, where it is only tried.
    pub canary: Option<String>,
    /// The digest of its component.
    pub component: String,
    /// Which kind of guest the component is.
    pub kind: String,
    /// The size of the component.
    pub size_bytes: u64,
    /// When it was first deployed.
    #[serde(with = "time")]
    pub deployed_at: u64,
    /// Where the app answers, as `path` or `host/path`.
    pub routes: Vec<String>,
    /// Where this host serves its apps.
    pub url: String,
    /// Where it runs in the fleet; nothing where the host is alone.
    #[serde(default)]
    pub replicas: Option<Replicas>,
    /// The watch over it, where it took the place of another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// Interfaces that its component imports and this host does not have: a call of one of them traps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_offered: Vec<String>,
}

/// One deployment that an app can be rolled back to, or that it runs now.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Deployment {
    /// Which of the app's deployments.
    pub generation: u64,
    /// The developer's own version, where the manifest can still be read.
    pub version: Option<String>,
    /// The digest of its component.
    pub component: String,
    /// Which kind of guest the component is.
    pub kind: String,
    /// The size of the component.
    pub size_bytes: u64,
    /// When it was first deployed.
    #[serde(with = "time")]
    pub deployed_at: u64,
    /// Whether it is the one that is served.
    pub current: bool,
}

/// All apps, in order of their names.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Apps {
    /// The apps.
    pub apps: Vec<AppSummary>,
    /// Which hosts of the fleet told this; nothing where the host is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
}

/// One app in a line.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct AppSummary {
    /// The app.
    pub app: String,
    /// The deployment it runs.
    pub generation: u64,
    /// The developer's own version.
    pub version: String,
    /// Which kind of guest it is.
    pub kind: String,
    /// The digest of its component.
    pub component: String,
    /// The size of its component.
    pub size_bytes: u64,
    /// When the deployment was first made.
    #[serde(with = "time")]
    pub deployed_at: u64,
    /// Where it answers, as `path` or `host/path`.
    pub routes: Vec<String>,
    /// Calls that are over, since the host started.
    pub calls: u64,
    /// Those of them that failed through the app's own fault.
    pub failed: u64,
    /// Those of them that the app itself answered with a status of class 5xx.
    #[serde(default)]
    pub errors: u64,
    /// Those of them that were refused for want of room.
    #[serde(default)]
    pub refused: u64,
    /// How long those took that are over, refused ones included.
    #[serde(default)]
    pub latency: Latency,
    /// Calls that run now.
    pub running: u32,
    /// Calls that wait now.
    pub waiting: u32,
    /// Fuel of all calls.
    pub fuel: u64,
    /// CPU time of all calls.
    pub cpu_seconds: f64,
    /// The most memory one call had.
    pub memory_peak_bytes: u64,
    /// Its canary with share and step, or for how long its deployment is watched; nothing where neither is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
}

/// One app with all its sides.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct AppDetail {
    /// The same as in a list of apps.
    #[serde(flatten)]
    pub summary: AppSummary,
    /// Whose app it is.
    pub tenant: String,
    /// What the app is for.
    pub description: Option<String>,
    /// What it may use.
    pub limits: Limits,
    /// Calls one instance may serve; 1 means a fresh one for each.
    pub reuse: u32,
    /// How many calls are to be answered well, like `99.9%`.
    #[serde(default)]
    pub success_objective: String,
    /// How soon how many of them are to be over, like `200ms at p99`, where that is promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_objective: Option<String>,
    /// How its calls get their instances.
    #[serde(default)]
    pub instances: Instances,
    /// Interfaces that its component imports and this host does not have: a call of one of them traps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_offered: Vec<String>,
    /// Its share of a busy host.
    pub weight: u32,
    /// The names of its environment. Values are secrets and stay where they are.
    pub env: Vec<String>,
    /// Where it may send requests to.
    pub allowed_outbound_hosts: Vec<String>,
    /// The key-value stores that it may open.
    #[serde(default)]
    pub key_value_stores: Vec<String>,
    /// The SQL databases that it may open.
    #[serde(default)]
    pub sqlite_databases: Vec<String>,
    /// Its manifest as the developer wrote it, with the values in `[env]` blanked out.
    pub manifest: String,
    /// Its deployments, the newest first.
    pub deployments: Vec<Deployment>,
    /// The one that is on trial.
    pub canary: Option<Canary>,
    /// The last one that did worse and was rolled back by the fleet, until the next deploy.
    pub taken_back: Option<TakenBack>,
    /// The watch over the one that is served, since it took the place of another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// Where it runs in the fleet; nothing where the host is alone.
    #[serde(default)]
    pub replicas: Option<Replicas>,
    /// Which hosts of the fleet told its numbers; nothing where the host is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
}

/// What an app may use, as people write it and as numbers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Limits {
    /// Memory of one instance, like `128MiB`.
    pub memory: String,
    /// The same in bytes.
    pub memory_bytes: u64,
    /// Fuel of one call.
    pub fuel: u64,
    /// Time of one call, like `30s`.
    pub timeout: String,
    /// The same in milliseconds.
    pub timeout_ms: u64,
    /// Calls that run at once.
    pub concurrency: u32,
    /// Calls that wait at once.
    pub queue: u32,
    /// The body of one request, like `10MiB`.
    pub request_body: String,
    /// The same in bytes.
    pub request_body_bytes: u64,
    /// The body of one response, like `100MiB`.
    pub response_body: String,
    /// The same in bytes.
    pub response_body_bytes: u64,
}

/// The host itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct HostInfo {
    /// Its version.
    pub version: String,
    /// How long it has run.
    pub uptime_s: u64,
    /// Where callers come in.
    pub listen: String,
    /// Where operators come in.
    pub admin: String,
    /// Where this host serves its apps, as a URL.
    pub url: String,
    /// Apps it serves.
    pub apps: u64,
    /// Those of them whose code is mapped.
    pub apps_mapped: u64,
    /// Instance slots in use.
    pub slots_used: u32,
    /// Instance slots there are.
    pub slots_total: u32,
    /// Open connections of callers.
    pub connections: u64,
    /// Calls refused before an app was found for them.
    pub unrouted: u64,
    /// Whether the host is ending.
    pub draining: bool,
}

#[cfg(test)]
mod tests;
