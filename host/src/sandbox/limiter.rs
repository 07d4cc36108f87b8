//! The memory limit of one instance: all its memories and tables counted together.
//! Does not count what the host itself holds for a guest: buffers, resources, compiled code.

use std::sync::Arc;

use steerage_core::outcome::Refusal;
use steerage_core::units::Bytes;
use wasmtime::ResourceLimiter;

use super::engine::{MOST_CORE_INSTANCES, MOST_MEMORIES, MOST_TABLES};
use crate::budget::Account;

/// What one table element costs: a pointer.
const ELEMENT: u64 = 8;

/// Counts and bounds what one store's memories and tables take.
#[derive(Debug)]
pub struct Limiter {
    account: Arc<Account>,
    limit: u64,
    used: u64,
    peak: u64,
    /// The total that was asked for when growth was last refused.
    refused: Option<u64>,
    /// Why the host refused growth that the limit allows, the last time it did.
    host_refused: Option<Refusal>,
}

impl Limiter {
    /// A limiter that allows `limit` in total, of what the app's account has.
    #[must_use]
    pub fn new(limit: Bytes, account: Arc<Account>) -> Self {
        Self { account, limit: limit.get(), used: 0, peak: 0, refused: None, host_refused: None }
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

    /// The most the instance had at any time.
    #[must_use]
    pub fn peak(&self) -> Bytes {
        Bytes::new(self.peak)
    }

    /// What the instance would have used had its last refused growth been allowed.
    #[must_use]
    pub fn refused(&self) -> Option<Bytes> {
        self.refused.map(Bytes::new)
    }

    /// Forgets a refusal of an earlier call, for an instance that serves another one.
    pub fn start_call(&mut self) {
        self.refused = None;
        self.host_refused = None;
        self.peak = self.used;
    }

    fn grow(&mut self, current: u64, desired: u64, most: Option<u64>) -> bool {
        let grown = desired.saturating_sub(current);
        let total = self.used.saturating_add(grown);
        if total > self.limit {
            self.refused = Some(total);
            return false;
        }
        if most.is_some_and(|most| desired > most) {
            return false;
        }
        if let Err(refusal) = self.account.reserve(Bytes::new(grown)) {
            self.host_refused = Some(refusal);
            return false;
        }
        self.used = total;
        self.peak = self.peak.max(total);
        true
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.account.release(Bytes::new(self.used));
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

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = |elements: usize| (elements as u64).saturating_mul(ELEMENT);
        Ok(self.grow(bytes(current), bytes(desired), maximum.map(bytes)))
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
    use steerage_core::units::Weight;

    use super::*;
    use crate::budget::{Memory, MemorySettings};

    fn limiter(limit: u64, budget: u64) -> Limiter {
        let settings = MemorySettings { budget: Bytes::new(budget), overcommit: 1.0 };
        let account = Memory::new(settings).account(Weight::DEFAULT);
        Limiter::new(Bytes::new(limit), account)
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
    fn what_an_instance_held_goes_back_to_its_app() {
        let limiter = limiter(1000, 500);
        let account = limiter.account.clone();
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
        assert_eq!(limiter.refused(), Some(Bytes::new(1008)));
        assert_eq!(limiter.peak(), Bytes::new(1000));
    }

    #[test]
    fn a_growth_past_the_declared_maximum_is_no_breach_of_the_limit() {
        let mut limiter = limiter(1000, 100_000);
        assert!(!limiter.memory_growing(0, 600, Some(500)).unwrap());
        assert_eq!(limiter.refused(), None);
    }

    #[test]
    fn a_new_call_starts_without_the_refusal_of_the_last() {
        let mut limiter = limiter(1000, 100_000);
        assert!(!limiter.memory_growing(0, 2000, None).unwrap());
        limiter.start_call();
        assert_eq!(limiter.refused(), None);
    }
}
