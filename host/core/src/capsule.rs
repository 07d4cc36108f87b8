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
    /// As many of its kind are kept as may be, or so many could not be kept that no more is tried.
    QuotaReached,
    /// It would have been too large.
    TooLarge,
    /// More values in it are secret than are looked for.
    TooManySecrets,
    /// A body in it is compressed or otherwise encoded, so that no secret would be found in it.
    Encoded,
    /// Instances serve more than one call, so that what a guest was told is not all that it knew.
    Reused,
    /// Its guest used a key-value store, and what that said is not written down.
    UsedStore,
    /// Its guest made a connection of its own, and what came over that is not written down.
    UsedSocket,
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
            (Difference::Frame, self.first_other_frame(other).is_some()),
            (Difference::Fuel, self.fuel != other.fuel),
        ];
        each.into_iter().filter_map(|(what, differs)| differs.then_some(what)).collect()
    }

    /// The number of the first frame of another run that is not the same. A secret in the name of a function was
    /// replaced here.
    #[must_use]
    pub fn first_other_frame(&self, other: &Self) -> Option<usize> {
        let n_frames = self.frames.len().max(other.frames.len());
        (0..n_frames).find(|number| match (self.frames.get(*number), other.frames.get(*number)) {
            (Some(then), Some(now)) => !is_same_but_for_secrets(then, now),
            _ => true,
        })
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
            Self::UsedStore => "used_store",
            Self::UsedSocket => "used_socket",
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
    #[test]
    fn the_first_frame_that_differs_is_told_and_a_secret_in_a_name_is_no_difference() {
        let ending = |frames: &str| Ending {
            cause: "trapped".to_owned(),
            status: 0,
            frames: frames.split(' ').map(str::to_owned).collect(),
            fuel: 1,
        };
        for (then, now, number) in [
            ("panic pay main", "panic pay main", None),
            ("panic pay main", "panic ship main", Some(1)),
            ("panic pay", "panic pay main", Some(2)),
            ("pay", "ship", Some(0)),
            ("panic xxxxxx::pay", "panic server::pay", None),
            ("panic xxxxxx::pay", "panic server::buy", Some(1)),
            ("box", "boy", Some(0)),
        ] {
            let (then, now) = (ending(then), ending(now));
            assert_eq!(then.first_other_frame(&now), number, "{then:?} and {now:?}");
            assert_eq!(then.differences(&now).is_empty(), number.is_none());
        }
        for (then, now) in [
            ("http://api1:80", "http://api2:80"),
            ("http://127.0.0.1:8081", "http://127.0.0.1:8082"),
            ("http://10.0.0.11", "http://10.0.0.12"),
            ("http://xx.example", "http://ab.example"),
        ] {
            assert!(!is_same_but_for_secrets(then, now), "{then} and {now}");
        }
        assert!(is_same_but_for_secrets("http://xxxxxxx.example:80", "http://hunter2.example:80"));
    }
}
