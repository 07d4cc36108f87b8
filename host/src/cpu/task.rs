//! One guest on its way through the run queues: polled by one thread at a time, enqueued when woken.
//! Does not choose its turn.
//!
//! `state` says who may do what. A waker that finds the task asleep makes it wait and enqueues it; one
//! that finds it running leaves a word for the worker that runs it, which then says so to the queue. So
//! a task that waits is in the queue, once as a rule. A task whose call must stop is there twice, and so
//! may be taken by two workers: it is run by the one that makes it run, and the other one leaves it. The
//! lock of the guest is therefore never waited for but while the worker before lets go of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::call::Call;
use crate::flow::Flow;
use crate::meter;

/// What is polled: a guest, to its end. Boxed by whoever makes it, since it is large and moving it is
/// a part of what a small call costs.
pub type Guest = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Nobody has woken it, it is not in the queue.
const ASLEEP: u8 = 0;
/// In the queue.
const WAITING: u8 = 1;
/// Being polled.
const RUNNING: u8 = 2;
/// Being polled, and woken since that began.
const WOKEN: u8 = 3;
/// Over.
const OVER: u8 = 4;

/// Where tasks go that were woken.
pub(super) trait Enqueue: std::fmt::Debug + Send + Sync {
    /// Puts a task in the queue that was woken.
    fn enqueue(&self, task: Arc<Task>);

    /// Has a task run next that is in the queue and whose call must stop.
    fn expedite(&self, task: Arc<Task>);
}

/// A guest and where it stands.
#[derive(Debug)]
pub(super) struct Task {
    /// Whose it is.
    pub(super) flow: Arc<Flow>,
    /// The core where it began.
    pub(super) origin: usize,
    /// The core to whose queue it goes. Changed by whoever runs it, so before it is in a queue again.
    home: AtomicUsize,
    queue: Arc<dyn Enqueue>,
    call: Arc<Call>,
    state: AtomicU8,
    guest: Mutex<Option<Unshown>>,
}

/// A future, which has nothing to show.
struct Unshown(Guest);

impl std::fmt::Debug for Unshown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guest")
    }
}

/// What came of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slice {
    /// There is more to do at once.
    Again,
    /// It waits for something.
    Asleep,
    /// It has ended.
    Over,
    /// Another worker runs it, or has run it since it was put where this one took it from.
    NotOurs,
}

impl Task {
    /// A task that is taken to be in the queue already.
    pub(super) fn new(
        flow: Arc<Flow>,
        call: Arc<Call>,
        origin: usize,
        queue: Arc<dyn Enqueue>,
        guest: Guest,
    ) -> Arc<Self> {
        Arc::new(Self {
            flow,
            origin,
            home: AtomicUsize::new(origin),
            queue,
            call,
            state: AtomicU8::new(WAITING),
            guest: Mutex::new(Some(Unshown(guest))),
        })
    }

    /// What no other task has that is there at the same time.
    pub(super) fn key(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    /// The core to whose queue it goes.
    pub(super) fn home(&self) -> usize {
        self.home.load(Ordering::Relaxed)
    }

    /// Has it go to another core's queue.
    pub(super) fn set_home(&self, core: usize) {
        self.home.store(core, Ordering::Relaxed);
    }

    /// Polls one slice; says what came of it and what it took.
    pub(super) fn run(self: &Arc<Self>) -> (Slice, Duration) {
        let ours =
            self.state.compare_exchange(WAITING, RUNNING, Ordering::AcqRel, Ordering::Acquire);
        match ours {
            Ok(_) => {}
            Err(OVER) => return (Slice::Over, Duration::ZERO),
            Err(_) => return (Slice::NotOurs, Duration::ZERO),
        }
        let mut place = self.guest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Unshown(guest)) = &mut *place else { return (Slice::Over, Duration::ZERO) };
        let waker = Waker::from(self.clone());
        let mut context = Context::from_waker(&waker);
        meter::begin();
        // A bug of the host that one guest hits must not take the others' thread away.
        let polled = catch_unwind(AssertUnwindSafe(|| guest.as_mut().poll(&mut context)));
        if !matches!(polled, Ok(Poll::Pending)) {
            self.end(&mut place);
            return (Slice::Over, meter::end());
        }
        let used = meter::end();
        // Before the state says so: whoever is woken from here on may be another worker at once.
        drop(place);
        let calm =
            self.state.compare_exchange(RUNNING, ASLEEP, Ordering::AcqRel, Ordering::Acquire);
        if calm.is_ok() {
            return (Slice::Asleep, used);
        }
        self.state.store(WAITING, Ordering::Release);
        (Slice::Again, used)
    }

    /// Has its call tell it when it must stop.
    pub(super) fn watch_stop(self: &Arc<Self>) {
        let waker = Waker::from(self.clone());
        if self.call.poll_stop(&mut Context::from_waker(&waker)).is_ready() {
            waker.wake();
        }
    }

    /// Whether its call must stop.
    pub(super) fn must_stop(&self) -> bool {
        self.call.must_stop()
    }

    /// Drops the guest, unless it is being polled at this moment. Its worker finds the queue closed then,
    /// and does this.
    pub(super) fn abandon(&self) {
        if let Ok(mut place) = self.guest.try_lock() {
            self.end(&mut place);
        }
    }

    /// Drops the guest for good. The call holds this task for as long as it would have it told to
    /// stop, and this task holds the call.
    fn end(&self, place: &mut Option<Unshown>) {
        self.state.store(OVER, Ordering::Release);
        *place = None;
        self.call.forget_stopper();
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let woken =
            self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| match state {
                ASLEEP => Some(WAITING),
                RUNNING => Some(WOKEN),
                _ => None,
            });
        match woken {
            Ok(ASLEEP) => {
                self.call.time().note_woken(meter::read());
                self.queue.enqueue(self.clone());
            }
            Err(WAITING) if self.must_stop() => self.queue.expedite(self.clone()),
            _ => {}
        }
    }
}
