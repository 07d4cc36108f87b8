//! Which deployments of an app can be gone back to, as whoever goes back will find them.
//! Shows; changes nothing.

use std::time::Duration;

use steerage_core::id::{AppName, Generation};

use super::current::deployments;
use super::{DeployError, Desired};
use crate::ledger::record::DeploymentRecord;

/// How long the store may take to say. What this host has itself is shown then.
const PATIENCE: Duration = Duration::from_secs(1);

impl Desired {
    /// The deployments of an app, the oldest first: those of the store, which a rollback chooses from;
    /// or those of this host's ledger, where the store does not answer or does not know
    /// the one that is `served` here.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn history(
        &self,
        app: &AppName,
        served: Generation,
    ) -> Result<Vec<DeploymentRecord>, DeployError> {
        let fleet = &self.fleet;
        if fleet.check_store().is_ok()
            && let Ok(Ok(kept)) = tokio::time::timeout(PATIENCE, deployments(fleet, app)).await
            && kept.iter().any(|record| record.generation == served)
        {
            return Ok(kept);
        }
        Ok(self.agent.history(app)?)
    }
}
