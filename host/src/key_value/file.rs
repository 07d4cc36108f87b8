//! The file of all key-value stores of a host: opened at the first use, and again after the disk has failed it.
//! Does not know what is kept in it.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};

use super::error::KeyValueError;
use super::tables;

/// The file in a data folder.
pub(super) const FILE: &str = "key-value.redb";
/// Memory for pages of the file that are read and written often. The system keeps them as well.
const CACHE: usize = 16 << 20;
/// A file that cannot be opened is not tried again sooner: guests may ask all the time.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The file, open if it can be.
#[derive(Debug)]
pub(super) struct StoreFile {
    path: PathBuf,
    open: RwLock<Option<Arc<Database>>>,
    /// When opening failed last, and why.
    failed: Mutex<Option<(Instant, String)>>,
}

impl StoreFile {
    /// That of a data folder; it is not opened, nor made, before it is used.
    pub(super) fn of(folder: &Path) -> Self {
        let path = folder.join(FILE);
        Self { path, open: RwLock::default(), failed: Mutex::default() }
    }

    /// Whether there is one.
    pub(super) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Reads it as it is at one moment. What is written meanwhile is not seen.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, KeyValueError>,
    ) -> Result<T, KeyValueError> {
        self.with(|database| work(&database.begin_read().map_err(redb::Error::from)?))
    }

    /// Changes it. All of what `work` does is on the disk when this returns well, and none of it otherwise, but for
    /// a disk that fails at the very end.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, KeyValueError>,
    ) -> Result<T, KeyValueError> {
        self.with(|database| {
            let mut transaction = database.begin_write().map_err(redb::Error::from)?;
            // A start after a kill would otherwise read the whole file to find out which pages are free.
            transaction.set_quick_repair(true);
            let done = work(&transaction)?;
            transaction.commit().map_err(redb::Error::from)?;
            Ok(done)
        })
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, KeyValueError>,
    ) -> Result<T, KeyValueError> {
        let database = self.database()?;
        // The database panics on pages that make no sense.
        let done = panic::catch_unwind(AssertUnwindSafe(|| work(&database)));
        let done = done.unwrap_or_else(|_| Err(self.damaged("a page of it makes no sense")));
        if let Err(KeyValueError::Database(redb::Error::Io(_) | redb::Error::PreviousIo)) = &done {
            // It answers nobody any more. Whoever comes next opens it again.
            self.close(&database);
        }
        done
    }

    fn database(&self) -> Result<Arc<Database>, KeyValueError> {
        let held = || self.open.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*held() {
            return Ok(database.clone());
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*held() {
            return Ok(database.clone());
        }
        if let Some((at, why)) = &*failed
            && at.elapsed() < RETRY_AFTER
        {
            return Err(KeyValueError::Unusable(why.clone()));
        }
        match self.open() {
            Ok(database) => {
                *failed = None;
                let database = Arc::new(database);
                *self.open.write().unwrap_or_else(PoisonError::into_inner) = Some(database.clone());
                Ok(database)
            }
            Err(error) => {
                tracing::error!(%error, "the file of key-value stores cannot be opened");
                *failed = Some((Instant::now(), error.to_string()));
                Err(error)
            }
        }
    }

    fn close(&self, lost: &Arc<Database>) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_some_and(|database| Arc::ptr_eq(database, lost)) {
            *open = None;
        }
    }

    fn open(&self) -> Result<Database, KeyValueError> {
        let opened = panic::catch_unwind(|| -> Result<_, KeyValueError> {
            let mut builder = Database::builder();
            let created = builder.set_cache_size(CACHE).create(&self.path);
            let database = created.map_err(redb::Error::from)?;
            // So that whoever reads finds the tables.
            let mut transaction = database.begin_write().map_err(redb::Error::from)?;
            transaction.set_quick_repair(true);
            tables::make(&transaction)?;
            transaction.commit().map_err(redb::Error::from)?;
            Ok(database)
        });
        match opened {
            Ok(Err(KeyValueError::Database(error))) => Err(match error {
                redb::Error::Io(error) if error.kind() != io::ErrorKind::InvalidData => {
                    self.unusable(&error.to_string())
                }
                error @ (redb::Error::DatabaseAlreadyOpen | redb::Error::UpgradeRequired(_)) => {
                    self.unusable(&error.to_string())
                }
                error => self.damaged(&error.to_string()),
            }),
            Ok(opened) => opened,
            Err(_) => Err(self.damaged("it makes no sense")),
        }
    }

    fn unusable(&self, why: &str) -> KeyValueError {
        KeyValueError::Unusable(format!("cannot use {}: {why}", self.path.display()))
    }

    fn damaged(&self, why: &str) -> KeyValueError {
        KeyValueError::Unusable(format!(
            "{} is damaged: {why}; nothing in it was changed: move it away to begin with empty stores, or put a \
             copy in its place",
            self.path.display()
        ))
    }
}
