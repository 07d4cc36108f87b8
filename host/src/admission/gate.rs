//! The right of one app to run calls: so many at once, so many waiting, first come first served, as
//! far as the host has instance slots for them.
//! Decides nothing: `core::admit` and `core::slots` do, this counts and wakes.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_utils::CachePadded;
use steerage_core::admit::{self, Decision, GateLoad};
use steerage_core::limits::Limits;
use steerage_core::outcome::Refusal;
use steerage_core::slots;
use steerage_core::units::{Weight, nanoseconds};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::host_room::{Claimant, HostRoom, Waiting, take};
use super::tenants::{Asks, Tenant};
use crate::shared::{Locked, Shared};

/// Of calls that end while none waits, so many are measured by each thread: to note each would be one more
/// write of what all cores share, for what nobody asks just then.
const MEASURED: u32 = 16;

/// The right of one app to run, shared by all its deployments.
#[derive(Debug)]
pub struct Gate {
    host: Arc<HostRoom>,
    running: CachePadded<Running>,
    weight: AtomicU32,
    /// Whose app it is now. What its calls hold counts for whose it was when they began.
    tenant: ArcSwap<Tenant>,
    /// Whether the host knows that calls wait here for slots, and not for the app's own places.
    is_short: AtomicBool,
    /// Calls in `waiting`; looked at before the lock is taken, so that calls that need not wait
    /// never take it.
    n_waiting: AtomicU32,
    width: AtomicU32,
    /// By their numbers, which rise.
    waiting: Locked<VecDeque<Waiter>>,
    /// Calls that have ever been in `waiting`.
    n_lined_up: AtomicU64,
}

/// What every call of the app writes, on a line of its own.
#[derive(Debug, Default)]
struct Running {
    n_running: Shared<AtomicU32>,
    /// Slots that those hold together.
    n_slots: Shared<AtomicU32>,
    /// How long calls kept their permits since something of the app last ran without a break, in
    /// nanoseconds; 0 when that is not known. What was true of an earlier crowd is not held against
    /// the next one, since who is refused for it would never be measured.
    hold: Shared<AtomicU64>,
}

/// The right of one call to run. Held as long as the guest lives, body streaming included.
#[derive(Debug)]
pub struct Permit {
    _place: Place,
}

/// One of an app's places, with the slots of the host that its instance needs.
#[derive(Debug)]
struct Place {
    gate: Arc<Gate>,
    tenant: Arc<Tenant>,
    needs: u32,
    since: Instant,
}

/// A call that waits.
#[derive(Debug)]
struct Waiter {
    number: u64,
    needs: u32,
    deadline: Instant,
    turn: oneshot::Sender<Place>,
}

/// What came of reaching for a place.
#[derive(Debug)]
enum Reach {
    /// A place, and its slots for this tenant.
    Taken(Arc<Tenant>),
    /// As many calls of the app run as may.
    NoPlace,
    /// The app may have no more of the host's slots now.
    NoSlot,
}

impl Gate {
    pub(super) fn new(
        host: Arc<HostRoom>,
        limits: &Limits,
        tenant: Arc<Tenant>,
        weight: Weight,
    ) -> Arc<Self> {
        Arc::new(Self {
            host,
            running: CachePadded::default(),
            weight: AtomicU32::new(weight.get()),
            tenant: ArcSwap::new(tenant),
            is_short: AtomicBool::new(false),
            n_waiting: AtomicU32::new(0),
            width: AtomicU32::new(limits.concurrency.get()),
            waiting: Locked::default(),
            n_lined_up: AtomicU64::new(0),
        })
    }

    /// Waits for the right to run an instance that needs so many slots, first come first served.
    ///
    /// # Errors
    /// The app is busy past its queue, the call could not be over before its `deadline`, or the
    /// host has no slots for it.
    pub async fn admit(
        self: &Arc<Self>,
        limits: &Limits,
        needs: u32,
        now: std::time::Instant,
        deadline: Instant,
    ) -> Result<Permit, Refusal> {
        let is_free = self.n_waiting.load(Ordering::SeqCst) == 0;
        let reached = if is_free { self.reach(needs) } else { Reach::NoPlace };
        let had_place = match reached {
            Reach::Taken(tenant) => {
                let place = Place { gate: self.clone(), tenant, needs, since: now.into() };
                return Ok(Permit { _place: place });
            }
            Reach::NoSlot => true,
            Reach::NoPlace => false,
        };
        let waited = Box::pin(self.wait(limits, needs, deadline)).await;
        if waited.is_err() && had_place {
            // Reaching for slots, it had a place for a moment, which somebody may have missed who is in
            // line now, and who is not known to wait for slots.
            self.start_waiting();
        }
        let place = waited?;
        Ok(Permit { _place: place })
    }

    /// Makes the gate as wide as a new deployment says. Calls that run keep their right.
    pub(super) fn reshape(self: &Arc<Self>, limits: &Limits, tenant: Arc<Tenant>, weight: Weight) {
        self.tenant.store(tenant);
        self.width.store(limits.concurrency.get(), Ordering::SeqCst);
        self.weight.store(weight.get(), Ordering::SeqCst);
        // What an earlier deployment took says nothing about this one.
        self.running.hold.write().store(0, Ordering::Relaxed);
        self.start_waiting();
    }

    /// Calls that run, and calls that wait.
    #[must_use]
    pub fn load(&self) -> (u32, u32) {
        (self.running.n_running.load(Ordering::Relaxed), self.n_waiting.load(Ordering::Relaxed))
    }

    /// Takes a place and the slots, or neither.
    fn reach(&self, needs: u32) -> Reach {
        if !take(&self.running.n_running, self.width.load(Ordering::SeqCst)) {
            return Reach::NoPlace;
        }
        // Two that reach at once may both be let in where one should be. The host's own number is
        // never passed.
        let tenant = self.tenant.load_full();
        if self.host.take(|free| self.may_take(&tenant, needs, free).then_some(needs)) {
            self.running.n_slots.write().fetch_add(needs, Ordering::SeqCst);
            tenant.take(needs);
            return Reach::Taken(tenant);
        }
        self.running.n_running.write().fetch_sub(1, Ordering::SeqCst);
        Reach::NoSlot
    }

    fn weight(&self) -> Weight {
        Weight::new(self.weight.load(Ordering::SeqCst)).unwrap_or_default()
    }

    /// Whether slots are what a call waits for that needs so many: the app has places left, and may have
    /// no more slots. A place alone says nothing: it is free for a moment whenever a call ends, until one
    /// that waits has it, and the slots of that call are free by then.
    fn lacks_slots(&self, needs: u32) -> bool {
        let has_places =
            self.running.n_running.load(Ordering::SeqCst) < self.width.load(Ordering::SeqCst);
        has_places && !self.may_take(&self.tenant.load(), needs, self.host.n_free())
    }

    /// Whether the app may have so many slots more, of so many that are free.
    fn may_take(&self, tenant: &Tenant, needs: u32, free: u32) -> bool {
        let held = self.running.n_slots.load(Ordering::SeqCst);
        let (weight, tenant) = (self.weight(), tenant.standing());
        slots::may_take(&slots::SlotRequest { held, needs, free, weight, tenant })
    }

    async fn wait(
        self: &Arc<Self>,
        limits: &Limits,
        needs: u32,
        deadline: Instant,
    ) -> Result<Place, Refusal> {
        let _counted = Waiting::enter(&self.host)?;
        let (number, turn) = self.line_up(limits, needs, deadline)?;
        let mut in_line = InLine { gate: self, number, is_served: false };
        // A permit may have come free before this call was in line.
        self.start_waiting();
        match tokio::time::timeout_at(deadline, turn).await {
            Ok(Ok(place)) => {
                in_line.is_served = true;
                Ok(place)
            }
            Err(_) if self.lacks_slots(needs) => Err(Refusal::HostFull),
            // Its time has run out, or it was found that it will have.
            Ok(Err(_)) | Err(_) => {
                Err(Refusal::TooLate { needs: self.hold(), limit: limits.timeout })
            }
        }
    }

    fn line_up(
        &self,
        limits: &Limits,
        needs: u32,
        deadline: Instant,
    ) -> Result<(u64, oneshot::Receiver<Place>), Refusal> {
        let mut waiting = self.lock();
        let (n_running, lacks_slots) =
            (self.running.n_running.load(Ordering::SeqCst), self.lacks_slots(needs));
        let load = GateLoad {
            running: limits.concurrency.get(),
            queued: u32::try_from(waiting.len()).unwrap_or(u32::MAX),
            hold: self.hold(),
            at_once: if lacks_slots { n_running } else { limits.concurrency.get() },
            left: deadline.saturating_duration_since(Instant::now()),
        };
        let decision = admit::decide(&load, limits);
        if let Decision::Refuse(refusal) = decision {
            // It is not the app that is busy.
            return Err(if lacks_slots { Refusal::HostFull } else { refusal });
        }
        let (sender, turn) = oneshot::channel();
        // Under the lock of the line, which orders the numbers.
        let number = self.n_lined_up.fetch_add(1, Ordering::Relaxed);
        waiting.push_back(Waiter { number, needs, deadline, turn: sender });
        self.count(&waiting);
        Ok((number, turn))
    }

    /// Takes a call out of the line that is there no more, if it is in it. Where it was the first, the
    /// next may need less than it.
    fn leave(self: &Arc<Self>, number: u64) {
        let left = {
            let mut waiting = self.lock();
            let Ok(index) = waiting.binary_search_by_key(&number, |waiter| waiter.number) else {
                return;
            };
            let left = waiting.remove(index);
            self.count(&waiting);
            (index, left)
        };
        if left.0 == 0 {
            self.start_waiting();
        }
    }

    /// Gives places that are free to those who wait. Says whether some still do for want of slots; the
    /// host knows of them then.
    fn start_waiting(self: &Arc<Self>) -> bool {
        let mut is_known = false;
        loop {
            let mut waiting = self.lock();
            // Who is dropped here learns it from that.
            while waiting.front().is_some_and(|waiter| self.is_in_vain(waiter)) {
                waiting.pop_front();
            }
            let reached = waiting.front().map(|waiter| self.reach(waiter.needs));
            let (next, is_short) = match reached {
                Some(Reach::Taken(tenant)) => (waiting.pop_front().zip(Some(tenant)), false),
                Some(Reach::NoSlot) => (None, true),
                Some(Reach::NoPlace) | None => (None, false),
            };
            self.count(&waiting);
            drop(waiting);
            if let Some((Waiter { needs, turn, .. }, tenant)) = next {
                // Who went away in this moment drops the place, which hands it on.
                let place = Place { gate: self.clone(), tenant, needs, since: Instant::now() };
                drop(turn.send(place));
                continue;
            }
            if !is_short || is_known {
                return is_short;
            }
            // Slots may have come free before the host knew that they are wanted here: once more.
            if !self.is_short.swap(true, Ordering::SeqCst) {
                let claimant: Weak<dyn Claimant> = Arc::downgrade(self) as _;
                self.host.note_short(claimant, Asks::of(self.tenant.load_full()));
            }
            is_known = true;
        }
    }

    /// Whether it is no use to start the call: nobody waits for it, or there is no time left. When it
    /// got in line, nothing may have been known of how long calls take.
    fn is_in_vain(&self, waiter: &Waiter) -> bool {
        let hold = self.hold();
        let left = || waiter.deadline.saturating_duration_since(Instant::now());
        waiter.turn.is_closed() || (!hold.is_zero() && admit::is_too_late(hold, left()))
    }

    fn count(&self, waiting: &VecDeque<Waiter>) {
        self.n_waiting.store(u32::try_from(waiting.len()).unwrap_or(u32::MAX), Ordering::SeqCst);
    }

    fn measure(&self, held: Duration) {
        let learned = admit::learn(self.hold(), held);
        self.running.hold.write().store(nanoseconds(learned), Ordering::Relaxed);
    }

    fn hold(&self) -> Duration {
        Duration::from_nanos(self.running.hold.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiter>> {
        self.waiting.lock()
    }
}

impl Claimant for Gate {
    fn rank(&self) -> u64 {
        let held = self.running.n_slots.load(Ordering::SeqCst);
        slots::rank(held, self.weight(), &self.tenant.load().standing())
    }

    fn is_off_the_list(&self) {
        self.is_short.store(false, Ordering::SeqCst);
    }

    fn hand_on(self: Arc<Self>) -> bool {
        self.start_waiting()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let gate = &self.gate;
        gate.running.n_slots.write().fetch_sub(self.needs, Ordering::SeqCst);
        self.tenant.give_back(self.needs);
        gate.host.give_back(self.needs);
        let is_at_rest = gate.running.n_running.write().fetch_sub(1, Ordering::SeqCst) == 1;
        if gate.n_waiting.load(Ordering::SeqCst) > 0 {
            gate.measure(self.since.elapsed());
            gate.start_waiting();
        } else if !is_at_rest && (gate.hold().is_zero() || is_one_in(MEASURED)) {
            gate.measure(self.since.elapsed());
        }
        // Looked at first: where nobody ever waits it is 0, and this is done for every call.
        if !gate.hold().is_zero() && gate.load() == (0, 0) {
            gate.running.hold.write().store(0, Ordering::Relaxed);
        }
        gate.host.pass_on();
    }
}

/// Whether this thread has come here so often since it was last told so.
fn is_one_in(n: u32) -> bool {
    thread_local! {
        static N_PASSED: Cell<u32> = const { Cell::new(0) };
    }
    let n_passed = (N_PASSED.get() + 1) % n;
    N_PASSED.set(n_passed);
    n_passed == 0
}

/// Has a call leave its line that goes without having had its turn.
struct InLine<'g> {
    gate: &'g Arc<Gate>,
    number: u64,
    is_served: bool,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        if !self.is_served {
            self.gate.leave(self.number);
        }
    }
}
