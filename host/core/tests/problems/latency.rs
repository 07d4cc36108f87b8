//! Apps whose calls take as long as they took before, with slow nights, weekends and hours; and apps whose
//! calls take twice as long of a sudden. Judged by what the app's own past says.

use steerage_core::problem::{LatencyWatch, PastTurn, ProblemTurn};

use crate::chance::{poisson, unit};
use crate::days;
use crate::random::Random;

const LOOK: u64 = 10_000;
const LOOKS_OF_HOUR: u64 = 360;
/// The 99th percentile of the normal distribution.
const P99: f64 = 2.326;

/// Calls take as long as their logarithm is normal, around a median of the hour.
struct SlowApp {
    random: Random,
    per_second: f64,
    median_us: f64,
    sigma: f64,
    /// How much the hours of a day, of a weekend and by themselves differ.
    night: f64,
    weekend: f64,
    jitter: f64,
    watch: LatencyWatch,
}

impl SlowApp {
    fn new(seed: u64, per_second: f64) -> Self {
        let mut random = Random::new(seed);
        let mut between = |least: f64, most: f64| least + (most - least) * unit(&mut random);
        Self {
            per_second,
            median_us: 10_f64.powf(between(3.0, 5.5)),
            sigma: between(0.3, 1.2),
            night: between(0.8, 1.3),
            weekend: between(0.8, 1.2),
            jitter: between(0.0, 0.1),
            watch: LatencyWatch::default(),
            random,
        }
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| unit(&mut self.random)).sum::<f64>() - 6.0
    }

    /// Lives for an hour in which calls take so many times as long; after how many looks it is found to be
    /// slow.
    fn live(&mut self, hour: u32, times: f64) -> Option<u64> {
        let mut median = self.median_us * times * (self.jitter * self.normal()).exp();
        if hour % 24 < 6 {
            median *= self.night;
        }
        if hour / 24 % 7 >= 5 {
            median *= self.weekend;
        }
        let mut found = None;
        let part = self.watch.slow_after().map_or(0.0, |slow_after| {
            let z = (slow_after.as_micros() as f64 / median).ln() / self.sigma;
            above(z)
        });
        for look in 0..LOOKS_OF_HOUR {
            let n = poisson(&mut self.random, self.per_second * 10.0);
            let slow = poisson(&mut self.random, n as f64 * part).min(n);
            let at = (u64::from(hour) * LOOKS_OF_HOUR + look) * LOOK;
            if self.watch.look(at, n - slow, slow) == Some(ProblemTurn::Opened) {
                found = found.or(Some(look));
            }
        }
        // What is known of an hour is what its calls took, and these are a sample.
        let n_calls = self.per_second * 3600.0;
        let error = self.normal() * (0.01_f64 * 0.99 / n_calls.max(1.0)).sqrt() / 0.0267;
        let p99 = median * (self.sigma * (P99 + error)).exp();
        let turn = self.watch.note_hour(hour, n_calls as u64, p99 as u64, false);
        // It is told as long as it is a problem, and not when it has become usual.
        assert!(turn != PastTurn::IsUsual || times > 1.0);
        found
    }
}

/// The part of the normal distribution that lies above (Abramowitz and Stegun 26.2.17).
fn above(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - above(-z);
    }
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let poly = t
        * (0.319_381_53
            + t * (-0.356_563_782
                + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt() * poly
}

/// Apps whose calls take as long as before are not slow, whatever the hour.
#[test]
fn apps_that_are_as_they_were_are_not_slow() {
    let n_days = 3 + u32::try_from(days()).unwrap();
    let (mut n_false, mut n_calls) = (0, 0.0);
    for seed in 0..200 {
        let per_second = [0.05, 0.5, 5.0, 50.0][usize::try_from(seed % 4).unwrap()];
        let mut app = SlowApp::new(7_000 + seed, per_second);
        for hour in 0..n_days * 24 {
            n_false += u64::from(app.live(hour, 1.0).is_some());
            n_calls += per_second * 3600.0;
        }
        assert!(app.watch.slow_after().is_some(), "it is judged");
    }
    println!(
        "200 apps, {n_days} days, {n_calls:.2e} calls: {n_false} were found to be slow and were not"
    );
    assert!(n_false <= 1, "{n_false} false problems");
}

/// Calls that take twice as long of a sudden are found.
#[test]
fn calls_that_take_twice_as_long_are_found() {
    println!("| at | found | minutes |\n|---|---|---|");
    for (per_second, most) in [(1.0 / 60.0, f64::INFINITY), (1.0, f64::INFINITY), (20.0, 5.0)] {
        let mut minutes: Vec<f64> = (0..60)
            .map(|seed| {
                let mut app = SlowApp::new(9_000 + seed, per_second);
                for hour in 0..48 {
                    app.live(hour, 1.0);
                }
                let hours = 48..48 + 12;
                let found = hours.clone().find_map(|hour| Some((hour, app.live(hour, 2.0)?)));
                found.map_or(f64::INFINITY, |(hour, look)| {
                    f64::from(hour - hours.start) * 60.0 + (look + 1) as f64 / 6.0
                })
            })
            .collect();
        minutes.sort_by(f64::total_cmp);
        let n_found = minutes.iter().filter(|minutes| minutes.is_finite()).count();
        println!("| {per_second:.3} a second | {n_found} of 60 | {:.1} |", minutes[30]);
        assert!(minutes[30] <= most, "{per_second} a second: {minutes:?}");
    }
}
