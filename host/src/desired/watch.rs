//! Going back from a deployment that fails where the one that it replaced did not.
//! Does not find that out: `core::rollout` does, of what all hosts report.

use std::slice;

use steerage_core::id::{AppName, Generation};

use super::current::{Current, TRIES, deployments};
use super::earlier::no_deployment;
use super::{DeployError, Desired};
use crate::fleet::record::RolledBack;

impl Desired {
    /// Goes back from a deployment that is watched to the one that it replaced, and keeps why; returns
    /// which that is. Nothing where somebody has changed the app since: then it is not watched any more.
    /// Every host of a fleet follows by itself.
    ///
    /// # Errors
    /// The store does not answer, the deployment to go back to is not kept any more, or another app has
    /// one of its routes by now.
    pub async fn roll_back_watched(
        &self,
        app: &AppName,
        rolled_back: &RolledBack,
    ) -> Result<Option<Generation>, DeployError> {
        let fleet = &self.fleet;
        let _turn = fleet.turn().await;
        for _ in 0..TRIES {
            let current = Current::read(fleet, app).await?;
            let Some(now) = &current.record else { return Ok(None) };
            let watch = now.watched(rolled_back.at);
            let watch = watch.filter(|watch| watch.generation == rolled_back.generation);
            let Some(to) = watch.and_then(|watch| Generation::new(watch.replaced)) else {
                return Ok(None);
            };
            let kept = deployments(fleet, app).await?;
            let wanted = kept.iter().find(|kept| kept.generation == to);
            let wanted = wanted.ok_or_else(|| no_deployment(app, Some(to), &kept))?;
            let deployment = self.agent.read(wanted.clone())?;
            let loaded = self.load_alone(&deployment).await?;
            let mut record = current.with(&deployment, None);
            record.scaled = now.scaled;
            record.rolled_back = Some(rolled_back.clone());
            record.unfit.insert(rolled_back.generation);
            record.unfit.retain(|unfit| kept.iter().any(|kept| kept.generation.get() == *unfit));
            let mut commit = current.commit(app, &record);
            self.claim(fleet, app, &deployment.manifest().routes, &mut commit).await?;
            if self.change(fleet, app, (&current, &record), commit).await?.is_some() {
                if fleet.is_alone() {
                    self.serve(fleet, &deployment, loaded).await?;
                }
                return Ok(Some(to));
            }
        }
        Err(DeployError::overtaken(app))
    }

    /// Watches what was just deployed on a host that is alone; hosts of a fleet hear of it from their store.
    pub(super) async fn watch_alone(&self, app: &AppName) {
        if self.fleet.is_alone()
            && let Ok(view) = self.look_at(slice::from_ref(app)).await
        {
            self.agent.follow_watch(&view, app);
        }
    }
}
