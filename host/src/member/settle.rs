//! Catching up with what the fleet wants, one app at a time and a few at once: takes the steps that
//! `core::node::reconciler` begins, and tells it what they came to.

mod announced;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use steerage_core::id::{AppName, Generation};
use steerage_core::node::{Announcer, AppHere, Reconciler};
use steerage_core::reconcile::{AppStatus, Step};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Member, Shared};
use crate::agent::{Agent, ApplyError};
use crate::fleet::Fleet;
use crate::ledger::record::Fingerprint;
use crate::telemetry::chain;
use crate::telemetry::events::{Event, Severity};

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
        self.add(view.apps().map(|(app, _)| app.clone()).chain(served.apps.keys().cloned()));
    }

    fn take(&self) -> BTreeSet<AppName> {
        std::mem::take(&mut *self.apps.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What one look at an app came to.
struct Looked {
    app: AppName,
    step: Step,
    failed: Option<ApplyError>,
}

/// What is seen to, what is announced, and the work that is done for it.
struct Settling {
    reconciler: Reconciler,
    announcer: Announcer,
    work: JoinSet<Looked>,
    learning: JoinSet<Vec<Looked>>,
    began_at: Instant,
}

/// Sees to apps until it is dropped.
pub(super) async fn settle(shared: &Shared) {
    let Shared { member, lease, settle: queue, .. } = shared;
    let mut all = Settling {
        reconciler: Reconciler::default(),
        announcer: Announcer::default(),
        work: JoinSet::new(),
        learning: JoinSet::new(),
        began_at: Instant::now(),
    };
    let mut leases = lease.subscribe();
    loop {
        all.begin(member, queue).await;
        let lease = *leases.borrow_and_update();
        let (began_at, is_idle) = (all.began_at, all.reconciler.is_idle());
        let now = || began_at.elapsed();
        announced::announce(&mut all.announcer, member, lease, is_idle, now).await;
        if !member.fleet.is_known() && !member.fleet.is_cut_off() && all.knows_all(member) {
            member.fleet.note_known();
            tracing::info!("every app of the fleet is known: ready for callers");
        }
        let due_at =
            [all.announcer.due_at(), all.reconciler.wakes_at()].into_iter().flatten().min();
        let is_due = async {
            match due_at {
                Some(at) => tokio::time::sleep_until(began_at + at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = queue.news.notified() => {}
            Ok(()) = leases.changed() => {
                if leases.borrow().is_some() {
                    // What was announced under an earlier lease of this host is gone with it.
                    queue.all(member);
                }
            }
            Some(Ok(looked)) = all.work.join_next() => all.end(member, looked),
            Some(Ok(learned)) = all.learning.join_next() => {
                for looked in learned {
                    all.end(member, looked);
                }
            }
            () = is_due => {}
        }
    }
}

impl Settling {
    /// How long it has been seen to apps.
    fn now(&self) -> Duration {
        self.began_at.elapsed()
    }

    /// Looks at all that there is to look at, and begins what is to be done.
    async fn begin(&mut self, member: &Member, queue: &Queue) {
        self.reconciler.wake(self.now());
        let mut n_looked = 0;
        loop {
            self.reconciler.add(queue.take());
            let Some(app) = self.reconciler.next_app() else { break };
            self.look(member, app);
            n_looked += 1;
            if n_looked % YIELD == 0 {
                // A hundred thousand apps are looked at when a host registers.
                tokio::task::yield_now().await;
            }
        }
        let batch = self.reconciler.batch();
        if !batch.is_empty() {
            self.learning.spawn(learn(member.clone(), batch));
        }
    }

    /// Looks at one app.
    fn look(&mut self, member: &Member, app: AppName) {
        let standing = standing(member, &app, self.announcer.announced(&app));
        see_quarantine(member, &app);
        member.agent.follow_share(&member.fleet, &app);
        member.agent.follow_watch(&member.fleet.view(), &app);
        self.announcer.note_canary(&app, standing.tried, self.now());
        match self.reconciler.begin(&app, &standing) {
            None => {}
            Some(Step::EndCanary) => end_canary(member, &app),
            Some(step) => {
                let member = member.clone();
                // What panics is a failure like others, or the app would count as busy for ever.
                self.work.spawn(async move {
                    let looked = AssertUnwindSafe(look(member, app.clone(), step)).catch_unwind();
                    looked.await.unwrap_or_else(|_| panicked(app, step))
                });
            }
        }
    }

    /// Takes what a step came to.
    fn end(&mut self, member: &Member, looked: Looked) {
        let Looked { app, step, failed } = looked;
        let now = self.now();
        let n_failures = self.reconciler.done(&app, failed.is_none(), now);
        match (failed, n_failures) {
            (Some(error), Some(n_failures)) => complain(member, &app, &error, n_failures),
            _ => self.announcer.note(&app, step, now),
        }
    }

    /// Whether this host has looked at every app of the fleet, and serves those that it can.
    fn knows_all(&self, member: &Member) -> bool {
        let served = member.own.catalog.snapshot();
        let is_known =
            |app: &AppName| served.apps.contains_key(app) || self.reconciler.has_failed(app);
        self.reconciler.has_settled() && member.fleet.view().apps().all(|(app, _)| is_known(app))
    }
}

fn panicked(app: AppName, step: Step) -> Looked {
    Looked { app, step, failed: Some(ApplyError::Task("it panicked".to_owned())) }
}

/// Learns of apps that run elsewhere.
async fn learn(member: Member, batch: Vec<(AppName, Generation)>) -> Vec<Looked> {
    let steps: BTreeMap<AppName, Generation> = batch.iter().cloned().collect();
    let followed = AssertUnwindSafe(member.agent.follow_all(&member.fleet, batch));
    let followed = followed.catch_unwind().await;
    let mut done: BTreeMap<AppName, _> = followed.into_iter().flatten().collect();
    let looked = steps.into_iter().map(|(app, generation)| {
        let step = Step::Follow(generation);
        match done.remove(&app) {
            Some(done) => Looked { app, step, failed: done.err() },
            None => panicked(app, step),
        }
    });
    looked.collect()
}

/// Quarantines an app here, or lets it go, as the fleet says.
fn see_quarantine(member: &Member, app: &AppName) {
    let view = member.fleet.view();
    let record = view.app(app);
    let record = record.filter(|record| record.is_quarantined);
    member.agent.quarantine(app, record.and_then(|record| Generation::new(record.generation)));
}

/// How an app stands here.
fn standing(member: &Member, app: &AppName, announced: Option<Generation>) -> AppStatus {
    let (me, view) = (member.fleet.me(), member.fleet.view());
    let app_here = member.own.catalog.app(app);
    let tried = app_here.as_ref().and_then(|app| app.canary()).map(|canary| canary.generation());
    let served = app_here.as_ref().map(|here| here.generation);
    let fingerprint = || member.agent.fingerprint(app_here.as_ref()?);
    let is_same = |wanted: &str| {
        let wanted = wanted.parse::<Fingerprint>().ok();
        wanted.is_none_or(|wanted| fingerprint().is_none_or(|here| here == wanted))
    };
    view.status(me, app, AppHere { served, announced, tried }, is_same)
}

/// Carries out one step.
async fn look(member: Member, app: AppName, step: Step) -> Looked {
    let (agent, fleet) = (&member.agent, &member.fleet);
    let done = match step {
        // Many are followed at once.
        Step::Rest | Step::Retire | Step::EndCanary | Step::Follow(_) => Ok(()),
        Step::Forget(latest) => agent.remove(&app, Some(latest)).await.map(drop),
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
    let record = view.app(app);
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
