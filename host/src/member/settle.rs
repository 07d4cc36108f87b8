//! Catching up with what the fleet wants, one app at a time and a few at once, as `core::reconcile`
//! says. What fails is tried again later and keeps nobody else back.

mod announced;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use steerage_core::id::{AppName, Generation};
use steerage_core::reconcile::{AppStatus, Step, Wanted, Wish, next_step};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use self::announced::Announced;
use super::{Member, Shared};
use crate::agent::{Agent, ApplyError};
use crate::catalog::App;
use crate::fleet::{Fleet, keys};
use crate::store::Revision;
use crate::telemetry::chain;
use crate::telemetry::events::{Event, Severity};

/// How many apps are seen to at once: fetching waits for others, compiling has its own bound.
const PARALLEL: usize = 8;
/// When a failure is tried again, and at most how long after several.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// After so many looks others have their turn.
const YIELD: usize = 256;

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
        let served = member.own.catalog.snapshot();
        self.add(view.apps.keys().cloned().chain(served.apps.keys().cloned()));
    }

    fn take(&self) -> Option<AppName> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
    }
}

/// As many apps are learned of at once.
const FOLLOWED: usize = 512;

/// What one look at an app came to.
struct Looked {
    app: AppName,
    step: Step,
    failed: Option<ApplyError>,
}

/// What is under way.
#[derive(Default)]
struct UnderWay {
    work: JoinSet<Looked>,
    /// Apps that run elsewhere and are to be learned of, while others are: the longer it takes, the more
    /// are learned of at once.
    unlearned: Vec<(AppName, Generation)>,
    learning: JoinSet<Vec<Looked>>,
    busy: BTreeSet<AppName>,
    /// Of those that are busy, the ones to look at again as soon as they are not.
    again: BTreeSet<AppName>,
    /// Those for which there was no place.
    waiting: BTreeSet<AppName>,
    failures: BTreeMap<AppName, u32>,
    /// Those that are tried again later.
    later: JoinSet<AppName>,
}

/// Sees to apps until it is dropped.
pub(super) async fn settle(shared: &Shared) {
    let Shared { member, lease, settle: queue, .. } = shared;
    let (mut announced, mut under_way) = (Announced::default(), UnderWay::default());
    let mut leases = lease.subscribe();
    loop {
        let mut n_looked = 0;
        while let Some(app) = queue.take().or_else(|| under_way.next_waiting()) {
            under_way.begin(member, queue, &mut announced, app);
            n_looked += 1;
            if n_looked % YIELD == 0 {
                // A hundred thousand apps are looked at when a host registers.
                tokio::task::yield_now().await;
            }
        }
        // Soon, and many at once where there are many: others count on what is ready while the rest is
        // not.
        under_way.learn(member);
        if announced.is_due(under_way.work.is_empty()) {
            let lease = *lease.borrow();
            announced.write(member, lease).await;
        }
        if !member.fleet.is_known() && !member.fleet.is_cut_off() && under_way.knows_all(member) {
            member.fleet.note_known();
            tracing::info!("every app of the fleet is known: ready for callers");
        }
        let due_at = announced.due_at();
        tokio::select! {
            () = queue.news.notified() => {}
            Ok(()) = leases.changed() => {
                let now = *leases.borrow_and_update();
                if announced.lease != now {
                    announced.tell_all();
                }
                if now.is_some() {
                    // What was announced under an earlier lease of this host is gone with it.
                    queue.all(member);
                }
            }
            Some(Ok(app)) = under_way.later.join_next() => queue.add([app]),
            Some(Ok(looked)) = under_way.work.join_next() => {
                under_way.end(member, queue, &mut announced, looked);
            }
            Some(Ok(all)) = under_way.learning.join_next() => {
                for looked in all {
                    under_way.end(member, queue, &mut announced, looked);
                }
            }
            () = tokio::time::sleep_until(due_at), if !announced.due.is_empty() => {}
        }
    }
}

impl UnderWay {
    /// Takes the next step about an app, or notes that it is to be taken.
    fn begin(&mut self, member: &Member, queue: &Queue, announced: &mut Announced, app: AppName) {
        let had = announced.ready.get(&app).map(|(generation, _)| *generation);
        let standing = standing(member, &app, had);
        see_quarantine(member, &app);
        announced.note_canary(&app, standing.tried);
        match next_step(&standing) {
            Step::Rest => {}
            Step::EndCanary => {
                // It waits for nobody: others may compile for a minute, and it harms callers.
                end_canary(member, &app);
                queue.add([app]);
            }
            _ if self.busy.contains(&app) => drop(self.again.insert(app)),
            Step::Follow(generation) => {
                self.busy.insert(app.clone());
                self.unlearned.push((app, generation));
            }
            _ if self.work.len() >= PARALLEL => drop(self.waiting.insert(app)),
            step => {
                self.busy.insert(app.clone());
                let member = member.clone();
                // What panics is a failure like others, or the app would count as busy for ever.
                self.work.spawn(async move {
                    let looked = AssertUnwindSafe(look(member, app.clone(), step)).catch_unwind();
                    looked.await.unwrap_or_else(|_| {
                        let failed = Some(ApplyError::Task("it panicked".to_owned()));
                        Looked { app, step, failed }
                    })
                });
            }
        }
    }

    /// Learns of what is to be learned of, unless it does so already.
    fn learn(&mut self, member: &Member) {
        if self.unlearned.is_empty() || !self.learning.is_empty() {
            return;
        }
        let n_now = self.unlearned.len().min(FOLLOWED);
        let now: Vec<_> = self.unlearned.drain(..n_now).collect();
        let member = member.clone();
        self.learning.spawn(async move {
            let steps: BTreeMap<AppName, Generation> = now.iter().cloned().collect();
            let followed = AssertUnwindSafe(member.agent.follow_all(&member.fleet, now));
            let looked = |app: AppName, generation, done: Result<(), ApplyError>| Looked {
                app,
                step: Step::Follow(generation),
                failed: done.err(),
            };
            match followed.catch_unwind().await {
                Ok(followed) => {
                    let followed = followed.into_iter();
                    let looked = followed.filter_map(|(app, done)| {
                        let generation = *steps.get(&app)?;
                        Some(looked(app, generation, done))
                    });
                    looked.collect()
                }
                Err(_) => {
                    let failed = || Err(ApplyError::Task("it panicked".to_owned()));
                    let all = steps.into_iter();
                    all.map(|(app, generation)| looked(app, generation, failed())).collect()
                }
            }
        });
    }

    /// Takes what a step came to.
    fn end(&mut self, member: &Member, queue: &Queue, announced: &mut Announced, looked: Looked) {
        let Looked { app, step, failed } = looked;
        self.busy.remove(&app);
        let has_news = self.again.remove(&app);
        match failed {
            None => {
                self.failures.remove(&app);
                announced.note(&app, step);
                queue.add([app]);
            }
            Some(error) => {
                let n_failures = self.failures.entry(app.clone()).or_default();
                complain(member, &app, &error, *n_failures);
                let (shortest, longest) = RETRY;
                let pause = shortest.saturating_mul(1 << (*n_failures).min(8)).min(longest);
                *n_failures += 1;
                if has_news {
                    queue.add([app.clone()]);
                }
                self.later.spawn(async move {
                    tokio::time::sleep(pause).await;
                    app
                });
            }
        }
    }

    /// Whether this host has looked at every app of the fleet, and serves those that it can.
    fn knows_all(&self, member: &Member) -> bool {
        let served = member.own.catalog.snapshot();
        self.work.is_empty()
            && self.learning.is_empty()
            && self.unlearned.is_empty()
            && self.waiting.is_empty()
            && member
                .fleet
                .view()
                .apps
                .keys()
                .all(|app| served.apps.contains_key(app) || self.failures.contains_key(app))
    }

    /// Another one for which there is a place by now.
    fn next_waiting(&mut self) -> Option<AppName> {
        if self.work.len() < PARALLEL { self.waiting.pop_first() } else { None }
    }
}

/// Quarantines an app here, or lets it go, as the fleet says.
fn see_quarantine(member: &Member, app: &AppName) {
    let view = member.fleet.view();
    let record = view.apps.get(app).map(|(record, _)| record);
    let record = record.filter(|record| record.is_quarantined);
    member.agent.quarantine(app, record.and_then(|record| Generation::new(record.generation)));
}

/// How an app stands here.
fn standing(member: &Member, app: &AppName, announced: Option<Generation>) -> AppStatus {
    let (fleet, view) = (&member.fleet, member.fleet.view());
    let app_here = member.own.catalog.app(app);
    let tried = app_here.as_ref().and_then(|app| app.canary()).map(|canary| canary.generation());
    // Another deployment of the same number is not the one that is wanted.
    let is_same = |here: &App| {
        let wanted = view.fingerprint(app, here.generation.get());
        wanted.is_none() || member.agent.fingerprint(here).is_none_or(|here| Some(here) == wanted)
    };
    let known = app_here.as_ref().map(|here| here.generation).or(announced);
    let served = app_here.filter(|here| is_same(here)).map(|here| here.generation);
    let mut is_late = false;
    let wanted = view.apps.get(app).and_then(|(record, revision)| {
        let generation = Generation::new(record.generation)?;
        // The copy on the disk is written some moments after a change is followed. Until the store is
        // read, it takes back nothing that the ledger has of a later number.
        is_late = *revision == Revision::OF_COPY && known > Some(generation);
        let assigned = view.assigned_to(app);
        Some(Wanted {
            generation,
            is_here: assigned.is_some_and(|hosts| hosts.contains(fleet.me())),
            is_placed: assigned.is_some_and(|hosts| !hosts.is_empty()),
            is_ready: view.is_ready_everywhere(app, record.generation),
            canary: record.canary.as_ref().and_then(|canary| Generation::new(canary.generation)),
        })
    });
    let is_removed = known.is_some_and(|known| view.is_removed(app, known.get()));
    let wish = match wanted {
        Some(_) if is_late => Wish::Unknown,
        Some(wanted) => Wish::Wanted(wanted),
        None if is_removed && !view.is_unreadable(&keys::app(app)) => Wish::Removed,
        None => Wish::Unknown,
    };
    AppStatus { wish, served, announced, tried }
}

/// Carries out one step.
async fn look(member: Member, app: AppName, step: Step) -> Looked {
    let (agent, fleet) = (&member.agent, &member.fleet);
    let done = match step {
        // Many are followed at once.
        Step::Rest | Step::Retire | Step::EndCanary | Step::Follow(_) => Ok(()),
        Step::Forget => agent.remove(&app).await.map(drop),
        Step::Try(generation) => start_canary(agent, fleet, &app, generation).await,
        Step::Prepare(generation) => match agent.recall(fleet, &app, generation).await {
            Ok(deployment) => agent.prepare(&deployment).await,
            Err(error) => Err(error),
        },
    };
    Looked { app, step, failed: done.err() }
}

fn end_canary(member: &Member, app: &AppName) {
    let view = member.fleet.view();
    let record = view.apps.get(app).map(|(record, _)| record);
    member.agent.stop_canary(app, record.and_then(|record| record.rolled_back.as_ref()));
}

async fn start_canary(
    agent: &Agent,
    fleet: &Fleet,
    app: &AppName,
    generation: Generation,
) -> Result<(), ApplyError> {
    let Some(share) = Agent::wanted_share(fleet, app, generation) else { return Ok(()) };
    let deployment = agent.recall(fleet, app, generation).await?;
    agent.start_canary(&deployment, share).await
}

fn complain(member: &Member, app: &AppName, error: &ApplyError, n_failures: u32) {
    tracing::warn!(%app, error = chain(error), n_failures, "cannot catch up with an app; trying on");
    // A route that one app gives up and another takes comes in two pieces of news.
    let is_passing = matches!(error, ApplyError::Conflict(_));
    if n_failures == if is_passing { 3 } else { 0 } {
        let detail = format!("{app} cannot be brought up here: {}", chain(error));
        let advice = if error.is_full_disk() {
            "make room on the disk of this host, which then catches up; others answer for it meanwhile"
        } else {
            "what it served before is served on; see `steerage events` of other hosts"
        };
        member.own.events.push(Event {
            app: Some(app.clone()),
            severity: Severity::Error,
            advice: Some(advice.to_owned()),
            ..Event::now("not_ready", detail)
        });
    }
}
