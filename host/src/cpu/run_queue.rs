//! The run queue of one core: the guests that want it, in fair order, and who of its two workers has
//! nothing to do. Does not know other cores: [`super::cores`] does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steerage_core::fair::{Charge, Common, Exchange, Fair, FlowKey, Next};

use super::contention::Contention;
use super::task::Task;
use super::wake_handle::WakeHandle;
use crate::flow::Flow;

/// Who serves a flow's slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The worker on a thread that reads requests: short slices.
    Inline,
    /// The guest thread: long slices, and all where no inline worker is.
    Guests,
}

/// A slice that may run, and the queue that it was taken from.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) task: Arc<Task>,
    pub(super) charge: Charge,
    pub(super) from: usize,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Inline, Self::Guests];

    pub(super) fn index(self) -> usize {
        usize::from(self == Self::Guests)
    }
}

/// One core's queue, on lines of memory that hold nothing of another core's.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct RunQueue {
    state: Mutex<State>,
    /// The guest thread sleeps on it.
    pub(super) more: Condvar,
    /// Slices that wait here, or were taken from here and run, and first slices that run here.
    n_busy: AtomicUsize,
    pub(super) contention: Contention,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) fair: Fair<Arc<Task>>,
    /// What each kind of worker remembers of its looks at other queues.
    exchanges: [Exchange; 2],
    /// Every task that began here and is not over, so that those asleep can be dropped in the end.
    pub(super) tasks: HashMap<u64, Arc<Task>>,
    n_spawned: u64,
    pub(super) is_closed: bool,
    pub(super) inline: Option<Arc<WakeHandle>>,
    /// Whether the inline worker has nothing to do.
    pub(super) is_parked: bool,
    /// Whether the guest thread sleeps.
    pub(super) is_asleep: bool,
    /// Whether the guest thread is wanted elsewhere.
    pub(super) is_called: bool,
    /// What of each kind the other cores were told: whether something waits that they may take.
    pub(super) is_shown: [bool; 2],
}

impl RunQueue {
    pub(super) fn new(common: &Arc<Common>) -> Self {
        let state = State {
            fair: Fair::new(common.clone()),
            exchanges: Default::default(),
            tasks: HashMap::new(),
            n_spawned: 0,
            is_closed: false,
            inline: None,
            is_parked: false,
            is_asleep: false,
            is_called: false,
            is_shown: [false; 2],
        };
        Self {
            state: Mutex::new(state),
            more: Condvar::new(),
            n_busy: AtomicUsize::new(0),
            contention: Contention::default(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        #[cfg(test)]
        super::counted::lock();
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a slice that is about to run or wait; says whether it is the only one.
    pub(super) fn enter(&self) -> bool {
        self.n_busy.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// Counts a slice that ran, or will not.
    pub(super) fn leave(&self) {
        self.n_busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl State {
    /// A number for a task that begins here.
    pub(super) fn number(&mut self) -> u64 {
        self.n_spawned += 1;
        self.n_spawned
    }

    /// Whether an app's slice may start past the line, by what is known of other queues: who is behind
    /// there is looked for when this one is served.
    pub(super) fn start_here(
        &mut self,
        flow: &Flow,
        others_wait: bool,
        now: Duration,
    ) -> Option<Charge> {
        let [inline, _] = &self.exchanges;
        if others_wait && inline.is_time(now) {
            return None;
        }
        self.fair.know(flow.entry(), flow.estimate());
        let rival = inline.rival().filter(|_| others_wait);
        self.fair.start_before(flow.key(), rival, now)
    }

    pub(super) fn exchange(&mut self, kind: Kind) -> Option<&mut Exchange> {
        self.exchanges.get_mut(kind.index())
    }

    pub(super) fn enqueue(&mut self, task: Arc<Task>, now: Duration) {
        self.fair.know(task.flow.entry(), task.flow.estimate());
        self.fair.enqueue_at(task.flow.key(), task, now);
    }

    pub(super) fn settle(&mut self, charge: Charge, flow: &Flow, used: Duration, now: Duration) {
        self.fair.settle(charge, used, now);
        if let Some(debt) = flow.take_io_debt() {
            self.fair.charge(flow.key(), debt);
        }
    }

    /// Who serves what is next, if anything is. The order is kept between apps of short and of long
    /// slices: what is next waits for those who serve it, and the others wait with it.
    ///
    /// Nothing is next once the queue is closed: an inline worker that is woken for what it is not given
    /// would wake itself, and never let go of its thread.
    pub(super) fn next_kind(&mut self) -> Option<Kind> {
        if self.is_closed {
            return None;
        }
        self.fair.is_next_short().map(|is_short| self.kind(is_short))
    }

    /// What is next, if this kind of worker serves it.
    pub(super) fn take(&mut self, kind: Kind) -> Option<(Arc<Task>, Charge)> {
        if self.next_kind()? != kind {
            return None;
        }
        self.fair.pop()
    }

    /// What is to be served before what is next in another queue, if this kind of worker serves it, and
    /// where it stood.
    pub(super) fn take_rival(
        &mut self,
        theirs: Option<&Next>,
        kind: Kind,
    ) -> Option<(Next, Arc<Task>, Charge)> {
        if self.is_closed {
            return None;
        }
        let key = self.fair.rival(theirs)?;
        if self.kind_of(key)? != kind {
            return None;
        }
        let standing = self.fair.standing_of(key)?;
        let (task, charge) = self.fair.pop_of(key)?;
        Some((standing, task, charge))
    }

    fn kind_of(&self, key: FlowKey) -> Option<Kind> {
        self.fair.is_short(key).map(|is_short| self.kind(is_short))
    }

    fn kind(&self, is_short: bool) -> Kind {
        if is_short && self.inline.is_some() { Kind::Inline } else { Kind::Guests }
    }
}
