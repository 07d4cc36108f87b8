//! Who may run now: calls at once per app, calls that wait, and instance slots of the host, shared out
//! among those that ask. Knows no Wasm and no CPU: what is let in is polled elsewhere.
//! Decides nothing: `core::admit` and `core::slots` do.

mod gate;
mod host_room;
mod tenants;

use std::collections::BTreeMap;
use std::sync::Arc;

use steerage_core::id::TenantName;
use steerage_core::limits::Limits;
use steerage_core::units::Weight;

pub use self::gate::{Gate, Permit};
pub use self::host_room::CallBounds;
use self::host_room::HostRoom;
use self::tenants::{Present, Tenant};
use crate::tenants::Tenants;

/// What the host has room for. Clones share it.
#[derive(Clone, Debug)]
pub struct Admission {
    host: Arc<HostRoom>,
    tenants: Arc<Tenants<Arc<Tenant>>>,
    present: Present,
}

impl Admission {
    /// A host with this much room, for tenants that weigh so much.
    #[must_use]
    pub fn new(room: CallBounds, weights: BTreeMap<TenantName, Weight>) -> Self {
        Self {
            host: Arc::new(HostRoom::new(room)),
            tenants: Arc::new(Tenants::new(weights)),
            present: Present::default(),
        }
    }

    /// Makes the right of one app to run. Its tenant's share of the slots is divided among those of the
    /// tenant's apps that want some.
    #[must_use]
    pub fn gate(&self, limits: &Limits, tenant: &TenantName, weight: Weight) -> Arc<Gate> {
        Gate::new(self.host.clone(), limits, self.tenant(tenant), weight)
    }

    /// Makes an app's gate as wide, and its share as large, as a new deployment says. Calls that run
    /// keep their right.
    pub fn reshape(&self, gate: &Arc<Gate>, limits: &Limits, tenant: &TenantName, weight: Weight) {
        gate.reshape(limits, self.tenant(tenant), weight);
    }

    fn tenant(&self, name: &TenantName) -> Arc<Tenant> {
        self.tenants.find(name, |weight, _| Arc::new(Tenant::new(weight, self.present.clone())))
    }

    /// Instance slots in use, and how many there are.
    #[must_use]
    pub fn slots(&self) -> (u32, u32) {
        self.host.slots()
    }

    /// Calls that wait for their right to run, of all apps.
    #[must_use]
    pub fn n_waiting(&self) -> u32 {
        self.host.n_waiting()
    }
}

#[cfg(test)]
mod tests;
