//! Who takes part in a queue: from when something of it is queued or starts until it has lingered.
//! Does not order those who do.

use std::time::Duration;

use super::{Fair, Flow, FlowKey, LINGER};

impl<T> Fair<T> {
    /// Has a flow take part, and its tenant. Who of them has nothing in line comes to the clock, or near
    /// it; with something in line it has waited its turn since it was put there.
    pub(super) fn arrive(&mut self, key: FlowKey) {
        let Some(flow) = self.flows.get_mut(&key) else { return };
        let Some(tenant) = self.tenants.get_mut(&flow.tenant) else { return };
        if !tenant.level.has_ready() {
            self.level.arrive((flow.tenant, tenant.entry.weight), &mut tenant.seat);
        }
        if flow.waiting.is_empty() || !flow.seat.is_present {
            tenant.level.arrive((key, flow.weight), &mut flow.seat);
        }
    }

    /// Lets a flow linger of which nothing runs or waits any more.
    pub(super) fn rest(&mut self, key: FlowKey, now: Duration) {
        let Some(flow) = self.flows.get_mut(&key) else { return };
        if !flow.is_idle() {
            return;
        }
        flow.lingers_until = now.saturating_add(LINGER);
        if !flow.is_lingering {
            flow.is_lingering = true;
            self.lingering.push_back((flow.lingers_until, key));
        }
    }

    /// Lets go of those who have lingered long enough.
    pub(super) fn expire(&mut self, now: Duration) {
        while let Some(&(until, key)) = self.lingering.front()
            && until <= now
        {
            self.lingering.pop_front();
            let Some(flow) = self.flows.get_mut(&key) else { continue };
            flow.is_lingering = false;
            if !flow.is_idle() {
                continue;
            }
            if flow.lingers_until > now {
                flow.is_lingering = true;
                self.lingering.push_back((flow.lingers_until, key));
            } else {
                self.depart(key);
            }
        }
    }

    /// Lets a flow go, and forgets it unless somebody added it.
    pub(super) fn depart(&mut self, key: FlowKey) {
        self.leave_level(key);
        if self.flows.get(&key).is_some_and(Flow::is_forgotten) {
            self.flows.remove(&key);
        }
    }

    pub(super) fn leave_level(&mut self, key: FlowKey) {
        let Some(flow) = self.flows.get_mut(&key).filter(|flow| flow.seat.is_present) else {
            return;
        };
        let Some(tenant) = self.tenants.get_mut(&flow.tenant) else { return };
        tenant.level.depart(key, &mut flow.seat);
        self.level.set_ready(flow.tenant, &mut tenant.seat, tenant.level.has_ready());
        if tenant.level.is_empty() {
            self.level.depart(flow.tenant, &mut tenant.seat);
        }
    }
}
