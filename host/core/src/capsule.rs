//! What is kept of a call that failed, so that its guest can be run again with all that it was told: which
//! calls, how many of them, what is taken out before it is kept, and whether a replay was exact.
//! Does not know how a capsule is written down, nor how a guest is run.

mod fields;
mod redact;
mod retained;

pub use self::redact::{
    ALWAYS_REDACTED, MOST_SECRETS, Redaction, Redactor, TooManySecrets, is_same_but_for_secrets,
};
pub use self::retained::{FailureKind, KEPT_FOR, MOST_KINDS, MOST_OF_A_KIND, RetainedCapsules};

/// The most bytes of a capsule as it is kept. A call that needs more leaves none: a part of what a guest was
/// told replays nothing.
pub const LARGEST: usize = 64 << 10;

/// How a call ended, as far as a replay has to end in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The cause code of its outcome.
    pub cause: String,
    /// The status that the guest set, 0 where it set none.
    pub status: u16,
    /// Where the guest was, innermost frame first.
    pub frames: Vec<String>,
    /// What it used.
    pub fuel: u64,
}

/// What became of the capsule of a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapsuleFate {
    /// It is kept.
    Kept,
    /// As many of its kind as may be are kept, or could not be kept, which counts as well.
    QuotaReached,
    /// It would have been too large.
    TooLarge,
    /// More values in it are secret than are looked for.
    TooManySecrets,
    /// A body in it is compressed or otherwise encoded, so that no secret would be found in it.
    Encoded,
    /// Instances serve more than one call, so that what a guest was told is not all that it knew.
    Reused,
}

/// What is not the same in a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It ended otherwise.
    Cause,
    /// It answered with another status.
    Status,
    /// It ended elsewhere.
    Frame,
    /// It took another way there: fuel counts instructions.
    Fuel,
}

impl Ending {
    /// What another run did otherwise. Nothing means that it is exact: fuel counts instructions, so equal
    /// fuel to the same end, at the same place, is the same run.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let each = [
            (Difference::Cause, self.cause != other.cause),
            (Difference::Status, self.status != other.status),
            (Difference::Frame, self.frames != other.frames),
            (Difference::Fuel, self.fuel != other.fuel),
        ];
        each.into_iter().filter_map(|(what, differs)| differs.then_some(what)).collect()
    }
}

impl CapsuleFate {
    /// Its stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::QuotaReached => "quota_reached",
            Self::TooLarge => "too_large",
            Self::TooManySecrets => "too_many_secrets",
            Self::Encoded => "encoded",
            Self::Reused => "reused",
        }
    }
}

impl Difference {
    /// What differs, in a word.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Cause => "cause",
            Self::Status => "status",
            Self::Frame => "frame",
            Self::Fuel => "fuel",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_is_exact_where_nothing_differs_and_says_what_does() {
        let trapped = Ending {
            cause: "trapped".to_owned(),
            status: 0,
            frames: vec!["pay".to_owned(), "handle".to_owned()],
            fuel: 41_000,
        };
        assert_eq!(trapped.differences(&trapped), []);
        let later = Ending { fuel: 41_001, ..trapped.clone() };
        assert_eq!(trapped.differences(&later), [Difference::Fuel]);
        let answered =
            Ending { cause: "answered".to_owned(), status: 200, frames: Vec::new(), fuel: 9 };
        let all = trapped.differences(&answered);
        let codes: Vec<_> = all.into_iter().map(Difference::code).collect();
        assert_eq!(codes, ["cause", "status", "frame", "fuel"]);
    }
}
