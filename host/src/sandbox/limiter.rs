//! The memory limit of one instance: all its memories and tables counted together, and beside them
//! what the host holds for it. Does not weigh that: `held` does; and does not count compiled code.

use std::sync::Arc;
use std::time::{Duration, Instant};

use steerage_core::outcome::{Excess, Refusal};
use steerage_core::units::Bytes;
use wasmtime::ResourceLimiter;

use super::engine::{MOST_CORE_INSTANCES, MOST_MEMORIES, MOST_TABLES};
use super::reservation::Reservation;

/// What one table element costs: a pointer.
const ELEMENT: u64 = 8;

/// What the host may hold for an instance beside as much as the instance itself may have: room for
/// the headers and bodies of a call, however small the app's own limit is.
const HELD_BESIDE: u64 = 4 << 20;
/// An instance that has grown by this part of its limit over earlier calls leaks: one in this many.
const LEAK: u64 = 4;

/// Growth that the host refused is refused again for so long without asking it: to decide means to look at
/// all apps that hold memory, and a guest can ask tens of thousands of times in a slice of fuel.
const REFUSED_FOR: Duration = Duration::from_millis(20);

/// Counts and bounds what one store's memories and tables take, and what the host holds for them.
#[derive(Debug)]
pub struct Limiter {
    reservation: Arc<Reservation>,
    limit: u64,
    used: u64,
    peak: u64,
    /// What the memory or table that grew last was given, to take back should the system refuse it.
    last: u64,
    /// What the host holds for the instance.
    held: u64,
    /// Calls that the instance has served before this one, and what it had after the first.
    earlier: (u32, u64),
    /// What it had when this call began.
    began: u64,
    /// The total that was asked for when growth was last refused, or what the host would have held.
    refused: Option<(u64, Excess)>,
    /// Why the host refused growth that the limit allows, the last time it did.
    host_refused: Option<Refusal>,
    /// Until when growth of this size and above is refused as it was then.
    refused_until: Option<(Instant, u64)>,
}

impl Limiter {
    /// A limiter that allows `limit` in total, taken into this reservation: it is given back when the
    /// instance is gone, and the limiter goes before.
    #[must_use]
    pub fn new(limit: Bytes, reservation: Arc<Reservation>) -> Self {
        Self {
            reservation,
            limit: limit.get(),
            used: 0,
            peak: 0,
            last: 0,
            held: 0,
            earlier: (0, 0),
            began: 0,
            refused: None,
            host_refused: None,
            refused_until: None,
        }
    }

    /// Why the host refused growth that the limit allows, if it did.
    #[must_use]
    pub fn host_refused(&self) -> Option<&Refusal> {
        self.host_refused.as_ref()
    }

    /// What the instance has now.
    #[must_use]
    pub fn used(&self) -> Bytes {
        Bytes::new(self.used)
    }

    /// The least limit that would have been enough: the most that the instance had at any time, or what the
    /// host held for it beyond what it may hold beside any limit.
    #[must_use]
    pub fn peak(&self) -> Bytes {
        Bytes::new(self.peak)
    }

    /// What the instance would have used had its last refused growth been allowed, and why so much.
    #[must_use]
    pub fn refused(&self) -> Option<(Bytes, Excess)> {
        self.refused.map(|(total, excess)| (Bytes::new(total), excess))
    }

    /// Takes note of what the host holds for the instance now. `false` when that is more than the
    /// instance's own limit and some room beside it, or than the host has: it must not go on then.
    pub fn hold(&mut self, held: Bytes) -> bool {
        let (before, held) = (self.held, held.get());
        if held == before {
            return true;
        }
        if held > self.limit.saturating_add(HELD_BESIDE) {
            self.refused = Some((held, Excess::Resources));
            return false;
        }
        if let Some(more) = held.checked_sub(before) {
            if let Err(refusal) = self.reservation.extend(Bytes::new(more)) {
                self.host_refused = Some(refusal);
                return false;
            }
        } else {
            self.reservation.shrink(Bytes::new(before - held));
        }
        self.held = held;
        // With a smaller limit than this the call would have been ended.
        self.peak = self.peak.max(held.saturating_sub(HELD_BESIDE));
        true
    }

    /// Forgets a refusal of an earlier call, for an instance that serves another one.
    pub fn start_call(&mut self) {
        let (n_calls, first) = self.earlier;
        self.earlier = (n_calls.saturating_add(1), if n_calls == 0 { self.used } else { first });
        self.refused = None;
        self.host_refused = None;
        self.refused_until = None;
        self.peak = self.used;
        self.began = self.used;
    }

    /// As for a new instance that has so much, which is what is left of this one: the rest was given
    /// back to the system.
    pub fn start_over(&mut self, used: Bytes) {
        let more = self.used.saturating_sub(used.get());
        self.reservation.shrink(Bytes::new(more.saturating_add(self.held)));
        self.used -= more;
        self.held = 0;
        self.last = 0;
        self.peak = self.used;
        self.earlier = (0, 0);
        self.began = 0;
        self.refused = None;
        self.host_refused = None;
        self.refused_until = None;
    }

    fn grow(&mut self, current: u64, desired: u64, most: Option<u64>) -> bool {
        let grown = desired.saturating_sub(current);
        let total = self.used.saturating_add(grown);
        self.last = 0;
        if total > self.limit {
            self.refused = Some((total, self.excess()));
            return false;
        }
        if most.is_some_and(|most| desired > most) {
            return false;
        }
        if self.refused_until.is_some_and(|(until, least)| grown >= least && Instant::now() < until)
        {
            return false;
        }
        if let Err(refusal) = self.reservation.extend(Bytes::new(grown)) {
            self.host_refused = Some(refusal);
            self.refused_until = Some((Instant::now() + REFUSED_FOR, grown));
            return false;
        }
        self.used = total;
        self.last = grown;
        self.peak = self.peak.max(total);
        true
    }

    /// Whether it is this call that needs too much, or the ones before it left too much.
    fn excess(&self) -> Excess {
        let (calls, first) = self.earlier;
        // What the instance had when this call began: memories never shrink, so no later peak of
        // an earlier call is above it.
        let grown = self.began.saturating_sub(first);
        if grown > 0 && grown >= self.limit / LEAK {
            Excess::Kept { calls, grown: Bytes::new(grown) }
        } else {
            Excess::OneCall
        }
    }

    /// The system did not give what was granted: it is nobody's, and its want is not the guest's.
    fn growth_failed(&mut self) {
        self.used = self.used.saturating_sub(self.last);
        self.reservation.shrink(Bytes::new(self.last));
        if self.last > 0 {
            self.host_refused = Some(self.reservation.account().exhausted());
        }
        self.last = 0;
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current as u64, desired as u64, maximum.map(|most| most as u64)))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        tracing::debug!(%error, "memory that was granted could not be had");
        self.growth_failed();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = |elements: usize| (elements as u64).saturating_mul(ELEMENT);
        Ok(self.grow(bytes(current), bytes(desired), maximum.map(bytes)))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        tracing::debug!(%error, "a table that was granted could not be had");
        self.growth_failed();
        Ok(())
    }

    fn instances(&self) -> usize {
        MOST_CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        MOST_TABLES as usize
    }

    fn memories(&self) -> usize {
        MOST_MEMORIES as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use steerage_core::id::TenantName;
    use steerage_core::units::Weight;

    use super::*;
    use crate::budget::{Memory, MemorySettings};

    fn limiter(limit: u64, budget: u64) -> Limiter {
        let settings = MemorySettings { budget: Bytes::new(budget), overcommit: 1.0 };
        let account =
            Memory::new(settings, BTreeMap::new()).account(&TenantName::default(), Weight::DEFAULT);
        Limiter::new(Bytes::new(limit), Reservation::new(account))
    }

    #[test]
    fn a_host_that_is_short_refuses_what_the_limit_allows() {
        let mut limiter = limiter(1000, 500);
        assert!(limiter.memory_growing(0, 500, None).unwrap());
        assert!(!limiter.memory_growing(500, 501, None).unwrap());
        assert_eq!(limiter.refused(), None);
        assert_eq!(limiter.host_refused().map(Refusal::cause), Some("host_memory"));
        limiter.start_call();
        assert_eq!(limiter.host_refused(), None);
    }

    #[test]
    fn growth_that_was_just_refused_is_refused_again_without_asking() {
        let mut limiter = limiter(1000, 500);
        let account = limiter.reservation.account().clone();
        account.reserve(Bytes::new(400)).unwrap();
        assert!(!limiter.memory_growing(0, 200, None).unwrap());
        account.release(Bytes::new(400));
        let (until, least) = limiter.refused_until.unwrap();
        assert!(until <= Instant::now() + REFUSED_FOR && least == 200);
        limiter.refused_until = Some((until + Duration::from_secs(3600), least));
        for _ in 0..2 {
            assert!(!limiter.memory_growing(0, 200, None).unwrap(), "nobody is asked");
            assert_eq!(limiter.host_refused().map(Refusal::cause), Some("host_memory"));
        }
        // Less was not refused, and later it is asked for again.
        assert!(limiter.memory_growing(0, 100, None).unwrap());
        limiter.refused_until = Some((Instant::now(), least));
        assert!(limiter.memory_growing(100, 300, None).unwrap());
    }

    #[test]
    fn what_an_instance_held_goes_back_to_its_app() {
        let limiter = limiter(1000, 500);
        let account = limiter.reservation.account().clone();
        let mut limiter = limiter;
        assert!(limiter.memory_growing(0, 500, None).unwrap());
        assert_eq!(account.held(), Bytes::new(500));
        drop(limiter);
        assert_eq!(account.held(), Bytes::ZERO);
    }

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut limiter = limiter(1000, 100_000);
        assert!(limiter.memory_growing(0, 600, None).unwrap());
        assert!(limiter.table_growing(0, 50, None).unwrap());
        assert!(!limiter.table_growing(50, 51, None).unwrap());
        assert_eq!(limiter.refused(), Some((Bytes::new(1008), Excess::OneCall)));
        assert_eq!(limiter.peak(), Bytes::new(1000));
    }

    #[test]
    fn a_growth_past_the_declared_maximum_is_no_breach_of_the_limit() {
        let mut limiter = limiter(1000, 100_000);
        assert!(!limiter.memory_growing(0, 600, Some(500)).unwrap());
        assert_eq!(limiter.refused(), None);
    }

    #[test]
    fn growth_that_the_system_refuses_is_given_back_and_blamed_on_the_host() {
        let mut limiter = limiter(1000, 100_000);
        assert!(limiter.memory_growing(0, 600, None).unwrap());
        assert!(limiter.memory_growing(600, 900, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("no pages")).unwrap();
        assert_eq!(
            (limiter.used(), limiter.reservation.account().held()),
            (Bytes::new(600), Bytes::new(600))
        );
        assert_eq!(limiter.host_refused().map(Refusal::cause), Some("host_exhausted"));
        // What is refused by a limit is not the system's: it was never granted.
        limiter.start_call();
        assert!(!limiter.memory_growing(600, 2000, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("refused")).unwrap();
        assert_eq!((limiter.used(), limiter.host_refused()), (Bytes::new(600), None));
    }

    #[test]
    fn what_the_host_holds_is_charged_and_bounded() {
        let mut limiter = limiter(1000, 1 << 30);
        let account = limiter.reservation.account().clone();
        assert!(limiter.memory_growing(0, 500, None).unwrap());
        assert!(limiter.hold(Bytes::new(700)));
        assert_eq!(account.held(), Bytes::new(1200));
        assert!(limiter.hold(Bytes::new(100)));
        assert_eq!(account.held(), Bytes::new(600));
        let too_much = Bytes::new(1001 + HELD_BESIDE);
        assert!(!limiter.hold(too_much));
        assert_eq!(limiter.refused(), Some((too_much, Excess::Resources)));
        drop(limiter);
        assert_eq!(account.held(), Bytes::ZERO);
    }

    #[test]
    fn an_instance_that_grew_from_call_to_call_is_told_to_leak() {
        let mut limiter = limiter(1000, 100_000);
        assert!(limiter.memory_growing(0, 300, None).unwrap());
        for had in [300, 400, 500, 600] {
            limiter.start_call();
            assert!(limiter.memory_growing(had, had + 100, None).unwrap());
        }
        limiter.start_call();
        assert!(!limiter.memory_growing(700, 1001, None).unwrap());
        let leak = Excess::Kept { calls: 5, grown: Bytes::new(400) };
        assert_eq!(limiter.refused(), Some((Bytes::new(1001), leak)));
    }

    #[test]
    fn an_instance_that_was_put_back_has_what_it_began_with() {
        let mut limiter = limiter(1000, 1 << 30);
        let account = limiter.reservation.account().clone();
        assert!(limiter.memory_growing(0, 300, None).unwrap());
        let began = limiter.used();
        assert!(limiter.memory_growing(300, 900, None).unwrap());
        assert!(!limiter.memory_growing(900, 1001, None).unwrap());
        assert!(limiter.hold(Bytes::new(50)));
        limiter.start_over(began);
        let after = (limiter.used(), limiter.peak(), limiter.refused(), account.held());
        assert_eq!(after, (began, began, None, began));
        drop(limiter);
        assert_eq!(account.held(), Bytes::ZERO);
    }

    #[test]
    fn a_new_call_starts_without_the_refusal_of_the_last() {
        let mut limiter = limiter(1000, 100_000);
        assert!(!limiter.memory_growing(0, 2000, None).unwrap());
        limiter.start_call();
        assert_eq!(limiter.refused(), None);
    }
}
