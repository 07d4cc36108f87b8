//! How the thread of a connection takes its turns: it runs while the task of the call that asks has one, for a slice
//! at a time, and so what it takes is charged to the app and shared as what guests compute. The task waits on
//! the spot for the end of the slice, since its turn would otherwise be another's at the same time.
//! Does not know SQL.
//!
//! What waits for the disk or a lock holds no turn, and the thread asks for one when it goes on. A slice that does
//! not end in time runs on without: a function of SQL may take long and cannot be interrupted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::meter;

/// What the thread runs between two looks at who else waits.
pub(super) const SLICE: Duration = Duration::from_micros(500);
/// How long the task waits for the end of one. The system may have others run meanwhile.
const PATIENCE: Duration = Duration::from_millis(2);

/// The turns of one statement, of which `T` comes.
#[derive(Debug)]
pub(super) struct SqlTurns<T> {
    held: Mutex<Held<T>>,
    changed: Condvar,
    is_stopped: AtomicBool,
    /// Nobody is asked for turns: an operator asks, beside whom no guests wait.
    is_free: bool,
}

#[derive(Debug)]
struct Held<T> {
    stage: Stage,
    /// What the thread used that the task was not told of.
    used: Duration,
    waker: Option<Waker>,
    answer: Option<T>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The thread waits for a turn.
    Asks,
    /// It has one.
    Runs,
    /// It has none and needs none.
    Waits,
    /// There is an answer, or there was.
    Over,
}

impl<T> SqlTurns<T> {
    pub(super) fn new(is_free: bool) -> Self {
        let stage = if is_free { Stage::Waits } else { Stage::Asks };
        let held = Held { stage, used: Duration::ZERO, waker: None, answer: None };
        Self {
            held: Mutex::new(held),
            changed: Condvar::new(),
            is_stopped: AtomicBool::new(false),
            is_free,
        }
    }

    fn held(&self) -> MutexGuard<'_, Held<T>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // What the thread of the connection calls:

    /// Whether nobody wants the answer any more.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Waits for the first turn; `false` where nobody wants the answer any more.
    pub(super) fn begin(&self) -> bool {
        self.wait(self.held())
    }

    /// Says what was used, and waits for another turn; `false` where nobody wants the answer any more.
    pub(super) fn take(&self, used: Duration) -> bool {
        let mut held = self.held();
        held.used += used;
        if !self.is_free && held.stage != Stage::Asks {
            held.stage = Stage::Asks;
            self.tell(&mut held);
        }
        self.wait(held)
    }

    fn wait(&self, mut held: MutexGuard<'_, Held<T>>) -> bool {
        while held.stage == Stage::Asks && !self.is_stopped() {
            held = self.changed.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        !self.is_stopped()
    }

    /// Says what was used, and that what comes now waits for the disk or a lock.
    pub(super) fn pause(&self, used: Duration) {
        let mut held = self.held();
        held.used += used;
        if held.stage == Stage::Runs {
            held.stage = Stage::Waits;
            self.changed.notify_all();
        }
    }

    /// Waits for so long, or until nobody wants the answer any more, which it says.
    pub(super) fn rest(&self, most: Duration) -> bool {
        let until = Instant::now() + most;
        let mut held = self.held();
        while !self.is_stopped() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            let waited = self.changed.wait_timeout(held, left);
            (held, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        false
    }

    /// Says what was used, and what came of it.
    pub(super) fn end(&self, used: Duration, answer: T) {
        let mut held = self.held();
        held.used += used;
        held.answer = Some(answer);
        held.stage = Stage::Over;
        self.tell(&mut held);
    }

    /// Says what came of it, where nothing was said.
    pub(super) fn end_unless_over(&self, answer: T) {
        if self.held().stage != Stage::Over {
            self.end(Duration::ZERO, answer);
        }
    }

    fn tell(&self, held: &mut Held<T>) {
        self.changed.notify_all();
        if let Some(waker) = held.waker.take() {
            waker.wake();
        }
    }

    // What the task calls:

    /// Gives the thread a turn where it asks for one, and waits for the end of its slice; `None` for an answer that
    /// never comes.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Option<T>> {
        let mut held = self.held();
        if held.stage == Stage::Asks {
            held.stage = Stage::Runs;
            self.changed.notify_all();
            let until = Instant::now() + PATIENCE;
            while held.stage == Stage::Runs {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                let waited = self.changed.wait_timeout(held, left);
                (held, _) = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }
        if !self.is_free {
            meter::add(std::mem::take(&mut held.used));
        }
        match held.stage {
            Stage::Over => return Poll::Ready(held.answer.take()),
            Stage::Asks => context.waker().wake_by_ref(),
            Stage::Runs | Stage::Waits => held.waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Whether the thread has a turn, and has not ended its slice.
    pub(super) fn is_running(&self) -> bool {
        self.held().stage == Stage::Runs
    }

    /// Nobody wants the answer any more; whether the thread is in the middle of a slice.
    pub(super) fn stop(&self) -> bool {
        self.is_stopped.store(true, Ordering::Relaxed);
        let held = self.held();
        self.changed.notify_all();
        held.stage == Stage::Runs
    }
}
