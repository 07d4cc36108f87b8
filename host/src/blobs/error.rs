//! Why a component was not taken or cannot be used.
//! Does not know how that is told.

use std::io;
use std::path::Path;

use steerage_core::id::Digest;
use steerage_core::units;

/// Why a component was not taken or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It is larger than allowed.
    #[error("the component is larger than {limit}")]
    TooLarge {
        /// The largest this host takes.
        limit: units::Bytes,
    },
    /// The bytes are not those that were announced.
    #[error("the bytes that came are {found}, announced was {wanted}")]
    Mismatch {
        /// What was announced.
        wanted: Digest,
        /// What came.
        found: Digest,
    },
    /// Components and compiled code take as much as they may.
    #[error(
        "no room for a component of {wanted}: components and compiled code take {used} of the {bound} that \
         they may take on this host ([disk] components), and {stays} of that cannot go; remove apps that \
         are not needed, or raise the bound"
    )]
    NoRoom {
        /// How large it is, or may be.
        wanted: String,
        /// What is taken.
        used: String,
        /// What may be.
        bound: String,
        /// What of it has to stay.
        stays: String,
    },
    /// The upload broke off.
    #[error("the upload broke off after {received} bytes: {reason}")]
    BrokenOff {
        /// How much had come.
        received: u64,
        /// What the connection said.
        reason: String,
    },
    /// It is no longer what it was when it came.
    #[error("the component {digest} was damaged on this host's disk; upload it again")]
    Damaged {
        /// What it was.
        digest: Digest,
    },
    /// The disk is full.
    #[error("the disk of this host is full: cannot {what}")]
    Full {
        /// What was tried, with the path.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The disk failed.
    #[error("cannot {what}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

pub(super) fn failed(what: &str, path: &Path, source: io::Error) -> BlobError {
    let what = format!("{what} {}", path.display());
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            BlobError::Full { what, source }
        }
        _ => BlobError::Io { what, source },
    }
}
