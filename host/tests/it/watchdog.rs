//! Ends what a test has started when the test takes too long, so that a test that waits for ever
//! fails with its name instead of holding up all others. Does not end the test itself: the test sees
//! a process that is gone.

use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::longest_test;

/// A process of a test. The process is watched until this is dropped.
#[derive(Debug)]
pub(crate) struct Watched {
    /// A descriptor and not an id: the kernel may have given the id to another process by then.
    process: OwnedFd,
    what: String,
    /// The test's name, as the test runner names threads.
    test: String,
    since: Instant,
}

static ALL: Mutex<Vec<Weak<Watched>>> = Mutex::new(Vec::new());
static WATCHDOG: Once = Once::new();

/// Ends this process when it still runs after [`longest_test`].
pub(crate) fn watch(child: &Child, what: impl Into<String>) -> Arc<Watched> {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).unwrap();
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let watched = Arc::new(Watched { process, what: what.into(), test, since: Instant::now() });
    ALL.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&watched));
    WATCHDOG.call_once(|| drop(std::thread::spawn(keep_watch)));
    watched
}

fn keep_watch() {
    loop {
        std::thread::park_timeout(Duration::from_secs(2));
        ALL.lock().unwrap_or_else(PoisonError::into_inner).retain(|it| {
            let Some(it) = it.upgrade() else { return false };
            if it.since.elapsed() < longest_test() {
                return true;
            }
            if pidfd_send_signal(&it.process, Signal::KILL).is_ok() {
                eprintln!("{}: ended after {:?}: {}", it.test, longest_test(), it.what);
            }
            false
        });
    }
}
