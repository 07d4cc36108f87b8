//! The store in a file, for a host that is alone: the same promises as etcd's, within one process.
//! A commit is durable when it returns. Leases live in memory; what stood under them when the process
//! ended is deleted at the next start. Does not remember changes of earlier runs.

mod file;
mod leases;
mod log;
mod tables;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::ReadableDatabase;
use tokio::time::Instant;

use self::file::File;
use self::leases::Leases;
use self::log::Log;
use self::tables::{Reader, Tables};
use super::{Change, Commit, Entry, LeaseId, Revision, Seen, StoreError, Write};

/// The file in a data folder.
pub(super) const FILE: &str = "store.redb";

/// The store in a file. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Embedded(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    /// Held over a whole write, so that changes are told in the order of their revisions.
    leases: Mutex<Leases>,
    /// Held for moments only: watches take it on the threads of the runtime.
    log: Mutex<Log>,
    /// Says that there is more in the log.
    told: tokio::sync::watch::Sender<Revision>,
}

#[derive(Debug)]
pub(super) struct EmbeddedWatch {
    inner: Arc<Inner>,
    prefix: String,
    after: Revision,
    told: tokio::sync::watch::Receiver<Revision>,
}

#[derive(Debug)]
pub(super) struct EmbeddedLease {
    inner: Arc<Inner>,
    id: LeaseId,
}

impl Embedded {
    /// Blocks.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let (file, revision) = File::open(folder.join(FILE))?;
        let inner = Inner {
            file,
            leases: Mutex::default(),
            log: Mutex::new(Log::since(revision)),
            told: tokio::sync::watch::Sender::new(revision),
        };
        Ok(Self(Arc::new(inner)))
    }

    pub(super) async fn read(&self, prefix: &str) -> Result<Seen, StoreError> {
        let (own, prefix) = (self.clone(), prefix.to_owned());
        blocking(move || own.read_now(&prefix)).await?
    }

    /// Blocks.
    pub(super) fn read_now(&self, prefix: &str) -> Result<Seen, StoreError> {
        self.0.file.with(|database| Reader::open(&database.begin_read()?)?.below(prefix))
    }

    /// Blocks.
    pub(super) fn page_now(
        &self,
        prefix: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let read = |database: &redb::Database| {
            Reader::open(&database.begin_read()?)?.page(prefix, after, most)
        };
        self.0.file.with(read)
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let (inner, key) = (self.0.clone(), key.to_owned());
        let read =
            move || inner.file.with(|database| Reader::open(&database.begin_read()?)?.get(&key));
        blocking(read).await?
    }

    pub(super) fn watch(&self, prefix: &str, after: Revision) -> EmbeddedWatch {
        let told = self.0.told.subscribe();
        EmbeddedWatch { inner: self.0.clone(), prefix: prefix.to_owned(), after, told }
    }

    pub(super) async fn commit(&self, commit: Commit) -> Result<Revision, StoreError> {
        let own = self.clone();
        blocking(move || own.commit_now(&commit)).await?
    }

    /// Blocks.
    pub(super) fn commit_now(&self, commit: &Commit) -> Result<Revision, StoreError> {
        self.0.commit(&mut lock(&self.0.leases), commit)
    }

    /// The task that ends the lease lives until then.
    pub(super) fn grant(&self, ttl: Duration) -> (LeaseId, EmbeddedLease) {
        let id = lock(&self.0.leases).grant(ttl);
        let inner = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            while let Some(ends) = inner.upgrade().and_then(|inner| lock(&inner.leases).ends(id)) {
                tokio::time::sleep_until(ends).await;
                let Some(inner) = inner.upgrade() else { return };
                let ended = blocking(move || inner.end(id, Some(Instant::now())));
                if let Err(error) | Ok(Err(error)) = ended.await {
                    tracing::error!(%error, "cannot delete what stood under a lease; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        });
        (id, EmbeddedLease { inner: self.0.clone(), id })
    }
}

impl Inner {
    fn commit(&self, leases: &mut Leases, commit: &Commit) -> Result<Revision, StoreError> {
        let leased = commit.writes.iter().find_map(|write| match write {
            Write::Put { lease: Some(lease), .. } if !leases.lives(*lease) => Some(lease),
            _ => None,
        });
        if leased.is_some() {
            return Err(StoreError::LeaseLost);
        }
        let (revision, changes) = self.file.with(|database| {
            let transaction = file::begin_write(database)?;
            let written = {
                let mut tables = Tables::open(&transaction)?;
                tables.check(&commit.guards)?;
                tables.write(&commit.writes)?
            };
            transaction.commit()?;
            Ok(written)
        })?;
        for write in &commit.writes {
            match write {
                Write::Put { key, lease, .. } => leases.attach(key, *lease),
                Write::Delete(key) => leases.attach(key, None),
            }
        }
        self.tell(revision, changes);
        Ok(revision)
    }

    /// Ends a lease, unless it was kept alive beyond that moment.
    fn end(&self, id: LeaseId, at: Option<Instant>) -> Result<(), StoreError> {
        let mut leases = lock(&self.leases);
        if at.is_some_and(|at| leases.ends(id).is_none_or(|ends| ends > at)) {
            return Ok(());
        }
        let writes: Vec<Write> = leases.keys(id).into_iter().map(Write::Delete).collect();
        if !writes.is_empty() {
            self.commit(&mut leases, &Commit { guards: Vec::new(), writes })?;
        }
        leases.forget(id);
        Ok(())
    }

    fn tell(&self, revision: Revision, changes: Vec<Change>) {
        if !changes.is_empty() {
            lock(&self.log).add(changes);
            self.told.send_replace(revision);
        }
    }
}

impl EmbeddedWatch {
    pub(super) async fn next(&mut self) -> Result<Vec<Change>, StoreError> {
        loop {
            self.told.borrow_and_update();
            let (changes, until) = lock(&self.inner.log).after(self.after, &self.prefix)?;
            self.after = until;
            if !changes.is_empty() {
                return Ok(changes);
            }
            // The sender is in `inner`, which this holds.
            if self.told.changed().await.is_err() {
                return Err(StoreError::Away { why: "the embedded store has ended".to_owned() });
            }
        }
    }
}

impl EmbeddedLease {
    pub(super) fn keep_alive(&self) -> Result<(), StoreError> {
        if lock(&self.inner.leases).keep_alive(self.id) {
            Ok(())
        } else {
            Err(StoreError::LeaseLost)
        }
    }

    pub(super) async fn revoke(self) -> Result<(), StoreError> {
        blocking(move || self.inner.end(self.id, None)).await?
    }
}

/// Runs what may wait for the disk apart from the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StoreError::Away { why: format!("the embedded store broke: {error}") })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
