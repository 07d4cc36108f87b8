//! Ending in order: from the first signal to the last call.
//! Does not know what the parts do; each watches a `Shutdown` and holds a `Busy` while it works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

/// Tells every part of the host that it is ending, and knows when all work is done.
#[derive(Clone, Debug)]
pub struct Shutdown {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    draining: watch::Sender<bool>,
    shut: watch::Sender<bool>,
    /// Whether work that is left was given up.
    is_cut: AtomicBool,
    closed: watch::Sender<bool>,
    busy: AtomicUsize,
    idle: Notify,
}

/// Keeps the host from ending while it lives.
#[derive(Debug)]
pub struct Busy {
    inner: Arc<Inner>,
}

impl Default for Shutdown {
    fn default() -> Self {
        let (draining, _) = watch::channel(false);
        let (closed, _) = watch::channel(false);
        let inner = Inner {
            draining,
            shut: watch::Sender::new(false),
            is_cut: AtomicBool::new(false),
            closed,
            busy: AtomicUsize::new(0),
            idle: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }
}

impl Shutdown {
    /// Starts the end: not ready any more. Callers are still let in until [`Shutdown::shut_doors`], so
    /// that those who choose hosts see that this one is not ready before it is gone.
    pub fn begin(&self) {
        self.inner.draining.send_replace(true);
    }

    /// Whether the end has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.inner.draining.borrow()
    }

    /// Returns once the end has begun.
    pub async fn begun(&self) {
        let mut draining = self.inner.draining.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        drop(draining.wait_for(|begun| *begun).await);
    }

    /// Nobody is let in any more; who is in finishes what was asked.
    pub fn shut_doors(&self) {
        self.inner.shut.send_replace(true);
    }

    /// Returns once nobody is let in any more.
    pub fn shut(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut shut = self.inner.shut.subscribe();
        // Holds the sender, so that this cannot fail.
        let this = self.clone();
        async move {
            drop(shut.wait_for(|shut| *shut).await);
            drop(this);
        }
    }

    /// The time to finish is over: what still runs is given up, and told so.
    pub fn cut(&self) {
        self.inner.is_cut.store(true, Ordering::Release);
    }

    /// Whether what still runs was given up.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.inner.is_cut.load(Ordering::Acquire)
    }

    /// Ends it: whatever is left is broken off.
    pub fn close(&self) {
        self.inner.closed.send_replace(true);
    }

    /// Returns once everything that is left is to be broken off.
    pub async fn closed(&self) {
        let mut closed = self.inner.closed.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        drop(closed.wait_for(|closed| *closed).await);
    }

    /// Counts a piece of work that the end must wait for.
    #[must_use]
    pub fn busy(&self) -> Busy {
        self.inner.busy.fetch_add(1, Ordering::AcqRel);
        Busy { inner: self.inner.clone() }
    }

    /// Waits until no work is left, at most `limit`. `false` when some is left.
    pub async fn drained(&self, limit: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let idle = self.inner.idle.notified();
            if self.inner.busy.load(Ordering::Acquire) == 0 {
                return true;
            }
            if tokio::time::timeout_at(deadline, idle).await.is_err() {
                return self.inner.busy.load(Ordering::Acquire) == 0;
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.inner.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.inner.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_work_but_not_for_ever() {
        let shutdown = Shutdown::default();
        let busy = shutdown.busy();
        assert!(!shutdown.has_begun());
        shutdown.begin();
        shutdown.begun().await;
        assert!(!shutdown.drained(Duration::from_secs(5)).await);
        drop(busy);
        assert!(shutdown.drained(Duration::from_secs(5)).await);
    }
}
