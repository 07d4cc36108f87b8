//! The laws of advice, and what it says in cases that people meet.

use std::num::NonZeroU32;

use proptest::prelude::*;

use super::margin::{MIN_CALLS, MIN_DAYS};
use super::*;
use crate::history::{Slot, SlotCall};
use crate::limits::Limits;
use crate::manifest::Placement;
use crate::units::{Bytes, Cpu, Fuel};

mod held_out;

fn advised(needs: &AppNeeds, limits: &Limits, placement: &Placement) -> Vec<Advice> {
    let today = needs.days.keys().last().copied().unwrap_or(0);
    let maximum = Limits::MOST;
    let app = AdvisedApp {
        limits,
        maximum: &maximum,
        placement,
        reuse: 1,
        deployed: 0,
        is_first: true,
        today,
        n_hosts: 3,
        n_silent: 0,
    };
    advise(needs, &app)
}

fn of(needs: &AppNeeds, key: AdviceKey) -> Advice {
    let all = advised(needs, &Limits::default(), &Placement::default());
    *all.iter().find(|advice| advice.key == key).unwrap()
}

/// An app that needs the same on each day.
fn steady(n_days: u32) -> AppNeeds {
    let day = DayNeeds {
        calls: 500,
        fuel: 5_000_000,
        memory: 3 << 20,
        latency_us: 40_000,
        cpu_hour_us: 36_000_000,
        held: 10 << 20,
        ..DayNeeds::default()
    };
    AppNeeds { days: (0..n_days).map(|place| (100 + place, day)).collect() }
}

#[test]
fn little_history_gives_no_advice_and_says_so() {
    for needs in [AppNeeds::default(), steady(1), steady(6)] {
        for advice in advised(&needs, &Limits::default(), &Placement::default()) {
            assert_eq!(advice.advised, None, "{advice:?}");
            let text = advice.reason.to_string();
            assert!(text.starts_with("too little history"), "{text}");
        }
    }
}

#[test]
fn a_week_of_calls_far_below_the_limits_lowers_them() {
    let needs = steady(7);
    let memory = of(&needs, AdviceKey::Memory);
    assert_eq!(memory.advised, Some(12 << 20));
    assert_eq!(memory.margin_percent, Some(400));
    assert_eq!((memory.calls, memory.days, memory.risk_per_million), (3_500, 7, Some(858)));
    assert_eq!(of(&needs, AdviceKey::Fuel).advised, Some(LEAST.0));
    assert_eq!(of(&needs, AdviceKey::Timeout).advised, Some(LEAST.1));
    assert_eq!(of(&needs, AdviceKey::ReservedCpu).advised, Some(11));
    assert_eq!(of(&needs, AdviceKey::ReservedMemory).advised, Some(12 << 20));
}

/// What no advice goes below: fuel, and milliseconds.
const LEAST: (u64, u64) = (100_000_000, 1_000);

#[test]
fn calls_before_the_deployment_count_as_seen_and_not_as_known() {
    let mut needs = steady(9);
    needs.days.get_mut(&100).unwrap().memory = 60 << 20;
    let (limits, placement) = (Limits::default(), Placement::default());
    let of_deployed = |deployed| {
        let (today, n_hosts) = (108, 1);
        let maximum = &Limits::MOST;
        let app = AdvisedApp {
            limits: &limits,
            maximum,
            placement: &placement,
            reuse: 1,
            deployed,
            is_first: false,
            today,
            n_hosts,
            n_silent: 0,
        };
        advise(&needs, &app).first().copied().unwrap()
    };
    assert!(matches!(of_deployed(104).reason, AdviceReason::TooLittle { days: 5, .. }));
    let since = of_deployed(101);
    assert_eq!((since.seen, since.advised, since.days), (60 << 20, None, 8));
}

#[test]
fn calls_that_fail_by_a_limit_double_it_or_are_named_as_running_away() {
    let mut needs = steady(7);
    let bad = needs.days.get_mut(&103).unwrap();
    (bad.out_of_memory, bad.memory) = (4, 128 << 20);
    let memory = of(&needs, AdviceKey::Memory);
    assert_eq!((memory.advised, memory.reason), (None, AdviceReason::RunsAway(4)));
    for day in needs.days.values_mut() {
        day.memory = day.memory.max(90 << 20);
    }
    let memory = of(&needs, AdviceKey::Memory);
    assert_eq!((memory.advised, memory.reason), (Some(256 << 20), AdviceReason::Failed(4)));
    // Where all days have such calls, none shows what the others need.
    for day in needs.days.values_mut() {
        (day.timed_out, day.latency_us) = (1, 30_000_000);
    }
    assert_eq!(of(&needs, AdviceKey::Timeout).advised, Some(60_000));
}

#[test]
fn few_calls_on_days_without_failures_make_no_call_run_away() {
    let with_clean = |calls| {
        let mut needs = steady(7);
        for (day, did) in &mut needs.days {
            (did.out_of_memory, did.memory) = (4, 128 << 20);
            if *day == 103 {
                (did.calls, did.out_of_memory, did.memory) = (calls, 0, 3 << 20);
            }
        }
        of(&needs, AdviceKey::Memory).reason
    };
    assert_eq!(with_clean(1), AdviceReason::Failed(24));
    assert_eq!(with_clean(MIN_CALLS - 1), AdviceReason::Failed(24));
    assert_eq!(with_clean(MIN_CALLS), AdviceReason::RunsAway(24));
}

#[test]
fn calls_that_failed_before_the_deployment_raise_nothing_again() {
    let mut needs = steady(9);
    let bad = needs.days.get_mut(&101).unwrap();
    (bad.out_of_memory, bad.busy) = (4, 7);
    let (limits, placement) = (Limits::default(), Placement::default());
    let (maximum, today, n_hosts) = (&Limits::MOST, 108, 3);
    let memory = |deployed, is_first| {
        let (limits, placement) = (&limits, &placement);
        let n_silent = 0;
        let app = AdvisedApp {
            limits,
            maximum,
            placement,
            reuse: 1,
            deployed,
            is_first,
            today,
            n_hosts,
            n_silent,
        };
        let all = advise(&needs, &app);
        let is_busy = all.iter().any(|advice| matches!(advice.reason, AdviceReason::Busy(_)));
        (all.first().unwrap().reason, is_busy)
    };
    assert_eq!(memory(101, false), (AdviceReason::FailedBefore(4), false));
    assert_eq!(memory(101, true), (AdviceReason::RunsAway(4), true));
    assert_eq!(memory(100, false), (AdviceReason::RunsAway(4), true));
}

#[test]
fn more_memory_is_not_advised_where_an_instance_may_keep_it_from_call_to_call() {
    let mut needs = steady(8);
    needs.days.values_mut().for_each(|day| (day.out_of_memory, day.memory) = (4, 120 << 20));
    let (limits, placement) = (Limits::default(), Placement::default());
    let of_reuse = |reuse| {
        let app = AdvisedApp {
            limits: &limits,
            maximum: &Limits::MOST,
            placement: &placement,
            reuse,
            deployed: 0,
            is_first: true,
            today: 107,
            n_hosts: 1,
            n_silent: 0,
        };
        let all = advise(&needs, &app);
        let memory = all.iter().find(|advice| advice.key == AdviceKey::Memory).unwrap();
        (memory.advised, memory.reason)
    };
    assert_eq!(of_reuse(1), (Some(256 << 20), AdviceReason::Failed(32)));
    assert_eq!(of_reuse(100), (None, AdviceReason::FailedReused(32)));
    assert!(AdviceReason::FailedReused(32).to_string().contains("[instance] reuse"));
}

#[test]
fn while_a_host_is_silent_nothing_is_lowered_and_what_fails_is_raised() {
    let mut needs = steady(8);
    needs.days.values_mut().for_each(|day| day.timed_out = 1);
    let (limits, placement) = (Limits::default(), Placement::default());
    let app = AdvisedApp {
        limits: &limits,
        maximum: &Limits::MOST,
        placement: &placement,
        reuse: 1,
        deployed: 0,
        is_first: true,
        today: 107,
        n_hosts: 3,
        n_silent: 1,
    };
    for advice in advise(&needs, &app) {
        match advice.key {
            AdviceKey::Timeout => assert_eq!(advice.advised, Some(60_000)),
            _ => assert_eq!((advice.advised, advice.reason), (None, AdviceReason::Silent(1))),
        }
    }
}

#[test]
fn refused_calls_ask_for_replicas_while_there_are_hosts_and_then_for_concurrency() {
    let mut needs = steady(1);
    needs.days.get_mut(&100).unwrap().busy = 9;
    let advice = |max, concurrency| {
        let placement = Placement { max, ..Placement::default() };
        let limits = Limits { concurrency, ..Limits::default() };
        let all = advised(&needs, &limits, &placement);
        let is_busy =
            |reason| matches!(reason, AdviceReason::Busy(9) | AdviceReason::BusyAtMost(9));
        let found = all.iter().find(|advice| is_busy(advice.reason)).unwrap();
        (found.key, found.advised, found.reason.to_string())
    };
    let usual = Limits::default().concurrency;
    let (key, replicas, why) = advice(1, usual);
    assert_eq!((key, replicas), (AdviceKey::MostReplicas, Some(2)));
    assert!(why.starts_with("9 calls were refused because as many ran as may; "), "{why}");
    assert_eq!(advice(2, usual).1, Some(3));
    let (key, at_once, _) = advice(3, usual);
    assert_eq!((key, at_once), (AdviceKey::Concurrency, Some(200)));
    let (key, at_once, why) = advice(3, Limits::MOST.concurrency);
    assert_eq!((key, at_once), (AdviceKey::Concurrency, None));
    assert!(why.ends_with("and this host allows no more; add hosts"), "{why}");
}

#[test]
fn a_reason_is_true_of_its_key() {
    let needs = steady(7);
    let why = |key| of(&needs, key).reason.to_string();
    let used = "the busiest hour of one host used so much, and 15 % is added";
    assert_eq!(why(AdviceKey::ReservedCpu), used);
    let held = "one host used so much at most, and 15 % is added";
    assert_eq!(why(AdviceKey::ReservedMemory), held);
    assert!(AdviceReason::Busy(1).to_string().starts_with("1 call was refused"));
}

#[test]
fn hours_are_counted_by_what_their_calls_needed() {
    let mut slot = Slot { cpu_us: 7, memory_held: 5, ..Slot::default() };
    let call = |cause, fuel, latency_us| SlotCall {
        cause,
        status: 200,
        latency_us,
        response_bytes: 0,
        fuel,
        memory_bytes: fuel,
    };
    for call in [call("answered", 10, 100), call("out_of_fuel", 90, 40), call("app_busy", 0, 999)] {
        slot.record(&call);
    }
    let mut needs = AppNeeds::default();
    needs.add_hour(48, &slot);
    needs.add_hour(50, &slot);
    let mut twice = needs.clone();
    twice.add_beside(&needs);
    let day = twice.days[&2];
    assert_eq!((day.calls, day.out_of_fuel, day.busy, day.fuel), (8, 4, 4, 90));
    assert_eq!((day.cpu_us, day.cpu_hour_us, day.held), (28, 7, 5));
    assert!((100..=105).contains(&day.latency_us), "{}", day.latency_us);
}

fn any_needs() -> impl Strategy<Value = AppNeeds> {
    let day = (
        0..20_000_u64,
        0..30_000_000_000_u64,
        0..200_u64 << 20,
        0..40_000_000_u64,
        proptest::array::uniform4(prop_oneof![8 => Just(0_u64), 1 => 1..5_u64]),
    );
    let days = proptest::collection::btree_map(0..30_u32, day, 0..20);
    (days, 0..20_u32).prop_map(|(days, shift)| {
        let days = days.into_iter().map(|(place, (calls, fuel, memory, latency_us, failed))| {
            let [out_of_fuel, out_of_memory, timed_out, busy] = failed;
            let (fuel, memory) = (fuel >> shift, memory >> (shift / 4));
            let latency_us = latency_us >> (shift / 2);
            let day = DayNeeds {
                calls,
                fuel,
                memory,
                latency_us,
                out_of_fuel,
                out_of_memory,
                timed_out,
                busy,
                held: memory * 2,
                cpu_hour_us: fuel / 10,
                ..DayNeeds::default()
            };
            (place, day)
        });
        AppNeeds { days: days.collect() }
    })
}

/// The law: what is advised would have failed no call, is well above all that was seen, and is a limit that
/// hosts take.
#[test]
fn a_limit_that_is_lowered_harms_nothing_that_was_seen() {
    proptest!(|(
        needs in any_needs(),
        memory in 1..4096_u64,
        fuel in 1_000..100_000_000_000_000_u64,
        cpu in proptest::option::of(1..5_000_u64),
    )| {
        let limits = Limits {
            memory: Bytes::mebi(memory), fuel: Fuel::new(fuel), ..Limits::default()
        };
        let placement = Placement { cpu: cpu.map(Cpu::milli), ..Placement::default() };
        for advice in advised(&needs, &limits, &placement) {
            let days = || needs.days.values();
            let Advice { key, advised: Some(value), .. } = advice else { continue };
            let (needed, failed): (u64, u64) = match key {
                AdviceKey::Memory => (
                    days().map(|day| day.memory).max().unwrap(),
                    days().map(|day| day.out_of_memory).sum(),
                ),
                AdviceKey::Fuel => (
                    days().map(|day| day.fuel).max().unwrap(),
                    days().map(|day| day.out_of_fuel).sum(),
                ),
                AdviceKey::Timeout => (
                    days().map(|day| day.latency_us.div_ceil(1000)).max().unwrap(),
                    days().map(|day| day.timed_out).sum(),
                ),
                AdviceKey::Concurrency | AdviceKey::MostReplicas => {
                    prop_assert!(Some(value) > advice.present, "{advice:?}");
                    continue;
                }
                AdviceKey::ReservedCpu | AdviceKey::ReservedMemory => {
                    prop_assert!(value >= advice.seen, "{advice:?}");
                    continue;
                }
            };
            let mut with = limits.clone();
            match key {
                AdviceKey::Memory => with.memory = Bytes::new(value),
                AdviceKey::Fuel => with.fuel = Fuel::new(value),
                _ => with.timeout = std::time::Duration::from_millis(value),
            }
            prop_assert_eq!(with.check(), []);
            if Some(value) < advice.present {
                prop_assert!(failed == 0 && value >= needed * 3, "{advice:?} for {needed}");
                prop_assert!(advice.calls >= MIN_CALLS && advice.days >= MIN_DAYS, "{advice:?}");
            } else {
                prop_assert!(failed > 0, "{advice:?}");
            }
        }
    });
}

proptest! {
    #[test]
    fn advice_that_was_taken_is_not_given_again(needs in any_needs()) {
        let (mut limits, mut placement) = (Limits::default(), Placement::default());
        // Refused calls ask for more until there are none.
        let needs = AppNeeds {
            days: needs.days.into_iter().map(|(day, did)| (day, DayNeeds {
                busy: 0, out_of_fuel: 0, out_of_memory: 0, timed_out: 0, ..did
            })).collect(),
        };
        for advice in advised(&needs, &limits, &placement) {
            let Some(value) = advice.advised else { continue };
            match advice.key {
                AdviceKey::Memory => limits.memory = Bytes::new(value),
                AdviceKey::Fuel => limits.fuel = Fuel::new(value),
                AdviceKey::Timeout => {
                    limits.timeout = std::time::Duration::from_millis(value);
                }
                AdviceKey::Concurrency => {
                    limits.concurrency = NonZeroU32::new(u32::try_from(value).unwrap()).unwrap();
                }
                AdviceKey::MostReplicas => placement.max = u32::try_from(value).unwrap(),
                AdviceKey::ReservedCpu => placement.cpu = Some(Cpu::milli(value)),
                AdviceKey::ReservedMemory => placement.memory = Some(Bytes::new(value)),
            }
        }
        for advice in advised(&needs, &limits, &placement) {
            prop_assert_eq!(advice.advised, None, "{:?}", advice);
        }
    }
}
