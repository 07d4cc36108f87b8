//! What is under many keys, asked for together: a host that joins a fleet has to learn of a hundred
//! thousand apps, and as many questions would take the store seconds of its processor.
//! And what was under one earlier, and whether there is anything below a prefix. Does not know what is there.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Entry, Kind, MOST_WRITES, Revision, Store, StoreError};

/// Questions to etcd that are asked at once: it looks up what is asked next while an answer is on its way.
const AT_ONCE: usize = 4;

impl Store {
    /// What was under a key at a revision.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] where that was forgotten, as the embedded store does at once; see
    /// [`StoreError`].
    pub async fn get_at(&self, key: &str, at: Revision) -> Result<Option<Entry>, StoreError> {
        match &self.0 {
            Kind::Embedded(_) => Err(StoreError::Compacted),
            Kind::Etcd(etcd) => etcd.get(key, Some(at)).await,
        }
    }

    /// Whether there is any key below a prefix. Of etcd no more is read than that; the embedded store reads its
    /// own disk.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn has_any(&self, prefix: &str) -> Result<bool, StoreError> {
        match &self.0 {
            Kind::Embedded(embedded) => Ok(!embedded.read(prefix).await?.entries.is_empty()),
            Kind::Etcd(etcd) => etcd.has_any(prefix).await,
        }
    }

    /// What is under each of these keys, in their order. Some are read at a time, each time at one moment.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn get_each(&self, keys: &[String]) -> Result<Vec<Option<Entry>>, StoreError> {
        let mut found = Vec::with_capacity(keys.len());
        match &self.0 {
            // It is on this host's own disk: there is no network to save.
            Kind::Embedded(embedded) => {
                for key in keys {
                    found.push(embedded.get(key).await?);
                }
            }
            Kind::Etcd(etcd) => {
                let asked = keys.chunks(MOST_WRITES).map(|some| etcd.get_each(some));
                let asked: Vec<_> = asked.collect();
                let mut answers = stream::iter(asked).buffered(AT_ONCE);
                while let Some(some) = answers.try_next().await? {
                    found.extend(some);
                }
            }
        }
        Ok(found)
    }
}
