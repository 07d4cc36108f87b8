//! How an inline worker is told that there are slices for it.
//! Does not know the worker.

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes one inline worker.
#[derive(Debug, Default)]
pub(super) struct WakeHandle {
    notify: Arc<Notify>,
}

impl WakeHandle {
    /// Wakes the worker, or has it not fall asleep.
    pub(super) fn wake(&self) {
        self.notify.notify_one();
    }

    /// What is waited on to be woken.
    pub(super) fn notify(&self) -> &Arc<Notify> {
        &self.notify
    }
}
