//! Fills machines with loads, one machine after the other.
//! Knows of one group and one preferred kind; which kind is best is for the caller to compare.

use super::{Group, MachineKind, MachineRoom, PackItem, PackedMachine};

/// A load while machines are filled.
#[derive(Clone, Copy, Debug)]
struct Rest {
    load: usize,
    need: MachineRoom,
    left: u32,
}

/// Places every replica of the loads, of which each fits some kind, on machines of the kind
/// `base` where it fits that, then exchanges each machine for the cheapest that holds as much.
pub(super) fn fill(
    loads: &[(usize, &PackItem)],
    kinds: &[MachineKind],
    base: &MachineKind,
) -> Vec<PackedMachine> {
    let mut rests: Vec<Rest> = loads.iter().map(|&(index, load)| Rest::new(index, load)).collect();
    // Large ones first, since what is left when machines are nearly full is for small ones.
    rests.sort_by_key(|rest| {
        let size = rest.need.shares(base.room).into_iter().max();
        (std::cmp::Reverse(size), rest.load)
    });
    let mut machines = Vec::new();
    loop {
        rests.retain(|rest| rest.left > 0);
        let Some(first) = rests.first() else { break };
        // What does not fit the preferred kind is largest of all, so it comes first.
        let misfit = !base.room.holds(first.need);
        let kind = if misfit { cheapest(kinds, first.need).unwrap_or(base) } else { base };
        let mut holds = Vec::new();
        let mut free = kind.room;
        if misfit {
            rests.iter_mut().take(1).for_each(|rest| rest.put(&mut holds, &mut free));
        }
        while let Some(rest) = best(&mut rests, &holds, free, kind.room) {
            rest.put(&mut holds, &mut free);
        }
        if holds.is_empty() {
            break;
        }
        holds.sort_unstable();
        let used = kind.room.minus(free);
        let kind = cheapest(kinds, used).unwrap_or(kind);
        let index = kinds.iter().position(|other| other == kind).unwrap_or_default();
        machines.push(PackedMachine { kind: index, group: Group::default(), holds, used });
    }
    machines
}

impl Rest {
    fn new(index: usize, load: &PackItem) -> Self {
        Self { load: index, need: load.need, left: load.replicas }
    }

    fn put(&mut self, holds: &mut Vec<(usize, u32)>, free: &mut MachineRoom) {
        holds.push((self.load, 1));
        self.left = self.left.saturating_sub(1);
        *free = free.minus(self.need);
    }
}

/// What goes best with the room that is free: much of what there is much of. On real fleets this
/// takes fewer machines than first fit or best fit, since neither resource is left over.
fn best<'r>(
    rests: &'r mut [Rest],
    holds: &[(usize, u32)],
    free: MachineRoom,
    whole: MachineRoom,
) -> Option<&'r mut Rest> {
    let [free_cpu, free_memory] = free.shares(whole);
    let mut best: Option<(u128, &mut Rest)> = None;
    for rest in rests {
        // A host runs one replica of an app, which serves any number of calls at once.
        let is_held = holds.iter().any(|(load, _)| *load == rest.load);
        if rest.left == 0 || is_held || !free.holds(rest.need) {
            continue;
        }
        let [cpu, memory] = rest.need.shares(whole);
        let score = cpu * free_cpu + memory * free_memory;
        if best.as_ref().is_none_or(|(most, _)| score > *most) {
            best = Some((score, rest));
        }
    }
    best.map(|(_, rest)| rest)
}

/// The cheapest kind that holds this much, the first of equally cheap ones.
fn cheapest(kinds: &[MachineKind], need: MachineRoom) -> Option<&MachineKind> {
    let fitting = kinds.iter().filter(|kind| kind.room.holds(need));
    fitting.min_by_key(|kind| kind.hourly.unwrap_or_default())
}
