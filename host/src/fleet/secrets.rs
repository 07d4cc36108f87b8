//! The sealed secrets of apps, as the store has them, and a copy on the disk of a host of a fleet of those of the apps
//! that it runs: it serves on while the store is away.
//! Opens none, and needs no key.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use steerage_core::id::AppName;

use super::{Fleet, keys, record, saved};
use crate::seal::{SealedSecrets, SecretRecord};
use crate::store::StoreError;

/// The file of the copy.
const COPY: &str = "secrets.json";

/// What a host keeps of them.
#[derive(Debug)]
pub(super) struct KeptSecrets {
    path: PathBuf,
    /// Read when it is needed first.
    of_apps: Mutex<Option<BTreeMap<String, BTreeMap<String, SecretRecord>>>>,
}

impl Fleet {
    /// The sealed secrets of an app, as the store has them, or as it had them where it does not answer.
    ///
    /// # Errors
    /// The store does not answer, and this host has never read them; or one of them cannot be read.
    pub async fn secrets(&self, app: &AppName) -> Result<SealedSecrets, StoreError> {
        let kept = &self.inner.secrets;
        // Who is cut off would only wait to hear so.
        if self.is_cut_off()
            && let Some(secrets) = kept.of(app)
        {
            return Ok(secrets);
        }
        match self.stored_secrets(app).await {
            // What is damaged was changed by somebody, and is not what it was.
            Err(error) if !matches!(error, StoreError::Damaged { .. }) => kept.of(app).ok_or(error),
            Ok(secrets) if !self.is_alone() => {
                kept.keep(app, &secrets);
                Ok(secrets)
            }
            stored => stored,
        }
    }

    /// The same, of the store only.
    ///
    /// # Errors
    /// The store does not answer, or one of them cannot be read.
    pub async fn stored_secrets(&self, app: &AppName) -> Result<SealedSecrets, StoreError> {
        let prefix = keys::secrets(app);
        let mut secrets = SealedSecrets::new();
        for entry in self.store().read(&prefix).await?.entries {
            let Some(name) = entry.key.strip_prefix(&prefix) else { continue };
            // A newer host may have names of another form.
            let Ok(name) = name.parse() else { continue };
            let record = record::decode(&entry.key, &entry.value);
            let record = record.map_err(|error| StoreError::Damaged { what: error.to_string() })?;
            secrets.insert(name, record);
        }
        Ok(secrets)
    }

    /// Forgets what is kept here of an app that is no more.
    pub fn forget_secrets(&self, app: &AppName) {
        if !self.is_alone() {
            self.inner.secrets.keep(app, &SealedSecrets::new());
        }
    }
}

impl KeptSecrets {
    /// Those of the folder that this file is in.
    pub(super) fn beside(copy: &Path) -> Self {
        Self { path: copy.with_file_name(COPY), of_apps: Mutex::default() }
    }

    fn of(&self, app: &AppName) -> Option<SealedSecrets> {
        let mut of_apps = self.lock();
        let secrets = self.read(&mut of_apps).get(app.as_str())?;
        let named = secrets.iter().map(|(name, record)| Some((name.parse().ok()?, record.clone())));
        named.collect()
    }

    fn keep(&self, app: &AppName, secrets: &SealedSecrets) {
        let mut of_apps = self.lock();
        let all = self.read(&mut of_apps);
        let named = secrets.iter().map(|(name, record)| (name.to_string(), record.clone()));
        let now = (!secrets.is_empty()).then(|| named.collect());
        if all.get(app.as_str()) == now.as_ref() {
            return;
        }
        match now {
            Some(secrets) => all.insert(app.to_string(), secrets),
            None => all.remove(app.as_str()),
        };
        let written = saved::write_whole(&self.path, |file| Ok(serde_json::to_writer(file, all)?));
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "cannot keep a copy of sealed secrets");
        }
    }

    fn read<'k>(
        &self,
        of_apps: &'k mut Option<BTreeMap<String, BTreeMap<String, SecretRecord>>>,
    ) -> &'k mut BTreeMap<String, BTreeMap<String, SecretRecord>> {
        of_apps.get_or_insert_with(|| {
            // A copy that is damaged is made anew: the store has them.
            let bytes = fs::read(&self.path).unwrap_or_default();
            serde_json::from_slice(&bytes).unwrap_or_default()
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<String, BTreeMap<String, SecretRecord>>>> {
        self.of_apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use steerage_core::manifest::VariableName;

    use super::*;
    use crate::seal::{Sealed, SecretsKey};

    #[test]
    fn a_copy_outlives_the_host_and_goes_with_the_app() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("fleet.json");
        let (shop, cart): (AppName, AppName) = ("shop".parse().unwrap(), "cart".parse().unwrap());
        let name: VariableName = "password".parse().unwrap();
        let key = SecretsKey::passing().unwrap();
        let record = SecretRecord::seal(&key, (&shop, &name), "hunter2", (1, 5)).unwrap();
        let kept = KeptSecrets::beside(&copy);
        assert_eq!(kept.of(&shop), None);
        kept.keep(&shop, &SealedSecrets::from([(name.clone(), record.clone())]));
        kept.keep(&cart, &SealedSecrets::new());
        let text = fs::read_to_string(folder.path().join(COPY)).unwrap();
        assert!(text.contains(key.id()) && !text.contains("hunter2"), "{text}");
        let again = KeptSecrets::beside(&copy);
        let read = again.of(&shop).unwrap();
        assert_eq!(read.get(&name), Some(&record));
        assert_eq!(read[&name].open(&key, (&shop, &name)).unwrap(), "hunter2");
        // It is nobody else's, whatever name it is put under.
        assert_eq!(read[&name].open(&key, (&cart, &name)), Err(Sealed::Damaged));
        again.keep(&shop, &SealedSecrets::new());
        assert_eq!(KeptSecrets::beside(&copy).of(&shop), None);
    }
}
