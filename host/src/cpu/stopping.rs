//! Tasks whose calls were told to stop, and the thread that ends them.
//! Does not know the run queues: a task that waits in one is found to be over when its turn comes there.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, PoisonError};

use crossbeam_utils::CachePadded;

use super::task::Task;
use crate::shared::{Locked, Shared};

/// What must stop.
#[derive(Debug, Default)]
pub(super) struct Stopping {
    state: CachePadded<Locked<State>>,
    /// Wakes the thread that does nothing else. The guest threads may all run long slices, such as the
    /// filling of a memory, while what a stopped guest holds is needed.
    more: Condvar,
    /// How many tasks there are, for who has no need of the lock while there are none.
    n_tasks: CachePadded<Shared<AtomicUsize>>,
}

#[derive(Debug, Default)]
struct State {
    tasks: VecDeque<Arc<Task>>,
    is_closed: bool,
}

impl Stopping {
    /// Whether there is anything.
    pub(super) fn is_any(&self) -> bool {
        self.n_tasks.load(Ordering::SeqCst) > 0
    }

    /// Adds a task and wakes the thread. Says how many there are now.
    pub(super) fn push(&self, task: Arc<Task>) -> usize {
        let mut state = self.state.lock();
        if state.is_closed {
            // Dropped without the lock, as all guests are.
            drop(state);
            drop(task);
            return 0;
        }
        state.tasks.push_back(task);
        let n_tasks = state.tasks.len();
        self.n_tasks.write().store(n_tasks, Ordering::SeqCst);
        drop(state);
        self.more.notify_one();
        n_tasks
    }

    /// Takes the next one.
    pub(super) fn pop(&self) -> Option<Arc<Task>> {
        if !self.is_any() {
            return None;
        }
        let mut state = self.state.lock();
        let task = state.tasks.pop_front()?;
        self.n_tasks.write().store(state.tasks.len(), Ordering::SeqCst);
        Some(task)
    }

    /// Waits for the next one; none once this is closed.
    pub(super) fn wait(&self) -> Option<Arc<Task>> {
        let mut state = self.state.lock();
        while !state.is_closed {
            if let Some(task) = state.tasks.pop_front() {
                self.n_tasks.write().store(state.tasks.len(), Ordering::SeqCst);
                return Some(task);
            }
            state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Lets go of all, and takes no more.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let tasks = mem::take(&mut state.tasks);
        self.n_tasks.write().store(0, Ordering::SeqCst);
        drop(state);
        self.more.notify_all();
        drop(tasks);
    }
}
