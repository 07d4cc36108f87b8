//! What a host of a fleet does to serve what was decided elsewhere: it fetches and prepares code, or
//! only learns routes, or forgets an app. Refuses nothing that is durable in the store already.

use std::sync::Arc;

use steerage_core::id::{AppName, Generation, HostName};
use steerage_core::node::HostMap;

use super::{Agent, ApplyError, ServeCause, as_served, unpin};
use crate::catalog::LoadedDeployment;
use crate::fleet::{Fleet, keys};
use crate::ledger::deployment::Deployment;
use crate::ledger::record::DeploymentRecord;
use crate::store::{Entry, StoreError};
use crate::telemetry::chain;

/// As many deployments are kept and published at once. Whoever else changes something here waits as long.
const AT_ONCE: usize = 2_048;

/// A deployment that is to be followed, or why it is not known.
struct Recalled {
    app: AppName,
    deployment: Result<Deployment, ApplyError>,
    /// Whether the ledger keeps it.
    is_kept: bool,
}

impl Recalled {
    /// One that the ledger does not keep.
    fn new(app: &AppName, deployment: Result<Deployment, ApplyError>) -> Self {
        Self { app: app.clone(), deployment, is_kept: false }
    }
}

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
    async fn recall_all(&self, fleet: &Fleet, wanted: &[(AppName, Generation)]) -> Vec<Recalled> {
        let (mut recalled, mut asked) = (Vec::new(), Vec::new());
        for (app, generation) in wanted {
            match self.kept(fleet, app, *generation) {
                Ok(Some(kept)) => {
                    recalled.push(Recalled { is_kept: true, ..Recalled::new(app, Ok(kept)) });
                }
                Ok(None) => asked.push((app, *generation)),
                Err(error) => recalled.push(Recalled::new(app, Err(error))),
            }
        }
        let keys: Vec<String> =
            asked.iter().map(|(app, generation)| keys::deployment(app, *generation)).collect();
        match fleet.get_each(&keys).await {
            Ok(entries) => {
                recalled.extend(asked.into_iter().zip(entries).map(
                    |((app, generation), entry)| {
                        Recalled::new(app, self.stored(fleet, app, generation, entry))
                    },
                ));
            }
            Err(error) => {
                let error = Arc::new(error);
                let failed = |(app, _)| Recalled::new(app, Err(error.clone().into()));
                recalled.extend(asked.into_iter().map(failed));
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

    /// The same for many deployments, which a host that joins a fleet has to learn: some at once are kept in
    /// one go, since each write waits for the disk, and published in one, while the store is asked for the
    /// next ones.
    pub async fn follow_all(
        &self,
        fleet: &Fleet,
        wanted: Vec<(AppName, Generation)>,
    ) -> Vec<(AppName, Result<(), ApplyError>)> {
        let (mut followed, mut left) = (Vec::new(), wanted.chunks(AT_ONCE));
        let mut recalled = Vec::new();
        loop {
            let next = async {
                match left.next() {
                    Some(next) => Some(self.recall_all(fleet, next).await),
                    None => None,
                }
            };
            let (done, next) = tokio::join!(self.follow_recalled(recalled), next);
            followed.extend(done);
            match next {
                Some(next) => recalled = next,
                None => return followed,
            }
        }
    }

    /// Learns the routes of deployments that were recalled.
    async fn follow_recalled(
        &self,
        recalled: Vec<Recalled>,
    ) -> Vec<(AppName, Result<(), ApplyError>)> {
        if recalled.is_empty() {
            return Vec::new();
        }
        let (mut followed, mut kept, mut new) = (Vec::new(), Vec::new(), Vec::new());
        // Before this is known which is current: whoever has the turn may deploy another one.
        let turn = self.turn().await;
        let is_current = |of: &Deployment| {
            let DeploymentRecord { app, generation, .. } = of.record();
            // What cannot be read is written once more, and that says why not.
            self.own.ledger.is_current(app, *generation).unwrap_or(false)
        };
        for Recalled { app, deployment, is_kept } in recalled {
            match deployment {
                Ok(deployment) if is_kept && is_current(&deployment) => kept.push(deployment),
                Ok(deployment) => new.push(deployment),
                Err(error) => followed.push((app, Err(error))),
            }
        }
        kept.iter().for_each(|kept| unpin(&self.own.blobs, kept.record()));
        if new.len() > 1 {
            match turn.commit_all(new.clone()).await {
                Ok(()) => kept.append(&mut new),
                // Each by itself then, and each with its own error.
                Err(error) => tracing::debug!(error = chain(&error), "cannot keep many at once"),
            }
        }
        let n_apps = kept.len();
        followed.extend(self.publish_kept(kept));
        drop(turn);
        if n_apps > 0 {
            tracing::info!(n_apps, "learned of apps that run elsewhere");
        }
        for deployment in new {
            let app = deployment.app().clone();
            followed.push((app, self.follow(&deployment).await));
        }
        followed
    }

    /// Publishes deployments that the ledger keeps, each as its app's current one.
    fn publish_kept(&self, kept: Vec<Deployment>) -> Vec<(AppName, Result<(), ApplyError>)> {
        let (mut followed, mut apps) = (Vec::new(), Vec::new());
        for deployment in &kept {
            match as_served(deployment) {
                Ok(app) => apps.push(app),
                Err(error) => followed.push((deployment.app().clone(), Err(error))),
            }
        }
        let names: Vec<AppName> = apps.iter().map(|app| app.name.clone()).collect();
        let mut refused = self.loader.publish_all_light(apps);
        followed.extend(names.into_iter().map(|app| {
            let published = refused.remove(&app).map_or(Ok(()), |conflict| Err(conflict.into()));
            (app, published)
        }));
        followed
    }
}

/// Whether this is the deployment that is wanted of its app: after a restore another may have its number.
fn is_wanted(fleet: &Fleet, record: &DeploymentRecord) -> bool {
    let wanted = fleet.view().fingerprint(&record.app, record.generation.get());
    wanted.is_none_or(|wanted| record.fingerprint() == wanted)
}
