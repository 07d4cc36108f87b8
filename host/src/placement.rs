//! The story of the fleet being planned: the view becomes a plan, and the plan is written where it is
//! still about the same view. Decides nothing itself: `core::place` does, and whose turn it is to plan
//! `core::node::turns`. Two planners at once are harmless, since what one has
//! written the other's commit does not find unchanged.

mod gone;
mod history;
mod kept;
mod news;
mod view;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use steerage_core::id::HostName;
use steerage_core::node::{PlanEnd, PlanNumbers, PlanSituation, PlanTurn, PlanTurns};
use steerage_core::place::{Aims, Policy, Trigger};

use crate::fleet::{Fleet, View};
use crate::shutdown::Shutdown;
use crate::store::StoreError;
use crate::telemetry::chain;
use crate::telemetry::events::Events;

use self::history::Drawn;
pub use self::history::history;
use self::kept::{Asked, Kept};
use self::news::News;
pub use self::view::of;
use self::write::{Written, write};

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
    /// How many replicas are moved in a minute at most that could stay where they are.
    pub move_rate: u32,
    /// Replicas go where fewer have been enough for so long.
    pub scale_down: Duration,
    /// Which of the hosts that would do gets a replica.
    pub policy: Policy,
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
        kept: Kept::new(settings.headroom, (settings.scale_down, settings.grace)),
        news: News::new(events),
        numbers: PlanNumbers::default(),
        policy: settings.policy,
    };
    let mut turns = PlanTurns::new(settings.patience, settings.consolidate, settings.move_rate);
    let started_at = Instant::now();
    while !shutdown.has_begun() {
        let turn = turns.begin(started_at.elapsed(), &situation(&fleet));
        let mut is_unclear = false;
        if let Some(turn) = turn {
            is_unclear = gone::ask(&fleet).await;
            let (written, end) = planning.plan_once(&fleet, turn).await;
            match written {
                Ok(Written { number, n_apps }) => {
                    planning.news.tell_written();
                    if n_apps > 0 {
                        tracing::info!(plan = number, n_apps, "placed apps");
                    }
                }
                // The view that comes with what overtook this plan makes the next one.
                Err(StoreError::Conflict { .. }) => tracing::debug!("a plan was overtaken"),
                Err(error) => planning.news.tell_failed(&chain(&error)),
            }
            turns.end(started_at.elapsed(), turn, end);
        } else {
            if plans_elsewhere(&fleet) {
                planning.news.tell_passed();
            }
            planning.kept.see(&view::hosts(&fleet, &fleet.view()));
            // Load may want more meanwhile, and others may give numbers.
            planning.kept.forget_low();
            planning.numbers.doubt();
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

/// Whether another host is the one that plans. A host that does not know what is now does not know that.
fn plans_elsewhere(fleet: &Fleet) -> bool {
    let view = fleet.view();
    fleet.is_current() && !view.is_planner(fleet.me(), |host| counts(fleet, &view, host))
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
    numbers: PlanNumbers,
    policy: Policy,
}

impl Planning {
    /// Makes one plan and writes it. Where that fails, a part of it may be written all the same.
    async fn plan_once(
        &mut self,
        fleet: &Fleet,
        turn: PlanTurn,
    ) -> (Result<Written, StoreError>, PlanEnd) {
        let view = fleet.view();
        let (planned_for, planned_in) = (fleet.clone(), view.clone());
        let (anew, policy) = (self.kept.anew(), self.policy);
        let mut kept = std::mem::replace(&mut self.kept, anew);
        // Planning takes seconds where there are a million replicas.
        let planned = tokio::task::spawn_blocking(move || {
            let aims = Aims { consolidate: false, policy };
            let asked = Asked { with_use: turn.with_use, aims, at_most: Some(turn.at_most) };
            let mut plan = kept.plan(&planned_for, &planned_in, asked);
            // Only where nothing else is to be moved: what was lost goes first, and by itself.
            if turn.consolidates && plan.moves.is_empty() {
                let aims = Aims { consolidate: true, policy };
                let asked = Asked { with_use: false, aims, ..asked };
                plan = kept.plan(&planned_for, &planned_in, asked);
                kept.triggers().note(Trigger::Quiet);
            }
            (kept, plan)
        });
        // Meanwhile it is learnt which number the plan has; where that fails, writing it says so.
        let learn = history::learn(fleet, &mut self.numbers);
        let (planned, _) = tokio::join!(planned, learn);
        let (kept, plan) = match planned {
            Ok(planned) => planned,
            Err(error) => {
                let what = format!("making a plan failed, which is a fault of steerage: {error}");
                return (Err(StoreError::Damaged { what }), PlanEnd::default());
            }
        };
        self.kept = kept;
        self.news.tell_room(&plan);
        let triggers = self.kept.triggers().texts();
        let drawn = Drawn { plan: &plan, orphans: self.kept.orphans(), triggers };
        let written = write(fleet, &view, &drawn, &mut self.numbers).await;
        if written.is_ok() {
            self.kept.triggers().clear();
            self.news.tell_emptied(&plan);
        }
        let n_moved = written.as_ref().ok().map(|written| written.n_apps);
        let end = PlanEnd { n_moved, n_could_wait: plan.n_could_wait(), is_cut: plan.is_cut };
        (written, end)
    }
}
