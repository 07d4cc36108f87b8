//! The memory limit of one instance: all its memories and tables counted together.
//! Does not count what the host itself holds for a guest: buffers, resources, compiled code.

use steerage_core::units::Bytes;
use wasmtime::ResourceLimiter;

/// What one table element costs: a pointer.
const ELEMENT: u64 = 8;
/// Most core instances, memories and tables in one store; Wasmtime's own default.
const MOST_PARTS: usize = 10_000;

/// Counts and bounds what one store's memories and tables take.
#[derive(Debug)]
pub struct Limiter {
    limit: u64,
    used: u64,
    peak: u64,
    /// The total that was asked for when growth was last refused.
    refused: Option<u64>,
}

impl Limiter {
    /// A limiter that allows `limit` in total.
    #[must_use]
    pub fn new(limit: Bytes) -> Self {
        Self { limit: limit.get(), used: 0, peak: 0, refused: None }
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
        self.used = total;
        self.peak = self.peak.max(total);
        true
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
        MOST_PARTS
    }

    fn tables(&self) -> usize {
        MOST_PARTS
    }

    fn memories(&self) -> usize {
        MOST_PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut limiter = Limiter::new(Bytes::new(1000));
        assert!(limiter.memory_growing(0, 600, None).unwrap());
        assert!(limiter.table_growing(0, 50, None).unwrap());
        assert!(!limiter.table_growing(50, 51, None).unwrap());
        assert_eq!(limiter.refused(), Some(Bytes::new(1008)));
        assert_eq!(limiter.peak(), Bytes::new(1000));
    }

    #[test]
    fn a_growth_past_the_declared_maximum_is_no_breach_of_the_limit() {
        let mut limiter = Limiter::new(Bytes::new(1000));
        assert!(!limiter.memory_growing(0, 600, Some(500)).unwrap());
        assert_eq!(limiter.refused(), None);
    }

    #[test]
    fn a_new_call_starts_without_the_refusal_of_the_last() {
        let mut limiter = Limiter::new(Bytes::new(1000));
        assert!(!limiter.memory_growing(0, 2000, None).unwrap());
        limiter.start_call();
        assert_eq!(limiter.refused(), None);
    }
}
