//! How many replicas an app shall have between its fewest and its most, by the load they carry.
//! Does not place them, and keeps no memory: what there are now is its memory, so that whoever decides
//! next comes to the same.

use crate::units::Cpu;

/// More replicas come where those there are use more than so many percent of what one is for.
pub const FULL: u64 = 80;
/// One goes where the others would then use less than so many percent. The gap between the two keeps
/// a load that hardly changes from making replicas come and go.
pub const EMPTY: u64 = 50;
/// What one replica is for where the manifest does not say: half a core, since every call on a core of
/// its own is as fast as can be.
pub const TARGET: Cpu = Cpu::milli(500);

/// What decides the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Fewest replicas.
    pub min: u32,
    /// Most replicas.
    pub max: u32,
    /// Replicas there are.
    pub now: u32,
    /// What all of them use together.
    pub used: Cpu,
    /// What one replica is for.
    pub target: Cpu,
}

/// How many there shall be.
#[must_use]
pub fn wanted(load: &Load) -> u32 {
    let Load { min, max, now, used, target } = *load;
    let now = now.clamp(min, max.max(min));
    let fit = |percent: u64| {
        let each = (target.get_micro().max(1) * percent / 100).max(1);
        u32::try_from(used.get_micro().div_ceil(each)).unwrap_or(u32::MAX)
    };
    let (least, most) = (fit(FULL), fit(EMPTY));
    // Within [least, most] nothing changes.
    now.clamp(least.min(most), most.max(least)).clamp(min, max.max(min))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn load(now: u32, used: u64) -> Load {
        Load { min: 1, max: 10, now, used: Cpu::milli(used), target: Cpu::milli(500) }
    }

    #[test]
    fn replicas_follow_load_with_a_gap_between_up_and_down() {
        assert_eq!(wanted(&load(1, 0)), 1);
        assert_eq!(wanted(&load(1, 390)), 1);
        assert_eq!(wanted(&load(1, 410)), 2);
        assert_eq!(wanted(&load(2, 390)), 2, "does not go again at once");
        assert_eq!(wanted(&load(2, 240)), 1);
        assert_eq!(wanted(&load(1, 1_000_000)), 10);
    }

    proptest! {
        #[test]
        fn the_number_is_within_bounds_and_stays_once_it_is_reached(
            min in 1u32..50, more in 0u32..50, now in 0u32..200, used in 0u64..100_000,
            target in 1u64..5_000,
        ) {
            let load = Load {
                min, max: min + more, now, used: Cpu::milli(used), target: Cpu::milli(target),
            };
            let first = wanted(&load);
            prop_assert!((min..=min + more).contains(&first));
            prop_assert_eq!(wanted(&Load { now: first, ..load }), first);
        }
    }
}
