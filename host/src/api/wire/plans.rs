//! What the control API says of plans that were made, and of why replicas are where they are.

use serde::{Deserialize, Serialize};

use super::time;

/// The last plans that changed something, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Plans {
    /// The plans.
    pub plans: Vec<PlanMade>,
    /// What is wrong with those that cannot be read.
    #[serde(default)]
    pub troubles: Vec<String>,
}

/// A plan that was made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PlanMade {
    /// Its number.
    pub number: u32,
    /// When it was made, as the host said that made it.
    #[serde(with = "time")]
    pub at: u64,
    /// That host.
    pub host: String,
    /// What made it necessary, in words.
    pub triggers: Vec<String>,
    /// How many moves it has.
    pub n_moves: u32,
    /// How many apps it changes.
    pub n_apps: u32,
    /// How many of these apps were left to the next plan, since others had changed them meanwhile.
    pub n_left: u32,
    /// How many replicas have no room by it.
    pub n_unplaced: u32,
    /// What came of it: `writing`, `broken_off` where its host was lost while it wrote, `partly` where
    /// apps were left to the next plan, `written` while replicas start or leave, `settled` after that.
    pub outcome: String,
}

/// One plan that was made, whole.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PlanDetail {
    /// What it is.
    pub plan: PlanMade,
    /// Its moves: the first of them, where there are too many to be kept.
    pub moves: Vec<PlanStep>,
}

/// One move of a plan that was made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PlanStep {
    /// The app.
    pub app: String,
    /// Where a replica leaves; nowhere where one starts.
    pub from: Option<String>,
    /// Where it goes; nowhere where one stops.
    pub to: Option<String>,
    /// Why.
    pub why: String,
    /// How far it is by now: `done`, `starting`, `leaving`, or `superseded` by something later.
    pub state: String,
}

/// Since when and why a replica is where it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PlacedBy {
    /// The number of the plan that has put it there.
    pub plan: u32,
    /// When, as the host said that planned.
    #[serde(with = "time")]
    pub at: u64,
    /// Why, in words.
    pub why: String,
}
