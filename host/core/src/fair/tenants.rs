//! Tenants' shares: a tenant's weight is divided among those of its flows that are busy, so that
//! owning many apps buys no more CPU than owning one.
//! Does not know virtual times or queues.

use std::time::Duration;

use crate::units::Weight;

/// Virtual time per nanosecond of CPU time at a whole share of weight 1: fine enough that the
/// heaviest flow's nanosecond still counts.
pub(super) const SHARE_UNIT: u128 = 1 << 20;

/// Names a tenant of one [`super::Fair`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantKey(u32);

#[derive(Debug, Default)]
pub(super) struct Tenants {
    tenants: Vec<Tenant>,
}

#[derive(Debug)]
struct Tenant {
    weight: Weight,
    /// Sum of the weights of its flows that are busy.
    busy: u64,
}

impl Tenants {
    pub(super) fn add(&mut self, weight: Weight) -> TenantKey {
        let key = TenantKey(u32::try_from(self.tenants.len()).unwrap_or(u32::MAX));
        self.tenants.push(Tenant { weight, busy: 0 });
        key
    }

    /// A flow of this weight has become busy.
    pub(super) fn enter(&mut self, key: TenantKey, weight: Weight) {
        if let Some(tenant) = self.tenants.get_mut(key.0 as usize) {
            tenant.busy += u64::from(weight.get());
        }
    }

    /// A flow of this weight is busy no more.
    pub(super) fn leave(&mut self, key: TenantKey, weight: Weight) {
        if let Some(tenant) = self.tenants.get_mut(key.0 as usize) {
            tenant.busy = tenant.busy.saturating_sub(u64::from(weight.get()));
        }
    }

    /// CPU time as virtual time of a flow: the smaller its share, the longer it counts.
    pub(super) fn stretch(&self, used: Duration, key: TenantKey, weight: Weight) -> u128 {
        let own = u128::from(weight.get());
        let (of_tenant, busy) = match self.tenants.get(key.0 as usize) {
            Some(tenant) => (u128::from(tenant.weight.get()), u128::from(tenant.busy).max(own)),
            None => (1, own),
        };
        used.as_nanos().saturating_mul(SHARE_UNIT).saturating_mul(busy) / (of_tenant * own)
    }
}
