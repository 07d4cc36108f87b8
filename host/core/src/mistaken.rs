//! Clients that speak TLS to a door that does not, or the other way round: how many came lately.
//! Does not say what is wrong: `core::why` does.

/// Who came the last time so many milliseconds ago counts no more.
const WITHIN: u64 = 600_000;

/// Connections that began so, without a long pause between them. Times are milliseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mistaken {
    /// How many there were since `first_at`.
    pub count: u64,
    /// The first of them.
    pub first_at: u64,
    /// The last one.
    pub last_at: u64,
}

impl Mistaken {
    /// One came at this time.
    pub fn note(&mut self, now: u64) {
        let known = self.recent(now);
        let first_at = if known.count == 0 { now } else { known.first_at };
        *self = Self { count: known.count + 1, first_at, last_at: now };
    }

    /// What came lately; nothing where the last one was long ago.
    #[must_use]
    pub fn recent(&self, now: u64) -> Self {
        if self.last_at.saturating_add(WITHIN) < now { Self::default() } else { *self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_long_ago_counts_no_more() {
        let mut mistaken = Mistaken::default();
        assert_eq!(mistaken.recent(1_000_000).count, 0);
        mistaken.note(1_000_000);
        mistaken.note(1_500_000);
        assert_eq!(
            mistaken.recent(2_100_000),
            Mistaken { count: 2, first_at: 1_000_000, last_at: 1_500_000 }
        );
        assert_eq!(mistaken.recent(2_100_001).count, 0);
        mistaken.note(3_000_000);
        assert_eq!(mistaken, Mistaken { count: 1, first_at: 3_000_000, last_at: 3_000_000 });
    }
}
