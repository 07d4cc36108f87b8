//! Whose a route is in a fleet. A claim is a key in the store that names the app, and it counts for as
//! long as the app's current deployment, or the canary, has the route: what an app has dropped,
//! and what an app that is gone had, is free, whatever is still written.
//! Does not know what a route matches: `core::route` does.

use std::collections::BTreeSet;
use std::slice;

use futures_util::future::try_join_all;
use steerage_core::id::{AppName, Generation};
use steerage_core::route::{Conflict, Route};

use super::current::{Current, guard, make, put};
use super::{DeployError, Desired};
use crate::fleet::record::{self, AppRecord};
use crate::fleet::{Fleet, keys};
use crate::ledger::deployment::Deployment;
use crate::ledger::record::DeploymentRecord;
use crate::store::{Commit, Entry, Guard, Revision, StoreError, Write, in_commits};
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
            let tried = record.canary.as_ref().map(|canary| canary.generation);
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

    /// What is claimed for an app, of these routes by their keys.
    pub(super) async fn claimed(
        &self,
        fleet: &Fleet,
        app: &AppName,
        routes: BTreeSet<String>,
    ) -> Result<Vec<Entry>, DeployError> {
        let found = try_join_all(routes.iter().map(|key| fleet.store().get(key))).await?;
        let found = found.into_iter().flatten();
        Ok(found.filter(|entry| entry.value == app.as_str().as_bytes()).collect())
    }

    /// The keys of the routes of deployments, as far as this host understands them.
    pub(super) fn routes_of(&self, deployments: &[DeploymentRecord]) -> BTreeSet<String> {
        let read = deployments.iter().filter_map(|one| self.agent.read(one.clone()).ok());
        read.flat_map(|one| routes(&one)).collect()
    }

    /// Makes a change by which an app is to be as `record` says, and says when; nothing where others have
    /// changed it meanwhile. A canary that ends by it gives back the routes that it alone had.
    ///
    /// # Errors
    /// See [`make`].
    pub(super) async fn change(
        &self,
        fleet: &Fleet,
        app: &AppName,
        (current, record): (&Current, &AppRecord),
        commit: Commit,
    ) -> Result<Option<Revision>, DeployError> {
        let ended = match current.ended_by(record) {
            Some(generation) => self.agent.recall(fleet, app, generation).await.ok(),
            None => None,
        };
        let changed_at = make(fleet, app, commit).await?;
        if changed_at.is_some() {
            self.follow_alone(app, record);
        }
        if let (Some(at), Some(ended)) = (changed_at, ended) {
            self.release_unnamed(fleet, app, at, slice::from_ref(ended.record())).await;
        }
        Ok(changed_at)
    }

    /// Gives back the routes of deployments that are not kept any more, but for those that others of the
    /// app have. `at` is when the app was changed. That it fails harms nobody: the claims are void.
    pub(super) async fn release_unnamed(
        &self,
        fleet: &Fleet,
        app: &AppName,
        at: Revision,
        gone: &[DeploymentRecord],
    ) {
        let Some(named) = self.routes_kept(fleet, app).await else { return };
        let mut unnamed = self.routes_of(gone);
        unnamed.retain(|route| !named.contains(route));
        if let Ok(claims) = self.claimed(fleet, app, unnamed).await {
            release(fleet, claims, &Guard::At(keys::app(app), at)).await;
        }
    }

    /// The routes of all deployments of an app that are kept; `None` where one of them cannot be read: it
    /// may have any.
    async fn routes_kept(&self, fleet: &Fleet, app: &AppName) -> Option<BTreeSet<String>> {
        let seen = fleet.store().read(&keys::deployments(app)).await.ok()?;
        let mut named = BTreeSet::new();
        for entry in seen.entries {
            let record = DeploymentRecord::decode(&entry.value).ok()?;
            named.extend(routes(&self.agent.read(record).ok()?));
        }
        Some(named)
    }
}

/// Deletes void claims, as far as they are as they were and `unless_changed` holds: the app may come back
/// to its route in this moment, and then it counts on a claim of its own that it found. That it fails
/// harms nobody.
pub(super) async fn release(fleet: &Fleet, claims: Vec<Entry>, unless_changed: &Guard) {
    let deletes = claims
        .into_iter()
        .map(|claim| (Guard::At(claim.key.clone(), claim.revision), Write::Delete(claim.key)));
    for mut commit in in_commits(deletes) {
        commit.guards.push(unless_changed.clone());
        if let Err(error) = fleet.store().commit(commit).await {
            tracing::debug!(error = chain(&error), "void claims of routes stay in the store");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::Peers;
    use crate::store::{Store, StoreSettings};

    async fn write(fleet: &Fleet, write: Write) {
        let commit = Commit { guards: Vec::new(), writes: vec![write] };
        fleet.store().commit(commit).await.unwrap();
    }

    #[tokio::test]
    async fn a_claim_stays_where_its_app_came_back_while_it_was_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::Embedded(folder.path().to_owned())).await.unwrap();
        let copy = folder.path().join("fleet.json");
        let fleet = Fleet::new("h1".parse().unwrap(), store, Peers::new(None), copy);
        let (app, claim) = (keys::app(&"shop".parse().unwrap()), "desired/routes//shop".to_owned());
        let put = |key: &str, value: &[u8]| {
            let (key, value) = (key.to_owned(), value.to_owned());
            Write::Put { key, value, lease: None }
        };
        write(&fleet, put(&claim, b"shop")).await;
        let found = fleet.store().get(&claim).await.unwrap().unwrap();
        // Removed, and deployed again through another host, which found the claim and left it as it is.
        write(&fleet, put(&app, b"{}")).await;
        let gone = Guard::Absent(app.clone());
        release(&fleet, vec![found.clone()], &gone).await;
        assert_eq!(fleet.store().get(&claim).await.unwrap().as_ref(), Some(&found));
        write(&fleet, Write::Delete(app)).await;
        release(&fleet, vec![found], &gone).await;
        assert_eq!(fleet.store().get(&claim).await.unwrap(), None);
    }
}
