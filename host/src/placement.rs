//! The story of the fleet being planned: the view becomes a plan, and the plan is written where it is
//! still about the same view. Decides nothing itself: `core::place` does, and whose turn it is to plan
//! `core::node::turns`. Two planners at once are harmless, since what one has
//! written the other's commit does not find unchanged.

mod gone;
mod kept;
mod news;
mod view;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use steerage_core::id::HostName;
use steerage_core::node::{PlanSituation, PlanTurn, PlanTurns};
use steerage_core::place::Aims;
use steerage_core::replicas;

use crate::fleet::{Fleet, View};
use crate::shutdown::Shutdown;
use crate::store::StoreError;
use crate::telemetry::chain;
use crate::telemetry::events::Events;

use self::kept::Kept;
use self::news::News;
pub use self::view::of;
use self::write::write;

/// News is gathered for so long before a plan is made: a deploy is several changes.
const GATHER: Duration = Duration::from_millis(20);

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
    let mut turns = PlanTurns::new(settings.patience, settings.consolidate);
    let started_at = Instant::now();
    while !shutdown.has_begun() {
        let turn = turns.begin(started_at.elapsed(), &situation(&fleet));
        let mut is_unclear = false;
        if let Some(turn) = turn {
            is_unclear = gone::ask(&fleet).await;
            let n_moved = match planning.plan_once(&fleet, turn).await {
                Ok(n_apps) => {
                    planning.news.tell_written();
                    if n_apps > 0 {
                        tracing::info!(n_apps, "placed apps");
                    }
                    Some(n_apps)
                }
                Err(StoreError::Conflict { .. }) => {
                    // The view that comes with what overtook this plan makes the next one.
                    tracing::debug!("a plan was overtaken");
                    None
                }
                Err(error) => {
                    planning.news.tell_failed(&chain(&error));
                    None
                }
            };
            turns.end(started_at.elapsed(), turn, n_moved);
        } else {
            planning.kept.see(&view::hosts(&fleet, &fleet.view()));
        }
        let next = turns.pause(is_unclear);
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

/// Whether this host is the one that plans, and knows what is now: of the store, and of what apps use.
#[must_use]
pub fn is_planner(fleet: &Fleet) -> bool {
    let view = fleet.view();
    fleet.is_current()
        && fleet.knows_use()
        && view.is_planner(fleet.me(), |host| counts(fleet, &view, host))
}

/// What is known when a plan might be made.
fn situation(fleet: &Fleet) -> PlanSituation {
    let view = fleet.view();
    let is_gone = |host: &HostName| !fleet.liveness(&view, host).keeps_replicas();
    PlanSituation {
        is_planner: is_planner(fleet),
        connected_for: (!fleet.is_cut_off()).then(|| fleet.connected_for()),
        misses_hosts: view.misses_hosts(is_gone),
        is_frozen: view.is_frozen(),
        all_are_well: view.all_hosts().all(|(host, _)| counts(fleet, &view, host)),
    }
}

fn counts(fleet: &Fleet, view: &View, host: &HostName) -> bool {
    fleet.liveness(view, host).counts_for_planner()
}

/// What is kept between plans.
#[derive(Debug)]
struct Planning {
    kept: Kept,
    news: News,
}

impl Planning {
    /// Makes one plan and writes it; returns of how many apps.
    async fn plan_once(&mut self, fleet: &Fleet, turn: PlanTurn) -> Result<usize, StoreError> {
        let view = fleet.view();
        let (planned_for, planned_in) = (fleet.clone(), view.clone());
        let anew = self.kept.anew();
        let mut kept = std::mem::replace(&mut self.kept, anew);
        // Planning takes seconds where there are a million replicas.
        let planned = tokio::task::spawn_blocking(move || {
            let first = Aims { consolidate: false };
            let mut plan = kept.plan(&planned_for, &planned_in, turn.with_use, first);
            // Only where nothing else is to be moved: what was lost goes first, and by itself.
            if turn.consolidates && plan.moves.is_empty() {
                let emptied = Aims { consolidate: true };
                plan = kept.plan(&planned_for, &planned_in, false, emptied);
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
