//! What a host of a fleet does to serve what was decided elsewhere: it fetches and prepares code, or
//! only learns routes, or forgets an app. Refuses nothing that is durable in the store already.

use std::sync::Arc;

use steerage_core::id::{AppName, Generation, HostName};
use steerage_core::node::HostMap;

use super::{Agent, ApplyError, ServeCause, as_served};
use crate::catalog::LoadedDeployment;
use crate::fleet::{Fleet, keys};
use crate::ledger::deployment::Deployment;
use crate::ledger::record::DeploymentRecord;
use crate::store::{Entry, StoreError};
use crate::telemetry::chain;

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
    ) -> Result<Deployment, ApplyError> {
        if let Some(kept) = self.kept(fleet, app, generation)? {
            return Ok(kept);
        }
        let entry = fleet.get(&keys::deployment(app, generation)).await?;
        self.stored(fleet, app, generation, entry)
    }

    /// The deployments, from this host's ledger or from the store, which is asked for many at once: a host
    /// that joins has none of a hundred thousand.
    async fn recall_all(
        &self,
        fleet: &Fleet,
        wanted: Vec<(AppName, Generation)>,
    ) -> Vec<(AppName, Result<Deployment, ApplyError>)> {
        let (mut recalled, mut asked) = (Vec::new(), Vec::new());
        for (app, generation) in wanted {
            match self.kept(fleet, &app, generation) {
                Ok(Some(kept)) => recalled.push((app, Ok(kept))),
                Ok(None) => asked.push((app, generation)),
                Err(error) => recalled.push((app, Err(error))),
            }
        }
        let keys: Vec<String> =
            asked.iter().map(|(app, generation)| keys::deployment(app, *generation)).collect();
        match fleet.get_each(&keys).await {
            Ok(entries) => {
                recalled.extend(asked.into_iter().zip(entries).map(
                    |((app, generation), entry)| {
                        let stored = self.stored(fleet, &app, generation, entry);
                        (app, stored)
                    },
                ));
            }
            Err(error) => {
                let error = Arc::new(error);
                recalled.extend(asked.into_iter().map(|(app, _)| (app, Err(error.clone().into()))));
            }
        }
        recalled
    }

    /// The deployment as this host keeps it, if it does and if it is the one that is wanted.
    fn kept(
        &self,
        fleet: &Fleet,
        app: &AppName,
        generation: Generation,
    ) -> Result<Option<Deployment>, ApplyError> {
        let record = self.own.ledger.deployment(app, generation)?;
        let record = record.filter(|record| is_wanted(fleet, record));
        record.map(|record| self.read(record)).transpose()
    }

    /// The deployment that the store has under its key.
    fn stored(
        &self,
        fleet: &Fleet,
        app: &AppName,
        generation: Generation,
        entry: Option<Entry>,
    ) -> Result<Deployment, ApplyError> {
        let key = keys::deployment(app, generation);
        let damaged = |what: String| ApplyError::from(StoreError::Damaged { what });
        let entry = entry.ok_or_else(|| damaged(format!("{key} is missing")))?;
        let record = DeploymentRecord::decode(&entry.value)
            .map_err(|error| damaged(format!("{key}: {error}")))?;
        if is_wanted(fleet, &record) {
            return self.read(record);
        }
        Err(damaged(format!("{key} is not the deployment that is wanted: deploy the app again")))
    }

    /// Has the code of a deployment at hand and serves it, in place of the app's earlier one.
    ///
    /// # Errors
    /// No host has its component, or this one cannot run it. The earlier deployment is served on.
    pub async fn prepare(&self, deployment: &Deployment) -> Result<(), ApplyError> {
        let (record, generation) = (deployment.record(), deployment.generation());
        self.loader.download(record.digest, &self.who_has(&record.app)).await?;
        self.loader.compile(record.digest).await?;
        let turn = self.turn().await;
        let loaded = self.loader.prepare(deployment.manifest(), generation, record.digest).await?;
        // Why it comes here, for whoever reads the events of this host.
        let served = self.own.catalog.app(&record.app).map(|here| here.generation);
        let cause = match served {
            Some(served) if served == generation => ServeCause::Placed,
            _ => ServeCause::Followed,
        };
        turn.serve(deployment, loaded, Some(cause)).await
    }

    /// Serves a deployment whose code is loaded. Sends no event: whoever calls this has sent one.
    ///
    /// # Errors
    /// The ledger failed, or another app has one of the routes. The earlier deployment is served on.
    pub async fn serve(
        &self,
        deployment: &Deployment,
        loaded: LoadedDeployment,
    ) -> Result<(), ApplyError> {
        self.turn().await.serve(deployment, loaded, None).await
    }

    /// Hosts that have an app's code at hand: who needs its component asks them first.
    pub(super) fn who_has(&self, app: &AppName) -> Vec<HostName> {
        let view = self.fleet.view();
        view.ready(app).into_iter().flat_map(HostMap::keys).cloned().collect()
    }

    /// Learns the routes of a deployment that runs elsewhere.
    ///
    /// # Errors
    /// This host does not understand it, or the ledger failed.
    pub async fn follow(&self, deployment: &Deployment) -> Result<(), ApplyError> {
        let app = as_served(deployment)?;
        let turn = self.turn().await;
        // Callers are answered even where the disk takes nothing more.
        self.loader.publish_light(app)?;
        turn.keep(deployment).await
    }

    /// The same for many deployments at once, which a host that joins a fleet has to learn: they are kept
    /// in one go, since each write waits for the disk.
    pub async fn follow_all(
        &self,
        fleet: &Fleet,
        wanted: Vec<(AppName, Generation)>,
    ) -> Vec<(AppName, Result<(), ApplyError>)> {
        let recalled = self.recall_all(fleet, wanted).await;
        let known = recalled.iter().filter_map(|(_, recalled)| recalled.as_ref().ok());
        let new: Vec<_> = known.filter(|known| !self.is_kept(known.record())).cloned().collect();
        if new.len() > 1 {
            let n_apps = new.len();
            match self.turn().await.commit_all(new).await {
                Ok(()) => tracing::info!(n_apps, "learned of apps that run elsewhere"),
                // Each by itself then, and each with its own error.
                Err(error) => tracing::debug!(error = chain(&error), "cannot keep many at once"),
            }
        }
        let mut followed = Vec::new();
        for (app, recalled) in recalled {
            let done = match recalled {
                Ok(deployment) => self.follow(&deployment).await,
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
}

/// Whether this is the deployment that is wanted of its app: after a restore another may have its number.
fn is_wanted(fleet: &Fleet, record: &DeploymentRecord) -> bool {
    let wanted = fleet.view().fingerprint(&record.app, record.generation.get());
    wanted.is_none_or(|wanted| record.fingerprint() == wanted)
}
