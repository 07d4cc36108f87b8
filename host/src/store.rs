//! What all hosts of a fleet share: a small store of keys with revisions, which can be watched, is
//! changed only where it is as the writer saw it, and forgets what stands under a lease that ended.
//! One contract over two stores: etcd, whose consensus, leases and watching are not written again
//! here, and a file for a host that is alone. Does not know records.

mod alone;
mod batch;
mod embedded;
mod error;
mod etcd;
mod many;
mod settings;

use std::collections::BTreeSet;
use std::time::Duration;

pub use steerage_core::node::{LeaseId, Revision};

pub use self::alone::embedded_path;
pub use self::batch::in_commits;
use self::embedded::{Embedded, EmbeddedLease, EmbeddedWatch};
pub use self::error::StoreError;
use self::etcd::{Etcd, EtcdLease, EtcdWatch};
pub use self::settings::{BadStore, EtcdSettings, StoreSettings, TlsFiles, has_password};

/// As many writes go into one commit: etcd takes 128 unless it is told otherwise.
pub const MOST_WRITES: usize = 120;
/// As many guards: one for each write, and a few for what a commit rests on besides.
pub const MOST_GUARDS: usize = MOST_WRITES + 5;
/// As many bytes go into one commit, keys and values: etcd takes 1.5 MiB, with what it adds.
pub const MOST_BYTES: usize = 1 << 20;

/// After so much silence of a watch the store is asked for a sign of life.
const SIGN_EVERY: Duration = Duration::from_secs(1);

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
    /// What the store calls itself: one that was restored or copied may have another name. 0 for the
    /// embedded store, which is only ever moved whole.
    pub cluster: u64,
    /// Keys that are no text, in a form that can be shown: nobody of us wrote them, and one of them
    /// must not keep the others from being read.
    pub strange: Vec<String>,
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

/// How full the store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Bytes that its file takes, what is free in it included.
    pub bytes: u64,
    /// Bytes that it may take; `None` where it does not say (etcd before 3.6).
    pub quota: Option<u64>,
    /// Whether it takes no writes any more until somebody makes room.
    pub is_full: bool,
}

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
    /// What must hold; at most [`MOST_GUARDS`].
    pub guards: Vec<Guard>,
    /// What is changed then; at most [`MOST_WRITES`] of together [`MOST_BYTES`], each key once.
    pub writes: Vec<Write>,
}

/// The store. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Store(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Embedded(Embedded),
    Etcd(Etcd),
}

/// Changes as they come.
#[derive(Debug)]
pub struct Watch(KindOfWatch);

#[derive(Debug)]
enum KindOfWatch {
    Embedded(EmbeddedWatch),
    Etcd(Box<EtcdWatch>),
}

/// A lease; what stands under it goes when it ends. Dropping it changes nothing: it ends when its
/// time is over.
#[derive(Debug)]
pub struct Lease {
    id: LeaseId,
    ttl: Duration,
    kind: KindOfLease,
}

#[derive(Debug)]
enum KindOfLease {
    Embedded(EmbeddedLease),
    Etcd(EtcdLease),
}

impl Store {
    /// Opens the embedded store, or prepares to ask etcd. Nobody asks etcd yet: whether it answers
    /// shows at the first question, so that a host starts without it.
    ///
    /// # Errors
    /// The settings, or the files they name, cannot be used.
    pub async fn open(settings: &StoreSettings) -> Result<Self, StoreError> {
        match settings {
            StoreSettings::Embedded(folder) => {
                let folder = folder.clone();
                embedded::blocking(move || Self::embedded(&folder)).await?
            }
            StoreSettings::Etcd(settings) => Ok(Self(Kind::Etcd(Etcd::open(settings).await?))),
        }
    }

    /// The same store over connections of its own, which belong to the runtime that asks over them first.
    /// The embedded one has none.
    #[must_use]
    pub fn with_own_connections(&self) -> Self {
        Self(match &self.0 {
            Kind::Embedded(embedded) => Kind::Embedded(embedded.clone()),
            Kind::Etcd(etcd) => Kind::Etcd(etcd.with_own_connections()),
        })
    }

    /// Everything below a prefix, at one revision. What was committed before this is asked is in it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn read(&self, prefix: &str) -> Result<Seen, StoreError> {
        match &self.0 {
            Kind::Embedded(embedded) => embedded.read(prefix).await,
            Kind::Etcd(etcd) => etcd.read(prefix).await,
        }
    }

    /// What is under a key. What was committed before this is asked is seen.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        match &self.0 {
            Kind::Embedded(embedded) => embedded.get(key).await,
            Kind::Etcd(etcd) => etcd.get(key, None).await,
        }
    }

    /// Every change below a prefix after a revision, in their order.
    ///
    /// # Errors
    /// See [`StoreError`]; that a revision is too long ago may also show at [`Watch::next`].
    pub async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        Ok(Watch(match &self.0 {
            Kind::Embedded(embedded) => KindOfWatch::Embedded(embedded.watch(prefix, after)),
            Kind::Etcd(etcd) => KindOfWatch::Etcd(Box::new(etcd.watch(prefix, after).await?)),
        }))
    }

    /// Makes changes, if the guards hold, and returns when they were made.
    ///
    /// What fails with [`StoreError::Away`] may have happened all the same. A commit without guards
    /// may be made twice when a member of the store is lost meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where a guard does not hold, [`StoreError::LeaseLost`] where a lease
    /// has ended; see [`StoreError`].
    pub async fn commit(&self, commit: Commit) -> Result<Revision, StoreError> {
        check(&commit)?;
        match &self.0 {
            Kind::Embedded(embedded) => embedded.commit(commit).await,
            Kind::Etcd(etcd) => etcd.commit(&commit).await,
        }
    }

    /// Forgets what was overwritten or deleted before a revision, so that the store does not grow with
    /// every change. Who watches from before that reads everything again. The embedded store forgets
    /// by itself.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] where that was forgotten already; see [`StoreError`].
    pub async fn compact(&self, before: Revision) -> Result<(), StoreError> {
        match &self.0 {
            Kind::Embedded(_) => Ok(()),
            Kind::Etcd(etcd) => etcd.compact(before).await,
        }
    }

    /// How full it is; nothing of the embedded store, whose bound is the disk.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn fill(&self) -> Result<Fill, StoreError> {
        match &self.0 {
            Kind::Embedded(_) => Ok(Fill::default()),
            Kind::Etcd(etcd) => etcd.fill().await,
        }
    }

    /// A lease that ends when it is not kept alive for so long. The time is rounded up to seconds,
    /// and the store may grant more.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn grant(&self, ttl: Duration) -> Result<Lease, StoreError> {
        let seconds = ttl.as_millis().div_ceil(1000).max(1);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        match &self.0 {
            Kind::Embedded(embedded) => {
                let ttl = Duration::from_secs(seconds.into());
                let (id, lease) = embedded.grant(ttl);
                Ok(Lease { id, ttl, kind: KindOfLease::Embedded(lease) })
            }
            Kind::Etcd(etcd) => {
                let (id, ttl, lease) = etcd.grant(seconds).await?;
                Ok(Lease { id, ttl, kind: KindOfLease::Etcd(lease) })
            }
        }
    }
}

impl Watch {
    /// Waits for the next changes; never none. When this future is dropped, no change is lost.
    ///
    /// # Errors
    /// The watch has ended: whoever watches reads again.
    pub async fn next(&mut self) -> Result<Vec<Change>, StoreError> {
        loop {
            let changes = self.next_sign().await?;
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }

    /// Waits for the next changes, or for a sign that the store is there and has none: then there are none.
    /// One of the two comes each few seconds. When this future is dropped, no change is lost.
    ///
    /// # Errors
    /// The watch has ended: whoever watches reads again.
    pub async fn next_sign(&mut self) -> Result<Vec<Change>, StoreError> {
        match &mut self.0 {
            // It is there as long as this process is.
            KindOfWatch::Embedded(watch) => {
                let changes = tokio::time::timeout(SIGN_EVERY, watch.next()).await;
                changes.unwrap_or_else(|_| Ok(Vec::new()))
            }
            KindOfWatch::Etcd(watch) => watch.next().await,
        }
    }
}

impl Lease {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> LeaseId {
        self.id
    }

    /// How long it lives when it is not kept alive, as it was granted.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Gives it its full time again, and says how long that is.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] where it has ended; see [`StoreError`].
    pub async fn keep_alive(&mut self) -> Result<Duration, StoreError> {
        match &self.kind {
            KindOfLease::Embedded(lease) => lease.keep_alive()?,
            KindOfLease::Etcd(lease) => lease.keep_alive().await?,
        }
        Ok(self.ttl)
    }

    /// Ends it now; not an error where it has ended already.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn revoke(self) -> Result<(), StoreError> {
        match self.kind {
            KindOfLease::Embedded(lease) => lease.revoke().await,
            KindOfLease::Etcd(lease) => lease.revoke().await,
        }
    }
}

impl Guard {
    /// What it is about.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Absent(key) | Self::At(key, _) => key,
        }
    }
}

impl Write {
    /// What it changes.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete(key) => key,
        }
    }

    /// Bytes of it in a commit.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Delete(key) => key.len(),
        }
    }
}

impl Commit {
    /// Whether it is small enough for a store, as far as that shows by itself.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], or [`StoreError::Twice`].
    pub fn check(&self) -> Result<(), StoreError> {
        check(self)
    }
}

/// What no store takes, so that both refuse the same.
fn check(commit: &Commit) -> Result<(), StoreError> {
    let bytes = commit.writes.iter().map(Write::size).sum();
    for (count, unit, most) in [
        (commit.guards.len(), "guards", MOST_GUARDS),
        (commit.writes.len(), "writes", MOST_WRITES),
        (bytes, "bytes", MOST_BYTES),
    ] {
        if count > most {
            return Err(StoreError::TooLarge { count, unit, most });
        }
    }
    let mut keys = BTreeSet::new();
    let twice = commit.writes.iter().map(Write::key).find(|&key| !keys.insert(key));
    twice.map_or(Ok(()), |key| Err(StoreError::Twice { key: key.to_owned() }))
}
