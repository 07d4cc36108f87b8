//! Counts of numbers by buckets of 5 %: those in which there is something, and no others.
//! Does not know what the numbers are of.

/// Buckets for each doubling: each ends 4.7 % beyond where it begins.
const PER_DOUBLING: u16 = 15;
/// Numbers from 2^32 on share the last bucket: 71 minutes of latency, 4 GiB of an answer.
const DOUBLINGS: u16 = 32;
/// The last bucket. The first one is of 0 alone.
const LAST: u16 = 1 + PER_DOUBLING * DOUBLINGS;
/// Where the buckets of a doubling begin but the first, in parts of 65,536 beyond its beginning:
/// `2^(k/15) - 1`, rounded up.
const BEGINS: [u16; PER_DOUBLING as usize - 1] = [
    3_100, 6_346, 9_746, 13_306, 17_035, 20_940, 25_030, 29_313, 33_799, 38_496, 43_417, 48_569,
    53_966, 59_617,
];
/// Buckets for which room is made at once.
const ROOM: usize = 4;

/// How many numbers fell into each bucket. No bucket is wider than 5 % of where it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// In order of the buckets, and none that is 0.
    counts: Vec<(u16, u32)>,
}

impl Histogram {
    /// Counts a number.
    pub fn record(&mut self, number: u64) {
        self.count(bucket_of(number), 1);
    }

    /// Counts so many numbers at once that are equal.
    pub fn record_many(&mut self, number: u64, count: u32) {
        if count > 0 {
            self.count(bucket_of(number), count);
        }
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.counts.clone_from(&other.counts);
            return;
        }
        for (bucket, count) in &other.counts {
            self.count(*bucket, *count);
        }
    }

    /// How many numbers were counted.
    #[must_use]
    pub fn n_counted(&self) -> u64 {
        self.counts.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// The number that so many per mille of all do not pass, to within 5 %; `None` where nothing was counted.
    /// From 2^32 on it is told as that.
    #[must_use]
    pub fn percentile(&self, per_mille: u64) -> Option<u64> {
        let n_below = self.n_counted().saturating_mul(per_mille).div_ceil(1000).max(1);
        let mut sum = 0;
        let found = self.counts.iter().find(|(_, count)| {
            sum += u64::from(*count);
            sum >= n_below
        });
        let (bucket, _) = found.or_else(|| self.counts.last())?;
        let (least, most) = bounds_of(*bucket);
        Some(if *bucket == LAST { least } else { least + (most - least) / 2 })
    }

    /// The largest number that belongs to each bucket, and how many are in it; the last one is told as 2^32.
    /// Who records so many of that number has the same histogram.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u32)> {
        self.counts.iter().map(|(bucket, count)| {
            let (least, most) = bounds_of(*bucket);
            (if *bucket == LAST { least } else { most }, *count)
        })
    }

    /// Bytes of memory that the counts take.
    pub(super) fn n_bytes(&self) -> usize {
        self.counts.capacity() * size_of::<(u16, u32)>()
    }

    /// The counts by bucket.
    pub(super) fn counts(&self) -> &[(u16, u32)] {
        &self.counts
    }

    /// A histogram of counts that were read; `None` where they are not in order, or no counts.
    pub(super) fn of_counts(counts: Vec<(u16, u32)>) -> Option<Self> {
        let is_good = counts.iter().all(|(bucket, count)| *bucket <= LAST && *count > 0)
            && counts.is_sorted_by(|(one, _), (next, _)| one < next);
        is_good.then_some(Self { counts })
    }

    fn count(&mut self, bucket: u16, count: u32) {
        match self.counts.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(place) => {
                if let Some((_, sum)) = self.counts.get_mut(place) {
                    *sum = sum.saturating_add(count);
                }
            }
            Err(place) => {
                if self.counts.len() == self.counts.capacity() {
                    self.counts.reserve_exact(ROOM.min(usize::from(LAST) + 1 - self.counts.len()));
                }
                self.counts.insert(place, (bucket, count));
            }
        }
    }
}

/// The bucket of a number.
fn bucket_of(number: u64) -> u16 {
    let Some(doubling) = number.checked_ilog2() else { return 0 };
    let Some(before) = u16::try_from(doubling).ok().filter(|doubling| *doubling < DOUBLINGS) else {
        return LAST;
    };
    // What is behind the leading bit, as a part of 65,536.
    let part = ((number << (63 - doubling)) << 1) >> 48;
    let within = BEGINS.iter().take_while(|begin| u64::from(**begin) <= part).count();
    1 + before * PER_DOUBLING + u16::try_from(within).unwrap_or(0)
}

/// The smallest and the largest number of a bucket. Among the smallest numbers there are buckets that no
/// number falls into.
fn bounds_of(bucket: u16) -> (u64, u64) {
    match bucket {
        0 => (0, 0),
        LAST.. => (1 << DOUBLINGS, u64::MAX),
        _ => (begin_of(bucket), begin_of(bucket + 1).saturating_sub(1).max(begin_of(bucket))),
    }
}

fn begin_of(bucket: u16) -> u64 {
    let (doubling, within) = ((bucket - 1) / PER_DOUBLING, (bucket - 1) % PER_DOUBLING);
    let before = usize::from(within).checked_sub(1).and_then(|place| BEGINS.get(place));
    let part = before.map_or(0, |begin| u64::from(*begin));
    ((65_536 + part) << doubling).div_ceil(65_536)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_begin_where_the_powers_do() {
        for (place, begin) in BEGINS.iter().enumerate() {
            let exact = (2_f64.powf((place + 1) as f64 / 15.0) - 1.0) * 65_536.0;
            assert_eq!(f64::from(*begin), exact.ceil());
        }
    }

    #[test]
    fn all_buckets_of_a_histogram_fit_into_their_bound() {
        let mut histogram = Histogram::default();
        (0..=64).for_each(|shift| {
            (0..64_u64).for_each(|part| histogram.record((64 + part).rotate_left(shift)));
        });
        for bucket in 0..=LAST {
            histogram.count(bucket, 1);
        }
        assert_eq!(histogram.counts.len(), usize::from(LAST) + 1);
        assert!(histogram.n_bytes() <= 3_900, "{}", histogram.n_bytes());
    }

    proptest! {
        #[test]
        fn a_number_lies_within_its_bucket_which_is_narrow(shift in 0..64_u32, number: u64) {
            let number = number >> shift;
            let bucket = bucket_of(number);
            let (least, most) = bounds_of(bucket);
            prop_assert!(least <= number && number <= most, "{number} in {least}..={most}");
            prop_assert!(bucket == LAST || most - least <= least / 20, "{least}..={most}");
            prop_assert_eq!(bucket_of(most), bucket, "the largest of a bucket stands for it");
        }

        #[test]
        fn what_is_told_of_buckets_makes_the_same_histogram(
            numbers in proptest::collection::vec((0..64_u32, any::<u64>()), 0..100),
        ) {
            let (mut histogram, mut again) = (Histogram::default(), Histogram::default());
            numbers.iter().for_each(|(shift, number)| histogram.record(number >> shift));
            histogram.buckets().for_each(|(most, count)| again.record_many(most, count));
            prop_assert_eq!(again, histogram);
        }

        #[test]
        fn a_percentile_is_within_five_percent(
            mut numbers in proptest::collection::vec(0..10_000_000_u64, 1..300),
            per_mille in 1..=1000_u64,
        ) {
            let mut histogram = Histogram::default();
            numbers.iter().for_each(|number| histogram.record(*number));
            numbers.sort_unstable();
            let rank = (numbers.len() as u64 * per_mille).div_ceil(1000).max(1);
            let exact = numbers[usize::try_from(rank).unwrap() - 1];
            let told = histogram.percentile(per_mille).unwrap();
            prop_assert!(told.abs_diff(exact) * 20 <= exact, "{told} for {exact}");
        }
    }
}
