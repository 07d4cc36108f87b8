//! What happens when the process may open no more files: it is said once in a while with the numbers
//! and the remedy, and operators are let in by files that were kept for them.
//! Does not bound anything: the settings leave room for what the host needs besides connections.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;

/// How often it is said that files have run out.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Who is told that files have run out.
type Tell = Box<dyn Fn(&str) + Send + Sync>;

/// Knows when the process was out of files.
pub struct Descriptors {
    /// Files this process may have open.
    limit: u64,
    /// Connections that are not accepted since it was last said.
    n_unsaid: AtomicU64,
    said_at: Mutex<Option<Instant>>,
    tell: Tell,
}

impl std::fmt::Debug for Descriptors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Descriptors").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// Files that are open for nothing, to be closed where one is needed.
#[derive(Debug)]
pub struct SpareFiles {
    most: usize,
    files: Vec<File>,
}

impl Descriptors {
    /// A process that may have `limit` files open, and who is told when that is not enough.
    #[must_use]
    pub fn new(limit: u64, tell: impl Fn(&str) + Send + Sync + 'static) -> Arc<Self> {
        let (n_unsaid, said_at) = (AtomicU64::new(0), Mutex::default());
        Arc::new(Self { limit, n_unsaid, said_at, tell: Box::new(tell) })
    }

    /// Whether this error says that there are no more files; says so to the operator now and then.
    pub fn is_out(&self, error: &io::Error) -> bool {
        let errno = error.raw_os_error();
        let is_out = errno == Some(Errno::MFILE.raw_os_error())
            || errno == Some(Errno::NFILE.raw_os_error());
        if is_out {
            self.say(Instant::now());
        }
        is_out
    }

    fn say(&self, now: Instant) {
        let n_unsaid = self.n_unsaid.fetch_add(1, Ordering::Relaxed) + 1;
        let mut said_at = self.said_at.lock().unwrap_or_else(PoisonError::into_inner);
        if said_at.is_some_and(|said_at| now.duration_since(said_at) < SAY_EVERY) {
            return;
        }
        *said_at = Some(now);
        drop(said_at);
        self.n_unsaid.fetch_sub(n_unsaid, Ordering::Relaxed);
        let limit = self.limit;
        (self.tell)(&format!(
            "all {limit} files that this process may open are open, so connections wait in the \
             kernel; raise the limit (ulimit -Hn, or LimitNOFILE in the systemd unit) or lower \
             --connections; {n_unsaid} times until now"
        ));
    }
}

impl SpareFiles {
    /// Opens so many files, or as many as can be had.
    #[must_use]
    pub fn open(most: usize) -> Self {
        let mut kept = Self { most, files: Vec::new() };
        kept.refill();
        kept
    }

    /// Closes one. `false` when there is none left.
    pub fn release(&mut self) -> bool {
        self.files.pop().is_some()
    }

    /// Opens those again that were closed, as far as they can be had.
    pub fn refill(&mut self) {
        while self.files.len() < self.most {
            let Ok(file) = File::open("/dev/null") else { return };
            self.files.push(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_files_is_said_once_a_minute_with_the_numbers() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let tell = said.clone();
        let descriptors = Descriptors::new(80, move |text| {
            tell.lock().unwrap().push(text.to_owned());
        });
        let started_at = Instant::now();
        for n in 0..1000 {
            descriptors.say(started_at + Duration::from_millis(100 * n));
        }
        let said = said.lock().unwrap();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("all 80 files") && said[1].ends_with("600 times until now"));
        assert!(!descriptors.is_out(&io::Error::other("something else")));
    }
}
