//! What a host that is alone does about what it has just written down, which hosts of a fleet hear of from
//! their store: whoever changes it serves it in the same turn.
//! Does nothing in a fleet: `member` follows its store there.

use steerage_core::canary::Share;
use steerage_core::id::{AppName, Generation};

use super::{DeployError, Desired};
use crate::catalog::LoadedDeployment;
use crate::fleet::record::AppRecord;
use crate::ledger::deployment::Deployment;

impl Desired {
    /// Has the code of a deployment that was kept made ready where nobody but this host can serve it, before
    /// it is written down: what cannot run, or has another app's route, is refused.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub(super) async fn load_alone(
        &self,
        deployment: &Deployment,
    ) -> Result<Option<LoadedDeployment>, DeployError> {
        if !self.fleet.is_alone() {
            return Ok(None);
        }
        self.own.ledger.check_room()?;
        self.own.catalog.check(deployment.manifest())?;
        let (generation, component) = (deployment.generation(), deployment.record().digest);
        let loaded = self.loader.prepare(deployment.manifest(), generation, component).await?;
        Ok(Some(loaded))
    }

    /// Follows the record of an app on a host that is alone, but for the deployment that is served: a canary
    /// that ended gets no more calls, and what is quarantined is not called.
    pub(super) fn follow_alone(&self, app: &AppName, record: &AppRecord) {
        if !self.fleet.is_alone() {
            return;
        }
        let tried = self.own.catalog.app(app).and_then(|app| app.canary());
        let wanted = record.canary.as_ref().map(|canary| canary.generation);
        if tried.is_some_and(|tried| Some(tried.generation().get()) != wanted) {
            self.agent.stop_canary(app, record.rolled_back.as_ref());
        }
        if let (Some(canary), Some(here)) =
            (&record.canary, self.own.catalog.app(app).and_then(|here| here.canary()))
            && let Ok(share) = Share::new(canary.share)
        {
            here.set_share(share);
        }
        if record.is_quarantined {
            self.agent.quarantine(app, Generation::new(record.generation));
        }
    }
}
