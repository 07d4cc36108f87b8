//! What alarms cost: days of many healthy apps, and apps in which something breaks, judged by
//! `core::problem`, by the page rules of Google's workbook (The Site Reliability Workbook, chapter 5) and by
//! fixed thresholds. The tables are printed; what `core::problem` promises of them is checked.
//!
//! `STEERAGE_PROBLEM_DAYS` says how many days 10,000 apps are healthy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of calls and milliseconds of some weeks are small"
)]

mod app;
mod chance;
mod latency;
mod others;
#[allow(dead_code, reason = "fleets use more of it")]
#[path = "../fleet_world/random.rs"]
mod random;

use crate::app::{App, Day, Fault};
use crate::others::{NAMES, Others};

const APPS: u64 = 10_000;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

#[expect(clippy::disallowed_methods, reason = "a test has no arguments")]
fn days() -> u64 {
    std::env::var("STEERAGE_PROBLEM_DAYS").map_or(1, |days| days.parse().unwrap())
}

/// No app does worse than it may, callers try again, and nights and weekends are quiet.
#[test]
fn healthy_apps_have_no_problems() {
    let (mut n_calls, mut n_failed, mut n_false) = (0.0, 0_u64, 0_u64);
    let mut n_of_others = [0_u64; NAMES.len()];
    for seed in 0..APPS {
        let mut app = App::healthy(seed, Day::of_week(0));
        let mut others = Others::default();
        for hour in 0..days() * 24 {
            app.live(hour * HOUR, HOUR, &Fault::None, &mut |app, event| {
                n_failed += 1;
                others.failed(event.at, app.n_good_in(event.at));
                n_false += u64::from(event.opened);
            });
        }
        n_calls += app.n_good();
        for (all, one) in n_of_others.iter_mut().zip(others.raised) {
            *all += one;
        }
    }
    println!("{APPS} healthy apps, {} days, {n_calls:.2e} calls, {n_failed} failed", days());
    println!("| judged by | false alarms |\n|---|---|\n| core::problem | {n_false} |");
    for (name, n) in NAMES.iter().zip(n_of_others) {
        println!("| {name} | {n} |");
    }
    assert!(n_false <= 1, "{n_false} false problems");
    // Who raises no alarm here looks at nothing.
    assert!(n_of_others.iter().all(|n| *n > 0), "{n_of_others:?}");
}

/// Something breaks in an app that was healthy for a day.
#[test]
fn what_breaks_is_found() {
    println!("| at | fault | found | failing calls | minutes | {} |", NAMES.join(" | "));
    let mut found = Vec::new();
    for (rate, per_second) in
        [("1 a minute", 1.0 / 60.0), ("1 a second", 1.0), ("20 a second", 20.0)]
    {
        for (fault, part) in [("all fail", 1.0), ("10 % fail", 0.1), ("2 % fail", 0.02)] {
            let trials: Vec<Trial> = (0..60).map(|seed| trial(seed, per_second, part)).collect();
            let median = |of: &dyn Fn(&Trial) -> f64| {
                let mut each: Vec<f64> = trials.iter().map(of).collect();
                each.sort_by(f64::total_cmp);
                each[each.len() / 2]
            };
            let (calls, minutes) = (median(&|trial| trial.calls), median(&|trial| trial.minutes));
            let n_found = trials.iter().filter(|trial| trial.minutes.is_finite()).count();
            let others: Vec<String> = (0..NAMES.len())
                .map(|place| format!("{:.1}", median(&|trial| trial.others[place])))
                .collect();
            println!(
                "| {rate} | {fault} | {n_found} of {} | {calls} | {minutes:.1} | {} |",
                trials.len(),
                others.join(" | ")
            );
            found.push(((rate, fault), n_found, calls, minutes));
        }
    }
    for ((rate, fault), n_found, calls, minutes) in found {
        let (most_calls, most_minutes) = match (rate, fault) {
            (_, "all fail") => (4.0, f64::INFINITY),
            ("20 a second", "10 % fail") => (f64::INFINITY, 2.0),
            ("20 a second", "2 % fail") => (f64::INFINITY, 5.0),
            // A tenth of one call a minute is one in ten minutes: nobody can know within two.
            _ => continue,
        };
        assert_eq!(n_found, 60, "{rate}, {fault}");
        assert!(
            calls <= most_calls && minutes <= most_minutes,
            "{rate}, {fault}: {calls}, {minutes}"
        );
    }
}

/// How long it took until something was found, and by how many failing calls; never is infinite.
struct Trial {
    calls: f64,
    minutes: f64,
    others: [f64; NAMES.len()],
}

fn trial(seed: u64, per_second: f64, part: f64) -> Trial {
    let mut app = App::new(1_000_000 + seed, per_second, 0.0003, Day::even());
    let mut others = Others::default();
    for hour in 0..24 {
        app.live(hour * HOUR, HOUR, &Fault::None, &mut |app, event| {
            others.failed(event.at, app.n_good_in(event.at));
        });
    }
    let before = others.raised;
    let mut trial = Trial {
        calls: f64::INFINITY,
        minutes: f64::INFINITY,
        others: [f64::INFINITY; NAMES.len()],
    };
    let mut n_failed = 0.0;
    let minute = |at: u64| (at - DAY) as f64 / MINUTE as f64;
    for step in 0..12 * 60 {
        app.live(DAY + step * MINUTE, MINUTE, &Fault::Part(part), &mut |app, event| {
            n_failed += f64::from(u8::from(event.is_first_try));
            if event.opened {
                (trial.calls, trial.minutes) = (n_failed, minute(event.at));
            }
            others.failed(event.at, app.n_good_in(event.at));
            for (place, found) in trial.others.iter_mut().enumerate() {
                if others.raised[place] > before[place] && found.is_infinite() {
                    *found = minute(event.at);
                }
            }
        });
        if trial.minutes.is_finite() && trial.others.iter().all(|found| found.is_finite()) {
            break;
        }
    }
    trial
}
