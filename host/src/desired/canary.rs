//! A canary, from an operator's word to its end: promoted, rolled back, or replaced. It begins as a
//! deploy.
//! Does not judge it.

use std::sync::Arc;

use steerage_core::id::AppName;

use super::current::{Current, TRIES, deployments};
use super::{DeployError, Desired};
use crate::catalog::{App, LoadedDeployment};
use crate::fleet::Fleet;
use crate::fleet::record::{AppRecord, RolledBack};
use crate::ledger::deployment::Deployment;

impl Desired {
    /// Makes the canary the app's current one.
    ///
    /// # Errors
    /// None is on trial, or see [`DeployError`].
    pub async fn promote(&self, app: &AppName) -> Result<Arc<App>, DeployError> {
        let fleet = &self.fleet;
        let _turn = fleet.turn().await;
        let (deployment, loaded) = self.write_promoted(fleet, app).await?;
        self.serve(fleet, &deployment, loaded).await
    }

    /// Rolls the canary back, as an operator wants it.
    ///
    /// # Errors
    /// None is on trial, or the store does not answer.
    pub async fn end_canary(&self, app: &AppName) -> Result<(), DeployError> {
        let current = Current::read(&self.fleet, app).await?;
        let Some(record) = current.record else { return Err(DeployError::NoApp(app.clone())) };
        let canary = record.canary.ok_or_else(|| DeployError::NoCanary(app.clone()))?;
        let change = |record: &mut AppRecord| {
            record.canary = record.canary.take().filter(|c| c.generation != canary.generation);
        };
        self.update(app, change).await?;
        self.agent.stop_canary(app, None);
        Ok(())
    }

    /// Rolls a canary back since it does worse, and keeps why; whether it was still on
    /// trial.
    ///
    /// # Errors
    /// There is no such app, or the store does not answer.
    pub async fn roll_back_canary(
        &self,
        app: &AppName,
        rolled_back: RolledBack,
    ) -> Result<bool, DeployError> {
        let change = |record: &mut AppRecord| {
            if record.canary.as_ref().is_some_and(|c| c.generation == rolled_back.generation) {
                record.canary = None;
                record.rolled_back = Some(rolled_back.clone());
            }
        };
        let record = self.update(app, change).await?;
        Ok(record.rolled_back == Some(rolled_back))
    }

    async fn write_promoted(
        &self,
        fleet: &Fleet,
        app: &AppName,
    ) -> Result<(Deployment, Option<LoadedDeployment>), DeployError> {
        for _ in 0..TRIES {
            let current = Current::read(fleet, app).await?;
            let Some(record) = &current.record else { return Err(DeployError::NoApp(app.clone())) };
            let Some(canary) = &record.canary else {
                return Err(DeployError::NoCanary(app.clone()));
            };
            let kept = deployments(fleet, app).await?;
            let promoted = kept.into_iter().find(|kept| kept.generation.get() == canary.generation);
            let promoted = promoted.ok_or_else(|| {
                DeployError::damaged(format!(
                    "deployment {} of {app} is missing",
                    canary.generation
                ))
            })?;
            let deployment = self.agent.read(promoted)?;
            let loaded = self.load_alone(&deployment).await?;
            let record = current.with(&deployment, None);
            let mut commit = current.commit(app, &record);
            self.claim(fleet, app, &deployment.manifest().routes, &mut commit).await?;
            if self.change(fleet, app, (&current, &record), commit).await?.is_some() {
                return Ok((deployment, loaded));
            }
        }
        Err(DeployError::overtaken(app))
    }
}
