//! What is under many keys, asked for together: a host that joins a fleet has to learn of a hundred
//! thousand apps, and as many questions would take the store seconds of its processor.
//! And what was under one earlier. Does not know what is under them.

use super::{Entry, Kind, MOST_WRITES, Revision, Store, StoreError};

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
                for some in keys.chunks(MOST_WRITES) {
                    found.extend(etcd.get_each(some).await?);
                }
            }
        }
        Ok(found)
    }
}
