//! What a worker runs next: of its own core's queue, or of another one that is due to be looked at.
//! Does not run it, and does not order a queue.

use std::mem;

use steerage_core::fair::RivalStanding;

use super::Cores;
use crate::cpu::run_queue::{State, Taken, WorkerKind};

impl Cores {
    /// What the worker of a core is to run next. An inline worker that is given nothing is woken when
    /// there is more.
    pub(in crate::cpu) fn take(&self, core: usize, kind: WorkerKind) -> Option<Taken> {
        let mut state = self.lock(core);
        let is_called = kind == WorkerKind::Guests && mem::take(&mut state.is_called);
        self.unpark(core, kind, &mut state);
        let mut has_looked = false;
        loop {
            let Some(served) = self.served(core, kind, is_called, &mut state) else {
                if kind == WorkerKind::Inline && !state.is_parked {
                    // Once more: who added something before could not know that it is wanted here.
                    self.park(core, &mut state);
                    continue;
                }
                self.release(core, state);
                return None;
            };
            let first_from = |from| self.first_from(from, core, kind);
            let partner = match mem::replace(&mut has_looked, true) {
                false => state.exchange(kind).partner(self.now(), served, first_from),
                true => None,
            };
            if partner.is_none() && served == core {
                self.unpark(core, kind, &mut state);
                // That this is for this kind of worker was found under the same hold of the lock.
                let taken = state.fair.pop();
                self.release(core, state);
                return taken.map(|(task, charge)| Taken { task, charge, from: core });
            }
            drop(state);
            let before = partner.and_then(|_| self.lock(served).fair.next_standing());
            let taken = self.take_rival(partner.unwrap_or(served), before.as_ref(), kind);
            state = self.lock(core);
            if let Some((standing, taken)) = taken {
                let exchange = state.exchange(kind);
                if partner.is_some() {
                    exchange.found(standing);
                } else {
                    exchange.took(standing);
                }
                self.unpark(core, kind, &mut state);
                return Some(taken);
            }
            // Somebody was quicker, or nobody was behind.
        }
    }

    /// Which queue a worker serves: its own, or where nothing waits there for it another one that shows
    /// something. A guest thread whose core's inline worker has the turn serves none, unless it was called.
    fn served(
        &self,
        core: usize,
        kind: WorkerKind,
        is_called: bool,
        state: &mut State,
    ) -> Option<usize> {
        match state.next_kind() {
            Some(next) if next == kind => Some(core),
            Some(_) if kind == WorkerKind::Guests && !is_called => None,
            _ if state.is_closed => None,
            _ => state.exchange(kind).serves(|from| self.first_from(from, core, kind)),
        }
    }

    /// Takes from the queue of another core what is behind this, or what is next there.
    fn take_rival(
        &self,
        from: usize,
        before: Option<&RivalStanding>,
        kind: WorkerKind,
    ) -> Option<(RivalStanding, Taken)> {
        let mut theirs = self.lock(from);
        let rival = theirs.take_rival(before, kind);
        self.release(from, theirs);
        let (standing, task, charge) = rival?;
        Some((standing, Taken { task, charge, from }))
    }

    /// The inline worker of a core has nothing to do. So its guest thread has the core, if it sleeps.
    fn park(&self, core: usize, state: &mut State) {
        state.is_parked = true;
        self.show_idle(core, WorkerKind::Inline);
        if state.is_asleep && state.next_kind().is_none() && self.show_asleep(core, state) {
            state.is_called = true;
            self.queue(core).more.notify_one();
        }
    }

    fn unpark(&self, core: usize, kind: WorkerKind, state: &mut State) {
        if kind == WorkerKind::Inline && mem::take(&mut state.is_parked) {
            self.queue(core).set_busy(kind);
        }
    }

    /// Shows other cores that the guest thread of this one sleeps and nothing waits here. Says whether it is
    /// wanted, by what was shown before.
    pub(super) fn show_asleep(&self, core: usize, state: &mut State) -> bool {
        if !mem::replace(&mut state.is_shown_idle, true) {
            self.show_idle(core, WorkerKind::Guests);
        }
        self.stopping.is_any() || self.first_from(core, core, WorkerKind::Guests).is_some()
    }

    /// The first core from the one that is given, whose queue shows something for this kind of worker, in a
    /// circle that leaves out `but`.
    fn first_from(&self, from: usize, but: usize, kind: WorkerKind) -> Option<usize> {
        let n_cores = self.queues.len();
        let mut circle = (0..n_cores).map(|step| (from % n_cores + step) % n_cores);
        circle.find(|core| *core != but && self.queue(*core).shows(kind))
    }
}
