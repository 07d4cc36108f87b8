//! What was deployed, kept for good: one embedded database per host.
//! Does not hold components; the records name them by digest.

mod backing;
mod current;
pub mod deployment;
pub mod dump;
mod error;
pub mod index;
pub mod record;
mod tables;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::Arc;

use redb::{Builder, Database, ReadableDatabase, ReadableTable, WriteTransaction};
use steerage_core::id::{AppName, Digest, Generation};
use tokio::sync::watch;

use self::backing::Backing;
use self::deployment::Deployment;
pub use self::error::LedgerError;
use self::error::unreadable;
use self::index::IndexRecord;
use self::record::DeploymentRecord;
use self::tables::{COPIES, CURRENT, DEPLOYMENTS, LAST, REFS, Tables, is_used};

/// The file in a data folder; where it is, a host has its data.
pub const FILE: &str = "steerage.redb";
/// Memory for pages of the database. The system keeps them as well, so this saves a few system calls
/// a read; what is worth more here is that idle apps take no memory.
const CACHE: usize = 4 << 20;

/// The ledger. Clones share it; one write at a time.
#[derive(Clone, Debug)]
pub struct Ledger {
    backing: Arc<Backing>,
    written: watch::Sender<()>,
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
        Ok(Self { backing: Arc::new(backing), written: watch::Sender::new(()) })
    }

    /// Changes whenever something was written.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.written.subscribe()
    }

    /// Whether there is no ledger in a folder, or one that holds nothing: it was never written, or it
    /// was lost.
    #[must_use]
    pub fn is_missing(folder: &Path) -> bool {
        fs::metadata(folder.join(FILE)).map_or(true, |file| file.len() == 0)
    }

    /// Where the ledger of a folder is.
    #[must_use]
    pub fn path(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// The folder that the ledger is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.backing.folder()
    }

    /// Whether the file is where it was when it was opened: a data folder may be deleted while its host
    /// runs, which then keeps nothing.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.backing.is_there()
    }

    /// Whether the disk has too little room for anything to be kept. Once it has, a ledger that was read from
    /// a copy meanwhile is read from its file again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.backing.is_full() || self.backing.leave_copy().is_err()
    }

    /// Refuses what the disk most likely has no room for.
    ///
    /// # Errors
    /// [`LedgerError::Full`].
    pub fn check_room(&self) -> Result<(), LedgerError> {
        self.backing.check_room()
    }

    /// Adds a deployment and makes it the app's current one. Durable when this returns. Returns the
    /// components that old deployments needed which made room, and that nobody needs any more.
    ///
    /// # Errors
    /// The database failed; nothing has changed then.
    pub fn commit(&self, deployment: &Deployment) -> Result<Vec<Digest>, LedgerError> {
        self.commit_all(slice::from_ref(deployment))
    }

    /// The same for many deployments, all or none.
    ///
    /// # Errors
    /// The database failed; nothing has changed then.
    pub fn commit_all(&self, deployments: &[Deployment]) -> Result<Vec<Digest>, LedgerError> {
        self.write(|tables| {
            let mut dropped = Vec::new();
            for deployment in deployments {
                dropped.extend(tables.add(deployment)?);
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
            let record = decode((app.as_str(), generation.get()), &bytes)?;
            tables.point(&record, &tables::index_of(&record)?)
        })
    }

    /// Forgets an app and its deployments; returns the components that nobody needs any more, or
    /// `None` when there was no such app. Durable when this returns.
    ///
    /// # Errors
    /// The database failed; nothing has changed then.
    pub fn remove(&self, app: &AppName) -> Result<Option<Vec<Digest>>, LedgerError> {
        // It makes room, and needs next to none itself.
        self.write_now(|tables| {
            let dropped = tables.remove(app)?;
            dropped.map(|digests| tables.unused(digests)).transpose()
        })
    }

    /// The copy of an app's current deployment.
    fn copy(&self, app: &AppName) -> Result<Option<DeploymentRecord>, LedgerError> {
        self.backing.with(|database| {
            let bytes = database.begin_read()?.open_table(COPIES)?.get(app.as_str())?;
            bytes.map(|bytes| decode((app.as_str(), 0), bytes.value())).transpose()
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
        let found = self.backing.with(|database| {
            let transaction = database.begin_read()?;
            let key = (app.as_str(), generation.get());
            let bytes = transaction.open_table(DEPLOYMENTS)?.get(key)?;
            bytes.map(|bytes| decode(key, bytes.value())).transpose()
        });
        let Err(error) = found else { return found };
        match self.copy(app) {
            Ok(Some(copy)) if copy.generation == generation => Ok(Some(copy)),
            _ => Err(error),
        }
    }

    /// An app's deployments that are kept, the oldest first.
    ///
    /// # Errors
    /// The database failed or holds a record this version cannot read.
    pub fn history(&self, app: &AppName) -> Result<Vec<DeploymentRecord>, LedgerError> {
        let found = self.backing.with(|database| {
            let transaction = database.begin_read()?;
            let deployments = transaction.open_table(DEPLOYMENTS)?;
            let mut records = Vec::new();
            for entry in deployments.range((app.as_str(), 0)..=(app.as_str(), u64::MAX))? {
                let (key, bytes) = entry?;
                records.push(decode(key.value(), bytes.value())?);
            }
            Ok(records)
        });
        match found {
            Err(error) if error.is_damage() => {
                self.copy(app).map(|copy| copy.into_iter().collect())
            }
            found => found,
        }
    }

    /// Whether a page of the file was found damaged since it was opened first.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.backing.is_damaged()
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

    /// The highest generation that each app ever had here, removed apps included.
    ///
    /// # Errors
    /// The database failed.
    pub fn last_of_all(&self) -> Result<BTreeMap<AppName, Generation>, LedgerError> {
        self.backing.with(|database| {
            let transaction = database.begin_read()?;
            let mut all = BTreeMap::new();
            for entry in transaction.open_table(LAST)?.iter()? {
                let (app, last) = entry?;
                if let (Ok(app), Some(last)) = (app.value().parse(), Generation::new(last.value()))
                {
                    all.insert(app, last);
                }
            }
            Ok(all)
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
        self.write_now(change)
    }

    /// The same, however little room there is.
    fn write_now<T>(
        &self,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.backing.leave_copy()?;
        self.backing.with(|database| {
            let transaction = begin_write(database)?;
            let changed = change(&mut Tables::open(&transaction)?)?;
            transaction.commit()?;
            self.written.send_replace(());
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
    tables::index_of(&decode((app, generation), bytes)?)
}

fn decode((app, generation): (&str, u64), bytes: &[u8]) -> Result<DeploymentRecord, LedgerError> {
    DeploymentRecord::decode(bytes).map_err(|source| unreadable(app, generation, source))
}

#[cfg(test)]
mod tests;
