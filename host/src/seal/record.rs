//! A secret as it is kept, sealed as the one value of that name of its app.
//! Does not know where.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use steerage_core::id::AppName;
use steerage_core::manifest::VariableName;

use super::key::{Sealed, SecretsKey, Unsealable};

/// A secret as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SecretRecord {
    /// Which of its values this is, counted from 1.
    pub version: u64,
    /// When it was set, in milliseconds since the epoch.
    pub set_at: u64,
    /// What tells the key that it is sealed with.
    pub key: String,
    /// The value, sealed.
    pub sealed: String,
}

/// The secrets of one app, by their names.
pub type SealedSecrets = BTreeMap<VariableName, SecretRecord>;

impl SecretRecord {
    /// Seals a value.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn seal(
        key: &SecretsKey,
        (app, name): (&AppName, &VariableName),
        value: &str,
        (version, set_at): (u64, u64),
    ) -> Result<Self, Unsealable> {
        let sealed = key.seal(value, &is(app, name, version))?;
        Ok(Self { version, set_at, key: key.id().to_owned(), sealed })
    }

    /// Opens it as the secret of that name of this app.
    ///
    /// # Errors
    /// See [`Sealed`].
    pub fn open(
        &self,
        key: &SecretsKey,
        (app, name): (&AppName, &VariableName),
    ) -> Result<String, Sealed> {
        key.open(&self.sealed, &self.key, &is(app, name, self.version))
    }
}

/// What a value is sealed as: whoever can write into the store cannot give an app another one's secret, or a value
/// of before.
fn is(app: &AppName, name: &VariableName, version: u64) -> String {
    format!("steerage secret {app}/{name} version {version}")
}
