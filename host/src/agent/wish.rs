//! A wish of an operator in a fleet: made durable in the store, where every host finds it. The
//! component is on a second host before a deployment is acknowledged. What was overtaken by another
//! wish is tried again on what that one left.

use steerage_core::canary::Share;
use steerage_core::id::{AppName, Digest, Generation};
use steerage_core::manifest::{Manifest, Placement};

use super::{Agent, DeployError, DeploySpec, now};
use crate::fleet::record::{self, AppRecord, CanaryRecord, RemovedRecord, Rest};
use crate::fleet::{Fleet, keys};
use crate::ledger::record::DeploymentRecord;
use crate::manifest;
use crate::store::{Commit, Entry, Guard, MOST_WRITES, Revision, StoreError, Write};
use crate::telemetry::events::{Event, Severity};

/// How often a wish is tried that others overtake.
pub(super) const TRIES: usize = 8;
/// Deployments kept to go back to.
const KEPT: usize = 20;
/// Other hosts that have a component before its deployment is acknowledged.
const COPIES: usize = 2;

/// What is in the store of an app before a wish.
pub(super) struct Current {
    app: Option<Entry>,
    pub(super) record: Option<AppRecord>,
    last: Option<Entry>,
}

impl Agent {
    /// Makes a deployment durable in the store; returns it as this host serves it.
    pub(super) async fn wish_deployed(
        &self,
        fleet: &Fleet,
        manifest: &Manifest,
        spec: &DeploySpec,
    ) -> Result<DeploymentRecord, DeployError> {
        let DeploySpec { component, canary, .. } = *spec;
        fleet.check_store()?;
        let size = self.own.blobs.size(&component)?;
        self.bring_copies(fleet, component).await;
        for _ in 0..TRIES {
            let before = Current::read(fleet, &manifest.name).await?;
            if canary.is_some() {
                before.check_canary(&manifest.name)?;
            }
            let served = before.record.as_ref().and_then(|it| Generation::new(it.generation));
            self.check_tenant(spec, manifest, served).await?;
            // Also beyond what the store knew before it was restored.
            let known = self.own.ledger.next_generation(&manifest.name)?;
            let generation = before.next_generation().max(known);
            let deployed = self.loader.prepare(manifest, generation, component).await?;
            let deployment = DeploymentRecord {
                app: manifest.name.clone(),
                generation,
                digest: component,
                manifest: spec.manifest.clone(),
                kind: deployed.prepared.kind().to_string(),
                size,
                deployed_at: now(),
            };
            let record = before.with(manifest, &deployment, canary);
            let mut commit = before.commit(&manifest.name, &record);
            commit.guards.push(before.guard_last(&manifest.name));
            commit.writes.push(Write::Delete(keys::removed(&manifest.name)));
            let encoded = deployment.encode().map_err(|e| DeployError::Task(e.to_string()))?;
            put(&mut commit, keys::deployment(&manifest.name, generation), encoded);
            let number = generation.get().to_string().into_bytes();
            put(&mut commit, keys::last(&manifest.name), number);
            self.claim(fleet, &manifest.name, &manifest.routes, &mut commit).await?;
            match fleet.commit(commit).await {
                Ok(at) => {
                    self.prune(fleet, &record, &deployment.app, at).await;
                    return Ok(deployment);
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(DeployError::of_commit(&manifest.name, error)),
            }
        }
        Err(StoreError::Conflict { key: Some(keys::app(&manifest.name)) }.into())
    }

    /// Makes an earlier deployment current again.
    pub(super) async fn wish_rolled_back(
        &self,
        fleet: &Fleet,
        app: &AppName,
        to: Option<Generation>,
    ) -> Result<DeploymentRecord, DeployError> {
        for _ in 0..TRIES {
            let before = Current::read(fleet, app).await?;
            let Some(current) = &before.record else { return Err(DeployError::NoApp(app.clone())) };
            if to.is_none()
                && let Some(rolled_back) = &current.rolled_back
            {
                // Whoever saw a bad canary means that one, and not what is served beside it.
                let (rolled_back, current) = (rolled_back.generation, current.generation);
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
                None if current.canary.is_some() => kept.generation.get() == current.generation,
                None => kept.generation.get() < current.generation,
            });
            let Some(wanted) = wanted else {
                let known: Vec<String> = kept.iter().map(|k| k.generation.to_string()).collect();
                return Err(DeployError::NoDeployment {
                    app: app.clone(),
                    wanted: to.map_or_else(|| "before the current one".into(), |to| to.to_string()),
                    known: known.join(", "),
                });
            };
            let manifest = manifest::reread(&wanted.manifest, &self.own.limits)
                .map_err(DeployError::Manifest)?;
            let mut record = before.with(&manifest, wanted, None);
            // What an operator said in a rush holds on, whatever the earlier manifest says.
            record.scaled = current.scaled;
            let mut commit = before.commit(app, &record);
            self.claim(fleet, app, &manifest.routes, &mut commit).await?;
            match fleet.commit(commit).await {
                Ok(_) => return Ok(wanted.clone()),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(DeployError::of_commit(app, error)),
            }
        }
        Err(StoreError::Conflict { key: Some(keys::app(app)) }.into())
    }

    /// Changes what is wanted of an app besides its deployment.
    ///
    /// # Errors
    /// There is no such app, or the store does not answer.
    pub async fn wish_changed(
        &self,
        fleet: &Fleet,
        app: &AppName,
        change: impl Fn(&mut AppRecord),
    ) -> Result<AppRecord, DeployError> {
        for _ in 0..TRIES {
            let before = Current::read(fleet, app).await?;
            let Some(mut record) = before.record.clone() else {
                return Err(DeployError::NoApp(app.clone()));
            };
            change(&mut record);
            match fleet.commit(before.commit(app, &record)).await {
                Ok(_) => return Ok(record),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(DeployError::of_commit(app, error)),
            }
        }
        Err(StoreError::Conflict { key: Some(keys::app(app)) }.into())
    }

    /// Takes an app out of the store, with its deployments and routes. Its number stays, so that no
    /// generation is given twice, and that it was removed stays: no host forgets an app because it
    /// does not see it.
    pub(super) async fn wish_removed(
        &self,
        fleet: &Fleet,
        app: &AppName,
    ) -> Result<(), DeployError> {
        for _ in 0..TRIES {
            let before = Current::read(fleet, app).await?;
            let served = self.own.catalog.app(app).map(|app| app.generation);
            // One that the store has lost, or never knew, is removed as well.
            if before.app.is_none() && served.is_none() {
                return Err(DeployError::NoApp(app.clone()));
            }
            let last = before.next_generation().get().saturating_sub(1);
            let last = last.max(served.map_or(0, Generation::get));
            let removed = record::encode(&RemovedRecord { generation: last });
            let kept = deployments(fleet, app).await?;
            let mut commit = Commit {
                guards: vec![guard(keys::app(app), before.app.as_ref())],
                writes: vec![Write::Delete(keys::app(app))],
            };
            put(&mut commit, keys::removed(app), removed);
            for deployment in &kept {
                commit.writes.push(Write::Delete(keys::deployment(app, deployment.generation)));
            }
            let routes = self.claimed(fleet, app, &kept).await?;
            match fleet.commit(commit).await {
                Ok(_) => {
                    self.release(fleet, routes).await;
                    return Ok(());
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(DeployError::of_commit(app, error)),
            }
        }
        Err(StoreError::Conflict { key: Some(keys::app(app)) }.into())
    }

    /// Brings a component to other hosts. In a fleet where nobody else answers it stays here alone,
    /// which is told.
    async fn bring_copies(&self, fleet: &Fleet, component: Digest) {
        let n_others = fleet.view().hosts.len().saturating_sub(1);
        let n_copies = self.loader.spread(component, COPIES.min(n_others)).await;
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
    }

    /// Lets go of deployments there is no room for, if the app is still as it was committed then:
    /// somebody may go back to one of them just now. That it fails harms nobody: the next deploy tries
    /// again.
    async fn prune(&self, fleet: &Fleet, record: &AppRecord, app: &AppName, at: Revision) {
        let Ok(kept) = deployments(fleet, app).await else { return };
        let n_old = kept.len().saturating_sub(KEPT).min(MOST_WRITES);
        let tried = record.canary.as_ref().map(|canary| canary.generation);
        let is_needed =
            |generation: u64| generation == record.generation || Some(generation) == tried;
        let old = kept.iter().take(n_old).filter(|kept| !is_needed(kept.generation.get()));
        let writes = old.map(|kept| Write::Delete(keys::deployment(app, kept.generation)));
        let guards = vec![Guard::At(keys::app(app), at)];
        let commit = Commit { guards, writes: writes.collect() };
        if !commit.writes.is_empty() {
            drop(fleet.commit(commit).await);
        }
    }
}

impl Current {
    pub(super) async fn read(fleet: &Fleet, app: &AppName) -> Result<Self, DeployError> {
        fleet.check_store()?;
        Self::look(fleet, app).await
    }

    /// The same, also where not all that the store holds was heard of yet.
    pub(super) async fn look(fleet: &Fleet, app: &AppName) -> Result<Self, DeployError> {
        let (app_key, last_key) = (keys::app(app), keys::last(app));
        let app = fleet.store().get(&app_key).await?;
        let last = fleet.store().get(&last_key).await?;
        let record = app.as_ref().map(|entry| record::decode(&app_key, &entry.value));
        let record = record.transpose().map_err(|e| StoreError::Damaged { what: e.to_string() })?;
        Ok(Self { app, record, last })
    }

    /// Guards the number that is given.
    pub(super) fn guard_last(&self, app: &AppName) -> Guard {
        guard(keys::last(app), self.last.as_ref())
    }

    pub(super) fn next_generation(&self) -> Generation {
        let number = self.last.as_ref().and_then(|entry| std::str::from_utf8(&entry.value).ok());
        let number = number.and_then(|text| text.parse().ok()).and_then(Generation::new);
        number.map_or(Generation::FIRST, Generation::next)
    }

    /// What is wanted once this deployment is. One on trial leaves the current one in place.
    pub(super) fn with(
        &self,
        manifest: &Manifest,
        deployment: &DeploymentRecord,
        canary: Option<Share>,
    ) -> AppRecord {
        let generation = deployment.generation.get();
        let fingerprint = Some(deployment.fingerprint().to_string());
        if let (Some(record), Some(share)) = (&self.record, canary) {
            let (share, rest) = (share.get(), Rest::default());
            let canary = Some(CanaryRecord { generation, share, since: now(), fingerprint, rest });
            return AppRecord { canary, rolled_back: None, ..record.clone() };
        }
        let placement = &manifest.placement;
        AppRecord {
            generation,
            min: placement.min,
            max: placement.max,
            cpu_m: placement.cpu.map(steerage_core::units::Cpu::as_millis),
            memory: placement.memory.map(steerage_core::units::Bytes::get),
            priority: placement.priority,
            labels: placement.labels.clone(),
            apart_from: placement.apart_from.iter().map(ToString::to_string).collect(),
            zones: placement.zones,
            scaled: self.scaled(placement),
            canary: None,
            rolled_back: None,
            crashes: Vec::new(),
            is_quarantined: false,
            fingerprint,
            rest: self.record.as_ref().map(|record| record.rest.clone()).unwrap_or_default(),
        }
    }

    /// How many replicas an operator asked for, unless the developer has asked for others since.
    fn scaled(&self, placement: &Placement) -> Option<u32> {
        let record = self.record.as_ref()?;
        record.scaled.filter(|_| (record.min, record.max) == (placement.min, placement.max))
    }

    /// Whether a canary can be tried beside what there is.
    fn check_canary(&self, app: &AppName) -> Result<(), DeployError> {
        let Some(record) = &self.record else {
            return Err(DeployError::CanaryOfNothing(app.clone()));
        };
        match &record.canary {
            None => Ok(()),
            Some(CanaryRecord { generation, .. }) => {
                Err(DeployError::CanaryRuns { app: app.clone(), generation: *generation })
            }
        }
    }

    /// A commit of this record, if nobody has changed it meanwhile. A deployment that was on trial
    /// and does not become the current one goes, so that nobody goes back to it.
    pub(super) fn commit(&self, app: &AppName, record: &AppRecord) -> Commit {
        let mut commit = Commit { guards: Vec::new(), writes: Vec::new() };
        commit.guards.push(guard(keys::app(app), self.app.as_ref()));
        put(&mut commit, keys::app(app), record::encode(record));
        let tried = self.record.as_ref().and_then(|before| before.canary.as_ref());
        if let Some(tried) = tried
            && record.canary.is_none()
            && record.generation != tried.generation
            && let Some(generation) = Generation::new(tried.generation)
        {
            commit.writes.push(Write::Delete(keys::deployment(app, generation)));
        }
        commit
    }
}

pub(super) fn guard(key: String, entry: Option<&Entry>) -> Guard {
    match entry {
        Some(entry) => Guard::At(key, entry.revision),
        None => Guard::Absent(key),
    }
}

pub(super) fn put(commit: &mut Commit, key: String, value: Vec<u8>) {
    commit.writes.push(Write::Put { key, value, lease: None });
}

/// The deployments of an app that the store keeps and this host can read, the oldest first.
pub(super) async fn deployments(
    fleet: &Fleet,
    app: &AppName,
) -> Result<Vec<DeploymentRecord>, DeployError> {
    let seen = fleet.store().read(&keys::deployments(app)).await?;
    let records = seen.entries.iter().filter_map(|e| DeploymentRecord::decode(&e.value).ok());
    Ok(records.collect())
}
