//! The file behind the ledger. The database lets nobody read any more once the disk has failed it, so
//! it is opened again then: a disk that was full must not take from callers what was there before.
//! Does not know what is kept in it.

use std::io;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::Database;

use super::create;
use super::error::{LedgerError, refused};

/// Nothing is written where less is free: a transaction takes some pages, and one that finds no room
/// for them breaks the database until it is opened again.
const LEAST_FREE: u64 = 2 << 20;

/// A database that is open, if it can be.
#[derive(Debug)]
pub(super) struct Backing {
    path: PathBuf,
    /// `None` after the disk has failed and while the file cannot be opened again.
    database: RwLock<Option<Database>>,
}

impl Backing {
    /// Opens the file, or makes an empty one.
    pub(super) fn open(path: PathBuf) -> Result<Self, LedgerError> {
        let database = open(&path, create)?;
        Ok(Self { path, database: RwLock::new(Some(database)) })
    }

    /// Does something with the database. Opens it again when that shows that the disk has failed it.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let is_open = self.database.read().unwrap_or_else(PoisonError::into_inner).is_some();
        if !is_open {
            self.reopen()?;
        }
        let done = match &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => work(database),
            // Another thread has lost it meanwhile.
            None => Err(redb::Error::PreviousIo.into()),
        };
        if done.as_ref().is_err_and(LedgerError::breaks_database)
            && let Err(error) = self.reopen()
        {
            tracing::error!(%error, "the ledger cannot be opened again; trying at its next use");
        }
        done
    }

    /// Refuses what the disk most likely has no room for.
    pub(super) fn check_room(&self) -> Result<(), LedgerError> {
        let Ok(disk) = rustix::fs::statvfs(&self.path) else { return Ok(()) };
        // Some file systems over a network do not tell.
        let is_told = disk.f_blocks > 0;
        if is_told && disk.f_bavail.saturating_mul(disk.f_frsize) < LEAST_FREE {
            return Err(LedgerError::Full { source: io::ErrorKind::StorageFull.into() });
        }
        Ok(())
    }

    fn reopen(&self) -> Result<(), LedgerError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The file is locked until the old one is gone.
        *database = None;
        // Without the first transaction of `create`: there may be no room for it, and it was done.
        *database = Some(open(&self.path, |path| Ok(super::builder().open(path)?))?);
        Ok(())
    }
}

/// The database panics on some damage instead of saying so.
fn open(
    path: &Path,
    how: impl Fn(&Path) -> Result<Database, redb::Error> + panic::RefUnwindSafe,
) -> Result<Database, LedgerError> {
    match panic::catch_unwind(|| how(path)) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(error)) => Err(refused(path.to_owned(), error)),
        Err(_) => {
            Err(LedgerError::Damaged { path: path.to_owned(), reason: "it makes no sense".into() })
        }
    }
}
