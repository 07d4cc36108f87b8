//! The story of a host catching up: from a wish (deploy, roll back, remove) to what is served.
//! Compile, load, commit, publish: what is acknowledged is durable, what is refused leaves nothing.
//! Does not parse requests and does not answer them; the API does.

mod error;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use steerage_core::fair::TenantKey;
use steerage_core::id::{AppName, Digest, Generation};
use steerage_core::manifest::Manifest;
use steerage_core::units::Weight;

pub use self::error::DeployError;
use self::error::chain;
use crate::blobs::{BlobError, Blobs};
use crate::budget::Memory;
use crate::catalog::{AppState, Catalog, Deployed};
use crate::manifest;
use crate::sandbox::compiler::Compiled;
use crate::sandbox::module::{Prepared, Sandbox, Spec};
use crate::schedule::Schedule;
use crate::store::Store;
use crate::store::record::DeploymentRecord;
use crate::telemetry::calls::Calls;
use crate::telemetry::events::{Event, Events, Severity};
use crate::telemetry::logs::Logs;
use crate::telemetry::metrics::AppMeter;

/// Carries out operators' wishes on this host. Clones share it.
#[derive(Clone, Debug)]
pub struct Agent {
    inner: Arc<Inner>,
}

/// What the agent works with.
#[derive(Debug)]
pub struct Parts {
    /// Runs guests.
    pub sandbox: Sandbox,
    /// Who may run.
    pub schedule: Schedule,
    /// Who may have how much memory.
    pub memory: Arc<Memory>,
    /// Remembers deployments.
    pub store: Store,
    /// Holds components.
    pub blobs: Blobs,
    /// What is served.
    pub catalog: Arc<Catalog>,
    /// Guests' output.
    pub logs: Arc<Logs>,
    /// What happened.
    pub events: Arc<Events>,
}

#[derive(Debug)]
struct Inner {
    parts: Parts,
    /// Whose apps these are.
    tenant: TenantKey,
    /// What each app keeps from one deployment to the next.
    states: Mutex<BTreeMap<AppName, AppState>>,
    /// Held from the last check to publishing, so that two wishes cannot both pass the check.
    turn: tokio::sync::Mutex<()>,
}

impl Agent {
    /// An agent over these parts. Nothing is served until [`Agent::restore`] or a deploy.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let tenant = parts.schedule.tenant(Weight::DEFAULT);
        let (states, turn) = (Mutex::default(), tokio::sync::Mutex::new(()));
        Self { inner: Arc::new(Inner { parts, tenant, states, turn }) }
    }

    /// What the agent works with.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.inner.parts
    }

    /// Serves again what was deployed before the host stopped; returns how many apps. One that
    /// cannot be served is told as an event and does not keep the others back.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn restore(&self) -> Result<usize, DeployError> {
        let parts = self.parts();
        let records = parts.store.current()?;
        let mut n_served = 0;
        for record in records {
            let app = record.app.clone();
            match self.revive(record).await {
                Ok(()) => n_served += 1,
                Err(error) => {
                    tracing::error!(%app, error = chain(&error), "an app cannot be served again");
                    parts.events.push(Event {
                        app: Some(app),
                        severity: Severity::Error,
                        advice: Some("deploy the app again".to_owned()),
                        ..Event::now("restore_failed", chain(&error))
                    });
                }
            }
        }
        self.sweep()?;
        Ok(n_served)
    }

    /// Deploys a component that was uploaded before, in place of the app's current deployment.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub async fn deploy(
        &self,
        asked: Option<&AppName>,
        manifest_text: String,
        component: Digest,
    ) -> Result<Arc<Deployed>, DeployError> {
        let parts = self.parts();
        let manifest = manifest::read(&manifest_text).map_err(DeployError::Manifest)?;
        if let Some(asked) = asked
            && *asked != manifest.name
        {
            return Err(DeployError::OtherApp { manifest: manifest.name, asked: asked.clone() });
        }
        if let Some(wanted) = manifest.sha256
            && wanted != component
        {
            return Err(DeployError::OtherComponent { wanted, found: component });
        }
        if !parts.blobs.contains(&component) {
            return Err(DeployError::NoComponent(component));
        }
        parts.catalog.check(&manifest)?;
        let compiled = self.compile(component).await?;
        let _turn = self.inner.turn.lock().await;
        // The only other app that used it may have been removed meanwhile.
        if !parts.blobs.contains(&component) {
            return Err(DeployError::NoComponent(component));
        }
        parts.catalog.check(&manifest)?;
        let record = DeploymentRecord {
            app: manifest.name.clone(),
            generation: parts.store.next_generation(&manifest.name)?,
            digest: component,
            manifest: manifest_text,
            kind: compiled.shape.kind.to_string(),
            size: parts.blobs.size(&component)?,
            deployed_at: now(),
        };
        let prepared = self.load(&manifest, record.generation, compiled).await?;
        self.commit(record.clone()).await?;
        self.publish(record, manifest, prepared, "deployed")
    }

    /// Goes back to an earlier deployment: the one before the current, or the one asked for.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub async fn rollback(
        &self,
        app: &AppName,
        to: Option<Generation>,
    ) -> Result<Arc<Deployed>, DeployError> {
        let parts = self.parts();
        let _turn = self.inner.turn.lock().await;
        let snapshot = parts.catalog.snapshot();
        let current = snapshot.apps.get(app).map(|deployed| deployed.generation);
        let history = parts.store.history(app)?;
        if history.is_empty() {
            return Err(DeployError::NoApp(app.clone()));
        }
        let wanted = |record: &&DeploymentRecord| match (to, current) {
            (Some(to), _) => record.generation == to,
            (None, Some(current)) => record.generation < current,
            (None, None) => true,
        };
        let Some(record) = history.iter().filter(wanted).max_by_key(|record| record.generation)
        else {
            let known: Vec<String> =
                history.iter().map(|record| record.generation.to_string()).collect();
            return Err(DeployError::NoDeployment {
                app: app.clone(),
                wanted: to.map_or_else(|| "before the current one".to_owned(), |to| to.to_string()),
                known: known.join(", "),
            });
        };
        let record = record.clone();
        let manifest = manifest::read(&record.manifest).map_err(DeployError::Manifest)?;
        parts.catalog.check(&manifest)?;
        let compiled = self.compile(record.digest).await?;
        let prepared = self.load(&manifest, record.generation, compiled).await?;
        parts.store.set_current(app, record.generation)?;
        self.publish(record, manifest, prepared, "rolled_back")
    }

    /// Stops serving an app and forgets it. Calls that run end in peace.
    ///
    /// # Errors
    /// There is no such app, or the store failed.
    pub async fn remove(&self, app: &AppName) -> Result<(), DeployError> {
        let parts = self.parts();
        let _turn = self.inner.turn.lock().await;
        let history = parts.store.history(app)?;
        if !parts.store.remove(app)? {
            return Err(DeployError::NoApp(app.clone()));
        }
        parts.catalog.withdraw(app);
        self.states().remove(app);
        parts.logs.remove(app);
        self.drop_unused(history.into_iter().map(|record| record.digest))?;
        parts.events.push(Event {
            app: Some(app.clone()),
            ..Event::now("removed", format!("{app} was removed"))
        });
        Ok(())
    }

    /// Removes a component that was uploaded and that no deployment came to use.
    ///
    /// # Errors
    /// The store or the disk failed.
    pub async fn forget(&self, component: Digest) -> Result<(), DeployError> {
        let _turn = self.inner.turn.lock().await;
        self.drop_unused([component])
    }

    /// Removes those of these components that no deployment needs, with their compiled code. Not
    /// all unused ones: another may have been uploaded just now, to be deployed next.
    fn drop_unused(&self, digests: impl IntoIterator<Item = Digest>) -> Result<(), DeployError> {
        let parts = self.parts();
        let in_use = parts.store.digests_in_use()?;
        for digest in digests {
            if !in_use.contains(&digest) {
                parts.blobs.remove(&digest)?;
                parts.sandbox.compiler().forget(digest);
            }
        }
        Ok(())
    }

    /// The app's deployments that can be gone back to, the oldest first.
    ///
    /// # Errors
    /// The store failed.
    pub fn history(&self, app: &AppName) -> Result<Vec<DeploymentRecord>, DeployError> {
        Ok(self.parts().store.history(app)?)
    }

    async fn revive(&self, record: DeploymentRecord) -> Result<(), DeployError> {
        let manifest = manifest::read(&record.manifest).map_err(DeployError::Manifest)?;
        let compiled = self.compile(record.digest).await?;
        let prepared = self.load(&manifest, record.generation, compiled).await?;
        let deployed = self.assemble(record, manifest, prepared);
        Ok(self.parts().catalog.publish(deployed).map(drop)?)
    }

    async fn compile(&self, digest: Digest) -> Result<Compiled, DeployError> {
        let parts = self.parts();
        if !parts.sandbox.compiler().has(digest) {
            self.verify(digest).await?;
        }
        Ok(parts.sandbox.compile(digest, &parts.blobs.path(&digest)).await?)
    }

    /// Code is kept under the digest of what it was compiled from, so that must be true. A damaged
    /// component goes, so that it can be uploaded again.
    async fn verify(&self, digest: Digest) -> Result<(), DeployError> {
        let blobs = self.parts().blobs.clone();
        let verified = tokio::task::spawn_blocking(move || {
            let verified = blobs.verify(&digest);
            if let Err(BlobError::Damaged { .. }) = verified {
                blobs.remove(&digest)?;
            }
            verified
        })
        .await;
        Ok(verified.map_err(|error| DeployError::Task(error.to_string()))??)
    }

    /// Mapping and linking takes a good part of a millisecond: not on a thread that serves.
    async fn load(
        &self,
        manifest: &Manifest,
        generation: Generation,
        compiled: Compiled,
    ) -> Result<Prepared, DeployError> {
        let state = self.state(manifest);
        let spec = Spec {
            generation,
            limits: manifest.limits.clone(),
            env: manifest.env.clone().into_iter().collect(),
            instance: manifest.instance,
            allowed_outbound_hosts: manifest.allowed_outbound_hosts.clone(),
            log: state.log,
            memory: state.memory,
            denied: state.meter.outbound_denied.clone(),
        };
        let sandbox = self.parts().sandbox.clone();
        let loaded = tokio::task::spawn_blocking(move || sandbox.load(&compiled, spec)).await;
        Ok(loaded.map_err(|error| DeployError::Task(error.to_string()))??)
    }

    /// Once this returns well, the deployment is acknowledged, whatever becomes of old components.
    async fn commit(&self, record: DeploymentRecord) -> Result<(), DeployError> {
        let store = self.parts().store.clone();
        let committed = tokio::task::spawn_blocking(move || store.commit(&record)).await;
        let pruned = committed.map_err(|error| DeployError::Task(error.to_string()))??;
        if !pruned.is_empty()
            && let Err(error) = self.drop_unused(pruned)
        {
            tracing::warn!(error = chain(&error), "old components stay on the disk");
        }
        Ok(())
    }

    fn publish(
        &self,
        record: DeploymentRecord,
        manifest: Manifest,
        prepared: Prepared,
        kind: &'static str,
    ) -> Result<Arc<Deployed>, DeployError> {
        let parts = self.parts();
        let (app, generation, digest) = (record.app.clone(), record.generation, record.digest);
        let deployed = self.assemble(record, manifest, prepared);
        let weight = deployed.manifest.weight;
        deployed.state.memory.set_weight(weight);
        deployed.state.gate.reshape(deployed.prepared.limits(), self.inner.tenant, weight);
        let deployed = parts.catalog.publish(deployed)?;
        parts.events.push(Event {
            app: Some(app.clone()),
            generation: Some(generation),
            evidence: vec![("component".to_owned(), digest.to_string())],
            ..Event::now(kind, format!("{app} now runs deployment {generation}"))
        });
        Ok(deployed)
    }

    fn assemble(
        &self,
        record: DeploymentRecord,
        manifest: Manifest,
        prepared: Prepared,
    ) -> Deployed {
        let state = self.state(&manifest);
        Deployed {
            app: record.app,
            generation: record.generation,
            digest: record.digest,
            deployed_at: record.deployed_at,
            size: record.size,
            manifest,
            manifest_text: record.manifest,
            prepared,
            state,
        }
    }

    fn state(&self, manifest: &Manifest) -> AppState {
        let mut states = self.states();
        let fresh = || AppState {
            gate: self.parts().schedule.gate(&manifest.limits, self.inner.tenant, manifest.weight),
            memory: self.parts().memory.account(manifest.weight),
            meter: Arc::new(AppMeter::default()),
            calls: Arc::new(Calls::default()),
            log: self.parts().logs.app(&manifest.name),
        };
        states.entry(manifest.name.clone()).or_insert_with(fresh).clone()
    }

    fn states(&self) -> std::sync::MutexGuard<'_, BTreeMap<AppName, AppState>> {
        self.inner.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes components and compiled code that no deployment needs. Only before anything can be
    /// uploaded.
    fn sweep(&self) -> Result<(), DeployError> {
        let parts = self.parts();
        let in_use = parts.store.digests_in_use()?;
        let n_blobs = parts.blobs.remove_unused(&in_use)?;
        let in_use: Vec<Digest> = in_use.into_iter().collect();
        let n_code = parts.sandbox.compiler().keep_only(&in_use);
        tracing::debug!(n_blobs, n_code, "swept what no deployment uses");
        Ok(())
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
