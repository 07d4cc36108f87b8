//! Which tenants there are and how they weigh, as the operator says. Shares nothing out.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use steerage_core::id::TenantName;
use steerage_core::units::Weight;

/// Tenants by name, each with a small number that no other has. Those that the operator does not name
/// weigh as little as can be.
#[derive(Debug)]
pub(super) struct Tenants {
    weights: BTreeMap<TenantName, Weight>,
    numbers: Mutex<BTreeMap<TenantName, u32>>,
}

impl Tenants {
    pub(super) fn new(weights: BTreeMap<TenantName, Weight>) -> Self {
        Self { weights, numbers: Mutex::default() }
    }

    /// The number and the weight of the tenant of this name.
    pub(super) fn find(&self, name: &TenantName) -> (u32, Weight) {
        let weight = self.weights.get(name).copied().unwrap_or_default();
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        (*numbers.entry(name.clone()).or_insert(next), weight)
    }
}
