//! The run queue of one core: the guests that want it, in fair order, and who of its two workers has
//! nothing to do. Does not know other cores: [`super::cores`] does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, MutexGuard};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use steerage_core::fair::{Charge, Common, Exchange, Fair, FlowKey, RivalStanding};

use super::task::Task;
use super::wake_handle::WakeHandle;
use crate::flow::Flow;
use crate::shared::{Locked, Shared};

/// Who serves a flow's slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkerKind {
    /// The worker on a thread that reads requests: short slices.
    Inline,
    /// The guest thread: long slices, and all where no inline worker is.
    Guests,
}

/// What threads see of a queue without its lock: whether it is busy, and what other cores may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown(u8);

/// A slice that may run, and the queue that it was taken from.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) task: Arc<Task>,
    pub(super) charge: Charge,
    pub(super) from: usize,
}

/// One core's queue. What other cores look at is on a line of its own.
#[derive(Debug)]
pub(super) struct RunQueue {
    state: CachePadded<Locked<State>>,
    shown: CachePadded<Shared<AtomicU8>>,
    /// Which of the two workers has nothing to do and can be woken by another core: bits of [`Shown`]. Set by
    /// the worker, taken back by whoever wakes it or by itself.
    idle: CachePadded<Shared<AtomicU8>>,
    /// The guest thread sleeps on it.
    pub(super) more: Condvar,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) fair: Fair<Arc<Task>>,
    /// What each kind of worker remembers of its looks at other queues.
    exchanges: [Exchange; 2],
    /// Every task that began here and is not over, so that those asleep can be dropped in the end; by
    /// their keys.
    pub(super) tasks: HashMap<usize, Arc<Task>>,
    pub(super) is_closed: bool,
    pub(super) inline: Option<Arc<WakeHandle>>,
    /// Whether the inline worker has nothing to do.
    pub(super) is_parked: bool,
    /// Whether the guest thread sleeps.
    pub(super) is_asleep: bool,
    /// Whether that is shown to other cores: it is not while something waits here for the inline worker, which
    /// has the core then.
    pub(super) is_shown_idle: bool,
    /// Whether the guest thread is wanted for what is not in this queue.
    pub(super) is_called: bool,
}

impl Shown {
    const NOTHING: Self = Self(0);
    const BUSY: Self = Self(4);

    /// Something waits that a worker of this kind may take.
    fn waits_for(kind: WorkerKind) -> Self {
        match kind {
            WorkerKind::Inline => Self(1),
            WorkerKind::Guests => Self(2),
        }
    }

    fn has(self, what: Self) -> bool {
        self.0 & what.0 != 0
    }

    /// Whether other cores may take what is next, which is for this kind of worker.
    pub(super) fn is_offered(self, kind: WorkerKind) -> bool {
        self.has(Self::waits_for(kind))
    }
}

impl RunQueue {
    pub(super) fn new(common: &Arc<Common>) -> Self {
        let state = State {
            fair: Fair::new(common.clone()),
            exchanges: Default::default(),
            tasks: HashMap::new(),
            is_closed: false,
            inline: None,
            is_parked: false,
            is_asleep: false,
            is_shown_idle: false,
            is_called: false,
        };
        Self {
            state: CachePadded::new(Locked::new(state)),
            shown: CachePadded::default(),
            idle: CachePadded::default(),
            more: Condvar::new(),
        }
    }

    /// Takes the lock, for a thread of the same core.
    #[track_caller]
    pub(super) fn lock_own(&self) -> MutexGuard<'_, State> {
        self.state.lock_own()
    }

    /// Takes the lock, for any other.
    #[track_caller]
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Says that a worker of this core has nothing to do.
    pub(super) fn set_idle(&self, kind: WorkerKind) {
        let Shown(bit) = Shown::waits_for(kind);
        self.idle.write_own().fetch_or(bit, Ordering::SeqCst);
    }

    /// Takes back, on this core, that a worker has nothing to do.
    pub(super) fn set_busy(&self, kind: WorkerKind) {
        let Shown(bit) = Shown::waits_for(kind);
        if self.idle.load(Ordering::SeqCst) & bit != 0 {
            self.idle.write_own().fetch_and(!bit, Ordering::SeqCst);
        }
    }

    /// The same for who is going to wake it; says whether it had nothing to do. Of several who do this at the
    /// same time one is told so.
    pub(super) fn claim(&self, kind: WorkerKind) -> bool {
        let Shown(bit) = Shown::waits_for(kind);
        let is_idle = self.idle.load(Ordering::SeqCst) & bit != 0;
        is_idle && self.idle.write().fetch_and(!bit, Ordering::SeqCst) & bit != 0
    }

    /// Whether other cores are shown that something waits for this kind of worker.
    pub(super) fn shows(&self, kind: WorkerKind) -> bool {
        Shown(self.shown.load(Ordering::SeqCst)).has(Shown::waits_for(kind))
    }

    /// Shows this to other cores, as one of this core or another one. To be called with the lock.
    pub(super) fn show(&self, what: Shown, is_own: bool) {
        if self.shown.load(Ordering::Relaxed) != what.0 {
            let shown = if is_own { self.shown.write_own() } else { self.shown.write() };
            shown.store(what.0, Ordering::SeqCst);
        }
    }

    /// Whether nothing waits here, or runs that was taken from here, when last looked at.
    pub(super) fn is_idle(&self) -> bool {
        self.shown.load(Ordering::Relaxed) == Shown::NOTHING.0
    }
}

impl State {
    /// Whether an app's slice may start past the line: it was given no more than anybody here, nor than
    /// who was found to be behind in another queue in which more waits.
    pub(super) fn start_here(
        &mut self,
        flow: &Flow,
        waits: impl Fn(usize) -> bool,
        now: Duration,
    ) -> Option<Charge> {
        self.fair.know(flow.entry(), flow.estimate());
        let [inline, _] = &self.exchanges;
        self.fair.start_before(flow.key(), inline.rival(waits), now)
    }

    pub(super) fn exchange(&mut self, kind: WorkerKind) -> &mut Exchange {
        let [inline, guests] = &mut self.exchanges;
        if kind == WorkerKind::Inline { inline } else { guests }
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
    pub(super) fn next_kind(&mut self) -> Option<WorkerKind> {
        if self.is_closed {
            return None;
        }
        self.fair.is_next_short().map(|is_short| self.kind(is_short))
    }

    /// What other cores are to see, `next` being who serves what is next, where so much of that for the inline
    /// worker is not theirs.
    pub(super) fn shown(&self, next: Option<WorkerKind>, own: usize) -> Shown {
        let is_busy = self.fair.n_waiting() + self.fair.n_running() > 0;
        let Shown(busy) = if is_busy { Shown::BUSY } else { Shown::NOTHING };
        let Some(next) = next else { return Shown(busy) };
        let own = if next == WorkerKind::Inline { own } else { 0 };
        let is_offered = self.fair.n_waiting() > own;
        let Shown(waits) = if is_offered { Shown::waits_for(next) } else { Shown::NOTHING };
        Shown(busy | waits)
    }

    /// What is to be served before what is next in another queue, if this kind of worker serves it, and
    /// where it stood.
    pub(super) fn take_rival(
        &mut self,
        theirs: Option<&RivalStanding>,
        kind: WorkerKind,
    ) -> Option<(RivalStanding, Arc<Task>, Charge)> {
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

    fn kind_of(&self, key: FlowKey) -> Option<WorkerKind> {
        self.fair.is_short(key).map(|is_short| self.kind(is_short))
    }

    fn kind(&self, is_short: bool) -> WorkerKind {
        let is_inline = is_short && self.inline.is_some();
        if is_inline { WorkerKind::Inline } else { WorkerKind::Guests }
    }
}
