//! Catching up with what the fleet wants, one app at a time and a few at once, as `core::reconcile`
//! says. What fails is tried again later and keeps nobody else back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use steerage_core::id::{AppName, Generation};
use steerage_core::reconcile::{Standing, Step, Wanted, next_step};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{Member, Shared};
use crate::agent::{Agent, DeployError};
use crate::fleet::record::{self, ReadyRecord};
use crate::fleet::{Fleet, keys};
use crate::store::{Commit, LeaseId, Write};
use crate::telemetry::chain;
use crate::telemetry::events::Severity;

/// How many apps are seen to at once: fetching waits for others, compiling has its own bound.
const PARALLEL: usize = 8;
/// When a failure is tried again, and at most how long after several.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// As many announcements go into one commit; see the store's bound.
const BATCH: usize = 100;

/// Apps to see to.
#[derive(Debug, Default)]
pub(super) struct Queue {
    apps: Mutex<BTreeSet<AppName>>,
    news: Notify,
}

impl Queue {
    /// Adds apps.
    pub(super) fn add(&self, apps: impl IntoIterator<Item = AppName>) {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner).extend(apps);
        self.news.notify_one();
    }

    /// Adds every app that the fleet or this host knows.
    pub(super) fn all(&self, member: &Member) {
        let view = member.fleet.view();
        let served = member.agent.parts().catalog.snapshot();
        self.add(view.apps.keys().cloned().chain(served.apps.keys().cloned()));
    }

    fn take(&self) -> Option<AppName> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
    }
}

/// What one look at an app came to.
struct Looked {
    app: AppName,
    step: Step,
    failed: Option<DeployError>,
}

/// What this host has announced, and under which lease.
#[derive(Default)]
struct Announced {
    lease: Option<LeaseId>,
    ready: BTreeMap<AppName, (Generation, Option<Generation>)>,
    /// What is to be written.
    due: BTreeSet<AppName>,
}

/// Sees to apps until it is dropped.
pub(super) async fn settle(shared: &Shared) {
    let Shared { member, lease, settle: queue } = shared;
    let mut announced = Announced::default();
    let mut failures: BTreeMap<AppName, u32> = BTreeMap::new();
    let (mut work, mut busy) = (JoinSet::new(), BTreeSet::new());
    let mut later: JoinSet<AppName> = JoinSet::new();
    let mut leases = lease.subscribe();
    loop {
        while work.len() < PARALLEL
            && let Some(app) = queue.take()
        {
            if busy.contains(&app) {
                // Whoever is at it looks again when done.
                later.spawn(async { app });
                break;
            }
            let had = announced.ready.get(&app).map(|(generation, _)| *generation);
            let standing = standing(member, &app, had);
            announced.note_trial(&app, standing.tried);
            let step = next_step(&standing);
            if step == Step::Rest {
                continue;
            }
            busy.insert(app.clone());
            work.spawn(look(member.clone(), app, step));
        }
        // As soon as there is a batch, so that others count on what is ready while the rest is not.
        if work.is_empty() || announced.due.len() >= BATCH {
            let lease = *lease.borrow();
            announced.write(member, lease).await;
        }
        tokio::select! {
            () = queue.news.notified() => {}
            Ok(()) = leases.changed() => {
                if announced.lease != *leases.borrow_and_update() {
                    announced.due.extend(announced.ready.keys().cloned());
                }
            }
            Some(Ok(app)) = later.join_next() => {
                if busy.contains(&app) {
                    let app = app.clone();
                    later.spawn(async move { tokio::time::sleep(Duration::from_millis(5)).await; app });
                } else {
                    queue.add([app]);
                }
            }
            Some(Ok(looked)) = work.join_next() => {
                let Looked { app, step, failed } = looked;
                busy.remove(&app);
                match failed {
                    None => {
                        failures.remove(&app);
                        announced.note(&app, step);
                        queue.add([app]);
                    }
                    Some(error) => {
                        let n_failures = failures.entry(app.clone()).or_default();
                        complain(member, &app, &error, *n_failures);
                        let (shortest, longest) = RETRY;
                        let pause = shortest.saturating_mul(1 << (*n_failures).min(8)).min(longest);
                        *n_failures += 1;
                        later.spawn(async move { tokio::time::sleep(pause).await; app });
                    }
                }
            }
            () = tokio::time::sleep(Duration::from_millis(200)), if !announced.due.is_empty() => {}
        }
    }
}

/// How an app stands here.
fn standing(member: &Member, app: &AppName, announced: Option<Generation>) -> Standing {
    let (fleet, view) = (&member.fleet, member.fleet.view());
    let app_here = member.agent.parts().catalog.app(app);
    let served = app_here.as_ref().map(|app| app.generation);
    let tried = app_here.and_then(|app| app.trial()).map(|trial| trial.generation());
    let wanted = view.apps.get(app).and_then(|(record, _)| {
        let generation = Generation::new(record.generation)?;
        let assigned = view.assigned_to(app);
        Some(Wanted {
            generation,
            is_here: assigned.is_some_and(|hosts| hosts.contains(fleet.me())),
            is_placed: assigned.is_some_and(|hosts| !hosts.is_empty()),
            is_ready: view.is_ready_everywhere(app, record.generation),
            canary: record.canary.as_ref().and_then(|canary| Generation::new(canary.generation)),
        })
    });
    // Until the store was read once, what is here is all that is known.
    if wanted.is_none() && fleet.is_cut_off() {
        return Standing::default();
    }
    Standing { wanted, served, announced, tried }
}

/// Carries out one step.
async fn look(member: Member, app: AppName, step: Step) -> Looked {
    let (agent, fleet) = (&member.agent, &member.fleet);
    let done = match step {
        Step::Rest | Step::Retire => Ok(()),
        Step::Forget => agent.forget_app(&app).await,
        Step::Try(generation) => try_out(agent, fleet, &app, generation).await,
        Step::EndTrial => {
            let view = fleet.view();
            let record = view.apps.get(&app).map(|(record, _)| record);
            agent.end_trial(&app, record.and_then(|record| record.taken_back.as_ref()));
            Ok(())
        }
        Step::Follow(generation) => match agent.recall(fleet, &app, generation).await {
            Ok(record) => agent.follow(record).await,
            Err(error) => Err(error),
        },
        Step::Prepare(generation) => match agent.recall(fleet, &app, generation).await {
            Ok(record) => agent.prepare(record).await,
            Err(error) => Err(error),
        },
    };
    Looked { app, step, failed: done.err() }
}

async fn try_out(
    agent: &Agent,
    fleet: &Fleet,
    app: &AppName,
    generation: Generation,
) -> Result<(), DeployError> {
    let Some(share) = Agent::wanted_share(fleet, app, generation) else { return Ok(()) };
    let record = agent.recall(fleet, app, generation).await?;
    agent.try_out(record, share).await
}

impl Announced {
    fn note(&mut self, app: &AppName, step: Step) {
        match step {
            Step::Prepare(generation) => drop(self.ready.insert(app.clone(), (generation, None))),
            Step::Retire | Step::Forget => drop(self.ready.remove(app)),
            Step::Rest | Step::Follow(_) | Step::Try(_) | Step::EndTrial => return,
        }
        self.due.insert(app.clone());
    }

    /// Notes what is tried, however that came to be: a trial ends with what it was published beside.
    fn note_trial(&mut self, app: &AppName, tried: Option<Generation>) {
        if let Some((_, told)) = self.ready.get_mut(app)
            && *told != tried
        {
            *told = tried;
            self.due.insert(app.clone());
        }
    }

    /// Writes what is due, as far as the store takes it.
    async fn write(&mut self, member: &Member, lease: Option<LeaseId>) {
        let Some(lease) = lease.filter(|_| !member.fleet.is_cut_off()) else { return };
        if self.lease != Some(lease) {
            self.due.extend(self.ready.keys().cloned());
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
                        let ready = ReadyRecord { generation: generation.get(), canary };
                        Write::Put { key, value: record::encode(&ready), lease: Some(lease) }
                    }
                    None => Write::Delete(key),
                }
            });
            let commit = Commit { guards: Vec::new(), writes: writes.collect() };
            if let Err(error) = member.fleet.store().commit(commit).await {
                tracing::debug!(error = chain(&error), "cannot announce what is ready");
                return;
            }
            for app in batch {
                self.due.remove(&app);
            }
        }
    }
}

fn complain(member: &Member, app: &AppName, error: &DeployError, n_failures: u32) {
    tracing::warn!(%app, error = chain(error), n_failures, "cannot catch up with an app; trying on");
    if n_failures == 0 {
        let detail = format!("{app} cannot be brought up here: {}", chain(error));
        let advice = if error.is_full_disk() {
            "make room on the disk of this host, which then catches up; others answer for it meanwhile"
        } else {
            "what it served before is served on; see `steerage events` of other hosts"
        };
        member.tell("not_ready", Severity::Error, detail, advice);
    }
}
