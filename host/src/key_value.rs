//! Key-value stores of apps: pairs that outlive calls, in one file in the host's data folder. Reads are of one
//! moment, on the thread that asks; writes go to one thread, which makes all that wait durable at once.
//! Does not know guests, nor by which interface they ask, and is on one host's disk only.

mod file;
mod place;
mod tables;
mod waiting;
mod writer;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use steerage_core::id::StoreLabel;
use steerage_core::key_value::{
    KeyValueQuota, KeyValueRefusal, KeyValueUsage, ValueExpiry, ValueVersion, check_count,
    check_key, check_value,
};

use self::file::StoreFile;
pub use self::place::StoreOwner;
use self::tables::PairReader;
use self::waiting::{AllWaiting, AppWaiting};
use self::writer::Writer;

/// Why a store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum KeyValueError {
    /// The app's manifest does not name the store.
    #[error(
        "the store {label:?} is not among the app's key_value_stores: name it there in steerage.toml"
    )]
    NotNamed {
        /// What was asked for.
        label: String,
    },
    /// It is for whoever asks to do otherwise.
    #[error(transparent)]
    Refused(#[from] KeyValueRefusal),
    /// This host keeps no stores.
    #[error("{0}")]
    Unavailable(&'static str),
    /// The file cannot be used now.
    #[error("{0}")]
    Unusable(String),
    /// It could not be written; whether it is there is known once the store answers again.
    #[error("the write failed: {0}")]
    NotWritten(String),
    /// The database failed.
    #[error("the file of key-value stores failed")]
    Database(#[from] redb::Error),
}

impl From<redb::StorageError> for KeyValueError {
    fn from(error: redb::StorageError) -> Self {
        Self::Database(error.into())
    }
}

/// A value with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The value.
    pub value: Vec<u8>,
    /// Which value this is; no other has ever had the same.
    pub version: ValueVersion,
    /// When it is over.
    pub expiry: ValueExpiry,
}

/// Some of a store's keys, in the order of their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// The keys.
    pub keys: Vec<String>,
    /// The key after which the next page begins; `None` where there is none.
    pub cursor: Option<String>,
}

/// A change of an app's pairs, done whole or not at all.
#[derive(Clone, Debug)]
pub enum Change {
    /// These keys have these values from now on.
    Set {
        /// The store.
        label: StoreLabel,
        /// Keys and values.
        pairs: Vec<(String, Vec<u8>)>,
        /// How long, in milliseconds; for good where it is `None`.
        ttl_ms: Option<u64>,
    },
    /// These keys have no values any more.
    Delete {
        /// The store.
        label: StoreLabel,
        /// The keys.
        keys: Vec<String>,
    },
    /// A counter is so much more.
    Increment {
        /// The store.
        label: StoreLabel,
        /// The key.
        key: String,
        /// How much.
        delta: i64,
        /// It is refused where the sum would be less than this.
        least: i64,
    },
    /// A key has this value from now on, if the one that it has is of this version, or if it has none.
    Swap {
        /// The store.
        label: StoreLabel,
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
        /// The version that it must have now.
        expected: Option<ValueVersion>,
    },
    /// Some of the app's pairs go, of all its stores.
    DropSome,
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is done.
    Done,
    /// The counter is this.
    Number(i64),
    /// Whether the key had the version that it had to have.
    Swapped(bool),
    /// Whether the app has no pair any more.
    IsEmpty(bool),
}

impl Change {
    fn check(&self) -> Result<(), KeyValueRefusal> {
        match self {
            Self::Set { pairs, .. } => {
                check_count(pairs.len())?;
                pairs.iter().try_for_each(|(key, value)| {
                    check_key(key).and_then(|()| check_value(key, value.len()))
                })
            }
            Self::Delete { keys, .. } => {
                check_count(keys.len())?;
                keys.iter().try_for_each(|key| check_key(key))
            }
            Self::Increment { key, .. } => check_key(key),
            Self::Swap { key, value, .. } => {
                check_key(key).and_then(|()| check_value(key, value.len()))
            }
            Self::DropSome => Ok(()),
        }
    }

    /// About what it takes in memory while it waits.
    fn n_bytes(&self) -> usize {
        match self {
            Self::Set { pairs, .. } => {
                pairs.iter().map(|(key, value)| key.len() + value.len()).sum()
            }
            Self::Delete { keys, .. } => keys.iter().map(String::len).sum(),
            Self::Swap { key, value, .. } => key.len() + value.len(),
            Self::Increment { key, .. } => key.len(),
            Self::DropSome => 0,
        }
    }
}

/// Whom the CPU time is charged to that writes take.
#[derive(Clone)]
pub struct WriteCharge(Arc<dyn Fn(Duration) + Send + Sync>);

impl WriteCharge {
    /// Calls `charge` with CPU time that was used.
    #[must_use]
    pub fn to(charge: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        Self(Arc::new(charge))
    }

    /// Nobody: the host's own work.
    #[must_use]
    pub fn to_nobody() -> Self {
        Self::to(|_| ())
    }

    fn with(&self, used: Duration) {
        (self.0)(used);
    }
}

impl fmt::Debug for WriteCharge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WriteCharge").finish_non_exhaustive()
    }
}

/// The key-value stores of a host. Clones share them.
#[derive(Clone, Debug)]
pub struct KeyValueStores(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Arc<StoreFile>,
    quota: KeyValueQuota,
    /// Why there are none, where there are none.
    unavailable: Option<&'static str>,
    waiting: AllWaiting,
    writer: Writer,
}

/// The stores of one app, for one of its deployments.
#[derive(Clone, Debug)]
pub struct AppStores {
    stores: KeyValueStores,
    owner: StoreOwner,
    /// Those that may be opened; `None` for all, which is for operators.
    labels: Option<Arc<BTreeSet<StoreLabel>>>,
    waiting: Arc<AppWaiting>,
    charge: WriteCharge,
}

impl KeyValueStores {
    /// Those in a data folder, of which each app may have so much. Nothing is opened or made before an app asks.
    #[must_use]
    pub fn new(folder: &Path, quota: KeyValueQuota) -> Self {
        Self::make(folder, quota, None)
    }

    /// A host that keeps none, for this reason: all questions are answered with it.
    #[must_use]
    pub fn unavailable(folder: &Path, why: &'static str) -> Self {
        Self::make(folder, KeyValueQuota { bytes: 0, pairs: 0 }, Some(why))
    }

    fn make(folder: &Path, quota: KeyValueQuota, unavailable: Option<&'static str>) -> Self {
        let file = Arc::new(StoreFile::of(folder));
        let (waiting, writer) = (AllWaiting::default(), Writer::new(file.clone(), quota));
        Self(Arc::new(Inner { file, quota, unavailable, waiting, writer }))
    }

    /// The stores of an app that its manifest names.
    #[must_use]
    pub fn of_app(
        &self,
        owner: StoreOwner,
        labels: impl IntoIterator<Item = StoreLabel>,
        charge: WriteCharge,
    ) -> AppStores {
        let labels = Some(Arc::new(labels.into_iter().collect()));
        let waiting = self.0.waiting.of(&owner);
        AppStores { stores: self.clone(), owner, labels, waiting, charge }
    }

    /// All stores that an app has or had, for an operator.
    #[must_use]
    pub fn for_operator(&self, owner: StoreOwner) -> AppStores {
        let (waiting, charge) = (self.0.waiting.of(&owner), WriteCharge::to_nobody());
        AppStores { stores: self.clone(), owner, labels: None, waiting, charge }
    }

    /// All who keep something. Blocks.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn owners(&self) -> Result<Vec<StoreOwner>, KeyValueError> {
        if !self.0.file.exists() {
            return Ok(Vec::new());
        }
        self.0.file.read(tables::owners)
    }

    /// What each app may keep.
    #[must_use]
    pub fn quota(&self) -> KeyValueQuota {
        self.0.quota
    }
}

impl AppStores {
    /// Opens the file, so that the first call need not. Blocks.
    pub fn prepare(&self) {
        if self.stores.0.unavailable.is_none() {
            // Whoever uses it is told, and it is in the log.
            self.stores.0.file.read(|_| Ok(())).ok();
        }
    }

    /// The label of a store that may be used.
    ///
    /// # Errors
    /// The manifest does not name it, or this host keeps none.
    pub fn open(&self, label: &str) -> Result<StoreLabel, KeyValueError> {
        let not_named = || KeyValueError::NotNamed { label: label.chars().take(64).collect() };
        let parsed: StoreLabel = label.parse().map_err(|_| not_named())?;
        if self.labels.as_ref().is_some_and(|labels| !labels.contains(&parsed)) {
            return Err(not_named());
        }
        self.stores.0.unavailable.map_or(Ok(parsed), |why| Err(KeyValueError::Unavailable(why)))
    }

    /// The value of a key. Reads the file on this thread.
    ///
    /// # Errors
    /// See [`KeyValueError`].
    pub fn get(&self, label: &StoreLabel, key: &str) -> Result<Option<Stored>, KeyValueError> {
        check_key(key)?;
        let place = self.owner.place(label, key);
        self.read(|pairs| pairs.get(&place, now_ms()))
    }

    /// Whether a key has a value.
    ///
    /// # Errors
    /// See [`KeyValueError`].
    pub fn exists(&self, label: &StoreLabel, key: &str) -> Result<bool, KeyValueError> {
        check_key(key)?;
        let place = self.owner.place(label, key);
        self.read(|pairs| pairs.exists(&place, now_ms()))
    }

    /// The values of several keys at one moment, in their order.
    ///
    /// # Errors
    /// See [`KeyValueError`].
    pub fn get_many(
        &self,
        label: &StoreLabel,
        keys: &[String],
    ) -> Result<Vec<Option<Stored>>, KeyValueError> {
        check_count(keys.len())?;
        keys.iter().try_for_each(|key| check_key(key))?;
        let places: Vec<_> = keys.iter().map(|key| self.owner.place(label, key)).collect();
        self.read(|pairs| pairs.get_many(&places, now_ms()))
    }

    /// So many of a store's keys that come after one. Each page is of its own moment.
    ///
    /// # Errors
    /// See [`KeyValueError`].
    pub fn keys(
        &self,
        label: &StoreLabel,
        after: Option<&str>,
        most: usize,
    ) -> Result<KeyPage, KeyValueError> {
        if let Some(after) = after {
            check_key(after)?;
        }
        let store = self.owner.store(label);
        self.read(|pairs| pairs.keys(&store, after, (most, now_ms())))
    }

    /// How much the app keeps in all its stores.
    ///
    /// # Errors
    /// See [`KeyValueError`].
    pub fn usage(&self) -> Result<KeyValueUsage, KeyValueError> {
        self.stores.0.file.read(|transaction| tables::usage(transaction, &self.owner))
    }

    /// Makes a change. It is durable when this returns well. Who stops waiting does not take it back.
    ///
    /// # Errors
    /// See [`KeyValueError`].
    pub async fn change(&self, change: Change) -> Result<Changed, KeyValueError> {
        change.check()?;
        let inner = &self.stores.0;
        if let Some(why) = inner.unavailable {
            return Err(KeyValueError::Unavailable(why));
        }
        let place = inner.waiting.take(&self.waiting, change.n_bytes());
        let place = place.ok_or(KeyValueRefusal::TooManyRequests)?;
        let answer = inner.writer.ask(self.owner.clone(), change, (self.charge.clone(), place))?;
        answer.await.unwrap_or_else(|_| {
            Err(KeyValueError::NotWritten("the thread that writes has ended".to_owned()))
        })
    }

    /// Removes all pairs of all stores of the app.
    ///
    /// # Errors
    /// See [`KeyValueError`]. What is gone by then stays so.
    pub async fn drop_all(&self) -> Result<(), KeyValueError> {
        while self.change(Change::DropSome).await? != Changed::IsEmpty(true) {}
        Ok(())
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&PairReader) -> Result<T, KeyValueError>,
    ) -> Result<T, KeyValueError> {
        if let Some(why) = self.stores.0.unavailable {
            return Err(KeyValueError::Unavailable(why));
        }
        self.stores.0.file.read(|transaction| work(&PairReader::open(transaction)?))
    }
}

/// The time, in milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
