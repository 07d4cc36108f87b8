//! What all hosts of a fleet share: a small store of keys with revisions, which can be watched, is
//! changed only where it is as the writer saw it, and forgets what stands under a lease that ended.
//! Consensus, leases and watching are etcd's; none of it is written here. Does not know records.

mod error;
mod etcd;
mod settings;

use std::time::Duration;

pub use self::error::StoreError;
use self::etcd::{Etcd, EtcdLease, EtcdWatch};
pub use self::settings::{BadStore, StoreSettings};

/// As many writes go into one commit: etcd takes 128 unless it is told otherwise.
pub const MOST_WRITES: usize = 100;

/// A moment in the store's history; later ones are larger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// A key with what is under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// What is under it.
    pub value: Vec<u8>,
    /// When that was written.
    pub revision: Revision,
}

/// Everything below a prefix, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// In the order of the keys.
    pub entries: Vec<Entry>,
    /// The moment.
    pub revision: Revision,
}

/// Something that was written or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// What is under it now; `None` where it was deleted.
    pub value: Option<Vec<u8>>,
    /// When.
    pub revision: Revision,
}

/// What must hold for a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Nothing is under the key.
    Absent(String),
    /// What is under the key was written then, and not touched since.
    At(String, Revision),
}

/// Names a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseId(pub i64);

/// One change to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Puts a value under a key, for as long as the lease lives where there is one.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
        /// The lease.
        lease: Option<LeaseId>,
    },
    /// Deletes a key, if it is there.
    Delete(String),
}

/// Changes that are made together, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// What must hold.
    pub guards: Vec<Guard>,
    /// What is changed then; at most [`MOST_WRITES`].
    pub writes: Vec<Write>,
}

/// The store. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Store {
    etcd: Etcd,
}

/// Changes as they come.
#[derive(Debug)]
pub struct Watch {
    etcd: EtcdWatch,
}

/// A lease; what stands under it goes when it ends.
#[derive(Debug)]
pub struct Lease {
    etcd: EtcdLease,
}

impl Store {
    /// A store that nobody has asked yet: whether it answers shows at the first question, so that a
    /// host starts without it.
    ///
    /// # Errors
    /// The settings cannot be used.
    pub async fn open(settings: &StoreSettings) -> Result<Self, StoreError> {
        Ok(Self { etcd: Etcd::open(settings).await? })
    }

    /// Everything below a prefix, at one revision.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn read(&self, prefix: &str) -> Result<Seen, StoreError> {
        self.etcd.read(prefix).await
    }

    /// What is under a key.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.etcd.get(key).await
    }

    /// Every change below a prefix after a revision, in their order.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        Ok(Watch { etcd: self.etcd.watch(prefix, after).await? })
    }

    /// Makes changes, if the guards hold. What fails with [`StoreError::Away`] may have happened all
    /// the same.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where a guard does not hold; see [`StoreError`].
    pub async fn commit(&self, commit: Commit) -> Result<Revision, StoreError> {
        if commit.writes.len() > MOST_WRITES {
            return Err(StoreError::TooLarge { writes: commit.writes.len() });
        }
        self.etcd.commit(&commit).await
    }

    /// A lease that ends when it is not kept alive for so long.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn grant(&self, ttl: Duration) -> Result<Lease, StoreError> {
        Ok(Lease { etcd: self.etcd.grant(ttl).await? })
    }
}

impl Watch {
    /// Waits for the next changes; never none.
    ///
    /// # Errors
    /// The watch has ended: whoever watches reads again.
    pub async fn next(&mut self) -> Result<Vec<Change>, StoreError> {
        self.etcd.next().await
    }
}

impl Lease {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> LeaseId {
        self.etcd.id
    }

    /// How long it lives when it is not kept alive, as it was granted.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.etcd.ttl
    }

    /// Gives it its full time again.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] where it has ended; see [`StoreError`].
    pub async fn keep_alive(&mut self) -> Result<Duration, StoreError> {
        self.etcd.keep_alive().await
    }

    /// Ends it now.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn revoke(self) -> Result<(), StoreError> {
        self.etcd.revoke().await
    }
}
