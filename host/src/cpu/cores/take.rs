//! What a worker runs next: of its own core's queue, or of another one that is due to be looked at.
//! Does not run it, and does not order a queue.

use std::mem;
use std::sync::MutexGuard;

use super::Cores;
use crate::cpu::run_queue::{Kind, State, Taken};

impl Cores {
    /// What the worker of a core is to run next. An inline worker that is given nothing is woken when
    /// there is more.
    pub(in crate::cpu) fn take(&self, core: usize, kind: Kind) -> Option<Taken> {
        let mut state = self.queue(core).lock();
        if kind == Kind::Inline && mem::take(&mut state.is_parked) {
            self.idle(kind).remove(core);
        }
        if let Some(taken) = self.take_with(core, kind, state) {
            return Some(taken);
        }
        if kind == Kind::Guests {
            return None;
        }
        let mut state = self.queue(core).lock();
        state.is_parked = true;
        self.idle(kind).insert(core);
        // Who added something before could not know that it is wanted here.
        let taken = self.take_with(core, kind, state)?;
        self.queue(core).lock().is_parked = false;
        self.idle(kind).remove(core);
        Some(taken)
    }

    /// What this kind of worker is to run: of its own queue, or of another that is due.
    fn take_with<'q>(
        &'q self,
        core: usize,
        kind: Kind,
        mut state: MutexGuard<'q, State>,
    ) -> Option<Taken> {
        let first_from = |from| self.waiting(kind).first_from(from, core);
        let has_own = state.next_kind().is_some();
        if !self.waiting(kind).has_other(core) {
            return self.take_from(core, kind, state);
        }
        // Somebody else may be quicker, which is seen by then.
        for _ in 0..self.queues.len() {
            let exchange = state.exchange(kind)?;
            let served = if has_own { core } else { exchange.serves(first_from)? };
            if let Some(partner) = exchange.partner(self.now(), served, first_from) {
                drop(state);
                let next = self.queue(served).lock().fair.next_standing();
                let mut theirs = self.queue(partner).lock();
                let rival = theirs.take_rival(next.as_ref(), kind);
                self.release(partner, theirs);
                state = self.queue(core).lock();
                if let Some((standing, task, charge)) = rival {
                    state.exchange(kind)?.found(standing);
                    return Some(Taken { task, charge, from: partner });
                }
            }
            if served == core {
                return self.take_from(core, kind, state);
            }
            drop(state);
            let taken = self.take_from(served, kind, self.queue(served).lock());
            if taken.is_some() {
                return taken;
            }
            state = self.queue(core).lock();
        }
        None
    }

    fn take_from(
        &self,
        from: usize,
        kind: Kind,
        mut state: MutexGuard<'_, State>,
    ) -> Option<Taken> {
        let taken = state.take(kind);
        self.release(from, state);
        taken.map(|(task, charge)| Taken { task, charge, from })
    }
}
