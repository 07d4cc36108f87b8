//! What the kernel grants this process, and taking all of it that can be had.
//! Decides nothing: `core::mapped` says what it is enough for.

use std::fs::{self, File};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What Linux allows unless told otherwise, for systems that do not say.
const DEFAULT_MAX_MAP_COUNT: u64 = 65_530;

/// How many mappings a process may have.
#[must_use]
pub fn max_map_count() -> u64 {
    let text = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    text.trim().parse().unwrap_or(DEFAULT_MAX_MAP_COUNT)
}

/// How many files this process may have open, once [`raise_open_files`] was called.
#[must_use]
pub fn open_files() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// Raises the number of files this process may have open as far as it may: each connection and each
/// app with mapped code takes one, and shells start processes with as few as 1024. Makes the
/// kernel's table large enough for `n_files` of them: with threads, each doubling later stops
/// whoever opens a file for some 15 ms. So to be called before there are threads.
pub fn raise_open_files(n_files: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let last = i32::try_from(n_files.min(open_files()).saturating_sub(1)).unwrap_or(i32::MAX);
    if let Ok(file) = File::open("/dev/null") {
        // A file of a high number makes the table grow, and it stays so.
        drop(fcntl_dupfd_cloexec(&file, last));
    }
}
