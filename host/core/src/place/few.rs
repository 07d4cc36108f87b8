//! A short list of numbers, which costs no memory of its own while it has four at most: a fleet has as
//! many of these as apps, and nearly all apps have few replicas. In no order but that of pushing.

use smallvec::SmallVec;

/// Numbers of hosts or of apps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Few {
    numbers: SmallVec<[u32; 4]>,
}

impl Few {
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.numbers.iter().map(|number| *number as usize)
    }

    pub(super) fn contains(&self, number: usize) -> bool {
        self.iter().any(|known| known == number)
    }

    /// A fleet has fewer than four billion of anything; what is beyond is not noted.
    pub(super) fn push(&mut self, number: usize) {
        if let Ok(number) = u32::try_from(number) {
            self.numbers.push(number);
        }
    }

    pub(super) fn remove(&mut self, number: usize) {
        self.numbers.retain(|known| *known as usize != number);
    }
}

impl FromIterator<usize> for Few {
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> Self {
        let mut few = Self::default();
        for number in numbers {
            few.push(number);
        }
        few
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_kept_like_few() {
        let mut few: Few = (0..9).collect();
        few.remove(3);
        assert_eq!(few.iter().collect::<Vec<_>>(), [0, 1, 2, 4, 5, 6, 7, 8]);
        assert_eq!((few.len(), few.contains(3), few.contains(8)), (8, false, true));
        assert_eq!(size_of::<Few>(), 24);
    }
}
