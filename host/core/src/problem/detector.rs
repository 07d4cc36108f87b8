//! Whether something bad happens more often than it may, asked after every call and never wrong by asking:
//! an e-detector (Shin, Ramdas, Rinaldo: E-detectors, 2023, arXiv 2203.03532; of Shiryaev and Roberts), and
//! an e-process for what has a known beginning, such as a deployment.
//! Does not know what is counted. That what is counted is distinct is up to `evidence`.

/// Rates that are looked for at once.
const RATES: usize = 5;
/// The lowest of them, in times of what is allowed, and the highest.
const LOWEST_TIMES: f64 = 3.0;
const HIGHEST: f64 = 0.95;
/// Nothing bad may ever happen by an objective of 100 %; one in a million is not told apart from that.
const LEAST_ALLOWED: f64 = 1e-6;
/// Where this much may be bad, hardly anything is too much.
const MOST_ALLOWED: f64 = 0.5;

/// The rates that are looked for where so much is allowed: for each, what one good and what one bad thing
/// says of it as a likelihood ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Odds {
    good: [f64; RATES],
    bad: [f64; RATES],
}

/// How sure it is that what happens changed for the worse at some time, for each rate: the sum of the
/// likelihood ratios since every call. Where nothing has changed it is expected to be no more than the
/// number of calls, at whatever moment somebody looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detector {
    sums: [f64; RATES],
}

/// How sure it is that what began at a known time was bad from the beginning. Where it is not, it is expected
/// to be at most 1 at whatever moment somebody looks, and so more than `x` once in `x` beginnings at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SinceStart {
    ratios: [f64; RATES],
}

impl Odds {
    /// For a part of all that may be bad, from 0 to 1.
    #[must_use]
    pub fn new(allowed: f64) -> Self {
        let allowed = allowed.clamp(LEAST_ALLOWED, MOST_ALLOWED);
        let odds = |rate: f64| (rate / (1.0 - rate)).ln();
        let lowest = (allowed * LOWEST_TIMES).min(f64::midpoint(allowed, HIGHEST));
        let (low, high) = (odds(lowest), odds(HIGHEST));
        let (mut good, mut bad) = ([0.0; RATES], [0.0; RATES]);
        for (place, (good, bad)) in good.iter_mut().zip(&mut bad).enumerate() {
            let part = place as f64 / (RATES - 1) as f64;
            let rate = 1.0 / (1.0 + (-(low + (high - low) * part)).exp());
            (*good, *bad) = ((1.0 - rate) / (1.0 - allowed), rate / allowed);
        }
        Self { good, bad }
    }

    /// What so many good and bad things say together, but no more than `most`: of things that have one
    /// reason it is not known how much each of them says by itself.
    fn ratios(&self, n_good: u64, n_bad: u64, most: f64) -> impl Iterator<Item = f64> {
        let each = self.good.iter().zip(&self.bad);
        each.map(move |(good, bad)| {
            let log = n_good as f64 * good.ln() + n_bad as f64 * bad.ln();
            log.min(most.ln()).exp()
        })
    }
}

impl Detector {
    /// After good things only, for ever.
    #[must_use]
    pub fn new(odds: &Odds) -> Self {
        Self { sums: odds.good.map(|good| good / (1.0 - good)) }
    }

    /// So many good things happened.
    pub fn good(&mut self, odds: &Odds, n: u64) {
        for (sum, good) in self.sums.iter_mut().zip(odds.good) {
            // `n` times `sum = (1 + sum) * good`.
            let all = good.powf(n as f64);
            *sum = *sum * all + good * (1.0 - all) / (1.0 - good);
        }
    }

    /// A bad thing happened.
    pub fn bad(&mut self, odds: &Odds) {
        for (sum, bad) in self.sums.iter_mut().zip(odds.bad) {
            *sum = ((1.0 + *sum) * bad).min(f64::MAX / 1e6);
        }
    }

    /// So many things happened at a time, which may have one reason: together they count no more than
    /// `most` times.
    pub fn together(&mut self, odds: &Odds, (n_good, n_bad): (u64, u64), most: f64) {
        for (sum, ratio) in self.sums.iter_mut().zip(odds.ratios(n_good, n_bad, most)) {
            *sum = ((1.0 + *sum) * ratio).min(f64::MAX / 1e6);
        }
    }

    /// How sure it is now.
    #[must_use]
    pub fn evidence(&self) -> f64 {
        mean(&self.sums)
    }
}

impl SinceStart {
    /// So many good and then bad things happened.
    pub fn add(&mut self, odds: &Odds, n_good: u64, n_bad: u64) {
        for (ratio, more) in self.ratios.iter_mut().zip(odds.ratios(n_good, n_bad, f64::INFINITY)) {
            *ratio = (*ratio * more).min(f64::MAX / 1e6);
        }
    }

    /// How sure it is now.
    #[must_use]
    pub fn evidence(&self) -> f64 {
        mean(&self.ratios)
    }
}

impl Default for SinceStart {
    fn default() -> Self {
        Self { ratios: [1.0; RATES] }
    }
}

fn mean(each: &[f64; RATES]) -> f64 {
    each.iter().sum::<f64>() / RATES as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The law of the e-detector: each step is expected to add at most 1 where the rate is what is
        /// allowed, whatever was before. So its value minus the number of steps is expected to fall.
        #[test]
        fn where_no_more_is_bad_than_may_be_each_call_adds_one_at_most(
            allowed in 0.0001..0.2_f64,
            rate in 0.0..1.0_f64,
            before in proptest::collection::vec((0_u64..3000, any::<bool>()), 0..20),
        ) {
            let odds = Odds::new(allowed);
            let mut detector = Detector::new(&odds);
            for (n_good, is_bad) in before {
                detector.good(&odds, n_good);
                if is_bad {
                    detector.bad(&odds);
                }
            }
            let rate = rate * allowed;
            let (mut good, mut bad) = (detector, detector);
            good.good(&odds, 1);
            bad.bad(&odds);
            let expected = (1.0 - rate) * good.evidence() + rate * bad.evidence();
            let before = detector.evidence();
            prop_assert!(expected <= (before + 1.0) * (1.0 + 1e-9), "{before} -> {expected}");
        }

        #[test]
        fn many_good_calls_at_once_are_as_many_one_by_one(n in 0_u64..300, allowed in 0.0001..0.2_f64) {
            let odds = Odds::new(allowed);
            let mut one_by_one = Detector::new(&odds);
            one_by_one.bad(&odds);
            let mut at_once = one_by_one;
            at_once.good(&odds, n);
            for _ in 0..n {
                one_by_one.good(&odds, 1);
            }
            let (one_by_one, at_once) = (one_by_one.evidence(), at_once.evidence());
            prop_assert!((one_by_one / at_once - 1.0).abs() < 1e-6, "{one_by_one} {at_once}");
        }

        /// Ville's inequality needs no more than this.
        #[test]
        fn since_a_start_each_call_is_expected_to_say_nothing(
            allowed in 0.0001..0.2_f64,
            rate in 0.0..1.0_f64,
            before in (0_u64..300, 0_u64..5),
        ) {
            let odds = Odds::new(allowed);
            let mut since = SinceStart::default();
            since.add(&odds, before.0, before.1);
            let (mut good, mut bad) = (since, since);
            good.add(&odds, 1, 0);
            bad.add(&odds, 0, 1);
            let rate = rate * allowed;
            let expected = (1.0 - rate) * good.evidence() + rate * bad.evidence();
            prop_assert!(expected <= since.evidence() * (1.0 + 1e-9));
        }
    }

    #[test]
    fn what_happens_at_a_time_says_no_more_than_it_may() {
        let odds = Odds::new(0.01);
        let mut detector = Detector::new(&odds);
        let before = detector.evidence();
        detector.together(&odds, (0, 1000), 100.0);
        assert!(detector.evidence() <= (1.0 + before) * 100.001);
    }

    #[test]
    fn nothing_overflows_however_much_is_bad() {
        let odds = Odds::new(0.0);
        let mut detector = Detector::new(&odds);
        let mut since = SinceStart::default();
        for _ in 0..10_000 {
            detector.bad(&odds);
            since.add(&odds, 0, 1);
        }
        assert!(detector.evidence().is_finite() && since.evidence().is_finite());
        detector.good(&odds, u64::MAX);
        assert!(detector.evidence().is_finite());
    }
}
