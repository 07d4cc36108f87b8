//! How much is kept of what happened to apps, and whose goes first where that is too much.
//! Does not know what is kept.

use std::time::Duration;

/// After so many calls of an app it is looked at how often it is called.
pub const LOOK_EVERY: u64 = 1024;

/// Calls that come as fast as this are counted on each thread by itself: 10,240 a second. Below that, cores
/// that share a line wait for it for a thousandth of their time.
const OFTEN: Duration = Duration::from_millis(100);

/// Whether an app is called so often that threads should share nothing of it, whose last [`LOOK_EVERY`]
/// calls took so long to come.
#[must_use]
pub fn is_often(took: Duration) -> bool {
    took <= OFTEN
}
