//! Whole fleets in one thread: the decisions of `core::node`, driven by made-up hosts over a made-up store,
//! from one seed. After every event nothing has left a host that nobody removed, every route is one
//! app's, what was acknowledged is on enough disks, and no planners quarrel; and at last, when nothing
//! goes wrong any more, all of it converges.
//!
//! `STEERAGE_FLEET_SEEDS` says how many seeds, from `STEERAGE_FLEET_SEED` on. Each rule can be left out,
//! and the tests say that it is missed then.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod apps;
mod checks;
mod drive;
mod following;
mod host;
mod operators;
mod ops;
mod random;
mod records;
mod store;
mod world;

use std::time::Duration;

use crate::operators::Wish;
use crate::world::{Rules, World};

/// Things go wrong for so long.
const TROUBLED: Duration = Duration::from_secs(25);
/// And then all is as it shall be within this.
const HEALED: Duration = Duration::from_secs(90);

/// Lives through one history.
fn live(seed: u64, rules: Rules) -> Result<(), String> {
    let mut world = World::new(seed, rules);
    let lived = through(&mut world);
    lived.map_err(|why| {
        let story = world.story.text();
        format!("{story}\nseed {seed} at {:?}: {why}", world.now)
    })
}

fn through(world: &mut World) -> Result<(), String> {
    while world.step(TROUBLED) {
        world.check()?;
    }
    world.now = TROUBLED;
    world.heal();
    let until = TROUBLED + HEALED;
    let mut next_look = TROUBLED;
    while world.step(until) {
        world.check()?;
        if world.now < next_look {
            continue;
        }
        next_look = world.now + Duration::from_secs(1);
        if world.unsettled().is_ok() && world.leftovers().is_empty() {
            return Ok(());
        }
        world.recover();
        world.ask(0, Wish::Freeze(false));
    }
    world.unsettled()?;
    match world.leftovers() {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?} are placed though nobody wants them")),
    }
}

/// How many seeds there are, and the first.
fn seeds() -> (u64, u64) {
    #[expect(clippy::disallowed_methods, reason = "how long a test runs is no decision")]
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    (number("STEERAGE_FLEET_SEEDS").unwrap_or(500), number("STEERAGE_FLEET_SEED").unwrap_or(1))
}

/// One of so many parts of the seeds, so that all processors have something to do.
fn part(number: u64) {
    let (n_seeds, first) = seeds();
    for seed in (first..first + n_seeds).filter(|seed| seed % 4 == number) {
        if let Err(why) = live(seed, Rules::ALL) {
            panic!("{why}");
        }
    }
}

#[test]
fn no_history_loses_anything_first_part() {
    part(0);
}

#[test]
fn no_history_loses_anything_second_part() {
    part(1);
}

#[test]
fn no_history_loses_anything_third_part() {
    part(2);
}

#[test]
fn no_history_loses_anything_fourth_part() {
    part(3);
}

/// A rule that is left out is missed in one of the histories from this one on, and like this.
fn is_missed(rules: Rules, like: &str, from: u64) {
    let missed = (from..from + 400).any(|seed| {
        let why = live(seed, rules).err().unwrap_or_default();
        why.lines().last().unwrap_or_default().contains(like) && !why.is_empty()
    });
    assert!(missed, "nobody misses what is left out: {rules:?}");
}

#[test]
fn without_guards_is_noticed() {
    is_missed(Rules { guards: false, ..Rules::ALL }, "route", 20);
}

#[test]
fn without_tombstones_is_noticed() {
    is_missed(Rules { tombstones: false, ..Rules::ALL }, "which nobody removed", 1);
}

#[test]
fn taking_what_cannot_be_read_for_gone_is_noticed() {
    is_missed(Rules { unreadable: false, ..Rules::ALL }, "which nobody removed", 16);
}

#[test]
fn following_any_store_is_noticed() {
    is_missed(Rules { lineage: false, ..Rules::ALL }, "was acknowledged", 26);
}

#[test]
fn going_by_the_number_alone_is_noticed() {
    is_missed(Rules { fingerprints: false, ..Rules::ALL }, "serves", 194);
}

#[test]
fn acknowledging_what_is_on_one_disk_is_noticed() {
    is_missed(Rules { copies: false, ..Rules::ALL }, "disks", 1);
}

#[test]
fn believing_ones_own_eyes_is_noticed() {
    is_missed(Rules { majority: false, ..Rules::ALL }, "was placed", 85);
}

#[test]
fn going_on_in_a_store_with_another_past_is_noticed() {
    is_missed(Rules { past: false, ..Rules::ALL }, "", 1);
}

#[test]
fn hosts_go_on_from_where_they_were() {
    let resumed = (1..=40).map(|seed| {
        let mut world = World::new(seed, Rules::ALL);
        through(&mut world).unwrap();
        world.n_resumed
    });
    let n_resumed: u64 = resumed.sum();
    assert!(n_resumed >= 10, "{n_resumed}");
}
