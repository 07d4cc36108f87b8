//! Which tenants there are and how they weigh, as the operator says.
//! Does not divide anything among them: `core::fair` does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use steerage_core::fair::{Common, TenantEntry};
use steerage_core::id::TenantName;
use steerage_core::units::Weight;

/// Tenants by name. Those that the operator does not name weigh as little as can be.
#[derive(Debug)]
pub(super) struct Tenants {
    weights: BTreeMap<TenantName, Weight>,
    entries: Mutex<BTreeMap<TenantName, Arc<TenantEntry>>>,
}

impl Tenants {
    pub(super) fn new(weights: BTreeMap<TenantName, Weight>) -> Self {
        Self { weights, entries: Mutex::default() }
    }

    /// The tenant of this name, made if there is none yet.
    pub(super) fn entry(&self, common: &Common, name: &TenantName) -> Arc<TenantEntry> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(name) {
            return entry.clone();
        }
        let entry = common.tenant(self.weights.get(name).copied().unwrap_or_default());
        entries.insert(name.clone(), entry.clone());
        entry
    }
}
