//! What was deployed, kept for good: one embedded database per host.
//! Does not hold components; the records name them by digest.

mod backing;
mod error;
pub mod index;
pub mod record;
mod tables;

use std::fs;
use std::path::Path;
use std::slice;
use std::sync::Arc;

use redb::{Builder, Database, ReadableDatabase, ReadableTable, WriteTransaction};
use steerage_core::id::{AppName, Digest, Generation};

use self::backing::Backing;
pub use self::error::LedgerError;
use self::error::unreadable;
use self::index::IndexRecord;
use self::record::DeploymentRecord;
use self::tables::{CURRENT, DEPLOYMENTS, INDEX, LAST, REFS, Tables, is_used};

const FILE: &str = "steerage.redb";
/// Memory for pages of the database. The system keeps them as well, so this saves a few system calls
/// a read; what is worth more here is that idle apps take no memory.
const CACHE: usize = 4 << 20;

/// The ledger. Clones share it; one write at a time.
#[derive(Clone, Debug)]
pub struct Ledger {
    backing: Arc<Backing>,
}

/// Whether a host that runs has the ledger of this folder open. Not to be asked by that host: the
/// kernel would take its own lock away with the file.
#[must_use]
pub fn is_in_use(folder: &Path) -> bool {
    let Ok(file) = fs::File::open(folder.join(FILE)) else { return false };
    let lock = rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockShared);
    matches!(lock, Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS))
}

impl Ledger {
    /// Opens the ledger in a folder, or makes an empty one.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        let path = folder.join(FILE);
        let backing = Backing::open(path.clone())?;
        // The file's name must survive a crash as well as what is in it.
        let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| LedgerError::Open { path, source })?;
        Ok(Self { backing: Arc::new(backing) })
    }

    /// Adds a deployment and makes it the app's current one. Durable when this returns. Returns the
    /// components that old deployments needed which made room, and that nobody needs any more.
    ///
    /// # Errors
    /// The database failed; nothing has changed then.
    pub fn commit(&self, record: &DeploymentRecord) -> Result<Vec<Digest>, LedgerError> {
        self.commit_all(slice::from_ref(record))
    }

    /// The same for many deployments, all or none.
    ///
    /// # Errors
    /// The database failed; nothing has changed then.
    pub fn commit_all(&self, records: &[DeploymentRecord]) -> Result<Vec<Digest>, LedgerError> {
        self.write(|tables| {
            let mut dropped = Vec::new();
            for record in records {
                dropped.extend(tables.add(record)?);
            }
            tables.unused(dropped)
        })
    }

    /// Adds a deployment without making it the app's current one. Durable when this returns; returns
    /// the same as [`Ledger::commit`].
    ///
    /// # Errors
    /// The database failed; nothing has changed then.
    pub fn keep(&self, record: &DeploymentRecord) -> Result<Vec<Digest>, LedgerError> {
        self.write(|tables| {
            let dropped = tables.keep(record)?;
            tables.unused(dropped)
        })
    }

    /// Makes an earlier deployment the app's current one. Durable when this returns.
    ///
    /// # Errors
    /// There is no such deployment, or the database failed; nothing has changed then.
    pub fn set_current(&self, app: &AppName, generation: Generation) -> Result<(), LedgerError> {
        self.write(|tables| {
            let Some(bytes) = tables.deployment(app.as_str(), generation.get())? else {
                return Err(LedgerError::NoDeployment { app: app.clone(), generation });
            };
            tables.point(&decode((app.as_str(), generation.get()), &bytes)?)
        })
    }

    /// Forgets an app and its deployments; returns the components that nobody needs any more, or
    /// `None` when there was no such app. Durable when this returns.
    ///
    /// # Errors
    /// The database failed; nothing has changed then.
    pub fn remove(&self, app: &AppName) -> Result<Option<Vec<Digest>>, LedgerError> {
        self.write(|tables| {
            let dropped = tables.remove(app)?;
            dropped.map(|digests| tables.unused(digests)).transpose()
        })
    }

    /// Shows what is known of every app, in the order of their names, without reading the
    /// deployments themselves. One that cannot be read is shown as the error and ends nothing.
    ///
    /// # Errors
    /// The database failed.
    pub fn each_current(
        &self,
        mut show: impl FnMut(&str, Result<IndexRecord, LedgerError>),
    ) -> Result<(), LedgerError> {
        self.backing.with(|database| {
            let transaction = database.begin_read()?;
            let deployments = transaction.open_table(DEPLOYMENTS)?;
            let index = transaction.open_table(INDEX)?;
            for entry in transaction.open_table(CURRENT)?.iter()? {
                let (app, generation) = entry?;
                let key = (app.value(), generation.value());
                let indexed = index.get(key.0)?.and_then(|bytes| read_index(key, bytes.value()));
                let shown = match indexed {
                    Some(indexed) => Ok(indexed),
                    None => {
                        let bytes = deployments.get(key)?;
                        index_of(key, bytes.as_ref().map_or(&[], |bytes| bytes.value()))
                    }
                };
                show(key.0, shown);
            }
            Ok(())
        })
    }

    /// Whether this is the app's current deployment.
    ///
    /// # Errors
    /// The database failed.
    pub fn is_current(&self, app: &AppName, generation: Generation) -> Result<bool, LedgerError> {
        self.backing.with(|database| {
            let current = database.begin_read()?.open_table(CURRENT)?.get(app.as_str())?;
            Ok(current.is_some_and(|current| current.value() == generation.get()))
        })
    }

    /// One deployment, if it is kept.
    ///
    /// # Errors
    /// The database failed or holds a record this version cannot read.
    pub fn deployment(
        &self,
        app: &AppName,
        generation: Generation,
    ) -> Result<Option<DeploymentRecord>, LedgerError> {
        self.backing.with(|database| {
            let transaction = database.begin_read()?;
            let key = (app.as_str(), generation.get());
            let bytes = transaction.open_table(DEPLOYMENTS)?.get(key)?;
            bytes.map(|bytes| decode(key, bytes.value())).transpose()
        })
    }

    /// An app's deployments that are kept, the oldest first.
    ///
    /// # Errors
    /// The database failed or holds a record this version cannot read.
    pub fn history(&self, app: &AppName) -> Result<Vec<DeploymentRecord>, LedgerError> {
        self.backing.with(|database| {
            let transaction = database.begin_read()?;
            let deployments = transaction.open_table(DEPLOYMENTS)?;
            let mut records = Vec::new();
            for entry in deployments.range((app.as_str(), 0)..=(app.as_str(), u64::MAX))? {
                let (key, bytes) = entry?;
                records.push(decode(key.value(), bytes.value())?);
            }
            Ok(records)
        })
    }

    /// The generation of the app's next deployment. Never one that was given before, not even to
    /// an app of the same name that was removed.
    ///
    /// # Errors
    /// The database failed.
    pub fn next_generation(&self, app: &AppName) -> Result<Generation, LedgerError> {
        self.backing.with(|database| {
            let transaction = database.begin_read()?;
            let last = transaction.open_table(LAST)?.get(app.as_str())?.map(|last| last.value());
            Ok(last.and_then(Generation::new).map_or(Generation::FIRST, Generation::next))
        })
    }

    /// Whether a deployment that is kept needs the component. While there is a deployment that
    /// cannot be read, every component is in use.
    ///
    /// # Errors
    /// The database failed.
    pub fn is_used(&self, digest: &Digest) -> Result<bool, LedgerError> {
        self.backing.with(|database| is_used(&database.begin_read()?.open_table(REFS)?, digest))
    }

    /// Changes the tables in one transaction, or not at all.
    fn write<T>(
        &self,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.backing.check_room()?;
        self.backing.with(|database| {
            let transaction = begin_write(database)?;
            let changed = change(&mut Tables::open(&transaction)?)?;
            transaction.commit()?;
            Ok(changed)
        })
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

fn create(path: &Path) -> Result<Database, redb::Error> {
    let database = builder().create(path)?;
    let transaction = begin_write(&database)?;
    {
        let mut tables = Tables::open(&transaction)?;
        if tables.is_old()? {
            tables.rebuild()?;
        }
    }
    transaction.commit()?;
    Ok(database)
}

/// A start after a kill would otherwise read the whole file to find out which pages are free. With
/// 100,000 apps that took 148 ms out of the page cache, and 7 ms this way; from a disk it is 135 MB
/// that are not read. Commits took as long either way.
fn begin_write(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// What the index holds of an app, if it is about the deployment that is current.
fn read_index((app, generation): (&str, u64), bytes: &[u8]) -> Option<IndexRecord> {
    let record = IndexRecord::decode(app.parse().ok()?, bytes).ok()?;
    (record.generation.get() == generation).then_some(record)
}

/// The same, made from the deployment itself.
fn index_of((app, generation): (&str, u64), bytes: &[u8]) -> Result<IndexRecord, LedgerError> {
    let record = decode((app, generation), bytes)?;
    IndexRecord::of(&record).map_err(|source| unreadable(app, generation, source))
}

fn decode((app, generation): (&str, u64), bytes: &[u8]) -> Result<DeploymentRecord, LedgerError> {
    DeploymentRecord::decode(bytes).map_err(|source| unreadable(app, generation, source))
}

#[cfg(test)]
mod tests;
