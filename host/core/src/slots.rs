//! Whether an app may take one more of the host's instance slots.
//! Knows no other app: what is left free stands for all of them.
//!
//! The rule is that of dynamic thresholds, by which switches share a packet buffer (Choudhury and
//! Hahne, 1998): an app may hold as many slots as a multiple of what is left free. One app alone gets
//! nearly all, and leaves some to whoever comes. Several that want more than there is come to hold
//! equal parts, by weight, as their calls end, and some is left free still. No slot is taken back from
//! a call that runs.

use crate::units::Weight;

/// How many times what is left free an app of weight 1 may hold. With 8, one app alone gets eight of
/// nine slots.
const TIMES: u64 = 8;

/// An app that asks for slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRequest {
    /// Slots that the calls of the app hold.
    pub held: u32,
    /// Slots that one more call needs; at least 1.
    pub needs: u32,
    /// Slots that nobody holds.
    pub free: u32,
    /// How large the app's share is beside others'.
    pub weight: Weight,
}

/// Whether the app may take what it asks for.
///
/// Who holds nothing is let in as long as there is a slot at all.
#[must_use]
pub fn may_take(ask: &SlotRequest) -> bool {
    let Some(left) = ask.free.checked_sub(ask.needs) else { return false };
    let most = u64::from(left) * TIMES * u64::from(ask.weight.get());
    ask.held == 0 || u64::from(ask.held) + u64::from(ask.needs) <= most
}

/// What decides who of several takes first: the least, in parts of a slot for each unit of weight.
#[must_use]
pub fn rank(held: u32, weight: Weight) -> u64 {
    (u64::from(held) << 16) / u64::from(weight.get())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What each app of these weights holds when all take whenever they may, one slot at a time.
    fn filled(weights: &[u32], slots: u32) -> Vec<u32> {
        let mut held = vec![0; weights.len()];
        loop {
            let mut order: Vec<usize> = (0..weights.len()).collect();
            order.sort_by_key(|app| rank(held[*app], Weight::new(weights[*app]).unwrap()));
            let free = slots - held.iter().sum::<u32>();
            let next = order.into_iter().find(|app| {
                let weight = Weight::new(weights[*app]).unwrap();
                may_take(&SlotRequest { held: held[*app], needs: 1, free, weight })
            });
            let Some(app) = next else { return held };
            held[app] += 1;
        }
    }

    #[test]
    fn one_app_alone_gets_nearly_all_and_leaves_some() {
        assert_eq!(filled(&[1], 900), [800]);
        assert_eq!(filled(&[1], 16), [14]);
        assert_eq!(filled(&[1], 1), [1]);
    }

    #[test]
    fn two_that_want_all_get_the_same_and_weight_counts() {
        assert_eq!(filled(&[1, 1], 170), [80, 80]);
        assert_eq!(filled(&[3, 1], 330), [240, 80]);
    }

    #[test]
    fn who_comes_late_is_let_in_and_who_held_all_takes_no_more() {
        let ask = |held, free| SlotRequest { held, needs: 1, free, weight: Weight::DEFAULT };
        assert!(may_take(&ask(0, 100)));
        assert!(may_take(&ask(0, 1)), "the last slot is for who has none");
        assert!(!may_take(&ask(0, 0)));
        assert!(!may_take(&ask(800, 100)));
        assert!(!may_take(&SlotRequest { needs: 4, ..ask(0, 3) }));
    }

    proptest! {
        #[test]
        fn nobody_passes_what_there_is_and_nobody_is_left_without_while_one_is_free(
            weights in proptest::collection::vec(1..20_u32, 1..8),
            slots in 1..400_u32,
        ) {
            let held = filled(&weights, slots);
            let free = slots - held.iter().sum::<u32>();
            prop_assert!(free == 0 || held.iter().all(|held| *held > 0), "{held:?} of {slots}");
        }

        #[test]
        fn more_weight_never_gets_less(
            weights in proptest::collection::vec(1..20_u32, 2..6),
            slots in 10..400_u32,
        ) {
            let held = filled(&weights, slots);
            for (light, heavy) in (0..weights.len()).flat_map(|a| (0..weights.len()).map(move |b| (a, b))) {
                if weights[light] <= weights[heavy] {
                    prop_assert!(held[light] <= held[heavy] + 1, "{held:?} for {weights:?}");
                }
            }
        }
    }
}
