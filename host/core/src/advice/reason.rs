//! Why a value is advised, or why none is, in words.
//! Does not decide it.

use std::fmt;

use super::margin::{MIN_CALLS, MIN_DAYS, MIN_DAYS_WITH_CALLS};
use crate::units::many;

/// Why a value is advised, or kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdviceReason {
    /// Calls need far less.
    FarBelow,
    /// Nothing is better than what it is.
    Fits,
    /// So many calls failed because of it.
    Failed(u64),
    /// So many calls failed because of it, and it is as high as this host allows.
    FailedAtMost(u64),
    /// So many calls failed because of it, and on days without such calls, with enough others, a quarter of it
    /// was enough.
    RunsAway(u64),
    /// So many calls failed because of it in instances that serve several calls, and may keep memory from one to the
    /// next: more of it would only be used up later.
    FailedReused(u64),
    /// So many calls failed because of it on the day of the deployment or before, perhaps when it was lower.
    FailedBefore(u64),
    /// Too little is known.
    TooLittle {
        /// Calls since the deployment.
        calls: u64,
        /// Days since the deployment.
        days: u32,
        /// Those of them on which there were calls.
        days_with_calls: u64,
    },
    /// So many hosts did not say what they know, and may have seen calls that need more.
    Silent(u32),
    /// So many calls were refused, as the app ran as many as it may.
    Busy(u64),
    /// So many calls were refused, as the app ran as many as it may, and it may have no more here.
    BusyAtMost(u64),
    /// The busiest hour of one host used so much.
    Used,
    /// One host used so much at most: all instances together, or one call.
    Held,
}

impl fmt::Display for AdviceReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FarBelow => write!(f, "calls need far less"),
            Self::Fits => write!(f, "it fits what was seen"),
            Self::Failed(n) => write!(
                f,
                "{} failed because of it; how much more is needed is not known, so it is doubled, as far as \
                 this host allows",
                many(n, "call")
            ),
            Self::FailedAtMost(n) => write!(
                f,
                "{} failed because of it, and this host allows no more; make the calls smaller",
                many(n, "call")
            ),
            Self::RunsAway(n) => write!(
                f,
                "{} failed because of it, and on days without such calls a quarter of it was enough; \
                 `steerage why` shows what these calls do",
                many(n, "call")
            ),
            Self::FailedReused(n) => write!(
                f,
                "{} failed because of it, in instances that may keep memory from call to call; `steerage why` shows \
                 whether they grow: then lower [instance] reuse or max_growth instead",
                many(n, "call")
            ),
            Self::FailedBefore(n) => write!(
                f,
                "{} failed because of it on the day of the deployment or before, so it is not lowered",
                many(n, "call")
            ),
            Self::TooLittle { calls, days, days_with_calls } => write!(
                f,
                "too little history since the deployment: {} in {}, on {days_with_calls} of them; needed are {MIN_CALLS} calls in {MIN_DAYS} days, on \
                 {MIN_DAYS_WITH_CALLS} of them",
                many(calls, "call"),
                many(days, "day")
            ),
            Self::Silent(n) => write!(
                f,
                "{} did not say what is known there, and may have seen calls that need more",
                many(n, "host")
            ),
            Self::Busy(n) => write!(
                f,
                "{} refused because as many ran as may; how many more are needed is not known, so it is \
                 doubled, as far as hosts allow",
                calls_were(*n)
            ),
            Self::BusyAtMost(n) => write!(
                f,
                "{} refused because as many ran as may, and this host allows no more; add hosts",
                calls_were(*n)
            ),
            Self::Used => {
                write!(f, "the busiest hour of one host used so much, and 15 % is added")
            }
            Self::Held => write!(f, "one host used so much at most, and 15 % is added"),
        }
    }
}

fn calls_were(n: u64) -> String {
    format!("{} {}", many(n, "call"), if n == 1 { "was" } else { "were" })
}
