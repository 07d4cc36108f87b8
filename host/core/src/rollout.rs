//! How a new deployment of an app comes to have all calls, or loses them again: the steps of a canary,
//! and the watch over a deployment that took the place of another at once.
//! Counts nothing and changes nothing: what both deployments did, and what time it is, are arguments.

mod progress;
mod recent;
mod steps;
mod watch;
mod watch_time;

pub use self::progress::{Next, Progress, STEP_CALLS, Wait, next};
pub use self::recent::{Recent, Totals};
pub use self::steps::{BadSteps, CanaryPlan, CanaryStep, Steps};
pub use self::watch::{Failing, GIVEN_UP, failing};
pub use self::watch_time::{BadWatchTime, WatchTime};
