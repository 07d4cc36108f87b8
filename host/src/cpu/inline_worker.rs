//! Slices of guests on a thread that reads requests, while there is nothing to read.
//! Does not choose whose: the run queue of its core hands them out.
//!
//! A guest thread would have to be woken for a slice, would share the core with the thread that reads,
//! and would have to wake it for the answer. And who asks on this thread waits for the slice at hand
//! and not for the kernel to take a guest thread off the core.

use std::sync::Arc;
use std::time::Duration;

use super::cores::Cores;
use super::run_queue::WorkerKind;
use super::wake_handle::WakeHandle;
use crate::io_charge::{self, backpressure};

/// How long slices follow each other until the thread looks at what there is to read.
const ROUND: Duration = Duration::from_micros(20);

/// The same when there was nothing to read for [`QUIET`]: looking more often would slow the slices.
const LONG_ROUND: Duration = Duration::from_micros(200);

const QUIET: Duration = Duration::from_millis(1);

/// A worker on a thread that reads requests. Says that it is gone when it is dropped.
struct InlineWorker {
    cores: Arc<Cores>,
    /// The one whose queue it serves.
    core: usize,
    /// How often connections had been worked on here when last looked at.
    n_connections: u64,
    /// Slices since that changed.
    quiet: Duration,
}

/// Serves the queue until the future is dropped; does nothing where enough threads do.
pub(super) async fn work(cores: Arc<Cores>) {
    let handle = Arc::new(WakeHandle::default());
    let Some(core) = cores.engage(&handle) else { return };
    backpressure::released_by(Some(handle.notify().clone()));
    let mut inline = InlineWorker { cores, core, n_connections: 0, quiet: Duration::ZERO };
    loop {
        let is_more = inline.round();
        if backpressure::release(&*inline.cores) || is_more {
            tokio::task::yield_now().await;
        } else {
            handle.notify().notified().await;
        }
    }
}

impl InlineWorker {
    /// Serves the queue for a while; says whether there may be more to do.
    fn round(&mut self) -> bool {
        let n_connections = io_charge::n_done();
        if n_connections != self.n_connections {
            (self.n_connections, self.quiet) = (n_connections, Duration::ZERO);
        }
        let mut used = Duration::ZERO;
        let round = if self.quiet < QUIET { ROUND } else { LONG_ROUND };
        while used < round {
            let Some(taken) = self.cores.take(self.core, WorkerKind::Inline) else {
                return false;
            };
            used += self.cores.run_slice(self.core, taken);
        }
        self.quiet += used;
        true
    }
}

impl Drop for InlineWorker {
    fn drop(&mut self) {
        self.cores.dismiss(self.core);
        backpressure::released_by(None);
    }
}
