//! A deployment whose manifest was read. It is read once where a deployment comes in, from an operator,
//! the store or the ledger, and goes inward as this type: nobody reads the text again.
//! Does not know where it came from.

use std::sync::Arc;

use steerage_core::id::{AppName, Generation};
use steerage_core::limits::LimitsPolicy;
use steerage_core::manifest::Manifest;

use super::index::IndexRecord;
use super::record::{DeploymentRecord, Fingerprint};
use crate::manifest::{self, Mistakes};

/// A deployment whose manifest was read. Clones share the manifest.
#[derive(Clone, Debug)]
pub struct Deployment {
    record: DeploymentRecord,
    /// What the record's text says.
    manifest: Arc<Manifest>,
}

impl Deployment {
    /// One that was accepted before, for a host with this policy; see [`manifest::reread`].
    ///
    /// # Errors
    /// This host does not understand its manifest.
    pub fn read(record: DeploymentRecord, policy: &LimitsPolicy) -> Result<Self, Mistakes> {
        let manifest = Arc::new(manifest::reread(&record.manifest, policy)?);
        Ok(Self { record, manifest })
    }

    /// One that is new. `manifest` is what was read of the record's text.
    #[must_use]
    pub fn new(record: DeploymentRecord, manifest: Arc<Manifest>) -> Self {
        debug_assert_eq!(record.app, manifest.name, "another app's manifest");
        Self { record, manifest }
    }

    /// As it is kept.
    #[must_use]
    pub fn record(&self) -> &DeploymentRecord {
        &self.record
    }

    /// What its manifest says.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whose it is.
    #[must_use]
    pub fn app(&self) -> &AppName {
        &self.record.app
    }

    /// Which of the app's deployments it is.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.record.generation
    }

    /// What tells it from another of its number.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.record.fingerprint()
    }

    /// What routing and lists need of it.
    #[must_use]
    pub fn index(&self) -> IndexRecord {
        IndexRecord::new(&self.record, &self.manifest)
    }
}

#[cfg(test)]
mod tests {
    use steerage_core::id::Digest;

    use super::*;

    #[test]
    fn its_index_is_that_of_its_record() {
        let record = DeploymentRecord {
            app: "shop".parse().unwrap(),
            generation: Generation::FIRST,
            digest: Digest::from_bytes([9; 32]),
            manifest: "name = \"shop\"\nversion = \"2\"\nsource = \"a.wasm\"\n\
                       [[route]]\npath = \"/a/...\"\n[limits]\nmemory = \"1GiB\"\n"
                .to_owned(),
            kind: "http-0.2".to_owned(),
            size: 5,
            deployed_at: 6,
        };
        let read = Deployment::read(record.clone(), &LimitsPolicy::default()).unwrap();
        assert_eq!(read.index(), IndexRecord::of(&record).unwrap());
        assert_eq!((read.record(), read.fingerprint()), (&record, record.fingerprint()));
        let bad = DeploymentRecord { manifest: "name =".to_owned(), ..record };
        assert!(Deployment::read(bad, &LimitsPolicy::default()).is_err());
    }
}
