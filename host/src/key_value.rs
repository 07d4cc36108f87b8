//! Key-value stores of apps: pairs that outlive calls, in one file in the host's data folder. Reads are of one
//! moment, on the thread that asks; writes go to one thread, which makes all that wait durable at once.
//! Does not know guests, nor by which interface they ask, and is on one host's disk only.

mod change;
mod charge;
mod error;
mod file;
mod place;
mod tables;
mod waiting;
mod writer;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use steerage_core::id::StoreLabel;
use steerage_core::key_value::{
    KeyValueQuota, KeyValueRefusal, KeyValueUsage, check_count, check_key,
};

pub use self::change::{KeyPage, PairChange, PairChanged, StoredValue};
pub use self::charge::WriteCharge;
use self::charge::now_ms;
pub use self::error::KeyValueError;
use self::file::StoreFile;
pub use self::place::StoreOwner;
use self::tables::PairReader;
use self::waiting::{AllWaiting, AppWaiting};
use self::writer::Writer;

/// What is said of stores on a host of a fleet.
pub const NOT_IN_A_FLEET: &str = "key-value stores are on one host's disk and not kept in a fleet yet, where hosts would \
    have different pairs under one name: run the app on a host that is alone, or have it ask a database server that \
    allowed_outbound_hosts names";

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

    /// Why this host keeps none, where it keeps none.
    #[must_use]
    pub fn why_none(&self) -> Option<&'static str> {
        self.0.unavailable
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
    pub fn get(&self, label: &StoreLabel, key: &str) -> Result<Option<StoredValue>, KeyValueError> {
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
    ) -> Result<Vec<Option<StoredValue>>, KeyValueError> {
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
    pub async fn change(&self, change: PairChange) -> Result<PairChanged, KeyValueError> {
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
        while self.change(PairChange::DropSome).await? != PairChanged::IsEmpty(true) {}
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

#[cfg(test)]
mod tests;
