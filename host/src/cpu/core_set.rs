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

    pub(super) fn insert(&self, core: usize) {
        if let Some(word) = self.words.get(core / BITS) {
            word.write().fetch_or(1 << (core % BITS), Ordering::SeqCst);
        }
    }

    /// Takes a core out; says whether it was in.
    pub(super) fn remove(&self, core: usize) -> bool {
        let bit = 1 << (core % BITS);
        let Some(word) = self.words.get(core / BITS) else { return false };
        let is_in = word.load(Ordering::SeqCst) & bit != 0;
        is_in && word.write().fetch_and(!bit, Ordering::SeqCst) & bit != 0
    }

    /// Takes one other core out, the next ones after it first.
    pub(super) fn take_other(&self, core: usize) -> Option<usize> {
        while let Some(other) = self.first_after(core) {
            if self.remove(other) {
                return Some(other);
            }
        }
        None
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
        assert_eq!([set.take_other(64), set.take_other(64)], [Some(129), Some(3)]);
        assert_eq!(set.take_other(64), None);
        assert!(set.remove(64) && !set.remove(64));
    }
}
