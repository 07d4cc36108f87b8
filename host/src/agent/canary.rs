//! A canary, from the wish of an operator to its end: promoted, rolled back, or replaced.
//! Does not judge it.

use std::sync::Arc;

use steerage_core::canary::Share;
use steerage_core::id::{AppName, Generation};

use super::follow::{READY_WITHIN, as_served};
use super::wish::{Current, TRIES, deployments};
use super::{Agent, DeployError};
use crate::catalog::App;
use crate::fleet::record::{AppRecord, RolledBack};
use crate::fleet::{Fleet, keys};
use crate::ledger::record::DeploymentRecord;
use crate::manifest;
use crate::store::StoreError;
use crate::telemetry::chain;
use crate::telemetry::events::Event;

impl Agent {
    /// Makes the canary the app's current one.
    ///
    /// # Errors
    /// None is on trial, or see [`DeployError`].
    pub async fn promote(&self, app: &AppName) -> Result<Arc<App>, DeployError> {
        let Some(fleet) = &self.fleet else { return Err(DeployError::NoCanary(app.clone())) };
        let record = self.wish_promoted(fleet, app).await?;
        self.serve_wished(fleet, record).await
    }

    /// Rolls the canary back, as an operator wishes.
    ///
    /// # Errors
    /// None is on trial, or the store does not answer.
    pub async fn end_canary(&self, app: &AppName) -> Result<(), DeployError> {
        let Some(fleet) = &self.fleet else { return Err(DeployError::NoCanary(app.clone())) };
        let before = Current::read(fleet, app).await?;
        let Some(record) = before.record else { return Err(DeployError::NoApp(app.clone())) };
        let canary = record.canary.ok_or_else(|| DeployError::NoCanary(app.clone()))?;
        let change = |record: &mut AppRecord| {
            record.canary = record.canary.take().filter(|c| c.generation != canary.generation);
        };
        self.wish_changed(fleet, app, change).await?;
        self.stop_canary(app, None);
        Ok(())
    }

    /// Rolls a canary back since it does worse, and keeps why; whether it was still on
    /// trial.
    ///
    /// # Errors
    /// There is no such app, or the store does not answer.
    pub async fn roll_back_canary(
        &self,
        fleet: &Fleet,
        app: &AppName,
        rolled_back: RolledBack,
    ) -> Result<bool, DeployError> {
        let change = |record: &mut AppRecord| {
            if record.canary.as_ref().is_some_and(|c| c.generation == rolled_back.generation) {
                record.canary = None;
                record.rolled_back = Some(rolled_back.clone());
            }
        };
        let record = self.wish_changed(fleet, app, change).await?;
        Ok(record.rolled_back == Some(rolled_back))
    }

    async fn wish_promoted(
        &self,
        fleet: &Fleet,
        app: &AppName,
    ) -> Result<DeploymentRecord, DeployError> {
        for _ in 0..TRIES {
            let before = Current::read(fleet, app).await?;
            let Some(current) = &before.record else { return Err(DeployError::NoApp(app.clone())) };
            let Some(canary) = &current.canary else {
                return Err(DeployError::NoCanary(app.clone()));
            };
            let kept = deployments(fleet, app).await?;
            let promoted = kept.into_iter().find(|kept| kept.generation.get() == canary.generation);
            let promoted = promoted.ok_or_else(|| StoreError::Damaged {
                what: format!("deployment {} of {app} is missing", canary.generation),
            })?;
            let manifest = manifest::reread(&promoted.manifest, &self.own.limits)
                .map_err(DeployError::Manifest)?;
            let record = before.with(&manifest, &promoted, None);
            let mut commit = before.commit(app, &record);
            self.claim(fleet, app, &manifest.routes, &mut commit).await?;
            match fleet.commit(commit).await {
                Ok(_) => return Ok(promoted),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(DeployError::of_commit(app, error)),
            }
        }
        Err(StoreError::Conflict { key: Some(keys::app(app)) }.into())
    }

    /// Has the code of a deployment at hand and gives it a part of its app's calls, which the current
    /// deployment serves otherwise.
    ///
    /// # Errors
    /// No host has its component, or this one cannot run it. The current deployment gets all calls
    /// then.
    pub async fn start_canary(
        &self,
        record: DeploymentRecord,
        share: Share,
    ) -> Result<(), DeployError> {
        let own = &self.own;
        let manifest =
            manifest::reread(&record.manifest, &own.limits).map_err(DeployError::Manifest)?;
        self.loader.download(record.digest, &self.who_has(&record.app)).await?;
        self.loader.compile(record.digest).await?;
        let (app, generation) = (record.app.clone(), record.generation);
        let turn = self.turn.lock().await;
        let deployed = self.loader.prepare_canary(&manifest, generation, record.digest).await?;
        let (ledger, component) = (own.ledger.clone(), record.digest);
        let kept = tokio::task::spawn_blocking(move || ledger.keep(&record)).await;
        let pruned = kept.map_err(|error| DeployError::Task(error.to_string()))??;
        own.blobs.unpin(&component);
        if let Err(error) = self.drop_unused(&turn, pruned) {
            tracing::warn!(error = chain(&error), "old components stay on the disk");
        }
        if own.catalog.app(&app).is_some_and(|served| served.generation == generation) {
            // It was promoted meanwhile.
            return Ok(());
        }
        self.loader.start_canary(deployed, share)?;
        own.events.push(Event {
            app: Some(app.clone()),
            generation: Some(generation),
            ..Event::now("canary_began", format!("{share} of {app} is generation {generation} now"))
        });
        Ok(())
    }

    /// Gives the current deployment all calls of an app again. `why` tells of the fleet what ended
    /// the trial.
    pub fn stop_canary(&self, app: &AppName, why: Option<&RolledBack>) {
        let Some(ended) = self.loader.end_canary(app) else { return };
        let generation = ended.generation();
        let why = why.filter(|why| why.generation == generation.get());
        let reason = why.map_or("promoted, rolled back or replaced", |why| why.why.as_str());
        self.own.events.push(Event {
            app: Some(app.clone()),
            generation: Some(generation),
            ..Event::now(
                "canary_ended",
                format!("generation {generation} of {app} is no longer on trial: {reason}"),
            )
        });
    }

    /// Waits a while until those hosts try a deployment that its app is placed on. Returns it as it
    /// would be served.
    pub(super) async fn await_canary(
        &self,
        fleet: &Fleet,
        record: &DeploymentRecord,
    ) -> Result<Arc<App>, DeployError> {
        let (app, generation) = (&record.app, record.generation);
        let is_tried = || fleet.view().is_canary_everywhere(app, generation.get());
        if !self.await_ready(fleet, READY_WITHIN, is_tried).await {
            tracing::warn!(%app, %generation, "on trial, but not tried yet where it is placed");
        }
        as_served(record)
    }

    /// The share that the fleet wants a canary to have, if it wants it to be.
    #[must_use]
    pub fn wanted_share(fleet: &Fleet, app: &AppName, generation: Generation) -> Option<Share> {
        let view = fleet.view();
        let canary = view.apps.get(app)?.0.canary.as_ref()?;
        let is_that = canary.generation == generation.get();
        is_that.then(|| Share::new(canary.share).ok()).flatten()
    }
}
