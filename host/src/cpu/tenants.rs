//! Which tenants there are and how they weigh, as the operator says.
//! Does not divide anything among them: `core::fair` does.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use steerage_core::fair::TenantKey;
use steerage_core::id::TenantName;
use steerage_core::units::Weight;

use super::run_queue::RunQueue;

/// Tenants by name. Those that the operator does not name weigh as little as can be.
#[derive(Debug)]
pub(super) struct Tenants {
    weights: BTreeMap<TenantName, Weight>,
    keys: Mutex<BTreeMap<TenantName, TenantKey>>,
}

impl Tenants {
    pub(super) fn new(weights: BTreeMap<TenantName, Weight>) -> Self {
        Self { weights, keys: Mutex::default() }
    }

    /// The tenant of this name in this queue, made if there is none yet.
    pub(super) fn key(&self, queue: &RunQueue, name: &TenantName) -> TenantKey {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(name) {
            return *key;
        }
        let weight = self.weights.get(name).copied().unwrap_or_default();
        let key = queue.lock().fair.add_tenant(weight);
        keys.insert(name.clone(), key);
        key
    }
}
