//! A canary, from an operator's word to its end: it takes its steps, and is promoted, rolled back, or
//! replaced. It begins as a deploy.
//! Does not judge it.

use std::sync::Arc;

use steerage_core::id::AppName;

use super::current::{Current, TRIES, deployments};
use super::{DeployError, Desired};
use crate::agent::now;
use crate::catalog::{App, LoadedDeployment};
use crate::fleet::Fleet;
use crate::fleet::record::{AppRecord, CanaryRecord, RolledBack};
use crate::ledger::deployment::Deployment;

impl Desired {
    /// Makes the canary the app's current one.
    ///
    /// # Errors
    /// None is on trial, or see [`DeployError`].
    pub async fn promote(&self, app: &AppName) -> Result<Arc<App>, DeployError> {
        let fleet = &self.fleet;
        let _turn = fleet.turn().await;
        let (deployment, loaded) = self.write_promoted(fleet, app, |_| true).await?;
        self.serve(fleet, &deployment, loaded).await
    }

    /// Makes a canary the app's current one, since it has done all its steps; whether it was still on
    /// trial, and nobody had paused it. Every host of a fleet follows by itself.
    ///
    /// # Errors
    /// The store does not answer, or holds no such deployment.
    pub async fn promote_by_itself(
        &self,
        app: &AppName,
        generation: u64,
    ) -> Result<bool, DeployError> {
        let may = |canary: &CanaryRecord| {
            canary.generation == generation && canary.auto_promote && canary.paused_at.is_none()
        };
        let fleet = &self.fleet;
        let _turn = fleet.turn().await;
        match self.write_promoted(fleet, app, may).await {
            Ok((deployment, loaded)) => {
                if fleet.is_alone() {
                    self.serve(fleet, &deployment, loaded).await?;
                }
                Ok(true)
            }
            Err(DeployError::NoCanary(_) | DeployError::NoApp(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Has a canary take a step, after so many of its calls; whether this did it.
    ///
    /// # Errors
    /// There is no such app, or the store does not answer.
    pub async fn take_step(
        &self,
        app: &AppName,
        (generation, step): (u64, usize),
        calls: u64,
    ) -> Result<bool, DeployError> {
        let at = now();
        let change = |record: &mut AppRecord| {
            let is_before = |canary: &&mut CanaryRecord| {
                canary.generation == generation
                    && canary.step + 1 == step
                    && canary.paused_at.is_none()
            };
            if let Some(canary) = record.canary.as_mut().filter(is_before) {
                canary.take_step(step, calls, at);
            }
        };
        let canary = self.update(app, change).await?.canary.clone();
        Ok(canary.is_some_and(|canary| {
            (canary.generation, canary.step, canary.step_since) == (generation, step, Some(at))
        }))
    }

    /// Has the canary take no steps until an operator says so, or go on.
    ///
    /// # Errors
    /// None is on trial, or the store does not answer.
    pub async fn pause_canary(&self, app: &AppName, is_paused: bool) -> Result<(), DeployError> {
        let current = Current::read(&self.fleet, app).await?;
        let Some(record) = current.record else { return Err(DeployError::NoApp(app.clone())) };
        let canary = record.canary.clone().ok_or_else(|| DeployError::NoCanary(app.clone()))?;
        let at = now();
        let change = |record: &mut AppRecord| {
            let is_that = |one: &&mut CanaryRecord| one.generation == canary.generation;
            if let Some(canary) = record.canary.as_mut().filter(is_that) {
                canary.pause(is_paused, at);
            }
        };
        self.update(app, change).await.map(drop)
    }

    /// Rolls the canary back, as an operator wants it.
    ///
    /// # Errors
    /// None is on trial, or the store does not answer.
    pub async fn end_canary(&self, app: &AppName) -> Result<(), DeployError> {
        let current = Current::read(&self.fleet, app).await?;
        let Some(record) = current.record else { return Err(DeployError::NoApp(app.clone())) };
        let canary = record.canary.clone().ok_or_else(|| DeployError::NoCanary(app.clone()))?;
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
        Ok(record.rolled_back.as_ref() == Some(&rolled_back))
    }

    async fn write_promoted(
        &self,
        fleet: &Fleet,
        app: &AppName,
        may: impl Fn(&CanaryRecord) -> bool,
    ) -> Result<(Deployment, Option<LoadedDeployment>), DeployError> {
        for _ in 0..TRIES {
            let current = Current::read(fleet, app).await?;
            let Some(record) = &current.record else { return Err(DeployError::NoApp(app.clone())) };
            let Some(canary) = record.canary.as_ref().filter(|canary| may(canary)) else {
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
