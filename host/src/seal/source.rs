//! Where the key for secrets comes from.
//! Does not look for it: whoever starts a host says where.

use std::path::PathBuf;

use super::key::{BadSecretsKey, SecretsKey};

/// Where the key for secrets comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SecretsKeyFrom {
    /// There is none.
    #[default]
    Nowhere,
    /// A file that the operator named.
    File(PathBuf),
    /// Maybe the folder in which systemd hands over what the unit names.
    Credentials(PathBuf),
    /// It is made at the start and kept nowhere, as all else of this host is thrown away.
    Passing,
}

impl SecretsKeyFrom {
    /// Takes what systemd hands over where nothing was said.
    pub fn or_credentials(&mut self, folder: Option<PathBuf>) {
        if let (Self::Nowhere, Some(folder)) = (&*self, folder) {
            *self = Self::Credentials(folder);
        }
    }

    /// The key, if there is one.
    ///
    /// # Errors
    /// See [`BadSecretsKey`].
    pub fn read(&self) -> Result<Option<SecretsKey>, BadSecretsKey> {
        match self {
            Self::Nowhere => Ok(None),
            Self::File(path) => SecretsKey::read(path).map(Some),
            Self::Credentials(folder) => SecretsKey::of_credentials(folder),
            Self::Passing => SecretsKey::passing().map(Some).map_err(BadSecretsKey::Made),
        }
    }
}
