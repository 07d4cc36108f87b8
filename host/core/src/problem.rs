//! Problems: what is wrong for long enough and surely enough that somebody should be told, from when it
//! opens to when it closes. One problem that is none in a hundred billion calls is what it may cost.
//! Knows no clock and does not say why something is wrong: `core::why` does.

mod app;
mod board;
mod course;
mod detector;
mod evidence;
mod latency;
mod level;
mod own_past;
mod slow;
mod told;

pub use self::app::{AppWatch, FailedCall};
pub use self::board::{FoundProblem, ProblemKey, each_once, together, with_symptoms};
pub use self::course::{Course, OpenProblem, ProblemState, ProblemTurn};
pub use self::detector::{Detector, Odds, SinceStart};
pub use self::evidence::{Asker, FailureWay, RecentFailures};
pub use self::latency::{LatencyWatch, PastTurn};
pub use self::level::{LevelWatch, OpenLevel};
pub use self::slow::{SlowWatch, slow_claim};
pub use self::told::{failing_claim, how_it_ended, level_claim, level_evidence};
