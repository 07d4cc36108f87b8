//! The story of the fleet being planned: the view becomes a plan, and the plan is written where it is
//! still about the same view. Any host may plan; the one whose name comes first does, among those
//! that answer, so that no election is needed and the loss of the planner needs none either.
//! Decides nothing itself: `core::place` does. Two planners at once are harmless, since what one has
//! written the other's commit does not find unchanged.

mod gone;
mod kept;
mod news;
mod quiet;
mod view;
mod write;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use steerage_core::id::HostName;
use steerage_core::liveness::LeaseState;
use steerage_core::place::Aims;
use steerage_core::replicas;

use crate::fleet::{Fleet, View};
use crate::shutdown::Shutdown;
use crate::store::StoreError;
use crate::telemetry::chain;
use crate::telemetry::events::Events;

use self::kept::Kept;
use self::news::News;
use self::quiet::Quiet;
pub use self::view::of;
use self::write::write;

/// News is gathered for so long before a plan is made: a deploy is several changes.
const GATHER: Duration = Duration::from_millis(20);
/// A plan is made this often even without news, since use changes and is no news: soon enough for load
/// to be followed, and less often where planning takes long.
const EVERY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));
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
    /// How long a host that ended or was lost may take to come back before its replicas are moved.
    pub grace: Duration,
}

/// Plans until the host closes.
pub async fn keep_planning(
    fleet: Fleet,
    settings: PlanSettings,
    events: Arc<Events>,
    shutdown: Shutdown,
) {
    let (mut changes, mut health) = (fleet.changes(), fleet.peers().changes());
    let mut planning = Planning {
        kept: Kept::new(settings.headroom, (replicas::WINDOW, settings.grace)),
        news: News::new(events),
    };
    let mut quiet = Quiet::default();
    let (mut every, mut use_taken_at) = (EVERY.0, Instant::now());
    let mut n_unclear = 0;
    while !shutdown.has_begun() {
        let is_early = fleet.connected_for() < settings.patience;
        let waits = is_early && misses_hosts(&fleet);
        let is_frozen = fleet.view().is_frozen();
        let plans = is_planner(&fleet) && !waits && !is_frozen;
        let is_unclear = plans && gone::ask(&fleet).await;
        n_unclear = if is_unclear { n_unclear + 1 } else { 0 };
        if plans {
            let began_at = Instant::now();
            let is_quiet = quiet.lasts(began_at, settings.consolidate);
            // Hosts are not emptied while another one is in trouble: what it has may have to go
            // somewhere in a moment.
            let aims = Aims { consolidate: is_quiet && all_count(&fleet) };
            let with_use = is_quiet || use_taken_at.elapsed() >= every;
            match planning.plan_once(&fleet, with_use, aims).await {
                Ok(n_apps) => {
                    planning.news.tell_written();
                    if n_apps > 0 {
                        tracing::info!(n_apps, "placed apps");
                    }
                    if n_apps > 0 || is_quiet {
                        quiet.begin(Instant::now());
                    }
                }
                Err(StoreError::Conflict { .. }) => {
                    // The view that comes with what overtook this plan makes the next one.
                    tracing::debug!("a plan was overtaken");
                }
                Err(error) => planning.news.tell_failed(&chain(&error)),
            }
            if with_use {
                use_taken_at = Instant::now();
                every = (began_at.elapsed() * SHARE).clamp(EVERY.0, EVERY.1);
            }
        } else {
            quiet.forget();
            planning.kept.see(&view::hosts(&fleet, &fleet.view()));
        }
        let next = match (waits, is_unclear) {
            (true, _) => settings.patience / 4,
            (_, true) => gone::again(n_unclear).min(every),
            _ => every,
        };
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

/// Whether this host comes first among those that are registered and answer, and knows what is now.
#[must_use]
pub fn is_planner(fleet: &Fleet) -> bool {
    let view = fleet.view();
    let mut ready = view.hosts.keys().filter(|host| counts(fleet, &view, host));
    fleet.is_current() && ready.next() == Some(fleet.me())
}

/// Whether every host that is known is registered and answers.
fn all_count(fleet: &Fleet) -> bool {
    let view = fleet.view();
    view.all_hosts().all(|(host, _)| counts(fleet, &view, host))
}

fn counts(fleet: &Fleet, view: &View, host: &HostName) -> bool {
    fleet.liveness(view, host).counts_for_planner()
}

/// Whether apps are assigned to hosts that are gone and that the store may have lost only while it was
/// away.
fn misses_hosts(fleet: &Fleet) -> bool {
    let view = fleet.view();
    let is_missed = |host: &HostName| {
        view.lease_of(host) == LeaseState::Ended && !fleet.liveness(&view, host).keeps_replicas()
    };
    let assigned: BTreeSet<&HostName> =
        view.assigned.values().flat_map(|(hosts, _)| hosts.iter()).collect();
    assigned.into_iter().any(is_missed)
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
        let anew = self.kept.anew();
        let mut kept = std::mem::replace(&mut self.kept, anew);
        // Planning takes seconds where there are a million replicas.
        let planned = tokio::task::spawn_blocking(move || {
            let first = Aims { consolidate: false };
            let mut plan = kept.plan(&planned_for, &planned_in, with_use, first);
            // Only where nothing else is to be moved: what was lost goes first, and by itself.
            if aims.consolidate && plan.moves.is_empty() {
                plan = kept.plan(&planned_for, &planned_in, false, aims);
            }
            (kept, plan)
        });
        let (kept, plan) = planned.await.map_err(|error| StoreError::Damaged {
            what: format!("making a plan failed, which is a fault of steerage: {error}"),
        })?;
        self.kept = kept;
        self.news.tell_room(&plan);
        let n_apps = write(fleet, &view, &plan, self.kept.orphans()).await?;
        self.news.tell_emptied(&plan);
        Ok(n_apps)
    }
}
