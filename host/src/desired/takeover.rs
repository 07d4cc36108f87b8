//! The ledger of a host that is alone and its store, brought together: at each start, and again where the disk
//! has failed one of the two. So a data folder of a host that knew no store, of a fleet's host and of a
//! backup comes into the store, and what was written down before a kill is served.
//! Does not say which of the two is right: `core::takeover` does.

use std::collections::{BTreeMap, BTreeSet};

use steerage_core::canary::Share;
use steerage_core::id::{AppName, Generation};
use steerage_core::takeover::{InLedger, InStore, TakeOver, take_over};

use super::current::Current;
use super::{DeployError, Desired};
use crate::agent::ApplyError;
use crate::fleet::record::{self, AppRecord};
use crate::fleet::{Fleet, LoneTurn, keys};
use crate::ledger::index::IndexRecord;
use crate::ledger::record::DeploymentRecord;
use crate::store::{Commit, Entry, MOST_BYTES, MOST_WRITES, StoreError, Write};
use crate::telemetry::chain;

/// What a takeover came to.
#[derive(Debug, Default)]
pub struct TakenOver {
    /// How many apps the store was told of.
    pub n_imported: usize,
    /// Apps in which ledger and store still differ, and why.
    pub left_out: BTreeMap<String, String>,
}

/// What the ledger says of all apps.
#[derive(Debug, Default)]
struct Ledgered {
    current: BTreeMap<AppName, IndexRecord>,
    last: BTreeMap<AppName, Generation>,
    unreadable: BTreeSet<String>,
}

impl Desired {
    /// Brings the two together; nobody changes what shall run meanwhile, which `turn` shows.
    ///
    /// # Errors
    /// The ledger or the store failed.
    pub async fn take_over(&self, turn: &LoneTurn) -> Result<TakenOver, DeployError> {
        let _turn = turn;
        let (fleet, mut done) = (&self.fleet, TakenOver::default());
        let ledger = self.ledgered()?;
        let seen = fleet.store().read(keys::APPS).await?;
        let is_new = seen.entries.is_empty();
        let mut stored = BTreeMap::new();
        for entry in seen.entries {
            let Some(Ok(app)) = entry.key.strip_prefix(keys::APPS).map(str::parse::<AppName>)
            else {
                continue;
            };
            drop(stored.insert(app, entry));
        }
        let mut writes = Writes::default();
        let known: BTreeSet<&AppName> = ledger.current.keys().chain(stored.keys()).collect();
        for app in known {
            if ledger.unreadable.contains(app.as_str()) {
                continue;
            }
            let taken = self.take_over_one(app, &ledger, stored.get(app), &mut writes).await;
            match taken {
                Ok(is_imported) => done.n_imported += usize::from(is_imported),
                Err(error) if is_of_store(&error) => return Err(error),
                Err(error) => drop(done.left_out.insert(app.to_string(), chain(&error))),
            }
        }
        writes.flush(fleet).await?;
        if is_new || done.n_imported > 0 {
            self.raise_numbers(None).await?;
        }
        Ok(done)
    }

    fn ledgered(&self) -> Result<Ledgered, DeployError> {
        let mut all = Ledgered { last: self.own.ledger.last_of_all()?, ..Ledgered::default() };
        self.own.ledger.each_current(|name, record| match record {
            Ok(record) => drop(all.current.insert(record.app.clone(), record)),
            // What cannot be read says nothing.
            Err(_) => drop(all.unreadable.insert(name.to_owned())),
        })?;
        Ok(all)
    }

    /// Whether the app goes into the store.
    async fn take_over_one(
        &self,
        app: &AppName,
        ledger: &Ledgered,
        stored: Option<&Entry>,
        writes: &mut Writes,
    ) -> Result<bool, DeployError> {
        let current = ledger.current.get(app);
        let here = InLedger {
            current: current.map(|index| index.generation),
            last: ledger.last.get(app).copied(),
        };
        let record = stored.map(|entry| record::decode::<AppRecord>(&entry.key, &entry.value));
        let record = record.transpose().map_err(DeployError::damaged)?;
        let wanted = record.as_ref().and_then(|record| {
            let ours = current.and_then(|index| index.fingerprint);
            let theirs = record.fingerprint.as_ref();
            let is_same = ours.zip(theirs).is_none_or(|(ours, theirs)| ours.to_string() == *theirs);
            Some(InStore { generation: Generation::new(record.generation)?, is_same })
        });
        let outcome = take_over(here, wanted);
        match (outcome, wanted, current) {
            (TakeOver::Import, _, Some(index)) => {
                let before = Current::of(stored.cloned(), record);
                self.import_alone(index, here.last, before, writes).await?;
                return Ok(true);
            }
            (TakeOver::Serve, Some(wanted), _) => {
                let deployment = self.agent.recall(&self.fleet, app, wanted.generation).await?;
                self.agent.prepare(&deployment).await?;
            }
            (TakeOver::Remove, ..) => drop(self.write_removed(&self.fleet, app).await?),
            _ => {}
        }
        let Some(record) = record.filter(|_| outcome != TakeOver::Remove) else { return Ok(false) };
        self.follow_alone(app, &record);
        self.start_canary_again(app, &record).await?;
        Ok(false)
    }

    /// A canary goes on after a start.
    async fn start_canary_again(
        &self,
        app: &AppName,
        record: &AppRecord,
    ) -> Result<(), DeployError> {
        let Some(canary) = &record.canary else { return Ok(()) };
        let is_tried = self.own.catalog.app(app).is_some_and(|app| app.canary().is_some());
        let generation = Generation::new(canary.generation).filter(|_| !is_tried);
        if let (Some(generation), Ok(share)) = (generation, Share::new(canary.share)) {
            let deployment = self.agent.recall(&self.fleet, app, generation).await?;
            self.agent.start_canary(&deployment, share).await?;
        }
        Ok(())
    }

    /// Puts an app into the store as the ledger has it: its deployments, its routes and its number. What
    /// operators said of it besides stays, as it does at a deploy.
    async fn import_alone(
        &self,
        index: &IndexRecord,
        last: Option<Generation>,
        before: Current,
        writes: &mut Writes,
    ) -> Result<(), DeployError> {
        let (app, fleet) = (&index.app, &self.fleet);
        let history = self.agent.history(app)?;
        let current = history.iter().find(|record| record.generation == index.generation);
        let current = current.ok_or_else(|| DeployError::NoApp(app.clone()))?;
        let deployment = self.agent.read(current.clone())?;
        let record = before.with(&deployment, None);
        let last = last.max(Some(index.generation)).map_or(0, Generation::get);
        if before.app.is_some() {
            // Another store, or none, has given numbers meanwhile: what stands under them here is not that.
            for entry in fleet.store().read(&keys::deployments(app)).await?.entries {
                writes.add(fleet, Write::Delete(entry.key)).await?;
            }
        }
        for record in &history {
            writes.put(fleet, deployment_key(record), encode(record)?).await?;
        }
        for route in &deployment.manifest().routes {
            writes.put(fleet, keys::route(route), app.as_str().into()).await?;
        }
        writes.put(fleet, keys::last(app), last.to_string().into_bytes()).await?;
        writes.add(fleet, Write::Delete(keys::removed(app))).await?;
        // It comes last: where this ends before, the app is taken over again.
        writes.put(fleet, keys::app(app), record::encode(&record)).await
    }
}

fn deployment_key(record: &DeploymentRecord) -> String {
    keys::deployment(&record.app, record.generation)
}

fn encode(record: &DeploymentRecord) -> Result<Vec<u8>, DeployError> {
    record.encode().map_err(|error| ApplyError::Task(error.to_string()).into())
}

/// Whether nothing more can be written.
fn is_of_store(error: &DeployError) -> bool {
    let DeployError::Apply(ApplyError::Store(error)) = error else { return false };
    matches!(error, StoreError::Full { .. } | StoreError::Database(_) | StoreError::Away { .. })
}

/// Writes, in as few commits as the store takes, each key once: the last word counts.
#[derive(Default)]
struct Writes {
    all: BTreeMap<String, Write>,
    n_bytes: usize,
}

impl Writes {
    async fn put(&mut self, fleet: &Fleet, key: String, value: Vec<u8>) -> Result<(), DeployError> {
        self.add(fleet, Write::Put { key, value, lease: None }).await
    }

    async fn add(&mut self, fleet: &Fleet, write: Write) -> Result<(), DeployError> {
        let n_bytes = write.size();
        if self.all.len() == MOST_WRITES || self.n_bytes + n_bytes > MOST_BYTES {
            self.flush(fleet).await?;
        }
        self.n_bytes += n_bytes;
        self.all.insert(write.key().to_owned(), write);
        Ok(())
    }

    async fn flush(&mut self, fleet: &Fleet) -> Result<(), DeployError> {
        let Self { all, .. } = std::mem::take(self);
        if !all.is_empty() {
            fleet
                .commit(Commit { guards: Vec::new(), writes: all.into_values().collect() })
                .await?;
        }
        Ok(())
    }
}
