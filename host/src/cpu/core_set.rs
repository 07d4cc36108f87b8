//! A set of cores that any thread may change or look at without a lock.
//! Does not know what it means to be in it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Cores by their numbers, 64 in a word.
///
/// All its operations are sequentially consistent, since two of these are used together: who adds work
/// says that it waits and then looks who is idle; who goes idle says so and then looks what waits. One
/// of both must see the other.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct CoreSet {
    words: Box<[AtomicU64]>,
}

const BITS: usize = 64;

impl CoreSet {
    /// An empty set for so many cores.
    pub(super) fn new(n_cores: usize) -> Self {
        Self { words: (0..n_cores.div_ceil(BITS)).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn insert(&self, core: usize) {
        if let Some(word) = self.words.get(core / BITS) {
            #[cfg(test)]
            super::counted::shared_write();
            word.fetch_or(1 << (core % BITS), Ordering::SeqCst);
        }
    }

    /// Takes a core out; says whether it was in.
    pub(super) fn remove(&self, core: usize) -> bool {
        #[cfg(test)]
        super::counted::shared_write();
        let bit = 1 << (core % BITS);
        let word = self.words.get(core / BITS);
        word.is_some_and(|word| word.fetch_and(!bit, Ordering::SeqCst) & bit != 0)
    }

    /// Whether a core other than `but` is in.
    pub(super) fn has_other(&self, but: usize) -> bool {
        self.words.iter().enumerate().any(|(index, word)| {
            let own = if but / BITS == index { 1 << (but % BITS) } else { 0 };
            word.load(Ordering::SeqCst) & !own != 0
        })
    }

    /// The first core from `from` on that is in, in a circle that leaves out `but`.
    pub(super) fn first_from(&self, from: usize, but: usize) -> Option<usize> {
        let from = if from < self.words.len() * BITS { from } else { 0 };
        let first = |below: bool| {
            self.words.iter().enumerate().find_map(|(index, word)| {
                let begin = from.saturating_sub(index * BITS);
                let upper = if begin >= BITS { 0 } else { u64::MAX << begin };
                let own = if but / BITS == index { 1 << (but % BITS) } else { 0 };
                let part = if below { !upper } else { upper };
                let bits = word.load(Ordering::SeqCst) & part & !own;
                (bits != 0).then(|| index * BITS + bits.trailing_zeros() as usize)
            })
        };
        first(false).or_else(|| first(true))
    }

    /// Takes a core out that is in, other than `but`, the next ones after it first.
    pub(super) fn take(&self, but: usize) -> Option<usize> {
        while let Some(core) = self.first_from(but, but) {
            if self.remove(core) {
                return Some(core);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_found_in_a_circle_that_leaves_out_the_asker() {
        let set = CoreSet::new(130);
        for core in [3, 64, 129] {
            set.insert(core);
        }
        let found = |from, but| set.first_from(from, but);
        assert_eq!([found(0, 0), found(4, 0), found(65, 0)], [Some(3), Some(64), Some(129)]);
        assert_eq!([found(3, 3), found(129, 129), found(500, 0)], [Some(64), Some(3), Some(3)]);
        assert_eq!([set.take(64), set.take(64)], [Some(129), Some(3)]);
        assert!(set.take(64).is_none() && !set.has_other(64) && set.has_other(3));
        assert!(set.remove(64) && !set.remove(64));
    }
}
