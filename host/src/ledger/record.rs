//! Deployments as they are written to disk. These types have their own version and never change
//! meaning; what the host works with is free to change. Does not know the database.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use steerage_core::id::{AppName, Digest, Generation};

/// The version written by this host.
const VERSION: u32 = 1;

/// One deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentRecord {
    /// The app.
    pub app: AppName,
    /// Which of its deployments.
    pub generation: Generation,
    /// The component.
    pub digest: Digest,
    /// The manifest as the developer wrote it.
    pub manifest: String,
    /// Which kind of guest the component is.
    pub kind: String,
    /// Bytes of the component.
    pub size: u64,
    /// Milliseconds since the epoch.
    pub deployed_at: u64,
}

/// What tells a deployment from another of its app and number: there may be one after a store or a
/// ledger was restored. Sixty-four bits, since it guards against accidents and not against people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(
    /// Never 0, so that one that is not known takes no memory of its own.
    NonZeroU64,
);

impl Fingerprint {
    /// 0 becomes the largest number, so one fingerprint in 2^64 is mistaken for another.
    fn new(number: u64) -> Self {
        Self(NonZeroU64::new(number).unwrap_or(NonZeroU64::MAX))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self::new)
    }
}

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerRecordError {
    /// A newer host wrote it.
    #[error(
        "a record of version {found} was written by a newer steerage; this one reads up to {VERSION}"
    )]
    Newer {
        /// Its version.
        found: u32,
    },
    /// It is damaged.
    #[error("a record in the ledger is damaged: {0}")]
    Damaged(String),
    /// This host does not accept its manifest.
    #[error("its manifest cannot be read: {first}")]
    Manifest {
        /// The first of the mistakes.
        first: String,
    },
}

#[derive(Deserialize, Serialize)]
struct Version {
    v: u32,
}

#[derive(Deserialize, Serialize)]
struct Written {
    v: u32,
    app: String,
    generation: u64,
    digest: String,
    manifest: String,
    kind: String,
    size: u64,
    deployed_at: u64,
}

impl DeploymentRecord {
    /// What tells it from another of its app and number: its component and its manifest.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hasher = Sha256::new();
        hasher.update(self.digest.as_bytes());
        hasher.update(self.manifest.as_bytes());
        let hash = hasher.finalize();
        let first = hash.iter().take(8);
        Fingerprint::new(first.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The bytes to write.
    ///
    /// # Errors
    /// Never, in practice.
    pub fn encode(&self) -> Result<Vec<u8>, LedgerRecordError> {
        let written = Written {
            v: VERSION,
            app: self.app.to_string(),
            generation: self.generation.get(),
            digest: self.digest.to_string(),
            manifest: self.manifest.clone(),
            kind: self.kind.clone(),
            size: self.size,
            deployed_at: self.deployed_at,
        };
        serde_json::to_vec(&written).map_err(damaged)
    }

    /// The record that was written as these bytes.
    ///
    /// # Errors
    /// See [`LedgerRecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, LedgerRecordError> {
        let Version { v } = serde_json::from_slice(bytes).map_err(damaged)?;
        if v > VERSION {
            return Err(LedgerRecordError::Newer { found: v });
        }
        let written: Written = serde_json::from_slice(bytes).map_err(damaged)?;
        Ok(Self {
            app: written.app.parse().map_err(damaged)?,
            generation: Generation::new(written.generation)
                .ok_or_else(|| damaged("generation 0"))?,
            digest: written.digest.parse().map_err(damaged)?,
            manifest: written.manifest,
            kind: written.kind,
            size: written.size,
            deployed_at: written.deployed_at,
        })
    }
}

/// Why a record cannot be read, from whatever found it so.
pub(super) fn damaged(error: impl ToString) -> LedgerRecordError {
    LedgerRecordError::Damaged(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_record_is_refused_and_not_guessed_at() {
        let error = DeploymentRecord::decode(br#"{"v": 2, "apps": []}"#).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
    }
}
