//! How an inline worker is told that there are slices for it.
//! Does not know the worker.

use std::sync::Arc;
use std::thread::{self, ThreadId};

use tokio::sync::Notify;

/// Wakes one inline worker.
#[derive(Debug)]
pub(super) struct WakeHandle {
    notify: Arc<Notify>,
    thread: ThreadId,
}

impl WakeHandle {
    /// Wakes a worker of this thread.
    pub(super) fn here() -> Self {
        Self { notify: Arc::default(), thread: thread::current().id() }
    }

    /// Wakes the worker, or has it not fall asleep.
    pub(super) fn wake(&self) {
        self.notify.notify_one();
    }

    /// What is waited on to be woken.
    pub(super) fn notify(&self) -> &Arc<Notify> {
        &self.notify
    }

    /// Whether it can be woken without waking another thread.
    pub(super) fn is_here(&self) -> bool {
        self.thread == thread::current().id()
    }
}
