//! The laws of a queue for each core, and what it gives beside one queue for all.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::cores::{Cores, Load, Plan};
use super::{LONGEST, MICRO};
use crate::fair::{Common, EXCHANGE, FIRST_ESTIMATE, Fair};
use crate::units::Weight;

const MILLI: u64 = 1000 * MICRO;

fn interval() -> u64 {
    u64::try_from(EXCHANGE.as_nanos()).unwrap()
}

fn busy(tenant: usize, weight: u32, homes: Vec<usize>, slice: u64) -> Load {
    Load { tenant, weight, homes, slice, pause: 0, moves: true, span: (0, u64::MAX) }
}

/// What two flows were given for their weights, and by how much that differs.
fn lag(cores: &Cores, loads: &[Load], (one, other): (usize, usize)) -> u64 {
    let given = |flow: usize| cores.served[flow] / u64::from(loads[flow].weight);
    given(one).abs_diff(given(other))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Whoever always has enough to keep all cores busy gets by its weight, wherever its calls come
    /// in, of any weight: each core may be wrong until it has looked at all others once.
    #[test]
    fn shares_hold_wherever_calls_come_in(
        n_cores in 1..7_usize,
        flows in proptest::collection::vec(
            (1..=100_u32, 40..=LONGEST / MICRO, 0..9_usize, 1..9_usize, any::<bool>()),
            2..6,
        ),
    ) {
        let loads: Vec<Load> = flows.into_iter().map(|(weight, micros, first, spread, moves)| {
            let homes = (0..4 * n_cores).map(|i| first + i % spread).collect();
            Load { moves, ..busy(0, weight, homes, micros * MICRO) }
        }).collect();
        let mut cores = Cores::new(n_cores, &[1], loads.clone());
        cores.run(150 * MILLI);
        cores.check();
        let n = n_cores as u64;
        for one in 0..loads.len() {
            for other in 0..one {
                let least = u64::from(loads[one].weight.min(loads[other].weight));
                // As CPU time of the lighter one: what each core gave until it had looked at all,
                // what is not told yet, and the slices that run.
                let bound = ((n * n + 2 * n) * interval() + 2 * n * LONGEST) / least;
                let lag = lag(&cores, &loads, (one, other));
                prop_assert!(lag <= bound, "{lag} over {bound}, {:?}", cores.served);
            }
        }
    }

    /// The same between tenants, who have any number of flows.
    #[test]
    fn tenants_shares_hold_wherever_calls_come_in(
        n_cores in 1..7_usize,
        n_flows in 1..20_usize,
        weight in 1..=10_u32,
        first in 0..9_usize,
    ) {
        let many = (0..n_flows).map(|i| busy(0, 1, vec![first + i; 2 * n_cores], 50 * MICRO));
        let one = busy(1, 1, vec![first; 2 * n_cores], 70 * MICRO);
        let loads: Vec<Load> = many.chain([one]).collect();
        let mut cores = Cores::new(n_cores, &[1, weight], loads);
        cores.run(30 * MILLI);
        let before = cores.served.clone();
        cores.run(130 * MILLI);
        cores.check();
        let given: Vec<u64> = cores.served.iter().zip(&before).map(|(now, was)| now - was).collect();
        let (single, many) = (given[n_flows], given[..n_flows].iter().sum::<u64>());
        let lag = many.abs_diff(single / u64::from(weight));
        let bound = 3 * n_cores as u64 * interval() + 2 * n_cores as u64 * LONGEST;
        prop_assert!(lag <= bound, "{many} beside {single}, which weighs {weight}");
    }

    /// Any pattern of arrivals: no core is idle for longer than an exchange while something waits,
    /// and nothing is lost or runs twice.
    #[test]
    fn no_core_idles_while_something_waits(
        n_cores in 1..7_usize,
        flows in proptest::collection::vec(
            (0..3_usize, 1..=100_u32, proptest::collection::vec(0..9_usize, 1..20),
             1..=LONGEST / MICRO, 0..2000_u64, any::<bool>(), 0..50_u64), 1..6),
    ) {
        let loads = flows.into_iter().map(|(tenant, weight, homes, micros, pause, moves, from)| Load {
            tenant, weight, homes, slice: micros * MICRO, pause: pause * MICRO, moves,
            span: (from * MILLI, u64::MAX),
        }).collect();
        let mut cores = Cores::new(n_cores, &[1, 5, 100], loads);
        cores.run(100 * MILLI);
        cores.check();
        prop_assert!(cores.longest_idle <= interval(), "{} ns", cores.longest_idle);
    }

    /// Who slept has no more than who did not, from when it comes.
    #[test]
    fn sleep_earns_nothing_on_many_cores(
        n_cores in 1..7_usize,
        late in 1..200_u64,
        slice in 20..=LONGEST / MICRO,
        first in 0..9_usize,
    ) {
        let homes = |at: usize| (0..2 * n_cores).map(|i| at + i % 3).collect::<Vec<_>>();
        let steady = busy(0, 1, homes(first), 50 * MICRO);
        let from = late * MILLI;
        let sleeper = Load { span: (from, u64::MAX), ..busy(0, 1, homes(0), slice * MICRO) };
        let mut cores = Cores::new(n_cores, &[1], vec![steady, sleeper]);
        cores.run(from);
        let before = cores.served.clone();
        cores.run(from + 50 * MILLI);
        let steady = cores.served[0] - before[0];
        let sleeper = cores.served[1] - before[1];
        let bound = 3 * n_cores as u64 * interval() + 2 * n_cores as u64 * LONGEST;
        prop_assert!(sleeper <= steady + bound, "{sleeper} beside {steady}");
    }
}

/// What each core got wrong at first is made up for, and does not grow again.
#[test]
fn unfairness_does_not_grow_with_time() {
    let loads = vec![
        busy(0, 49, vec![0; 32], 92 * MICRO),
        Load { moves: false, ..busy(0, 1, (0..32).collect(), 120 * MICRO) },
    ];
    let mut cores = Cores::new(8, &[1], loads.clone());
    for hundreds in 5..15 {
        cores.run(hundreds * 100 * MILLI);
        let lag = lag(&cores, &loads, (0, 1));
        assert!(lag <= 3 * 8 * interval(), "{lag} ns after {hundreds}00 ms");
    }
}

/// Found by the law above: of two who were behind, a core stayed with the one that it found last, so a heavy
/// flow with all its calls on one core got three quarters of what was its due, for good.
#[test]
fn of_several_who_are_behind_the_furthest_is_served() {
    let flow = |weight, micros, homes: &[usize]| Load {
        moves: false,
        ..busy(0, weight, homes.iter().copied().cycle().take(20).collect(), micros * MICRO)
    };
    let loads = vec![flow(7, 67, &[0]), flow(1, 40, &[0, 1, 2]), flow(38, 40, &[3])];
    let mut cores = Cores::new(5, &[1], loads.clone());
    for end in [150, 300] {
        cores.run(end * MILLI);
        let lag = lag(&cores, &loads, (0, 2));
        assert!(lag <= interval(), "{lag} ns after {end} ms");
    }
}

/// What waits on a core that serves somebody else is served by those who serve its flow.
#[test]
fn what_waits_beside_somebody_who_is_behind_is_taken_elsewhere() {
    // The second flow has all its calls on core 0 and always less than the first one.
    let loads = vec![
        Load { moves: false, ..busy(0, 1, vec![0, 0, 1, 1], 20 * MICRO) },
        Load { moves: false, ..busy(0, 1, vec![0, 0, 0, 0], 20 * MICRO) },
    ];
    let mut cores = Cores::new(2, &[1], loads);
    cores.run(100 * MILLI);
    assert!(cores.longest_wait <= 4 * interval(), "{} ns", cores.longest_wait);
}

/// 64 cores, 63 apps that could use all of them, and one with few calls.
#[test]
fn a_small_app_beside_many_greedy_ones_gets_what_it_asks_for() {
    const CORES: usize = 64;
    let greedy = |flow: usize| busy(0, 1, (0..2 * CORES).map(|i| flow + i).collect(), 50 * MICRO);
    // Sixteen callers who pause for four times what a call takes: three cores' work, were nobody else
    // there. A sixty-fourth of the host is one core.
    let small =
        Load { pause: 80 * MICRO, moves: false, ..busy(0, 1, (0..16).collect(), 20 * MICRO) };
    // The same app with so few callers that it asks for less than its share.
    let tiny = Load { homes: (0..4).collect(), ..small.clone() };
    for (asks, load) in [(1.0, small), (0.8, tiny)] {
        let loads: Vec<Load> = (0..63).map(greedy).chain([load]).collect();
        let mut cores = Cores::new(CORES, &[1], loads);
        cores.run(20 * MILLI);
        let before = cores.served[63];
        cores.run(60 * MILLI);
        cores.check();
        let got = (cores.served[63] - before) as f64 / (40 * MILLI) as f64;
        println!("asks for {asks} cores, its share being one: {got:.2}");
        assert!(got >= 0.6 * asks, "{got} cores of {asks}");
    }
}

/// 64 cores, and tenants of weights one and three, the lighter of which has more apps and more calls.
#[test]
fn tenants_of_unequal_weight_share_64_cores() {
    const CORES: usize = 64;
    let light =
        (0..8).map(|flow| busy(0, 1, (0..4 * CORES).map(|i| flow + i).collect(), 60 * MICRO));
    let heavy =
        (0..2).map(|flow| busy(1, 1, (0..2 * CORES).map(|i| flow + i).collect(), 40 * MICRO));
    let mut cores = Cores::new(CORES, &[1, 3], light.chain(heavy).collect());
    cores.run(20 * MILLI);
    let before = cores.served.clone();
    cores.run(60 * MILLI);
    cores.check();
    let given: Vec<u64> = cores.served.iter().zip(&before).map(|(now, was)| now - was).collect();
    let (light, heavy) = (given[..8].iter().sum::<u64>(), given[8..].iter().sum::<u64>());
    let share = heavy as f64 / (light + heavy) as f64;
    println!("the heavier tenant has {:.1} % of 64 cores", share * 100.0);
    assert!((share - 0.75).abs() <= 0.02, "{share}");
    let busy = (light + heavy) as f64 / (40 * MILLI * CORES as u64) as f64;
    assert!(busy >= 0.99, "{busy} of the cores");
}

/// A look at a queue that others have told something sorts again only those that come first.
#[test]
fn what_a_take_costs_does_not_grow_with_the_cores() {
    let mut per_slice = Vec::new();
    for n_cores in [2, 8, 32] {
        let homes = |flow: usize| (0..4 * n_cores).map(|i| flow + i).collect();
        let loads = (0..12).map(|flow| busy(flow % 3, 1, homes(flow), 20 * MICRO)).collect();
        let mut cores = Cores::new(n_cores, &[1, 1, 3], loads);
        cores.run(30 * MILLI);
        per_slice.push(cores.n_sorted() as f64 / cores.n_slices as f64);
    }
    println!("sorted again for each slice on 2, 8 and 32 cores: {per_slice:.2?}");
    assert!(per_slice.iter().all(|sorted| *sorted <= 3.0), "{per_slice:?}");
}

/// How evenly shares are given: 1 when all are the same (Jain, Chiu and Hawe, 1984).
fn evenness(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    sum * sum / (squares * f64::from(u32::try_from(shares.len()).unwrap()))
}

/// What a host gives with a queue for each core and with one for all, whose lock a call holds as long
/// as was measured. `--nocapture` shows the figures.
#[test]
fn a_queue_for_each_core_serves_more_and_as_evenly_as_one_for_all() {
    /// A call, and how long it holds the lock of a queue in sum.
    const CALL: u64 = 20 * MICRO;
    const HOLD: u64 = 1_300;
    println!("cores  queues  calls/ms  of what the cores could  evenness  largest lag us  taken");
    for n_cores in [1, 2, 8, 64] {
        let end = if n_cores > 8 { 60 } else { 120 };
        let mut rates = Vec::new();
        for n_queues in [n_cores, 1] {
            // Connections lie as chance has them: more of one app on one core, none on another.
            let loads: Vec<Load> = (0..12_usize)
                .map(|flow| {
                    let weight = [1, 1, 2, 5][flow % 4];
                    let n_items = n_cores * [3, 8, 4][flow % 3];
                    let homes = (0..n_items).map(|i| i * (flow * 7 + 1) / 3 + flow).collect();
                    let slice = CALL + flow as u64 * MICRO;
                    Load { moves: false, ..busy(flow % 3, weight, homes, slice) }
                })
                .collect();
            let plan = Plan { n_cores, n_queues, hold: HOLD };
            let tenants = [1, 1, 3];
            let mut cores = Cores::planned(plan, &tenants, loads.clone());
            cores.run(20 * MILLI);
            let (before, n_before) = (cores.served.clone(), cores.n_slices);
            cores.run(end * MILLI);
            cores.check();
            let rate = (cores.n_slices - n_before) as f64 / (end - 20) as f64;
            let possible = cores.served.iter().zip(&before).map(|(now, was)| now - was).sum::<u64>()
                as f64
                / ((end - 20) * MILLI * n_cores as u64) as f64;
            let shares: Vec<f64> = (0..loads.len())
                .map(|flow| {
                    let owner = loads[flow].tenant;
                    let of_owner: u32 = loads
                        .iter()
                        .filter(|load| load.tenant == owner)
                        .map(|load| load.weight)
                        .sum();
                    let weight = f64::from(loads[flow].weight) / f64::from(of_owner)
                        * f64::from(tenants[owner]);
                    (cores.served[flow] - before[flow]) as f64 / weight
                })
                .collect();
            let most = shares.iter().fold(0.0_f64, |most, share| most.max(*share));
            let least = shares.iter().fold(f64::MAX, |least, share| least.min(*share));
            let (even, lag) = (evenness(&shares), (most - least) / 1000.0);
            println!(
                "{n_cores:5}  {n_queues:6}  {rate:8.0}  {:22.0} %  {even:8.4}  {lag:14.0}  {:4.1} %",
                possible * 100.0,
                cores.n_taken as f64 * 100.0 / cores.n_slices as f64
            );
            assert!(even > 0.97, "{even} with {n_queues} queues of {n_cores} cores");
            rates.push(possible);
        }
        assert!(rates[0] >= 0.9, "{rates:?} of what {n_cores} cores could do");
        assert!(rates[0] > rates[1] || n_cores <= 8, "{rates:?} on {n_cores} cores");
    }
}

/// While a core serves somebody elsewhere who is behind, an app that had less than that one may start.
#[test]
fn who_had_less_than_a_rival_elsewhere_starts_past_the_line() {
    let common = Arc::new(Common::default());
    let tenant = common.tenant(Weight::DEFAULT);
    let [calm, eager, rival] = [(); 3].map(|()| common.flow(&tenant, Weight::DEFAULT));
    let mut here: Fair<()> = Fair::new(common.clone());
    let mut there: Fair<()> = Fair::new(common.clone());
    let (used, now) = (Duration::from_millis(20), Duration::ZERO);
    for (flow, times) in [(&rival, 2), (&eager, 4)] {
        there.know(flow, FIRST_ESTIMATE);
        for _ in 0..times {
            there.enqueue(flow.key(), ());
            let ((), charge) = there.pop().unwrap();
            there.settle(charge, used, now);
        }
    }
    there.enqueue(rival.key(), ());
    // More than the clock, to which the calm one comes, and less than the eager one.
    there.charge(rival.key(), Duration::from_millis(10));
    for flow in [&calm, &eager] {
        here.know(flow, FIRST_ESTIMATE);
        here.enqueue(flow.key(), ());
    }
    let next = here.standing_of(eager.key()).unwrap();
    assert_eq!(there.rival(Some(&next)), Some(rival.key()), "it had less than the eager one");
    let found = there.standing_of(rival.key()).unwrap();
    let started = here.start_before(calm.key(), Some(&found), now).expect("it had none");
    here.settle(started, FIRST_ESTIMATE, now);
    // Now it had more than the rival, and than nobody here.
    here.charge(calm.key(), used * 10);
    here.charge(eager.key(), used * 20);
    assert!(here.start_before(calm.key(), Some(&found), now).is_none());
    let started = here.start_before(calm.key(), None, now).expect("nobody here had less");
    here.settle(started, FIRST_ESTIMATE, now);
    assert_eq!((here.check(), there.check()), (Ok(()), Ok(())));
}
