//! What a host of a fleet decides, apart from all that it does: what it makes of what the store says,
//! what it sees to next, and what it announces. Time is how long the host has run, and an argument.
//! Speaks with no store and no other host, and brings no code: drivers do. The host drives each part on
//! its own, so that none waits for another; the tests drive whole fleets of them.

pub mod absence;
pub mod announcer;
pub mod answering;
pub mod apps;
pub mod assignments;
pub mod few_hosts;
pub mod follower;
#[cfg(test)]
mod nothing;
pub mod origin;
pub mod pace;
pub mod plan_numbers;
pub mod position;
pub mod progress;
pub mod reconciler;
pub mod records;
pub mod rows;
pub mod status;
pub mod turns;
pub mod view;

pub use self::announcer::{Announcer, CodeAtHand};
pub use self::assignments::{Assignment, PlanStamp, assignments};
pub use self::few_hosts::HostMap;
pub use self::follower::{FollowStep, Follower};
pub use self::origin::{Assigned, ReplicaOrigin};
pub use self::plan_numbers::PlanNumbers;
pub use self::position::{Position, PositionEvidence, StoreNow};
pub use self::progress::MoveProgress;
pub use self::reconciler::Reconciler;
pub use self::records::{AppFacts, FleetItem, FleetKey, FleetValue, HostFacts, ReadyFacts};
pub use self::records::{LeaseId, Records, Revision};
pub use self::rows::{AppRow, AppRows};
pub use self::status::AppHere;
pub use self::turns::{KEEPERS, PlanEnd, PlanSituation, PlanTurn, PlanTurns};
pub use self::view::{FleetView, ViewChange};
