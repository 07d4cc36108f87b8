//! The file of the embedded store. The database answers nobody any more once the disk has failed it, so it
//! is opened again then; where that has no room, at its next use: a host on a full disk starts all the
//! same, and is told at the first question.
//! Does not know what is kept in it.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::{Database, WriteTransaction};

use super::super::{Revision, StoreError};
use super::tables::Tables;

/// Memory for pages of the database. The system keeps them as well, and hosts have little to spare for
/// what is asked for at deploys only.
const CACHE: usize = 1 << 20;

/// The file, open if it can be.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    open: RwLock<Open>,
}

#[derive(Debug)]
struct Open {
    /// `None` after the disk has failed, or where it has no room for the file to be opened.
    database: Option<Database>,
    /// Whether what stood under leases of an earlier run is gone. Those of this run live in memory, and
    /// their keys stay when the file is opened again.
    is_cleared: bool,
}

impl File {
    /// Opens or makes the database, and deletes what stood under the leases of an earlier run; the latest
    /// revision with it. Where the disk has no room for that, it is tried again at the first use.
    pub(super) fn open(path: PathBuf) -> Result<(Self, Revision), StoreError> {
        let (database, revision) = match open(&path, true) {
            Ok((database, revision)) => (Some(database), revision),
            // Everything that this run changes comes after this.
            Err(StoreError::Full { .. }) => (None, Revision(0)),
            Err(error) => return Err(error),
        };
        let is_cleared = database.is_some();
        Ok((Self { path, open: RwLock::new(Open { database, is_cleared }) }, revision))
    }

    /// Does something with the database. Opens it again when the disk has failed it.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let held = || self.open.read().unwrap_or_else(PoisonError::into_inner);
        let is_open = held().database.is_some();
        if !is_open {
            self.reopen()?;
        }
        let done = match &held().database {
            // The database panics on pages that make no sense.
            Some(database) => panic::catch_unwind(AssertUnwindSafe(|| work(database)))
                .unwrap_or_else(|_| Err(damaged(&self.path, "a page of it makes no sense"))),
            // Another thread has lost it meanwhile.
            None => Err(redb::Error::PreviousIo.into()),
        };
        let is_broken = matches!(
            &done,
            Err(StoreError::Full { .. }
                | StoreError::Database(redb::Error::Io(_) | redb::Error::PreviousIo))
        );
        if is_broken && let Err(error) = self.reopen() {
            tracing::error!(%error, "the embedded store cannot be opened again; trying at its next use");
        }
        done
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut held = self.open.write().unwrap_or_else(PoisonError::into_inner);
        // The file is locked until the old one is gone.
        held.database = None;
        held.database = Some(open(&self.path, !held.is_cleared)?.0);
        held.is_cleared = true;
        Ok(())
    }
}

/// A start after a kill would otherwise read the whole file to find out which pages are free.
pub(super) fn begin_write(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// Opens or makes the database; `is_first` also deletes what stood under leases.
fn open(path: &Path, is_first: bool) -> Result<(Database, Revision), StoreError> {
    let opened = panic::catch_unwind(|| -> Result<_, StoreError> {
        let mut builder = Database::builder();
        let created = builder.set_cache_size(CACHE).create(path);
        let database = created.map_err(redb::Error::from)?;
        if !is_first {
            return Ok((database, Revision(0)));
        }
        let transaction = begin_write(&database)?;
        let revision = Tables::open(&transaction)?.delete_leased()?;
        transaction.commit()?;
        Ok((database, revision))
    });
    match opened {
        Ok(Err(StoreError::Database(redb::Error::Io(error))))
            if error.kind() != io::ErrorKind::InvalidData =>
        {
            Err(redb::Error::Io(error).into())
        }
        // Nothing is wrong with the file.
        Ok(Err(StoreError::Database(redb::Error::DatabaseAlreadyOpen))) => {
            Err(unusable(path, "it is open already; stop the process that uses it".into()))
        }
        Ok(Err(StoreError::Database(error @ redb::Error::UpgradeRequired(_)))) => {
            Err(unusable(path, format!("{error}; open it with the version that wrote it")))
        }
        Ok(Err(StoreError::Database(error))) => Err(damaged(path, &error.to_string())),
        Ok(opened) => opened,
        Err(_) => Err(damaged(path, "it makes no sense")),
    }
}

fn unusable(path: &Path, why: String) -> StoreError {
    StoreError::File { path: path.to_owned(), why }
}

fn damaged(path: &Path, why: &str) -> StoreError {
    StoreError::Damaged {
        what: format!(
            "cannot open the embedded store {}: {why}; restore it from a copy",
            path.display()
        ),
    }
}
