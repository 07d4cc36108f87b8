//! The counters of one app: one of each, and of an app that is called very often one of each for every
//! thread. Does not know how they are shown.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use steerage_core::latency::BOUNDS;
use steerage_core::outcome::{Outcome, Refusal};
use steerage_core::rollout::{Recent, Totals};
use steerage_core::spent::{Phase, TimeSpent};
use steerage_core::telemetry;
use steerage_core::units::Bytes;

use super::SHED;
use super::buckets::DURATION_COUNTERS;
use super::counters::{self, Counters};
use super::http_durations::HttpKind;
use crate::call::Usage;
use crate::shared::{Sharded, Shared, Sum};

/// How many counters [`AppMeter::growing`] gives.
pub const APP_COUNTERS: usize = counters::APP_COUNTERS + 2;
/// Most apps that have counters for each thread: some 40 KB each on 64 cores.
const MOST_SPREAD: u64 = 128;
/// What they may take together: one part in so many of what all telemetry may.
const SPREAD: u64 = 8;
/// Counters that a call writes.
const PER_CALL: u64 = 9;

/// Makes the counters of all apps.
#[derive(Debug)]
pub struct AppMeters {
    room: Arc<Room>,
}

/// What the counters of all apps take.
#[derive(Debug)]
struct Room {
    n_bytes: Arc<Sum>,
    /// Apps that have counters for each thread, and how many may.
    n_spread: AtomicU64,
    most_spread: u64,
}

/// The numbers of one app, written by its calls without any look-up.
#[derive(Debug)]
pub struct AppMeter {
    first: Shared<Counters>,
    /// One of each for every thread, once the app was called very often. What was counted stays where it is.
    spread: OnceLock<Sharded<Counters>>,
    room: Arc<Room>,
    began_at: Instant,
    /// When it was last looked at how often the app is called, in microseconds after it began.
    looked_at: AtomicU64,
    /// What the deployment that is served did in its last minutes. No call writes it.
    recent: Mutex<Recent>,
    /// CPU time that history has, in nanoseconds. No call writes it.
    cpu_told: AtomicU64,
    /// The same by the last look at which apps are busiest.
    cpu_looked_at: AtomicU64,
    /// Memory one call of the app may have, in bytes.
    pub memory_limit: AtomicU64,
    /// Outbound requests the policy refused.
    pub outbound_denied: Arc<AtomicU64>,
    /// Failing calls whose capsules would have been too large.
    pub capsules_too_large: AtomicU64,
}

impl AppMeters {
    /// Counters of which all together are part of `n_bytes`, where all telemetry may take `most`.
    #[must_use]
    pub fn new(n_bytes: Arc<Sum>, most: Bytes) -> Self {
        let most_spread = (most.get() / SPREAD / spread_size()).min(MOST_SPREAD);
        Self { room: Arc::new(Room { n_bytes, n_spread: AtomicU64::new(0), most_spread }) }
    }

    /// The counters of an app that was never called.
    #[must_use]
    pub fn meter(&self) -> Arc<AppMeter> {
        self.room.n_bytes.add(SIZE);
        Arc::new(AppMeter {
            first: Shared::new(Counters::default()),
            spread: OnceLock::new(),
            room: self.room.clone(),
            began_at: Instant::now(),
            looked_at: AtomicU64::new(0),
            recent: Mutex::default(),
            cpu_told: AtomicU64::new(0),
            cpu_looked_at: AtomicU64::new(0),
            memory_limit: AtomicU64::new(0),
            outbound_denied: Arc::default(),
            capsules_too_large: AtomicU64::new(0),
        })
    }
}

impl AppMeter {
    /// Counts one call that is over.
    pub fn record(
        &self,
        outcome: &Outcome,
        status: u16,
        duration: Duration,
        usage: &Usage,
        bytes: u64,
    ) {
        if let Some(spread) = self.spread.get() {
            spread.here().record(outcome, status, duration, usage, bytes);
            return;
        }
        let n_before =
            self.first.write_all(PER_CALL).record(outcome, status, duration, usage, bytes);
        if (n_before + 1).is_multiple_of(telemetry::LOOK_EVERY) {
            self.look();
        }
    }

    /// Counts how long a call took that came to this, where a collector is told so.
    pub fn record_http(&self, kind: HttpKind, duration: Duration) {
        let taken = self.here().record_http(kind, duration);
        if taken > 0 {
            self.room.n_bytes.add(taken);
        }
    }

    /// Counts what a call waited for that is over.
    pub fn add_waits(&self, spent: &TimeSpent) {
        if spent.waits().next().is_some() {
            self.here().add_waits(spent);
        }
    }

    /// How long calls that are over waited, by what they waited for.
    pub fn waits(&self) -> impl Iterator<Item = (Phase, Duration)> {
        let sums = Phase::ALL.into_iter().zip(self.sums(|counters| &counters.waited));
        sums.map(|(phase, us)| (phase, Duration::from_micros(us))).filter(|(_, us)| !us.is_zero())
    }

    /// Counts CPU time of a call that is not over: one that runs for minutes is seen while it does.
    pub fn add_cpu(&self, used: Duration) {
        self.here().add_cpu(used);
    }

    /// CPU time that history does not have, which has it from now on.
    pub fn take_cpu(&self) -> Duration {
        let now = self.sum(|counters| &counters.cpu_nanoseconds);
        Duration::from_nanos(now.saturating_sub(self.cpu_told.swap(now, Ordering::Relaxed)))
    }

    /// CPU time that history does not have.
    #[must_use]
    pub fn cpu_untold(&self) -> Duration {
        let now = self.sum(|counters| &counters.cpu_nanoseconds);
        Duration::from_nanos(now.saturating_sub(self.cpu_told.load(Ordering::Relaxed)))
    }

    /// CPU time since this was asked the last time, for the look at which apps are busiest.
    pub fn take_cpu_of_look(&self) -> Duration {
        let now = self.sum(|counters| &counters.cpu_nanoseconds);
        Duration::from_nanos(now.saturating_sub(self.cpu_looked_at.swap(now, Ordering::Relaxed)))
    }

    /// An instance was put back after a call.
    pub fn note_restored(&self) {
        self.here().restored.fetch_add(1, Ordering::Relaxed);
    }

    /// An instance should have been put back and was not, for this reason: see [`NOT_RESTORED`](super::NOT_RESTORED).
    pub fn note_not_restored(&self, reason: usize) {
        if let Some(counter) = self.here().not_restored.get(reason) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the app is called so often that threads should share nothing of it.
    #[must_use]
    pub fn is_spread(&self) -> bool {
        self.spread.get().is_some()
    }

    /// Calls that are over, and those of them that did not end well through the app's fault.
    #[must_use]
    pub fn calls(&self) -> (u64, u64) {
        let by_cause = self.sums(|counters| &counters.by_cause);
        // The causes from `trapped` to `no_answer` are the guest's own failures.
        (by_cause.iter().sum(), by_cause.iter().skip(1).take(6).sum())
    }

    /// Calls that ended well for their callers: answered, and not with a status of class 5xx.
    #[must_use]
    pub fn answered_well(&self) -> u64 {
        let answered: u64 = self
            .all()
            .filter_map(|counters| counters.by_cause.first())
            .map(|n| n.load(Ordering::Relaxed))
            .sum();
        answered.saturating_sub(self.errors())
    }

    /// Calls that the app itself answered with a status of class 5xx. The sandbox sees no failure in
    /// them, and callers do.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.sum(|counters| &counters.errors)
    }

    /// How many calls that are over took up to each of [`BOUNDS`], and longer than the last.
    #[must_use]
    pub fn latency(&self) -> [u64; BOUNDS.len() + 1] {
        self.sums(|counters| counters.duration.counts())
    }

    /// Looks at what was counted so far, so that it is known later what the last minutes brought. To be
    /// asked for some times a minute.
    pub fn look_back(&self) {
        let now = self.began_at.elapsed();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.look(now, || self.of_deployment());
    }

    /// What was counted in the last minutes, of the deployment that is replaced now.
    pub fn take_recent(&self) -> Totals {
        let (now, totals) = (self.began_at.elapsed(), self.of_deployment());
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).take(now, totals)
    }

    /// What tells of the deployment, as `catalog::canary::Count` counts it of one on trial.
    fn of_deployment(&self) -> Totals {
        let by_cause = self.sums(|counters| &counters.by_cause);
        let of = |causes: &[&str]| -> u64 {
            let all = Outcome::CAUSES.iter().zip(by_cause);
            all.filter(|(cause, _)| causes.contains(cause)).map(|(_, count)| count).sum()
        };
        let (_, guest) = self.calls();
        let failed = guest + of(&Refusal::OF_GUEST);
        Totals {
            calls: of(&["answered"]) + failed,
            failed: failed + self.errors(),
            given_up: of(&["client_gone"]),
        }
    }

    /// Calls that were refused for want of room, by cause.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let causes = Outcome::CAUSES.iter().zip(self.sums(|counters| &counters.by_cause));
        causes.filter(|(cause, _)| SHED.contains(cause)).map(|(cause, count)| (*cause, count))
    }

    /// Fuel, CPU time and the highest memory of all calls so far.
    #[must_use]
    pub fn totals(&self) -> (u64, Duration, u64) {
        let peaks = self.all().map(|counters| counters.memory_peak.load(Ordering::Relaxed));
        (
            self.sum(|counters| &counters.fuel),
            Duration::from_nanos(self.sum(|counters| &counters.cpu_nanoseconds)),
            peaks.max().unwrap_or(0),
        )
    }

    /// When it began to count.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.began_at.elapsed()
    }

    /// All that it counts and that only grows, without what is by kinds of calls.
    #[must_use]
    pub fn growing(&self) -> [u64; APP_COUNTERS] {
        let mut sums = [0; APP_COUNTERS];
        for counters in self.all() {
            sums.iter_mut()
                .zip(counters.each())
                .for_each(|(sum, n)| *sum += n.load(Ordering::Relaxed));
        }
        let apart = [&*self.outbound_denied, &self.capsules_too_large];
        let last = sums.iter_mut().skip(counters::APP_COUNTERS).zip(apart);
        last.for_each(|(sum, n)| *sum = n.load(Ordering::Relaxed));
        sums
    }

    /// Counts so much, as `growing` says it, of one that has counted nothing yet.
    pub fn set_growing(&self, sums: &[u64; APP_COUNTERS]) {
        let apart = [&*self.outbound_denied, &self.capsules_too_large];
        let all = self.first.get().each().chain(apart);
        all.zip(sums).for_each(|(n, sum)| n.store(*sum, Ordering::Relaxed));
    }

    /// At most one call had so much memory, of one that has counted nothing yet.
    pub fn set_memory_peak(&self, peak: u64) {
        self.first.get().memory_peak.store(peak, Ordering::Relaxed);
    }

    /// The kinds of calls that were counted apart, and `None` for others where there were any; each once.
    #[must_use]
    pub fn http_kinds(&self) -> BTreeSet<Option<HttpKind>> {
        self.all()
            .filter_map(|counters| counters.http.get())
            .flat_map(|http| http.kinds())
            .collect()
    }

    /// How long calls of this kind took: how many up to each of [`BOUNDS`], beyond the last, and nanoseconds.
    #[must_use]
    pub fn http_durations(&self, kind: Option<HttpKind>) -> [u64; DURATION_COUNTERS] {
        let mut sums = [0; DURATION_COUNTERS];
        let https = self.all().filter_map(|counters| counters.http.get());
        for buckets in https.filter_map(|http| http.of(kind)) {
            sums.iter_mut()
                .zip(buckets.each())
                .for_each(|(sum, n)| *sum += n.load(Ordering::Relaxed));
        }
        sums
    }

    /// One counter, of all threads.
    pub(super) fn sum(&self, of: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        self.all().map(|counters| of(counters).load(Ordering::Relaxed)).sum()
    }

    /// Counters of a kind, of all threads.
    pub(super) fn sums<const N: usize>(
        &self,
        of: impl Fn(&Counters) -> &[AtomicU64; N],
    ) -> [u64; N] {
        let mut sums = [0; N];
        for counters in self.all() {
            for (sum, counter) in sums.iter_mut().zip(of(counters)) {
                *sum += counter.load(Ordering::Relaxed);
            }
        }
        sums
    }

    /// All counters: those of all threads together, and those of each.
    pub(super) fn all(&self) -> impl Iterator<Item = &Counters> {
        let spread = self.spread.get().into_iter().flat_map(Sharded::iter);
        std::iter::once(self.first.get()).chain(spread)
    }

    #[track_caller]
    fn here(&self) -> &Counters {
        self.spread.get().map_or_else(|| self.first.write(), Sharded::here)
    }

    /// Measures how long the last calls took to come, and gives each thread counters of its own where
    /// that was short.
    fn look(&self) {
        let now = u64::try_from(self.began_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        // Two that look at once see a pause that is too short by one of them, and no more happens.
        let before = self.looked_at.swap(now, Ordering::Relaxed);
        let is_often = telemetry::is_often(Duration::from_micros(now.saturating_sub(before)));
        if is_often && self.room.take() && self.spread.set(Sharded::default()).is_err() {
            // Another thread was faster.
            self.room.give_back();
        }
    }
}

impl Drop for AppMeter {
    fn drop(&mut self) {
        let of_http: u64 = self.all().map(Counters::http_bytes).sum();
        self.room.n_bytes.subtract(SIZE + of_http);
        if self.is_spread() {
            self.room.give_back();
        }
    }
}

impl Room {
    /// Takes room for counters of each thread, if there is any.
    fn take(&self) -> bool {
        if self.n_spread.fetch_add(1, Ordering::Relaxed) >= self.most_spread {
            self.n_spread.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        self.n_bytes.add(spread_size());
        true
    }

    fn give_back(&self) {
        self.n_bytes.subtract(spread_size());
        self.n_spread.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes of the counters of one app.
const SIZE: u64 = size_of::<AppMeter>() as u64;

/// Bytes of those of each thread.
fn spread_size() -> u64 {
    Sharded::<Counters>::size() as u64
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_grows_is_carried_over_to_another_meter() {
        let (one, other) = (meters(0).meter(), meters(0).meter());
        answer(&one);
        one.record(&Outcome::ClientGone, 0, Duration::from_secs(60), &Usage::default(), 0);
        one.note_not_restored(1);
        one.outbound_denied.store(3, Ordering::Relaxed);
        one.capsules_too_large.store(4, Ordering::Relaxed);
        let grown = one.growing();
        assert_eq!(grown[APP_COUNTERS - 2..], [3, 4]);
        other.set_growing(&grown);
        assert_eq!(
            (other.growing(), other.calls(), other.latency()),
            (grown, (2, 0), one.latency())
        );
        assert_eq!(other.capsules_too_large.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn kinds_of_calls_are_counted_apart_as_long_as_there_is_room_and_given_back() {
        let meters = meters(MOST_SPREAD);
        let meter = meters.meter();
        let kind = |status| HttpKind { method: "GET", status, cause: "answered" };
        assert!(meter.http_kinds().is_empty());
        answer_until_spread(&meter);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for status in 200..300 {
                        meter.record_http(kind(status), Duration::from_millis(1));
                    }
                });
            }
        });
        let kinds = meter.http_kinds();
        assert!(kinds.contains(&None) && kinds.contains(&Some(kind(200))), "{kinds:?}");
        let counts = kinds.iter().map(|kind| meter.http_durations(*kind));
        let (calls, ns) = counts.fold((0, 0), |(calls, ns), counts| {
            let [of_calls @ .., of_ns] = counts;
            (calls + of_calls.iter().sum::<u64>(), ns + of_ns)
        });
        assert_eq!((calls, ns), (200, 200 * 1_000_000));
        drop(meter);
        assert_eq!(meters.room.n_bytes.get(), 0);
    }

    /// Where so many apps may have counters for each thread.
    fn meters(most_spread: u64) -> AppMeters {
        let most = Bytes::new(most_spread * SPREAD * spread_size());
        AppMeters::new(Arc::new(Sum::new(0)), most)
    }

    fn answer(meter: &AppMeter) {
        meter.record(&Outcome::Answered, 200, Duration::from_micros(10), &Usage::default(), 3);
    }

    fn answer_until_spread(meter: &AppMeter) -> u64 {
        // As often as a machine can, which may be one that is busy.
        (1..)
            .find(|_| {
                answer(meter);
                meter.is_spread()
            })
            .unwrap()
    }

    #[test]
    fn nothing_is_lost_when_threads_count_for_themselves() {
        let meter = meters(MOST_SPREAD).meter();
        let n_before = answer_until_spread(&meter);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5000).for_each(|_| answer(&meter)));
            }
        });
        let n_calls = n_before + 20_000;
        assert_eq!(meter.calls(), (n_calls, 0));
        assert_eq!(meter.sums(|counters| &counters.by_status)[2], n_calls);
        assert_eq!(meter.sum(|counters| &counters.response_bytes), 3 * n_calls);
    }

    #[test]
    fn refused_calls_tell_nothing_of_how_long_calls_take() {
        let meter = meters(MOST_SPREAD).meter();
        let refused = Outcome::Refused(Refusal::HostFull);
        meter.record(&refused, 503, Duration::from_micros(10), &Usage::default(), 0);
        answer(&meter);
        assert_eq!(meter.calls().0, 2);
        assert_eq!(meter.latency().iter().sum::<u64>(), 1);
    }

    #[test]
    fn few_apps_have_counters_for_each_thread_and_those_that_go_leave_room() {
        let meters = meters(2);
        let mut all: Vec<_> = (0..2).map(|_| meters.meter()).collect();
        for meter in &all {
            answer_until_spread(meter);
        }
        let late = meters.meter();
        (0..100 * telemetry::LOOK_EVERY).for_each(|_| answer(&late));
        assert!(!late.is_spread(), "one more than may be");
        assert_eq!(late.calls().0, 100 * telemetry::LOOK_EVERY);
        all.pop();
        answer_until_spread(&late);
        assert_eq!(meters.room.n_bytes.get(), 2 * (SIZE + spread_size()));
        drop((all, late));
        assert_eq!(meters.room.n_spread.load(Ordering::Relaxed), 0);
        assert_eq!(meters.room.n_bytes.get(), 0);
    }
}
