//! Removing an app: it goes with its deployments and routes, and that it was removed stays.
//! Stops no calls: those that run end in peace.

use steerage_core::id::{AppName, Generation};

use super::current::{Current, TRIES, deployments, guard, make, put};
use super::routes::release;
use super::{DeployError, Desired};
use crate::fleet::record::{self, RemovedRecord};
use crate::fleet::{Fleet, keys};
use crate::store::{Commit, Guard, Write};
use crate::telemetry::chain;

impl Desired {
    /// Stops serving an app and forgets it. Calls that run end in peace.
    ///
    /// # Errors
    /// There is no such app, or the store or the ledger failed.
    pub async fn remove(&self, app: &AppName) -> Result<(), DeployError> {
        let fleet = &self.fleet;
        let _turn = fleet.turn().await;
        let latest = self.write_removed(fleet, app).await?;
        if let Err(error) = self.agent.remove(app, latest).await {
            if fleet.is_alone() {
                // Nobody else forgets it: it comes back into the store.
                fleet.note_apart();
                return Err(error.into());
            }
            // It is gone from the fleet by now, and this host tries on by itself.
            tracing::warn!(%app, error = chain(&error), "removed, but not forgotten here yet");
        }
        Ok(())
    }

    /// Takes an app out of the store, with its deployments and routes. Its number stays, so that no
    /// generation is given twice, and that it was removed stays: no host forgets an app because it
    /// does not see it. Returns the highest generation that is removed.
    pub(super) async fn write_removed(
        &self,
        fleet: &Fleet,
        app: &AppName,
    ) -> Result<Option<Generation>, DeployError> {
        for _ in 0..TRIES {
            let current = Current::read(fleet, app).await?;
            let served = self.own.catalog.app(app).map(|app| app.generation);
            // One that the store has lost, or never knew, is removed as well.
            if current.app.is_none() && served.is_none() {
                return Err(DeployError::NoApp(app.clone()));
            }
            let last = current.next_generation().get().saturating_sub(1);
            let last = last.max(served.map_or(0, Generation::get));
            let removed = record::encode(&RemovedRecord { generation: last });
            let kept = deployments(fleet, app).await?;
            let mut commit = Commit {
                guards: vec![guard(keys::app(app), current.app.as_ref())],
                writes: vec![Write::Delete(keys::app(app))],
            };
            put(&mut commit, keys::removed(app), removed);
            for deployment in &kept {
                commit.writes.push(Write::Delete(keys::deployment(app, deployment.generation)));
            }
            // Who is given the name next is not given what was the former owner's.
            let secrets = fleet.store().read(&keys::secrets(app)).await?.entries;
            commit.writes.extend(secrets.into_iter().map(|secret| Write::Delete(secret.key)));
            let claims = self.claimed(fleet, app, self.routes_of(&kept)).await?;
            if make(fleet, app, commit).await?.is_some() {
                release(fleet, claims, &Guard::Absent(keys::app(app))).await;
                return Ok(Generation::new(last));
            }
        }
        Err(DeployError::overtaken(app))
    }
}
