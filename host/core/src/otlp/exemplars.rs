//! Which calls a collector is shown as examples of how long calls took: of each series and bucket the last one since
//! it was shown some.
//! Does not choose among calls and does not know them: whoever notes one has seen to it that its span is told.

use std::collections::BTreeMap;

/// The exemplars that were noted since they were taken last. Clients decide how many calls are sampled and guests how
/// they answer, so there is a bound on all together; what comes beyond it is left out.
#[derive(Clone, Debug)]
pub struct Exemplars<K, E> {
    most: usize,
    noted: BTreeMap<(K, usize), E>,
}

impl<K: Ord, E> Exemplars<K, E> {
    /// None yet, and never more than this.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, noted: BTreeMap::new() }
    }

    /// One in this bucket of this series, in the place of the one before.
    pub fn note(&mut self, series: K, bucket: usize, exemplar: E) {
        let (key, has_room) = ((series, bucket), self.noted.len() < self.most);
        if has_room || self.noted.contains_key(&key) {
            self.noted.insert(key, exemplar);
        }
    }

    /// All of them, by series and bucket; none is left.
    #[must_use]
    pub fn take(&mut self) -> BTreeMap<(K, usize), E> {
        std::mem::take(&mut self.noted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_series_and_bucket_the_last_one_is_there_once_and_all_are_bounded() {
        let mut exemplars = Exemplars::new(3);
        for (series, bucket, exemplar) in
            [('a', 0, 1), ('a', 0, 2), ('a', 1, 3), ('b', 0, 4), ('c', 0, 5), ('a', 1, 6)]
        {
            exemplars.note(series, bucket, exemplar);
        }
        let taken: Vec<_> = exemplars.take().into_iter().collect();
        assert_eq!(taken, [(('a', 0), 2), (('a', 1), 6), (('b', 0), 4)]);
        assert!(exemplars.take().is_empty());
        exemplars.note('c', 0, 7);
        assert_eq!(exemplars.take().len(), 1);
    }
}
