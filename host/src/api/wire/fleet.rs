//! What the control API says of a fleet: hosts, replicas, plans. A host that is alone is a fleet of one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::plans::PlacedBy;

/// All hosts of the fleet, in order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Hosts {
    /// The host that says this.
    pub asked: String,
    /// Whether it hears of the store; if not, this is what it knew last.
    pub store_answers: bool,
    /// For how many seconds it has heard nothing of the store, or since its start; nothing while it does.
    #[serde(default)]
    pub store_silent_seconds: Option<u64>,
    /// Why the host that says this is not registered itself, and what to do about it.
    #[serde(default)]
    pub trouble: Option<String>,
    /// That nothing is planned, where operators want it so.
    #[serde(default)]
    pub frozen: Option<Frozen>,
    /// The hosts.
    pub hosts: Vec<HostSummary>,
}

/// One host in a line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct HostSummary {
    /// Its name.
    pub host: String,
    /// What fails together with it.
    pub zone: String,
    /// What apps may ask for.
    pub labels: BTreeMap<String, String>,
    /// Where callers reach it.
    pub listen: String,
    /// Where other hosts reach it.
    pub address: String,
    /// Where operators reach it, as it says itself: perhaps on its own machine only.
    #[serde(default)]
    pub admin: Option<String>,
    /// What operators want of it: `open`, `cordoned` or `draining`.
    pub standing: String,
    /// Whether it answers: `answers`, `silent`, `gone`, `unregistered` where only the store has lost
    /// it, `lost` for a day after its lease has ended, or `revoked` where its certificates are.
    pub state: String,
    /// Why it does not answer, where that is known.
    #[serde(default)]
    pub why: Option<String>,
    /// How long ago it was lost.
    #[serde(default)]
    pub lost_seconds: Option<u64>,
    /// Replicas that shall run on it.
    pub replicas: u32,
    /// Apps whose code it has at hand.
    pub ready: u32,
    /// Thousandths of a core that it has, and of which apps use some.
    pub cpu_millicores: u64,
    /// What apps used lately.
    pub cpu_used_millicores: u64,
    /// Memory that it has for apps.
    pub memory_bytes: u64,
    /// What apps hold.
    pub memory_used_bytes: u64,
    /// How far its clock is ahead of that of the host that says this; less than nothing where it is
    /// behind. Seconds within which clocks may differ without harm are told as 0.
    #[serde(default)]
    pub clock_ahead_seconds: i64,
    /// The program's version.
    pub version: String,
    /// The certificate that it shows, where it says.
    #[serde(default)]
    pub certificate: Option<Certificate>,
}

impl HostSummary {
    /// Whether it is not gone for good, as far as anybody knows.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !matches!(&*self.state, "lost" | "revoked")
    }
}

/// The body of a change of what is wanted of a host.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StandingRequest {
    /// `open`, `cordoned` (nothing new) or `draining` (everything goes elsewhere).
    pub standing: String,
}

/// The body of a change of how many replicas are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleRequest {
    /// How many, from now on, over deploys and rollbacks, until a manifest is deployed whose
    /// `[replicas]` says something else than the one before.
    pub replicas: u32,
}

/// Where an app runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Replicas {
    /// The app.
    pub app: String,
    /// The deployment that is wanted.
    pub generation: u64,
    /// Replicas that are wanted.
    pub wanted: u32,
    /// Fewest that load leaves.
    pub min: u32,
    /// Most that load brings.
    pub max: u32,
    /// How many of them are ready.
    pub ready: u32,
    /// The hosts it is placed on, or that still have its code at hand.
    pub hosts: Vec<Replica>,
    /// What replicas lack that are placed nowhere.
    #[serde(default)]
    pub lacks: Option<String>,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Replica {
    /// Where.
    pub host: String,
    /// `ready`, `starting`, or `leaving` where it is no longer placed there.
    pub state: String,
    /// The deployment whose code is at hand.
    pub generation: Option<u64>,
    /// The one that is tried beside it.
    pub canary: Option<u64>,
    /// Since when and why it is there; nothing where nobody has said, or where it leaves.
    #[serde(default)]
    pub placed: Option<PlacedBy>,
}

/// What came of a change of which store a host follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct FleetChanged {
    /// What was done, in a sentence.
    pub done: String,
    /// Apps that were put into the store.
    pub apps: Vec<String>,
    /// Apps that were not, with the reason.
    pub left_out: BTreeMap<String, String>,
}

/// What would move if the fleet were planned now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Plan {
    /// Moves, each with its reason.
    pub moves: Vec<PlannedMove>,
    /// What does not fit.
    pub unplaced: Vec<Unplaced>,
    /// Hosts that could be given back.
    pub spare: Vec<String>,
    /// Whether the host that made the plan hears of the store; otherwise it is of what it knew last,
    /// and nothing moves.
    #[serde(default = "hears")]
    pub store_answers: bool,
    /// That nothing is planned, where operators want it so: nothing of this happens meanwhile.
    #[serde(default)]
    pub frozen: Option<Frozen>,
}

/// That nothing is planned.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Frozen {
    /// For how many seconds by now.
    pub seconds: u64,
    /// Why, in the operator's words.
    pub why: Option<String>,
}

/// The body of a freeze.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FreezeRequest {
    /// Why, in the operator's words.
    #[serde(default)]
    pub why: Option<String>,
}

/// The body of a revocation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeRequest {
    /// The host whose certificates are revoked.
    pub host: String,
    /// Also where that cuts off the host that is asked, leaves no host, or nobody knows the host.
    #[serde(default)]
    pub force: bool,
}

/// The certificate that a host shows to others.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Certificate {
    /// The authority that made it: the sha-256 of that one's certificate.
    pub authority: String,
    /// Whole days until its time is over; less than nothing where it is.
    pub days_left: i64,
    /// The authorities that the host believes.
    pub believes: Vec<String>,
}

/// What an earlier version meant that did not say.
fn hears() -> bool {
    true
}

/// One move.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PlannedMove {
    /// The app.
    pub app: String,
    /// Where a replica leaves; nowhere where one starts.
    pub from: Option<String>,
    /// Where it goes; nowhere where one stops.
    pub to: Option<String>,
    /// Why.
    pub why: String,
}

/// Replicas that do not fit anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Unplaced {
    /// The app.
    pub app: String,
    /// How many.
    pub replicas: u32,
    /// What they lack.
    pub lacks: String,
    /// Hosts that are drained and keep one of them meanwhile.
    #[serde(default)]
    pub stays_on: Vec<String>,
}
