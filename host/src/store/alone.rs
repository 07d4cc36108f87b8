//! What only the embedded store can do: a host that is alone has all of it on its own disk, and reads it
//! without a runtime.
//! Does not know records.

use std::path::{Path, PathBuf};

use super::embedded::{self, Embedded};
use super::{Entry, Guard, Kind, Seen, Store, StoreError, Write, in_commits};

/// Where the embedded store of a data folder is.
#[must_use]
pub fn embedded_path(folder: &Path) -> PathBuf {
    folder.join(embedded::FILE)
}

impl Store {
    /// The embedded store in a data folder. Blocks. Where the disk has no room for it, that shows at the
    /// first question, so that a host starts all the same.
    ///
    /// # Errors
    /// The file is in use or makes no sense.
    pub fn embedded(folder: &Path) -> Result<Self, StoreError> {
        Ok(Self(Kind::Embedded(Embedded::open(folder)?)))
    }

    /// Everything in an embedded store, at one revision; nothing where it is etcd, which has backups of its
    /// own. Blocks.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn read_embedded(&self) -> Result<Option<Seen>, StoreError> {
        match &self.0 {
            Kind::Embedded(embedded) => embedded.read_now("").map(Some),
            Kind::Etcd(_) => Ok(None),
        }
    }

    /// So many entries of an embedded store below a prefix that come after a key, in the order of the keys;
    /// none of etcd. Blocks.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn page_embedded(
        &self,
        prefix: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        match &self.0 {
            Kind::Embedded(embedded) => embedded.page_now(prefix, after, most),
            Kind::Etcd(_) => Ok(Vec::new()),
        }
    }

    /// Makes an embedded store of what another one held. Blocks.
    ///
    /// # Errors
    /// The file cannot be written, or there is one.
    pub fn make(folder: &Path, entries: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        let made = Embedded::open(folder)?;
        let puts = entries.into_iter().map(|(key, value)| {
            (Guard::Absent(key.clone()), Write::Put { key, value, lease: None })
        });
        in_commits(puts).iter().try_for_each(|commit| made.commit_now(commit).map(drop))
    }
}
