//! The ledger of a host that is alone and its store, brought together: at each start, and again where the disk
//! has failed one of the two. So a data folder of a host that knew no store, of a fleet's host and of a
//! backup comes into the store, and what was written down before a kill is served.
//! Does not say which of the two is right: `core::takeover` does.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;
use serde::de::IgnoredAny;
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
use crate::ledger::{Ledger, LedgerError};
use crate::store::{Commit, Entry, MOST_BYTES, MOST_WRITES, Store, StoreError, Write};
use crate::telemetry::chain;

/// What a takeover came to.
#[derive(Debug, Default)]
pub struct TakenOver {
    /// How many apps the store was told of.
    pub n_imported: usize,
    /// Apps in which ledger and store still differ, and why.
    pub left_out: BTreeMap<String, String>,
}

impl Desired {
    /// Brings the two together; nobody changes what shall run meanwhile, which `turn` shows.
    ///
    /// # Errors
    /// The ledger or the store failed.
    pub async fn take_over(&self, turn: &LoneTurn) -> Result<TakenOver, DeployError> {
        let _turn = turn;
        let (fleet, mut done) = (&self.fleet, TakenOver::default());
        let (ledger, store) = (self.own.ledger.clone(), fleet.store().clone());
        let compared = tokio::task::spawn_blocking(move || compare(&ledger, store));
        let different = compared.await.map_err(|error| ApplyError::Task(error.to_string()))??;
        let mut writes = Writes::default();
        for app in different {
            match self.take_over_one(&app, &mut writes).await {
                Ok(is_imported) => done.n_imported += usize::from(is_imported),
                Err(error) if is_of_disk(&error) => return Err(error),
                Err(error) => drop(done.left_out.insert(app.to_string(), chain(&error))),
            }
        }
        writes.flush(fleet).await?;
        if done.n_imported > 0 {
            self.raise_numbers(None).await?;
        }
        Ok(done)
    }

    /// Whether the app goes into the store.
    async fn take_over_one(&self, app: &AppName, writes: &mut Writes) -> Result<bool, DeployError> {
        let current = self.own.ledger.current(app)?;
        let next = self.own.ledger.next_generation(app)?.get();
        let last = Generation::new(next.saturating_sub(1));
        let keeps_any = !self.own.ledger.history(app)?.is_empty();
        let here =
            InLedger { current: current.as_ref().map(|index| index.generation), last, keeps_any };
        let stored = self.fleet.get(&keys::app(app)).await?;
        let record = stored.as_ref().map(|entry| record::decode(&entry.key, &entry.value));
        let record: Option<AppRecord> = record.transpose().map_err(DeployError::damaged)?;
        let wanted = record.as_ref().and_then(|record| {
            in_store(record.generation, record.fingerprint.as_deref(), current.as_ref())
        });
        let outcome = take_over(here, wanted);
        match (outcome, wanted, &current) {
            (TakeOver::Import, _, Some(index)) => {
                let before = Current::of(stored, record);
                self.import_alone(index, last, before, writes).await?;
                return Ok(true);
            }
            (TakeOver::Serve, Some(wanted), _) => {
                let deployment = self.agent.recall(&self.fleet, app, wanted.generation).await?;
                let component = deployment.record().digest;
                if !self.own.blobs.contains(&component) {
                    return Err(DeployError::NoComponent(component));
                }
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
        if before.app.is_some() && !self.own.ledger.is_damaged() {
            // Another store, or none, has given numbers meanwhile: what stands under them here is not that.
            // Of a damaged ledger what stands here may be all that can be read.
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

/// As many apps of the store are in memory at once, of which there may be a hundred thousand.
const PAGE: usize = 1_000;

/// What has to be known of an app's record to see whether anything is to be done.
#[derive(Debug, Deserialize)]
struct Brief {
    generation: u64,
    fingerprint: Option<String>,
    canary: Option<IgnoredAny>,
    #[serde(default)]
    is_quarantined: bool,
}

/// The apps in which ledger and store may differ, or of which more is wanted than that they are served: both
/// are read once in the order of the names, and little of them is in memory at a time. An app that cannot
/// be read in the ledger says nothing.
fn compare(ledger: &Ledger, store: Store) -> Result<Vec<AppName>, DeployError> {
    let (mut stored, mut different) = (Stored::new(store), Vec::new());
    let mut failed = Ok(());
    ledger.each_current(|name, index| {
        if failed.is_err() {
            return;
        }
        failed = stored.take_until(name, &mut different).map(|brief| match (index, brief) {
            (Ok(index), Some(brief)) if !brief.differs(&index) => {}
            (Ok(index), _) => different.push(index.app),
            (Err(_), _) => {}
        });
    })?;
    failed?;
    // What is left, the ledger does not have.
    stored.take_until(AFTER_ALL, &mut different)?;
    Ok(different)
}

/// No app's name comes after this.
const AFTER_ALL: &str = "\u{10ffff}";

impl Brief {
    fn differs(&self, index: &IndexRecord) -> bool {
        let wanted = in_store(self.generation, self.fingerprint.as_deref(), Some(index));
        let here = InLedger { current: Some(index.generation), last: None, keeps_any: true };
        let is_more = self.canary.is_some() || self.is_quarantined;
        is_more || take_over(here, wanted) != TakeOver::Nothing
    }
}

fn in_store(
    generation: u64,
    fingerprint: Option<&str>,
    index: Option<&IndexRecord>,
) -> Option<InStore> {
    let ours = index.and_then(|index| index.fingerprint);
    let is_same = ours.zip(fingerprint).is_none_or(|(ours, theirs)| ours.to_string() == theirs);
    Some(InStore { generation: Generation::new(generation)?, is_same })
}

/// The records of apps in the store, one after the other.
struct Stored {
    store: Store,
    page: VecDeque<Entry>,
    /// The last key that was read.
    last: String,
    is_over: bool,
}

impl Stored {
    fn new(store: Store) -> Self {
        Self { store, page: VecDeque::new(), last: String::new(), is_over: false }
    }

    /// The record of this name; apps that come before it are not in the ledger.
    fn take_until(
        &mut self,
        name: &str,
        unknown: &mut Vec<AppName>,
    ) -> Result<Option<Brief>, DeployError> {
        loop {
            if self.page.is_empty() && !self.is_over {
                self.page = self.store.page_embedded(keys::APPS, &self.last, PAGE)?.into();
                self.is_over = self.page.is_empty();
            }
            let Some(entry) = self.page.front() else { return Ok(None) };
            let found = entry.key.strip_prefix(keys::APPS).unwrap_or_default();
            if found > name {
                return Ok(None);
            }
            let is_that = found == name;
            // What cannot be read differs, and is told of then.
            let brief = is_that.then(|| serde_json::from_slice(&entry.value).ok()).flatten();
            unknown.extend(found.parse().ok().filter(|_| !is_that));
            self.last.clone_from(&entry.key);
            self.page.pop_front();
            if is_that {
                return Ok(brief);
            }
        }
    }
}

fn deployment_key(record: &DeploymentRecord) -> String {
    keys::deployment(&record.app, record.generation)
}

fn encode(record: &DeploymentRecord) -> Result<Vec<u8>, DeployError> {
    record.encode().map_err(|error| ApplyError::Task(error.to_string()).into())
}

/// Whether nothing more can be written, into the store or into the ledger: it is tried again.
fn is_of_disk(error: &DeployError) -> bool {
    let DeployError::Apply(error) = error else { return false };
    error.is_full_disk()
        || matches!(
            error,
            ApplyError::Store(StoreError::Database(_) | StoreError::Away { .. })
                | ApplyError::Ledger(LedgerError::Database(_))
        )
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
