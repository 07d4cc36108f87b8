//! A fleet packed on paper: how many machines of which kinds would hold it, and at what cost.
//!
//! [`fleet::loads`] says what there is to place, [`today::today`] where it is now, and [`pack`]
//! where it could be. Knows nothing of running hosts: it decides what to have, not what to move.

mod fill;
pub mod fleet;
mod kind;
mod kind_price;
mod room;
pub mod today;

use std::collections::BTreeMap;
use std::fmt;

pub use self::fleet::{Group, PackItem, Wishes};
pub use self::kind::{BadKind, MachineKind, Price};
pub use self::kind_price::{BadPrice, KindPrice};
pub use self::room::MachineRoom;
pub use self::today::{CurrentMachine, Today};
use crate::units::{Bytes, Cpu};

/// One machine of the packed fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedMachine {
    /// The index of its kind.
    pub kind: usize,
    /// What it is for.
    pub group: Group,
    /// Which loads are on it, by their index, and how many replicas of each.
    pub holds: Vec<(usize, u32)>,
    /// What they need together; never more than its kind has.
    pub used: MachineRoom,
}

/// A load that fits no kind of machine, so that none of its replicas was placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// The index of the load.
    pub load: usize,
    /// What the kinds lack for it.
    pub lacks: Lack,
}

/// Why a load fits no machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// No kind has as much processor time; this is the most one has.
    Cpu(MachineRoom, MachineRoom),
    /// No kind has as much memory.
    Memory(MachineRoom, MachineRoom),
    /// Some kind has enough of each, and none of both.
    Both(MachineRoom),
}

/// The packed fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packing {
    /// The machines, group by group.
    pub machines: Vec<PackedMachine>,
    /// What is on none of them.
    pub unplaced: Vec<Unpacked>,
    /// No packing of what was placed has fewer machines than this.
    pub least_machines: u64,
    /// No packing of what was placed costs less than this an hour.
    pub least_hourly: Price,
}

/// Places all replicas that fit any of the kinds, on as cheap a choice of machines as it finds.
///
/// Never more on a machine than it has, and never two replicas of a load on one machine, as on the
/// hosts of a fleet. Loads of different groups share none. The same input gives the same packing.
/// Takes time in proportion to the replicas times the loads of a group.
#[must_use]
pub fn pack(loads: &[PackItem], kinds: &[MachineKind]) -> Packing {
    let mut packing = Packing::default();
    let mut groups: BTreeMap<&Group, Vec<(usize, &PackItem)>> = BTreeMap::new();
    for (index, load) in loads.iter().enumerate() {
        match lack(load.need, kinds) {
            Some(lacks) => packing.unplaced.push(Unpacked { load: index, lacks }),
            None => groups.entry(&load.group).or_default().push((index, load)),
        }
    }
    for (group, loads) in groups {
        let fills = kinds.iter().map(|base| fill::fill(&loads, kinds, base));
        // The first of equal ones, which is of the kind that the operator named first.
        let best = fills.min_by_key(|machines| (hourly(machines, kinds), machines.len()));
        packing.machines.extend(best.into_iter().flatten().map(|mut machine| {
            machine.group = group.clone();
            machine
        }));
        let (machines, price) = least(&loads, kinds);
        packing.least_machines += machines;
        packing.least_hourly = packing.least_hourly.plus(price);
    }
    packing
}

/// What machines of these kinds cost an hour together; those without a price cost nothing.
#[must_use]
pub fn hourly(machines: &[PackedMachine], kinds: &[MachineKind]) -> Price {
    let prices = machines.iter().filter_map(|machine| kinds.get(machine.kind)?.hourly);
    prices.fold(Price::default(), Price::plus)
}

fn lack(need: MachineRoom, kinds: &[MachineKind]) -> Option<Lack> {
    if kinds.iter().any(|kind| kind.room.holds(need)) {
        return None;
    }
    let most = MachineRoom {
        cpu: kinds.iter().map(|kind| kind.room.cpu).max().unwrap_or_default(),
        memory: kinds.iter().map(|kind| kind.room.memory).max().unwrap_or_default(),
    };
    Some(match (need.cpu > most.cpu, need.memory > most.memory) {
        (true, _) => Lack::Cpu(need, most),
        (false, true) => Lack::Memory(need, most),
        (false, false) => Lack::Both(need),
    })
}

/// The volume bound: of each resource, all that is needed over the most one machine has, and the
/// least that so much of it costs in any kind. The larger of the two resources counts, or the load of
/// most replicas, since each takes a machine of its own.
fn least(loads: &[(usize, &PackItem)], kinds: &[MachineKind]) -> (u64, Price) {
    let total = loads.iter().fold(MachineRoom::default(), |total, (_, load)| {
        total.plus(load.need.times(load.replicas))
    });
    let of = |room: MachineRoom| [room.cpu.get_micro(), room.memory.get()];
    let replicas = loads.iter().map(|(_, load)| u64::from(load.replicas)).max();
    let (mut machines, mut price) = (replicas.unwrap_or(0), 0);
    for (at, needed) in of(total).into_iter().enumerate() {
        let has = |kind: &MachineKind| of(kind.room).get(at).copied().unwrap_or(1).max(1);
        let most = kinds.iter().map(has).max().unwrap_or(1);
        machines = machines.max(needed.div_ceil(most));
        let costs = kinds.iter().map(|kind| {
            let hourly = u128::from(kind.hourly.unwrap_or_default().get());
            u128::from(needed) * hourly / u128::from(has(kind))
        });
        price = price.max(costs.min().unwrap_or(0));
    }
    let price = Price::new(u64::try_from(price).unwrap_or(u64::MAX));
    match kinds {
        // Of one kind only whole machines can be had.
        [kind] => {
            let hourly = kind.hourly.unwrap_or_default().get();
            (machines, Price::new(hourly.saturating_mul(machines)))
        }
        _ => (machines, price),
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = |room: &MachineRoom| Bytes::mebi(room.memory.get().div_ceil(1 << 20));
        match self {
            Self::Cpu(need, most) => write!(
                f,
                "needs {} cpu, and no kind of machine has more than {}",
                Cores(need.cpu),
                Cores(most.cpu)
            ),
            Self::Memory(need, most) => write!(
                f,
                "needs {} of memory, and no kind of machine has more than {}",
                memory(need),
                memory(most)
            ),
            Self::Both(need) => write!(
                f,
                "needs {} cpu and {} of memory, and no kind of machine has both",
                Cores(need.cpu),
                memory(need)
            ),
        }
    }
}

/// Processors with as many decimals as it takes.
struct Cores(Cpu);

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milli = self.0.as_millis();
        let text = format!("{}.{:03}", milli / 1000, milli % 1000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod laws;
