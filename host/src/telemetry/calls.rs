//! The last calls of each app: how each ended and what it took; and the sum of those that ended since history
//! was last written. That is added up where the call is kept, under the lock that it takes anyhow, so it costs
//! no line of memory that others write.
//! Does not keep more than a handful of an app, nor of all, and does not survive the process.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use dashmap::DashMap;
use http::Method;
use steerage_core::capsule::CapsuleFate;
use steerage_core::history::{Slot, SlotCall};
use steerage_core::id::{AppName, CallId, CallIdPrefix, Generation};
use steerage_core::spent::TimeSpent;
use steerage_core::telemetry::KeptOfApp;
use steerage_core::why;

use super::capsules::Capsules;
use super::destinations::Destinations;
use crate::call::{LongestWait, Usage};
use crate::shared::{Locked, Sharded, Sum};

/// How many calls are kept of each app.
const KEPT: usize = 64;
/// How many each thread keeps of an app that is called very often.
const KEPT_OF_THREAD: usize = 16;
/// How many are kept of those that failed, after later calls have taken their places: one failure among a
/// thousand good calls is what people look for.
const KEPT_OF_FAILED: usize = 32;

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
    /// Where that time went.
    pub spent: TimeSpent,
    /// Whom it had asked that it waited for longest; nothing of one that asked nobody.
    pub waited_for: Option<Box<LongestWait>>,
    /// The same of those that gave it no good answer.
    pub failed_by: Option<Box<LongestWait>>,
    /// What the guest took.
    pub usage: Usage,
    /// Bytes of request body: as many as it was said to have, or as had come.
    pub request_bytes: u64,
    /// Bytes of response body.
    pub response_bytes: u64,
    /// Who called: the client, or what stands before it.
    pub client: IpAddr,
    /// What became of its capsule, where it was to leave one.
    pub capsule: Option<CapsuleFate>,
}

/// The last calls of all apps.
#[derive(Debug)]
pub struct AllCalls {
    rings: DashMap<AppName, Weak<Calls>>,
    /// Bytes kept of all apps.
    n_bytes: Arc<Sum>,
    /// Bytes of what is added up of all apps; `None` where nobody writes history.
    of_slots: Option<Arc<Sum>>,
}

/// Calls in the order in which they ended.
type Ring = VecDeque<CallSummary>;

/// What one lock guards: the last calls, and the sum of those that history does not have yet.
#[derive(Debug, Default)]
struct Ended {
    ring: Ring,
    /// Nothing as long as no call has ended: most apps are idle most of the time.
    slot: Option<Box<Slot>>,
}

/// A ring of the last calls of one app.
#[derive(Debug)]
pub struct Calls {
    ended: Locked<Ended>,
    /// One of each thread, once the app is called very often: the lock of one ring would be what all cores
    /// write for each call. Nobody else takes these locks but who reads.
    of_threads: OnceLock<Sharded<Locked<Ended>>>,
    /// Those that failed and are no longer among the last.
    failed: Locked<Ended>,
    /// Whom the calls have asked, and what came of it.
    pub destinations: Arc<Destinations>,
    /// What calls that failed have left.
    pub capsules: Capsules,
    /// Bytes kept of all apps.
    n_bytes_of_all: Arc<Sum>,
    /// Bytes of all slots; see [`AllCalls`].
    of_slots: Option<Arc<Sum>>,
}

impl AllCalls {
    /// None yet; what is kept is added to `n_bytes`, and what is added up for history to `of_slots`.
    pub(super) fn new(n_bytes: Arc<Sum>, of_slots: Option<Arc<Sum>>) -> Self {
        Self { rings: DashMap::new(), n_bytes, of_slots }
    }

    /// A ring for an app that has not been called yet.
    #[must_use]
    pub fn ring(&self, app: &AppName) -> Arc<Calls> {
        let ring = Arc::new(Calls {
            ended: Locked::default(),
            of_threads: OnceLock::new(),
            failed: Locked::default(),
            destinations: Arc::new(Destinations::new(self.n_bytes.clone())),
            capsules: Capsules::new(self.n_bytes.clone()),
            n_bytes_of_all: self.n_bytes.clone(),
            of_slots: self.of_slots.clone(),
        });
        self.rings.insert(app.clone(), Arc::downgrade(&ring));
        ring
    }

    /// Tells how much is kept of each app, and since when nothing was added.
    pub(super) fn weigh(&self, mut tell: impl FnMut(&AppName, KeptOfApp)) {
        // Of apps that are gone nothing is left but this.
        self.rings.retain(|_, ring| ring.strong_count() > 0);
        for ring in &self.rings {
            if let Some(kept) = ring.upgrade().and_then(|calls| calls.kept()) {
                tell(ring.key(), kept);
            }
        }
    }

    /// Knows no ring of an app any more.
    pub(super) fn remove(&self, app: &AppName) {
        self.rings.remove(app);
    }

    /// Forgets the calls of an app, and whom they asked.
    pub(super) fn forget(&self, app: &AppName) {
        let ring = self.rings.get(app).and_then(|ring| ring.upgrade());
        if let Some(ring) = ring {
            ring.forget();
            ring.destinations.forget();
            ring.capsules.forget();
        }
    }
}

impl Calls {
    /// Adds one, dropping the oldest when full. Where the app is called `very_often`, of what this thread
    /// has added.
    pub fn push(&self, call: CallSummary, very_often: bool) {
        let (ended, most) = if very_often {
            (self.of_threads.get_or_init(Sharded::default).here(), KEPT_OF_THREAD)
        } else {
            (&self.ended, KEPT)
        };
        let mut ended = ended.lock();
        self.n_bytes_of_all.add(call.n_bytes());
        if let Some(of_slots) = &self.of_slots {
            ended.add_up(&call, of_slots);
        }
        let ring = &mut ended.ring;
        let oldest = if ring.len() == most { ring.pop_front() } else { None };
        ring.push_back(call);
        drop(ended);
        let gone = oldest.and_then(|oldest| {
            if !oldest.is_failed() {
                return Some(oldest);
            }
            // Where every call fails, threads must not wait for each other here.
            let Some(mut failed) = self.failed.try_lock() else { return Some(oldest) };
            let failed = &mut failed.ring;
            let gone = if failed.len() == KEPT_OF_FAILED { failed.pop_front() } else { None };
            failed.push_back(oldest);
            gone
        });
        if let Some(gone) = gone {
            self.n_bytes_of_all.subtract(gone.n_bytes());
        }
    }

    /// The last `n` calls, in the order in which they ended.
    #[must_use]
    pub fn tail(&self, n: usize) -> Vec<CallSummary> {
        let mut calls: Vec<CallSummary> = self.ended.lock().ring.iter().cloned().collect();
        if self.of_threads.get().is_some() {
            for ended in self.of_threads() {
                calls.extend(ended.ring.iter().cloned());
            }
            calls.sort_by_key(CallSummary::ended_at);
        }
        calls.drain(..calls.len().saturating_sub(n));
        calls
    }

    /// The last `n` calls that failed, in the order in which they ended. They are kept for longer than others.
    #[must_use]
    pub fn failed(&self, n: usize) -> Vec<CallSummary> {
        let mut calls = Vec::new();
        for ended in self.all() {
            calls.extend(ended.ring.iter().filter(|call| call.is_failed()).cloned());
        }
        calls.sort_by_key(CallSummary::ended_at);
        calls.drain(..calls.len().saturating_sub(n));
        calls
    }

    /// The calls that are kept and whose ids begin so.
    #[must_use]
    pub fn find(&self, id: CallIdPrefix) -> Vec<CallSummary> {
        let mut found = Vec::new();
        for ended in self.all() {
            found.extend(ended.ring.iter().filter(|call| id.begins(call.id)).cloned());
        }
        found
    }

    /// What was added up since this was last asked for, which begins anew; `None` where no call has ended.
    pub fn take_slot(&self) -> Option<Slot> {
        let taken = self.all().filter_map(|mut ended| ended.slot.take());
        taken
            .map(|slot| {
                self.subtract_slot(&slot);
                *slot
            })
            .reduce(|mut sum, slot| {
                sum.add(&slot);
                sum
            })
    }

    /// The same, and it goes on.
    #[must_use]
    pub fn slot(&self) -> Option<Slot> {
        let slots = self.all().filter_map(|ended| ended.slot.as_deref().cloned());
        slots.reduce(|mut sum, slot| {
            sum.add(&slot);
            sum
        })
    }

    fn subtract_slot(&self, slot: &Slot) {
        if let Some(of_slots) = &self.of_slots {
            of_slots.subtract(slot.n_bytes() as u64);
        }
    }

    fn kept(&self) -> Option<KeptOfApp> {
        let mut kept = KeptOfApp { last_at: 0, bytes: 0 };
        for ended in self.all() {
            let ring = &ended.ring;
            kept.last_at = kept.last_at.max(ring.back().map_or(0, |call| call.at));
            kept.bytes += ring.iter().map(CallSummary::n_bytes).sum::<u64>();
        }
        if let Some(of_destinations) = self.destinations.kept() {
            kept.last_at = kept.last_at.max(of_destinations.last_at);
            kept.bytes += of_destinations.bytes;
        }
        kept.bytes += self.capsules.n_bytes();
        (kept.bytes > 0).then_some(kept)
    }

    fn forget(&self) {
        for mut ended in self.all() {
            let forgotten = std::mem::take(&mut ended.ring);
            self.n_bytes_of_all.subtract(forgotten.iter().map(CallSummary::n_bytes).sum());
        }
    }

    /// What each lock guards in turn.
    fn all(&self) -> impl Iterator<Item = MutexGuard<'_, Ended>> {
        [&self.failed, &self.ended].into_iter().map(Locked::lock).chain(self.of_threads())
    }

    fn of_threads(&self) -> impl Iterator<Item = MutexGuard<'_, Ended>> {
        self.of_threads.get().into_iter().flat_map(Sharded::iter).map(Locked::lock)
    }
}

impl Ended {
    /// Adds a call to the slot, whose bytes are in `n_bytes`.
    fn add_up(&mut self, call: &CallSummary, n_bytes: &Sum) {
        let n_before = self.slot.as_ref().map_or(0, |slot| slot.n_bytes());
        let slot = self.slot.get_or_insert_default();
        slot.record(&SlotCall {
            cause: call.cause,
            status: call.status,
            latency_us: u64::try_from(call.duration.as_micros()).unwrap_or(u64::MAX),
            response_bytes: call.response_bytes,
            fuel: call.usage.fuel.get(),
            memory_bytes: call.usage.memory.get(),
        });
        let n_bytes_now = slot.n_bytes();
        if n_bytes_now != n_before {
            n_bytes.add((n_bytes_now - n_before) as u64);
        }
    }
}

impl CallSummary {
    /// Whether it failed through the app or the host, an answer of class 5xx of the app's own included.
    pub(crate) fn is_failed(&self) -> bool {
        why::is_failed(self.cause, self.status)
    }

    /// What it takes, with the room that its ring has before it is full.
    fn n_bytes(&self) -> u64 {
        let waits = [&self.waited_for, &self.failed_by].into_iter().flatten();
        let n_of_waits: usize = waits.map(|wait| wait.n_bytes()).sum();
        (size_of::<Self>() * 3 / 2 + self.path.len() + n_of_waits) as u64
    }

    /// Microseconds since the epoch when it was over.
    fn ended_at(&self) -> u64 {
        let duration = u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX);
        self.at.saturating_mul(1000).saturating_add(duration)
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.forget();
        // What nobody will write.
        drop(self.take_slot());
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
            spent: TimeSpent::default(),
            waited_for: None,
            failed_by: None,
            usage: Usage::default(),
            request_bytes: 0,
            response_bytes: 0,
            client: [127, 0, 0, 1].into(),
            capsule: None,
        }
    }

    #[test]
    fn what_failed_is_kept_for_longer() {
        let all = AllCalls::new(Arc::new(Sum::new(0)), None);
        let calls = all.ring(&"app".parse().unwrap());
        let failed = |at, status, cause| CallSummary { status, cause, ..call(at) };
        for at in 0..40 {
            calls.push(failed(at, 500, "answered"), false);
        }
        calls.push(failed(40, 0, "client_gone"), false);
        (41..500).for_each(|at| calls.push(call(at), at % 2 == 0));
        assert!(calls.tail(1000).iter().all(|call| call.at > 40));
        let kept: Vec<u64> = calls.failed(100).iter().map(|call| call.at).collect();
        assert_eq!(kept, (40 - KEPT_OF_FAILED as u64..40).collect::<Vec<_>>());
        assert_eq!(calls.failed(1).len(), 1);
        assert_eq!(calls.find("00000000000000000000000000000027".parse().unwrap()).len(), 1);
        let n_bytes: u64 =
            calls.all().flat_map(|ended| ended.ring.clone()).map(|c| c.n_bytes()).sum();
        assert_eq!(all.n_bytes.get(), n_bytes);
        drop(calls);
        assert_eq!(all.n_bytes.get(), 0);
    }

    #[test]
    fn what_threads_keep_by_themselves_is_one_list_in_order() {
        let all = AllCalls::new(Arc::new(Sum::new(0)), None);
        let app: AppName = "app".parse().unwrap();
        let calls = all.ring(&app);
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
        let n_bytes: u64 = tail.iter().map(CallSummary::n_bytes).sum();
        assert_eq!(all.n_bytes.get(), n_bytes);
        assert_eq!(calls.tail(3).iter().map(|call| call.at).max(), Some(39));
        all.weigh(|app, kept| {
            assert_eq!((app.as_str(), kept), ("app", KeptOfApp { last_at: 39, bytes: n_bytes }));
        });
        all.forget(&app);
        assert!(calls.tail(100).is_empty());
        assert_eq!(all.n_bytes.get(), 0);
        // Whom they asked weighs as they do, and is forgotten with them.
        calls.destinations.begin("api.example.com:443");
        let n_bytes = all.n_bytes.get();
        assert!(n_bytes > 0);
        all.weigh(|_, kept| assert_eq!(kept.bytes, n_bytes));
        all.forget(&app);
        assert_eq!(all.n_bytes.get(), 0);
        calls.push(call(1), false);
        drop(calls);
        assert_eq!(all.n_bytes.get(), 0);
    }

    #[test]
    fn what_history_does_not_have_yet_is_added_up_and_taken_once() {
        let of_slots = Arc::new(Sum::new(0));
        let all = AllCalls::new(Arc::new(Sum::new(0)), Some(of_slots.clone()));
        let app: AppName = "app".parse().unwrap();
        let calls = all.ring(&app);
        assert_eq!((calls.slot(), of_slots.get()), (None, 0), "of an idle app there is nothing");
        (0..1000).for_each(|at| calls.push(call(at), at % 2 == 0));
        // Calls may be forgotten for want of memory, not what is added up of them.
        all.forget(&app);
        assert_eq!(calls.slot().unwrap().calls(), 1000);
        assert!((1..1000).contains(&of_slots.get()), "{} bytes", of_slots.get());
        assert_eq!(calls.take_slot().unwrap().latency.n_counted(), 1000);
        assert_eq!((calls.take_slot(), of_slots.get()), (None, 0));
        calls.push(call(7), false);
        drop(calls);
        assert_eq!(of_slots.get(), 0);
    }
}
