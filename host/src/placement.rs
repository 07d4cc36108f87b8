//! The story of the fleet being planned: the view becomes a plan, and the plan is written where it is
//! still about the same view. Any host may plan; the one whose name comes first does, among those
//! that answer, so that no election is needed and the loss of the planner needs none either.
//! Decides nothing itself: `core::place` does. Two planners at once are harmless, since what one has
//! written the other's commit does not find unchanged.

mod kept;
mod news;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use imbl::OrdSet;
use steerage_core::id::{AppName, HostName};
use steerage_core::place::{Aims, Plan};

use crate::fleet::record::{self, AssignedRecord};
use crate::fleet::{Fleet, View, keys};
use crate::forward::Health;
use crate::shutdown::Shutdown;
use crate::store::{Commit, Guard, StoreError, Write};
use crate::telemetry::chain;
use crate::telemetry::events::Events;

use self::kept::Kept;
use self::news::News;
pub use self::view::of;

/// News is gathered for so long before a plan is made: a deploy is several changes.
const GATHER: Duration = Duration::from_millis(20);
/// A plan is made this often even without news, since use changes and is no news: soon enough for load
/// to be followed, and less often where planning takes long.
const EVERY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));
/// As many moves of one plan are told one by one in the log.
const TOLD: usize = 20;
/// Plans without news take one part of so many of the time.
const SHARE: u32 = 50;

/// How placement goes about it.
#[derive(Clone, Copy, Debug)]
pub struct PlanSettings {
    /// What is kept free beyond what apps use, in percent of that.
    pub headroom: u32,
    /// How long hosts are given to come back after the store, or this host, was away: it would be a
    /// pity to move what is about to be there again.
    pub patience: Duration,
    /// How long nothing must have moved before hosts are emptied; `None` for never.
    pub consolidate: Option<Duration>,
}

/// Plans until the host closes.
pub async fn keep_planning(
    fleet: Fleet,
    settings: PlanSettings,
    events: Arc<Events>,
    shutdown: Shutdown,
) {
    let (mut changes, mut health) = (fleet.changes(), fleet.peers().changes());
    let mut planning = Planning { kept: Kept::new(settings.headroom), news: News::new(events) };
    // Since when nothing has moved.
    let mut quiet_since = Instant::now();
    let (mut every, mut use_taken_at) = (EVERY.0, Instant::now());
    while !shutdown.has_begun() {
        let is_early = fleet.connected_for() < settings.patience;
        let waits = is_early && misses_hosts(&fleet.view());
        let is_quiet = settings.consolidate.is_some_and(|quiet| quiet_since.elapsed() >= quiet);
        if is_planner(&fleet) && !fleet.is_cut_off() && !waits {
            let aims = Aims { consolidate: is_quiet };
            let began_at = Instant::now();
            let with_use = is_quiet || use_taken_at.elapsed() >= every;
            match planning.plan_once(&fleet, with_use, aims).await {
                Ok(n_apps) => {
                    if n_apps > 0 {
                        tracing::info!(n_apps, "placed apps");
                    }
                    if n_apps > 0 || is_quiet {
                        quiet_since = Instant::now();
                    }
                }
                Err(StoreError::Conflict { .. }) => {
                    // The view that comes with what overtook this plan makes the next one.
                    tracing::debug!("a plan was overtaken");
                }
                Err(error) => tracing::debug!(error = chain(&error), "a plan cannot be written"),
            }
            if with_use {
                use_taken_at = Instant::now();
                every = (began_at.elapsed() * SHARE).clamp(EVERY.0, EVERY.1);
            }
        }
        let next = if waits { settings.patience / 4 } else { every };
        tokio::select! {
            _ = changes.changed() => {}
            _ = health.changed() => {}
            () = tokio::time::sleep(next) => {}
            () = shutdown.begun() => return,
        }
        tokio::time::sleep(GATHER).await;
        changes.mark_unchanged();
        health.mark_unchanged();
    }
}

/// Whether this host comes first among those that answer.
#[must_use]
pub fn is_planner(fleet: &Fleet) -> bool {
    let view = fleet.view();
    let first = view.hosts.keys().find(|host| *host == fleet.me() || answers(fleet, host));
    first == Some(fleet.me())
}

/// Whether apps are assigned to hosts that are not there.
fn misses_hosts(view: &View) -> bool {
    view.assigned.values().any(|(hosts, _)| hosts.iter().any(|host| view.host(host).is_none()))
}

fn answers(fleet: &Fleet, host: &HostName) -> bool {
    fleet.peers().named(host).is_some_and(|peer| peer.health() == Health::Answers)
}

/// What is kept between plans.
#[derive(Debug)]
struct Planning {
    kept: Kept,
    news: News,
}

impl Planning {
    /// Makes one plan and writes it; returns of how many apps.
    async fn plan_once(
        &mut self,
        fleet: &Fleet,
        with_use: bool,
        aims: Aims,
    ) -> Result<usize, StoreError> {
        let view = fleet.view();
        let (planned_for, planned_in) = (fleet.clone(), view.clone());
        let anew = Kept::new(self.kept.headroom());
        let mut kept = std::mem::replace(&mut self.kept, anew);
        // Planning takes seconds where there are a million replicas.
        let planned = tokio::task::spawn_blocking(move || {
            let plan = kept.plan(&planned_for, &planned_in, with_use, aims);
            (kept, plan)
        });
        let Ok((kept, plan)) = planned.await else { return Ok(0) };
        self.kept = kept;
        self.news.tell_room(&plan);
        let n_apps = write(fleet, &view, &plan, self.kept.orphans()).await?;
        self.news.tell_emptied(&plan);
        Ok(n_apps)
    }
}

/// Writes what the plan changes, app by app, each only where it is as the plan saw it.
async fn write(
    fleet: &Fleet,
    view: &View,
    plan: &Plan,
    orphans: &BTreeSet<AppName>,
) -> Result<usize, StoreError> {
    let mut after: BTreeMap<AppName, BTreeSet<HostName>> = BTreeMap::new();
    for (number, step) in plan.moves.iter().enumerate() {
        let hosts = after.entry(step.app.clone()).or_insert_with(|| {
            let now = view.assigned_to(&step.app).map(OrdSet::iter);
            now.into_iter().flatten().cloned().collect()
        });
        if let Some(from) = &step.from {
            hosts.remove(from);
        }
        if let Some(to) = &step.to {
            hosts.insert(to.clone());
        }
        if number < TOLD {
            tracing::info!("{step}");
        } else {
            tracing::debug!("{step}");
        }
    }
    if plan.moves.len() > TOLD {
        tracing::info!("and {} moves more", plan.moves.len() - TOLD);
    }
    let n_apps = after.len() + orphans.len();
    let mut changes: Vec<(Guard, Write)> = Vec::with_capacity(n_apps);
    for (app, hosts) in &after {
        let hosts = hosts.iter().map(ToString::to_string).collect();
        let value = record::encode(&AssignedRecord { hosts });
        let write = Write::Put { key: keys::assigned(app), value, lease: None };
        changes.push((guard(view, app), write));
    }
    for app in orphans {
        changes.push((guard(view, app), Write::Delete(keys::assigned(app))));
    }
    for batch in changes.chunks(crate::store::MOST_WRITES) {
        let (guards, writes) = batch.iter().cloned().unzip();
        fleet.store().commit(Commit { guards, writes }).await?;
    }
    Ok(n_apps)
}

fn guard(view: &View, app: &AppName) -> Guard {
    let key = keys::assigned(app);
    match view.assigned.get(app) {
        Some((_, revision)) => Guard::At(key, *revision),
        None => Guard::Absent(key),
    }
}
