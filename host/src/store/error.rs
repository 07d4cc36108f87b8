//! Why the store did not do what it was asked, by what the caller can do next.

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What a commit was about has changed since its maker looked: look again.
    #[error("others changed {} meanwhile", .key.as_deref().unwrap_or("the same"))]
    Conflict {
        /// What was to be written, if that is known.
        key: Option<String>,
    },
    /// It does not answer, or has no quorum: try later.
    #[error("the store does not answer: {why}")]
    Away {
        /// What happened.
        why: String,
    },
    /// What was asked for is too long ago: read everything again.
    #[error("the store does not keep that revision any more")]
    Compacted,
    /// The lease has ended: take another one.
    #[error("the lease has ended")]
    LeaseLost,
    /// It does not let this host in.
    #[error("the store refuses this host: {why}; see its users and certificates")]
    Denied {
        /// What it said.
        why: String,
    },
    /// More at once than the store takes.
    #[error("a commit of {writes} writes: at most {} are taken", super::MOST_WRITES)]
    TooLarge {
        /// How many.
        writes: usize,
    },
    /// The address cannot be one.
    #[error("the store cannot be reached like this: {0}")]
    BadAddress(String),
    /// What is in it makes no sense to this host.
    #[error("{what}")]
    Damaged {
        /// What, and where.
        what: String,
    },
}
