//! A fleet of real processes on machines of its own, and what callers notice when it loses some of
//! them. A binary of its own, since it takes the whole machine. Needs root, network namespaces and
//! etcd, and says so where they are missing.
//!
//! `STEERAGE_FLEET_QUORUM_SECONDS` is how long etcd is without a quorum (5), `STEERAGE_FLEET_DEPLOYS`
//! how many deploys are interrupted (6), `STEERAGE_FLEET_ONLY` a part of the names of the events to
//! try (all), `STEERAGE_FLEET_ROUNDS` how often each (1), `STEERAGE_FLEET_LOG` what the hosts log
//! (`info`).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]
#![expect(clippy::indexing_slicing, reason = "a missing field fails the test that reads it")]
#![expect(clippy::print_stderr, reason = "what was measured is for whoever runs it")]

mod events;
#[path = "../it/harness.rs"]
#[expect(dead_code, reason = "the other binary uses all of it")]
mod harness;
mod load;
mod network;
mod trial;
#[path = "../it/watchdog.rs"]
mod watchdog;
mod world;

use std::path::Path;
use std::time::Instant;

use self::events::EVENTS;
use self::world::World;

/// Longer than all events take: some minutes a round.
fn longest_test() -> std::time::Duration {
    std::time::Duration::from_secs(900) * setting("STEERAGE_FLEET_ROUNDS").unwrap_or(1)
}

fn setting(name: &str) -> Option<u32> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Where the processes' own words go when something is not as it must be.
fn logs(event: &str) -> std::path::PathBuf {
    let name: String = event.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("fleet").join(name)
}

#[test]
fn no_request_is_lost_whatever_happens_to_the_fleet() {
    if let Some(missing) = world::missing() {
        eprintln!("skipped: {missing}");
        return;
    }
    let began_at = Instant::now();
    let only = std::env::var("STEERAGE_FLEET_ONLY").unwrap_or_default();
    let (mut trials, mut wrong) = (Vec::new(), Vec::new());
    let mut world = None;
    let n_rounds = setting("STEERAGE_FLEET_ROUNDS").unwrap_or(1);
    let chosen = EVENTS.iter().filter(|event| event.name.contains(&*only));
    for event in chosen.flat_map(|event| (0..n_rounds).map(move |_| event)) {
        let mut here = match world.take() {
            Some(world) => world,
            None => {
                let world = World::build().expect("a fleet");
                trial::prepare(&world).expect("apps");
                world
            }
        };
        eprintln!("{:>6.1} s  {}", began_at.elapsed().as_secs_f64(), event.name);
        let mut seen = trial::run(&mut here, event);
        match trial::rest(&here) {
            Ok(_) => {}
            Err(error) => seen.wrong.push(format!("{error:#}")),
        }
        for what in &seen.wrong {
            eprintln!("          {what}");
            wrong.push(format!("{}: {what}", event.name));
        }
        if seen.wrong.is_empty() {
            world = Some(here);
        } else {
            // What comes next begins with a fleet that is well.
            let folder = logs(event.name);
            here.keep_logs(&folder).expect("a folder for logs");
            eprintln!("          logs: {}", folder.display());
        }
        trials.push(seen);
    }
    eprintln!("\n{}", trial::table(&trials));
    eprintln!("{:.1} s in all", began_at.elapsed().as_secs_f64());
    assert!(wrong.is_empty(), "{wrong:#?}");
}
