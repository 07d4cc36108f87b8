//! Whether an app takes its hosts down, from which apps had calls running when hosts crashed: ended
//! without being told to, on a machine that went on. One crash may have any cause; an app that is there
//! each time, and nobody else, is held back until another deployment of it comes.
//! Does not see crashes and holds nothing back.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::id::AppName;

/// Crashes longer ago than this say nothing any more.
pub const WITHIN: Duration = Duration::from_secs(3600);
/// So many crashes are no accident.
pub const CRASHES: usize = 2;
/// An app that has ended so many calls well enough in the run that crashed is no suspect, though one of
/// its calls ran: of a busy app one always does, so that says nothing.
pub const FEW_CALLS: u64 = 10;

/// A crash of a host while calls of one app ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// When it was found, in milliseconds since the epoch.
    pub at: u64,
    /// The other suspects.
    pub beside: BTreeSet<AppName>,
}

/// Whether an app whose call ran when a host crashed is a suspect, by how many of its calls were over.
#[must_use]
pub fn is_suspect(n_over: u64) -> bool {
    n_over < FEW_CALLS
}

/// Whether the app whose crashes these are is to blame, at this time in milliseconds since the epoch:
/// there were enough, and no other suspect was there each time.
#[must_use]
pub fn is_to_blame(crashes: &[Crash], now: u64) -> bool {
    let within = u64::try_from(WITHIN.as_millis()).unwrap_or(u64::MAX);
    // A clock that was set back makes a crash recent, which is the safe side.
    let mut recent = crashes.iter().filter(|crash| now.saturating_sub(crash.at) < within);
    let Some(first) = recent.next() else { return false };
    let (mut n_crashes, mut always) = (1, first.beside.clone());
    for crash in recent {
        n_crashes += 1;
        always.retain(|app| crash.beside.contains(app));
    }
    n_crashes >= CRASHES && always.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn crash(at: u64, beside: &[&str]) -> Crash {
        Crash { at, beside: beside.iter().map(|app| app.parse().unwrap()).collect() }
    }

    #[test]
    fn the_one_that_is_there_each_time_is_to_blame() {
        for (crashes, is_expected) in [
            (vec![], false),
            (vec![crash(5, &[])], false),
            (vec![crash(5, &[]), crash(6, &[])], true),
            (vec![crash(5, &["a"]), crash(6, &["b"])], true),
            // Two were there each time: nobody can say which it was.
            (vec![crash(5, &["a"]), crash(6, &["a", "b"])], false),
            (vec![crash(5, &["a"]), crash(6, &["a", "b"]), crash(7, &["b"])], true),
        ] {
            assert_eq!(is_to_blame(&crashes, 10), is_expected, "{crashes:?}");
        }
    }

    #[test]
    fn what_was_long_ago_does_not_count() {
        let crashes = [crash(0, &[]), crash(HOUR / 2, &[])];
        assert!(is_to_blame(&crashes, HOUR - 1));
        assert!(!is_to_blame(&crashes, HOUR));
        // A clock that was set back.
        assert!(is_to_blame(&[crash(9, &[]), crash(8, &[])], 1));
    }

    #[test]
    fn a_busy_app_is_no_suspect() {
        assert!(is_suspect(0) && is_suspect(9) && !is_suspect(10));
    }
}
