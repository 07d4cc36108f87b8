//! Which capsules are kept: a few of each kind of failure, since the next thousand of a kind tell nothing new
//! and each costs time to make. Does not know what is in one.

use std::collections::VecDeque;
use std::time::Duration;

use crate::id::CallId;

/// So many capsules are kept of failures of one kind.
pub const MOST_OF_A_KIND: usize = 4;
/// So many kinds are kept of one app; of more, the one that was added to the longest ago gives way.
pub const MOST_KINDS: usize = 16;
/// For so long the first of a kind keep their places. Who looks for a failure of today then finds one.
pub const KEPT_FOR: Duration = Duration::from_secs(600);

/// A kind of failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureKind {
    /// The deployment.
    pub generation: u64,
    /// The cause code.
    pub cause: &'static str,
    /// Where: a number that stands for all its frames, or for what is known instead.
    pub place: u64,
}

/// The capsules of one app. `T` is what is kept of each.
#[derive(Clone, Debug)]
pub struct RetainedCapsules<T> {
    /// The kind that was added to last comes last.
    kinds: VecDeque<(FailureKind, VecDeque<Kept<T>>)>,
}

#[derive(Clone, Debug)]
struct Kept<T> {
    at: Duration,
    call: CallId,
    item: T,
}

impl<T> Default for RetainedCapsules<T> {
    fn default() -> Self {
        Self { kinds: VecDeque::new() }
    }
}

impl<T> RetainedCapsules<T> {
    /// Whether a capsule of this kind would be kept now: it need not be made otherwise. Times are since any
    /// one moment.
    #[must_use]
    pub fn has_room(&self, kind: &FailureKind, now: Duration) -> bool {
        let Some((_, kept)) = self.kinds.iter().find(|(known, _)| known == kind) else {
            return true;
        };
        let is_old = |kept: &Kept<T>| now.saturating_sub(kept.at) >= KEPT_FOR;
        kept.len() < MOST_OF_A_KIND || kept.front().is_some_and(is_old)
    }

    /// Keeps one where there is room for it; returns what went for it, or itself where there is none.
    pub fn insert(&mut self, kind: FailureKind, call: CallId, item: T, now: Duration) -> Vec<T> {
        if !self.has_room(&kind, now) {
            return vec![item];
        }
        let place = self.kinds.iter().position(|(known, _)| *known == kind);
        let (kind, mut of_kind) = place
            .and_then(|place| self.kinds.remove(place))
            .unwrap_or_else(|| (kind, VecDeque::new()));
        let mut gone = Vec::new();
        if of_kind.len() >= MOST_OF_A_KIND {
            gone.extend(of_kind.pop_front().map(|kept| kept.item));
        }
        of_kind.push_back(Kept { at: now, call, item });
        if self.kinds.len() >= MOST_KINDS {
            let oldest = self.kinds.pop_front();
            gone.extend(oldest.into_iter().flat_map(|(_, kept)| kept).map(|kept| kept.item));
        }
        self.kinds.push_back((kind, of_kind));
        gone
    }

    /// All that are kept, with their calls.
    pub fn all(&self) -> impl Iterator<Item = (CallId, &T)> {
        let all = self.kinds.iter().flat_map(|(_, kept)| kept);
        all.map(|kept| (kept.call, &kept.item))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAY: u64 = 1;
    const SHIP: u64 = 2;

    fn kind(place: u64) -> FailureKind {
        FailureKind { generation: 1, cause: "trapped", place }
    }

    fn insert(retained: &mut RetainedCapsules<u64>, place: u64, number: u64, at: u64) -> Vec<u64> {
        let call = CallId::from_u128(number.into());
        retained.insert(kind(place), call, number, Duration::from_secs(at))
    }

    #[test]
    fn four_of_a_kind_are_kept_and_the_fifth_once_the_first_is_old() {
        let mut retained = RetainedCapsules::default();
        for number in 0..4 {
            assert!(insert(&mut retained, PAY, number, number).is_empty());
        }
        assert!(!retained.has_room(&kind(PAY), Duration::from_secs(599)));
        assert_eq!(insert(&mut retained, PAY, 4, 599), [4], "it is not kept");
        assert!(insert(&mut retained, SHIP, 5, 599).is_empty(), "another kind has room of its own");
        let later = FailureKind { generation: 2, ..kind(PAY) };
        assert!(retained.has_room(&later, Duration::from_secs(599)));
        assert_eq!(insert(&mut retained, PAY, 6, 600), [0], "the first is ten minutes old");
        let kept: Vec<u64> = retained.all().map(|(_, number)| *number).collect();
        assert_eq!(kept, [5, 1, 2, 3, 6]);
    }

    proptest! {
        #[test]
        fn what_is_put_is_kept_or_given_back_and_never_too_much(
            puts in prop::collection::vec((0..40_u8, 0..2000_u64), 0..300),
        ) {
            let mut retained = RetainedCapsules::default();
            let (mut now, mut n_gone) = (0, 0);
            for (number, (place, later)) in puts.iter().enumerate() {
                now += later;
                let has_room = retained.has_room(&kind(u64::from(*place)), Duration::from_secs(now));
                let gone = insert(&mut retained, u64::from(*place), number as u64, now);
                prop_assert_eq!(gone.contains(&(number as u64)), !has_room);
                n_gone += gone.len();
                prop_assert!(retained.kinds.len() <= MOST_KINDS);
                prop_assert!(retained.kinds.iter().all(|(_, kept)| kept.len() <= MOST_OF_A_KIND));
            }
            prop_assert_eq!(retained.all().count() + n_gone, puts.len());
        }
    }
}
