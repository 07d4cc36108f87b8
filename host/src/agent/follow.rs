//! What a host of a fleet does to serve what was decided elsewhere: it fetches and prepares code, or
//! only learns routes, or forgets an app. Refuses nothing that is durable in the store already.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use steerage_core::id::{AppName, Generation, HostName};

use super::{Agent, Cause, DeployError};
use crate::catalog::App;
use crate::fleet::{Fleet, keys};
use crate::ledger::index::IndexRecord;
use crate::ledger::record::DeploymentRecord;
use crate::manifest;
use crate::store::StoreError;
use crate::telemetry::chain;

/// How long a deploy waits for the hosts it is placed on. It is durable before.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(10);
/// How long it waits to be placed at all: a plan takes milliseconds, and there may be no room.
const PLACED_WITHIN: Duration = Duration::from_secs(2);

/// Deployments that are asked of the store at once.
const RECALLED_AT_ONCE: usize = 32;

impl Agent {
    /// The deployment, from this host's ledger or from the store.
    ///
    /// # Errors
    /// Neither has it, or neither can be read.
    pub async fn recall(
        &self,
        fleet: &Fleet,
        app: &AppName,
        generation: Generation,
    ) -> Result<DeploymentRecord, DeployError> {
        // After a restore the ledger may know another deployment of this number.
        let wanted = fleet.view().fingerprint(app, generation.get());
        let is_wanted =
            |record: &DeploymentRecord| wanted.is_none_or(|wanted| record.fingerprint() == wanted);
        if let Some(record) = self.own.ledger.deployment(app, generation)?
            && is_wanted(&record)
        {
            return Ok(record);
        }
        let key = keys::deployment(app, generation);
        let damaged = |what: String| DeployError::from(StoreError::Damaged { what });
        let entry = fleet.get(&key).await?;
        let entry = entry.ok_or_else(|| damaged(format!("{key} is missing")))?;
        let record = DeploymentRecord::decode(&entry.value)
            .map_err(|error| damaged(format!("{key}: {error}")))?;
        if is_wanted(&record) {
            return Ok(record);
        }
        Err(damaged(format!("{key} is not the deployment that is wanted: deploy the app again")))
    }

    /// Has the code of a deployment at hand and serves it, in place of the app's earlier one.
    ///
    /// # Errors
    /// No host has its component, or this one cannot run it. The earlier deployment is served on.
    pub async fn prepare(&self, record: DeploymentRecord) -> Result<(), DeployError> {
        let own = &self.own;
        let manifest =
            manifest::reread(&record.manifest, &own.limits).map_err(DeployError::Manifest)?;
        self.loader.download(record.digest, &self.who_has(&record.app)).await?;
        self.loader.compile(record.digest).await?;
        let turn = self.turn.lock().await;
        let deployed = self.loader.prepare(&manifest, record.generation, record.digest).await?;
        self.keep(&turn, &record).await?;
        // Why it comes here, for whoever reads the events of this host.
        let served = own.catalog.app(&record.app).map(|here| here.generation);
        let cause = match served {
            Some(served) if served == record.generation => Cause::Placed,
            _ => Cause::Followed,
        };
        self.publish(&record, &manifest, deployed, cause)?;
        Ok(())
    }

    /// Hosts that have an app's code at hand: who needs its component asks them first.
    pub(super) fn who_has(&self, app: &AppName) -> Vec<HostName> {
        let view = self.fleet.as_ref().map(Fleet::view);
        let ready = view.as_ref().and_then(|view| view.ready.get(app));
        ready.into_iter().flat_map(imbl::OrdMap::keys).cloned().collect()
    }

    /// Learns the routes of a deployment that runs elsewhere.
    ///
    /// # Errors
    /// This host does not understand it, or the ledger failed.
    pub async fn follow(&self, record: DeploymentRecord) -> Result<(), DeployError> {
        let task = |error: &dyn std::fmt::Display| DeployError::Task(error.to_string());
        let index = IndexRecord::of(&record).map_err(|error| task(&error))?;
        let app = App::new(index).map_err(|error| task(&error))?;
        let turn = self.turn.lock().await;
        // Callers are answered even where the disk takes nothing more.
        self.loader.publish_light(app)?;
        self.keep(&turn, &record).await
    }

    /// The same for many deployments at once, which a host that joins a fleet has to learn: they are kept
    /// in one go, since each write waits for the disk.
    pub async fn follow_all(
        &self,
        fleet: &Fleet,
        wanted: Vec<(AppName, Generation)>,
    ) -> Vec<(AppName, Result<(), DeployError>)> {
        let recalled = stream::iter(wanted).map(|(app, generation)| async move {
            let recalled = self.recall(fleet, &app, generation).await;
            (app, recalled)
        });
        let recalled: Vec<_> = recalled.buffer_unordered(RECALLED_AT_ONCE).collect().await;
        let mut records = Vec::new();
        for (_, record) in &recalled {
            records.extend(record.as_ref().ok().filter(|record| !self.is_kept(record)).cloned());
        }
        if records.len() > 1 {
            let n_apps = records.len();
            let turn = self.turn.lock().await;
            match self.commit_all(&turn, records).await {
                Ok(()) => tracing::info!(n_apps, "learned of apps that run elsewhere"),
                // Each by itself then, and each with its own error.
                Err(error) => tracing::debug!(error = chain(&error), "cannot keep many at once"),
            }
        }
        let mut followed = Vec::new();
        for (app, record) in recalled {
            let done = match record {
                Ok(record) => self.follow(record).await,
                Err(error) => Err(error),
            };
            followed.push((app, done));
        }
        followed
    }

    fn is_kept(&self, record: &DeploymentRecord) -> bool {
        let ledger = &self.own.ledger;
        let kept = ledger.deployment(&record.app, record.generation).ok().flatten();
        kept.as_ref() == Some(record)
            && ledger.is_current(&record.app, record.generation).unwrap_or(false)
    }

    /// Serves what was just wished for through this host, and waits a while until those hosts have
    /// its code at hand that it is placed on.
    pub(super) async fn serve_wished(
        &self,
        fleet: &Fleet,
        record: DeploymentRecord,
    ) -> Result<Arc<App>, DeployError> {
        let (app, generation) = (record.app.clone(), record.generation);
        let is_here =
            fleet.view().ready.get(&app).is_some_and(|ready| ready.contains_key(fleet.me()));
        let followed = match is_here {
            true => self.prepare(record.clone()).await,
            false => self.follow(record.clone()).await,
        };
        if let Err(error) = followed {
            // It is durable by now, and the others serve it: this host tries on by itself, and tells
            // when it does not get on.
            tracing::warn!(%app, %generation, error = chain(&error), "deployed, but not served here yet");
        }
        let is_placed = || fleet.view().assigned_to(&app).is_some_and(|hosts| !hosts.is_empty());
        if !self.await_ready(fleet, PLACED_WITHIN, is_placed).await {
            tracing::warn!(%app, %generation, "deployed, but placed nowhere yet");
            return as_served(&record);
        }
        let is_ready = || fleet.view().is_ready_everywhere(&app, generation.get());
        if !self.await_ready(fleet, READY_WITHIN, is_ready).await {
            tracing::warn!(%app, %generation, "deployed, but not ready where it is placed yet");
        }
        as_served(&record)
    }

    /// Waits at most for a while until the hosts have done what was wished; whether they have.
    pub(super) async fn await_ready(
        &self,
        fleet: &Fleet,
        within: Duration,
        is_ready: impl Fn() -> bool,
    ) -> bool {
        let mut changes = fleet.changes();
        let settled = async {
            while !is_ready() {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        tokio::time::timeout(within, settled).await.is_ok()
    }

    /// Forgets an app, if there is one of this name.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn forget_app(&self, app: &AppName) -> Result<(), DeployError> {
        match self.remove_here(app).await {
            Err(DeployError::NoApp(_)) => {
                self.loader.withdraw(app);
                Ok(())
            }
            removed => removed,
        }
    }

    /// Keeps a deployment in the ledger as the app's current one.
    async fn keep(
        &self,
        turn: &tokio::sync::MutexGuard<'_, ()>,
        record: &DeploymentRecord,
    ) -> Result<(), DeployError> {
        let ledger = &self.own.ledger;
        // Writing is what takes longest where thousands of apps come to a host at once.
        let is_kept = ledger.deployment(&record.app, record.generation)?.as_ref() == Some(record);
        if is_kept {
            self.own.blobs.unpin(&record.digest);
        }
        if is_kept && ledger.is_current(&record.app, record.generation)? {
            return Ok(());
        }
        if is_kept {
            return Ok(ledger.set_current(&record.app, record.generation)?);
        }
        self.commit(turn, record.clone()).await
    }
}

/// A deployment as it is served, or will be.
pub(super) fn as_served(record: &DeploymentRecord) -> Result<Arc<App>, DeployError> {
    let task = |error: &dyn std::fmt::Display| DeployError::Task(error.to_string());
    let index = IndexRecord::of(record).map_err(|error| task(&error))?;
    Ok(Arc::new(App::new(index).map_err(|error| task(&error))?))
}
