//! Simulated hosts with a queue for each core, by the code that the host runs.
//! Claims nothing: the laws do.

use std::sync::Arc;
use std::time::Duration;

use super::super::{Charge, Common, Exchange, FIRST_ESTIMATE, Fair, FlowEntry, TenantEntry};
use super::weight;

/// What a flow does on a simulated host.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// Which tenant it is of.
    pub(super) tenant: usize,
    pub(super) weight: u32,
    /// The cores where its items begin, one for each item.
    pub(super) homes: Vec<usize>,
    /// What a slice takes, in nanoseconds.
    pub(super) slice: u64,
    /// How long an item is away after each slice, in nanoseconds; one that is 0 comes back at once.
    pub(super) pause: u64,
    /// Whether an item that comes back does so where it ran, and not where it began.
    pub(super) moves: bool,
    /// When the flow begins and ends, in nanoseconds.
    pub(super) span: (u64, u64),
}

/// One thing that waits or runs: the number of its flow, and its own.
type Item = (usize, usize);

#[derive(Debug, Default)]
struct Core {
    exchange: Exchange,
    /// What runs, until when, and the queue that it was taken from.
    running: Option<(u64, Item, Charge, usize)>,
    idle_since: u64,
}

/// How a host is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) n_cores: usize,
    /// As many as cores, or one that they share.
    pub(super) n_queues: usize,
    /// How long a slice holds the lock of its queue, in nanoseconds.
    pub(super) hold: u64,
}

/// A host.
pub(super) struct Cores {
    plan: Plan,
    cores: Vec<Core>,
    queues: Vec<Fair<Item>>,
    /// When the lock of each queue comes free.
    locks: Vec<u64>,
    entries: Vec<Arc<FlowEntry>>,
    loads: Vec<Load>,
    pub(super) now: u64,
    /// Items that are away, and the core to which they come back.
    away: Vec<(u64, Item, usize)>,
    /// Whether each item of each flow waits or runs.
    is_out: Vec<Vec<bool>>,
    /// Since when each waits.
    since: Vec<Vec<u64>>,
    /// CPU time that each flow got.
    pub(super) served: Vec<u64>,
    /// Slices that were taken from the queue of another core.
    pub(super) n_taken: u64,
    pub(super) n_slices: u64,
    /// The longest time a core had nothing to do while something waited elsewhere.
    pub(super) longest_idle: u64,
    /// The longest time something waited.
    pub(super) longest_wait: u64,
}

impl Cores {
    pub(super) fn new(n_cores: usize, tenants: &[u32], loads: Vec<Load>) -> Self {
        Self::planned(Plan { n_cores, n_queues: n_cores, hold: 0 }, tenants, loads)
    }

    pub(super) fn planned(plan: Plan, tenants: &[u32], loads: Vec<Load>) -> Self {
        let common = Arc::new(Common::new(plan.n_cores));
        let owners: Vec<Arc<TenantEntry>> =
            tenants.iter().map(|of_tenant| common.tenant(weight(*of_tenant))).collect();
        let entry = |load: &Load| common.flow(&owners[load.tenant], weight(load.weight));
        let entries = loads.iter().map(entry).collect();
        let mut away = Vec::new();
        for (flow, load) in loads.iter().enumerate() {
            for (number, home) in load.homes.iter().enumerate() {
                away.push((load.span.0, (flow, number), *home));
            }
        }
        Self {
            plan,
            cores: (0..plan.n_cores).map(|_| Core::default()).collect(),
            queues: (0..plan.n_queues).map(|_| Fair::new(common.clone())).collect(),
            locks: vec![0; plan.n_queues],
            entries,
            now: 0,
            away,
            is_out: loads.iter().map(|load| vec![false; load.homes.len()]).collect(),
            since: loads.iter().map(|load| vec![0; load.homes.len()]).collect(),
            served: vec![0; loads.len()],
            loads,
            n_taken: 0,
            n_slices: 0,
            longest_idle: 0,
            longest_wait: 0,
        }
    }

    fn time(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    /// Runs until `end`.
    pub(super) fn run(&mut self, end: u64) {
        loop {
            self.come_back();
            // Each in turn, as if all looked at the same moment.
            for core in 0..self.cores.len() {
                self.dispatch(core);
            }
            let ends = self.cores.iter().filter_map(|core| Some(core.running.as_ref()?.0));
            let Some(next) = ends.chain(self.away.iter().map(|(at, ..)| *at)).min() else { return };
            if next > end {
                return;
            }
            let waits = self.queues.iter().any(|queue| queue.n_waiting() > 0);
            for core in &mut self.cores {
                if core.running.is_some() || !waits {
                    core.idle_since = next;
                }
                self.longest_idle = self.longest_idle.max(next - core.idle_since);
            }
            self.now = next;
            for core in 0..self.cores.len() {
                self.settle(core);
            }
        }
    }

    fn come_back(&mut self) {
        let now = self.now;
        let due: Vec<_> = self.away.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, (flow, number), core) in due {
            if now >= self.loads[flow].span.1 {
                continue;
            }
            assert!(!std::mem::replace(&mut self.is_out[flow][number], true), "it is there twice");
            self.since[flow][number] = now;
            let (time, entry) = (self.time(), &self.entries[flow]);
            let fair = &mut self.queues[core % self.plan.n_queues];
            fair.know(entry, FIRST_ESTIMATE);
            fair.enqueue_at(entry.key(), (flow, number), time);
        }
    }

    /// Has a core take what it runs next: the way a host's worker does.
    fn dispatch(&mut self, at: usize) {
        if self.cores[at].running.is_some() {
            return;
        }
        let (time, n_queues) = (self.time(), self.plan.n_queues);
        let own = at % n_queues;
        let waiting: Vec<bool> = self.queues.iter().map(|queue| queue.n_waiting() > 0).collect();
        let first_from = |from: usize| {
            let circle = (0..n_queues).map(|step| (from + step) % n_queues);
            circle.into_iter().find(|i| *i != own && waiting[*i])
        };
        let exchange = &mut self.cores[at].exchange;
        let served = if waiting[own] { Some(own) } else { exchange.serves(first_from) };
        let Some(served) = served else { return };
        if let Some(other) = exchange.partner(time, served, first_from) {
            let next = self.queues[served].next_standing();
            let fair = &mut self.queues[other];
            let key = fair.rival(next.as_ref());
            let rival = key.and_then(|key| Some((fair.standing_of(key)?, fair.pop_of(key)?)));
            if let Some((rival, (item, charge))) = rival {
                self.cores[at].exchange.found(rival);
                self.n_taken += 1;
                return self.start(at, item, charge, other);
            }
        }
        if served != own
            && let Some(next) = self.queues[served].next_standing()
        {
            self.cores[at].exchange.took(next);
        }
        if let Some((item, charge)) = self.queues[served].pop() {
            self.n_taken += u64::from(served != own);
            self.start(at, item, charge, served);
        }
    }

    fn start(&mut self, at: usize, item: Item, charge: Charge, from: usize) {
        self.n_slices += 1;
        self.longest_wait = self.longest_wait.max(self.now - self.since[item.0][item.1]);
        // Taking and settling in one, which the lock of one queue can do so often and no oftener.
        let has_lock = self.now.max(self.locks[from]) + self.plan.hold;
        self.locks[from] = has_lock;
        let until = has_lock + self.loads[item.0].slice;
        self.cores[at].running = Some((until, item, charge, from));
    }

    fn settle(&mut self, at: usize) {
        let Some((_, (flow, number), charge, from)) =
            self.cores[at].running.take_if(|(until, ..)| *until == self.now)
        else {
            return;
        };
        let (time, load) = (self.time(), &self.loads[flow]);
        self.served[flow] += load.slice;
        self.queues[from].settle(charge, Duration::from_nanos(load.slice), time);
        assert!(std::mem::take(&mut self.is_out[flow][number]), "it ran twice");
        let home = if load.moves { at } else { load.homes[number] };
        self.away.push((self.now + load.pause, (flow, number), home));
    }

    /// How often a member was found to stand elsewhere by what other queues had told.
    pub(super) fn n_sorted(&self) -> u64 {
        self.queues.iter().map(|queue| queue.n_sorted).sum()
    }

    /// Each item waits or runs once, or is away.
    pub(super) fn check(&self) {
        for queue in &self.queues {
            assert_eq!(queue.check(), Ok(()));
        }
        let n_out = self.is_out.iter().flatten().filter(|is_out| **is_out).count();
        let n_waiting: usize = self.queues.iter().map(Fair::n_waiting).sum();
        let n_running = self.cores.iter().filter(|core| core.running.is_some()).count();
        assert_eq!(n_waiting + n_running, n_out, "some are lost");
    }
}
