//! Which store a host follows, and how operators say it: what is judged, how the apps of a ledger come
//! into a store that does not know them, and how a store that was restored is followed as it is.
//! Does not judge: `core::lineage` does. Deletes nothing.

use std::collections::{BTreeMap, BTreeSet};

use steerage_core::id::{AppName, Generation};
use steerage_core::lineage::{FleetId, Followed, Here, LineageDecision, Reason, Stored, judge};

use super::current::{Current, put};
use super::takeover::TakenOver;
use super::{DeployError, Desired};
use crate::agent::ApplyError;
use crate::fleet::record::{self, AppRecord, MarkRecord, RemovedRecord};
use crate::fleet::{Fleet, keys};
use crate::ledger::record::DeploymentRecord;
use crate::store::{
    self, Commit, Guard, MOST_BYTES, MOST_WRITES, Revision, Seen, Store, StoreError, StoreSettings,
    Write,
};
use crate::telemetry::chain;

/// Deployments of an app that are put into the store with it, the current one among them.
const IMPORTED: usize = 20;

/// What a store is to this host.
#[derive(Debug)]
pub struct Judged {
    /// What to do about it.
    pub verdict: LineageDecision,
    /// What it says.
    pub stored: Stored,
    /// Its mark, and when that was written.
    pub mark: Option<(MarkRecord, Revision)>,
}

/// What an import came to.
#[derive(Debug, Default)]
pub struct Imported {
    /// Apps that the store knows now.
    pub apps: Vec<AppName>,
    /// Apps that it does not know, and why.
    pub left_out: BTreeMap<AppName, String>,
}

impl Desired {
    /// Judges the store by what was read of [`keys::FLEET`].
    ///
    /// # Errors
    /// The mark cannot be read, or the store does not answer.
    pub async fn judge_store(&self, seen: &Seen) -> Result<Judged, DeployError> {
        let fleet = &self.fleet;
        let (mut stored, mark) = Fleet::stored(seen)?;
        let lineage = fleet.lineage();
        let served = self.own.catalog.snapshot();
        let mut here = Here {
            followed: lineage.followed(),
            was_in_fleet: lineage.was_in_fleet(),
            has_apps: !served.apps.is_empty(),
            clash: None,
            authorities: lineage.authorities(),
        };
        if here.followed.is_none() && served.apps.is_empty() {
            // A host with no apps of its own has none that clash with those of a hundred thousand.
            stored.has_apps = fleet.store().has_any(keys::APPS).await?;
        } else if here.followed.is_none() {
            let apps = fleet.store().read(keys::APPS).await?;
            let removed = fleet.store().read(keys::REMOVED).await?;
            stored.has_apps = !apps.entries.is_empty();
            let entries = apps.entries.iter().chain(&removed.entries);
            let entries: BTreeMap<&str, _> = entries.map(|entry| (&*entry.key, entry)).collect();
            here.clash = served.apps.values().find_map(|app| {
                let (wanted, removed) = (keys::app(&app.name), keys::removed(&app.name));
                let entry = entries.get(&*wanted).or_else(|| entries.get(&*removed))?;
                let record = record::decode::<AppRecord>(&entry.key, &entry.value).ok();
                let theirs = record.and_then(|record| record.fingerprint);
                let ours =
                    self.agent.fingerprint(app).map(|ours| ours.to_string().into_boxed_str());
                (theirs.is_none() || theirs != ours).then(|| app.name.clone())
            });
        }
        Ok(Judged { verdict: judge(&here, &stored), stored, mark })
    }

    /// Writes the mark of a store that has none; nothing where somebody else was first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn found(&self, known: Option<Followed>) -> Result<(), DeployError> {
        let fleet = &self.fleet;
        let id = known.map_or_else(|| FleetId::new(fastrand::u128(..)), |known| known.id);
        let mark = MarkRecord {
            id: id.to_string(),
            epoch: known.map_or(1, |known| known.epoch.saturating_add(1)),
            authorities: fleet.lineage().authorities(),
            rest: record::Rest::default(),
        };
        match put_mark(fleet, &mark, Guard::Absent(keys::MARK.to_owned())).await {
            Ok(()) | Err(StoreError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Has the mark of the store say which authorities the fleet's hosts believe.
    ///
    /// # Errors
    /// The mark cannot be read, somebody else was first, or the store does not answer.
    pub async fn note_authorities(&self, all: &BTreeSet<String>) -> Result<(), DeployError> {
        let fleet = self.fleet();
        let Some(entry) = fleet.get(keys::MARK).await? else { return Ok(()) };
        let mark: MarkRecord = record::decode(keys::MARK, &entry.value)
            .map_err(|error| StoreError::Damaged { what: error.to_string() })?;
        if mark.authorities == *all || mark.authorities.is_empty() {
            return Ok(());
        }
        let mark = MarkRecord { authorities: all.clone(), ..mark };
        put_mark(fleet, &mark, Guard::At(keys::MARK.to_owned(), entry.revision)).await?;
        Ok(())
    }

    /// Follows the store as it is, whatever this host followed before; returns what was done, in a
    /// sentence. What the store does not know is kept here.
    ///
    /// # Errors
    /// Its hosts believe another authority, or it does not answer.
    pub async fn adopt(&self) -> Result<String, DeployError> {
        let fleet = &self.fleet;
        if fleet.is_alone() {
            return Ok(
                "this host is alone and follows its own store; it joins a fleet with --store \
                       etcd://..."
                    .to_owned(),
            );
        }
        let seen = fleet.store().read(keys::FLEET).await?;
        let Judged { verdict, stored, mark } = self.judge_store(&seen).await?;
        let LineageDecision::Refuse(reason) = verdict else {
            return Ok("this host follows the store already".to_owned());
        };
        let known = fleet.lineage().followed();
        let raised =
            known.map_or(0, |known| known.epoch).max(mark.as_ref().map_or(0, |m| m.0.epoch));
        match (reason, mark) {
            (Reason::NoFleet, _) | (Reason::Clash(_), None) => self.found(known).await?,
            (Reason::WentBack { .. }, Some((mark, at))) => {
                let mark = MarkRecord { epoch: raised.saturating_add(1), ..mark };
                put_mark(fleet, &mark, Guard::At(keys::MARK.to_owned(), at)).await?;
            }
            (Reason::OtherAuthority { found, ours }, Some((mark, at))) if found.is_empty() => {
                let epoch = raised.saturating_add(1);
                let mark = MarkRecord { epoch, authorities: ours, ..mark };
                put_mark(fleet, &mark, Guard::At(keys::MARK.to_owned(), at)).await?;
            }
            (Reason::OtherFleet { .. } | Reason::Clash(_), Some((_, at))) => {
                // What was known is of another fleet, and must not be wanted in this one.
                fleet.forget();
                fleet.save();
                follow(fleet, &stored, at)?;
            }
            (reason, _) => {
                let why = format!("{reason}; {}", reason.ways());
                return Err(StoreError::NotFollowed { why }.into());
            }
        }
        let seen = fleet.store().read(keys::FLEET).await?;
        let (stored, _) = Fleet::stored(&seen)?;
        let told =
            stored.fleet.map_or_else(String::new, |(id, epoch)| format!("{id}, epoch {epoch}"));
        Ok(format!("the store is followed as it is: fleet {told}"))
    }

    /// Puts those apps of this host's ledger into the store that it does not know and that nobody
    /// removed. A store without a fleet becomes this host's.
    ///
    /// # Errors
    /// The store is not followed for another reason than that it is empty, or does not answer.
    pub async fn import(&self) -> Result<Imported, DeployError> {
        let fleet = &self.fleet;
        if let Some(turn) = fleet.turn().await {
            let TakenOver { left_out, .. } = self.take_over(&turn).await?;
            let left_out =
                left_out.into_iter().filter_map(|(app, why)| Some((app.parse().ok()?, why)));
            return Ok(Imported { left_out: left_out.collect(), ..Imported::default() });
        }
        for _ in 0..2 {
            let seen = fleet.store().read(keys::FLEET).await?;
            let Judged { verdict, stored, mark } = self.judge_store(&seen).await?;
            match (verdict, mark) {
                (
                    LineageDecision::Refuse(Reason::NoFleet)
                    | LineageDecision::Import
                    | LineageDecision::Found,
                    _,
                ) => {
                    self.found(fleet.lineage().followed()).await?;
                }
                (LineageDecision::Refuse(reason), _) => {
                    let why = format!("{reason}; {}", reason.ways());
                    return Err(StoreError::NotFollowed { why }.into());
                }
                (_, Some((_, at))) => {
                    follow(fleet, &stored, at)?;
                    return self.import_all(fleet).await;
                }
                (_, None) => {}
            }
        }
        Err(StoreError::Conflict { key: Some(keys::MARK.to_owned()) }.into())
    }

    async fn import_all(&self, fleet: &Fleet) -> Result<Imported, DeployError> {
        let mut current = Vec::new();
        let mut imported = Imported::default();
        self.own.ledger.each_current(|name, record| match (record, name.parse()) {
            (Ok(record), _) => current.push((record.app, record.generation)),
            (Err(error), Ok(app)) => drop(imported.left_out.insert(app, chain(&error))),
            (Err(_), Err(_)) => {}
        })?;
        let last = self.own.ledger.last_of_all()?;
        let alone = self.said_alone().await;
        for (app, generation) in current {
            let last = last.get(&app).copied().unwrap_or(generation).max(generation);
            match self
                .import_one(fleet, (&app, generation, last), alone.get(&keys::app(&app)))
                .await
            {
                Ok(true) => imported.apps.push(app),
                Ok(false) => {}
                Err(error) if is_away(&error) => {
                    return Err(error);
                }
                Err(error) => drop(imported.left_out.insert(app, chain(&error))),
            }
        }
        Ok(imported)
    }

    /// What operators said of apps, by their keys, while this host was alone: its ledger does not hold that.
    async fn said_alone(&self) -> BTreeMap<String, AppRecord> {
        let folder = self.own.ledger.folder();
        if self.fleet.is_alone() || !store::embedded_path(folder).exists() {
            return BTreeMap::new();
        }
        let read = async {
            let alone = Store::open(&StoreSettings::Embedded(folder.to_owned())).await?;
            alone.read(keys::APPS).await
        };
        let seen = read.await.unwrap_or_else(|error| {
            let error = chain(&error);
            tracing::warn!(
                error,
                "what was said of apps while this host was alone is not imported"
            );
            Seen::default()
        });
        let records = seen.entries.into_iter().filter_map(|entry| {
            let record = record::decode(&entry.key, &entry.value).ok()?;
            Some((entry.key, record))
        });
        records.collect()
    }

    /// Whether the app is new to the store.
    async fn import_one(
        &self,
        fleet: &Fleet,
        (app, generation, last): (&AppName, Generation, Generation),
        alone: Option<&AppRecord>,
    ) -> Result<bool, DeployError> {
        let before = Current::look(fleet, app).await?;
        if before.record.is_some() {
            return Ok(false);
        }
        let key = keys::removed(app);
        if let Some(entry) = fleet.store().get(&key).await? {
            let removed: RemovedRecord =
                record::decode(&key, &entry.value).map_err(DeployError::damaged)?;
            if removed.generation >= generation.get() {
                return Ok(false);
            }
        }
        let history = self.agent.history(app)?;
        let current = history.iter().find(|record| record.generation == generation);
        let current = current.ok_or_else(|| DeployError::NoApp(app.clone()))?;
        let deployment = self.agent.read(current.clone())?;
        // What operators have said of it besides, such as how many replicas it has.
        let known = fleet.view().app(app).cloned();
        let known = known.or_else(|| alone.cloned());
        let known = known.filter(|known| known.generation == generation.get());
        let record = known.map(|mut known| {
            (known.canary, known.watch) = (None, None);
            known
        });
        let record = record.unwrap_or_else(|| before.with(&deployment, None));
        let fingerprint = Some(current.fingerprint().to_string().into_boxed_str());
        let mut commit = before.commit(app, &AppRecord { fingerprint, ..record });
        commit.guards.push(before.guard_last(app));
        let last = last.get().max(before.next_generation().get().saturating_sub(1)).to_string();
        put(&mut commit, keys::last(app), last.into_bytes());
        commit.writes.push(Write::Delete(key));
        self.claim(fleet, app, &deployment.manifest().routes, &mut commit).await?;
        put_deployments(&mut commit, current, &history)?;
        fleet.commit_marked(commit).await?;
        Ok(true)
    }

    /// Sees to it that the store gives no number to an app that this host's ledger knows. `mark` says
    /// when the mark was written of the store that this is about; that of a host that is alone has none.
    ///
    /// # Errors
    /// The ledger failed, or the store does not answer.
    pub async fn raise_numbers(&self, mark: Option<Revision>) -> Result<(), DeployError> {
        let fleet = &self.fleet;
        let known = self.own.ledger.last_of_all()?;
        let seen = fleet.store().read(keys::LAST).await?;
        let stored: BTreeMap<&str, _> =
            seen.entries.iter().map(|entry| (entry.key.as_str(), entry)).collect();
        let mut changes = Vec::new();
        for (app, last) in known {
            let key = keys::last(&app);
            let entry = stored.get(key.as_str());
            let number =
                entry.and_then(|entry| std::str::from_utf8(&entry.value).ok()?.parse().ok());
            if number.unwrap_or(0) >= last.get() {
                continue;
            }
            let guard = match entry {
                Some(entry) => Guard::At(key.clone(), entry.revision),
                None => Guard::Absent(key.clone()),
            };
            let value = last.get().to_string().into_bytes();
            changes.push((guard, Write::Put { key, value, lease: None }));
        }
        for batch in changes.chunks(MOST_WRITES) {
            let (mut guards, writes): (Vec<_>, Vec<_>) = batch.iter().cloned().unzip();
            guards.extend(mark.map(|mark| Guard::At(keys::MARK.to_owned(), mark)));
            fleet.store().commit(Commit { guards, writes }).await?;
        }
        Ok(())
    }
}

/// Follows a store whose mark was written then.
///
/// # Errors
/// It cannot be kept on the disk.
pub fn follow(fleet: &Fleet, stored: &Stored, mark: Revision) -> Result<(), DeployError> {
    let Some((id, epoch)) = stored.fleet else { return Ok(()) };
    let followed = Followed { id, epoch, cluster: stored.cluster, revision: stored.revision };
    let kept = fleet.lineage().follow(followed, mark);
    kept.map_err(|error| {
        ApplyError::Task(format!("cannot keep which fleet this host is in: {error}")).into()
    })
}

async fn put_mark(fleet: &Fleet, mark: &MarkRecord, guard: Guard) -> Result<(), StoreError> {
    let (key, value) = (keys::MARK.to_owned(), record::encode(mark));
    let writes = vec![Write::Put { key, value, lease: None }];
    fleet.store().commit(Commit { guards: vec![guard], writes }).await.map(drop)
}

fn is_away(error: &DeployError) -> bool {
    matches!(error, DeployError::Apply(ApplyError::Store(StoreError::Away { .. })))
}

/// Puts the current deployment and as many of the others, the newest first, as there is room for.
fn put_deployments(
    commit: &mut Commit,
    current: &DeploymentRecord,
    history: &[DeploymentRecord],
) -> Result<(), DeployError> {
    let others = history.iter().rev().filter(|record| record.generation != current.generation);
    let mut n_bytes = 0;
    for record in std::iter::once(current).chain(others).take(IMPORTED) {
        let encoded = record.encode().map_err(|error| ApplyError::Task(error.to_string()))?;
        n_bytes += encoded.len();
        let has_room = n_bytes < MOST_BYTES / 2 && commit.writes.len() < MOST_WRITES;
        if has_room || record.generation == current.generation {
            put(commit, keys::deployment(&record.app, record.generation), encoded);
        }
    }
    Ok(())
}
