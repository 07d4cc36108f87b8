//! What a host does to serve what is wanted: it fetches code, compiles, maps and links it, keeps the
//! deployment in its ledger, and publishes it. What is kept is durable before it is served.
//! Wants nothing itself: `desired` writes down what shall run, and `member` follows it.

pub mod backup;
mod canary;
mod crashes;
mod error;
mod follow;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use steerage_core::id::{AppName, Digest, Generation};
use steerage_core::limits::LimitsPolicy;
use tokio::sync::{Mutex, MutexGuard};

pub use self::error::ApplyError;
use crate::blobs::{Blobs, PinOwner};
use crate::catalog::crash_log::CrashLog;
use crate::catalog::{App, Catalog, LoadedDeployment, Snapshot};
use crate::code::Loader;
use crate::fleet::Fleet;
use crate::ledger::Ledger;
use crate::ledger::deployment::Deployment;
use crate::ledger::record::{DeploymentRecord, Fingerprint};
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

/// Has this host serve what is wanted. Clones share it.
#[derive(Clone, Debug)]
pub struct Agent {
    loader: Loader,
    own: HostState,
    /// The fleet it belongs to, if only of this one.
    fleet: Fleet,
    /// Held from the last check to publishing, so that two deployments cannot both pass the check.
    turn: Arc<Mutex<()>>,
    /// Apps that have a canary here, or whose deployment is watched; some may be over by now.
    canaries: Arc<std::sync::Mutex<BTreeSet<AppName>>>,
}

/// The turn of whoever changes what this host keeps and serves; the next one waits until it is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    agent: &'a Agent,
    _held: MutexGuard<'a, ()>,
}

/// Why a deployment is served from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServeCause {
    /// It became what the fleet wants.
    Followed,
    /// It was known, and its code comes here.
    Placed,
}

impl Agent {
    /// An agent that has the code of apps from this loader. Nothing is served until
    /// [`Agent::restore`] or a deployment comes.
    #[must_use]
    pub fn new(loader: Loader, own: HostState, fleet: Fleet) -> Self {
        let (turn, canaries) = Default::default();
        Self { loader, own, fleet, turn, canaries }
    }

    /// Serves again what was served before the host stopped, without reading any of it; returns
    /// how many apps. One that cannot be served is told as an event and does not keep the others
    /// back.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn restore(&self) -> Result<usize, ApplyError> {
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
            let discard = |digest| self.turn_blocking().drop_unused([digest]);
            own.blobs.sweep::<ApplyError>(since, is_needed, discard)?;
            let is_needed = |digest: &Digest| own.ledger.is_used(digest).unwrap_or(true);
            let n_files = self.loader.sweep(since, is_needed);
            tracing::debug!(n_files, "swept compiled code that no deployment needs");
            Ok::<(), ApplyError>(())
        });
        if let Ok(Err(error)) = swept.await {
            tracing::warn!(error = chain(&error), "what no deployment needs stays on the disk");
        }
    }

    /// Stops serving an app and forgets it, unless a deployment later than `latest` is served by now: it
    /// may have come while this waited for its turn. Returns whether the ledger had it. Calls that run
    /// end in peace.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn remove(
        &self,
        app: &AppName,
        latest: Option<Generation>,
    ) -> Result<bool, ApplyError> {
        let turn = self.turn().await;
        let served = self.own.catalog.app(app).map(|here| here.generation);
        if latest.is_some_and(|latest| served > Some(latest)) {
            return Ok(true);
        }
        let Some(unused) = self.own.ledger.remove(app)? else {
            self.loader.withdraw(app);
            return Ok(false);
        };
        self.fleet.forget_secrets(app);
        self.loader.withdraw(app);
        turn.drop_unused(unused)?;
        self.own.events.push(Event {
            app: Some(app.clone()),
            ..Event::now("removed", format!("{app} was removed"))
        });
        Ok(true)
    }

    /// Sees to it, behind whoever asks, that new calls of an app get its secrets as they are now; of all apps where
    /// none is named.
    pub fn renew_secrets(&self, app: Option<AppName>) {
        let loader = self.loader.clone();
        tokio::spawn(async move {
            match app {
                Some(app) => loader.renew_secrets(&app).await,
                None => loader.renew_all_secrets().await,
            }
        });
    }

    /// Removes a component that was uploaded for a deployment of an app that did not come to be, unless
    /// another deployment needs it.
    ///
    /// # Errors
    /// The ledger or the disk failed.
    pub async fn forget(&self, app: &AppName, component: Digest) -> Result<(), ApplyError> {
        self.own.blobs.unpin(&component, &PinOwner::App(app.clone()));
        self.turn().await.drop_unused([component])
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

    /// The app's deployments that this host can go back to by itself, the oldest first.
    ///
    /// # Errors
    /// The ledger failed.
    pub fn history(&self, app: &AppName) -> Result<Vec<DeploymentRecord>, ApplyError> {
        Ok(self.own.ledger.history(app)?)
    }

    /// A deployment that was kept before, read for this host.
    ///
    /// # Errors
    /// This host does not understand its manifest.
    pub fn read(&self, record: DeploymentRecord) -> Result<Deployment, ApplyError> {
        Deployment::read(record, &self.own.limits).map_err(ApplyError::Manifest)
    }

    /// Waits for the turn to change what is kept and served.
    pub async fn turn(&self) -> Turn<'_> {
        Turn { agent: self, _held: self.turn.lock().await }
    }

    /// The same on a thread that may block.
    fn turn_blocking(&self) -> Turn<'_> {
        Turn { agent: self, _held: self.turn.blocking_lock() }
    }
}

impl Turn<'_> {
    /// Keeps a deployment as the app's current one, then serves it in place of the app's earlier one.
    /// Its code was prepared before. `cause` is told, unless it was before.
    ///
    /// # Errors
    /// The ledger failed, and nothing has changed; or another app has one of the routes.
    async fn serve(
        &self,
        deployment: &Deployment,
        loaded: LoadedDeployment,
        cause: Option<ServeCause>,
    ) -> Result<(), ApplyError> {
        // First what may be refused.
        let app = as_served(deployment)?;
        self.keep(deployment).await?;
        let state = loaded.state.clone();
        let app = self.agent.loader.publish(app, loaded)?;
        self.agent.loader.reshape(&state, deployment.manifest());
        let (name, generation) = (&app.name, app.generation);
        let Some((kind, why)) = cause.map(ServeCause::told) else { return Ok(()) };
        self.agent.own.events.push(Event {
            app: Some(name.clone()),
            generation: Some(generation),
            evidence: vec![("component".to_owned(), app.digest.to_string())],
            ..Event::now(kind, format!("{name} now runs generation {generation}: {why}"))
        });
        Ok(())
    }

    /// Keeps a deployment in the ledger as the app's current one.
    async fn keep(&self, deployment: &Deployment) -> Result<(), ApplyError> {
        let HostState { ledger, blobs, .. } = &self.agent.own;
        let (record, generation) = (deployment.record(), deployment.generation());
        // Writing is what takes longest where thousands of apps come to a host at once.
        let is_kept = ledger.deployment(&record.app, generation)?.as_ref() == Some(record);
        if !is_kept {
            return self.commit_all(vec![deployment.clone()]).await;
        }
        unpin(blobs, record);
        if !ledger.is_current(&record.app, generation)? {
            ledger.set_current(&record.app, generation)?;
        }
        Ok(())
    }

    /// Keeps deployments, all or none, each as its app's current one. Once this returns well they are
    /// durable here, whatever becomes of old components.
    async fn commit_all(&self, deployments: Vec<Deployment>) -> Result<(), ApplyError> {
        let (ledger, blobs) = (self.agent.own.ledger.clone(), self.agent.own.blobs.clone());
        let committed = tokio::task::spawn_blocking(move || {
            let pruned = ledger.commit_all(&deployments)?;
            deployments.iter().for_each(|kept| unpin(&blobs, kept.record()));
            Ok::<_, ApplyError>(pruned)
        });
        let pruned = committed.await.map_err(|error| ApplyError::Task(error.to_string()))??;
        self.drop_old(pruned);
        Ok(())
    }

    /// Removes those of these components that no deployment needs, with their compiled code. Not
    /// all unused ones: another may have been uploaded just now, to be deployed next.
    fn drop_unused(&self, digests: impl IntoIterator<Item = Digest>) -> Result<(), ApplyError> {
        let Agent { own, loader, .. } = self.agent;
        for digest in digests {
            // Somebody may have brought it for what comes next.
            if !own.ledger.is_used(&digest)? && own.blobs.remove_unneeded(&digest)? {
                loader.forget(digest);
            }
        }
        Ok(())
    }

    /// The same where that it fails harms nobody.
    fn drop_old(&self, digests: impl IntoIterator<Item = Digest>) {
        if let Err(error) = self.drop_unused(digests) {
            tracing::warn!(error = chain(&error), "old components stay on the disk");
        }
    }
}

impl ServeCause {
    /// The kind of the event that tells it, and the reason in words.
    fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Followed => ("placed", "it was deployed in the fleet"),
            Self::Placed => {
                ("placed", "it runs here from now on, after a move, a start or one more replica")
            }
        }
    }
}

/// Ends what was pinned for a deployment: the ledger keeps its component from here on.
fn unpin(blobs: &Blobs, kept: &DeploymentRecord) {
    blobs.unpin(&kept.digest, &PinOwner::App(kept.app.clone()));
}

/// A deployment as it is served, or will be.
///
/// # Errors
/// This host knows no such kind of guest, or no such routes.
pub fn as_served(deployment: &Deployment) -> Result<App, ApplyError> {
    App::new(deployment.index()).map_err(|error| ApplyError::Task(error.to_string()))
}

/// Milliseconds since the epoch.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
