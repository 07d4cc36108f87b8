//! How much may be asked again of a fleet that has too much to do. A refusal of a full host is no reason
//! to ask all others: that multiplies the load just when there is too much of it. So what is asked
//! again is a share of what is asked at all, as Finagle's retry budgets have it.
//! Knows no clock, and does not say who is asked.

/// Hosts that are asked for one call, the first included.
pub const TRIES: usize = 2;

/// Tokens of which each call adds a share of one, and each call that is asked again after a refusal for
/// want of room takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket(u32);

impl Bucket {
    /// Parts of a token.
    const TOKEN: u32 = 5;
    /// What a call adds: a fifth of a token, so that one of five calls may be asked again.
    const DEPOSIT: u32 = 1;
    /// A hundred tokens: a burst of refusals while a host starts, and nothing that hurts a fleet.
    const MOST: u32 = 100 * Self::TOKEN;

    /// With what a call adds.
    #[must_use]
    pub fn deposit(self) -> Self {
        Self(self.0.saturating_add(Self::DEPOSIT).min(Self::MOST))
    }

    /// With what asking again takes; `None` where there is not enough.
    #[must_use]
    pub fn take(self) -> Option<Self> {
        self.0.checked_sub(Self::TOKEN).map(Self)
    }

    /// As a number that can be kept in an atomic.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// From such a number.
    #[must_use]
    pub fn new(parts: u32) -> Self {
        Self(parts.min(Self::MOST))
    }
}

impl Default for Bucket {
    fn default() -> Self {
        Self(Self::MOST)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_refused_for_long_is_asked_again_once_in_five_calls() {
        let mut bucket = Bucket::default();
        let mut n_again = 0;
        for _ in 0..10_000 {
            bucket = bucket.deposit();
            if let Some(left) = bucket.take() {
                (bucket, n_again) = (left, n_again + 1);
            }
        }
        assert!((2_000..=2_130).contains(&n_again), "{n_again}");
    }

    proptest! {
        #[test]
        fn never_more_is_asked_again_than_a_hundred_and_a_fifth(
            refusals in proptest::collection::vec(any::<bool>(), 0..2_000),
        ) {
            let (mut bucket, mut n_again) = (Bucket::default(), 0);
            for (n_calls, is_refused) in (1..).zip(refusals) {
                bucket = Bucket::new(bucket.deposit().get());
                if is_refused && let Some(left) = bucket.take() {
                    (bucket, n_again) = (left, n_again + 1);
                }
                prop_assert!(n_again <= 100 + n_calls / 5);
            }
        }
    }
}
