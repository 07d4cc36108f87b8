//! Which flows and tenants a queue knows.
//! Does not order them.

use std::sync::Arc;
use std::time::Duration;

use super::TenantKey;
use super::{FIRST_ESTIMATE, Fair, Flow, FlowEntry, FlowKey, Level, Seat, Tenant, TenantEntry};
use crate::units::Weight;

impl<T> Fair<T> {
    /// Adds a tenant, where there is no queue but this.
    pub fn add_tenant(&mut self, weight: Weight) -> TenantKey {
        let entry = self.common.tenant(weight);
        self.know_tenant(&entry);
        entry.key
    }

    /// Adds a flow of a tenant that was added; it is known until it is removed.
    pub fn add(&mut self, tenant: TenantKey, weight: Weight) -> FlowKey {
        let tenant = self.tenants.get(&tenant).map(|tenant| tenant.entry.clone());
        let tenant = tenant.unwrap_or_else(|| self.common.tenant(Weight::DEFAULT));
        let entry = self.common.flow(&tenant, weight);
        self.know(&entry, FIRST_ESTIMATE);
        if let Some(flow) = self.flows.get_mut(&entry.key()) {
            flow.is_kept = true;
        }
        entry.key()
    }

    /// Has the queue know a flow, whose next slice is taken to cost so much where it was not known,
    /// and what it weighs now. It is known for as long as it is present; to be called before anything
    /// of it is queued or starts.
    pub fn know(&mut self, entry: &Arc<FlowEntry>, estimate: Duration) {
        let key = entry.key();
        match self.flows.get(&key) {
            Some(flow) if flow.version == entry.version() => {}
            Some(_) => self.refresh(key),
            None => {
                let (version, owner) = (entry.version(), entry.owner());
                self.know_tenant(&owner.tenant);
                self.flows.insert(key, Flow::new((entry.clone(), version), owner, estimate));
            }
        }
    }

    /// Changes a flow's owner and weight, from its next slice on.
    pub fn set_weight(&mut self, key: FlowKey, tenant: TenantKey, weight: Weight) {
        let Some(tenant) = self.tenants.get(&tenant) else { return };
        let Some(flow) = self.flows.get(&key) else { return };
        flow.entry.reshape(&tenant.entry, weight);
        self.refresh(key);
    }

    /// Removes a flow that was added. What of it waits or runs goes on.
    pub fn remove(&mut self, key: FlowKey) {
        let Some(flow) = self.flows.get_mut(&key) else { return };
        flow.is_kept = false;
        if flow.is_idle() {
            self.depart(key);
        }
    }

    fn know_tenant(&mut self, entry: &Arc<TenantEntry>) {
        self.tenants.entry(entry.key).or_insert_with(|| Tenant {
            entry: entry.clone(),
            seat: Seat::new(entry.member.clone()),
            level: Level::new(entry.flows.clone()),
        });
    }

    /// Takes over what was changed of a flow.
    fn refresh(&mut self, key: FlowKey) {
        let Some(flow) = self.flows.get(&key) else { return };
        let (version, owner) = (flow.entry.version(), flow.entry.owner());
        let (was_present, moves) = (flow.seat.is_present, flow.tenant != owner.tenant.key);
        if moves {
            self.know_tenant(&owner.tenant);
            self.leave_level(key);
        }
        let Some(flow) = self.flows.get_mut(&key) else { return };
        flow.version = version;
        (flow.tenant, flow.weight) = (owner.tenant.key, owner.weight);
        if moves {
            flow.seat = Seat::new(owner.member);
        }
        if moves && was_present {
            self.arrive(key);
            self.show_ready(key);
        }
    }
}
