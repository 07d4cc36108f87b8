//! Tenants by name: how they weigh, as the operator says, and what a part of the host keeps for each.
//! Shares nothing out: the core does.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use steerage_core::id::TenantName;
use steerage_core::units::Weight;

/// What is kept for each tenant that was heard of. Those that the operator does not name weigh as little as
/// can be. Names are never forgotten: there are as many as operators have deployed apps under.
#[derive(Debug)]
pub struct Tenants<T> {
    weights: BTreeMap<TenantName, Weight>,
    known: Mutex<BTreeMap<TenantName, T>>,
}

impl<T: Clone> Tenants<T> {
    /// None yet, which shall weigh so much.
    #[must_use]
    pub fn new(weights: BTreeMap<TenantName, Weight>) -> Self {
        Self { weights, known: Mutex::default() }
    }

    /// What is kept for the tenant of this name; made of its weight and its number, which no other has, when
    /// it is heard of for the first time.
    pub fn find(&self, name: &TenantName, make: impl FnOnce(Weight, u32) -> T) -> T {
        // Whatever lock `make` takes is taken after this one.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = known.get(name) {
            return tenant.clone();
        }
        let weight = self.weights.get(name).copied().unwrap_or_default();
        let tenant = make(weight, u32::try_from(known.len()).unwrap_or(u32::MAX));
        known.insert(name.clone(), tenant.clone());
        tenant
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_made_once_with_its_weight_and_a_number_of_its_own() {
        let name = |name| TenantName::parse(name).unwrap();
        let heavy = Weight::new(3).unwrap();
        let tenants = Tenants::new([(name("heavy"), heavy)].into());
        let find = |name: &TenantName| tenants.find(name, |weight, number| (weight, number));
        assert_eq!(find(&name("light")), (Weight::DEFAULT, 0));
        assert_eq!(find(&name("heavy")), (heavy, 1));
        assert_eq!(find(&name("light")), (Weight::DEFAULT, 0));
    }
}
