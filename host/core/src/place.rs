//! Which app runs on which hosts: from a view of the fleet at one moment to a plan that names every
//! move with its reason, and every replica that does not fit with what it lacks.
//!
//! Pure and deterministic: the same view gives the same plan, and planning an applied plan changes
//! nothing. Hard are capacity, labels, spread, `apart_from` and the standing of hosts. Soft, in this
//! order: priority, few moves, few hosts, balance. An app has at most one replica on a host, which
//! serves any number of calls at once.
//!
//! Does not know stores, health or load: whoever makes the view does.

mod build;
mod check;
mod dense;
mod draft;
mod empty;
mod few;
mod fill;
mod keep;
mod labels;
#[cfg(test)]
mod laws;
mod made;
mod names;
mod planner;
mod score;
mod search;
mod spend;
mod trigger;
mod view;
mod what_if;
mod why;

use crate::id::{AppName, HostName};
use crate::units::{Bytes, Cpu};

pub use self::check::check;
use self::dense::Dense;
use self::fill::Order;
pub use self::planner::Planner;
pub use self::spend::Budget;
use self::spend::Spend;
pub use self::trigger::{Trigger, Triggers, of_app, of_host};
pub use self::view::{App, Host, Room, Spread, Standing, View};
pub use self::what_if::{BadNewHosts, MOST_NEW_HOSTS, NewHosts};
pub use self::why::{Lacks, Why, reason};

/// What a plan is to achieve besides placing what is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aims {
    /// Whether hosts shall be emptied whose replicas others can take.
    pub consolidate: bool,
    /// Which of the hosts that would do gets a replica.
    pub policy: Policy,
}

/// Which of the hosts that would do gets a replica, where zones are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// One that has something to do already, and on which least is stranded: few hosts are used.
    #[default]
    Pack,
    /// The least used: each host has room for bursts, and takes little along when it is lost.
    Spread,
}

/// What to do so that the fleet becomes what is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order of the apps, and of the hosts that are left.
    pub moves: Vec<Move>,
    /// What has no room, in the order of the apps.
    pub unplaced: Vec<Unplaced>,
    /// Hosts that have nothing to do then, and could be given back.
    pub spare: Vec<HostName>,
    /// Whether emptying hosts stopped since no more may move by now.
    pub is_cut: bool,
    /// Whether something stays on a host that is too full since it may not move by now.
    pub overload_waits: bool,
}

impl Plan {
    /// How many of its moves could wait.
    #[must_use]
    pub fn n_could_wait(&self) -> u32 {
        let waiting = self.moves.iter().filter(|step| step.why.can_wait());
        u32::try_from(waiting.count()).unwrap_or(u32::MAX)
    }
}

/// One replica that starts, stops, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The app.
    pub app: AppName,
    /// Where it stops; nowhere where one more starts.
    pub from: Option<HostName>,
    /// Where it starts; nowhere where one stops.
    pub to: Option<HostName>,
    /// Why.
    pub why: Why,
}

/// Replicas of one app that have no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unplaced {
    /// The app.
    pub app: AppName,
    /// How many.
    pub replicas: u32,
    /// What they lack.
    pub lacks: Lacks,
    /// Hosts that are drained and keep one of them each, since it can go nowhere else, in the order of
    /// their names.
    pub stays_on: Vec<HostName>,
}

/// Plans a fleet. Who plans one again and again keeps a [`Planner`].
#[must_use]
pub fn plan(view: &View, aims: &Aims) -> Plan {
    draw(&mut Dense::new(view), aims, None)
}

/// Makes a plan, and leaves the fleet as it is once that is carried out.
fn draw(dense: &mut Dense, aims: &Aims, budget: Option<Budget<'_>>) -> Plan {
    let mut spend = Spend::of(budget);
    dense.policy = aims.policy;
    keep::settle(dense, &mut spend);
    let mut missing = fill_best(dense);
    // Emptying a host may leave room that was in pieces before.
    while aims.consolidate && empty::consolidate(dense, &mut spend) {
        missing = fill::fill(dense, &Order::Largest);
    }
    let unplaced = fill::give_up(dense, missing);
    let plan = dense.plan(unplaced);
    Plan { is_cut: spend.is_cut, overload_waits: spend.overload_waits, ..plan }
}

/// Places what can be placed; returns the apps of which something could not. Where the largest first
/// does not place everything, other orders are tried, and the best of all is kept.
fn fill_best(dense: &mut Dense) -> Vec<dense::AppIndex> {
    let settled = dense.draft.len();
    let mut best = fill::fill(dense, &Order::Largest);
    if best.is_empty() {
        return best;
    }
    let aside = fill::set_aside(dense, &best);
    for order in [Order::LargestBut(aside), Order::Name] {
        let least = fill::left_out(dense, &best);
        let undone = dense.go_back(settled);
        let other = fill::fill(dense, &order);
        if fill::left_out(dense, &other) < least {
            best = other;
        } else {
            dense.go_back(settled);
            dense.redo(undone);
        }
    }
    best
}

/// What one replica needs: what it was seen to use at most times, with so much headroom in percent of
/// that, once it is known; what was declared before that; next to nothing where neither is known. So
/// over-commit is by evidence, as in Autopilot (Rzadca et al., EuroSys 2020).
#[must_use]
pub fn demand(declared: Option<Room>, measured_high: Option<Room>, headroom_percent: u32) -> Room {
    let Some(seen) = measured_high else { return declared.unwrap_or(LEAST) };
    let with_headroom = |amount: u64| {
        let more = u128::from(amount) * u128::from(headroom_percent) / 100;
        amount.saturating_add(u64::try_from(more).unwrap_or(u64::MAX))
    };
    Room {
        cpu: Cpu::micro(with_headroom(seen.cpu.get_micro())),
        memory: Bytes::new(with_headroom(seen.memory.get())),
    }
}

/// What an app is taken to need of which nothing is known.
const LEAST: Room = Room { cpu: Cpu::milli(1), memory: Bytes::mebi(1) };
