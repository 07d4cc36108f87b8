//! The guests that want a core, in fair order, and who is woken to serve them.
//! Does not know what a guest is or who may run one.
//!
//! One lock, `state`, which nobody holds while a slice runs or a guest is dropped: both may end in a
//! flow's drop, which takes it. Whoever adds to the queue, or takes from it, wakes at most one worker
//! for what is next then; whoever is woken wakes the next in the same way. A guest thread that has
//! served falls asleep only after it has woken an inline worker for what is left for those. For what must
//! stop, a guest thread is woken as well, or the thread that does nothing else where none sleeps.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use steerage_core::fair::{Charge, Fair, FlowKey, TenantKey};
use steerage_core::units::Weight;

use super::contention::Contention;
use super::task::{Enqueue, Guest, Slice, Task};
use super::wake_handle::WakeHandle;
use crate::call::Call;
use crate::flow::{Flow, Order};
use crate::shared::{Locked, Shared};

/// Guests in the queue and what is known of those that are not.
#[derive(Debug)]
pub(super) struct RunQueue {
    state: CachePadded<Locked<State>>,
    more: Condvar,
    /// Wakes the thread that ends guests whose calls must stop. Guest threads do that as well; it is woken
    /// while all of them run slices.
    stops: Condvar,
    /// Slices of the queue that run or wait. First slices that run where their requests were read are not
    /// counted: every call would write what all calls read.
    n_busy: CachePadded<Shared<AtomicUsize>>,
    n_threads: usize,
    contention: CachePadded<Contention>,
    began_at: Instant,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) fair: Fair<Arc<Task>>,
    /// Tasks whose calls were told to stop. A task that is here is in `fair` as well, where it is found
    /// to be over when its turn comes.
    stopping: VecDeque<Arc<Task>>,
    /// Every task that is not over, so that those asleep can be dropped in the end.
    tasks: HashMap<u64, Arc<Task>>,
    n_spawned: u64,
    is_closed: bool,
    /// The inline workers.
    inline: Vec<Arc<WakeHandle>>,
    /// Those of them that have nothing to do.
    parked: Vec<Arc<WakeHandle>>,
    /// Guest threads that have nothing to do.
    n_asleep: usize,
}

/// Who runs slices.
#[derive(Debug)]
pub(super) enum Worker {
    /// The guest threads: what is of long slices, and everything where no other worker is.
    Guests,
    /// A thread that reads requests.
    Inline(Arc<WakeHandle>),
}

impl RunQueue {
    pub(super) fn new(n_threads: usize) -> Self {
        Self {
            state: CachePadded::new(Locked::new(State { ..State::default() })),
            more: Condvar::new(),
            stops: Condvar::new(),
            n_busy: CachePadded::default(),
            n_threads,
            contention: CachePadded::default(),
            began_at: Instant::now(),
        }
    }

    /// Time since the queue began.
    pub(super) fn now(&self) -> Duration {
        self.began_at.elapsed()
    }

    /// Notes that an app asks; says whether others have lately.
    pub(super) fn note(&self, key: FlowKey) -> bool {
        self.contention.note(key, || self.now())
    }

    /// Ends a slice that was charged, wherever it ran.
    pub(super) fn settle(&self, charge: Charge, flow: &Flow, used: Duration) {
        let mut state = self.lock();
        state.settle(charge, flow, used, self.now());
        let own = state.own();
        self.release(state, own);
    }

    /// Changes an app's owner and weight, which may change who is next and who is to serve it.
    pub(super) fn set_weight(&self, key: FlowKey, tenant: TenantKey, weight: Weight) {
        let mut state = self.lock();
        state.fair.set_weight(key, tenant, weight);
        self.release(state, 0);
    }

    #[track_caller]
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Whether the queue leaves cores idle. A thread that asks has one for itself: whoever reads requests
    /// on the others runs their first slices there.
    pub(super) fn has_idle_cores(&self) -> bool {
        self.n_busy.load(Ordering::Relaxed) < self.n_threads
    }

    /// Puts a new guest in the queue.
    pub(super) fn spawn(self: &Arc<Self>, flow: Arc<Flow>, call: Arc<Call>, guest: Guest) {
        let mut state = self.lock();
        if state.is_closed {
            drop(state);
            return;
        }
        state.n_spawned += 1;
        state.fair.expect(flow.key(), flow.estimate());
        let task = Task::new(flow, call, state.n_spawned, self.clone(), guest);
        state.tasks.insert(task.number, task.clone());
        drop(state);
        // Whom the call would tell so far is where its request was read, if anybody.
        task.watch_stop();
        self.enqueue(task);
    }

    /// What the worker is to run next. An inline worker that is given nothing is woken when there is
    /// more.
    pub(super) fn take(&self, by: &Worker) -> Option<(Arc<Task>, Charge)> {
        let mut state = self.lock();
        let taken = state.take(by);
        if taken.is_none()
            && let Worker::Inline(handle) = by
            && !state.parked.iter().any(|parked| Arc::ptr_eq(parked, handle))
        {
            state.parked.push(handle.clone());
        }
        self.release(state, 0);
        taken
    }

    /// Runs what was taken; says what it took. Wakes no other worker: the caller takes the next task
    /// right after this, most likely the one that was just put back.
    pub(super) fn run_slice(&self, task: Arc<Task>, charge: Charge) -> Duration {
        let (slice, used) = task.run();
        if slice != Slice::NotOurs && used > Duration::ZERO {
            task.flow.learn(used);
        }
        let mut state = self.lock();
        state.settle(charge, &task.flow, used, self.now());
        self.put_back(state, task, slice);
        used
    }

    /// Runs a task whose call must stop, before all that waits. As a rule it ends in this slice, which is
    /// charged to nobody: what is there to settle is settled in its turn.
    fn run_stopping(&self, task: Arc<Task>) {
        let (slice, _) = task.run();
        let state = self.lock();
        // As if it had been taken out of the order, where its other entry is or was.
        self.n_busy.write().fetch_add(1, Ordering::Relaxed);
        self.put_back(state, task, slice);
    }

    /// Enqueues a task that has more to do, and forgets one that is over.
    fn put_back(&self, mut state: MutexGuard<'_, State>, task: Arc<Task>, slice: Slice) {
        if slice == Slice::Again && !state.is_closed {
            state.enqueue(task);
            return;
        }
        self.n_busy.write().fetch_sub(1, Ordering::Relaxed);
        let listed = if slice == Slice::Over { state.tasks.remove(&task.number) } else { None };
        drop(state);
        if slice == Slice::Again {
            // The queue was closed meanwhile, and whoever did could not drop what was running.
            task.abandon();
        }
        // It may be the last that knows of its app, whose end takes the lock.
        drop((listed, task));
    }

    /// Takes an inline worker on, unless there are as many as threads are to run guests.
    pub(super) fn engage(&self, handle: &Arc<WakeHandle>) -> bool {
        let mut state = self.lock();
        let has_room = state.inline.len() < self.n_threads;
        if has_room {
            state.inline.push(handle.clone());
        }
        has_room
    }

    /// An inline worker is gone.
    pub(super) fn dismiss(&self, worker: &Worker) {
        let Worker::Inline(handle) = worker else { return };
        let mut state = self.lock();
        state.inline.retain(|known| !Arc::ptr_eq(known, handle));
        state.parked.retain(|parked| !Arc::ptr_eq(parked, handle));
        // It may have been woken for what others are to do now.
        self.release(state, 0);
    }

    /// Serves the queue on this guest thread until it is closed.
    pub(super) fn serve(&self) {
        let mut has_served = false;
        let mut state = self.lock();
        while !state.is_closed {
            if let Some(task) = state.stopping.pop_front() {
                drop(state);
                self.run_stopping(task);
                state = self.lock();
            } else if let Some((task, charge)) = state.take(&Worker::Guests) {
                self.release(state, 0);
                self.run_slice(task, charge);
                has_served = true;
                state = self.lock();
            } else {
                // Nobody was told of what it put back itself, which may be for inline workers by now.
                if mem::take(&mut has_served)
                    && let Some(Worker::Inline(handle)) = state.whom_to_wake(0)
                {
                    handle.wake();
                }
                state.n_asleep += 1;
                state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.n_asleep -= 1;
            }
        }
    }

    /// Runs what must stop on this thread, until the queue is closed. The guest threads may all run long
    /// slices, such as the filling of a memory, while what a stopped guest holds is needed.
    pub(super) fn serve_stopping(&self) {
        let mut state = self.lock();
        while !state.is_closed {
            if let Some(task) = state.stopping.pop_front() {
                drop(state);
                self.run_stopping(task);
                state = self.lock();
            } else {
                state = self.stops.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Closes the queue, and wakes the guest threads, which then end. Returns all that has to be
    /// dropped when those have ended.
    pub(super) fn close(&self) -> Vec<Arc<Task>> {
        // Dropped without the lock: a task may be the last that knows of its flow, whose end takes it.
        let mut waiting = Vec::new();
        let (stopping, tasks) = {
            let mut state = self.lock();
            state.is_closed = true;
            while let Some((task, charge)) = state.fair.pop() {
                state.fair.settle(charge, Duration::ZERO, self.now());
                waiting.push(task);
            }
            (mem::take(&mut state.stopping), mem::take(&mut state.tasks))
        };
        drop((waiting, stopping));
        self.more.notify_all();
        self.stops.notify_all();
        tasks.into_values().collect()
    }

    /// Lets go of the state, and wakes who is to serve what is next in the queue, where more waits than
    /// what this thread's `own` worker will take in a moment.
    fn release(&self, mut state: MutexGuard<'_, State>, own: usize) {
        let wake = state.whom_to_wake(own);
        let stops = (!state.stopping.is_empty()).then_some(state.n_asleep);
        drop(state);
        if let Some(n_asleep) = stops {
            self.wake_for_stop(n_asleep);
        }
        match wake {
            Some(Worker::Inline(handle)) => handle.wake(),
            Some(Worker::Guests) => self.more.notify_one(),
            None => {}
        }
    }

    /// Wakes who is to run what must stop: one of the guest threads that sleep, if so many do, or else the
    /// thread that is there for this.
    fn wake_for_stop(&self, n_asleep: usize) {
        let thread = if n_asleep > 0 { &self.more } else { &self.stops };
        thread.notify_one();
    }
}

impl Enqueue for RunQueue {
    fn enqueue(&self, task: Arc<Task>) {
        let mut state = self.lock();
        if state.is_closed {
            // Whoever closed the queue drops the guest, which is among its tasks.
            drop(state);
            return;
        }
        self.n_busy.write().fetch_add(1, Ordering::Relaxed);
        state.enqueue(task);
        let own = state.own();
        self.release(state, own);
    }

    fn expedite(&self, task: Arc<Task>) {
        let n_asleep = {
            let mut state = self.lock();
            state.stopping.push_back(task);
            state.n_asleep
        };
        self.wake_for_stop(n_asleep);
    }
}

impl Order for RunQueue {
    fn is_contended(&self) -> bool {
        self.contention.is_contended()
    }

    fn is_over_share(&self, key: FlowKey) -> bool {
        self.is_contended() && self.lock().fair.is_ahead(key, self.now())
    }

    fn least(&self, keys: &mut dyn Iterator<Item = FlowKey>) -> Option<usize> {
        let mut state = self.lock();
        let (index, _) = keys.enumerate().min_by_key(|(_, key)| state.fair.standing(*key))?;
        Some(index)
    }

    fn remove(&self, key: FlowKey) {
        self.lock().fair.remove(key);
    }
}

impl State {
    fn settle(&mut self, charge: Charge, flow: &Flow, used: Duration, now: Duration) {
        self.fair.settle(charge, used, now);
        if let Some(debt) = flow.take_io_debt() {
            self.fair.charge(flow.key(), debt);
        }
    }

    /// What the worker is to run next, if that is for it to run.
    fn take(&mut self, by: &Worker) -> Option<(Arc<Task>, Charge)> {
        if self.is_next_inline()? != matches!(by, Worker::Inline(_)) {
            return None;
        }
        self.fair.pop()
    }

    /// How much of what waits the inline worker of this thread takes without being woken.
    fn own(&self) -> usize {
        let is_here = |handles: &[Arc<WakeHandle>]| handles.iter().any(|handle| handle.is_here());
        usize::from(is_here(&self.inline) && !is_here(&self.parked))
    }

    /// Who sleeps and is to serve what is next.
    fn whom_to_wake(&mut self, own: usize) -> Option<Worker> {
        if !self.is_next_inline()? {
            return (self.n_asleep > 0).then_some(Worker::Guests);
        }
        if self.fair.n_waiting() <= own {
            return None;
        }
        let here = self.parked.iter().position(|handle| handle.is_here());
        let handle = match here {
            Some(index) => self.parked.swap_remove(index),
            None => self.parked.pop()?,
        };
        Some(Worker::Inline(handle))
    }

    /// Whether what is next is for inline workers. The order is kept between apps of short and of long
    /// slices: what is next waits for those who serve it, and the others wait with it.
    ///
    /// Nothing is next once the queue is closed: an inline worker that is woken for what it is not given
    /// would wake itself, and never let go of its thread.
    fn is_next_inline(&mut self) -> Option<bool> {
        if self.is_closed {
            return None;
        }
        self.fair.is_next_short().map(|is_short| is_short && !self.inline.is_empty())
    }

    fn enqueue(&mut self, task: Arc<Task>) {
        if task.must_stop() {
            self.stopping.push_back(task.clone());
        }
        self.fair.enqueue(task.flow.key(), task);
    }
}
