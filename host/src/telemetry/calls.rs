//! The last calls of each app: how each ended and what it took.
//! Does not keep more than a handful of an app, nor of all, and does not survive the process.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use dashmap::DashMap;
use http::Method;
use steerage_core::id::{AppName, CallId, Generation};

use crate::call::Usage;
use crate::shared::{Locked, Sharded, Shared};

/// How many calls are kept of each app.
const KEPT: usize = 64;
/// How many each thread keeps of an app that is called very often.
const KEPT_OF_THREAD: usize = 16;
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
    rings: DashMap<AppName, Weak<Calls>>,
    /// How many are kept.
    n_calls: Arc<Shared<AtomicUsize>>,
}

/// Calls in the order in which they ended.
type Ring = VecDeque<CallSummary>;

/// A ring of the last calls of one app.
#[derive(Debug)]
pub struct Calls {
    ring: Locked<Ring>,
    /// One of each thread, once the app is called very often: the lock of one ring would be what all cores
    /// write for each call. Nobody else takes these locks but who reads.
    of_threads: OnceLock<Sharded<Locked<Ring>>>,
    /// How many are kept of all apps.
    n_of_all: Arc<Shared<AtomicUsize>>,
}

impl AllCalls {
    /// A ring for an app that has not been called yet.
    pub fn ring(&self, app: &AppName) -> Arc<Calls> {
        let ring = Arc::new(Calls {
            ring: Locked::default(),
            of_threads: OnceLock::new(),
            n_of_all: self.n_calls.clone(),
        });
        self.rings.insert(app.clone(), Arc::downgrade(&ring));
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
        // Of apps that are gone nothing is left but this.
        self.rings.retain(|_, ring| ring.strong_count() > 0);
        let rings: Vec<Arc<Calls>> = self.rings.iter().filter_map(|ring| ring.upgrade()).collect();
        let last_at = |ring: Arc<Calls>| Some((ring.last_at()?, ring));
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
    /// Adds one, dropping the oldest when full. Where the app is called `very_often`, of what this thread
    /// has added.
    pub fn push(&self, call: CallSummary, very_often: bool) {
        let (ring, most) = if very_often {
            (self.of_threads.get_or_init(Sharded::default).here(), KEPT_OF_THREAD)
        } else {
            (&self.ring, KEPT)
        };
        let mut ring = ring.lock();
        if ring.len() == most {
            ring.pop_front();
        } else {
            self.n_of_all.write().fetch_add(1, Ordering::Relaxed);
        }
        ring.push_back(call);
    }

    /// The last `n` calls, in the order in which they ended.
    #[must_use]
    pub fn tail(&self, n: usize) -> Vec<CallSummary> {
        let mut calls: Vec<CallSummary> = self.ring.lock().iter().cloned().collect();
        if self.of_threads.get().is_some() {
            for ring in self.rings().skip(1) {
                calls.extend(ring.iter().cloned());
            }
            calls.sort_by_key(CallSummary::ended_at);
        }
        calls.drain(..calls.len().saturating_sub(n));
        calls
    }

    /// When the last call came in.
    fn last_at(&self) -> Option<u64> {
        self.rings().filter_map(|ring| Some(ring.back()?.at)).max()
    }

    fn forget(&self) {
        for mut ring in self.rings() {
            let forgotten = std::mem::take(&mut *ring);
            self.n_of_all.write().fetch_sub(forgotten.len(), Ordering::Relaxed);
        }
    }

    /// Each ring in turn, locked.
    fn rings(&self) -> impl Iterator<Item = MutexGuard<'_, Ring>> {
        let of_threads = self.of_threads.get().into_iter().flat_map(Sharded::iter);
        std::iter::once(&self.ring).chain(of_threads).map(Locked::lock)
    }
}

impl CallSummary {
    /// Microseconds since the epoch when it was over.
    fn ended_at(&self) -> u64 {
        let duration = u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX);
        self.at.saturating_mul(1000).saturating_add(duration)
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

    fn name(app: usize) -> AppName {
        format!("app-{app}").parse().unwrap()
    }

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
        let rings: Vec<Arc<Calls>> = (0..10).map(|app| all.ring(&name(app))).collect();
        for (place, ring) in rings.iter().enumerate() {
            for _ in 0..2 * KEPT {
                ring.push(call(place as u64), false);
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

    #[test]
    fn what_threads_keep_by_themselves_is_one_list_in_order() {
        let all = AllCalls::default();
        let calls = all.ring(&name(0));
        (0..10).for_each(|at| calls.push(call(at), false));
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let calls = &calls;
                let ats = (10..40).filter(move |at| at % 2 == thread);
                scope.spawn(move || ats.for_each(|at| calls.push(call(at), true)));
            }
        });
        let tail = calls.tail(100);
        assert!(tail.is_sorted_by_key(|call| call.at), "{tail:?}");
        assert_eq!(tail.last().unwrap().at, 39);
        assert!(tail.len() >= 10 + KEPT_OF_THREAD, "{}", tail.len());
        assert_eq!(all.n_calls.load(Ordering::Relaxed), tail.len());
        assert_eq!(calls.tail(3).iter().map(|call| call.at).max(), Some(39));
        all.shrink_to(0);
        assert!(calls.tail(100).is_empty());
        assert_eq!(all.n_calls.load(Ordering::Relaxed), 0);
    }
}
