//! The last calls of each app: how each ended and what it took.
//! Does not keep more than a handful of an app, nor of all, and does not survive the process.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::Method;
use steerage_core::id::{CallId, Generation};

use crate::call::Usage;

/// How many calls are kept of each app.
const KEPT: usize = 64;
/// How many are kept of all apps together, some 60 MB. Beyond it the calls go of those apps that were
/// not called for the longest time.
const KEPT_OF_ALL: usize = 200_000;

/// One call, after it is over.
#[derive(Clone, Debug)]
pub struct CallSummary {
    /// The call.
    pub id: CallId,
    /// Milliseconds since the epoch when it came in.
    pub at: u64,
    /// The deployment that served it.
    pub generation: Generation,
    /// The request's method; cut when long.
    pub method: Method,
    /// The request's path, without the query; cut when long.
    pub path: Arc<str>,
    /// The status sent, 0 when none was.
    pub status: u16,
    /// The cause code of its outcome.
    pub cause: &'static str,
    /// From accepting the request to the last response byte.
    pub duration: Duration,
    /// What the guest took.
    pub usage: Usage,
    /// Bytes of response body.
    pub response_bytes: u64,
}

/// The last calls of all apps.
#[derive(Debug, Default)]
pub struct AllCalls {
    rings: Mutex<Vec<Weak<Calls>>>,
    /// How many are kept.
    n_calls: Arc<AtomicUsize>,
}

/// A ring of the last calls of one app.
#[derive(Debug, Default)]
pub struct Calls {
    ring: Mutex<VecDeque<CallSummary>>,
    /// How many are kept of all apps.
    n_of_all: Arc<AtomicUsize>,
}

impl AllCalls {
    /// A ring for an app that has not been called yet.
    pub fn ring(&self) -> Arc<Calls> {
        let ring = Arc::new(Calls { ring: Mutex::default(), n_of_all: self.n_calls.clone() });
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        if rings.len() == rings.capacity() {
            rings.retain(|ring| ring.strong_count() > 0);
        }
        rings.push(Arc::downgrade(&ring));
        ring
    }

    /// Forgets calls where more are kept of all apps together than may be. To be called now and then.
    pub fn shrink(&self) {
        self.shrink_to(KEPT_OF_ALL);
    }

    fn shrink_to(&self, most: usize) {
        if self.n_calls.load(Ordering::Relaxed) <= most {
            return;
        }
        let rings: Vec<Arc<Calls>> = {
            let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
            rings.iter().filter_map(Weak::upgrade).collect()
        };
        let last_at = |ring: Arc<Calls>| {
            let at = ring.ring().back()?.at;
            Some((at, ring))
        };
        let mut called: Vec<(u64, Arc<Calls>)> = rings.into_iter().filter_map(last_at).collect();
        called.sort_by_key(|(at, _)| *at);
        // To three quarters, so that the next look finds nothing to do.
        for (_, ring) in called {
            if self.n_calls.load(Ordering::Relaxed) <= most / 4 * 3 {
                return;
            }
            ring.forget();
        }
    }
}

impl Calls {
    /// Adds one, dropping the oldest when full.
    pub fn push(&self, call: CallSummary) {
        let mut ring = self.ring();
        if ring.len() == KEPT {
            ring.pop_front();
        } else {
            self.n_of_all.fetch_add(1, Ordering::Relaxed);
        }
        ring.push_back(call);
    }

    /// The last `n` calls, oldest first.
    #[must_use]
    pub fn tail(&self, n: usize) -> Vec<CallSummary> {
        let ring = self.ring();
        ring.iter().skip(ring.len().saturating_sub(n)).cloned().collect()
    }

    fn forget(&self) {
        let forgotten = std::mem::take(&mut *self.ring());
        self.n_of_all.fetch_sub(forgotten.len(), Ordering::Relaxed);
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<CallSummary>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(at: u64) -> CallSummary {
        CallSummary {
            id: CallId::from_u128(at.into()),
            at,
            generation: Generation::FIRST,
            method: Method::GET,
            path: "/".into(),
            status: 200,
            cause: "answered",
            duration: Duration::ZERO,
            usage: Usage::default(),
            response_bytes: 0,
        }
    }

    #[test]
    fn the_calls_of_all_apps_are_bounded_and_the_quiet_ones_lose_theirs() {
        let all = AllCalls::default();
        let rings: Vec<Arc<Calls>> = (0..10).map(|_| all.ring()).collect();
        for (place, ring) in rings.iter().enumerate() {
            for _ in 0..2 * KEPT {
                ring.push(call(place as u64));
            }
        }
        let n_calls = || all.n_calls.load(Ordering::Relaxed);
        assert_eq!(n_calls(), 10 * KEPT);
        all.shrink_to(10 * KEPT);
        assert_eq!(n_calls(), 10 * KEPT, "as many as may be");
        all.shrink_to(4 * KEPT);
        let lengths: Vec<usize> = rings.iter().map(|ring| ring.tail(100).len()).collect();
        assert_eq!(lengths, [0, 0, 0, 0, 0, 0, 0, KEPT, KEPT, KEPT]);
        drop(rings);
        assert_eq!(n_calls(), 0);
    }
}
