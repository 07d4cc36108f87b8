//! What was deployed, kept for good: one embedded database per host.
//! Does not hold components; the records name them by digest.

pub mod record;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
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

impl Store {
    /// Opens the store in a folder, or makes an empty one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        // The database panics on some damage instead of saying so.
        let opened = panic::catch_unwind(|| create(&path));
        let database = match opened {
            Ok(Ok(database)) => database,
            Ok(Err(error)) => return Err(refused(path, error)),
            Err(_) => return Err(StoreError::Damaged { path, reason: "it makes no sense".into() }),
        };
        // The file's name must survive a crash as well as what is in it.
        let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| StoreError::Open { path, source })?;
        Ok(Self { database: Arc::new(database) })
    }

    /// Adds a deployment and makes it the app's current one. Durable when this returns. Returns the
    /// components of the old deployments that made room; others may still need them.
    ///
    /// # Errors
    /// The database failed; nothing has changed then.
    pub fn commit(&self, record: &DeploymentRecord) -> Result<Vec<Digest>, StoreError> {
        let app = record.app.as_str();
        let bytes =
            record.encode().map_err(|source| unreadable(app, record.generation.get(), source))?;
        let mut pruned = Vec::new();
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
                let key = (app, generation);
                if let Some(bytes) = deployments.remove(key)? {
                    // A damaged record that goes anyway must not keep new ones out.
                    let record = DeploymentRecord::decode(bytes.value()).ok();
                    pruned.extend(record.map(|record| record.digest));
                }
            }
            transaction.open_table(CURRENT)?.insert(app, record.generation.get())?;
            transaction.open_table(LAST)?.insert(app, record.generation.get())?;
        }
        transaction.commit()?;
        Ok(pruned)
    }

    /// Makes an earlier deployment the app's current one. Durable when this returns.
    ///
    /// # Errors
    /// There is no such deployment, or the database failed; nothing has changed then.
    pub fn set_current(&self, app: &AppName, generation: Generation) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        let key = (app.as_str(), generation.get());
        if transaction.open_table(DEPLOYMENTS)?.get(key)?.is_none() {
            return Err(StoreError::NoDeployment { app: app.clone(), generation });
        }
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
            let key = (app.value(), generation.value());
            if let Some(bytes) = deployments.get(key)? {
                records.push(decode(key, bytes.value())?);
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
            let (key, bytes) = entry?;
            records.push(decode(key.value(), bytes.value())?);
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
            let (key, bytes) = entry?;
            digests.insert(decode(key.value(), bytes.value())?.digest);
        }
        Ok(digests)
    }
}

fn create(path: &Path) -> Result<Database, redb::Error> {
    let database = Database::create(path)?;
    let transaction = database.begin_write()?;
    transaction.open_table(DEPLOYMENTS)?;
    transaction.open_table(CURRENT)?;
    transaction.open_table(LAST)?;
    transaction.commit()?;
    Ok(database)
}

fn refused(path: PathBuf, error: redb::Error) -> StoreError {
    match error {
        redb::Error::DatabaseAlreadyOpen => StoreError::InUse { path },
        // What is no database at all shows as data that makes no sense.
        redb::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
            StoreError::Open { path, source }
        }
        error => StoreError::Damaged { path, reason: error.to_string() },
    }
}

fn decode((app, generation): (&str, u64), bytes: &[u8]) -> Result<DeploymentRecord, StoreError> {
    DeploymentRecord::decode(bytes).map_err(|source| unreadable(app, generation, source))
}

fn unreadable(app: &str, generation: u64, source: RecordError) -> StoreError {
    StoreError::Record { app: app.to_owned(), generation, source }
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
            let pruned = store.commit(&record("a", generation)).unwrap();
            let oldest = generation.checked_sub(KEPT as u64).and_then(Generation::new);
            let oldest = oldest.map(|oldest| record("a", oldest.get()).digest);
            assert_eq!(pruned, oldest.into_iter().collect::<Vec<_>>());
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
    fn what_was_acknowledged_survives_a_kill() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let app: AppName = "a".parse().unwrap();
        for generation in 1..=9 {
            store.commit(&record("a", generation)).unwrap();
            // The file as it is while the host runs is what a kill leaves behind.
            let killed = tempfile::tempdir().unwrap();
            fs::copy(folder.path().join(FILE), killed.path().join(FILE)).unwrap();
            let reopened = Store::open(killed.path()).unwrap();
            assert_eq!(reopened.current().unwrap(), [record("a", generation)]);
            assert_eq!(reopened.history(&app).unwrap(), store.history(&app).unwrap());
            assert_eq!(reopened.next_generation(&app).unwrap().get(), generation + 1);
        }
    }

    #[test]
    fn a_deployment_that_is_not_there_does_not_become_current() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.commit(&record("a", 1)).unwrap();
        let (app, missing) = ("a".parse().unwrap(), Generation::new(7).unwrap());
        let error = store.set_current(&app, missing).unwrap_err();
        assert_eq!(error.to_string(), "the store has no deployment 7 of a");
        assert_eq!(store.current().unwrap(), [record("a", 1)]);
    }

    #[test]
    fn a_record_of_a_newer_host_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let transaction = store.database.begin_write().unwrap();
        let newer = br#"{"v": 9}"#.as_slice();
        transaction.open_table(DEPLOYMENTS).unwrap().insert(("a", 3), newer).unwrap();
        transaction.commit().unwrap();
        let error = store.history(&"a".parse().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "cannot read deployment 3 of a in the store");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("version 9"), "{source}");
    }

    #[test]
    fn a_damaged_file_is_refused_and_never_ends_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let store = Store::open(folder.path()).unwrap();
        (1..=9).for_each(|generation| drop(store.commit(&record("a", generation)).unwrap()));
        drop(store);
        let whole = fs::read(&path).unwrap();
        let mut dice = fastrand::Rng::with_seed(7);
        let mut n_refused = 0;
        for round in 0..60 {
            let mut bytes = whole.clone();
            if round % 3 == 0 {
                bytes.truncate(dice.usize(1..whole.len()));
            } else {
                (0..200).for_each(|_| bytes[dice.usize(..whole.len())] ^= 1 << dice.u8(..8));
            }
            fs::write(&path, bytes).unwrap();
            if let Err(error) = Store::open(folder.path()) {
                let text = error.to_string();
                assert!(text.contains("cannot open the store"), "round {round}: {text}");
                n_refused += 1;
            }
        }
        assert!(n_refused > 20, "{n_refused}");
    }

    #[test]
    fn a_file_that_is_no_store_is_refused() {
        for text in ["", "not a database, but long enough"] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(FILE), text.repeat(999)).unwrap();
            let error = Store::open(folder.path());
            if text.is_empty() {
                // An empty file is a store that was never written.
                assert!(error.unwrap().current().unwrap().is_empty());
                continue;
            }
            let error = error.unwrap_err().to_string();
            assert!(error.contains("cannot open the store"), "{error}");
            assert!(error.contains("restore it from a copy"), "{error}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_called_damaged() {
        let error = Store::open(Path::new("/nonexistent")).unwrap_err();
        assert_eq!(error.to_string(), "cannot open the store /nonexistent/steerage.redb");
    }
}
