//! The laws of fair queueing, proved on simulated machines: servers that poll, flows that arrive,
//! slices of any length. Time is a number here.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const MICRO: u64 = 1_000;
/// The longest slice of these simulations, in nanoseconds.
const LONGEST: u64 = 200 * MICRO;
/// `FIRST_ESTIMATE` in nanoseconds.
const FIRST_NANOS: u64 = 50 * MICRO;

/// A flow that always has work: `lines` items, each coming back after its slice.
#[derive(Clone, Debug)]
struct Busy {
    weight: u32,
    lines: usize,
    slice: u64,
    from: u64,
    until: u64,
}

/// A machine of `n_servers` that serves flows by turns of a [`Fair`].
struct Machine {
    fair: Fair<usize>,
    keys: Vec<FlowKey>,
    now: u64,
    servers: Vec<Option<(u64, usize, Charge, u64)>>,
    served: Vec<u64>,
    /// Longest wait of any item of each flow.
    waited: Vec<u64>,
    queued_at: Vec<VecDeque<u64>>,
}

fn weight(weight: u32) -> Weight {
    Weight::new(weight).unwrap()
}

impl Machine {
    fn new(n_servers: usize, weights: &[u32]) -> Self {
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
    fn run(&mut self, flows: &[Busy], end: u64) {
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
                    self.fair.settle(charge, Duration::from_nanos(used));
                    if self.now < flows[flow].until {
                        self.enqueue(flow);
                    }
                }
            }
        }
    }
}

fn busy() -> impl Strategy<Value = Busy> {
    (1..6_u32, 1..8_usize, 1..=LONGEST / MICRO).prop_map(|(weight, lines, micros)| Busy {
        weight,
        lines,
        slice: micros * MICRO,
        from: 0,
        until: u64::MAX,
    })
}

fn weights(flows: &[Busy]) -> Vec<u32> {
    flows.iter().map(|flow| flow.weight).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn busy_flows_stay_within_a_slice_of_their_shares(
        flows in proptest::collection::vec(busy(), 2..6),
        end in 1..100_u64,
    ) {
        let mut machine = Machine::new(1, &weights(&flows));
        machine.run(&flows, end * 1000 * MICRO);
        for one in 0..flows.len() {
            for other in 0..flows.len() {
                let stretched = |flow: usize| machine.served[flow] / u64::from(flows[flow].weight);
                let slice = |flow: usize| flows[flow].slice.max(FIRST_NANOS)
                    / u64::from(flows[flow].weight);
                let gap = stretched(one).abs_diff(stretched(other));
                // A slice of each, and the rounding of two divisions.
                prop_assert!(gap <= slice(one) + slice(other) + 2, "gap {gap}");
            }
        }
    }

    #[test]
    fn shares_hold_on_many_servers_when_everybody_can_use_them(
        n_servers in 2..5_usize,
        weights_of in proptest::collection::vec(1..4_u32, 2..5),
        micros in 20..=LONGEST / MICRO,
    ) {
        let flows: Vec<Busy> = weights_of.iter().map(|weight| Busy {
            weight: *weight, lines: 16, slice: micros * MICRO, from: 0, until: u64::MAX,
        }).collect();
        let mut machine = Machine::new(n_servers, &weights_of);
        let end = 1_000_000 * MICRO;
        machine.run(&flows, end);
        let all: u64 = machine.served.iter().sum();
        let sum: u32 = weights_of.iter().sum();
        for (flow, served) in machine.served.iter().enumerate() {
            let due = all * u64::from(weights_of[flow]) / u64::from(sum);
            // Within 3 % over any second is what the host promises.
            prop_assert!(served.abs_diff(due) * 100 <= due * 3, "{served} of {due}");
        }
    }

    #[test]
    fn what_waits_starts_within_a_bound(
        flows in proptest::collection::vec(busy(), 1..6),
    ) {
        let mut machine = Machine::new(1, &weights(&flows));
        machine.run(&flows, 50_000 * MICRO);
        for (flow, waited) in machine.waited.iter().enumerate() {
            // One of its items waits until all its lines and, for each slice of its own, the
            // weighted slices of all others have run, one more slice of each for what was begun.
            let own = flows[flow].slice.max(FIRST_NANOS);
            let lines = flows[flow].lines as u64;
            let bound: u64 = flows.iter().enumerate().map(|(other, busy)| {
                let slice = busy.slice.max(FIRST_NANOS);
                if other == flow {
                    return lines * own;
                }
                let ratio = u64::from(busy.weight).div_ceil(u64::from(flows[flow].weight));
                (lines + 1) * own * ratio + 2 * slice
            }).sum();
            prop_assert!(*waited <= bound, "{waited} over {bound}");
        }
    }

    #[test]
    fn idle_time_earns_nothing_and_a_lone_run_owes_nothing(
        late in 1..200_u64,
        slice in 1..=LONGEST / MICRO,
        other in 1..=LONGEST / MICRO,
    ) {
        let flow = |from: u64, micros: u64| Busy {
            weight: 1, lines: 2, slice: micros * MICRO, from, until: u64::MAX,
        };
        let from = late * 1000 * MICRO;
        let flows = [flow(0, slice), flow(from, other)];
        let mut machine = Machine::new(1, &[1, 1]);
        machine.run(&flows, from);
        let before = machine.served.clone();
        let both = 20_000 * MICRO;
        let mut later = Machine::new(1, &[1, 1]);
        later.run(&flows, from + both);
        let first = later.served[0] - before[0];
        let second = later.served[1];
        let slack = 3 * LONGEST;
        prop_assert!(first.abs_diff(second) <= slack, "{first} against {second}");
    }

    #[test]
    fn order_within_a_flow_is_kept_and_charges_add_up(
        arrivals in proptest::collection::vec((0..4_usize, 1..300_u64, any::<bool>()), 1..200),
    ) {
        let mut fair = Fair::default();
        let tenant = fair.add_tenant(Weight::DEFAULT);
        let keys: Vec<_> = (0..4).map(|_| fair.add(tenant, Weight::DEFAULT)).collect();
        // One flow stays busy, so that no debt is forgiven meanwhile.
        let pin = fair.add(tenant, Weight::DEFAULT);
        fair.enqueue(pin, (9, 0));
        let (_, pinned) = fair.pop().unwrap();
        let mut last = [0; 4];
        for (turn, (flow, micros, settle)) in arrivals.into_iter().enumerate() {
            fair.enqueue(keys[flow], (flow, turn + 1));
            prop_assert!(fair.n_waiting() > 0);
            if settle {
                let ((flow, turn), charge) = fair.pop().expect("something waits");
                prop_assert!(turn > last[flow], "an item overtook one of its own flow");
                last[flow] = turn;
                fair.settle(charge, Duration::from_micros(micros));
            }
            prop_assert_eq!(fair.check(), Ok(()));
        }
        while let Some((_, charge)) = fair.pop() {
            fair.settle(charge, Duration::ZERO);
        }
        fair.settle(pinned, Duration::ZERO);
        prop_assert_eq!((fair.n_waiting(), fair.n_running()), (0, 0));
    }
}

#[test]
fn a_tenant_with_many_apps_gets_no_more_than_one_with_a_single_app() {
    let mut fair = Fair::default();
    let (rich, poor) = (fair.add_tenant(weight(1)), fair.add_tenant(weight(1)));
    let mut keys: Vec<_> = (0..9).map(|_| fair.add(rich, Weight::DEFAULT)).collect();
    keys.push(fair.add(poor, Weight::DEFAULT));
    for (flow, key) in keys.iter().enumerate() {
        fair.enqueue(*key, flow);
        fair.enqueue(*key, flow);
    }
    let mut served = [0_u32; 10];
    for _ in 0..1000 {
        let (flow, charge) = fair.pop().unwrap();
        served[flow] += 1;
        fair.settle(charge, FIRST_ESTIMATE);
        fair.enqueue(keys[flow], flow);
    }
    assert!((490..=510).contains(&served[9]), "{served:?}");
}

#[test]
fn a_flow_over_its_share_goes_to_the_line() {
    let mut fair = Fair::default();
    let tenant = fair.add_tenant(Weight::DEFAULT);
    let (eager, calm) = (fair.add(tenant, weight(1)), fair.add(tenant, weight(1)));
    fair.enqueue(calm, ());
    let (_, running) = fair.pop().unwrap();
    let first = fair.start_here(eager).expect("nothing was charged to it yet");
    fair.settle(first, Duration::from_micros(100));
    assert!(fair.start_here(eager).is_none(), "it is ahead of the clock");
    fair.settle(running, Duration::from_micros(150));
    fair.enqueue(calm, ());
    let (_, running) = fair.pop().unwrap();
    assert!(fair.start_here(eager).is_some(), "the clock has passed it");
    fair.settle(running, Duration::ZERO);
}

#[test]
fn a_flow_of_long_slices_is_never_run_where_requests_are_read() {
    let mut fair: Fair<()> = Fair::default();
    let tenant = fair.add_tenant(Weight::DEFAULT);
    let key = fair.add(tenant, Weight::DEFAULT);
    let charge = fair.start_here(key).unwrap();
    fair.settle(charge, Duration::from_millis(20));
    assert!(fair.start_here(key).is_none());
    // It earns the right back with short slices, in line.
    for _ in 0..50 {
        fair.enqueue(key, ());
        let ((), charge) = fair.pop().unwrap();
        fair.settle(charge, Duration::from_micros(10));
    }
    assert!(fair.start_here(key).is_some());
}

#[test]
fn a_removed_flow_ends_in_peace_and_its_key_is_given_anew() {
    let mut fair = Fair::default();
    let tenant = fair.add_tenant(Weight::DEFAULT);
    let key = fair.add(tenant, Weight::DEFAULT);
    fair.enqueue(key, 1);
    fair.remove(key);
    assert_ne!(fair.add(tenant, Weight::DEFAULT), key);
    let (item, charge) = fair.pop().unwrap();
    assert_eq!(item, 1);
    fair.settle(charge, Duration::ZERO);
    assert_eq!(fair.add(tenant, Weight::DEFAULT), key);
}
