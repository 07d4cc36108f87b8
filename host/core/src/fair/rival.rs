//! Whether somebody in one queue is to be served before what is next in another queue of the host.
//! Takes nothing: the caller does, who holds the lock of one of them at a time.

use std::time::Duration;

use super::common::EXCHANGE;
use super::{Fair, FlowKey, TenantKey, Virtual, stretch};

/// Where what is next in a queue stands. As of a moment ago, once the queue's lock is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RivalStanding {
    tenant: TenantKey,
    of_tenant: Virtual,
    flow: FlowKey,
    of_flow: Virtual,
    since: Duration,
}

impl RivalStanding {
    /// Whether it was given less than another one, as far as they can be compared.
    pub(super) fn is_behind(&self, other: &Self) -> bool {
        if self.tenant == other.tenant {
            self.of_flow < other.of_flow
        } else {
            self.of_tenant < other.of_tenant
        }
    }
}

impl<T> Fair<T> {
    /// Where what runs next stands, if anything waits.
    #[must_use]
    pub fn next_standing(&mut self) -> Option<RivalStanding> {
        let (_, flow) = self.next_key()?;
        self.standing_of(flow)
    }

    /// Where a flow stands of which something waits.
    #[must_use]
    pub fn standing_of(&self, key: FlowKey) -> Option<RivalStanding> {
        let flow = self.flows.get(&key)?;
        let of_tenant = self.tenants.get(&flow.tenant)?.seat.at;
        let since = flow.waiting.front()?.0;
        Some(RivalStanding {
            tenant: flow.tenant,
            of_tenant,
            flow: key,
            of_flow: flow.seat.at,
            since,
        })
    }

    /// Whether a flow was given no more than what waits in another queue, as far as queues know of each other:
    /// who is ahead by less than its own service of an [`EXCHANGE`] is not compared. By a closer look each
    /// request that is read here would wait while anything of the same app waits there, since what is told
    /// is always a little late.
    pub(super) fn precedes(&self, key: FlowKey, rival: &RivalStanding) -> bool {
        let Some(flow) = self.flows.get(&key) else { return false };
        let Some(tenant) = self.tenants.get(&flow.tenant) else { return false };
        if flow.tenant == rival.tenant {
            flow.seat.at <= rival.of_flow.saturating_add(stretch(EXCHANGE, flow.weight))
        } else {
            let allowed = stretch(EXCHANGE, tenant.entry.weight);
            tenant.seat.at <= rival.of_tenant.saturating_add(allowed)
        }
    }

    /// Which flow of this queue is to be served before what is next in another: one whose tenant, or
    /// which among the flows of the same tenant, is behind by more than its own service of an
    /// [`EXCHANGE`]; where it is the same flow, what of it has waited longer here by as much. Closer
    /// than that queues are not compared, since they do not know more of each other. Where nothing is
    /// next in the other, what is next here.
    #[must_use]
    pub fn rival(&mut self, theirs: Option<&RivalStanding>) -> Option<FlowKey> {
        let (owner, key) = self.next_key()?;
        let Some(theirs) = theirs else { return Some(key) };
        let tenant = self.tenants.get(&owner)?;
        let allowed = tenant.seat.at.saturating_add(stretch(EXCHANGE, tenant.entry.weight));
        if owner != theirs.tenant && allowed < theirs.of_tenant {
            return Some(key);
        }
        // A tenant that is not next here, since another is far behind it, is served there: then those
        // of its flows that wait here are as near to their turn as those that wait there.
        let key = self.next_of(theirs.tenant)?;
        let flow = self.flows.get(&key)?;
        let is_behind = if key == theirs.flow {
            flow.waiting.front()?.0.saturating_add(EXCHANGE) < theirs.since
        } else {
            flow.seat.at.saturating_add(stretch(EXCHANGE, flow.weight)) < theirs.of_flow
        };
        is_behind.then_some(key)
    }
}
