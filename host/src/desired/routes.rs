//! Whose a route is in a fleet. A claim is a key in the store that names the app, and it counts for as
//! long as the app's current deployment, or the canary, has the route: what an app has dropped,
//! and what an app that is gone had, is free, whatever is still written.
//! Does not know what a route matches: `core::route` does.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use steerage_core::id::{AppName, Generation};
use steerage_core::route::{Conflict, Route};

use super::current::{guard, put};
use super::{DeployError, Desired};
use crate::fleet::record::{self, AppRecord};
use crate::fleet::{Fleet, keys};
use crate::ledger::deployment::Deployment;
use crate::ledger::record::DeploymentRecord;
use crate::store::{Commit, Entry, Guard, StoreError, Write, in_commits};
use crate::telemetry::chain;

impl Desired {
    /// Claims routes for an app as part of a commit, unless another one has them.
    ///
    /// # Errors
    /// [`DeployError::Conflict`] with the first that another app has, or the store does not answer.
    pub(super) async fn claim(
        &self,
        fleet: &Fleet,
        app: &AppName,
        routes: &[Route],
        commit: &mut Commit,
    ) -> Result<(), DeployError> {
        let keys: Vec<String> = routes.iter().map(keys::route).collect();
        let found = try_join_all(keys.iter().map(|key| fleet.store().get(key))).await?;
        for ((route, key), found) in routes.iter().zip(keys).zip(found) {
            let Some(entry) = found else {
                commit.guards.push(Guard::Absent(key.clone()));
                put(commit, key, app.as_str().as_bytes().to_vec());
                continue;
            };
            commit.guards.push(Guard::At(key.clone(), entry.revision));
            if entry.value == app.as_str().as_bytes() {
                continue;
            }
            let owner = owner(&entry)?;
            let Some(unless_changed) = self.is_void(fleet, &owner, &key).await? else {
                return Err(Conflict { wanted: route.clone(), route: route.clone(), owner }.into());
            };
            if !commit.guards.contains(&unless_changed) {
                commit.guards.push(unless_changed);
            }
            put(commit, key, app.as_str().as_bytes().to_vec());
        }
        Ok(())
    }

    /// Whether the owner of a claim has no use for it; what must hold then still when it is taken over:
    /// the owner may come back to it in this moment.
    async fn is_void(
        &self,
        fleet: &Fleet,
        owner: &AppName,
        route: &str,
    ) -> Result<Option<Guard>, DeployError> {
        let key = keys::app(owner);
        let entry = fleet.store().get(&key).await?;
        if let Some(entry) = &entry {
            let record: AppRecord =
                record::decode(&key, &entry.value).map_err(DeployError::damaged)?;
            let tried = record.canary.map(|canary| canary.generation);
            for number in std::iter::once(record.generation).chain(tried) {
                let Some(generation) = Generation::new(number) else { continue };
                let deployment = self.agent.recall(fleet, owner, generation).await?;
                if routes(&deployment).contains(route) {
                    return Ok(None);
                }
            }
        }
        Ok(Some(guard(key, entry.as_ref())))
    }

    /// What is claimed for an app, of the routes that these deployments of it have.
    pub(super) async fn claimed(
        &self,
        fleet: &Fleet,
        app: &AppName,
        kept: &[DeploymentRecord],
    ) -> Result<Vec<Entry>, DeployError> {
        let readable = kept.iter().filter_map(|kept| self.agent.read(kept.clone()).ok());
        let routes: BTreeSet<String> = readable.flat_map(|kept| routes(&kept)).collect();
        let found = try_join_all(routes.iter().map(|key| fleet.store().get(key))).await?;
        let found = found.into_iter().flatten();
        Ok(found.filter(|entry| entry.value == app.as_str().as_bytes()).collect())
    }

    /// Deletes claims of an app that is gone, as far as they are as they were. That it fails harms
    /// nobody: they are void.
    pub(super) async fn release(&self, fleet: &Fleet, claims: Vec<Entry>) {
        let deletes = claims
            .into_iter()
            .map(|claim| (Guard::At(claim.key.clone(), claim.revision), Write::Delete(claim.key)));
        for commit in in_commits(deletes) {
            if let Err(error) = fleet.store().commit(commit).await {
                tracing::debug!(error = chain(&error), "void claims of routes stay in the store");
            }
        }
    }
}

/// The keys of the routes of a deployment.
fn routes(deployment: &Deployment) -> BTreeSet<String> {
    deployment.manifest().routes.iter().map(keys::route).collect()
}

fn owner(entry: &Entry) -> Result<AppName, StoreError> {
    let text = String::from_utf8_lossy(&entry.value);
    text.parse().map_err(|_| StoreError::Damaged {
        what: format!("{} names {text:?}, which is no app", entry.key),
    })
}
