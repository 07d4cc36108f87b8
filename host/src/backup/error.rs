//! Why a backup cannot be used, told apart by what an operator can do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::ledger::LedgerError;
use crate::ledger::dump::DumpError;

/// Why a backup cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The backup.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error("{path} is no backup of a host: {why}")]
    NotBackup {
        /// The file.
        path: PathBuf,
        /// What shows it.
        why: String,
    },
    /// A newer host wrote it.
    #[error(
        "{path} was written by a newer steerage, in format {found}: restore it with that one or a later"
    )]
    Newer {
        /// The backup.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// It is not what it was.
    #[error(
        "{path} is damaged: {why}; nothing of it was used, take another copy of it or an earlier one"
    )]
    Damaged {
        /// The backup.
        path: PathBuf,
        /// What shows it.
        why: String,
    },
    /// There is something where it shall be restored.
    #[error(
        "the data folder {data} is not empty, it holds {found}: a backup is restored into an empty one \
         only; move it away, or say another with --data"
    )]
    NotEmpty {
        /// The folder.
        data: PathBuf,
        /// One of the things in it.
        found: String,
    },
    /// The data folder cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The ledger cannot be made.
    #[error("cannot make the ledger again")]
    Ledger(#[from] LedgerError),
    /// The lines of the ledger cannot be used.
    #[error("cannot make the ledger again")]
    Dump(#[from] DumpError),
}

impl BackupError {
    /// What came of reading a part of a backup.
    pub(super) fn from_io(error: io::Error, what: &str) -> Self {
        // What the system says has a number; the rest is what was found in the file.
        if error.raw_os_error().is_some() {
            return Self::Read { path: PathBuf::new(), source: error };
        }
        super::damaged(format!("{what}: {error}"))
    }

    /// The same, of the file at `path`.
    pub(super) fn of(mut self, file: &Path) -> Self {
        if let Self::Read { path, .. }
        | Self::NotBackup { path, .. }
        | Self::Newer { path, .. }
        | Self::Damaged { path, .. } = &mut self
        {
            file.clone_into(path);
        }
        self
    }
}
