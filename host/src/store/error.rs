//! Why the store failed, told apart by what an operator can do about it.
//! Does not know what was asked of it.

use std::io;
use std::path::PathBuf;

use steerage_core::id::{AppName, Generation};

use super::record::RecordError;

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("{path} is in use by another host; stop that one or give another --data folder")]
    InUse {
        /// The database file.
        path: PathBuf,
    },
    /// The system does not let it be read or written.
    #[error("cannot open the store {path}")]
    Open {
        /// The database file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not a store, or no longer.
    #[error(
        "cannot open the store {path}: it is damaged or of another version ({reason}); restore it \
         from a copy, or move it away to start empty"
    )]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A record cannot be read.
    #[error("cannot read deployment {generation} of {app} in the store")]
    Record {
        /// The app.
        app: String,
        /// Which of its deployments.
        generation: u64,
        /// Why.
        #[source]
        source: RecordError,
    },
    /// There is no such deployment.
    #[error("the store has no deployment {generation} of {app}")]
    NoDeployment {
        /// The app.
        app: AppName,
        /// Which of its deployments.
        generation: Generation,
    },
    /// The database failed, most likely because the disk is full.
    #[error("the store failed")]
    Database(#[from] redb::Error),
}

/// Lets `?` take any of the database's many errors.
macro_rules! from_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::Database(error.into())
            }
        })*
    };
}
from_redb!(redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);

/// Why the database at `path` was not opened.
pub(super) fn refused(path: PathBuf, error: redb::Error) -> StoreError {
    match error {
        redb::Error::DatabaseAlreadyOpen => StoreError::InUse { path },
        // What is no database at all shows as data that makes no sense.
        redb::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
            StoreError::Open { path, source }
        }
        error => StoreError::Damaged { path, reason: error.to_string() },
    }
}

pub(super) fn unreadable(app: &str, generation: u64, source: RecordError) -> StoreError {
    StoreError::Record { app: app.to_owned(), generation, source }
}
