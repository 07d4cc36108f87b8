//! What is found of one thing that was looked at.
//! Judges nothing.

use std::fmt;

use crate::units::Bytes;

/// How well a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// As it should be.
    Ok,
    /// The host runs, but not as well as it could.
    Warn,
    /// The host will not start, or calls will fail that should not.
    Fail,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, as its own documentation calls it.
    pub subject: &'static str,
    /// How well it is.
    pub verdict: Condition,
    /// What was found.
    pub found: String,
    /// What to do, unless all is well.
    pub trouble: Option<Trouble>,
}

/// What is wrong and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What will not work, or not well.
    pub why: String,
    /// The setting to change, and to what.
    pub change: String,
    /// What the change costs and buys.
    pub trade: String,
}

pub(super) fn ok(subject: &'static str, found: impl fmt::Display) -> Finding {
    Finding { subject, verdict: Condition::Ok, found: found.to_string(), trouble: None }
}

pub(super) fn warn(subject: &'static str, found: impl fmt::Display, trouble: Trouble) -> Finding {
    bad(Condition::Warn, subject, found, trouble)
}

pub(super) fn bad(
    verdict: Condition,
    subject: &'static str,
    found: impl fmt::Display,
    trouble: Trouble,
) -> Finding {
    Finding { subject, verdict, found: found.to_string(), trouble: Some(trouble) }
}

/// Whole MiB, or GiB of many, for people.
pub(super) fn rounded(bytes: Bytes) -> Bytes {
    let mebi = bytes.get() >> 20;
    Bytes::mebi(if mebi < 100 << 10 { mebi } else { mebi >> 10 << 10 })
}
