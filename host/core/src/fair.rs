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
//! - A flow that only waits for its callers to ask again keeps what it is behind, up to [`CREDIT`]: by
//!   the rule before, who asks on few connections would get less than its share, however little it
//!   uses.
//! - When nobody is left, all debts are forgiven.
//!
//! Two levels, and not shares of one: among sixty flows of one tenant a slice would count sixty
//! times on the one scale, and a single flow of another would wait for one of each.
//!
//! A flow whose last slice has ended is not gone at once. It *lingers* for [`LINGER`], since a caller
//! with few connections asks again when it was answered: meanwhile who has had more than it is not
//! run past the line.
//!
//! A host has a queue for each core, so that cores do not wait for each other. What each of them gave a
//! flow counts in all ([`Common`]), a moment later, and a core looks at the queues of others now and
//! then, for somebody who was given less than whom it would serve ([`Exchange`], [`Fair::rival`]).
//!
//! Order of calls: [`Fair::add`] a flow, or [`Fair::know`] one of several queues; [`Fair::enqueue`] what
//! waits or [`Fair::start_here`] without queueing; [`Fair::pop`] when a thread is free;
//! [`Fair::settle`] after every slice that started.

mod check;
mod common;
mod exchange;
mod flow;
mod known;
mod level;
mod presence;
mod rival;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub use self::common::{Common, EXCHANGE, FlowEntry, TenantEntry};
pub use self::exchange::Exchange;
use self::flow::Flow;
pub use self::flow::{CREDIT, FIRST_ESTIMATE, LINGER, LONGEST_HERE, learn};
use self::level::{Level, Seat, Virtual, stretch};
pub use self::rival::RivalStanding;

/// Names a flow of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey(u32);

impl FlowKey {
    /// A number that no other flow has; never 0.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0.saturating_add(1)
    }
}

/// Names a tenant of one host.
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

/// Flows, and what of each waits: one queue.
#[derive(Debug)]
pub struct Fair<T> {
    common: Arc<Common>,
    /// Those that are present, and those that were added and not removed.
    flows: BTreeMap<FlowKey, Flow<T>>,
    tenants: BTreeMap<TenantKey, Tenant>,
    /// Tenants of which some flow is present.
    level: Level<TenantKey>,
    /// Flows that linger, and until when, as far as was known when they were put here.
    lingering: VecDeque<(Duration, FlowKey)>,
    n_waiting: usize,
    n_running: usize,
    /// How often a member was found to stand elsewhere by what other queues had told.
    #[cfg(test)]
    n_sorted: u64,
}

#[derive(Debug)]
struct Tenant {
    entry: Arc<TenantEntry>,
    seat: Seat,
    level: Level<FlowKey>,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl<T> Fair<T> {
    /// One of several queues that serve the same flows.
    #[must_use]
    pub fn new(common: Arc<Common>) -> Self {
        let level = Level::new(common.tenants.clone());
        Self {
            common,
            flows: BTreeMap::new(),
            tenants: BTreeMap::new(),
            level,
            lingering: VecDeque::new(),
            n_waiting: 0,
            n_running: 0,
            #[cfg(test)]
            n_sorted: 0,
        }
    }

    /// Puts something in its flow's line.
    pub fn enqueue(&mut self, key: FlowKey, item: T) {
        self.enqueue_at(key, item, Duration::ZERO);
    }

    /// The same, where others may ask since when it waits.
    pub fn enqueue_at(&mut self, key: FlowKey, item: T, now: Duration) {
        self.arrive(key);
        let Some(flow) = self.flows.get_mut(&key) else { return };
        flow.waiting.push_back((now, item));
        self.n_waiting += 1;
        self.show_ready(key);
    }

    /// Starts a slice past the line, where the caller stands: granted to a flow whose slices are
    /// short and that was given no more than any other that is present.
    #[must_use]
    pub fn start_here(&mut self, key: FlowKey, now: Duration) -> Option<Charge> {
        self.start_before(key, None, now)
    }

    /// The same where a rival was found in another queue, which may not have been given less either.
    #[must_use]
    pub fn start_before(
        &mut self,
        key: FlowKey,
        rival: Option<&RivalStanding>,
        now: Duration,
    ) -> Option<Charge> {
        self.expire(now);
        self.arrive(key);
        let is_least = self.is_least(key)? && rival.is_none_or(|rival| self.precedes(key, rival));
        if is_least && self.flows.get(&key)?.is_short() {
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
    pub fn standing(&mut self, key: FlowKey) -> Option<impl Ord + use<T>> {
        let flow = self.flows.get_mut(&key).filter(|flow| flow.seat.is_present)?;
        let tenant = self.tenants.get_mut(&flow.tenant)?;
        self.level.absorb(flow.tenant, &mut tenant.seat);
        tenant.level.absorb(key, &mut flow.seat);
        Some((tenant.seat.at, flow.tenant, flow.seat.at))
    }

    /// Whether what runs next is of a flow whose slices are short, if anything waits.
    #[must_use]
    pub fn is_next_short(&mut self) -> Option<bool> {
        let (_, key) = self.next_key()?;
        self.is_short(key)
    }

    /// Whether a flow's slices are short.
    #[must_use]
    pub fn is_short(&self, key: FlowKey) -> Option<bool> {
        Some(self.flows.get(&key)?.is_short())
    }

    /// Takes what runs next, if anything waits.
    pub fn pop(&mut self) -> Option<(T, Charge)> {
        let (_, key) = self.next_key()?;
        self.pop_of(key)
    }

    /// Takes what of a flow has waited longest.
    pub fn pop_of(&mut self, key: FlowKey) -> Option<(T, Charge)> {
        let (_, item) = self.flows.get_mut(&key)?.waiting.pop_front()?;
        self.n_waiting -= 1;
        let charge = self.start(key);
        self.show_ready(key);
        Some((item, charge))
    }

    /// Ends a slice that took `used`.
    pub fn settle(&mut self, charge: Charge, used: Duration, now: Duration) {
        self.expire(now);
        let Charge { flow: key, tenant: tenant_key, of_flow, of_tenant } = charge;
        let Some(flow) = self.flows.get_mut(&key) else { return };
        flow.estimate = learn(flow.estimate, used);
        flow.n_running = flow.n_running.saturating_sub(1);
        self.n_running = self.n_running.saturating_sub(1);
        let Some(tenant) = self.tenants.get_mut(&tenant_key) else { return };
        let weight = tenant.entry.weight;
        let (who, actual) = ((tenant_key, weight), stretch(used, weight));
        self.level.charge(who, &mut tenant.seat, of_tenant, actual);
        self.level.tell_in_time(tenant_key, &mut tenant.seat, now);
        // What was charged before a flow changed hands stays with its former owner.
        if flow.tenant == tenant_key {
            let (who, actual) = ((key, flow.weight), stretch(used, flow.weight));
            tenant.level.charge(who, &mut flow.seat, of_flow, actual);
            tenant.level.tell_in_time(key, &mut flow.seat, now);
        }
        self.rest(key, now);
    }

    /// Charges a flow for what was done for it outside its slices.
    pub fn charge(&mut self, key: FlowKey, used: Duration) {
        let Some(flow) = self.flows.get_mut(&key) else { return };
        let Some(tenant) = self.tenants.get_mut(&flow.tenant) else { return };
        let who = (key, flow.weight);
        tenant.level.charge(who, &mut flow.seat, 0, stretch(used, flow.weight));
        let weight = tenant.entry.weight;
        self.level.charge((flow.tenant, weight), &mut tenant.seat, 0, stretch(used, weight));
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
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.estimate = estimate;
        }
    }

    /// Who runs next, and whose it is, by what all queues have told.
    fn next_key(&mut self) -> Option<(TenantKey, FlowKey)> {
        let owner = loop {
            let key = self.level.next()?;
            if !self.absorb_tenant(key)? {
                break key;
            }
        };
        Some((owner, self.next_of(owner)?))
    }

    /// Who of a tenant's flows runs next.
    fn next_of(&mut self, owner: TenantKey) -> Option<FlowKey> {
        loop {
            let key = self.tenants.get(&owner)?.level.next()?;
            if !self.absorb_flow(owner, key)? {
                return Some(key);
            }
        }
    }

    /// Whether a flow was given no more than any other that is present.
    fn is_least(&mut self, key: FlowKey) -> Option<bool> {
        let owner = self.flows.get(&key)?.tenant;
        self.absorb_tenant(owner)?;
        while let Some(least) = self.level.least()
            && self.absorb_tenant(least)?
        {}
        self.absorb_flow(owner, key)?;
        while let Some(least) = self.tenants.get(&owner)?.level.least()
            && self.absorb_flow(owner, least)?
        {}
        let (tenant, seat) = (self.tenants.get(&owner)?, &self.flows.get(&key)?.seat);
        Some(self.level.is_least(&tenant.seat) && tenant.level.is_least(seat))
    }

    /// Takes over what other queues have told of a tenant. Says whether it stands elsewhere now.
    fn absorb_tenant(&mut self, key: TenantKey) -> Option<bool> {
        let has_moved = self.level.absorb(key, &mut self.tenants.get_mut(&key)?.seat);
        self.count_sorted(has_moved);
        Some(has_moved)
    }

    /// The same of a flow of that tenant.
    fn absorb_flow(&mut self, owner: TenantKey, key: FlowKey) -> Option<bool> {
        let tenant = self.tenants.get_mut(&owner)?;
        let has_moved = tenant.level.absorb(key, &mut self.flows.get_mut(&key)?.seat);
        self.count_sorted(has_moved);
        Some(has_moved)
    }

    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "the laws count"))]
    fn count_sorted(&mut self, _has_moved: bool) {
        #[cfg(test)]
        {
            self.n_sorted += u64::from(_has_moved);
        }
    }

    /// Tells both levels whether anything of a flow waits.
    fn show_ready(&mut self, key: FlowKey) {
        let Some(flow) = self.flows.get_mut(&key) else { return };
        let Some(tenant) = self.tenants.get_mut(&flow.tenant) else { return };
        tenant.level.set_ready(key, &mut flow.seat, !flow.waiting.is_empty());
        self.level.set_ready(flow.tenant, &mut tenant.seat, tenant.level.has_ready());
    }

    /// Charges a flow for the slice that starts.
    fn start(&mut self, key: FlowKey) -> Charge {
        let mut charge = Charge { flow: key, tenant: TenantKey(0), of_flow: 0, of_tenant: 0 };
        let Some(flow) = self.flows.get_mut(&key) else { return charge };
        let Some(tenant) = self.tenants.get_mut(&flow.tenant) else { return charge };
        let weight = tenant.entry.weight;
        charge.tenant = flow.tenant;
        charge.of_flow = stretch(flow.estimate, flow.weight);
        charge.of_tenant = stretch(flow.estimate, weight);
        self.level.start(&tenant.seat, weight);
        tenant.level.start(&flow.seat, flow.weight);
        self.level.charge((flow.tenant, weight), &mut tenant.seat, 0, charge.of_tenant);
        tenant.level.charge((key, flow.weight), &mut flow.seat, 0, charge.of_flow);
        flow.n_running += 1;
        self.n_running += 1;
        charge
    }
}

#[cfg(test)]
mod laws;
