//! Who is woken when something waits, and what other cores are shown of it.
//! Takes nothing from a queue. The protocol is said in [`super`].

use std::mem;
use std::sync::{Arc, MutexGuard};

use super::{Cores, IS_INLINE};
use crate::cpu::core_set::CoreSet;
use crate::cpu::run_queue::{Shown, State, WorkerKind};
use crate::cpu::wake_handle::WakeHandle;

/// Who is to be woken.
enum Wake {
    Inline(Arc<WakeHandle>),
    /// The guest thread of the same core.
    Guests,
    /// A worker of another core, which was taken off the idle ones.
    Other(usize, WorkerKind),
}

impl Cores {
    /// Shows others what waits in a queue, lets go of it, and wakes who is to serve what is next there.
    pub(super) fn release(&self, core: usize, mut state: MutexGuard<'_, State>) {
        // Found once: while a guest thread that a thread with requests has pushed off the core holds this lock,
        // that one waits for it.
        let next = state.next_kind();
        let shown = self.show_next(core, &state, next);
        let wake = next.and_then(|next| self.whom_to_wake(core, next, shown, &mut state));
        drop(state);
        match wake {
            Some(Wake::Inline(handle)) => handle.wake(),
            Some(Wake::Guests) => self.queue(core).more.notify_one(),
            Some(Wake::Other(other, WorkerKind::Guests)) => self.call_guests(other),
            Some(Wake::Other(other, WorkerKind::Inline)) => {
                let handle = self.lock(other).inline.clone();
                if let Some(handle) = handle {
                    handle.wake();
                }
            }
            None => {}
        }
    }

    /// Tells the other cores what waits in a queue that they may take.
    pub(super) fn show(&self, core: usize, state: &mut State) {
        let next = state.next_kind();
        self.show_next(core, state, next);
    }

    fn show_next(&self, core: usize, state: &State, next: Option<WorkerKind>) -> Shown {
        // The inline worker of this thread takes one in a moment. If it is parked, this wakes it.
        let is_own = self.here() == core;
        let shown = state.shown(next, usize::from(is_own && IS_INLINE.get()));
        self.queue(core).show(shown, is_own);
        shown
    }

    /// Who has nothing to do and is to serve what is next in a queue.
    fn whom_to_wake(
        &self,
        core: usize,
        kind: WorkerKind,
        shown: Shown,
        state: &mut State,
    ) -> Option<Wake> {
        if kind == WorkerKind::Guests && state.is_asleep {
            return Some(Wake::Guests);
        }
        if kind == WorkerKind::Inline && mem::take(&mut state.is_parked) {
            self.queue(core).set_busy(kind);
            return state.inline.clone().map(Wake::Inline);
        }
        if !shown.is_offered(kind) {
            return None;
        }
        self.claim_other(core, kind).map(|other| Wake::Other(other, kind))
    }

    /// Has the guest thread of a core look at all there is, once it has nothing to do.
    pub(super) fn call_guests(&self, core: usize) {
        self.lock(core).is_called = true;
        self.queue(core).more.notify_one();
    }

    /// Shows other cores that a worker of this one has nothing to do.
    pub(super) fn show_idle(&self, core: usize, kind: WorkerKind) {
        self.queue(core).set_idle(kind);
        self.maybe_idle(kind).insert(core);
    }

    /// Another core whose worker of this kind has nothing to do and is to be woken by nobody but the caller.
    pub(super) fn claim_other(&self, core: usize, kind: WorkerKind) -> Option<usize> {
        self.maybe_idle(kind).find_other(core, |other| self.queue(other).claim(kind))
    }

    fn maybe_idle(&self, kind: WorkerKind) -> &CoreSet {
        let [inline, guests] = &self.maybe_idle;
        if kind == WorkerKind::Inline { inline } else { guests }
    }
}
