//! Counts the locks that calls take and the shared lines that they write, in builds with debug
//! assertions or the feature `count-shared`. Only on threads that serve calls: what the host does beside them costs no call.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

/// What was done to what cores share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SharedUse {
    /// A lock was taken.
    Lock,
    /// A lock was taken that threads of other cores take seldom.
    OwnLock,
    /// An atomic was written.
    Write,
    /// An atomic was written that threads of other cores use seldom.
    OwnWrite,
}

impl SharedUse {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::OwnLock => "own_lock",
            Self::Write => "write",
            Self::OwnWrite => "own_write",
        }
    }
}

/// Whether anything is counted.
pub const IS_ON: bool = cfg!(any(debug_assertions, feature = "count-shared"));

/// Something that was done, and where in the source.
type Place = (SharedUse, &'static str, u32);

/// One lock for all, as nobody measures time in such builds.
static COUNTS: Mutex<BTreeMap<Place, u64>> = Mutex::new(BTreeMap::new());

thread_local! {
    static IS_COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// What this thread does is done for calls, from now on.
pub fn count_here() {
    IS_COUNTED.set(true);
}

/// Counts so many, at the place that called what calls this.
#[track_caller]
#[inline]
pub(super) fn note(kind: SharedUse, n: u64) {
    if IS_ON && IS_COUNTED.get() {
        let at = Location::caller();
        let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((kind, at.file(), at.line())).or_default() += n;
    }
}

/// All that was counted, with the places in the source; nothing where that is off.
#[must_use]
pub fn all() -> Vec<(SharedUse, String, u64)> {
    let counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let all = counts.iter().map(|((kind, file, line), count)| {
        let file = file.rsplit_once("src/").map_or(*file, |(_, file)| file);
        (*kind, format!("{file}:{line}"), *count)
    });
    all.collect()
}
