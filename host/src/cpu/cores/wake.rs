//! Who is woken when something waits, and what other cores are shown of it.
//! Takes nothing from a queue. The protocol is said in [`super`].

use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use super::{Cores, HERE, IS_INLINE};
use crate::cpu::run_queue::{Kind, State};
use crate::cpu::task::Task;
use crate::cpu::wake_handle::WakeHandle;

/// Who is to be woken.
enum Wake {
    Inline(Arc<WakeHandle>),
    /// The guest thread of the same core.
    Guests,
    /// A worker of another core, which was taken off the idle ones.
    Other(usize, Kind),
}

impl Cores {
    /// Shows others what waits in a queue, lets go of it, and wakes who is to serve what is next there.
    pub(super) fn release(&self, core: usize, mut state: MutexGuard<'_, State>) {
        self.show(core, &mut state);
        let wake = self.whom_to_wake(core, &mut state);
        drop(state);
        self.wake(core, wake);
    }

    /// Tells the other cores whether something waits in a queue that they may take.
    pub(super) fn show(&self, core: usize, state: &mut State) {
        let next = state.next_kind();
        for kind in Kind::ALL {
            // The inline worker of this thread takes one in a moment, if it is awake.
            let is_own = IS_INLINE.get() && HERE.get() == core;
            let own = usize::from(kind == Kind::Inline && !state.is_parked && is_own);
            let is_shown = next == Some(kind) && state.fair.n_waiting() > own;
            let Some(shown) = state.is_shown.get_mut(kind.index()) else { continue };
            match (mem::replace(shown, is_shown), is_shown) {
                (false, true) => self.waiting(kind).insert(core),
                (true, false) => drop(self.waiting(kind).remove(core)),
                _ => {}
            }
        }
    }

    /// Who has nothing to do and is to serve what is next in a queue.
    fn whom_to_wake(&self, core: usize, state: &mut State) -> Option<Wake> {
        let kind = state.next_kind()?;
        if kind == Kind::Guests && state.is_asleep {
            return Some(Wake::Guests);
        }
        if kind == Kind::Inline && mem::take(&mut state.is_parked) {
            self.idle(kind).remove(core);
            return state.inline.clone().map(Wake::Inline);
        }
        let is_shown = state.is_shown.get(kind.index()).is_some_and(|is_shown| *is_shown);
        if !is_shown {
            return None;
        }
        self.idle(kind).take(core).map(|other| Wake::Other(other, kind))
    }

    fn wake(&self, core: usize, wake: Option<Wake>) {
        match wake {
            Some(Wake::Inline(handle)) => handle.wake(),
            Some(Wake::Guests) => self.queue(core).more.notify_one(),
            Some(Wake::Other(other, Kind::Guests)) => self.call_guests(other),
            Some(Wake::Other(other, Kind::Inline)) => {
                let handle = self.queue(other).lock().inline.clone();
                if let Some(handle) = handle {
                    handle.wake();
                }
            }
            None => {}
        }
    }

    /// Has the guest thread of a core look at all there is, once it has nothing to do.
    pub(super) fn call_guests(&self, core: usize) {
        self.queue(core).lock().is_called = true;
        self.queue(core).more.notify_one();
    }

    /// Has a task run next that is in a queue and whose call must stop.
    pub(super) fn add_stopping(&self, task: Arc<Task>) {
        self.stopping().push_back(task);
        self.n_stopping.fetch_add(1, Ordering::SeqCst);
        // Where all are busy, the first that has ended its slice finds it.
        let none = self.queues.len();
        if let Some(core) = self.idle(Kind::Guests).take(none) {
            self.call_guests(core);
        }
    }
}
