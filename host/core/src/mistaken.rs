//! Clients that speak TLS to a door that does not, or the other way round: how many came lately, and when the last of
//! them did.
//! Does not say what is wrong: `core::why` does.

use std::collections::VecDeque;

/// Who came the last time so many milliseconds ago counts no more.
const WITHIN: u64 = 600_000;
/// The times of as many are kept: more say no more.
pub const KEPT: usize = 20;
/// And no two that are closer than so many milliseconds: however fast they come, those that are kept span a minute.
pub const APART: u64 = 3_200;

/// Connections that began so, without a long pause between them. Times are milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistaken {
    /// How many there were since `first_at`.
    pub count: u64,
    /// The first of them.
    pub first_at: u64,
    /// When the last one came.
    pub last_at: u64,
    /// When some of the last came, the oldest first.
    pub last: VecDeque<u64>,
}

impl Mistaken {
    /// One came at this time.
    pub fn note(&mut self, now: u64) {
        if self.is_over(now) {
            *self = Self { first_at: now, ..Self::default() };
        }
        self.count += 1;
        self.last_at = self.last_at.max(now);
        if self.last.back().is_some_and(|kept| kept.saturating_add(APART) > now) {
            return;
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(now);
    }

    /// Whether none came lately.
    #[must_use]
    pub fn is_over(&self, now: u64) -> bool {
        self.count == 0 || self.last_at.saturating_add(WITHIN) < now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_long_ago_counts_no_more() {
        let mut mistaken = Mistaken::default();
        assert!(mistaken.is_over(0));
        mistaken.note(1_000_000);
        mistaken.note(1_500_000);
        assert_eq!((mistaken.count, mistaken.first_at), (2, 1_000_000));
        assert!(!mistaken.is_over(2_100_000) && mistaken.is_over(2_100_001));
        mistaken.note(3_000_000);
        assert_eq!((mistaken.count, mistaken.first_at), (1, 3_000_000));
        for n in 0..100 {
            mistaken.note(3_000_000 + n * APART);
        }
        assert_eq!((mistaken.count, mistaken.last.len()), (101, KEPT));
    }
}
