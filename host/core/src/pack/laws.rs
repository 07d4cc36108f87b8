//! The laws of packing: never over what a machine has, nothing lost, never below the bound.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::sheet::Label;

fn room(cpu: u64, mebi: u64) -> MachineRoom {
    MachineRoom { cpu: Cpu::milli(cpu), memory: Bytes::mebi(mebi) }
}

fn load(index: usize, replicas: u32, need: MachineRoom, zone: &str) -> PackItem {
    PackItem {
        name: Arc::from(format!("app-{index}")),
        group: Group { zone: Label::new(zone), environment: None },
        replicas,
        asked: need,
        used: need,
        need,
        is_measured: false,
    }
}

fn kind(index: usize, room: MachineRoom, price: u64) -> MachineKind {
    let name = Label::new(&format!("kind-{index}")).unwrap();
    MachineKind { name, room, hourly: Some(Price::new(price)) }
}

fn some_loads() -> impl Strategy<Value = Vec<PackItem>> {
    let one = (1..6_u32, 0..3000_u64, 1..6000_u64, prop_oneof!["", "a", "b"]);
    proptest::collection::vec(one, 0..40).prop_map(|loads| {
        loads
            .into_iter()
            .enumerate()
            .map(|(index, (replicas, cpu, mebi, zone))| {
                load(index, replicas, room(cpu, mebi), &zone)
            })
            .collect()
    })
}

fn some_kinds() -> impl Strategy<Value = Vec<MachineKind>> {
    let one = (500..4000_u64, 512..8192_u64, 0..200_000_u64);
    proptest::collection::vec(one, 1..4).prop_map(|kinds| {
        let kinds = kinds.into_iter().enumerate();
        kinds.map(|(index, (cpu, mebi, price))| kind(index, room(cpu, mebi), price)).collect()
    })
}

/// What does not hold of a packing, if anything.
fn check(loads: &[PackItem], kinds: &[MachineKind], packing: &Packing) -> Result<(), String> {
    let mut placed = vec![0; loads.len()];
    for machine in &packing.machines {
        let used = machine
            .holds
            .iter()
            .fold(MachineRoom::default(), |used, (load, n)| used.plus(loads[*load].need.times(*n)));
        if used != machine.used || !kinds[machine.kind].room.holds(used) {
            return Err(format!("a machine holds more than it has: {machine:?}"));
        }
        for (index, count) in &machine.holds {
            let load = &loads[*index];
            if load.group != machine.group {
                return Err(format!("{load:?} is among another group: {machine:?}"));
            }
            if *count != 1 {
                return Err(format!("two replicas of {load:?} are on one machine"));
            }
            placed[*index] += count;
        }
    }
    for (index, load) in loads.iter().enumerate() {
        let is_unplaced = packing.unplaced.iter().any(|unplaced| unplaced.load == index);
        let fits = kinds.iter().any(|kind| kind.room.holds(load.need));
        let expected = if fits { load.replicas } else { 0 };
        if placed[index] != expected || is_unplaced == fits {
            return Err(format!("{load:?} is placed {} times", placed[index]));
        }
    }
    if packing.least_machines > u64::try_from(packing.machines.len()).unwrap() {
        return Err(format!("fewer machines than {} can do", packing.least_machines));
    }
    if packing.least_hourly > hourly(&packing.machines, kinds) {
        return Err(format!("cheaper than {} an hour", packing.least_hourly));
    }
    Ok(())
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_is_overfull(loads in some_loads(), kinds in some_kinds()) {
        let packing = pack(&loads, &kinds);
        prop_assert_eq!(check(&loads, &kinds, &packing), Ok(()));
    }
}

#[test]
fn loads_that_fill_machines_exactly_fill_them() {
    let loads: Vec<PackItem> = [(1, 1500, 1024), (1, 500, 7168), (1, 1000, 4096), (1, 1000, 4096)]
        .into_iter()
        .enumerate()
        .map(|(index, (replicas, cpu, mebi))| load(index, replicas, room(cpu, mebi), ""))
        .collect();
    let packing = pack(&loads, &[kind(0, room(2000, 8192), 96_000)]);
    assert_eq!((packing.machines.len(), packing.least_machines), (2, 2));
}

#[test]
fn a_machine_that_is_half_empty_is_had_smaller() {
    let loads = [
        load(0, 1, room(3000, 100), ""),
        load(1, 1, room(1000, 100), ""),
        load(2, 1, room(500, 100), ""),
    ];
    let kinds = [kind(0, room(4000, 8192), 200), kind(1, room(1000, 2048), 60)];
    let packing = pack(&loads, &kinds);
    let mut kinds_had: Vec<usize> = packing.machines.iter().map(|machine| machine.kind).collect();
    kinds_had.sort_unstable();
    assert_eq!(kinds_had, [0, 1]);
}

#[test]
fn what_fits_nowhere_says_what_is_lacking() {
    let loads = [
        load(0, 2, room(5000, 100), ""),
        load(1, 1, room(100, 9000), ""),
        load(2, 1, room(3000, 8000), ""),
    ];
    let kinds = [kind(0, room(4000, 1024), 1), kind(1, room(1000, 8192), 1)];
    let packing = pack(&loads, &kinds);
    let said: Vec<String> =
        packing.unplaced.iter().map(|unplaced| unplaced.lacks.to_string()).collect();
    assert_eq!(
        said,
        [
            "needs 5 cpu, and no kind of machine has more than 4",
            "needs 9000MiB of memory, and no kind of machine has more than 8GiB",
            "needs 3 cpu and 8000MiB of memory, and no kind of machine has both",
        ]
    );
}
