//! What the store says of an app before it is changed, and the commit that changes it: it holds only
//! where nobody has changed the app meanwhile.
//! Does not say what shall be changed.

use steerage_core::id::{AppName, Generation};
use steerage_core::manifest::Placement;
use steerage_core::rollout::{CanaryPlan, WatchTime};

use super::error::DeployError;
use crate::agent::now;
use crate::fleet::record::{
    self, AppRecord, CanaryRecord, RareFields, RareParts, Rest, WatchRecord,
};
use crate::fleet::{Fleet, keys};
use crate::ledger::deployment::Deployment;
use crate::ledger::record::DeploymentRecord;
use crate::store::{Commit, Entry, Guard, Revision, StoreError, Write};

/// How often a change is tried that others overtake.
pub(super) const TRIES: usize = 8;

/// What is in the store of an app before it is changed.
pub(super) struct Current {
    pub(super) app: Option<Entry>,
    pub(super) record: Option<AppRecord>,
    last: Option<Entry>,
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
        let record = record.transpose().map_err(DeployError::damaged)?;
        Ok(Self { app, record, last })
    }

    /// What was read already, without its number.
    pub(super) fn of(app: Option<Entry>, record: Option<AppRecord>) -> Self {
        Self { app, record, last: None }
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
    pub(super) fn with(&self, deployment: &Deployment, canary: Option<&CanaryPlan>) -> AppRecord {
        let generation = deployment.generation().get();
        let fingerprint = Some(deployment.fingerprint().to_string());
        if let (Some(record), Some(plan)) = (&self.record, canary) {
            let begun = CanaryRecord::begin((generation, fingerprint), plan, now());
            let mut record = record.clone();
            (record.canary, record.watch, record.rolled_back) = (Some(begun), None, None);
            return record;
        }
        let placement = &deployment.manifest().placement;
        let before = self.record.as_ref();
        AppRecord {
            generation,
            min: placement.min,
            max: placement.max,
            cpu_m: placement.cpu.map(steerage_core::units::Cpu::as_millis),
            memory: placement.memory.map(steerage_core::units::Bytes::get),
            priority: placement.priority,
            zones: placement.zones,
            scaled: self.scaled(placement),
            is_quarantined: false,
            fingerprint: fingerprint.map(String::into_boxed_str),
            rare: RareParts::from(RareFields {
                labels: placement.labels.clone(),
                apart_from: placement.apart_from.iter().map(ToString::to_string).collect(),
                unfit: before.map(|record| record.unfit.clone()).unwrap_or_default(),
                rest: before.map(|record| record.rest.clone()).unwrap_or_default(),
                ..RareFields::NONE
            }),
        }
    }

    /// How many replicas an operator asked for, unless the developer has asked for others since.
    fn scaled(&self, placement: &Placement) -> Option<u32> {
        let record = self.record.as_ref()?;
        record.scaled.filter(|_| (record.min, record.max) == (placement.min, placement.max))
    }

    /// The watch over a deployment that takes the place of the one that is served. There is none where
    /// nothing is served, or what was taken out of service: neither can be gone back to.
    pub(super) fn watch(&self, deployment: &Deployment, time: WatchTime) -> Option<WatchRecord> {
        let record = self.record.as_ref().filter(|record| !record.is_quarantined)?;
        let (since, time) = (now(), time.get()?.as_millis());
        let until = since.saturating_add(u64::try_from(time).unwrap_or(u64::MAX));
        let generation = deployment.generation().get();
        let (replaced, rest) = (record.generation, Rest::default());
        Some(WatchRecord { generation, replaced, since, until, rest })
    }

    /// The generation that is served.
    pub(super) fn served(&self) -> Option<Generation> {
        self.record.as_ref().and_then(|record| Generation::new(record.generation))
    }

    /// Whether a canary can be tried beside what there is.
    pub(super) fn check_canary(&self, app: &AppName) -> Result<(), DeployError> {
        let Some(record) = &self.record else {
            return Err(DeployError::CanaryOfNothing(app.clone()));
        };
        match &record.canary {
            None => Ok(()),
            Some(canary) => {
                Err(DeployError::CanaryRuns { app: app.clone(), generation: canary.generation })
            }
        }
    }

    /// A commit of this record, if nobody has changed it meanwhile. A deployment that was on trial
    /// and does not become the current one goes, so that nobody goes back to it.
    pub(super) fn commit(&self, app: &AppName, record: &AppRecord) -> Commit {
        let mut commit = Commit::default();
        commit.guards.push(guard(keys::app(app), self.app.as_ref()));
        put(&mut commit, keys::app(app), record::encode(record));
        if let Some(ended) = self.ended_by(record) {
            commit.writes.push(Write::Delete(keys::deployment(app, ended)));
        }
        commit
    }

    /// The canary that ends when the app is as this record says.
    pub(super) fn ended_by(&self, record: &AppRecord) -> Option<Generation> {
        let tried = self.record.as_ref()?.canary.as_ref()?.generation;
        let has_ended = record.canary.is_none() && record.generation != tried;
        Generation::new(tried).filter(|_| has_ended)
    }
}

/// Makes a change of an app, and says when; nothing where others have changed it meanwhile.
///
/// # Errors
/// [`DeployError::Unsure`] where it may have been made; see [`DeployError`].
pub(super) async fn make(
    fleet: &Fleet,
    app: &AppName,
    commit: Commit,
) -> Result<Option<Revision>, DeployError> {
    match fleet.commit(commit).await {
        Ok(at) => Ok(Some(at)),
        Err(StoreError::Conflict { .. }) => Ok(None),
        Err(error) => Err(DeployError::of_commit(app, error)),
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
