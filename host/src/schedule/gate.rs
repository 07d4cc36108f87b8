//! The right of one app to run calls: so many at once, so many waiting, first come first served.
//! Decides nothing: `core::admit` does, this counts and wakes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steerage_core::admit::{self, Decision, Standing};
use steerage_core::fair::{self, FlowKey};
use steerage_core::limits::Limits;
use steerage_core::outcome::Refusal;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Bounds;
use super::line::Line;

/// How slowly the measured length of calls follows the latest.
const HOLD_MEMORY: u64 = 8;

/// The right of one app to run, shared by all its deployments.
#[derive(Debug)]
pub struct Gate {
    key: FlowKey,
    line: Arc<Line>,
    bounds: Arc<Bounds>,
    n_running: AtomicU32,
    /// Calls in `waiting`; looked at before the lock is taken, so that calls that need not wait
    /// never take it.
    n_waiting: AtomicU32,
    width: AtomicU32,
    waiting: Mutex<VecDeque<oneshot::Sender<Place>>>,
    /// How many of them have given up since the line was last cleared: looking at all of them for
    /// each refusal would make refusing dear just when there is much to refuse.
    n_gone: AtomicU32,
    /// How long calls kept their permits lately, in nanoseconds; measured only while others wait.
    hold: AtomicU64,
    /// What a slice takes, wherever it runs, in nanoseconds: what can be asked without the lock of
    /// the line. `core::fair` has its own for the slices that it charges.
    estimate: AtomicU64,
    /// I/O work done for the app that it was not charged for yet, in nanoseconds.
    owed: AtomicU64,
}

/// The right of one call to run. Held as long as the guest lives, body streaming included.
#[derive(Debug)]
pub struct Permit {
    place: Place,
}

/// One of an app's places, without a slot of the host yet.
#[derive(Debug)]
struct Place {
    gate: Arc<Gate>,
    since: Instant,
}

impl Gate {
    pub(super) fn new(
        key: FlowKey,
        line: Arc<Line>,
        bounds: Arc<Bounds>,
        limits: &Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            key,
            line,
            bounds,
            n_running: AtomicU32::new(0),
            n_waiting: AtomicU32::new(0),
            width: AtomicU32::new(limits.concurrency.get()),
            waiting: Mutex::default(),
            n_gone: AtomicU32::new(0),
            hold: AtomicU64::new(0),
            estimate: AtomicU64::new(nanoseconds(fair::FIRST_ESTIMATE)),
            owed: AtomicU64::new(0),
        })
    }

    /// Waits for the right to run, first come first served.
    ///
    /// # Errors
    /// The app is busy past its queue, the call could not be over before its `deadline`, or the
    /// host is full.
    pub async fn admit(
        self: &Arc<Self>,
        limits: &Limits,
        now: std::time::Instant,
        deadline: Instant,
    ) -> Result<Permit, Refusal> {
        let place = if self.n_waiting.load(Ordering::SeqCst) == 0 && self.take() {
            Place { gate: self.clone(), since: now.into() }
        } else {
            self.wait(limits, deadline).await?
        };
        if take(&self.bounds.n_running, self.bounds.room.slots) {
            Ok(Permit { place })
        } else {
            Err(Refusal::HostFull)
        }
    }

    /// Makes the gate as wide as a new deployment says. Calls that run keep their right.
    pub(super) fn reshape(self: &Arc<Self>, limits: &Limits) {
        self.width.store(limits.concurrency.get(), Ordering::SeqCst);
        self.hand_on();
    }

    /// Calls that run, and calls that wait.
    #[must_use]
    pub fn load(&self) -> (u32, u32) {
        (self.n_running.load(Ordering::Relaxed), self.n_waiting.load(Ordering::Relaxed))
    }

    pub(super) fn key(&self) -> FlowKey {
        self.key
    }

    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    pub(super) fn estimate(&self) -> Duration {
        Duration::from_nanos(self.estimate.load(Ordering::Relaxed))
    }

    pub(super) fn learn(&self, used: Duration) {
        let learned = fair::learn(self.estimate(), used);
        self.estimate.store(nanoseconds(learned), Ordering::Relaxed);
    }

    /// Notes I/O work done for the app. While no other app asks, nobody is to be protected from it.
    pub fn owe(&self, used: Duration) {
        if self.line.is_mixed() {
            self.owed.fetch_add(nanoseconds(used), Ordering::Relaxed);
        }
    }

    /// Whether the app was given more than another that asks.
    pub(super) fn is_ahead(&self) -> bool {
        self.line.is_ahead(self.key)
    }

    /// The I/O work that is to be charged now.
    pub(super) fn take_owed(&self) -> Option<Duration> {
        if self.owed.load(Ordering::Relaxed) == 0 {
            return None;
        }
        Some(Duration::from_nanos(self.owed.swap(0, Ordering::Relaxed)))
    }

    fn take(&self) -> bool {
        let width = self.width.load(Ordering::Relaxed);
        take(&self.n_running, width)
    }

    async fn wait(self: &Arc<Self>, limits: &Limits, deadline: Instant) -> Result<Place, Refusal> {
        let _counted = Waiting::enter(&self.bounds)?;
        let turn = self.line_up(limits, deadline)?;
        let mut in_line = InLine { gate: self, is_served: false };
        // A permit may have come free before this call was in line.
        self.hand_on();
        match tokio::time::timeout_at(deadline, turn).await {
            Ok(Ok(place)) => {
                in_line.is_served = true;
                Ok(place)
            }
            // Nobody drops a sender that is in line; time running out is the one way here.
            Ok(Err(_)) | Err(_) => {
                Err(Refusal::TooLate { needs: self.hold(), limit: limits.timeout })
            }
        }
    }

    fn line_up(
        &self,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Place>, Refusal> {
        let mut waiting = self.lock();
        let standing = |waiting: &VecDeque<_>| Standing {
            running: self.n_running.load(Ordering::Relaxed).max(limits.concurrency.get()),
            queued: u32::try_from(waiting.len()).unwrap_or(u32::MAX),
            hold: self.hold(),
            left: deadline.saturating_duration_since(Instant::now()),
        };
        let mut decision = admit::decide(&standing(&waiting), limits);
        if matches!(decision, Decision::Refuse(_)) && self.n_gone.swap(0, Ordering::Relaxed) > 0 {
            waiting.retain(|sender| !sender.is_closed());
            decision = admit::decide(&standing(&waiting), limits);
        }
        if let Decision::Refuse(refusal) = decision {
            return Err(refusal);
        }
        let (sender, turn) = oneshot::channel();
        waiting.push_back(sender);
        self.count(&waiting);
        Ok(turn)
    }

    /// Gives places that are free to those who wait.
    fn hand_on(self: &Arc<Self>) {
        loop {
            let mut waiting = self.lock();
            while waiting.front().is_some_and(oneshot::Sender::is_closed) {
                waiting.pop_front();
            }
            let next = if waiting.is_empty() || !self.take() { None } else { waiting.pop_front() };
            self.count(&waiting);
            drop(waiting);
            let Some(next) = next else { return };
            // Who went away in this moment drops the place, which hands it on.
            drop(next.send(Place { gate: self.clone(), since: Instant::now() }));
        }
    }

    fn count(&self, waiting: &VecDeque<oneshot::Sender<Place>>) {
        self.n_waiting.store(u32::try_from(waiting.len()).unwrap_or(u32::MAX), Ordering::SeqCst);
    }

    fn measure(&self, held: Duration) {
        let held = nanoseconds(held);
        let before = self.hold.load(Ordering::Relaxed);
        let learned = if before == 0 {
            held
        } else {
            (before - before / HOLD_MEMORY).saturating_add(held / HOLD_MEMORY)
        };
        self.hold.store(learned, Ordering::Relaxed);
    }

    fn hold(&self) -> Duration {
        Duration::from_nanos(self.hold.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<oneshot::Sender<Place>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.line.queue().fair.remove(self.key);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.place.gate.bounds.n_running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let gate = &self.gate;
        gate.n_running.fetch_sub(1, Ordering::SeqCst);
        if gate.n_waiting.load(Ordering::SeqCst) > 0 {
            gate.measure(self.since.elapsed());
            gate.hand_on();
        }
    }
}

/// Counts a call as gone that leaves its line without having had its turn.
struct InLine<'g> {
    gate: &'g Gate,
    is_served: bool,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        if !self.is_served {
            self.gate.n_gone.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Counts a call as waiting on the host for as long as it lives.
struct Waiting<'b>(&'b Bounds);

impl<'b> Waiting<'b> {
    fn enter(bounds: &'b Bounds) -> Result<Self, Refusal> {
        if take(&bounds.n_waiting, bounds.room.queue) {
            Ok(Self(bounds))
        } else {
            Err(Refusal::HostBusy { queue: bounds.room.queue })
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.n_waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Counts one more, unless there are as many as there may be.
fn take(count: &AtomicU32, most: u32) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::Relaxed, |n| (n < most).then_some(n + 1)).is_ok()
}
