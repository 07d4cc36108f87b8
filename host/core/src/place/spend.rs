//! How much of what can wait a plan may move: a number of moves, and of each app one replica at a time,
//! the next once all of them are ready where they are. What is missing, or what operators have asked
//! for, never waits. Moves nothing.

use std::collections::BTreeSet;
use std::fmt;

use super::dense::{AppIndex, Dense, HostIndex};
use crate::id::AppName;

/// What a plan may move that can wait; see [`Why::can_wait`](super::Why::can_wait).
#[derive(Clone, Copy)]
pub struct Budget<'b> {
    /// How many replicas.
    pub moves: u32,
    /// Whether all replicas of an app are ready where they are: only then one of them is moved.
    pub is_settled: &'b dyn Fn(&AppName) -> bool,
}

impl fmt::Debug for Budget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("moves", &self.moves).finish_non_exhaustive()
    }
}

/// What is left of a budget while a plan is made.
pub(super) struct Spend<'b> {
    budget: Option<Budget<'b>>,
    left: u32,
    /// Apps of which one moves by this plan.
    moving: BTreeSet<AppIndex>,
    /// Hosts that could not be emptied since something on them has to wait.
    held: BTreeSet<HostIndex>,
    /// Whether emptying hosts stopped since no more may move by now.
    pub(super) is_cut: bool,
    /// Whether something stays on a host that is too full since it may not move by now.
    pub(super) overload_waits: bool,
}

impl<'b> Spend<'b> {
    /// Of a plan that may move this much; with `None` all that it likes.
    pub(super) fn of(budget: Option<Budget<'b>>) -> Self {
        let left = budget.map_or(u32::MAX, |budget| budget.moves);
        let (moving, held) = Default::default();
        Self { budget, left, moving, held, is_cut: false, overload_waits: false }
    }

    /// How many may still move.
    pub(super) fn left(&self) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX)
    }

    /// Whether a replica of an app may move, as far as the app is concerned.
    pub(super) fn may_move(&self, dense: &Dense, app: AppIndex) -> bool {
        let Some(budget) = &self.budget else { return true };
        !self.moving.contains(&app)
            && dense.apps.get(app).is_some_and(|at| (budget.is_settled)(&at.name))
    }

    /// Whether that is so of all that are on a host. If not, no other host is emptied into it by this plan
    /// either: it may be the one to be emptied soon.
    pub(super) fn may_empty(&mut self, dense: &Dense, host: HostIndex) -> bool {
        let on = dense.hosts.get(host).into_iter().flat_map(|at| &at.apps);
        let may = self.budget.is_none() || on.copied().all(|app| self.may_move(dense, app));
        if !may {
            self.held.insert(host);
        }
        may
    }

    /// Whether something on a host has to wait.
    pub(super) fn is_held(&self, host: HostIndex) -> bool {
        self.held.contains(&host)
    }

    /// Notes that a replica of an app moves.
    pub(super) fn spend(&mut self, app: AppIndex) {
        if self.budget.is_some() {
            self.left = self.left.saturating_sub(1);
            self.moving.insert(app);
        }
    }
}

#[cfg(test)]
mod tests;
