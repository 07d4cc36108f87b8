//! Why the ledger failed, told apart by what an operator can do about it.
//! Does not know what was asked of it.

use std::io;
use std::path::PathBuf;

use steerage_core::id::{AppName, Generation};

use super::record::LedgerRecordError;

/// Why the ledger failed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process has it open.
    #[error("{path} is in use by another host; stop that one or give another --data folder")]
    InUse {
        /// The database file.
        path: PathBuf,
    },
    /// The system does not let it be read or written.
    #[error("cannot open the ledger {path}")]
    Open {
        /// The database file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not a ledger, or no longer.
    #[error(
        "cannot open the ledger {path}: it is damaged, of another version, or was copied while a host \
         ran ({reason}); make the data folder anew of a backup (`steerage restore`), or move the ledger, \
         store.redb and the blobs folder away to start empty; `steerage backup` copies what a host keeps while it runs"
    )]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A part of the file makes no sense.
    #[error(
        "a page of the ledger {path} is damaged: what is on it cannot be read, other apps are served \
         on; take a backup of what can be read (`steerage backup`), and make a new data folder of it or of \
         an earlier one (`steerage restore`)"
    )]
    Page {
        /// The database file.
        path: PathBuf,
    },
    /// A record cannot be read.
    #[error("cannot read deployment {generation} of {app} in the ledger")]
    Record {
        /// The app.
        app: String,
        /// Which of its deployments.
        generation: u64,
        /// Why.
        #[source]
        source: LedgerRecordError,
    },
    /// There is no such deployment.
    #[error("the ledger has no deployment {generation} of {app}")]
    NoDeployment {
        /// The app.
        app: AppName,
        /// Which of its deployments.
        generation: Generation,
    },
    /// There is no room for what was to be written.
    #[error("the disk of this host is full: cannot write the ledger")]
    Full {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The database failed.
    #[error("the ledger failed")]
    Database(#[source] redb::Error),
}

impl LedgerError {
    /// Whether a part of the file makes no sense; others may.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::Page { .. } | Self::Database(redb::Error::Corrupted(_)))
    }

    /// Whether the disk has no room.
    pub(super) fn is_full(&self) -> bool {
        let is_full = |source: &io::Error| {
            matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        };
        match self {
            Self::Full { .. } => true,
            Self::Open { source, .. } => is_full(source),
            _ => false,
        }
    }

    /// Whether the database refuses everything after this until it is opened again.
    pub(super) fn breaks_database(&self) -> bool {
        matches!(
            self,
            Self::Full { .. }
                | Self::Page { .. }
                | Self::Database(redb::Error::Io(_) | redb::Error::PreviousIo)
        )
    }
}

impl From<redb::Error> for LedgerError {
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

/// Lets `?` take any of the database's many errors.
macro_rules! from_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for LedgerError {
            fn from(error: $error) -> Self {
                redb::Error::from(error).into()
            }
        })*
    };
}
from_redb!(redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);

/// Why the database at `path` was not opened.
pub(super) fn refused(path: PathBuf, error: redb::Error) -> LedgerError {
    match error {
        redb::Error::DatabaseAlreadyOpen => LedgerError::InUse { path },
        // What is no database at all shows as data that makes no sense.
        redb::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
            LedgerError::Open { path, source }
        }
        error => LedgerError::Damaged { path, reason: error.to_string() },
    }
}

pub(super) fn unreadable(app: &str, generation: u64, source: LedgerRecordError) -> LedgerError {
    LedgerError::Record { app: app.to_owned(), generation, source }
}
