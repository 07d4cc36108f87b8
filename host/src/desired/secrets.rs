//! The secrets of apps, as operators set them: sealed here, written into the store, and taken by every host that runs
//! the app.
//! Shows none and opens none. Earlier values are not kept: one is most often replaced since somebody knows it who
//! should not.

use steerage_core::id::{AppName, Generation};
use steerage_core::manifest::{MOST_SECRETS, Manifest, VariableName};

use super::current::{Current, TRIES, guard, make};
use super::secret_state::SecretState;
use super::{DeployError, Desired};
use crate::agent::now;
use crate::fleet::record::FleetRecordError;
use crate::fleet::{keys, record};
use crate::seal::SecretRecord;
use crate::store::{Commit, Entry, Write};
use crate::telemetry::events::Event;

impl Desired {
    /// The secrets of an app: those that are set, and those that it uses.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn secrets(&self, app: &AppName) -> Result<Vec<SecretState>, DeployError> {
        let stored = self.fleet.stored_secrets(app).await?;
        let used = self.secrets_in_use(app).await?;
        if stored.is_empty() && used.is_none() {
            return Err(DeployError::NoApp(app.clone()));
        }
        let used = used.unwrap_or_default();
        let own = self.loader.secrets_key(app).ok();
        let names = stored.keys().chain(used.iter().map(|(name, ..)| name));
        let mut names: Vec<_> = names.cloned().collect();
        names.sort();
        names.dedup();
        let state = |name: VariableName| {
            let record = stored.get(&name);
            SecretState {
                set: record.map(|record| (record.version, record.set_at)),
                key: record.map(|record| {
                    (record.key.clone(), own.is_some_and(|own| *own.id() == *record.key))
                }),
                is_used: used.iter().any(|(known, ..)| *known == name),
                name,
            }
        };
        Ok(names.into_iter().map(state).collect())
    }

    /// Gives a secret of an app a value, which new calls get from now on. The app need not be deployed yet.
    ///
    /// # Errors
    /// This host has no key, or see [`DeployError`].
    pub async fn set_secret(
        &self,
        app: &AppName,
        name: &VariableName,
        value: &str,
    ) -> Result<SecretRecord, DeployError> {
        let key = self.loader.secrets_key(app)?;
        for _ in 0..TRIES {
            let (names, before) = self.stored(app, name).await?;
            if before.is_none() && names.len() >= MOST_SECRETS {
                return Err(DeployError::ManySecrets { app: app.clone() });
            }
            let version = next_version(before.as_ref())?;
            let sealed = SecretRecord::seal(key, (app, name), value, (version, now()));
            let sealed = sealed.map_err(|source| {
                let (app, name) = (app.clone(), name.clone());
                DeployError::Unsealable { app, name, source }
            })?;
            let at = keys::secret(app, name);
            let value = record::encode(&sealed);
            let commit = Commit {
                guards: vec![guard(at.clone(), before.as_ref())],
                writes: vec![Write::Put { key: at, value, lease: None }],
            };
            if make(&self.fleet, app, commit).await?.is_some() {
                self.tell_secret(
                    app,
                    "secret_set",
                    format!("version {version} of secret {name} of {app} was set"),
                );
                self.loader.renew_secrets(app).await;
                return Ok(sealed);
            }
        }
        Err(DeployError::overtaken(app))
    }

    /// Takes a secret away that no deployment uses that gets calls.
    ///
    /// # Errors
    /// There is none of that name, it is used, or see [`DeployError`].
    pub async fn delete_secret(
        &self,
        app: &AppName,
        name: &VariableName,
    ) -> Result<(), DeployError> {
        for _ in 0..TRIES {
            let (names, before) = self.stored(app, name).await?;
            if before.is_none() {
                let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                return Err(DeployError::NoSecret { app: app.clone(), name: name.clone(), known });
            }
            let used = self.secrets_in_use(app).await?.unwrap_or_default();
            let needed = used.iter().find(|(known, has_default, _)| known == name && !has_default);
            if let Some((_, _, generation)) = needed {
                let (app, name, generation) = (app.clone(), name.clone(), generation.get());
                return Err(DeployError::SecretUsed { app, name, generation });
            }
            let at = keys::secret(app, name);
            let commit = Commit {
                guards: vec![guard(at.clone(), before.as_ref())],
                writes: vec![Write::Delete(at)],
            };
            if make(&self.fleet, app, commit).await?.is_some() {
                self.tell_secret(
                    app,
                    "secret_deleted",
                    format!("secret {name} of {app} was deleted"),
                );
                self.loader.renew_secrets(app).await;
                return Ok(());
            }
        }
        Err(DeployError::overtaken(app))
    }

    /// The names of an app's secrets, and what is kept of one of them. The others may be damaged: what mends one of
    /// them is to set it.
    async fn stored(
        &self,
        app: &AppName,
        name: &VariableName,
    ) -> Result<(Vec<String>, Option<Entry>), DeployError> {
        self.fleet.check_store()?;
        let prefix = keys::secrets(app);
        let entries = self.fleet.store().read(&prefix).await?.entries;
        let names = entries.iter().filter_map(|entry| entry.key.strip_prefix(&prefix));
        let names = names.map(str::to_owned).collect();
        let key = keys::secret(app, name);
        Ok((names, entries.into_iter().find(|entry| entry.key == key)))
    }

    /// The secrets of the deployments of an app that get calls, whether each has a default, and which of them uses
    /// it; `None` where there is no such app.
    async fn secrets_in_use(
        &self,
        app: &AppName,
    ) -> Result<Option<Vec<(VariableName, bool, Generation)>>, DeployError> {
        let Some(record) = Current::look(&self.fleet, app).await?.record else { return Ok(None) };
        let canary = record.canary.as_ref().map(|canary| canary.generation);
        let mut used = Vec::new();
        for generation in canary.into_iter().chain([record.generation]).filter_map(Generation::new)
        {
            let deployment = self.agent.recall(&self.fleet, app, generation).await?;
            let manifest: &Manifest = deployment.manifest();
            let secrets = manifest.secrets();
            used.extend(
                secrets.map(|(name, default)| (name.clone(), default.is_some(), generation)),
            );
        }
        Ok(Some(used))
    }

    fn tell_secret(&self, app: &AppName, kind: &'static str, message: String) {
        self.own.events.push(Event { app: Some(app.clone()), ..Event::now(kind, message) });
    }
}

/// The version of the value after this one. One that is damaged is overwritten, and none of a newer host.
fn next_version(before: Option<&Entry>) -> Result<u64, DeployError> {
    let Some(before) = before else { return Ok(1) };
    match record::decode::<SecretRecord>(&before.key, &before.value) {
        Ok(record) => Ok(record.version.saturating_add(1)),
        Err(FleetRecordError::Damaged { .. }) => Ok(1),
        Err(newer @ FleetRecordError::Newer { .. }) => Err(DeployError::damaged(newer)),
    }
}
