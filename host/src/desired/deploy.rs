//! A deploy: the component is compiled here, brought to other hosts, and the deployment is made
//! durable in the store with its routes in one commit.
//! Serves nothing; `ready` sees to that.

use std::sync::Arc;

use steerage_core::id::{AppName, Digest, Generation, TenantName};
use steerage_core::manifest::Manifest;

use super::current::{Current, TRIES, deployments, put};
use super::{DeployError, DeploySpec, Desired};
use crate::agent::{ApplyError, now};
use crate::blobs::PinOwner;
use crate::catalog::{App, LoadedDeployment};
use crate::fleet::record::AppRecord;
use crate::fleet::{Fleet, keys};
use crate::ledger::deployment::Deployment;
use crate::ledger::record::DeploymentRecord;
use crate::manifest;
use crate::store::{Commit, Guard, MOST_WRITES, Revision, Write};
use crate::telemetry::events::{Event, Severity};

/// Deployments kept to go back to.
const KEPT: usize = 20;
/// Other hosts that have a component before its deployment is acknowledged.
const COPIES: usize = 2;

/// What was made durable.
struct Written {
    deployment: Deployment,
    /// Its code.
    loaded: LoadedDeployment,
    /// How many other hosts have its component.
    n_copies: usize,
}

impl Desired {
    /// Deploys a component that was uploaded before, in place of the app's current deployment, or as
    /// a canary that gets a share of its calls. One that is refused leaves nothing behind, neither its
    /// component.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub async fn deploy(&self, spec: DeploySpec) -> Result<Arc<App>, DeployError> {
        let (app, component) = (spec.app.clone(), spec.component);
        let flight = self.in_flight.enter(component);
        let deployed = self.deploy_checked(spec).await;
        let is_last = flight.leave();
        // What may be durable needs its component, of which this may be the only copy.
        if deployed.as_ref().is_err_and(|error| !error.may_have_happened()) && is_last {
            self.agent.forget(&app, component).await?;
        }
        deployed
    }

    async fn deploy_checked(&self, spec: DeploySpec) -> Result<Arc<App>, DeployError> {
        let (own, fleet) = (&self.own, &self.fleet);
        let manifest = Arc::new(manifest::read(&spec.manifest, &own.limits)?);
        spec.check(&manifest)?;
        let kept = [
            (
                "key_value_stores",
                manifest.key_value_stores.len(),
                self.loader.stores().pairs.why_none(),
            ),
            (
                "sqlite_databases",
                manifest.sqlite_databases.len(),
                self.loader.stores().databases.why_none(),
            ),
        ];
        for (key, n_named, why) in kept {
            if let Some(why) = why
                && n_named > 0
            {
                return Err(DeployError::NoStores { key, why });
            }
        }
        // Before a component is compiled for nothing.
        self.loader.check_secrets(&manifest).await?;
        let component = spec.component;
        if !own.blobs.touch(&component) {
            return Err(DeployError::NoComponent(component));
        }
        own.catalog.check(&manifest)?;
        // Here as well, before a component is compiled for nothing.
        let served = own.catalog.app(&manifest.name).map(|app| app.generation);
        self.check_tenant(&spec, &manifest, served).await?;
        self.loader.compile(component).await?;
        let _turn = fleet.turn().await;
        // Until this host has the deployment itself, an app that is removed must not take it along.
        let pinned_for = PinOwner::App(manifest.name.clone());
        own.blobs.pin(&component, &pinned_for)?;
        if !own.blobs.contains(&component) {
            // The only other app that used it was removed meanwhile.
            own.blobs.unpin(&component, &pinned_for);
            return Err(DeployError::NoComponent(component));
        }
        let Written { deployment, loaded, n_copies } =
            self.write_deployed(fleet, manifest, &spec).await?;
        self.tell_deployed(&deployment, &spec);
        match &spec.canary {
            Some(plan) => self.await_canary(fleet, &deployment, plan.first).await,
            None => {
                let kept = self.await_kept(&deployment, n_copies);
                let serve = self.serve(fleet, &deployment, Some(loaded));
                let (served, ()) = tokio::join!(serve, kept);
                self.watch_alone(deployment.app()).await;
                served
            }
        }
    }

    /// Makes a deployment durable in the store.
    async fn write_deployed(
        &self,
        fleet: &Fleet,
        manifest: Arc<Manifest>,
        spec: &DeploySpec,
    ) -> Result<Written, DeployError> {
        let (app, component, canary) = (&manifest.name, spec.component, spec.canary.as_ref());
        fleet.check_store()?;
        // What this host cannot keep it cannot serve after it has written it down.
        self.own.ledger.check_room()?;
        self.own.catalog.check(&manifest)?;
        let size = self.own.blobs.size(&component)?;
        // Only once nothing speaks against it: what is refused is on no other host.
        let mut n_copies = None;
        for _ in 0..TRIES {
            let current = Current::read(fleet, app).await?;
            if canary.is_some() {
                current.check_canary(app)?;
            }
            self.check_tenant(spec, &manifest, current.served()).await?;
            // Also beyond what the store knew before it was restored.
            let known = self.own.ledger.next_generation(app)?;
            let generation = current.next_generation().max(known);
            let loaded = self.loader.prepare(&manifest, generation, component).await?;
            let record = DeploymentRecord {
                app: app.clone(),
                generation,
                digest: component,
                manifest: spec.manifest.clone(),
                kind: loaded.prepared.kind().to_string(),
                size,
                deployed_at: now(),
            };
            let encoded = record.encode().map_err(|error| ApplyError::Task(error.to_string()))?;
            let deployment = Deployment::new(record, manifest.clone());
            let mut record = current.with(&deployment, canary);
            if canary.is_none() {
                let time = spec.watch.unwrap_or(self.watch);
                record.watch = current.watch(&deployment, time);
            }
            let mut commit = current.commit(app, &record);
            commit.guards.push(current.guard_last(app));
            commit.writes.push(Write::Delete(keys::removed(app)));
            put(&mut commit, keys::deployment(app, generation), encoded);
            put(&mut commit, keys::last(app), generation.get().to_string().into_bytes());
            self.claim(fleet, app, &manifest.routes, &mut commit).await?;
            commit.check()?;
            let n_copies = match n_copies {
                Some(n_copies) => n_copies,
                None => *n_copies.insert(self.bring_copies(fleet, app, component).await),
            };
            let changed = self.change(fleet, app, (&current, &record), commit).await?;
            if let Some(at) = changed {
                self.prune(fleet, &record, app, at).await;
                return Ok(Written { deployment, loaded, n_copies });
            }
        }
        Err(DeployError::overtaken(app))
    }

    fn tell_deployed(&self, deployment: &Deployment, spec: &DeploySpec) {
        let (app, generation) = (deployment.app(), deployment.generation());
        let plan = spec.canary.as_ref();
        let what = plan.map_or_else(String::new, |plan| format!(" as a canary for {}", plan.first));
        let message =
            format!("generation {generation} of {app} was deployed through this host{what}");
        self.own.events.push(Event {
            app: Some(app.clone()),
            generation: Some(generation),
            evidence: vec![("component".to_owned(), spec.component.to_string())],
            ..Event::now("deployed", message)
        });
    }

    /// Refuses a manifest that says another tenant than that of the deployment of this number, which is
    /// the one that is served. To be asked where the deployment is decided: another may be deployed
    /// until then.
    ///
    /// # Errors
    /// [`DeployError::OtherTenant`].
    pub(super) async fn check_tenant(
        &self,
        spec: &DeploySpec,
        wanted: &Manifest,
        served: Option<Generation>,
    ) -> Result<(), DeployError> {
        let Some(served) = served.filter(|_| !spec.change_tenant) else { return Ok(()) };
        match self.tenant_of(&wanted.name, served).await {
            Some(owner) if owner != wanted.tenant => {
                let (app, tenant) = (wanted.name.clone(), wanted.tenant.clone());
                Err(DeployError::OtherTenant { app, owner, tenant })
            }
            _ => Ok(()),
        }
    }

    /// Whose a deployment is. `None` also where its record cannot be read: to deploy the app again is
    /// what mends that.
    pub async fn tenant_of(&self, app: &AppName, generation: Generation) -> Option<TenantName> {
        let deployment = self.agent.recall(&self.fleet, app, generation).await;
        Some(deployment.ok()?.manifest().tenant.clone())
    }

    /// Brings a component to other hosts. In a fleet where nobody else answers it stays here alone,
    /// which is told. Returns how many have it.
    async fn bring_copies(&self, fleet: &Fleet, app: &AppName, component: Digest) -> usize {
        let n_others = fleet.view().hosts.len().saturating_sub(1);
        let n_copies = self.loader.spread(app, component, COPIES.min(n_others)).await;
        if n_copies == 0 && n_others > 0 {
            self.own.events.push(Event {
                severity: Severity::Warning,
                advice: Some("see that other hosts can be reached: `steerage hosts`".to_owned()),
                ..Event::now(
                    "no_copy",
                    format!("component {component} is on this host only: no other one took it"),
                )
            });
        }
        n_copies
    }

    /// Deletes deployments there is no room for, and the routes that they alone had, if the app is still
    /// as it was committed then: an operator may go back to one of them at this moment. A failure harms
    /// nobody: the next deploy tries again.
    async fn prune(&self, fleet: &Fleet, record: &AppRecord, app: &AppName, at: Revision) {
        let Ok(kept) = deployments(fleet, app).await else { return };
        let n_old = kept.len().saturating_sub(KEPT).min(MOST_WRITES);
        let tried = record.canary.as_ref().map(|canary| canary.generation);
        // A deployment that is watched may go back to the one before it.
        let replaced = record.watch.as_ref().map(|watch| watch.replaced);
        let needed = [Some(record.generation), tried, replaced];
        let is_needed = |generation: u64| needed.contains(&Some(generation));
        let old = kept.into_iter().take(n_old).filter(|kept| !is_needed(kept.generation.get()));
        let old: Vec<_> = old.collect();
        let deletes = old.iter().map(|old| Write::Delete(keys::deployment(app, old.generation)));
        let guards = vec![Guard::At(keys::app(app), at)];
        let commit = Commit { guards, writes: deletes.collect() };
        if !old.is_empty() && fleet.commit(commit).await.is_ok() {
            self.release_unnamed(fleet, app, at, &old).await;
        }
    }
}
