//! The run queues of all cores: how guests come into them, how their slices end, and how they are closed.
//! Does not know what a guest is; who is to be served first is `core::fair`'s decision.
//!
//! # Protocol
//! Each core has a queue with a lock of its own, an inline worker on the thread that reads requests
//! there, and a guest thread. Nobody holds the locks of two queues, nor one while a slice runs or a
//! guest is dropped. `stopping` is locked by itself.
//!
//! Whoever adds to a queue or takes from it wakes at most one worker for what is next then (`wake.rs`): that
//! of the same core if it sleeps, or else one of another core that is idle, which takes it from there.
//! Whoever is woken wakes the next in the same way. Nobody is woken for what was put back by the worker that
//! ran it, since that one takes the next in a moment; when it finds nothing for itself, it wakes who serves
//! what is left.
//!
//! No wake is lost. Within a core, all of this happens under the queue's lock. Between cores, who adds
//! something first shows it (`RunQueue::show`) and then looks for who is idle (`claim_other`); who finds nothing
//! first says that it is idle (`show_idle`) and then looks at what all queues show. Both are sequentially
//! consistent, so one of both sees the other. Who is idle says so on a line of its core and in a set for all of
//! cores where this may be so, which it leaves as it is when it has something to do: a worker that is idle
//! between any two calls would write for each of them what all cores read. Whoever finds that it is not so
//! takes the core out and asks once more; who says that it is idle does so before it looks whether it is in the
//! set. So one of both sees the other here, too. Of one thing that an inline worker's own thread leaves for it nobody else is
//! told: it takes that in a moment, and another core would only take it away from its
//! cache. What other threads leave there may find it in the middle of a slice.
//!
//! What a core gives one app may change who is next in the queues of others, which see it when they look next.
//! Nobody is woken for that: what waits there waits for the slice at hand at most.
//!
//! A task goes back to the core that ran it (`Task::home`), so guests that compute spread over the
//! cores by themselves, and then each core serves its own queue again.
//!
//! What must stop is in `stopping`, besides in a queue or asleep. A thread that does nothing else ends it,
//! since all guest threads may be in long slices; each of those looks there before it takes one.

mod take;
mod wake;

use std::cell::Cell;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use steerage_core::fair::{Charge, Common, FlowKey};

use super::contention::Contention;
use super::core_set::CoreSet;
use super::run_queue::{RunQueue, State, Taken, WorkerKind};
use super::stopping::Stopping;
use super::task::{Enqueue, Guest, Slice, Task};
use super::wake_handle::WakeHandle;
use crate::call::Call;
use crate::flow::{Flow, Order};

thread_local! {
    /// The core whose queue this thread adds to and serves.
    static HERE: Cell<usize> = const { Cell::new(0) };
    /// Whether this thread is the one of that core that reads requests.
    static IS_INLINE: Cell<bool> = const { Cell::new(false) };
}

/// The cores of a host.
#[derive(Debug)]
pub(super) struct Cores {
    queues: Box<[RunQueue]>,
    /// Cores whose workers of each kind may have nothing to do: [`RunQueue::claim`] says whether.
    maybe_idle: [CoreSet; 2],
    stopping: Stopping,
    contention: CachePadded<Contention>,
    /// Threads that read requests and have no queue for themselves: they add to those of others.
    n_beyond: AtomicUsize,
    common: Arc<Common>,
    began_at: Instant,
}

impl Cores {
    pub(super) fn new(n_cores: usize) -> Self {
        let n_cores = n_cores.max(1);
        let common = Arc::new(Common::new(n_cores));
        Self {
            queues: (0..n_cores).map(|_| RunQueue::new(&common)).collect(),
            maybe_idle: [(); 2].map(|()| CoreSet::new(n_cores)),
            stopping: Stopping::default(),
            contention: CachePadded::default(),
            n_beyond: AtomicUsize::new(0),
            common,
            began_at: Instant::now(),
        }
    }

    /// What the queues know together of flows.
    pub(super) fn common(&self) -> &Common {
        &self.common
    }

    /// Time since the queues began.
    pub(super) fn now(&self) -> Duration {
        self.began_at.elapsed()
    }

    /// Notes that an app asks; says whether others have lately.
    pub(super) fn note(&self, key: FlowKey) -> bool {
        self.contention.note(key, || self.now())
    }

    /// The core of this thread.
    pub(super) fn here(&self) -> usize {
        HERE.get() % self.queues.len()
    }

    #[expect(clippy::indexing_slicing, reason = "the number is less than there are, by the rest")]
    pub(super) fn queue(&self, core: usize) -> &RunQueue {
        &self.queues[core % self.queues.len()]
    }

    /// Takes the lock of a core's queue.
    #[track_caller]
    pub(super) fn lock(&self, core: usize) -> MutexGuard<'_, State> {
        if self.here() == core { self.queue(core).lock_own() } else { self.queue(core).lock() }
    }

    /// Ends a slice that was charged to the queue of this core, where its request was read.
    pub(super) fn settle(&self, core: usize, charge: Charge, flow: &Flow, used: Duration) {
        let now = self.now();
        let mut state = self.lock(core);
        state.settle(charge, flow, used, now);
        self.release(core, state);
    }

    /// Puts a new guest in the queue of this thread.
    pub(super) fn spawn(self: &Arc<Self>, flow: Arc<Flow>, call: Arc<Call>, guest: Guest) {
        let core = self.here();
        let task = Task::new(flow, call, core, self.clone(), guest);
        // Whom the call would tell so far is where its request was read, if anybody.
        task.watch_stop();
        let mut state = self.lock(core);
        if state.is_closed {
            drop(state);
            return task.abandon();
        }
        // It may be over by now, as one that must stop. That is found when its turn comes.
        state.tasks.insert(task.key(), task.clone());
        state.fair.know(task.flow.entry(), task.flow.estimate());
        state.fair.expect(task.flow.key(), task.flow.estimate());
        self.add(core, state, task);
    }

    /// Runs what was taken, on this core; says what it took.
    pub(super) fn run_slice(&self, core: usize, taken: Taken) -> Duration {
        let Taken { task, charge, from } = taken;
        let (slice, used) = task.run();
        if slice != Slice::NotOurs && used > Duration::ZERO {
            task.flow.learn(used);
        }
        let now = self.now();
        let mut state = self.lock(from);
        state.settle(charge, &task.flow, used, now);
        if slice == Slice::Again && from == core && !state.is_closed {
            state.enqueue(task, now);
            self.show(from, &mut state);
            return used;
        }
        let is_listed = slice == Slice::Over && task.origin == from;
        let listed = is_listed.then(|| state.tasks.remove(&task.key())).flatten();
        if from == core {
            self.show(from, &mut state);
            drop(state);
        } else {
            self.release(from, state);
        }
        match slice {
            Slice::Again => self.move_here(core, task),
            Slice::Over if !is_listed => self.forget(task),
            // It may be the last that knows of its app, or of a call.
            _ => drop((listed, task)),
        }
        used
    }

    /// Runs a task whose call must stop, before all that waits. As a rule it ends in this slice, which is
    /// charged to nobody: what is there to settle is settled in its turn, where its other entry is or
    /// was.
    fn run_stopping(&self, task: Arc<Task>) {
        match task.run().0 {
            Slice::Again => self.enqueue(task),
            Slice::Over => self.forget(task),
            Slice::Asleep | Slice::NotOurs => drop(task),
        }
    }

    /// Puts a task in the queue of the core that ran it.
    fn move_here(&self, core: usize, task: Arc<Task>) {
        let now = self.now();
        let mut state = self.lock(core);
        if state.is_closed {
            drop(state);
            // Whoever closed the queue could not drop what was running.
            return task.abandon();
        }
        task.set_home(core);
        state.enqueue(task, now);
        self.show(core, &mut state);
    }

    fn forget(&self, task: Arc<Task>) {
        let listed = self.lock(task.origin).tasks.remove(&task.key());
        // It may be the last that knows of its app, or of a call.
        drop((listed, task));
    }

    /// Takes an inline worker on, unless each core has one. This thread belongs to a core from then on.
    pub(super) fn engage(&self, handle: &Arc<WakeHandle>) -> Option<usize> {
        for (core, queue) in self.queues.iter().enumerate() {
            let mut state = queue.lock();
            if state.inline.is_none() {
                state.inline = Some(handle.clone());
                self.show(core, &mut state);
                HERE.set(core);
                IS_INLINE.set(true);
                return Some(core);
            }
        }
        HERE.set(self.n_beyond.fetch_add(1, Ordering::Relaxed) % self.queues.len());
        None
    }

    /// The inline worker of a core is gone.
    pub(super) fn dismiss(&self, core: usize) {
        IS_INLINE.set(false);
        let mut state = self.lock(core);
        (state.inline, state.is_parked) = (None, false);
        self.queue(core).set_busy(WorkerKind::Inline);
        // It may have been woken for what others are to do now.
        self.release(core, state);
    }

    /// Serves the queue of a core on its guest thread until it is closed.
    pub(super) fn serve(&self, core: usize) {
        HERE.set(core);
        loop {
            if let Some(task) = self.stopping.pop() {
                self.run_stopping(task);
            } else if let Some(taken) = self.take(core, WorkerKind::Guests) {
                self.run_slice(core, taken);
            } else if !self.sleep(core) {
                return;
            }
        }
    }

    /// Has the guest thread of a core sleep until it is wanted. Says whether the queue is open.
    fn sleep(&self, core: usize) -> bool {
        let queue = self.queue(core);
        let mut state = self.lock(core);
        state.is_asleep = true;
        let is_wanted = match state.next_kind() {
            Some(kind) => kind == WorkerKind::Guests,
            None => self.show_asleep(core, &mut state),
        };
        if !is_wanted && !state.is_called && !state.is_closed {
            state = queue.more.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_asleep = false;
        if mem::take(&mut state.is_shown_idle) {
            queue.set_busy(WorkerKind::Guests);
        }
        !state.is_closed
    }

    /// Runs what must stop on this thread, until the queues are closed.
    pub(super) fn serve_stopping(&self) {
        while let Some(task) = self.stopping.wait() {
            self.run_stopping(task);
        }
    }

    /// Closes the queues, and wakes the guest threads, which then end. Returns all that has to be
    /// dropped when those have ended.
    pub(super) fn close(&self) -> Vec<Arc<Task>> {
        // Dropped without a lock: a task may be the last that knows of its flow or its call.
        let (mut waiting, mut tasks) = (Vec::new(), Vec::new());
        for queue in &self.queues {
            let mut state = queue.lock();
            state.is_closed = true;
            while let Some((task, charge)) = state.fair.pop() {
                state.fair.settle(charge, Duration::ZERO, self.now());
                waiting.push(task);
            }
            tasks.extend(mem::take(&mut state.tasks).into_values());
            queue.show(state.shown(None, 0), false);
            drop(state);
            queue.more.notify_all();
        }
        self.stopping.close();
        drop(waiting);
        tasks
    }

    /// Puts a task in a queue that is open.
    fn add(&self, core: usize, mut state: MutexGuard<'_, State>, task: Arc<Task>) {
        let stopping = task.must_stop().then(|| task.clone());
        state.enqueue(task, self.now());
        self.release(core, state);
        if let Some(task) = stopping {
            self.stop(task);
        }
    }

    /// Has a task run next that must stop: by the thread that is there for this, and by a guest thread that is
    /// idle where more than one must. A guest thread alone might be in a long slice by then.
    fn stop(&self, task: Arc<Task>) {
        let none = self.queues.len();
        if self.stopping.push(task) > 1
            && let Some(core) = self.claim_other(none, WorkerKind::Guests)
        {
            self.call_guests(core);
        }
    }
}

impl Enqueue for Cores {
    fn enqueue(&self, task: Arc<Task>) {
        let core = task.home();
        let state = self.lock(core);
        if state.is_closed {
            // Whoever closed the queue drops the guest, which is among its tasks.
            drop(state);
            return;
        }
        self.add(core, state, task);
    }

    fn expedite(&self, task: Arc<Task>) {
        self.stop(task);
    }
}

impl Order for Cores {
    fn is_contended(&self) -> bool {
        self.contention.is_contended()
    }

    fn is_over_share(&self, key: FlowKey) -> bool {
        self.is_contended() && self.lock(self.here()).fair.is_ahead(key, self.now())
    }

    fn least(&self, keys: &mut dyn Iterator<Item = FlowKey>) -> Option<usize> {
        let mut state = self.lock(self.here());
        let standings = keys.enumerate().map(|(index, key)| (state.fair.standing(key), index));
        Some(standings.min()?.1)
    }
}
