//! How long calls took, counted in four classes for each doubling, so that the counts of many hosts
//! can be added and two deployments compared.
//! Does not know when a call began or ended.

use std::collections::BTreeMap;

/// Classes a doubling is cut into.
const PER_DOUBLING: u64 = 4;
/// So many classes; the last holds whatever took longer.
const CLASSES: usize = 112;

/// Counted durations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// By class.
    counts: BTreeMap<u8, u64>,
}

impl Durations {
    /// How many classes there are; each is below it.
    pub const CLASSES: usize = CLASSES;

    /// The class of a duration in microseconds.
    #[must_use]
    pub fn class(micros: u64) -> usize {
        if micros < PER_DOUBLING {
            return usize::try_from(micros).unwrap_or(0);
        }
        let doublings = u64::from(micros.ilog2());
        // The two bits below the highest one.
        let part = (micros >> (doublings - 2)) & (PER_DOUBLING - 1);
        let class = (doublings - 1) * PER_DOUBLING + part;
        usize::try_from(class).unwrap_or(CLASSES).min(CLASSES - 1)
    }

    /// The longest duration of a class, in microseconds; that of the last has no end.
    #[must_use]
    pub fn longest(class: usize) -> u64 {
        if class + 1 >= CLASSES {
            return u64::MAX;
        }
        Self::shortest(class + 1) - 1
    }

    /// The shortest duration of a class, in microseconds.
    #[must_use]
    pub fn shortest(class: usize) -> u64 {
        let class = u64::try_from(class).unwrap_or(u64::MAX).min(CLASSES as u64 - 1);
        let (doublings, part) = (class / PER_DOUBLING, class % PER_DOUBLING);
        if doublings == 0 { part } else { (PER_DOUBLING + part) << (doublings - 1) }
    }

    /// Adds so many durations of a class; classes there are none of count as the last.
    pub fn add(&mut self, class: usize, count: u64) {
        let class = u8::try_from(class.min(CLASSES - 1)).unwrap_or(u8::MAX);
        if count > 0 {
            let there = self.counts.entry(class).or_default();
            *there = there.saturating_add(count);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The counts by class, without the empty ones.
    pub fn counts(&self) -> impl Iterator<Item = (u8, u64)> {
        self.counts.iter().map(|(class, count)| (*class, *count))
    }

    /// How many surely took longer than so many microseconds.
    #[must_use]
    pub fn longer_than(&self, micros: u64) -> u64 {
        let longer = self.counts.iter().filter(|(class, _)| {
            let shortest = Self::shortest(usize::from(**class));
            shortest > micros
        });
        longer.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// What at most so many of ten thousand exceed, in microseconds, to the width of a class; zero
    /// where there are none.
    #[must_use]
    pub fn exceeded_by(&self, of_ten_thousand: u64) -> u64 {
        let most = u128::from(self.count()) * u128::from(of_ten_thousand);
        let mut above = 0u128;
        for (class, count) in self.counts.iter().rev() {
            above += u128::from(*count) * 10_000;
            if above > most {
                let class = usize::from(*class);
                // The last class has no end, so its beginning must do.
                let is_last = class + 1 >= CLASSES;
                return if is_last { Self::shortest(class) } else { Self::longest(class) };
            }
        }
        0
    }
}
