//! Telling the store which code is at hand here: soon, and many at once where there are many.
//! Does not bring code.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use steerage_core::id::{AppName, Generation};
use steerage_core::reconcile::Step;
use tokio::time::Instant;

use super::Member;
use crate::fleet::keys;
use crate::fleet::record::{self, ReadyRecord};
use crate::store::{Commit, LeaseId, Write};
use crate::telemetry::chain;

/// What is ready is announced so soon, though others that would go into the same commit are not.
const SOON: Duration = Duration::from_millis(200);
/// As many announcements go into one commit; see the store's bound.
const BATCH: usize = 100;

/// What this host has announced, and under which lease.
#[derive(Default)]
pub(super) struct Announced {
    pub(super) lease: Option<LeaseId>,
    pub(super) ready: BTreeMap<AppName, (Generation, Option<Generation>)>,
    /// What is to be written.
    pub(super) due: BTreeSet<AppName>,
    /// Since when there is anything, or since the store did not take it.
    due_since: Option<Instant>,
}

impl Announced {
    /// Notes that something of an app is to be written.
    fn is_to_tell(&mut self, app: AppName) {
        self.due.insert(app);
        self.due_since.get_or_insert_with(Instant::now);
    }

    pub(super) fn tell_all(&mut self) {
        let all: Vec<AppName> = self.ready.keys().cloned().collect();
        all.into_iter().for_each(|app| self.is_to_tell(app));
    }

    /// When what is to be written is written at the latest.
    pub(super) fn due_at(&self) -> Instant {
        self.due_since.unwrap_or_else(Instant::now) + SOON
    }

    /// Whether it is time to write: nothing more will come soon, or it is a batch, or long enough ago.
    pub(super) fn is_due(&self, is_all: bool) -> bool {
        let is_late = Instant::now() >= self.due_at();
        !self.due.is_empty() && (is_all || is_late || self.due.len() >= BATCH)
    }

    pub(super) fn note(&mut self, app: &AppName, step: Step) {
        match step {
            Step::Prepare(generation) => drop(self.ready.insert(app.clone(), (generation, None))),
            Step::Retire | Step::Forget => drop(self.ready.remove(app)),
            Step::Rest | Step::Follow(_) | Step::Try(_) | Step::EndCanary => return,
        }
        self.is_to_tell(app.clone());
    }

    /// Notes what is tried, however that came to be: a trial ends with what it was published beside.
    pub(super) fn note_canary(&mut self, app: &AppName, tried: Option<Generation>) {
        if let Some((_, told)) = self.ready.get_mut(app)
            && *told != tried
        {
            *told = tried;
            self.is_to_tell(app.clone());
        }
    }

    /// Writes what is due, as far as the store takes it.
    pub(super) async fn write(&mut self, member: &Member, lease: Option<LeaseId>) {
        // What fails is tried again as soon as what is new.
        self.due_since = Some(Instant::now());
        let Some(lease) = lease.filter(|_| !member.fleet.is_cut_off()) else { return };
        if self.lease != Some(lease) {
            self.tell_all();
            self.lease = Some(lease);
        }
        let me = member.fleet.me();
        while !self.due.is_empty() {
            let batch: Vec<AppName> = self.due.iter().take(BATCH).cloned().collect();
            let writes = batch.iter().map(|app| {
                let key = keys::ready(me, app);
                match self.ready.get(app) {
                    Some((generation, tried)) => {
                        let canary = tried.map(Generation::get);
                        let here = member.own.catalog.app(app);
                        let here = here.filter(|here| here.generation == *generation);
                        let fingerprint = here.and_then(|here| member.agent.fingerprint(&here));
                        let fingerprint = fingerprint.map(|fingerprint| fingerprint.to_string());
                        let ready =
                            ReadyRecord { generation: generation.get(), canary, fingerprint };
                        Write::Put { key, value: record::encode(&ready), lease: Some(lease) }
                    }
                    None => Write::Delete(key),
                }
            });
            let commit = Commit { guards: Vec::new(), writes: writes.collect() };
            if let Err(error) = member.fleet.commit(commit).await {
                tracing::debug!(error = chain(&error), "cannot announce what is ready");
                return;
            }
            for app in batch {
                self.due.remove(&app);
            }
        }
        self.due_since = None;
    }
}
