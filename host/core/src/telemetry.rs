//! How much is kept of what happened to apps, and whose goes first where that is too much.
//! Does not know what is kept.

use std::time::Duration;

/// After so many calls of an app it is looked at how often it is called.
pub const LOOK_EVERY: u64 = 1024;

/// Calls that come as fast as this are counted on each thread by itself: 10,240 a second. Below that, cores
/// that share a line wait for it for a thousandth of their time.
const OFTEN: Duration = Duration::from_millis(100);

/// One part in so many of the bound is for what may be given up, however much the rest takes: an app that
/// goes wrong now shows it in its lines.
const ALWAYS: u64 = 8;

/// What all apps together take of the bound, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelemetryUse {
    /// Log lines and last calls, which may be given up.
    pub kept: u64,
    /// Counters, events: what is promised, or bounded by itself.
    pub fixed: u64,
}

/// What is kept of one app and may be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptOfApp {
    /// When something last happened to it, in milliseconds since the epoch.
    pub last_at: u64,
    /// How much it is, in bytes.
    pub bytes: u64,
}

/// Whether an app is called so often that threads should share nothing of it, whose last [`LOOK_EVERY`]
/// calls took so long to come.
#[must_use]
pub fn is_often(took: Duration) -> bool {
    took <= OFTEN
}

impl TelemetryUse {
    /// How many bytes of lines and calls must be given up where so many are allowed in all: none while
    /// there is room, and then a quarter of them at once, since finding out whose means looking at all apps.
    #[must_use]
    pub fn excess(self, most: u64) -> u64 {
        let allowed = self.allowed(most);
        if self.kept <= allowed { 0 } else { self.kept - allowed / 4 * 3 }
    }

    /// Bytes of lines and calls that there may be.
    fn allowed(self, most: u64) -> u64 {
        most.saturating_sub(self.fixed).max(most / ALWAYS)
    }
}

/// Which apps give up what is kept of them, by their places, so that so many bytes are free: those to
/// which nothing has happened for the longest time.
#[must_use]
pub fn longest_quiet(apps: &[KeptOfApp], excess: u64) -> Vec<usize> {
    let mut places: Vec<usize> = (0..apps.len()).collect();
    places.sort_by_key(|place| apps.get(*place).map(|app| app.last_at));
    let mut given_up = 0;
    let mut needed = |place: &usize| {
        let is_needed = given_up < excess;
        given_up += apps.get(*place).map_or(0, |app| app.bytes);
        is_needed
    };
    places.into_iter().take_while(|place| needed(place)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_goes_while_there_is_room() {
        let used = |kept, fixed| TelemetryUse { kept, fixed };
        assert_eq!(used(600, 400).excess(1000), 0);
        assert_eq!(used(601, 400).excess(1000), 601 - 450);
        // Counters take all: lines and calls have their part all the same.
        assert_eq!(used(120, 5000).excess(1000), 0);
        assert_eq!(used(200, 5000).excess(1000), 200 - 93);
    }

    fn apps() -> impl Strategy<Value = Vec<KeptOfApp>> {
        let app = (0..1000_u64, 0..10_000_u64);
        prop::collection::vec(app.prop_map(|(last_at, bytes)| KeptOfApp { last_at, bytes }), 0..50)
    }

    proptest! {
        #[test]
        fn the_longest_quiet_give_up_as_much_as_needed_and_no_more(
            apps in apps(),
            fixed in 0..100_000_u64,
            most in 8..200_000_u64,
        ) {
            let kept = apps.iter().map(|app| app.bytes).sum();
            let used = TelemetryUse { kept, fixed };
            let excess = used.excess(most);
            let gone = longest_quiet(&apps, excess);
            let bytes = |places: &[usize]| places.iter().map(|place| apps[*place].bytes).sum::<u64>();
            // What is left is allowed.
            let left = TelemetryUse { kept: kept - bytes(&gone), fixed };
            prop_assert_eq!(left.excess(most), 0);
            prop_assert!(left.kept + fixed <= most.max(fixed + most / ALWAYS));
            // The last that had to go was needed.
            if let Some((_, others)) = gone.split_last() {
                prop_assert!(bytes(others) < excess);
            }
            // Nobody was quiet for longer than one that had to go.
            let latest = gone.iter().map(|place| apps[*place].last_at).max();
            let stays = (0..apps.len()).filter(|place| !gone.contains(place));
            prop_assert!(stays.map(|place| apps[place].last_at).all(|at| latest <= Some(at)));
        }
    }
}
