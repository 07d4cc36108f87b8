//! The line of guests that want a core, and who serves it in fair order.
//! Does not know what a guest is or who may get in line.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use steerage_core::fair::{Charge, Fair, FlowKey, TenantKey};
use steerage_core::units::Weight;
use tokio::runtime::{Builder, Handle, Runtime};

use super::crowd::Crowd;
use super::helper::Bell;
use super::task::{Slice, Task};
use super::{Gate, Guest};
use crate::call::Call;
use crate::priority;

/// Longest wait for the slices that run when the threads are stopped.
pub(super) const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// Guests in line and what is known of those that are not.
#[derive(Debug)]
pub(super) struct Line {
    queue: Mutex<Queue>,
    more: Condvar,
    /// Slices that run or wait, here and where requests are read.
    n_busy: AtomicUsize,
    n_threads: usize,
    crowd: Crowd,
    began_at: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) fair: Fair<Arc<Task>>,
    /// Those of them whose calls must stop. Each keeps its place in `fair` as well, where it is found
    /// to be over when its turn comes.
    stopping: VecDeque<Arc<Task>>,
    /// Every task that is not over, so that those asleep can be dropped in the end.
    tasks: HashMap<u64, Arc<Task>>,
    n_spawned: u64,
    is_closed: bool,
    helpers: Vec<Arc<Bell>>,
    /// Those of them that have nothing to do.
    parked: Vec<Arc<Bell>>,
    /// Guest threads that have nothing to do.
    n_asleep: usize,
}

/// Who runs slices.
#[derive(Debug)]
pub(super) enum Server {
    /// The guest threads: what is of long slices, and everything where nobody helps.
    Guests,
    /// A thread that reads requests, known by its bell.
    Helper(Arc<Bell>),
}

/// The threads that serve a line, and the runtime whose clocks and sockets guests use there.
#[derive(Debug)]
pub(super) struct Workers {
    line: Arc<Line>,
    io: Runtime,
    ended: Receiver<()>,
    n_threads: usize,
}

impl Line {
    fn new(n_threads: usize) -> Self {
        Self {
            queue: Mutex::default(),
            more: Condvar::new(),
            n_busy: AtomicUsize::new(0),
            n_threads,
            crowd: Crowd::default(),
            began_at: Instant::now(),
        }
    }

    /// Time since the line began.
    pub(super) fn now(&self) -> Duration {
        self.began_at.elapsed()
    }

    /// Notes that an app asks; says whether others have lately.
    pub(super) fn is_contended(&self, key: FlowKey) -> bool {
        self.crowd.enter(key, || self.now())
    }

    /// Whether more than one app has asked lately, when last looked at.
    pub(super) fn is_mixed(&self) -> bool {
        self.crowd.is_mixed()
    }

    /// Whether the app was given more than another that asks.
    pub(super) fn is_ahead(&self, key: FlowKey) -> bool {
        self.is_mixed() && self.queue().fair.is_ahead(key, self.now())
    }

    /// Ends a slice that was charged, wherever it ran.
    pub(super) fn settle(&self, charge: Charge, gate: &Gate, used: Duration) {
        let mut queue = self.queue();
        queue.settle(charge, gate, used, self.now());
        let own = queue.own();
        self.release(queue, own);
    }

    /// Changes an app's owner and weight, which may change who is next and who is to serve it.
    pub(super) fn set_weight(&self, key: FlowKey, tenant: TenantKey, weight: Weight) {
        let mut queue = self.queue();
        queue.fair.set_weight(key, tenant, weight);
        self.release(queue, 0);
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a slice that is about to run; says whether a core is idle for it.
    pub(super) fn enter(&self) -> bool {
        self.n_busy.fetch_add(1, Ordering::Relaxed) < self.n_threads
    }

    /// Counts a slice that ran, or will not.
    pub(super) fn leave(&self) {
        self.n_busy.fetch_sub(1, Ordering::Relaxed);
    }

    /// Puts a new guest in line.
    pub(super) fn spawn(&self, gate: Arc<Gate>, call: Arc<Call>, guest: Guest) {
        let mut queue = self.queue();
        if queue.is_closed {
            drop(queue);
            return;
        }
        queue.n_spawned += 1;
        queue.fair.expect(gate.key(), gate.estimate());
        let task = Task::new(gate, call, queue.n_spawned, guest);
        queue.tasks.insert(task.number, task.clone());
        drop(queue);
        // Whom the call would tell so far is where its request was read, if anybody.
        task.watch_stop();
        self.put(task);
    }

    /// Puts a guest that was woken in line.
    pub(super) fn put(&self, task: Arc<Task>) {
        let mut queue = self.queue();
        if queue.is_closed {
            // Whoever closed the line drops the guest, which is among its tasks.
            drop(queue);
            return;
        }
        self.n_busy.fetch_add(1, Ordering::Relaxed);
        queue.line_up(task);
        let own = queue.own();
        self.release(queue, own);
    }

    /// Has a guest polled next that is in line and whose call must stop.
    pub(super) fn hurry(&self, task: Arc<Task>) {
        self.queue().stopping.push_back(task);
        self.more.notify_one();
    }

    /// What the server is to run next. A helper that is given nothing is rung when there is more.
    pub(super) fn take(&self, by: &Server) -> Option<(Arc<Task>, Charge)> {
        let mut queue = self.queue();
        let taken = queue.take(by);
        if taken.is_none()
            && let Server::Helper(bell) = by
            && !queue.parked.iter().any(|parked| Arc::ptr_eq(parked, bell))
        {
            queue.parked.push(bell.clone());
        }
        self.release(queue, 0);
        taken
    }

    /// Runs what was taken; says what it took. Wakes nobody, since the server takes again: what it just
    /// put back is most likely for itself.
    pub(super) fn slice(&self, task: Arc<Task>, charge: Charge) -> Duration {
        let (slice, used) = task.run();
        if slice != Slice::Over || used > Duration::ZERO {
            task.gate.learn(used);
        }
        let mut queue = self.queue();
        queue.settle(charge, &task.gate, used, self.now());
        if slice == Slice::Again && !queue.is_closed {
            queue.line_up(task);
            drop(queue);
            return used;
        }
        self.leave();
        let listed = if slice == Slice::Over { queue.tasks.remove(&task.number) } else { None };
        drop(queue);
        if slice == Slice::Again {
            // The line was closed meanwhile, and whoever did could not drop what was running.
            task.abandon();
        }
        // It may be the last that knows of its app, whose end takes the lock.
        drop((listed, task));
        used
    }

    /// Takes a helper on, unless there are as many as threads are to run guests.
    pub(super) fn engage(&self, bell: &Arc<Bell>) -> bool {
        let mut queue = self.queue();
        let has_room = queue.helpers.len() < self.n_threads;
        if has_room {
            queue.helpers.push(bell.clone());
        }
        has_room
    }

    /// A helper is gone.
    pub(super) fn dismiss(&self, helper: &Server) {
        let Server::Helper(bell) = helper else { return };
        let mut queue = self.queue();
        queue.helpers.retain(|known| !Arc::ptr_eq(known, bell));
        queue.parked.retain(|parked| !Arc::ptr_eq(parked, bell));
        // It may have been rung for what others are to do now.
        self.release(queue, 0);
    }

    /// Serves the line until it is closed.
    fn serve(&self) {
        let mut has_served = false;
        let mut queue = self.queue();
        while !queue.is_closed {
            if let Some(task) = queue.stopping.pop_front() {
                drop(queue);
                // It ends in this slice, which is charged to nobody: what is there to settle is
                // settled in its turn.
                task.run();
                drop(task);
                queue = self.queue();
            } else if let Some((task, charge)) = queue.take(&Server::Guests) {
                self.release(queue, 0);
                self.slice(task, charge);
                has_served = true;
                queue = self.queue();
            } else {
                // Nobody was told of what it put back itself, which may be for helpers by now.
                if mem::take(&mut has_served)
                    && let Some(Server::Helper(bell)) = queue.whom_to_wake(0)
                {
                    bell.ring();
                }
                queue.n_asleep += 1;
                queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.n_asleep -= 1;
            }
        }
    }

    /// Lets go of the queue, and wakes who is to serve what is next in it, where more waits than
    /// what this thread's `own` helper will take in a moment.
    fn release(&self, mut queue: MutexGuard<'_, Queue>, own: usize) {
        let wake = queue.whom_to_wake(own);
        let stops = !queue.stopping.is_empty() && queue.n_asleep > 0;
        drop(queue);
        if stops {
            self.more.notify_one();
        }
        match wake {
            Some(Server::Helper(bell)) => bell.ring(),
            Some(Server::Guests) => self.more.notify_one(),
            None => {}
        }
    }
}

impl Queue {
    fn settle(&mut self, charge: Charge, gate: &Gate, used: Duration, now: Duration) {
        self.fair.settle(charge, used, now);
        if let Some(owed) = gate.take_owed() {
            self.fair.charge(gate.key(), owed);
        }
    }

    /// What the server is to run next, if that is for it to run.
    fn take(&mut self, by: &Server) -> Option<(Arc<Task>, Charge)> {
        if self.is_next_for_helpers()? != matches!(by, Server::Helper(_)) {
            return None;
        }
        self.fair.pop()
    }

    /// How much of what waits the helper of this thread takes without being rung.
    fn own(&self) -> usize {
        let is_here = |bells: &[Arc<Bell>]| bells.iter().any(|bell| bell.is_here());
        usize::from(is_here(&self.helpers) && !is_here(&self.parked))
    }

    /// Who sleeps and is to serve what is next.
    fn whom_to_wake(&mut self, own: usize) -> Option<Server> {
        if !self.is_next_for_helpers()? {
            return (self.n_asleep > 0).then_some(Server::Guests);
        }
        if self.fair.n_waiting() <= own {
            return None;
        }
        let here = self.parked.iter().position(|bell| bell.is_here());
        let bell = match here {
            Some(index) => self.parked.swap_remove(index),
            None => self.parked.pop()?,
        };
        Some(Server::Helper(bell))
    }

    /// The order is kept between apps of short and of long slices: what is next waits for those who
    /// serve it, and the others wait with it.
    ///
    /// Nothing is next once the line is closed: a helper that is rung for what it is not given would
    /// ring itself, and never let go of its thread.
    fn is_next_for_helpers(&self) -> Option<bool> {
        if self.is_closed {
            return None;
        }
        self.fair.is_next_short().map(|is_short| is_short && !self.helpers.is_empty())
    }

    fn line_up(&mut self, task: Arc<Task>) {
        if task.must_stop() {
            self.stopping.push_back(task.clone());
        }
        self.fair.enqueue(task.gate.key(), task);
    }
}

impl Workers {
    pub(super) fn start(n_threads: usize, ready: fn()) -> io::Result<Self> {
        let io = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("guest-io")
            .on_thread_start(priority::prompt)
            .enable_all()
            .build()?;
        let line = Arc::new(Line::new(n_threads));
        let (ending, ended) = sync_channel(n_threads);
        for _ in 0..n_threads {
            let (line, io, ending) = (line.clone(), io.handle().clone(), ending.clone());
            thread::Builder::new().name("guest".to_owned()).spawn(move || {
                ready();
                work(&line, &io, &ending);
            })?;
        }
        Ok(Self { line, io, ended, n_threads })
    }

    pub(super) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// Ends the threads, waiting at most this long for the slices that run, and drops the guests.
    pub(super) fn end(self, patience: Duration) {
        // Dropped without the lock: a task may be the last that knows of its gate, whose end takes it.
        let mut waiting = Vec::new();
        let (stopping, tasks) = {
            let mut queue = self.line.queue();
            queue.is_closed = true;
            while let Some((task, charge)) = queue.fair.pop() {
                queue.fair.settle(charge, Duration::ZERO, self.line.now());
                waiting.push(task);
            }
            (mem::take(&mut queue.stopping), mem::take(&mut queue.tasks))
        };
        drop((waiting, stopping));
        self.line.more.notify_all();
        let until = Instant::now() + patience;
        for _ in 0..self.n_threads {
            let left = until.saturating_duration_since(Instant::now());
            if self.ended.recv_timeout(left).is_err() {
                break;
            }
        }
        let entered = self.io.enter();
        for task in tasks.into_values() {
            task.abandon();
        }
        drop(entered);
        self.io.shutdown_background();
    }
}

fn work(line: &Line, io: &Handle, ending: &SyncSender<()>) {
    priority::patient();
    let entered = io.enter();
    line.serve();
    drop(entered);
    // Whoever ends the threads may have stopped waiting.
    ending.send(()).ok();
}
