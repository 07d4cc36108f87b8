//! Simulated machines that serve flows by turns of a [`Fair`].
//! Claims nothing: the laws do.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::super::{Charge, Fair, FlowKey};
use super::weight;
use crate::units::Weight;

/// A flow that always has work: `lines` items, each coming back after its slice.
#[derive(Clone, Debug)]
pub(super) struct Busy {
    pub(super) weight: u32,
    pub(super) lines: usize,
    pub(super) slice: u64,
    pub(super) from: u64,
    pub(super) until: u64,
}

/// A machine of `n_servers` that serves flows by turns of a [`Fair`].
pub(super) struct Machine {
    fair: Fair<usize>,
    keys: Vec<FlowKey>,
    now: u64,
    servers: Vec<Option<(u64, usize, Charge, u64)>>,
    pub(super) served: Vec<u64>,
    /// Longest wait of any item of each flow.
    pub(super) waited: Vec<u64>,
    queued_at: Vec<VecDeque<u64>>,
}

impl Machine {
    pub(super) fn new(n_servers: usize, weights: &[u32]) -> Self {
        let mut fair = Fair::default();
        let tenant = fair.add_tenant(Weight::DEFAULT);
        let keys: Vec<_> = weights.iter().map(|w| fair.add(tenant, weight(*w))).collect();
        let n = keys.len();
        Self {
            fair,
            keys,
            now: 0,
            servers: (0..n_servers).map(|_| None).collect(),
            served: vec![0; n],
            waited: vec![0; n],
            queued_at: vec![VecDeque::new(); n],
        }
    }

    fn enqueue(&mut self, flow: usize) {
        self.queued_at[flow].push_back(self.now);
        self.fair.enqueue(self.keys[flow], flow);
    }

    fn dispatch(&mut self, flows: &[Busy]) {
        for server in &mut self.servers {
            if server.is_none() {
                let Some((flow, charge)) = self.fair.pop() else { return };
                let queued_at = self.queued_at[flow].pop_front().unwrap();
                self.waited[flow] = self.waited[flow].max(self.now - queued_at);
                let slice = flows[flow].slice;
                *server = Some((self.now + slice, flow, charge, slice));
            }
        }
    }

    /// Runs until `end`, starting flows when their time comes.
    pub(super) fn run(&mut self, flows: &[Busy], end: u64) {
        let mut coming: Vec<usize> = (0..flows.len()).collect();
        for turn in 0_u64.. {
            let now = self.now;
            coming.retain(|flow| {
                let starts = flows[*flow].from <= now;
                if starts {
                    for _ in 0..flows[*flow].lines {
                        self.queued_at[*flow].push_back(now);
                        self.fair.enqueue(self.keys[*flow], *flow);
                    }
                }
                !starts
            });
            self.dispatch(flows);
            if turn.is_multiple_of(97) {
                self.fair.check().unwrap();
            }
            let ends = self.servers.iter().flatten().map(|(at, ..)| *at).min();
            let starts = coming.iter().map(|flow| flows[*flow].from).min();
            let Some(next) = ends.into_iter().chain(starts).min() else { return };
            self.now = next;
            if self.now > end {
                return;
            }
            for index in 0..self.servers.len() {
                let due = self.servers[index].as_ref().is_some_and(|(at, ..)| *at == self.now);
                if let Some((_, flow, charge, used)) =
                    due.then(|| self.servers[index].take()).flatten()
                {
                    self.served[flow] += used;
                    let now = Duration::from_nanos(self.now);
                    self.fair.settle(charge, Duration::from_nanos(used), now);
                    if self.now < flows[flow].until {
                        self.enqueue(flow);
                    }
                }
            }
        }
    }
}

/// A thread that reads requests and runs short calls on the spot, and one that serves the line when
/// the reader leaves it the core. Callers ask again a moment after they were answered.
pub(super) struct Reader {
    pub(super) fair: Fair<usize>,
    keys: [FlowKey; 2],
    now: u64,
    pub(super) served: [u64; 2],
    /// When which flow's next request arrives.
    coming: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Reader {
    pub(super) fn new(fair: Fair<usize>, keys: [FlowKey; 2]) -> Self {
        Self { fair, keys, now: 0, served: [0; 2], coming: BinaryHeap::new() }
    }

    /// Runs until `end` with so many callers of each flow, who pause between two requests.
    pub(super) fn run(&mut self, slices: [u64; 2], pause: u64, callers: [usize; 2], end: u64) {
        for (flow, n) in callers.into_iter().enumerate() {
            self.coming.extend((0..n).map(|_| Reverse((0, flow))));
        }
        while self.now < end {
            // What arrives meanwhile is read when something of the line has run.
            let looked_at = self.now;
            while let Some(Reverse((at, flow))) = self.coming.peek().copied()
                && at <= looked_at
            {
                self.coming.pop();
                match self.fair.start_here(self.keys[flow], Duration::from_nanos(self.now)) {
                    Some(charge) => self.slice(flow, charge, slices[flow], pause),
                    None => self.fair.enqueue(self.keys[flow], flow),
                }
            }
            if let Some((flow, charge)) = self.fair.pop() {
                self.slice(flow, charge, slices[flow], pause);
            } else if let Some(Reverse((at, _))) = self.coming.peek() {
                self.now = self.now.max(*at);
            }
        }
    }

    fn slice(&mut self, flow: usize, charge: Charge, slice: u64, pause: u64) {
        self.now += slice;
        self.served[flow] += slice;
        let (used, now) = (Duration::from_nanos(slice), Duration::from_nanos(self.now));
        self.fair.settle(charge, used, now);
        self.coming.push(Reverse((self.now + pause, flow)));
    }
}
