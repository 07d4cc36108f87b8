//! What was deployed, kept for good: one embedded database per host.
//! Does not hold components; the records name them by digest.

pub mod record;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use steerage_core::id::{AppName, Digest, Generation};

use self::record::{DeploymentRecord, RecordError};

/// Deployments by app and generation.
const DEPLOYMENTS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("deployments");
/// Which generation of each app is served.
const CURRENT: TableDefinition<'_, &str, u64> = TableDefinition::new("current");
/// The highest generation each app ever had, so that none is given twice.
const LAST: TableDefinition<'_, &str, u64> = TableDefinition::new("last");
/// Deployments of an app kept to go back to.
const KEPT: usize = 20;
const FILE: &str = "steerage.redb";

/// The store. Clones share it; one write at a time.
#[derive(Clone, Debug)]
pub struct Store {
    database: Arc<Database>,
}

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("{path} is in use by another host; stop that one or give another --data folder")]
    InUse {
        /// The database file.
        path: PathBuf,
    },
    /// It cannot be opened.
    #[error("cannot open the store {path}; restore it from a copy, or move it away to start empty")]
    Open {
        /// The database file.
        path: PathBuf,
        /// Why.
        #[source]
        source: DatabaseError,
    },
    /// A record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
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

impl Store {
    /// Opens the store in a folder, or makes an empty one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let database = match Database::create(&path) {
            Ok(database) => database,
            Err(DatabaseError::DatabaseAlreadyOpen) => return Err(StoreError::InUse { path }),
            Err(source) => return Err(StoreError::Open { path, source }),
        };
        let transaction = database.begin_write()?;
        transaction.open_table(DEPLOYMENTS)?;
        transaction.open_table(CURRENT)?;
        transaction.open_table(LAST)?;
        transaction.commit()?;
        Ok(Self { database: Arc::new(database) })
    }

    /// Adds a deployment and makes it the app's current one. Durable when this returns.
    ///
    /// # Errors
    /// The database failed; nothing has changed then.
    pub fn commit(&self, record: &DeploymentRecord) -> Result<(), StoreError> {
        let app = record.app.as_str();
        let bytes = record.encode()?;
        let transaction = self.database.begin_write()?;
        {
            let mut deployments = transaction.open_table(DEPLOYMENTS)?;
            deployments.insert((app, record.generation.get()), bytes.as_slice())?;
            let kept: Vec<u64> = deployments
                .range((app, 0)..=(app, u64::MAX))?
                .map(|entry| entry.map(|(key, _)| key.value().1))
                .collect::<Result<_, _>>()?;
            let n_old = kept.len().saturating_sub(KEPT);
            for generation in kept.into_iter().take(n_old) {
                deployments.remove((app, generation))?;
            }
            transaction.open_table(CURRENT)?.insert(app, record.generation.get())?;
            transaction.open_table(LAST)?.insert(app, record.generation.get())?;
        }
        Ok(transaction.commit()?)
    }

    /// Makes an earlier deployment the app's current one. Durable when this returns.
    ///
    /// # Errors
    /// The database failed; nothing has changed then.
    pub fn set_current(&self, app: &AppName, generation: Generation) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(CURRENT)?.insert(app.as_str(), generation.get())?;
        Ok(transaction.commit()?)
    }

    /// Forgets an app and its deployments; `false` when there was none. Durable when this returns.
    ///
    /// # Errors
    /// The database failed; nothing has changed then.
    pub fn remove(&self, app: &AppName) -> Result<bool, StoreError> {
        let app = app.as_str();
        let transaction = self.database.begin_write()?;
        let was_there = {
            let mut deployments = transaction.open_table(DEPLOYMENTS)?;
            deployments.retain_in((app, 0)..=(app, u64::MAX), |_, _| false)?;
            transaction.open_table(CURRENT)?.remove(app)?.is_some()
        };
        transaction.commit()?;
        Ok(was_there)
    }

    /// Every app's current deployment, in the order of their names.
    ///
    /// # Errors
    /// The database failed or holds a record this version cannot read.
    pub fn current(&self) -> Result<Vec<DeploymentRecord>, StoreError> {
        let transaction = self.database.begin_read()?;
        let deployments = transaction.open_table(DEPLOYMENTS)?;
        let mut records = Vec::new();
        for entry in transaction.open_table(CURRENT)?.iter()? {
            let (app, generation) = entry?;
            if let Some(bytes) = deployments.get((app.value(), generation.value()))? {
                records.push(DeploymentRecord::decode(bytes.value())?);
            }
        }
        Ok(records)
    }

    /// An app's deployments that are kept, the oldest first.
    ///
    /// # Errors
    /// The database failed or holds a record this version cannot read.
    pub fn history(&self, app: &AppName) -> Result<Vec<DeploymentRecord>, StoreError> {
        let transaction = self.database.begin_read()?;
        let deployments = transaction.open_table(DEPLOYMENTS)?;
        let mut records = Vec::new();
        for entry in deployments.range((app.as_str(), 0)..=(app.as_str(), u64::MAX))? {
            records.push(DeploymentRecord::decode(entry?.1.value())?);
        }
        Ok(records)
    }

    /// The generation of the app's next deployment. Never one that was given before, not even to
    /// an app of the same name that was removed.
    ///
    /// # Errors
    /// The database failed.
    pub fn next_generation(&self, app: &AppName) -> Result<Generation, StoreError> {
        let transaction = self.database.begin_read()?;
        let last = transaction.open_table(LAST)?.get(app.as_str())?.map(|last| last.value());
        Ok(last.and_then(Generation::new).map_or(Generation::FIRST, Generation::next))
    }

    /// The components of all deployments that are kept.
    ///
    /// # Errors
    /// The database failed or holds a record this version cannot read.
    pub fn digests_in_use(&self) -> Result<BTreeSet<Digest>, StoreError> {
        let transaction = self.database.begin_read()?;
        let mut digests = BTreeSet::new();
        for entry in transaction.open_table(DEPLOYMENTS)?.iter()? {
            digests.insert(DeploymentRecord::decode(entry?.1.value())?.digest);
        }
        Ok(digests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(app: &str, generation: u64) -> DeploymentRecord {
        DeploymentRecord {
            app: app.parse().unwrap(),
            generation: Generation::new(generation).unwrap(),
            digest: Digest::from_bytes([u8::try_from(generation % 256).unwrap(); 32]),
            manifest: "name = \"a\"".to_owned(),
            kind: "http-0.2".to_owned(),
            size: 7,
            deployed_at: 11,
        }
    }

    #[test]
    fn what_was_committed_is_there_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.commit(&record("b", 1)).unwrap();
        store.commit(&record("a", 1)).unwrap();
        store.commit(&record("a", 2)).unwrap();
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.current().unwrap(), [record("a", 2), record("b", 1)]);
        let a = "a".parse().unwrap();
        assert_eq!(store.history(&a).unwrap(), [record("a", 1), record("a", 2)]);
        store.set_current(&a, Generation::FIRST).unwrap();
        assert_eq!(store.current().unwrap(), [record("a", 1), record("b", 1)]);
        assert_eq!(store.next_generation(&a).unwrap().get(), 3);
    }

    #[test]
    fn old_deployments_make_room_and_their_numbers_are_not_given_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let app: AppName = "a".parse().unwrap();
        for generation in 1..=30 {
            assert_eq!(store.next_generation(&app).unwrap().get(), generation);
            store.commit(&record("a", generation)).unwrap();
        }
        assert_eq!(store.history(&app).unwrap().len(), KEPT);
        assert_eq!(store.digests_in_use().unwrap().len(), KEPT);
        assert!(store.remove(&app).unwrap());
        assert!(!store.remove(&app).unwrap());
        assert!(store.history(&app).unwrap().is_empty());
        assert_eq!(store.next_generation(&app).unwrap().get(), 31);
    }

    #[test]
    fn a_second_host_on_the_same_folder_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let _store = Store::open(folder.path()).unwrap();
        let error = Store::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("in use by another host"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_store_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "not a database, but long enough".repeat(999))
            .unwrap();
        let error = Store::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("cannot open the store"), "{error}");
    }
}
