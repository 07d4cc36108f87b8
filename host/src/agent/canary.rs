//! A canary on this host: its code beside that of the current deployment, from its start to its end; and
//! the watch over a deployment that took the place of another.
//! Neither begins nor judges one: `desired` and `core::canary` do.

use std::sync::PoisonError;
use std::time::Duration;

use steerage_core::canary::Share;
use steerage_core::id::{AppName, Generation};

use super::{Agent, ApplyError, now};
use crate::blobs::PinOwner;
use crate::fleet::record::RolledBack;
use crate::fleet::{Fleet, View};
use crate::ledger::deployment::Deployment;
use crate::telemetry::events::Event;

impl Agent {
    /// Has the code of a deployment at hand and gives it a part of its app's calls, which the current
    /// deployment serves otherwise.
    ///
    /// # Errors
    /// No host has its component, or this one cannot run it. The current deployment gets all calls
    /// then.
    pub async fn start_canary(
        &self,
        deployment: &Deployment,
        share: Share,
    ) -> Result<(), ApplyError> {
        let own = &self.own;
        let (record, generation) = (deployment.record().clone(), deployment.generation());
        let (app, component) = (record.app.clone(), record.digest);
        self.loader.download(component, &self.who_has(&app)).await?;
        self.loader.compile(component).await?;
        let turn = self.turn().await;
        let manifest = deployment.manifest();
        let loaded = self.loader.prepare_canary(manifest, generation, component).await?;
        let ledger = own.ledger.clone();
        let kept = tokio::task::spawn_blocking(move || ledger.keep(&record)).await;
        let pruned = kept.map_err(|error| ApplyError::Task(error.to_string()))??;
        own.blobs.unpin(&component, &PinOwner::App(app.clone()));
        turn.drop_old(pruned);
        if own.catalog.app(&app).is_some_and(|served| served.generation == generation) {
            // It was promoted meanwhile.
            return Ok(());
        }
        self.loader.start_canary(loaded, share)?;
        self.canaries.lock().unwrap_or_else(PoisonError::into_inner).insert(app.clone());
        own.events.push(Event {
            app: Some(app.clone()),
            generation: Some(generation),
            ..Event::now("canary_began", format!("{share} of {app} is generation {generation} now"))
        });
        Ok(())
    }

    /// Gives the canary of an app the part of the calls that the fleet wants it to have by now.
    pub fn follow_share(&self, fleet: &Fleet, app: &AppName) {
        let Some(canary) = self.own.catalog.app(app).and_then(|here| here.canary()) else { return };
        if let Some(share) = Self::wanted_share(fleet, app, canary.generation()) {
            canary.set_share(share);
        }
    }

    /// Watches the deployment of an app that is served here for as long as the fleet wants it watched.
    pub fn follow_watch(&self, view: &View, app: &AppName) {
        let Some(here) = self.own.catalog.app(app) else { return };
        let now = now();
        let watch = view.app(app).and_then(|record| record.watched(now));
        let watch = watch.filter(|watch| watch.generation == here.generation.get());
        here.set_watch(watch.and_then(|watch| {
            let left = Duration::from_millis(watch.until.saturating_sub(now));
            Some((Generation::new(watch.replaced)?, left))
        }));
        if here.watch().is_some() {
            self.canaries.lock().unwrap_or_else(PoisonError::into_inner).insert(app.clone());
        }
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

    /// The apps that have canaries here, or are watched, without looking at all apps.
    #[must_use]
    pub fn canaries(&self) -> Vec<AppName> {
        let mut all = self.canaries.lock().unwrap_or_else(PoisonError::into_inner);
        let is_tried = |app: &AppName| {
            let here = self.own.catalog.app(app);
            here.is_some_and(|here| here.canary().is_some() || here.watch().is_some())
        };
        all.retain(is_tried);
        all.iter().cloned().collect()
    }

    /// The share that the fleet wants a canary to have, if it wants it to be.
    #[must_use]
    pub fn wanted_share(fleet: &Fleet, app: &AppName, generation: Generation) -> Option<Share> {
        let view = fleet.view();
        let canary = view.app(app)?.canary.as_ref()?;
        let is_that = canary.generation == generation.get();
        is_that.then(|| Share::new(canary.share).ok()).flatten()
    }
}
