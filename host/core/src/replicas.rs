//! How many replicas an app shall have between its fewest and its most, by the load they carry.
//! Does not place them. What there are now is nearly all of its memory, so that whoever decides next comes
//! to the same; only since when fewer would do has to be kept.

use std::collections::VecDeque;
use std::time::Duration;

use crate::units::Cpu;

/// More replicas come where those there are use more than so many percent of what one is for.
pub const FULL: u64 = 80;
/// One goes where the others would then use less than so many percent. The gap between the two keeps
/// a load that hardly changes from making replicas come and go.
pub const EMPTY: u64 = 50;
/// What one replica is for where the manifest does not say: half a core, since every call on a core of
/// its own is as fast as can be.
pub const TARGET: Cpu = Cpu::milli(500);

/// Replicas go where fewer have been enough for so long, unless operators say otherwise: load that comes
/// in bursts would have them come and go, and each that comes is late by some seconds. 5 min, as
/// Kubernetes' autoscaler has it: a replica that is not needed for five minutes costs little.
pub const WINDOW: Duration = Duration::from_secs(300);

/// Since when fewer replicas than there are would do, and how many would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Low {
    /// On the clock of whoever decides.
    since: Duration,
    /// How many were wanted and when that was last so, where no more were wanted later: the first is the
    /// most of them all.
    recent: VecDeque<(Duration, u32)>,
}

/// How many there shall be, of `now` that there are, where load wants so many at this time: as many as it
/// wanted at any time in the window. `low` is kept for the app from one time to the next.
#[must_use]
pub fn settled(
    low: &mut Option<Low>,
    wanted: u32,
    now: u32,
    at: Duration,
    window: Duration,
) -> u32 {
    if wanted >= now {
        *low = None;
        return wanted;
    }
    let Low { since, recent } =
        low.get_or_insert_with(|| Low { since: at, recent: VecDeque::new() });
    while recent.pop_back_if(|(_, most)| *most <= wanted).is_some() {}
    recent.push_back((at, wanted));
    let is_old = |seen_at: Duration| at.saturating_sub(seen_at) >= window;
    while recent.len() > 1 && recent.pop_front_if(|(seen_at, _)| is_old(*seen_at)).is_some() {}
    let most = recent.front().map_or(wanted, |(_, most)| *most);
    if is_old(*since) { most.min(now) } else { now }
}

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

    #[test]
    fn replicas_go_once_fewer_were_enough_for_a_while() {
        let (mut low, second) = (None, Duration::from_secs);
        let mut settled = |at, wanted, now| settled(&mut low, wanted, now, second(at), second(30));
        assert_eq!(settled(0, 5, 3), 5, "more come at once");
        assert_eq!(settled(1, 2, 5), 5);
        assert_eq!(settled(20, 4, 5), 5);
        assert_eq!(settled(30, 1, 5), 5);
        assert_eq!(settled(31, 1, 5), 4, "as many as were needed once in that time");
        assert_eq!(settled(49, 1, 4), 4);
        assert_eq!(settled(50, 1, 4), 1, "and no later than that");
        // A burst.
        assert_eq!(settled(60, 4, 4), 4);
        assert_eq!(settled(61, 1, 4), 4);
        assert_eq!(settled(90, 1, 4), 4);
        assert_eq!(settled(91, 1, 4), 1);
        // Load that fades goes with it, and not a window for each replica.
        assert_eq!(settled(99, 4, 4), 4);
        assert_eq!(settled(100, 3, 4), 4);
        assert_eq!(settled(102, 1, 4), 4);
        assert_eq!(settled(130, 1, 4), 1);
    }

    proptest! {
        #[test]
        fn no_fewer_are_left_than_load_wanted_at_any_time_in_the_window(
            wishes in proptest::collection::vec((0u64..20, 0u32..9), 1..60), window in 0u64..90,
        ) {
            let window = Duration::from_secs(window);
            let (mut low, mut now, mut at) = (None, 3, Duration::ZERO);
            let mut wished = vec![(at, now)];
            for (pause, wanted) in wishes {
                at += Duration::from_secs(pause);
                wished.push((at, wanted));
                let next = settled(&mut low, wanted, now, at, window);
                let lately = wished.iter().filter(|(then, _)| at - *then < window);
                let most = lately.map(|(_, wanted)| *wanted).max().unwrap_or(wanted);
                prop_assert!(next >= wanted && next >= most.min(now), "{} of {}", next, most);
                // Up at once, down only after a whole window in which fewer were wanted.
                prop_assert_eq!(next > now, wanted > now);
                prop_assert!(next >= now || at >= window, "who has just begun to look waits");
                now = next;
            }
        }

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
