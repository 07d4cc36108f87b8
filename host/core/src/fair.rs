//! Who runs next when more want the CPU than there is: weighted fair queueing over virtual time.
//! Knows no threads, clocks or guests: the caller says who waits, what each slice took, and when.
//!
//! A *flow* is one app, and flows belong to tenants. Each of both has a virtual time: the CPU time it
//! was charged, divided by its weight. The tenant with the least virtual time runs next, and of it
//! the flow with the least. What a slice will cost is not known when it starts, so an estimate is
//! charged then and settled against the measured time afterwards (the way Kubernetes' API priority
//! and fairness charges requests). The rules on each level are those of start-time fair queueing
//! (Goyal, Vin and Cheng, 1996):
//!
//! - The *clock* is the virtual time of the latest slice that started, so it follows a flow that runs
//!   alone, and a second flow that arrives then does not find the first one in debt.
//! - A flow that comes back starts at the clock: it banked nothing, it owes nothing that it did not
//!   run up itself.
//! - A flow that only waits for its callers to ask again keeps what it is behind, up to [`CREDIT`]: by the
//!   rule before, who asks on few connections would get less than its share, however little it uses.
//! - When nobody is left, all debts are forgiven.
//!
//! Two levels, and not shares of one: among sixty flows of one tenant a slice would count sixty
//! times on the one scale, and a single flow of another would wait for one of each.
//!
//! A flow whose last slice has ended is not gone at once. It *lingers* for [`LINGER`], since a caller
//! with few connections asks again when it was answered: meanwhile who has had more than it is not
//! run past the line.
//!
//! Order of calls: [`Fair::add`] a flow; [`Fair::enqueue`] what waits or [`Fair::start_here`] without
//! queueing; [`Fair::pop`] when a thread is free; [`Fair::settle`] after every slice that started.

mod check;
mod flow;
mod level;

use std::collections::VecDeque;
use std::time::Duration;

use self::flow::Flow;
pub use self::flow::{CREDIT, FIRST_ESTIMATE, LINGER, LONGEST_HERE, learn};
use self::level::{Level, Seat, Virtual, stretch};
use crate::units::Weight;

/// Names a flow of one [`Fair`]. Given anew to another flow once its own was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey(u32);

impl FlowKey {
    /// A number that no other flow has; never 0.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0.saturating_add(1)
    }
}

/// Names a tenant of one [`Fair`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantKey(u32);

/// What was charged for a slice that runs; to be handed back with the measured time.
#[derive(Debug)]
#[must_use = "a slice that is not settled is charged by estimate for good"]
pub struct Charge {
    flow: FlowKey,
    tenant: TenantKey,
    of_flow: Virtual,
    of_tenant: Virtual,
}

/// Flows, and what of each waits.
#[derive(Debug)]
pub struct Fair<T> {
    flows: Vec<Option<Flow<T>>>,
    free: Vec<u32>,
    tenants: Vec<Tenant>,
    /// Tenants of which some flow is present.
    level: Level<TenantKey>,
    /// Flows that linger, and until when, as far as was known when they were put here.
    lingering: VecDeque<(Duration, FlowKey)>,
    n_waiting: usize,
    n_running: usize,
    /// [`CREDIT`] of all cores.
    credit: Duration,
}

#[derive(Debug)]
struct Tenant {
    weight: Weight,
    seat: Seat,
    level: Level<FlowKey>,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self::of_cores(1)
    }
}

impl<T> Fair<T> {
    /// The order of what so many cores run.
    #[must_use]
    pub fn of_cores(n_cores: usize) -> Self {
        let n_cores = u32::try_from(n_cores).unwrap_or(u32::MAX);
        Self {
            credit: CREDIT.saturating_mul(n_cores),
            flows: Vec::new(),
            free: Vec::new(),
            tenants: Vec::new(),
            level: Level::default(),
            lingering: VecDeque::new(),
            n_waiting: 0,
            n_running: 0,
        }
    }

    /// Adds a tenant, whose share is divided among those of its flows that are busy: owning many
    /// apps buys no more CPU than owning one.
    pub fn add_tenant(&mut self, weight: Weight) -> TenantKey {
        let key = TenantKey(u32::try_from(self.tenants.len()).unwrap_or(u32::MAX));
        self.tenants.push(Tenant { weight, seat: Seat::default(), level: Level::default() });
        key
    }

    /// Adds a flow of a tenant that was added.
    pub fn add(&mut self, tenant: TenantKey, weight: Weight) -> FlowKey {
        let flow = Flow::new(tenant, weight);
        if let Some(index) = self.free.pop()
            && let Some(place) = self.flows.get_mut(index as usize)
        {
            *place = Some(flow);
            return FlowKey(index);
        }
        let index = u32::try_from(self.flows.len()).unwrap_or(u32::MAX);
        self.flows.push(Some(flow));
        FlowKey(index)
    }

    /// Changes a flow's owner and weight, from its next slice on.
    pub fn set_weight(&mut self, key: FlowKey, tenant: TenantKey, weight: Weight) {
        let Some(flow) = self.flow(key) else { return };
        let (was_present, moves) = (flow.seat.is_present, flow.tenant != tenant);
        if moves {
            self.depart(key);
        }
        let Some(flow) = self.flow_mut(key) else { return };
        (flow.tenant, flow.weight) = (tenant, weight);
        if moves {
            // Virtual times of different tenants cannot be compared.
            flow.seat = Seat::default();
        }
        if moves && was_present {
            self.arrive(key);
            self.show_ready(key);
        }
    }

    /// Removes a flow. What of it waits or runs goes on; its key is given anew after that.
    pub fn remove(&mut self, key: FlowKey) {
        let Some(flow) = self.flow_mut(key) else { return };
        flow.is_removed = true;
        if flow.is_idle() {
            self.depart(key);
        }
    }

    /// Puts something in its flow's line.
    pub fn enqueue(&mut self, key: FlowKey, item: T) {
        self.arrive(key);
        let Some(flow) = self.flow_mut(key) else { return };
        flow.waiting.push_back(item);
        self.n_waiting += 1;
        self.show_ready(key);
    }

    /// Starts a slice past the line, where the caller stands: granted to a flow whose slices are
    /// short and that was given no more than any other that is present.
    #[must_use]
    pub fn start_here(&mut self, key: FlowKey, now: Duration) -> Option<Charge> {
        self.expire(now);
        self.arrive(key);
        if self.is_least(key)? && self.flow(key)?.is_short() {
            return Some(self.start(key));
        }
        self.rest(key, now);
        None
    }

    /// Whether a flow was given more than another that is present.
    pub fn is_ahead(&mut self, key: FlowKey, now: Duration) -> bool {
        self.expire(now);
        self.is_least(key) == Some(false)
    }

    /// Where a flow that is present stands: who has less is to be served first.
    #[must_use]
    pub fn standing(&self, key: FlowKey) -> Option<impl Ord + use<T>> {
        let flow = self.flow(key).filter(|flow| flow.seat.is_present)?;
        let tenant = self.tenants.get(flow.tenant.0 as usize)?;
        Some((tenant.seat.at, flow.tenant, flow.seat.at))
    }

    /// Whether what runs next is of a flow whose slices are short, if anything waits.
    #[must_use]
    pub fn is_next_short(&self) -> Option<bool> {
        let tenant = self.tenants.get(self.level.next()?.0 as usize)?;
        Some(self.flow(tenant.level.next()?)?.is_short())
    }

    /// Takes what runs next, if anything waits.
    pub fn pop(&mut self) -> Option<(T, Charge)> {
        let tenant = self.tenants.get(self.level.next()?.0 as usize)?;
        let key = tenant.level.next()?;
        let item = self.flow_mut(key)?.waiting.pop_front()?;
        self.n_waiting -= 1;
        let charge = self.start(key);
        self.show_ready(key);
        Some((item, charge))
    }

    /// Ends a slice that took `used`.
    pub fn settle(&mut self, charge: Charge, used: Duration, now: Duration) {
        self.expire(now);
        let Charge { flow: key, tenant: tenant_key, of_flow, of_tenant } = charge;
        let Some(Some(flow)) = self.flows.get_mut(key.0 as usize) else { return };
        flow.estimate = learn(flow.estimate, used);
        flow.n_running = flow.n_running.saturating_sub(1);
        self.n_running = self.n_running.saturating_sub(1);
        let Some(tenant) = self.tenants.get_mut(tenant_key.0 as usize) else { return };
        let actual = stretch(used, tenant.weight);
        self.level.charge(tenant_key, &mut tenant.seat, of_tenant, actual);
        // What was charged before a flow changed hands stays with its former owner.
        if flow.tenant == tenant_key {
            let actual = stretch(used, flow.weight);
            tenant.level.charge(key, &mut flow.seat, of_flow, actual);
        }
        self.rest(key, now);
    }

    /// Charges a flow for what was done for it outside its slices.
    pub fn charge(&mut self, key: FlowKey, used: Duration) {
        let Some(Some(flow)) = self.flows.get_mut(key.0 as usize) else { return };
        let Some(tenant) = self.tenants.get_mut(flow.tenant.0 as usize) else { return };
        tenant.level.charge(key, &mut flow.seat, 0, stretch(used, flow.weight));
        self.level.charge(flow.tenant, &mut tenant.seat, 0, stretch(used, tenant.weight));
    }

    /// Things that wait, of all flows.
    #[must_use]
    pub fn n_waiting(&self) -> usize {
        self.n_waiting
    }

    /// Slices that run, of all flows.
    #[must_use]
    pub fn n_running(&self) -> usize {
        self.n_running
    }

    /// Says what the flow's next slice is taken to cost, where its last ones were not charged.
    pub fn expect(&mut self, key: FlowKey, estimate: Duration) {
        if let Some(flow) = self.flow_mut(key) {
            flow.estimate = estimate;
        }
    }

    /// Whether a flow was given no more than any other that is present.
    fn is_least(&self, key: FlowKey) -> Option<bool> {
        let flow = self.flow(key)?;
        let tenant = self.tenants.get(flow.tenant.0 as usize)?;
        Some(self.level.is_least(&tenant.seat) && tenant.level.is_least(&flow.seat))
    }

    fn flow(&self, key: FlowKey) -> Option<&Flow<T>> {
        self.flows.get(key.0 as usize)?.as_ref()
    }

    fn flow_mut(&mut self, key: FlowKey) -> Option<&mut Flow<T>> {
        self.flows.get_mut(key.0 as usize)?.as_mut()
    }

    /// Has a flow take part, and its tenant. Who of them has nothing in line comes to the clock, or to what
    /// is left of its credit; with something in line it has waited its turn since it was put there.
    fn arrive(&mut self, key: FlowKey) {
        let Some(Some(flow)) = self.flows.get_mut(key.0 as usize) else { return };
        let Some(tenant) = self.tenants.get_mut(flow.tenant.0 as usize) else { return };
        if !tenant.level.has_ready() {
            let credit = stretch(self.credit, tenant.weight);
            self.level.arrive(flow.tenant, credit, &mut tenant.seat);
        }
        if flow.waiting.is_empty() || !flow.seat.is_present {
            let credit = stretch(self.credit, flow.weight);
            tenant.level.arrive(key, credit, &mut flow.seat);
        }
    }

    /// Tells both levels whether anything of a flow waits.
    fn show_ready(&mut self, key: FlowKey) {
        let Some(Some(flow)) = self.flows.get_mut(key.0 as usize) else { return };
        let Some(tenant) = self.tenants.get_mut(flow.tenant.0 as usize) else { return };
        tenant.level.set_ready(key, &mut flow.seat, !flow.waiting.is_empty());
        self.level.set_ready(flow.tenant, &mut tenant.seat, tenant.level.has_ready());
    }

    /// Charges a flow for the slice that starts.
    fn start(&mut self, key: FlowKey) -> Charge {
        let mut charge = Charge { flow: key, tenant: TenantKey(0), of_flow: 0, of_tenant: 0 };
        let Some(Some(flow)) = self.flows.get_mut(key.0 as usize) else { return charge };
        let Some(tenant) = self.tenants.get_mut(flow.tenant.0 as usize) else { return charge };
        charge.tenant = flow.tenant;
        charge.of_flow = stretch(flow.estimate, flow.weight);
        charge.of_tenant = stretch(flow.estimate, tenant.weight);
        self.level.start(&tenant.seat);
        tenant.level.start(&flow.seat);
        self.level.charge(flow.tenant, &mut tenant.seat, 0, charge.of_tenant);
        tenant.level.charge(key, &mut flow.seat, 0, charge.of_flow);
        flow.n_running += 1;
        self.n_running += 1;
        charge
    }

    /// Lets a flow linger of which nothing runs or waits any more.
    fn rest(&mut self, key: FlowKey, now: Duration) {
        let Some(Some(flow)) = self.flows.get_mut(key.0 as usize) else { return };
        if !flow.is_idle() {
            return;
        }
        if flow.is_removed {
            self.depart(key);
            return;
        }
        flow.lingers_until = now.saturating_add(LINGER);
        if !flow.is_lingering {
            flow.is_lingering = true;
            self.lingering.push_back((flow.lingers_until, key));
        }
    }

    /// Lets go of those who have lingered long enough.
    fn expire(&mut self, now: Duration) {
        while let Some(&(until, key)) = self.lingering.front()
            && until <= now
        {
            self.lingering.pop_front();
            let Some(Some(flow)) = self.flows.get_mut(key.0 as usize) else { continue };
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

    fn depart(&mut self, key: FlowKey) {
        let Some(place) = self.flows.get_mut(key.0 as usize) else { return };
        let Some(flow) = place else { return };
        if flow.seat.is_present
            && let Some(tenant) = self.tenants.get_mut(flow.tenant.0 as usize)
        {
            tenant.level.depart(key, &mut flow.seat);
            self.level.set_ready(flow.tenant, &mut tenant.seat, tenant.level.has_ready());
            if tenant.level.is_empty() {
                self.level.depart(flow.tenant, &mut tenant.seat);
            }
        }
        if flow.is_removed && flow.is_idle() && !flow.is_lingering {
            *place = None;
            self.free.push(key.0);
        }
    }
}

#[cfg(test)]
mod laws;
