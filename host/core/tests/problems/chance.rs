//! Chances as a simulation needs them.

use crate::random::Random;

/// From 0 to less than 1.
pub(crate) fn unit(random: &mut Random) -> f64 {
    (random.next() >> 11) as f64 / (1_u64 << 53) as f64
}

/// How many of many independent and rare things happen, of which so many are expected (Knuth; for many the
/// normal distribution is near enough).
pub(crate) fn poisson(random: &mut Random, expected: f64) -> u64 {
    if expected > 50.0 {
        let sum: f64 = (0..12).map(|_| unit(random)).sum();
        return (expected + (sum - 6.0) * expected.sqrt()).round().max(0.0) as u64;
    }
    let least = (-expected).exp();
    let (mut n, mut product) = (0, unit(random));
    while product > least {
        n += 1;
        product *= unit(random);
    }
    n
}
