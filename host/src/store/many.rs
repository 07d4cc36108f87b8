//! What is under many keys, asked for together: a host that joins a fleet has to learn of a hundred
//! thousand apps, and as many questions would take the store seconds of its processor.
//! Does not know what is under them.

use super::{Entry, Kind, MOST_WRITES, Store, StoreError};

impl Store {
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
