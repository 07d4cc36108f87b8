//! The slots that the instances of one engine take, and the instances that wait for another call.
//! Does not decide who may run: `admission` does. What waits gives its slots up to whoever runs.

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard, Weak};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use super::program::WaitingProgram;
use super::reservation::Reservation;
use super::service::Idle;
use crate::budget::Account;
use crate::meter;
use crate::shared::{Locked, Sum};

/// The slots of one engine.
#[derive(Default)]
pub(super) struct Pool {
    most: u32,
    /// Slots that instances take, those that wait included.
    n_taken: Sum,
    /// Where instances wait that could be given up.
    lists: Locked<Vec<Weak<IdleInstances>>>,
}

/// The instances of one deployment that wait for another call, the latest last.
#[derive(Default)]
pub(super) struct IdleInstances {
    waiting: CachePadded<Locked<VecDeque<Resting>>>,
}

/// The slots of one instance, and what of its app's memory it has reserved. To be dropped after the
/// store: only then is the memory the system's again. What the store itself owns is dropped before its
/// memories are.
pub(super) struct InstanceSlots {
    pool: Arc<Pool>,
    n_slots: u32,
    reservation: Arc<Reservation>,
}

/// An instance that waits for another call. All of one deployment are of one kind.
pub(super) enum Waiting {
    /// Of a component with a handler.
    Service(Idle),
    /// Of a program, which waits only where it was put back.
    Program(Box<WaitingProgram>),
}

struct Resting {
    since: Instant,
    instance: Waiting,
}

impl Pool {
    pub(super) fn new(most: u32) -> Arc<Self> {
        // Where fewer than three quarters are taken it does not matter which.
        Arc::new(Self { most, n_taken: Sum::new(u64::from(most / 4)), ..Self::default() })
    }

    /// Takes slots for an instance. Where there are none left, instances that wait are given up, the
    /// one that has waited the longest first, whosever it is.
    ///
    /// Where that is not enough, there are more calls than slots; Wasmtime says so then.
    pub(super) fn take(self: &Arc<Self>, n_slots: u32, memory: &Arc<Account>) -> InstanceSlots {
        let slots = InstanceSlots::new(self, n_slots, memory);
        self.n_taken.add(n_slots.into());
        while !self.n_taken.is_at_most(self.most.into()) && self.give_up_first(|_| true) {}
        slots
    }

    /// Takes slots where so many are left, without giving up anything.
    pub(super) fn take_free(
        self: &Arc<Self>,
        n_slots: u32,
        memory: &Arc<Account>,
    ) -> Option<InstanceSlots> {
        self.n_taken.add(n_slots.into());
        // Given back when it is dropped. Of two that come at once for the last, none may get it.
        let slots = InstanceSlots::new(self, n_slots, memory);
        self.n_taken.is_at_most(self.most.into()).then_some(slots)
    }

    /// A place for the instances of a deployment that wait.
    pub(super) fn idle_instances(&self) -> Arc<IdleInstances> {
        let list = Arc::new(IdleInstances::default());
        let mut lists = self.lists();
        lists.retain(|list| list.strong_count() > 0);
        lists.push(Arc::downgrade(&list));
        list
    }

    /// Gives up the instance to be put back that has waited the longest, if any has for so long.
    pub(super) fn give_up_restored(&self, for_at_least: Duration) -> bool {
        self.give_up_first(|resting| {
            resting.instance.is_restored() && resting.since.elapsed() >= for_at_least
        })
    }

    /// Gives up the one of these that has waited the longest. All of one list are of one kind.
    fn give_up_first(&self, may_go: impl Fn(&Resting) -> bool) -> bool {
        let lists: Vec<_> = self.lists().iter().filter_map(Weak::upgrade).collect();
        let since = |list: &IdleInstances| {
            list.waiting().front().filter(|resting| may_go(resting)).map(|resting| resting.since)
        };
        let oldest = lists.iter().filter_map(|list| Some((since(list)?, list)));
        let Some((_, list)) = oldest.min_by_key(|(since, _)| *since) else { return false };
        // Whoever was faster has made room as well.
        let given_up = list.waiting().pop_front();
        // Without the lock: it takes some microseconds.
        drop(given_up);
        true
    }

    fn lists(&self) -> MutexGuard<'_, Vec<Weak<IdleInstances>>> {
        self.lists.lock()
    }
}

impl Waiting {
    /// Whether it is put back after each call.
    fn is_restored(&self) -> bool {
        match self {
            Self::Service(idle) => idle.is_restored(),
            Self::Program(_) => true,
        }
    }
}

impl IdleInstances {
    /// The instance that came last: its memory is the likeliest to be in the caches still.
    pub(super) fn take(&self) -> Option<Waiting> {
        self.waiting().pop_back().map(|resting| resting.instance)
    }

    pub(super) fn put(&self, instance: Waiting) {
        let resting = Resting { since: meter::now(), instance };
        self.waiting().push_back(resting);
    }

    /// Gives up what has waited for so long.
    pub(super) fn give_up(&self, for_at_least: Duration) {
        let given_up: Vec<_> = {
            let mut waiting = self.waiting();
            let young = |resting: &Resting| resting.since.elapsed() < for_at_least;
            let n_old = waiting.iter().position(young).unwrap_or(waiting.len());
            waiting.drain(..n_old).collect()
        };
        // Without the lock: it takes some microseconds each.
        drop(given_up);
    }

    #[track_caller]
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Resting>> {
        self.waiting.lock()
    }
}

impl InstanceSlots {
    fn new(pool: &Arc<Pool>, n_slots: u32, memory: &Arc<Account>) -> Self {
        Self { pool: pool.clone(), n_slots, reservation: Reservation::new(memory.clone()) }
    }

    /// Where what the instance takes is reserved.
    pub(super) fn reservation(&self) -> Arc<Reservation> {
        self.reservation.clone()
    }
}

impl Drop for InstanceSlots {
    fn drop(&mut self) {
        self.pool.n_taken.subtract(self.n_slots.into());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use steerage_core::id::TenantName;
    use steerage_core::units::{Bytes, Weight};
    use wasmtime::ResourceLimiter as _;

    use super::*;
    use crate::budget::{Memory, MemorySettings};
    use crate::sandbox::limiter::Limiter;

    #[test]
    fn what_an_instance_has_reserved_is_given_back_with_its_slots_and_not_before() {
        let budget = Bytes::new(1000);
        let memory = Memory::new(MemorySettings { budget, overcommit: 1.0 }, BTreeMap::new());
        let account = memory.account(&TenantName::default(), Weight::DEFAULT);
        let slots = Pool::new(1).take(1, &account);
        let mut limiter = Limiter::new(budget, slots.reservation());
        assert!(limiter.memory_growing(0, 600, None).unwrap());
        assert!(limiter.hold(Bytes::new(100)));
        // As Wasmtime does: what the store owns first, then its memories, which takes a while.
        drop(limiter);
        assert_eq!(account.held(), Bytes::new(700), "its memories may still be there");
        assert!(account.reserve(Bytes::new(301)).is_err());
        drop(slots);
        assert_eq!(account.held(), Bytes::ZERO);
    }
}
