//! Going back to an earlier deployment of an app.
//! Ends no canary by its figures: `core::canary` judges those.

use std::sync::Arc;

use steerage_core::id::{AppName, Generation};

use super::current::{Current, TRIES, deployments};
use super::{DeployError, Desired};
use crate::catalog::{App, LoadedDeployment};
use crate::fleet::Fleet;
use crate::ledger::deployment::Deployment;
use crate::ledger::record::DeploymentRecord;
use crate::telemetry::events::Event;

impl Desired {
    /// Goes back to an earlier deployment: the one before the current, or the one asked for.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub async fn roll_back(
        &self,
        app: &AppName,
        to: Option<Generation>,
    ) -> Result<Arc<App>, DeployError> {
        let fleet = &self.fleet;
        let _turn = fleet.turn().await;
        let (deployment, loaded) = self.write_rolled_back(fleet, app, to).await?;
        let generation = deployment.generation();
        let message = format!("{app} was rolled back to generation {generation} through this host");
        self.own.events.push(Event {
            app: Some(app.clone()),
            generation: Some(generation),
            ..Event::now("rolled_back", message)
        });
        self.serve(fleet, &deployment, loaded).await
    }

    /// Makes an earlier deployment current again.
    async fn write_rolled_back(
        &self,
        fleet: &Fleet,
        app: &AppName,
        to: Option<Generation>,
    ) -> Result<(Deployment, Option<LoadedDeployment>), DeployError> {
        for _ in 0..TRIES {
            let current = Current::read(fleet, app).await?;
            let Some(now) = &current.record else { return Err(DeployError::NoApp(app.clone())) };
            if to.is_none()
                && let Some(rolled_back) = &now.rolled_back
            {
                // Whoever saw a bad canary means that one, and not what is served beside it.
                let (rolled_back, current) = (rolled_back.generation, now.generation);
                return Err(DeployError::CanaryRolledBack {
                    app: app.clone(),
                    rolled_back,
                    current,
                });
            }
            let kept = deployments(fleet, app).await?;
            let wanted = kept.iter().rev().find(|kept| match to {
                Some(to) => kept.generation == to,
                // What is on trial goes first.
                None if now.canary.is_some() => kept.generation.get() == now.generation,
                None => {
                    let generation = kept.generation.get();
                    generation < now.generation && !now.unfit.contains(&generation)
                }
            });
            let wanted = wanted.ok_or_else(|| no_deployment(app, to, &kept))?;
            let deployment = self.agent.read(wanted.clone())?;
            // Those that it needs may be deleted by now.
            self.loader.check_secrets(deployment.manifest()).await?;
            let loaded = self.load_alone(&deployment).await?;
            let mut record = current.with(&deployment, None);
            // What an operator said in a rush holds on, whatever the earlier manifest says.
            record.scaled = now.scaled;
            let mut commit = current.commit(app, &record);
            self.claim(fleet, app, &deployment.manifest().routes, &mut commit).await?;
            if self.change(fleet, app, (&current, &record), commit).await?.is_some() {
                return Ok((deployment, loaded));
            }
        }
        Err(DeployError::overtaken(app))
    }
}

/// There is no such deployment among those that are kept.
pub(super) fn no_deployment(
    app: &AppName,
    to: Option<Generation>,
    kept: &[DeploymentRecord],
) -> DeployError {
    let known: Vec<String> = kept.iter().map(|kept| kept.generation.to_string()).collect();
    DeployError::NoDeployment {
        app: app.clone(),
        wanted: to.map_or_else(|| "before the current one".to_owned(), |to| to.to_string()),
        known: known.join(", "),
    }
}
