//! What the host as a whole has room for: instance slots, and calls that wait.
//! Does not decide who may take a slot: `core::slots` does. Whoever is refused one is told here when
//! slots come free.
//!
//! Lock order: nobody holds `short` while a [`Claimant`] is called, which takes a lock of its own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, MutexGuard, Weak};

use crossbeam_utils::CachePadded;
use steerage_core::outcome::Refusal;

use super::tenants::Asks;
use crate::shared::{Locked, Shared};

/// How many calls may run and wait.
#[derive(Clone, Copy, Debug)]
pub struct CallBounds {
    /// Instance slots: instances at once, where each needs one.
    pub slots: u32,
    /// Calls waiting at once, of all apps together.
    pub queue: u32,
}

/// An app whose calls wait for slots.
pub(super) trait Claimant: std::fmt::Debug + Send + Sync {
    /// Where the app stands among those that wait for slots: the least is served first.
    fn rank(&self) -> u64;

    /// The host has taken the app off the list of those that wait for slots.
    fn is_off_the_list(&self);

    /// Lets calls start that may now. Says whether some still wait for want of slots; the host knows
    /// of them then.
    fn hand_on(self: Arc<Self>) -> bool;
}

/// An app whose calls wait for slots, as the host knows it.
#[derive(Debug)]
struct Waits {
    claimant: Weak<dyn Claimant>,
    _asks: Asks,
}

/// What is bounded for the host as a whole.
#[derive(Debug)]
pub(super) struct HostRoom {
    room: CallBounds,
    /// Slots that calls hold. Every call writes it, so it has a line of its own.
    n_taken: CachePadded<Shared<AtomicU32>>,
    n_waiting: Shared<AtomicU32>,
    /// Apps whose calls wait for slots. Each is here once at most.
    short: Locked<Vec<Waits>>,
    /// How many those are, so that who gives slots back need not take the lock.
    n_short: Shared<AtomicU32>,
}

impl HostRoom {
    pub(super) fn new(room: CallBounds) -> Self {
        Self {
            room,
            n_taken: CachePadded::default(),
            n_waiting: Shared::default(),
            short: Locked::default(),
            n_short: Shared::default(),
        }
    }

    /// Slots that are held, and how many there are.
    pub(super) fn slots(&self) -> (u32, u32) {
        (self.n_taken.load(Ordering::Relaxed), self.room.slots)
    }

    /// Slots that nobody holds.
    pub(super) fn n_free(&self) -> u32 {
        self.room.slots.saturating_sub(self.n_taken.load(Ordering::SeqCst))
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
        self.n_taken.write().fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_ok()
    }

    /// Gives slots back. Whoever does calls [`HostRoom::pass_on`] when it is done.
    pub(super) fn give_back(&self, n_slots: u32) {
        self.n_taken.write().fetch_sub(n_slots, Ordering::SeqCst);
    }

    /// Notes that calls of the app wait for slots.
    pub(super) fn note_short(&self, claimant: Weak<dyn Claimant>, asks: Asks) {
        let mut short = self.short();
        short.push(Waits { claimant, _asks: asks });
        self.count(&short);
    }

    /// Lets those have slots that wait for them, who is to be served first, until one may not: the
    /// others may still less.
    pub(super) fn pass_on(&self) {
        while self.n_short.load(Ordering::SeqCst) > 0 {
            let Some(claimant) = self.least() else { return };
            claimant.is_off_the_list();
            if claimant.hand_on() {
                return;
            }
        }
    }

    /// Takes the app off the list that is to be served first.
    fn least(&self) -> Option<Arc<dyn Claimant>> {
        let mut short = self.short();
        short.retain(|waits| waits.claimant.strong_count() > 0);
        let ranks = short.iter().enumerate();
        let ranks =
            ranks.filter_map(|(place, waits)| Some((waits.claimant.upgrade()?.rank(), place)));
        let least = ranks.min().map(|(_, place)| short.swap_remove(place));
        self.count(&short);
        drop(short);
        least.and_then(|waits| waits.claimant.upgrade())
    }

    fn count(&self, short: &[Waits]) {
        self.n_short
            .write()
            .store(u32::try_from(short.len()).unwrap_or(u32::MAX), Ordering::SeqCst);
    }

    fn short(&self) -> MutexGuard<'_, Vec<Waits>> {
        self.short.lock()
    }
}

/// Counts a call as waiting on the host for as long as it lives.
pub(super) struct Waiting<'b>(&'b HostRoom);

impl<'b> Waiting<'b> {
    pub(super) fn enter(bounds: &'b HostRoom) -> Result<Self, Refusal> {
        if take(&bounds.n_waiting, bounds.room.queue) {
            Ok(Self(bounds))
        } else {
            Err(Refusal::HostBusy { queue: bounds.room.queue })
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.n_waiting.write().fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts one more, unless there are as many as there may be.
pub(super) fn take(count: &Shared<AtomicU32>, most: u32) -> bool {
    // Sequentially consistent even where it fails: who found no place looks whether one came free
    // after it is in line, and who gives one back looks whether somebody is. One of both must see.
    let next = |n| (n < most).then_some(n + 1);
    count.write().fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_ok()
}
