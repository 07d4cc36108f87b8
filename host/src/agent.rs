//! The story of a host catching up: from a wish (deploy, roll back, remove) to what is served.
//! Compile, load, commit, publish: what is acknowledged is durable, what is refused leaves nothing.
//! Does not parse requests and does not answer them; the API does.

pub mod backup;
mod canary;
pub mod crashes;
mod error;
mod follow;
mod freeze;
pub mod lineage;
mod routes;
mod spec;
mod wish;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use steerage_core::id::{AppName, Digest, Generation};
use steerage_core::limits::LimitsPolicy;
use steerage_core::manifest::Manifest;
use tokio::sync::MutexGuard;

use self::backup::Pins;
pub use self::error::DeployError;
pub use self::spec::DeploySpec;
use crate::blobs::Blobs;
use crate::catalog::crash_log::CrashLog;
use crate::catalog::{App, Catalog, LoadedDeployment, Snapshot};
use crate::code::Loader;
use crate::fleet::Fleet;
use crate::ledger::Ledger;
use crate::ledger::index::IndexRecord;
use crate::ledger::record::{DeploymentRecord, Fingerprint};
use crate::manifest;
use crate::telemetry::chain;
use crate::telemetry::events::{Event, Events, Severity};

/// What an agent reads and changes of its host. Clones share it.
#[derive(Clone, Debug)]
pub struct HostState {
    /// Remembers deployments.
    pub ledger: Ledger,
    /// Holds components.
    pub blobs: Blobs,
    /// What is served.
    pub catalog: Arc<Catalog>,
    /// What happened.
    pub events: Arc<Events>,
    /// What apps may use.
    pub limits: Arc<LimitsPolicy>,
    /// Which apps have calls running, for the run after a crash.
    pub crash_log: CrashLog,
}

/// Carries out operators' wishes on this host. Clones share it.
#[derive(Clone, Debug)]
pub struct Agent {
    loader: Loader,
    own: HostState,
    /// Where wishes are made durable; this host's ledger where it is alone.
    fleet: Option<Fleet>,
    /// Held from the last check to publishing, so that two wishes cannot both pass the check.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Components that stay while they are copied.
    pins: Arc<Pins>,
}

impl Agent {
    /// An agent that has the code of apps from this loader. Nothing is served until
    /// [`Agent::restore`] or a deploy.
    #[must_use]
    pub fn new(loader: Loader, own: HostState, fleet: Option<Fleet>) -> Self {
        Self { loader, own, fleet, turn: Arc::default(), pins: Arc::default() }
    }

    /// Serves again what was deployed before the host stopped, without reading any of it; returns
    /// how many apps. One that cannot be served is told as an event and does not keep the others
    /// back.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn restore(&self) -> Result<usize, DeployError> {
        let own = &self.own;
        let mut snapshot = Snapshot::default();
        own.ledger.each_current(|name, record| {
            let added = record.map_err(|error| chain(&error)).and_then(|record| {
                let app = App::new(record).map_err(|error| error.to_string())?;
                snapshot.add(Arc::new(app)).map_err(|error| error.to_string())
            });
            if let Err(error) = added {
                tracing::error!(app = name, error, "an app cannot be served again");
                own.events.push(Event {
                    app: name.parse().ok(),
                    severity: Severity::Error,
                    advice: Some("deploy the app again".to_owned()),
                    ..Event::now("restore_failed", error)
                });
            }
        })?;
        let n_served = snapshot.apps.len();
        own.catalog.replace(snapshot);
        Ok(n_served)
    }

    /// Removes components and compiled code that no deployment needs and that have been there since
    /// before `since`. Takes its time: there may be very many to look at.
    pub async fn sweep(self, since: SystemTime) {
        let swept = tokio::task::spawn_blocking(move || {
            let own = &self.own;
            let is_needed = |digest: &Digest| Ok(own.ledger.is_used(digest)?);
            let discard = |digest| self.drop_unused(&self.turn.blocking_lock(), [digest]);
            own.blobs.sweep::<DeployError>(since, is_needed, discard)?;
            let is_needed = |digest: &Digest| own.ledger.is_used(digest).unwrap_or(true);
            let n_files = self.loader.sweep(since, is_needed);
            tracing::debug!(n_files, "swept compiled code that no deployment needs");
            Ok::<(), DeployError>(())
        });
        if let Ok(Err(error)) = swept.await {
            tracing::warn!(error = chain(&error), "what no deployment needs stays on the disk");
        }
    }

    /// Deploys a component that was uploaded before, in place of the app's current deployment, or as
    /// a canary that gets a share of its calls.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub async fn deploy(&self, spec: DeploySpec) -> Result<Arc<App>, DeployError> {
        let own = &self.own;
        if spec.canary.is_some() && self.fleet.is_none() {
            return Err(DeployError::CanaryAlone);
        }
        let manifest =
            manifest::read(&spec.manifest, &own.limits).map_err(DeployError::Manifest)?;
        spec.check(&manifest)?;
        let DeploySpec { component, canary, .. } = spec;
        let served = || own.catalog.app(&manifest.name).map(|app| app.generation);
        if !own.blobs.contains(&component) {
            return Err(DeployError::NoComponent(component));
        }
        own.catalog.check(&manifest)?;
        // Here as well, before a component is compiled for nothing.
        self.check_tenant(&spec, &manifest, served()).await?;
        self.loader.compile(component).await?;
        if let Some(fleet) = &self.fleet {
            // Until this host has the deployment itself, an app that is removed must not take it along.
            own.blobs.pin(&component)?;
            let record = self.wish_deployed(fleet, &manifest, &spec).await?;
            let generation = record.generation;
            let what = canary.map_or_else(String::new, |share| format!(" as a canary for {share}"));
            let message = format!(
                "generation {generation} of {} was deployed through this host{what}",
                record.app
            );
            own.events.push(Event {
                app: Some(record.app.clone()),
                generation: Some(generation),
                evidence: vec![("component".to_owned(), component.to_string())],
                ..Event::now("deployed", message)
            });
            return match canary {
                Some(_) => self.await_canary(fleet, &record).await,
                None => self.serve_wished(fleet, record).await,
            };
        }
        let turn = self.turn.lock().await;
        // The only other app that used it may have been removed meanwhile.
        if !own.blobs.contains(&component) {
            return Err(DeployError::NoComponent(component));
        }
        own.catalog.check(&manifest)?;
        self.check_tenant(&spec, &manifest, served()).await?;
        let generation = own.ledger.next_generation(&manifest.name)?;
        let deployed = self.loader.prepare(&manifest, generation, component).await?;
        let record = DeploymentRecord {
            app: manifest.name.clone(),
            generation,
            digest: component,
            manifest: spec.manifest,
            kind: deployed.prepared.kind().to_string(),
            size: own.blobs.size(&component)?,
            deployed_at: now(),
        };
        self.commit(&turn, record.clone()).await?;
        self.publish(&record, &manifest, deployed, Cause::Deployed)
    }

    /// Goes back to an earlier deployment: the one before the current, or the one asked for.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub async fn rollback(
        &self,
        app: &AppName,
        to: Option<Generation>,
    ) -> Result<Arc<App>, DeployError> {
        if let Some(fleet) = &self.fleet {
            let record = self.wish_rolled_back(fleet, app, to).await?;
            let generation = record.generation;
            let message =
                format!("{app} was rolled back to generation {generation} through this host");
            self.own.events.push(Event {
                app: Some(app.clone()),
                generation: Some(generation),
                ..Event::now("rolled_back", message)
            });
            return self.serve_wished(fleet, record).await;
        }
        let own = &self.own;
        let _turn = self.turn.lock().await;
        let current = own.catalog.app(app).map(|app| app.generation);
        let history = own.ledger.history(app)?;
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
        let manifest =
            manifest::reread(&record.manifest, &own.limits).map_err(DeployError::Manifest)?;
        own.catalog.check(&manifest)?;
        let deployed = self.loader.prepare(&manifest, record.generation, record.digest).await?;
        own.ledger.set_current(app, record.generation)?;
        self.publish(&record, &manifest, deployed, Cause::RolledBack)
    }

    /// Stops serving an app and forgets it. Calls that run end in peace.
    ///
    /// # Errors
    /// There is no such app, or the ledger failed.
    pub async fn remove(&self, app: &AppName) -> Result<(), DeployError> {
        if let Some(fleet) = &self.fleet {
            self.wish_removed(fleet, app).await?;
            if let Err(error) = self.forget_app(app).await {
                // It is gone from the fleet by now, and this host tries on by itself.
                tracing::warn!(%app, error = chain(&error), "removed, but not forgotten here yet");
            }
            return Ok(());
        }
        self.remove_here(app).await
    }

    async fn remove_here(&self, app: &AppName) -> Result<(), DeployError> {
        let own = &self.own;
        let turn = self.turn.lock().await;
        let unused = own.ledger.remove(app)?.ok_or_else(|| DeployError::NoApp(app.clone()))?;
        self.loader.withdraw(app);
        self.drop_unused(&turn, unused)?;
        own.events.push(Event {
            app: Some(app.clone()),
            ..Event::now("removed", format!("{app} was removed"))
        });
        Ok(())
    }

    /// Removes a component that was uploaded and that no deployment came to use.
    ///
    /// # Errors
    /// The ledger or the disk failed.
    pub async fn forget(&self, component: Digest) -> Result<(), DeployError> {
        self.own.blobs.unpin(&component);
        self.drop_unused(&self.turn.lock().await, [component])
    }

    /// Removes those of these components that no deployment needs, with their compiled code. Not
    /// all unused ones: another may have been uploaded just now, to be deployed next.
    fn drop_unused(
        &self,
        _turn: &MutexGuard<'_, ()>,
        digests: impl IntoIterator<Item = Digest>,
    ) -> Result<(), DeployError> {
        let own = &self.own;
        for digest in digests {
            if !own.ledger.is_used(&digest)? && !self.pins.hold(&digest) {
                // Somebody may have brought it for what comes next.
                if own.blobs.remove_unpinned(&digest)? {
                    self.loader.forget(digest);
                }
            }
        }
        Ok(())
    }

    /// What tells the deployment of an app that is served here from another of its number; `None` where
    /// the ledger cannot say.
    #[must_use]
    pub fn fingerprint(&self, app: &App) -> Option<Fingerprint> {
        app.fingerprint.or_else(|| {
            let record = self.own.ledger.deployment(&app.name, app.generation).ok()??;
            Some(record.fingerprint())
        })
    }

    /// The app's deployments that can be gone back to, the oldest first.
    ///
    /// # Errors
    /// The ledger failed.
    pub fn history(&self, app: &AppName) -> Result<Vec<DeploymentRecord>, DeployError> {
        Ok(self.own.ledger.history(app)?)
    }

    /// Once this returns well, the deployment is acknowledged, whatever becomes of old components.
    async fn commit(
        &self,
        turn: &MutexGuard<'_, ()>,
        record: DeploymentRecord,
    ) -> Result<(), DeployError> {
        self.commit_all(turn, vec![record]).await
    }

    /// The same for many, all or none.
    async fn commit_all(
        &self,
        turn: &MutexGuard<'_, ()>,
        records: Vec<DeploymentRecord>,
    ) -> Result<(), DeployError> {
        let (ledger, blobs) = (self.own.ledger.clone(), self.own.blobs.clone());
        let committed = tokio::task::spawn_blocking(move || {
            let pruned = ledger.commit_all(&records)?;
            // The ledger keeps it from here on.
            records.iter().for_each(|record| blobs.unpin(&record.digest));
            Ok::<_, DeployError>(pruned)
        });
        let pruned = committed.await.map_err(|error| DeployError::Task(error.to_string()))??;
        if let Err(error) = self.drop_unused(turn, pruned) {
            tracing::warn!(error = chain(&error), "old components stay on the disk");
        }
        Ok(())
    }

    fn publish(
        &self,
        record: &DeploymentRecord,
        manifest: &Manifest,
        deployed: LoadedDeployment,
        cause: Cause,
    ) -> Result<Arc<App>, DeployError> {
        let state = deployed.state.clone();
        let index =
            IndexRecord::of(record).map_err(|error| DeployError::Task(error.to_string()))?;
        let app = App::new(index).map_err(|error| DeployError::Task(error.to_string()))?;
        let app = self.loader.publish(app, deployed)?;
        self.loader.reshape(&state, manifest);
        let (name, generation) = (&app.name, app.generation);
        let (kind, why) = cause.told();
        self.own.events.push(Event {
            app: Some(name.clone()),
            generation: Some(generation),
            evidence: vec![("component".to_owned(), app.digest.to_string())],
            ..Event::now(kind, format!("{name} now runs generation {generation}: {why}"))
        });
        Ok(app)
    }
}

/// Why a deployment is served from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Deployed,
    RolledBack,
    /// It became what the fleet wants.
    Followed,
    /// It was known, and its code comes here.
    Placed,
}

impl Cause {
    /// The kind of the event that tells it, and the reason in words.
    fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Deployed => ("deployed", "it was deployed through this host"),
            Self::RolledBack => ("rolled_back", "it was rolled back through this host"),
            Self::Followed => ("placed", "it was deployed in the fleet"),
            Self::Placed => {
                ("placed", "it runs here from now on, after a move, a start or one more replica")
            }
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
