//! A set of cores that any thread may change or look at without a lock.
//! Does not know what it means to be in it.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use crate::shared::Shared;

/// Cores by their numbers, 64 in a word.
///
/// All its operations are sequentially consistent: [`super::cores`] says why.
#[derive(Debug)]
pub(super) struct CoreSet {
    words: Box<[CachePadded<Shared<AtomicU64>>]>,
}

const BITS: usize = 64;

impl CoreSet {
    /// An empty set for so many cores.
    pub(super) fn new(n_cores: usize) -> Self {
        Self { words: (0..n_cores.div_ceil(BITS)).map(|_| CachePadded::default()).collect() }
    }

    /// Puts a core in; writes nothing where it is in.
    pub(super) fn insert(&self, core: usize) {
        let bit = 1 << (core % BITS);
        if let Some(word) = self.words.get(core / BITS)
            && word.load(Ordering::SeqCst) & bit == 0
        {
            word.write().fetch_or(bit, Ordering::SeqCst);
        }
    }

    /// The first other core of which this holds, the next ones after it first. Takes out those on the way of
    /// which it does not: it is asked once more then, and who comes to be one of which it holds puts itself in
    /// after that.
    pub(super) fn find_other(&self, core: usize, holds: impl Fn(usize) -> bool) -> Option<usize> {
        while let Some(other) = self.first_after(core) {
            if holds(other) {
                return Some(other);
            }
            self.remove(other);
            if holds(other) {
                return Some(other);
            }
        }
        None
    }

    fn remove(&self, core: usize) {
        if let Some(word) = self.words.get(core / BITS) {
            word.write().fetch_and(!(1 << (core % BITS)), Ordering::SeqCst);
        }
    }

    /// The first core after this one that is in, in a circle.
    fn first_after(&self, core: usize) -> Option<usize> {
        let first = |is_after: bool| {
            self.words.iter().enumerate().find_map(|(index, word)| {
                let from = core.saturating_add(1).saturating_sub(index * BITS);
                let after = if from >= BITS { 0 } else { u64::MAX << from };
                let own = if core / BITS == index { 1 << (core % BITS) } else { 0 };
                let part = if is_after { after } else { !after };
                let bits = word.load(Ordering::SeqCst) & part & !own;
                (bits != 0).then(|| index * BITS + bits.trailing_zeros() as usize)
            })
        };
        first(true).or_else(|| first(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_cores_are_taken_first_and_the_asker_never() {
        let set = CoreSet::new(130);
        for core in [3, 64, 129] {
            set.insert(core);
        }
        let found = |core| set.first_after(core);
        assert_eq!([found(0), found(3), found(64)], [Some(3), Some(64), Some(129)]);
        assert_eq!([found(129), found(130)], [Some(3), Some(3)]);
        assert_eq!(set.find_other(64, |core| core == 3), Some(3));
        assert_eq!(found(64), Some(3), "the one of which it did not hold is out");
        assert_eq!(set.find_other(64, |_| false), None);
        assert_eq!(set.find_other(0, |_| true), Some(64));
    }

    #[test]
    fn who_comes_to_be_meant_while_it_is_taken_out_is_found() {
        let set = CoreSet::new(2);
        set.insert(1);
        let n_asked = std::cell::Cell::new(0);
        let second_time = |_| n_asked.replace(n_asked.get() + 1) == 1;
        assert_eq!(set.find_other(0, second_time), Some(1));
    }
}
