//! The line of guests that want a core, and the threads that serve it in fair order.
//! Does not know what a guest is or who may get in line.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use steerage_core::fair::{Charge, Fair};
use tokio::runtime::{Builder, Handle, Runtime};

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
        }
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
        let task = Task::new(gate, call, queue.n_spawned, guest);
        queue.tasks.insert(task.number, task.clone());
        drop(queue);
        // Whom the call would tell so far is where its request was read, if anybody.
        task.watch_stop();
        self.put(task);
    }

    /// Puts a guest that was woken in line.
    pub(super) fn put(&self, task: Arc<Task>) {
        self.n_busy.fetch_add(1, Ordering::Relaxed);
        self.queue().line_up(task);
        self.more.notify_one();
    }

    /// Has a guest polled next that is in line and whose call must stop.
    pub(super) fn hurry(&self, task: Arc<Task>) {
        self.queue().stopping.push_back(task);
        self.more.notify_one();
    }

    /// Serves the line until it is closed.
    fn serve(&self) {
        let mut queue = self.queue();
        while !queue.is_closed {
            if let Some(task) = queue.stopping.pop_front() {
                drop(queue);
                // It ends in this slice, which is charged to nobody: what is there to settle is
                // settled in its turn.
                task.run();
                drop(task);
                queue = self.queue();
                continue;
            }
            let Some((task, charge)) = queue.fair.pop() else {
                queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(queue);
            queue = self.slice(task, charge);
        }
    }

    fn slice(&self, task: Arc<Task>, charge: Charge) -> MutexGuard<'_, Queue> {
        let (slice, used) = task.run();
        if slice != Slice::Over || used > Duration::ZERO {
            task.gate.learn(used);
        }
        let mut queue = self.queue();
        queue.fair.settle(charge, used);
        match slice {
            Slice::Again => queue.line_up(task),
            Slice::Asleep => self.leave(),
            Slice::Over => {
                self.leave();
                let listed = queue.tasks.remove(&task.number);
                // It may be the last that knows of its app, whose end takes the lock.
                drop(queue);
                drop((listed, task));
                return self.queue();
            }
        }
        queue
    }
}

impl Queue {
    fn line_up(&mut self, task: Arc<Task>) {
        if task.must_stop() {
            self.stopping.push_back(task.clone());
        }
        self.fair.enqueue(task.gate.key(), task);
    }
}

impl Workers {
    pub(super) fn start(n_threads: usize) -> io::Result<Self> {
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
        let tasks: Vec<Arc<Task>> = {
            let mut queue = self.line.queue();
            queue.is_closed = true;
            while let Some((_, charge)) = queue.fair.pop() {
                queue.fair.settle(charge, Duration::ZERO);
            }
            queue.stopping.clear();
            queue.tasks.drain().map(|(_, task)| task).collect()
        };
        self.line.more.notify_all();
        let until = Instant::now() + patience;
        for _ in 0..self.n_threads {
            let left = until.saturating_duration_since(Instant::now());
            if self.ended.recv_timeout(left).is_err() {
                break;
            }
        }
        let entered = self.io.enter();
        for task in tasks {
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
