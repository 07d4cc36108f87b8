//! What came of making an instance, or of putting one back, where that was not done.
//! Does neither.

use std::io;

use super::helper::MOST_HANDLES;
use super::unfit::Unfit;
use crate::telemetry::metrics::NOT_RESTORED;

/// Why no instance was made.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotMade {
    /// None ever will be.
    #[error("{0}")]
    Unfit(Unfit),
    /// The host failed, which another time it may not.
    #[error("{0}")]
    Failed(String),
    /// There is no room just now, or the system has not what it takes.
    #[error("no room: {0}")]
    NotNow(String),
}

/// Why an instance was not put back.
#[derive(Debug, thiserror::Error)]
pub(in crate::sandbox) enum Lost {
    /// Its call ended before the guest's function returned with an answer.
    #[error("its call did not end well")]
    BadEnd,
    /// The system did not do its part.
    #[error("its memory cannot be put back")]
    Memory(#[from] io::Error),
    /// The guest had more handles at once than can be looked at.
    #[error("it had up to {most} handles at once, where {} can be looked at", MOST_HANDLES - 1)]
    TooManyHandles {
        /// How many it may have had.
        most: usize,
    },
    /// A handle has none of the types that were tried.
    #[error("handle {handle} could not be taken: {why}")]
    Handle {
        /// Its number.
        handle: u32,
        /// What Wasmtime said last.
        why: String,
    },
    /// Its handles were of other types than before too often: Wasmtime keeps something for each type that
    /// was tried in vain.
    #[error("its handles were of other types than before too often")]
    WornOut,
    /// The host holds resources to which the guest had no handle.
    #[error("resources stay that it has no handles of")]
    Resources,
    /// The code that puts it back failed, or had to wait.
    #[error("its globals or handles cannot be put back: {0}")]
    Failed(String),
    /// It is not what it was. That is a mistake of the host.
    #[error("it differs from what it was")]
    Differs,
}

impl Lost {
    /// Where it is counted: its place among [`NOT_RESTORED`].
    pub(super) fn reason(&self) -> usize {
        let reason = match self {
            Self::BadEnd => "call_failed",
            Self::TooManyHandles { .. } | Self::WornOut => "too_many_handles",
            Self::Memory(_) => "system",
            Self::Handle { .. } | Self::Resources | Self::Failed(_) | Self::Differs => "mismatch",
        };
        NOT_RESTORED.iter().position(|known| *known == reason).unwrap_or(NOT_RESTORED.len())
    }
}

pub(super) fn no_room(error: impl std::fmt::Display) -> NotMade {
    NotMade::NotNow(format!("{error:#}"))
}

pub(super) fn failed(error: impl std::fmt::Display) -> NotMade {
    NotMade::Failed(format!("{error:#}"))
}
