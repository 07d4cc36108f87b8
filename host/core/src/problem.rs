//! Problems: what is wrong for long enough and surely enough that somebody should be told, from when it
//! opens to when it closes. One false problem in a hundred billion calls is what it may cost.
//! Knows no clock and does not say why something is wrong: `core::why` does.

mod app;
mod course;
mod detector;
mod evidence;

pub use self::app::{AppWatch, FailedCall};
pub use self::course::{Course, OpenProblem, ProblemState, ProblemTurn};
pub use self::detector::{Detector, Odds, SinceStart};
pub use self::evidence::{Asker, FailureWay, RecentFailures};
