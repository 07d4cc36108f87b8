//! How many replicas a planner may move by now that could stay where they are: each that starts elsewhere
//! costs a download, a compilation or a first call, so many at once are a load of their own.
//! A host that has just come to plan knows nothing of what another one moved. Plans nothing.

use std::collections::VecDeque;
use std::time::Duration;

/// Moves are counted over so long.
const MINUTE: Duration = Duration::from_secs(60);

/// Moves of the last minute.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Most in any minute.
    a_minute: u32,
    moved: VecDeque<(Duration, u32)>,
}

impl Pace {
    /// No more than so many in any minute.
    #[must_use]
    pub fn new(a_minute: u32) -> Self {
        Self { a_minute, moved: VecDeque::new() }
    }

    /// How many may move now.
    pub fn left(&mut self, now: Duration) -> u32 {
        while self.moved.pop_front_if(|(at, _)| now.saturating_sub(*at) >= MINUTE).is_some() {}
        let moved = self.moved.iter().fold(0, |sum: u32, (_, n)| sum.saturating_add(*n));
        self.a_minute.saturating_sub(moved)
    }

    /// Notes that so many were moved.
    pub fn moved(&mut self, now: Duration, n_moves: u32) {
        if n_moves > 0 {
            self.moved.push_back((now, n_moves));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_minute_has_more_moves_than_it_may(
            a_minute in 1u32..20, asks in proptest::collection::vec((0u64..20, 0u32..10), 1..100),
        ) {
            let mut pace = Pace::new(a_minute);
            let (mut now, mut moves) = (Duration::ZERO, Vec::new());
            for (pause, wanted) in asks {
                now += Duration::from_secs(pause);
                let n_moves = wanted.min(pace.left(now));
                pace.moved(now, n_moves);
                moves.push((now, n_moves));
                let lately = moves.iter().filter(|(at, _)| now - *at < MINUTE);
                prop_assert!(lately.map(|(_, n)| n).sum::<u32>() <= a_minute);
            }
            prop_assert_eq!(pace.left(now + MINUTE), a_minute, "and after a minute all may move again");
        }
    }
}
