//! How long things took, as counts by length: percentiles of what was counted, and sums of several.
//! Does not measure: whoever sees something end says how long it was.

use std::time::Duration;

/// Upper bounds of the lengths that calls of an app are counted by, the shortest first. What took longer
/// than the last has a count of its own, so there is one count more.
pub const BOUNDS: [Duration; 17] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// Which of [`BOUNDS`] such a length is counted by; their number for one that is longer than the last.
#[must_use]
pub fn bucket(length: Duration) -> usize {
    BOUNDS.iter().position(|bound| length <= *bound).unwrap_or(BOUNDS.len())
}

/// How many steps of the finer scale double a length: each is a fifth longer than the one before, so what
/// is told of it is less than a tenth off.
const STEPS_PER_DOUBLING: f64 = 4.0;
/// The shortest length of the finer scale, in microseconds; what is shorter counts as it.
const SHORTEST_US: f64 = 50.0;
/// Steps of the finer scale: up to eleven minutes, which is longer than any outbound request may take.
const STEPS: usize = 96;

/// The length that this percentage of all is no longer than, where `counts` are by [`BOUNDS`]: within the
/// step as if lengths were spread evenly there, as Prometheus has it. Of what is longer than the last bound
/// it is known only that it is, so that is told. `None` where nothing was counted.
#[must_use]
pub fn percentile(counts: &[u64], percent: u32) -> Option<Duration> {
    let (place, passed, count) = place_of(counts.iter().copied(), percent)?;
    let to = *BOUNDS.get(place).or(BOUNDS.last())?;
    let from = place.checked_sub(1).and_then(|before| BOUNDS.get(before)).copied();
    let from = from.unwrap_or(Duration::ZERO).min(to);
    #[expect(clippy::cast_precision_loss, reason = "counts of calls stay far below 2^52")]
    let part = passed as f64 / count as f64;
    Some(from + (to - from).mul_f64(part))
}

/// The step in which the given percentage of all is reached, how many of the step's own are needed for it,
/// and how many it has.
fn place_of(counts: impl Iterator<Item = u64> + Clone, percent: u32) -> Option<(usize, u64, u64)> {
    let all = counts.clone().fold(0, u64::saturating_add);
    if all == 0 {
        return None;
    }
    let rank = u128::from(all) * u128::from(percent.min(100));
    let mut left = u64::try_from(rank.div_ceil(100)).unwrap_or(u64::MAX).max(1);
    for (place, count) in counts.enumerate() {
        if left <= count {
            return Some((place, left, count));
        }
        left -= count;
    }
    None
}

/// Lengths counted on a finer scale, for what there are few of. Takes about 400 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latencies {
    counts: [u32; STEPS],
    longest: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: [0; STEPS], longest: Duration::ZERO }
    }
}

impl Latencies {
    /// Counts one.
    pub fn record(&mut self, took: Duration) {
        self.add(step_of(took), 1);
        self.longest = self.longest.max(took);
    }

    /// Counts so many more of one step, as [`Latencies::each`] tells it; what is beyond the last counts as
    /// that.
    pub fn add(&mut self, step: usize, count: u64) {
        if let Some(known) = self.counts.get_mut(step.min(STEPS - 1)) {
            *known = known.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        }
    }

    /// Something took at least so long, which was counted elsewhere.
    pub fn note_longest(&mut self, took: Duration) {
        self.longest = self.longest.max(took);
    }

    /// Each step of which any was counted, and how many were.
    pub fn each(&self) -> impl Iterator<Item = (usize, u64)> {
        let all = self.counts.iter().enumerate();
        all.filter(|(_, count)| **count > 0).map(|(step, count)| (step, u64::from(*count)))
    }

    /// The longest of all; nothing where none was counted.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// The length that this percentage of all is no longer than, less than a tenth off. `None` where nothing
    /// was counted.
    #[must_use]
    pub fn percentile(&self, percent: u32) -> Option<Duration> {
        let counts = self.counts.iter().map(|count| u64::from(*count));
        let (step, _, _) = place_of(counts, percent)?;
        Some(middle_of(step).min(self.longest))
    }
}

/// The step that a length counts for.
fn step_of(took: Duration) -> usize {
    let us = took.as_secs_f64() * 1e6;
    if us <= SHORTEST_US {
        return 0;
    }
    let step = ((us / SHORTEST_US).log2() * STEPS_PER_DOUBLING).floor();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not below 0, and a float that is too large becomes the largest integer"
    )]
    let step = step as usize;
    step.min(STEPS - 1)
}

/// The length in the middle of a step.
fn middle_of(step: usize) -> Duration {
    let step = u32::try_from(step).unwrap_or(u32::MAX);
    let doublings = (f64::from(step) + 0.5) / STEPS_PER_DOUBLING;
    Duration::try_from_secs_f64(SHORTEST_US * doublings.exp2() / 1e6).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_bounds(took: &[Duration]) -> Vec<u64> {
        let mut counts = vec![0; BOUNDS.len() + 1];
        for took in took {
            let place = BOUNDS.iter().position(|bound| took <= bound).unwrap_or(BOUNDS.len());
            counts[place] += 1;
        }
        counts
    }

    #[test]
    fn percentiles_lie_within_the_step() {
        assert_eq!(percentile(&[], 50), None);
        assert_eq!(percentile(&[0; 18], 50), None);
        let mut counts = by_bounds(&[Duration::from_millis(7); 90]);
        assert_eq!(percentile(&counts, 50), Some(Duration::from_micros(7_500)));
        counts[BOUNDS.len()] = 10;
        assert_eq!(
            percentile(&counts, 95),
            Some(Duration::from_secs(15) + Duration::from_secs(15))
        );
        assert_eq!(percentile(&counts, 0), percentile(&counts, 1));
    }

    proptest! {
        #[test]
        fn a_percentile_of_the_fine_scale_is_less_than_a_tenth_off(
            us in prop::collection::vec(60_u64..600_000_000, 1..80),
            percent in 1_u32..=100,
        ) {
            let mut latencies = Latencies::default();
            let mut sum = Latencies::default();
            for us in &us {
                latencies.record(Duration::from_micros(*us));
            }
            for (step, count) in latencies.each() {
                sum.add(step, count);
            }
            sum.note_longest(latencies.longest());
            prop_assert_eq!(&sum, &latencies);
            let mut us = us;
            us.sort_unstable();
            let rank = (us.len() * percent as usize).div_ceil(100).max(1) - 1;
            let (wanted, found) = (us[rank] as f64, latencies.percentile(percent).unwrap());
            let found = found.as_secs_f64() * 1e6;
            prop_assert!((found / wanted - 1.0).abs() < 0.1, "{} for {}", found, wanted);
            prop_assert_eq!(latencies.longest(), Duration::from_micros(*us.last().unwrap()));
        }

        #[test]
        fn a_percentile_by_bounds_lies_in_the_step_of_the_true_one(
            us in prop::collection::vec(1_u64..29_000_000, 1..80),
            percent in 1_u32..=100,
        ) {
            let mut took: Vec<_> = us.into_iter().map(Duration::from_micros).collect();
            took.sort_unstable();
            let rank = (took.len() * percent as usize).div_ceil(100).max(1) - 1;
            let place = BOUNDS.iter().position(|bound| took[rank] <= *bound).unwrap();
            let found = percentile(&by_bounds(&took), percent).unwrap();
            prop_assert!(found <= BOUNDS[place], "{:?}", found);
            prop_assert!(place == 0 || found > BOUNDS[place - 1], "{:?}", found);
        }
    }
}
