//! A value for each thread, on lines that no other thread writes as a rule.
//! Does not add them up: whoever reads them does.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crossbeam_utils::CachePadded;

/// Most values; where there are more cores, some share one.
const MOST: usize = 64;

/// As many values as there are cores. A thread always writes the same one, and may share it with others,
/// so they are atomics or behind locks.
#[derive(Debug)]
pub struct Sharded<T> {
    first: CachePadded<T>,
    others: Box<[CachePadded<T>]>,
}

impl<T> Sharded<T> {
    /// Values made by this.
    pub fn new(make: impl Fn() -> T) -> Self {
        let padded = |_| CachePadded::new(make());
        Self { first: padded(0), others: (1..n_shards()).map(padded).collect() }
    }

    /// The one of this thread.
    #[must_use]
    pub fn here(&self) -> &T {
        let place = number() % (self.others.len() + 1);
        place.checked_sub(1).and_then(|place| self.others.get(place)).unwrap_or(&self.first)
    }

    /// All of them, at different moments.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first).chain(&self.others).map(|padded| &**padded)
    }

    /// Bytes that all of them take, without what they own.
    #[must_use]
    pub fn size() -> usize {
        n_shards() * size_of::<CachePadded<T>>()
    }
}

impl<T: Default> Default for Sharded<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

/// One for each core.
fn n_shards() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    let cores = || thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST));
    *CORES.get_or_init(cores)
}

/// The number of this thread among those that asked for theirs.
fn number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    NUMBER.get().unwrap_or_else(|| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        NUMBER.set(Some(number));
        number
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn what_all_threads_write_is_there_in_sum() {
        let counters = Sharded::<AtomicU64>::default();
        thread::scope(|scope| {
            for _ in 0..2 * n_shards() {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counters.here().fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let sum: u64 = counters.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        assert_eq!(sum, 2000 * n_shards() as u64);
    }

    #[test]
    fn no_two_values_share_a_line() {
        let counters = Sharded::<AtomicU64>::default();
        let mut lines: Vec<usize> =
            counters.iter().map(|one| std::ptr::from_ref(one).addr() / 64).collect();
        let n_values = lines.len();
        assert_eq!(n_values * size_of::<CachePadded<u64>>(), Sharded::<AtomicU64>::size());
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), n_values);
    }
}
