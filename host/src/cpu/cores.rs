//! The run queues of all cores: who takes from which, who is woken for what, and how they are closed.
//! Does not know what a guest is; who is to be served first is `core::fair`'s decision.
//!
//! # Protocol
//! Each core has a queue with a lock of its own, an inline worker on the thread that reads requests
//! there, and a guest thread. Nobody holds the locks of two queues, nor one while a slice runs or a
//! guest is dropped: both may end in code that takes one. `stopping` may be locked under a queue's
//! lock, and nothing is locked under `stopping`.
//!
//! Whoever adds to a queue or takes from it wakes at most one worker for what is next then: that of the
//! same core if it sleeps, or else one of another core (`idle`), which takes it from here. Whoever is
//! woken wakes the next in the same way. No wake is lost: who adds shows what waits (`waiting`) before
//! it looks for who is idle, and who goes idle says so before it looks a last time for what waits; both
//! are sequentially consistent. Of one thing that an inline worker's own thread leaves for it nobody is
//! told while it is awake: it takes that in a moment, and another core would only take it away from its
//! cache. What other threads leave there may find it in the middle of a slice.
//!
//! A task goes back to the core that ran it (`Task::home`), so guests that compute spread over the
//! cores by themselves, and then each core serves its own queue again.
//!
//! While one app asks on a core, and nothing waits on others, its calls take no lock and write no
//! memory that another core writes.

mod take;
mod wake;

use std::cell::Cell;
use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use steerage_core::fair::{Charge, Common, FlowKey};

use super::core_set::CoreSet;
use super::run_queue::{Kind, RunQueue, Taken};
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
    /// Cores whose queues hold something that others may take, by who serves what is next there.
    waiting: [CoreSet; 2],
    /// Cores whose workers have nothing to do.
    idle: [CoreSet; 2],
    /// Tasks whose calls were told to stop, which any guest thread takes before all else. A task that
    /// is here is in a queue as well, where it is found to be over when its turn comes.
    stopping: Mutex<VecDeque<Arc<Task>>>,
    n_stopping: AtomicUsize,
    /// Threads that read requests and have no queue for themselves: they add to those of others.
    n_beyond: AtomicUsize,
    common: Arc<Common>,
    began_at: Instant,
}

impl Cores {
    pub(super) fn new(n_cores: usize) -> Self {
        let n_cores = n_cores.max(1);
        let common = Arc::new(Common::default());
        let sets = || Kind::ALL.map(|_| CoreSet::new(n_cores));
        Self {
            queues: (0..n_cores).map(|_| RunQueue::new(&common)).collect(),
            waiting: sets(),
            idle: sets(),
            stopping: Mutex::default(),
            n_stopping: AtomicUsize::new(0),
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

    /// The core of this thread.
    pub(super) fn here(&self) -> usize {
        HERE.get() % self.queues.len()
    }

    #[expect(clippy::indexing_slicing, reason = "the number is less than there are, by the rest")]
    pub(super) fn queue(&self, core: usize) -> &RunQueue {
        &self.queues[core % self.queues.len()]
    }

    /// Whether something waits on other cores that this one could take.
    pub(super) fn others_wait(&self, core: usize) -> bool {
        self.waiting.iter().any(|waiting| waiting.has_other(core))
    }

    /// The same of what this kind of worker serves.
    pub(super) fn waits_for(&self, kind: Kind, core: usize) -> bool {
        self.waiting(kind).has_other(core)
    }

    /// Ends a slice that was charged to the queue of this core, where its request was read.
    pub(super) fn settle(&self, core: usize, charge: Charge, flow: &Flow, used: Duration) {
        let mut state = self.queue(core).lock();
        state.settle(charge, flow, used, self.now());
        self.release(core, state);
    }

    /// Puts a new guest in the queue of this thread.
    pub(super) fn spawn(self: &Arc<Self>, flow: Arc<Flow>, call: Arc<Call>, guest: Guest) {
        let core = self.here();
        let mut state = self.queue(core).lock();
        if state.is_closed {
            drop(state);
            return;
        }
        let number = state.number();
        state.fair.know(flow.entry(), flow.estimate());
        state.fair.expect(flow.key(), flow.estimate());
        let task = Task::new(flow, call, (core, number), self.clone(), guest);
        state.tasks.insert(number, task.clone());
        drop(state);
        // Whom the call would tell so far is where its request was read, if anybody.
        task.watch_stop();
        self.enqueue(task);
    }

    /// Runs what was taken, on this core; says what it took. Wakes no other worker: the caller takes the
    /// next task right after this, most likely the one that was just put back.
    pub(super) fn run_slice(&self, core: usize, taken: Taken) -> Duration {
        let Taken { task, charge, from } = taken;
        let (slice, used) = task.run();
        if slice != Slice::NotOurs && used > Duration::ZERO {
            task.flow.learn(used);
        }
        let (queue, now) = (self.queue(from), self.now());
        let mut state = queue.lock();
        state.settle(charge, &task.flow, used, now);
        if slice == Slice::Again && from == core && !state.is_closed {
            state.enqueue(task, now);
            self.show(from, &mut state);
            return used;
        }
        queue.leave();
        self.show(from, &mut state);
        drop(state);
        self.put_back(core, task, slice);
        used
    }

    /// Runs a task whose call must stop, before all that waits. As a rule it ends in this slice, which is
    /// charged to nobody: what is there to settle is settled in its turn, where its other entry is or
    /// was.
    fn run_stopping(&self, core: usize, task: Arc<Task>) {
        let (slice, _) = task.run();
        self.put_back(core, task, slice);
    }

    /// Enqueues a task that has more to do, and forgets one that is over.
    fn put_back(&self, core: usize, task: Arc<Task>, slice: Slice) {
        match slice {
            Slice::Again => self.move_here(core, task),
            Slice::Over => self.forget(task),
            Slice::Asleep | Slice::NotOurs => drop(task),
        }
    }

    /// Puts a task in the queue of the core that ran it.
    fn move_here(&self, core: usize, task: Arc<Task>) {
        let mut state = self.queue(core).lock();
        if state.is_closed {
            drop(state);
            // Whoever closed the queue could not drop what was running.
            return task.abandon();
        }
        self.queue(core).enter();
        task.set_home(core);
        state.enqueue(task, self.now());
        self.show(core, &mut state);
    }

    fn forget(&self, task: Arc<Task>) {
        let (core, number) = task.number;
        let listed = self.queue(core).lock().tasks.remove(&number);
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
        let mut state = self.queue(core).lock();
        (state.inline, state.is_parked) = (None, false);
        self.idle(Kind::Inline).remove(core);
        // It may have been woken for what others are to do now.
        self.release(core, state);
    }

    /// Serves the queue of a core on its guest thread until it is closed.
    pub(super) fn serve(&self, core: usize) {
        HERE.set(core);
        let mut has_served = false;
        let mut is_idle = false;
        loop {
            if let Some(task) = self.next_stopping() {
                self.run_stopping(core, task);
                has_served = true;
                continue;
            }
            if let Some(taken) = self.take(core, Kind::Guests) {
                if mem::take(&mut is_idle) {
                    self.idle(Kind::Guests).remove(core);
                }
                self.run_slice(core, taken);
                has_served = true;
                continue;
            }
            let mut state = self.queue(core).lock();
            if state.is_closed {
                return;
            }
            if !mem::replace(&mut is_idle, true) {
                self.idle(Kind::Guests).insert(core);
                if mem::take(&mut has_served) {
                    // Nobody was told of what it put back itself, which may be for the inline worker.
                    self.release(core, state);
                }
                // Once more: who added something before could not know that it is wanted here.
                continue;
            }
            if state.next_kind() != Some(Kind::Guests) && !state.is_called {
                state.is_asleep = true;
                let waiting = self.queue(core).more.wait(state);
                state = waiting.unwrap_or_else(PoisonError::into_inner);
                state.is_asleep = false;
            }
            state.is_called = false;
            drop(state);
            self.idle(Kind::Guests).remove(core);
            is_idle = false;
        }
    }

    /// Closes the queues, and wakes the guest threads, which then end. Returns all that has to be
    /// dropped when those have ended.
    pub(super) fn close(&self) -> Vec<Arc<Task>> {
        // Dropped without a lock: a task may be the last that knows of its flow.
        let (mut waiting, mut tasks) = (Vec::new(), Vec::new());
        for queue in &self.queues {
            let mut state = queue.lock();
            state.is_closed = true;
            while let Some((task, charge)) = state.fair.pop() {
                state.fair.settle(charge, Duration::ZERO, self.now());
                waiting.push(task);
            }
            tasks.extend(mem::take(&mut state.tasks).into_values());
            drop(state);
            queue.more.notify_all();
        }
        let stopping = mem::take(&mut *self.stopping());
        drop((waiting, stopping));
        tasks
    }

    fn next_stopping(&self) -> Option<Arc<Task>> {
        if self.n_stopping.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let task = self.stopping().pop_front()?;
        self.n_stopping.fetch_sub(1, Ordering::SeqCst);
        Some(task)
    }

    fn stopping(&self) -> MutexGuard<'_, VecDeque<Arc<Task>>> {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self, kind: Kind) -> &CoreSet {
        let [inline, guests] = &self.waiting;
        if kind == Kind::Inline { inline } else { guests }
    }

    fn idle(&self, kind: Kind) -> &CoreSet {
        let [inline, guests] = &self.idle;
        if kind == Kind::Inline { inline } else { guests }
    }
}

impl Enqueue for Cores {
    fn enqueue(&self, task: Arc<Task>) {
        let (core, now) = (task.home(), self.now());
        let mut state = self.queue(core).lock();
        if state.is_closed {
            // Whoever closed the queue drops the guest, which is among its tasks.
            drop(state);
            return;
        }
        self.queue(core).enter();
        let stopping = task.must_stop().then(|| task.clone());
        state.enqueue(task, now);
        self.release(core, state);
        if let Some(task) = stopping {
            self.add_stopping(task);
        }
    }

    fn expedite(&self, task: Arc<Task>) {
        self.add_stopping(task);
    }
}

impl Order for Cores {
    fn is_contended(&self) -> bool {
        let core = self.here();
        self.queue(core).contention.is_contended() || self.others_wait(core)
    }

    fn is_over_share(&self, key: FlowKey) -> bool {
        self.is_contended() && self.queue(self.here()).lock().fair.is_ahead(key, self.now())
    }

    fn least(&self, keys: &mut dyn Iterator<Item = FlowKey>) -> Option<usize> {
        let mut state = self.queue(self.here()).lock();
        let standings = keys.enumerate().map(|(index, key)| (state.fair.standing(key), index));
        Some(standings.min()?.1)
    }
}
