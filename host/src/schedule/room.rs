//! What the host as a whole has room for: instance slots, and calls that wait.
//! Does not decide who may take a slot: `core::slots` does. Whoever is refused one is told here when
//! slots come free.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use steerage_core::outcome::Refusal;

use super::Room;
use super::gate::{Gate, take};

/// What is bounded for the host as a whole.
#[derive(Debug)]
pub(super) struct Bounds {
    room: Room,
    /// Slots that calls hold.
    n_taken: AtomicU32,
    n_waiting: AtomicU32,
    /// Apps whose calls wait for slots. Each is here once at most.
    short: Mutex<Vec<Weak<Gate>>>,
    /// How many those are, so that who gives slots back need not take the lock.
    n_short: AtomicU32,
}

impl Bounds {
    pub(super) fn new(room: Room) -> Self {
        Self {
            room,
            n_taken: AtomicU32::new(0),
            n_waiting: AtomicU32::new(0),
            short: Mutex::default(),
            n_short: AtomicU32::new(0),
        }
    }

    /// Slots that are held, and how many there are.
    pub(super) fn slots(&self) -> (u32, u32) {
        (self.n_taken.load(Ordering::Relaxed), self.room.slots)
    }

    pub(super) fn n_waiting(&self) -> u32 {
        self.n_waiting.load(Ordering::Relaxed)
    }

    /// Takes as many slots as is said of how many are free.
    pub(super) fn take(&self, decide: impl Fn(u32) -> Option<u32>) -> bool {
        let next = |taken: u32| {
            let free = self.room.slots.saturating_sub(taken);
            decide(free).map(|needs| taken.saturating_add(needs))
        };
        self.n_taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_ok()
    }

    /// Gives slots back. Whoever does calls [`Bounds::lend_on`] when it is done.
    pub(super) fn give_back(&self, n_slots: u32) {
        self.n_taken.fetch_sub(n_slots, Ordering::SeqCst);
    }

    /// Notes that calls of the app wait for slots.
    pub(super) fn note_short(&self, gate: &Arc<Gate>) {
        let mut short = self.short();
        short.push(Arc::downgrade(gate));
        self.count(&short);
    }

    /// Lets those have slots that wait for them, who holds the least for its weight first, until one
    /// may not: the others may still less.
    pub(super) fn lend_on(&self) {
        while self.n_short.load(Ordering::SeqCst) > 0 {
            let Some(gate) = self.least() else { return };
            gate.is_off_the_list();
            if gate.hand_on() {
                return;
            }
        }
    }

    /// Takes the app off the list that is to be served first.
    fn least(&self) -> Option<Arc<Gate>> {
        let mut short = self.short();
        short.retain(|gate| gate.strong_count() > 0);
        let ranks = short.iter().enumerate();
        let ranks = ranks.filter_map(|(place, gate)| Some((gate.upgrade()?.rank(), place)));
        let least = ranks.min().map(|(_, place)| short.swap_remove(place));
        self.count(&short);
        // A gate whose last owner this turns out to be takes the lock of the line when it is dropped,
        // and not this one.
        drop(short);
        least.and_then(|gate| gate.upgrade())
    }

    fn count(&self, short: &[Weak<Gate>]) {
        self.n_short.store(u32::try_from(short.len()).unwrap_or(u32::MAX), Ordering::SeqCst);
    }

    fn short(&self) -> MutexGuard<'_, Vec<Weak<Gate>>> {
        self.short.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a call as waiting on the host for as long as it lives.
pub(super) struct Waiting<'b>(&'b Bounds);

impl<'b> Waiting<'b> {
    pub(super) fn enter(bounds: &'b Bounds) -> Result<Self, Refusal> {
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
