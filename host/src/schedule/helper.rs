//! Slices of guests on a thread that reads requests, while there is nothing to read.
//! Does not choose whose: `line` hands them out.
//!
//! A guest thread would have to be woken for a slice, would share the core with the thread that reads,
//! and would have to wake it for the answer. And who asks on this thread waits for the slice at hand
//! and not for the kernel to take a guest thread off the core.

use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use tokio::sync::Notify;

use super::line::{Line, Server};
use super::{errand, hold};

/// How long slices follow each other until the thread looks at what there is to read.
const ROUND: Duration = Duration::from_micros(20);

/// The same when there was nothing to read for [`QUIET`]: looking more often would slow the slices.
const LONG_ROUND: Duration = Duration::from_micros(200);

const QUIET: Duration = Duration::from_millis(1);

/// Wakes one helper.
#[derive(Debug)]
pub(super) struct Bell {
    notify: Notify,
    thread: ThreadId,
}

/// A helper at work. Says that it is gone when it is dropped.
struct Helper {
    line: Arc<Line>,
    server: Server,
    /// How often connections had been worked on here when last looked at.
    n_errands: u64,
    /// Slices since that changed.
    quiet: Duration,
}

impl Bell {
    /// Wakes the helper, or has it not fall asleep.
    pub(super) fn ring(&self) {
        self.notify.notify_one();
    }

    /// Whether it can be rung without waking another thread.
    pub(super) fn is_here(&self) -> bool {
        self.thread == thread::current().id()
    }
}

/// Serves the line until the future is dropped; does nothing where enough threads do.
pub(super) async fn help(line: Arc<Line>) {
    let bell = Arc::new(Bell { notify: Notify::new(), thread: thread::current().id() });
    if !line.engage(&bell) {
        return;
    }
    hold::served_by(Some(bell.clone()));
    let server = Server::Helper(bell.clone());
    let mut helper = Helper { line, server, n_errands: 0, quiet: Duration::ZERO };
    loop {
        let is_more = helper.round();
        if hold::release(&helper.line) || is_more {
            tokio::task::yield_now().await;
        } else {
            bell.notify.notified().await;
        }
    }
}

impl Helper {
    /// Serves the line for a while; says whether there may be more to do.
    fn round(&mut self) -> bool {
        let n_errands = errand::n_done();
        if n_errands != self.n_errands {
            (self.n_errands, self.quiet) = (n_errands, Duration::ZERO);
        }
        let mut used = Duration::ZERO;
        let round = if self.quiet < QUIET { ROUND } else { LONG_ROUND };
        while used < round {
            let Some((task, charge)) = self.line.take(&self.server) else {
                return false;
            };
            used += self.line.slice(task, charge);
        }
        self.quiet += used;
        true
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.line.dismiss(&self.server);
        hold::served_by(None);
    }
}
