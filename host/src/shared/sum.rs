//! A sum that threads add to and take from, without writing what all cores share each time.
//! Does not know what is summed up, nor how much it may be.

use std::sync::atomic::{AtomicI64, Ordering};

use crossbeam_utils::CachePadded;

use super::counted::Shared;
use super::sharded::Sharded;

/// A sum whose greater part is known to all, while each thread keeps what it added lately to itself: what
/// a call takes it gives back a moment later, most often on the same core.
#[derive(Debug, Default)]
pub struct Sum {
    /// Below zero where much is kept, and given back elsewhere.
    known: CachePadded<Shared<AtomicI64>>,
    /// Beside `known`; one that is given back on another core than it was taken on is below zero here.
    kept: Sharded<AtomicI64>,
    /// Most that is kept by one thread.
    step: i64,
}

impl Sum {
    /// Of nothing; all threads together keep up to `uncertain` to themselves.
    #[must_use]
    pub fn new(uncertain: u64) -> Self {
        let kept = Sharded::<AtomicI64>::default();
        let n_threads = kept.iter().count() as u64;
        // Half of it: one that adds at this moment may be above its part.
        let step = i64::try_from(uncertain / 2 / n_threads).unwrap_or(i64::MAX);
        Self { known: CachePadded::default(), kept, step }
    }

    /// Adds so much.
    pub fn add(&self, more: u64) {
        self.change(i64::try_from(more).unwrap_or(i64::MAX));
    }

    /// Takes away so much, which was added before.
    pub fn subtract(&self, less: u64) {
        self.change(-i64::try_from(less).unwrap_or(i64::MAX));
    }

    /// The sum, without what is being added or taken away at this moment.
    #[must_use]
    pub fn get(&self) -> u64 {
        let kept: i64 = self.kept.iter().map(|kept| kept.load(Ordering::SeqCst)).sum();
        let all = self.known.load(Ordering::SeqCst).saturating_add(kept);
        u64::try_from(all).unwrap_or(0)
    }

    /// Whether the sum is no more than this. Reads what other threads keep only where that matters.
    #[must_use]
    pub fn is_at_most(&self, most: u64) -> bool {
        let known = self.known.load(Ordering::SeqCst);
        let n_threads = i64::try_from(self.kept.iter().count()).unwrap_or(i64::MAX);
        let at_most = known.saturating_add(self.step.saturating_mul(n_threads));
        u64::try_from(at_most).unwrap_or(0) <= most || self.get() <= most
    }

    fn change(&self, by: i64) {
        let kept = self.kept.here();
        let now = kept.fetch_add(by, Ordering::SeqCst).saturating_add(by);
        if now.abs() <= self.step {
            return;
        }
        // In this order the sum is too large in between, and never too small. What another thread of the
        // same place moves at this moment stays right as well: what is moved twice is kept once less.
        let known = self.known.write();
        if now > 0 {
            known.fetch_add(now, Ordering::SeqCst);
            kept.fetch_sub(now, Ordering::SeqCst);
        } else {
            kept.fetch_sub(now, Ordering::SeqCst);
            known.fetch_add(now, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn nothing_is_lost_whoever_gives_back() {
        let sum = Sum::new(1 << 20);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for bytes in 0..10_000 {
                        sum.add(bytes);
                    }
                });
            }
        });
        let all = 4 * 9_999 * 5_000;
        assert_eq!(sum.get(), all);
        assert!(sum.is_at_most(all) && !sum.is_at_most(all - 1));
        // All on one thread, which has taken none of it.
        (0..40_000).for_each(|number| sum.subtract(number % 10_000));
        assert_eq!(sum.get(), 0);
        assert!(sum.is_at_most(0));
    }

    #[test]
    fn what_comes_and_goes_is_kept_by_its_thread() {
        let sum = Sum::new(1 << 20);
        sum.add(1 << 10);
        assert_eq!(sum.known.load(Ordering::SeqCst), 0);
        assert_eq!(sum.get(), 1 << 10);
        sum.subtract(1 << 10);
        sum.add(1 << 20);
        assert_eq!(sum.known.load(Ordering::SeqCst), 1 << 20);
    }

    #[test]
    fn what_is_kept_by_some_may_be_given_back_by_another() {
        let sum = Sum::new(1 << 30);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| sum.add(u64::try_from(sum.step).unwrap()));
            }
        });
        sum.subtract(4 * u64::try_from(sum.step).unwrap());
        assert_eq!(sum.get(), 0);
    }

    #[test]
    fn where_all_is_little_all_is_known() {
        let sum = Sum::new(0);
        sum.add(1);
        assert_eq!(sum.known.load(Ordering::SeqCst), 1);
        sum.subtract(1);
        assert_eq!(sum.known.load(Ordering::SeqCst), 0);
    }
}
