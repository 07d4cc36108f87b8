//! Why the store did not do what it was asked, by what the caller can do next.
//! Does not know which kind of store it was.

use std::io;
use std::path::PathBuf;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A guard does not hold: others changed what the commit is about since its maker looked. Look
    /// again.
    #[error("others changed {} meanwhile", .key.as_deref().unwrap_or("the same"))]
    Conflict {
        /// What was guarded, if that is known.
        key: Option<String>,
    },
    /// It does not answer, or has no quorum: try later. A commit may have happened all the same.
    #[error("the store does not answer: {why}")]
    Away {
        /// What happened, and with which member.
        why: String,
    },
    /// It answers, and this host does not follow it: see `core::lineage`.
    #[error("this host does not follow the store: {why}")]
    NotFollowed {
        /// Why, and what an operator can do.
        why: String,
    },
    /// What was asked for is too long ago: read everything again.
    #[error("the store does not keep that revision any more")]
    Compacted,
    /// The lease has ended: take another one.
    #[error("the lease has ended")]
    LeaseLost,
    /// It does not let this host in.
    #[error("the store refuses this host: {why}")]
    Denied {
        /// What it said, and what to do.
        why: String,
    },
    /// Whoever answers is not the store, going by its certificate.
    #[error("the store cannot be trusted: {why}")]
    Untrusted {
        /// What is wrong with the certificate, and what to do.
        why: String,
    },
    /// More at once than the store takes.
    #[error("a commit of {count} {unit}: at most {most} are taken")]
    TooLarge {
        /// How many.
        count: usize,
        /// Of what.
        unit: &'static str,
        /// How many it takes.
        most: usize,
    },
    /// A commit in which two writes are about one key.
    #[error("a commit that writes {key} twice")]
    Twice {
        /// The key.
        key: String,
    },
    /// The address cannot be one.
    #[error("the store cannot be reached like this: {0}")]
    BadAddress(String),
    /// A file that is needed to reach it cannot be used.
    #[error("cannot use {path} for the store: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// What is in it makes no sense to this host.
    #[error("{what}")]
    Damaged {
        /// What, and where.
        what: String,
    },
    /// There is no room for what was to be written into the embedded store.
    #[error("the disk of this host is full: cannot write the embedded store")]
    Full {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The embedded store failed.
    #[error("the embedded store failed")]
    Database(#[source] redb::Error),
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(source)
                if matches!(
                    source.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                Self::Full { source }
            }
            error => Self::Database(error),
        }
    }
}

impl StoreError {
    /// What an operator can do about it, on this host or at the store.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Away { .. } => {
                "see that the store's members run and can be reached from here, and what their own logs \
                 say; this host tries on"
            }
            Self::Denied { .. } => {
                "see the user and the role that etcd knows (`etcdctl user get`, `role get`), and what this \
                 host shows it: --store, --store-password-file, and its certificate; this host tries on"
            }
            Self::Untrusted { .. } => {
                "see which authority --store names (?ca=), and which certificate the store shows; this \
                 host tries on"
            }
            Self::NotFollowed { .. } => "`steerage hosts` says which way out there is",
            Self::BadAddress(_) | Self::File { .. } => {
                "mend what --store says, or the file that it names, and start this host again"
            }
            Self::TooLarge { .. } => "see the store's --max-request-bytes and --max-txn-ops",
            Self::Damaged { .. } => {
                "upgrade this host if a newer one wrote it, or restore a snapshot of the store; this host \
                 tries on"
            }
            Self::Full { .. } => "make room on the disk of this host, or remove apps",
            Self::Database(_) => "see the disk of this host",
            Self::Conflict { .. } | Self::Compacted | Self::LeaseLost | Self::Twice { .. } => {
                "this host tries on by itself"
            }
        }
    }
}

/// Lets `?` take any of the database's many errors.
macro_rules! from_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                redb::Error::from(error).into()
            }
        })*
    };
}
from_redb!(redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);
