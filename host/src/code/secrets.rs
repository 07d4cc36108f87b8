//! The secrets of apps: opened when their code is made ready, and made ready anew when one of them is set.
//! Keeps none beside the guests' environment, and does not set any: `desired` does.
//!
//! What is made ready holds the environment of all its instances, those that wait or are restored included. So a new
//! value is not put into it: another is made ready and takes its place, and calls that run end on the one before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use steerage_core::id::AppName;
use steerage_core::manifest::{self, LARGEST_ENV, Manifest, VariableName};

use super::{CodeError, Loader};
use crate::catalog::{App, LoadedDeployment, RunningCanary, SecretsSeen};
use crate::seal::{Sealed, SecretsKey};
use crate::store::StoreError;
use crate::telemetry::chain;
use crate::telemetry::events::{Event, Severity};
use crate::telemetry::logs::AppLog;

/// Secrets that were set meanwhile are read again at most so often, before a call gets what there is.
const TRIES: usize = 3;

/// Why a secret of an app cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretTrouble {
    /// Nobody has set it.
    #[error(
        "secret {name} of {app} is not set: `steerage secret set {app} {name}` reads it from stdin"
    )]
    NotSet {
        /// The app.
        app: AppName,
        /// The secret.
        name: VariableName,
    },
    /// This host has no key.
    #[error(
        "{app} has secrets, and this host has no key for them: start it with --secrets-key FILE; `steerage secret \
         key` makes one, and all hosts of a fleet have the same"
    )]
    NoKey {
        /// The app.
        app: AppName,
    },
    /// The key does not open it.
    #[error("secret {name} of {app} cannot be opened: {why}")]
    Sealed {
        /// The app.
        app: AppName,
        /// The secret.
        name: VariableName,
        /// Why.
        why: Sealed,
    },
    /// It cannot be read.
    #[error("the secrets of {app} cannot be read: {why}")]
    Store {
        /// The app.
        app: AppName,
        /// Why.
        why: String,
        /// Whether the store does not answer, and may soon.
        is_away: bool,
    },
    /// A guest cannot be given so much.
    #[error("env of {app} has {bytes} bytes with its secrets: at most {LARGEST_ENV} are allowed")]
    EnvSize {
        /// The app.
        app: AppName,
        /// How much it is.
        bytes: usize,
    },
}

/// How many changes of secrets this host has heard of: what was read before one may be overtaken.
#[derive(Debug, Default)]
pub(super) struct SecretsEpoch(AtomicU64);

/// The secrets of an app, opened.
pub(super) struct OpenedSecrets {
    pub(super) seen: SecretsSeen,
    values: Vec<(VariableName, String)>,
}

impl SecretTrouble {
    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::NotSet { app, name } | Self::Sealed { app, name, why: Sealed::Damaged } => {
                format!("set it: `steerage secret set {app} {name}`")
            }
            Self::Sealed { why: Sealed::OtherKey { found, .. }, app, name } => format!(
                "start this host with the key {found}, as the others have it; or set it again: `steerage secret set \
                 {app} {name}`"
            ),
            Self::NoKey { .. } => "start this host with --secrets-key FILE".to_owned(),
            Self::Store { .. } => "see `steerage hosts` for the store".to_owned(),
            Self::EnvSize { .. } => "have the app read less from its environment".to_owned(),
        }
    }
}

impl OpenedSecrets {
    /// Each by itself.
    pub(super) fn values(&self) -> impl Iterator<Item = String> {
        self.values.iter().map(|(_, value)| value.clone())
    }

    fn get(&self, name: &VariableName) -> Option<&str> {
        let found = self.values.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Loader {
    /// The secrets that the environment of an app is made of; `None` where it has none.
    ///
    /// # Errors
    /// See [`SecretTrouble`].
    pub(super) async fn open_secrets(
        &self,
        manifest: &Manifest,
    ) -> Result<Option<OpenedSecrets>, SecretTrouble> {
        if manifest.secret_env.is_empty() {
            return Ok(None);
        }
        let app = &manifest.name;
        // Before they are read.
        let epoch = self.inner.secrets.0.load(Ordering::SeqCst);
        let sealed = self.parts().fleet.secrets(app).await;
        let sealed = sealed.map_err(|error| SecretTrouble::of_store(app, &error))?;
        let mut values = Vec::new();
        for (name, default) in manifest.secrets() {
            let value = match (sealed.get(name), default) {
                (Some(record), _) => {
                    let opened = record.open(self.secrets_key(app)?, (app, name));
                    let (app, name) = (app.clone(), name.clone());
                    opened.map_err(|why| SecretTrouble::Sealed { app, name, why })?
                }
                (None, Some(default)) => default.to_owned(),
                (None, None) => {
                    let (app, name) = (app.clone(), name.clone());
                    return Err(SecretTrouble::NotSet { app, name });
                }
            };
            values.push((name.clone(), value));
        }
        Ok(Some(OpenedSecrets { seen: SecretsSeen { epoch, sealed: Arc::new(sealed) }, values }))
    }

    /// What this host seals and opens secrets with.
    ///
    /// # Errors
    /// It has no key.
    pub fn secrets_key(&self, app: &AppName) -> Result<&SecretsKey, SecretTrouble> {
        let no_key = || SecretTrouble::NoKey { app: app.clone() };
        self.parts().secrets_key.as_ref().ok_or_else(no_key)
    }

    /// Whether this app could be given its secrets now.
    ///
    /// # Errors
    /// See [`SecretTrouble`].
    pub async fn check_secrets(&self, manifest: &Manifest) -> Result<(), SecretTrouble> {
        self.open_secrets(manifest).await.map(drop)
    }

    /// Has new calls of an app get the secrets that there are now, if its code is mapped; otherwise they get them
    /// when it is. Where they cannot be had, calls get what they had.
    pub async fn renew_secrets(&self, app: &AppName) {
        self.inner.secrets.0.fetch_add(1, Ordering::SeqCst);
        if let Some(app) = self.parts().catalog.app(app) {
            self.renew(&app).await;
        }
    }

    /// The same of what this host has heard of.
    pub(super) async fn renew(&self, app: &Arc<App>) {
        let canary = app.canary().filter(|canary| canary.deployed.secrets().is_some());
        if let Some(deployed) = app.deployed().filter(|deployed| deployed.secrets().is_some()) {
            let renewed = self.made_anew(&deployed).await;
            if let Some(Some(renewed)) = self.told(app, renewed) {
                // Unless another deployment is served by now.
                self.inner.mapped.keep(&self.parts().catalog, app, Arc::new(renewed));
                self.drop_in_background([deployed]);
            }
        }
        if let Some(canary) = canary {
            let renewed = self.made_anew(&canary.deployed).await;
            let Some(Some(renewed)) = self.told(app, renewed) else { return };
            // Unless the trial is over by now, or another.
            let is_same = app.canary().is_some_and(|now| Arc::ptr_eq(&now, &canary));
            if is_same {
                let before: Option<Arc<RunningCanary>> =
                    app.set_canary(Some(Arc::new(canary.with(renewed))));
                self.drop_in_background(before.map(|before| before.deployed.clone()));
            }
        }
    }

    /// The same for all apps whose code is mapped: this host may have missed that secrets were set.
    pub async fn renew_all_secrets(&self) {
        for app in self.inner.mapped.all() {
            self.renew_secrets(&app.name).await;
        }
    }

    /// Whether a secret of an app was set, this one's or another's, since this was made ready.
    pub(super) fn is_overtaken(&self, deployed: &LoadedDeployment) -> bool {
        let now = self.inner.secrets.0.load(Ordering::SeqCst);
        deployed.secrets().is_some_and(|seen| seen.epoch != now)
    }

    /// What was made ready, or what takes its place where a secret was set meanwhile: whoever set it did not find it,
    /// and calls that begin after that wait here for it.
    pub(super) async fn not_overtaken(
        &self,
        app: &Arc<App>,
        deployed: Arc<LoadedDeployment>,
    ) -> Arc<LoadedDeployment> {
        if !self.is_overtaken(&deployed) {
            return deployed;
        }
        self.renew(app).await;
        app.deployed().unwrap_or(deployed)
    }

    /// A deployment with the secrets that there are now; nothing where it has those.
    async fn made_anew(
        &self,
        deployed: &LoadedDeployment,
    ) -> Result<Option<LoadedDeployment>, CodeError> {
        let (app, generation) = (deployed.app.clone(), deployed.generation);
        let (loader, state) = (self.clone(), deployed.state.clone());
        for _ in 0..TRIES {
            let sealed = self.parts().fleet.secrets(&app).await;
            let sealed = sealed.map_err(|error| SecretTrouble::of_store(&app, &error))?;
            if deployed.secrets().is_some_and(|seen| *seen.sealed == sealed) {
                return Ok(None);
            }
            let (reader, name) = (loader.clone(), app.clone());
            let read = move || {
                let parts = reader.parts();
                let record = parts.ledger.deployment(&name, generation)?.ok_or(CodeError::Gone)?;
                let manifest = crate::manifest::reread(&record.manifest, &parts.limits);
                Ok((manifest.map_err(CodeError::Manifest)?, record.digest))
            };
            let (manifest, digest) = self.blocking(read).await?;
            let made = self.prepare_with(&manifest, generation, digest, state.clone()).await?;
            let now = self.inner.secrets.0.load(Ordering::SeqCst);
            if made.secrets().is_some_and(|seen| seen.epoch == now) {
                return Ok(Some(made));
            }
        }
        // Whoever sets them that often renews once more.
        Ok(None)
    }

    /// What was made, after it was told that it was not.
    fn told<T>(&self, app: &App, made: Result<T, CodeError>) -> Option<T> {
        let error = match made {
            Ok(made) => return Some(made),
            Err(CodeError::Gone) => return None,
            Err(error) => error,
        };
        let message = format!("calls go on with the secrets from before: {}", chain(&error));
        tracing::error!(app = %app.name, "{message}");
        self.parts().events.push(Event {
            app: Some(app.name.clone()),
            generation: Some(app.generation),
            severity: Severity::Error,
            advice: Some(error.advice()),
            ..Event::now("secret_not_taken", message)
        });
        None
    }
}

impl SecretTrouble {
    fn of_store(app: &AppName, error: &StoreError) -> Self {
        let is_away = matches!(error, StoreError::Away { .. });
        Self::Store { app: app.clone(), why: chain(error), is_away }
    }
}

/// The environment of an app's guests; from now on the log of the app hides what is secret in it.
pub(super) fn env_of(
    manifest: &Manifest,
    secrets: Option<&OpenedSecrets>,
    log: &AppLog,
) -> Result<Vec<(String, String)>, SecretTrouble> {
    let mut env = manifest.env.clone();
    if let Some(secrets) = secrets {
        log.hidden().hide(secrets.values.iter().map(|(name, value)| (name, value.as_str())));
        for (variable, template) in &manifest.secret_env {
            let filled = template.fill(|name| secrets.get(name));
            let not_set = |name| SecretTrouble::NotSet { app: manifest.name.clone(), name };
            env.insert(variable.clone(), filled.map_err(not_set)?);
        }
        if manifest::check_env_size(&env).is_some() {
            let bytes = env.iter().map(|(name, value)| name.len() + value.len()).sum();
            return Err(SecretTrouble::EnvSize { app: manifest.name.clone(), bytes });
        }
    }
    Ok(env.into_iter().collect())
}
