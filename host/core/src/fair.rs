//! Who runs next when more want the CPU than there is: weighted fair queueing over virtual time.
//! Knows no threads, clocks or guests: the caller says who waits and what each slice took.
//!
//! A *flow* is one app. Each flow has a virtual time: the CPU time it was charged, divided by its
//! share. The flow with the least virtual time runs next. What a slice will cost is not known when
//! it starts, so an estimate is charged then and settled against the measured time afterwards (the
//! way Kubernetes' API priority and fairness charges requests). The rules between flows are those of
//! start-time fair queueing (Goyal, Vin and Cheng, 1996):
//!
//! - The *clock* is the virtual time of the latest slice that started, so it follows a flow that runs
//!   alone, and a second flow that arrives then does not find the first one in debt.
//! - A flow that comes back from idleness starts at the clock: it banked nothing, it owes nothing
//!   that it did not run up itself.
//! - When nobody is left, all debts are forgiven.
//!
//! Order of calls: [`Fair::add`] a flow; [`Fair::enqueue`] what waits or [`Fair::start_here`] without
//! queueing; [`Fair::pop`] when a thread is free; [`Fair::settle`] after every slice that started.

mod tenants;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

pub use self::tenants::TenantKey;
use self::tenants::Tenants;
use crate::units::Weight;

/// What a slice is taken to cost before the first one of its flow was measured.
const FIRST_ESTIMATE: Duration = Duration::from_micros(50);
/// A flow whose slices take longer than this is not run where others' requests are read.
pub const LONGEST_HERE: Duration = Duration::from_micros(250);
/// How slowly an estimate follows slices that take longer: one that was held up by chance must not
/// cost its flow much, one of many milliseconds must show at once.
const ESTIMATE_RISE: u32 = 4;
/// How slowly it follows slices that take less.
const ESTIMATE_FALL: u32 = 8;

/// CPU time divided by a share, in [`tenants::SHARE_UNIT`]ths of a nanosecond.
type Virtual = u128;

/// Names a flow of one [`Fair`]. Given anew to another flow once its own was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey(u32);

/// What was charged for a slice that runs; to be handed back with the measured time.
#[derive(Debug)]
#[must_use = "a slice that is not settled is charged by estimate for good"]
pub struct Charge {
    flow: FlowKey,
    amount: Virtual,
}

/// Flows, and what of each waits.
#[derive(Debug)]
pub struct Fair<T> {
    flows: Vec<Option<Flow<T>>>,
    free: Vec<u32>,
    tenants: Tenants,
    /// Flows of which something waits, by virtual time. Agrees with `Flow::waiting`.
    ready: BTreeSet<(Virtual, FlowKey)>,
    clock: Virtual,
    /// The most virtual time any flow has: where the clock goes when nobody is left.
    horizon: Virtual,
    n_waiting: usize,
    n_running: usize,
    /// Flows of which something waits or runs.
    n_busy: usize,
}

#[derive(Debug)]
struct Flow<T> {
    tenant: TenantKey,
    weight: Weight,
    at: Virtual,
    waiting: VecDeque<T>,
    n_running: usize,
    estimate: Duration,
    /// Whether the tenant's share is divided among this flow too.
    is_busy: bool,
    is_removed: bool,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self {
            flows: Vec::new(),
            free: Vec::new(),
            tenants: Tenants::default(),
            ready: BTreeSet::new(),
            clock: 0,
            horizon: 0,
            n_waiting: 0,
            n_running: 0,
            n_busy: 0,
        }
    }
}

impl<T> Fair<T> {
    /// Adds a tenant, among whose busy flows its share is divided.
    pub fn add_tenant(&mut self, weight: Weight) -> TenantKey {
        self.tenants.add(weight)
    }

    /// Adds a flow.
    pub fn add(&mut self, tenant: TenantKey, weight: Weight) -> FlowKey {
        let flow = Flow {
            tenant,
            weight,
            at: self.clock,
            waiting: VecDeque::new(),
            n_running: 0,
            estimate: FIRST_ESTIMATE,
            is_busy: false,
            is_removed: false,
        };
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

    /// Changes a flow's share, from its next slice on.
    pub fn set_weight(&mut self, key: FlowKey, tenant: TenantKey, weight: Weight) {
        let Some(Some(flow)) = self.flows.get_mut(key.0 as usize) else { return };
        if flow.is_busy {
            self.tenants.leave(flow.tenant, flow.weight);
            self.tenants.enter(tenant, weight);
        }
        (flow.tenant, flow.weight) = (tenant, weight);
    }

    /// Removes a flow. What of it waits or runs goes on; its key is given anew after that.
    pub fn remove(&mut self, key: FlowKey) {
        if let Some(Some(flow)) = self.flows.get_mut(key.0 as usize) {
            flow.is_removed = true;
        }
        self.release(key);
    }

    /// Puts something in its flow's line.
    pub fn enqueue(&mut self, key: FlowKey, item: T) {
        self.wake(key);
        let Some(Some(flow)) = self.flows.get_mut(key.0 as usize) else { return };
        flow.waiting.push_back(item);
        self.n_waiting += 1;
        if flow.waiting.len() == 1 {
            self.ready.insert((flow.at, key));
        }
    }

    /// Starts a slice past the line, where the caller stands: granted to a flow that would be next
    /// in line or that is alone, of which nothing waits, and whose slices are short.
    #[must_use]
    pub fn start_here(&mut self, key: FlowKey) -> Option<Charge> {
        self.wake(key);
        let next = self.ready.first().map(|(at, _)| *at);
        let flow = self.flow(key)?;
        let is_due = flow.at <= next.unwrap_or(self.clock) || self.n_busy == 1;
        if is_due && flow.waiting.is_empty() && flow.estimate <= LONGEST_HERE {
            self.clock = self.clock.max(flow.at);
            return Some(self.start(key));
        }
        self.release(key);
        None
    }

    /// Takes what runs next, if anything waits.
    pub fn pop(&mut self) -> Option<(T, Charge)> {
        let (at, key) = self.ready.pop_first()?;
        self.clock = self.clock.max(at);
        let flow = self.flows.get_mut(key.0 as usize)?.as_mut()?;
        let item = flow.waiting.pop_front()?;
        self.n_waiting -= 1;
        let charge = self.start(key);
        if let Some(flow) = self.flow(key)
            && !flow.waiting.is_empty()
        {
            self.ready.insert((flow.at, key));
        }
        Some((item, charge))
    }

    /// Ends a slice that took `used`.
    pub fn settle(&mut self, charge: Charge, used: Duration) {
        let Charge { flow: key, amount } = charge;
        let Some(Some(flow)) = self.flows.get(key.0 as usize) else { return };
        let actual = self.tenants.stretch(used, flow.tenant, flow.weight);
        let at = flow.at.saturating_sub(amount).saturating_add(actual);
        self.move_to(key, at);
        let Some(Some(flow)) = self.flows.get_mut(key.0 as usize) else { return };
        flow.estimate = learn(flow.estimate, used);
        flow.n_running = flow.n_running.saturating_sub(1);
        self.n_running = self.n_running.saturating_sub(1);
        self.release(key);
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

    /// What the flow's next slice is taken to cost.
    #[must_use]
    pub fn estimate(&self, key: FlowKey) -> Duration {
        self.flow(key).map_or(FIRST_ESTIMATE, |flow| flow.estimate)
    }

    /// What must hold at any time.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn check(&self) -> Result<(), String> {
        let flows = || self.flows.iter().flatten();
        let ready = flows().filter(|flow| !flow.waiting.is_empty()).count();
        let waiting: usize = flows().map(|flow| flow.waiting.len()).sum();
        let running: usize = flows().map(|flow| flow.n_running).sum();
        let listed = self.ready.iter().all(|(at, key)| {
            self.flow(*key).is_some_and(|flow| flow.at == *at && !flow.waiting.is_empty())
        });
        let claims = [
            (ready == self.ready.len() && listed, "ready lists exactly the flows that wait"),
            (waiting == self.n_waiting, "what waits is counted"),
            (running == self.n_running, "what runs is counted"),
            (flows().all(|flow| flow.at <= self.horizon), "nobody is beyond the horizon"),
        ];
        match claims.into_iter().find(|(holds, _)| !holds) {
            Some((_, claim)) => Err(format!("it does not hold that {claim}")),
            None => Ok(()),
        }
    }

    fn flow(&self, key: FlowKey) -> Option<&Flow<T>> {
        self.flows.get(key.0 as usize)?.as_ref()
    }

    /// Brings a flow that was idle to the clock.
    fn wake(&mut self, key: FlowKey) {
        let Some(Some(flow)) = self.flows.get_mut(key.0 as usize) else { return };
        if !flow.is_busy {
            self.tenants.enter(flow.tenant, flow.weight);
            flow.is_busy = true;
            self.n_busy += 1;
        }
        // With something in line it has waited its turn since it was put there.
        if flow.waiting.is_empty() {
            flow.at = flow.at.max(self.clock);
            self.horizon = self.horizon.max(flow.at);
        }
    }

    /// Charges a flow for the slice that starts.
    fn start(&mut self, key: FlowKey) -> Charge {
        let Some(Some(flow)) = self.flows.get_mut(key.0 as usize) else {
            return Charge { flow: key, amount: 0 };
        };
        let amount = self.tenants.stretch(flow.estimate, flow.tenant, flow.weight);
        flow.at = flow.at.saturating_add(amount);
        flow.n_running += 1;
        self.n_running += 1;
        self.horizon = self.horizon.max(flow.at);
        Charge { flow: key, amount }
    }

    fn move_to(&mut self, key: FlowKey, at: Virtual) {
        let Some(Some(flow)) = self.flows.get_mut(key.0 as usize) else { return };
        if self.ready.remove(&(flow.at, key)) {
            self.ready.insert((at, key));
        }
        flow.at = at;
        self.horizon = self.horizon.max(at);
    }

    /// Lets go of a flow of which nothing runs or waits any more.
    fn release(&mut self, key: FlowKey) {
        let Some(place) = self.flows.get_mut(key.0 as usize) else { return };
        let Some(flow) = place else { return };
        if flow.n_running > 0 || !flow.waiting.is_empty() {
            return;
        }
        if flow.is_busy {
            self.tenants.leave(flow.tenant, flow.weight);
            flow.is_busy = false;
            self.n_busy = self.n_busy.saturating_sub(1);
        }
        if flow.is_removed {
            *place = None;
            self.free.push(key.0);
        }
        if self.n_waiting == 0 && self.n_running == 0 {
            self.clock = self.horizon;
        }
    }
}

/// The next estimate of what a slice takes, after one that took `used`.
#[must_use]
pub fn learn(estimate: Duration, used: Duration) -> Duration {
    match estimate.checked_sub(used) {
        Some(excess) => estimate.saturating_sub(excess / ESTIMATE_FALL),
        None => estimate.saturating_add((used.saturating_sub(estimate)) / ESTIMATE_RISE),
    }
}

#[cfg(test)]
mod laws;
