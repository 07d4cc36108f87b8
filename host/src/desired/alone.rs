//! A host that is alone: what shall run stands in its own ledger, and is served in the same turn in which
//! it is written there.
//! Has no canaries and places nothing.

use std::sync::Arc;

use steerage_core::id::{AppName, Generation};
use steerage_core::manifest::Manifest;

use super::earlier::no_deployment;
use super::{DeployError, DeploySpec, Desired};
use crate::agent::{ServeCause, now};
use crate::catalog::App;
use crate::ledger::deployment::Deployment;
use crate::ledger::record::DeploymentRecord;

impl Desired {
    /// Deploys what was checked and compiled.
    pub(super) async fn deploy_alone(
        &self,
        spec: DeploySpec,
        manifest: Arc<Manifest>,
    ) -> Result<Arc<App>, DeployError> {
        let (own, component) = (&self.own, spec.component);
        let turn = self.agent.turn().await;
        // The only other app that used it may have been removed meanwhile.
        if !own.blobs.touch(&component) {
            return Err(DeployError::NoComponent(component));
        }
        own.catalog.check(&manifest)?;
        let served = own.catalog.app(&manifest.name).map(|app| app.generation);
        self.check_tenant(&spec, &manifest, served).await?;
        let generation = own.ledger.next_generation(&manifest.name)?;
        let loaded = self.loader.prepare(&manifest, generation, component).await?;
        let record = DeploymentRecord {
            app: manifest.name.clone(),
            generation,
            digest: component,
            manifest: spec.manifest,
            kind: loaded.prepared.kind().to_string(),
            size: own.blobs.size(&component)?,
            deployed_at: now(),
        };
        let deployment = Deployment::new(record, manifest);
        Ok(turn.serve(&deployment, loaded, ServeCause::Deployed).await?)
    }

    pub(super) async fn roll_back_alone(
        &self,
        app: &AppName,
        to: Option<Generation>,
    ) -> Result<Arc<App>, DeployError> {
        let own = &self.own;
        let turn = self.agent.turn().await;
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
        let wanted = history.iter().filter(wanted).max_by_key(|record| record.generation);
        let wanted = wanted.ok_or_else(|| no_deployment(app, to, &history))?;
        let deployment = self.agent.read(wanted.clone())?;
        own.catalog.check(deployment.manifest())?;
        let (generation, component) = (deployment.generation(), wanted.digest);
        let loaded = self.loader.prepare(deployment.manifest(), generation, component).await?;
        Ok(turn.serve(&deployment, loaded, ServeCause::RolledBack).await?)
    }

    pub(super) async fn remove_alone(&self, app: &AppName) -> Result<(), DeployError> {
        match self.agent.remove(app, None).await? {
            true => Ok(()),
            false => Err(DeployError::NoApp(app.clone())),
        }
    }
}
