//! Where the time of a call goes while it runs: what its guest waits for, and for how long it did.
//! Does not decide what counts as what: `core::spent` does.
//!
//! Only a call that waits writes here. One that ends in its first slice has its time from what is measured
//! anyway: what its instance and its guest took, and when nothing was left but its client.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use steerage_core::spent::{Phase, TimeSpent, Waits};
use steerage_core::units::nanoseconds;

use super::spans::GuestSpans;
use super::usage::Usage;
use super::waits::{LongestWait, OutboundRequest, OutboundWaits};

/// What an answer takes to be written where its client is not waited for, or less.
const BRIEF: Duration = Duration::from_millis(1);

/// What it takes to hand a call to the thread that runs it, or less: for less it did not wait.
const HANDED_OVER: Duration = Duration::from_micros(100);

/// The time of one call. All that is in it is written by whoever knows, without a lock, and summed up once
/// the call is over; that needs no order among the writes, since the last side of a call to go sees all that
/// the others have done. Only of what is waited for now there are two places, in one order.
#[derive(Debug)]
pub struct CallTime {
    started_at: Instant,
    /// Nanoseconds of the phases that are over; those of guest and host are known from elsewhere.
    known: [AtomicU64; Phase::ALL.len()],
    /// What is waited for now: requests and bodies of others, writes to stores, bodies of the request, readers.
    outbound: AtomicU32,
    store: AtomicU32,
    request_body: AtomicU32,
    client: AtomicU32,
    /// The phases of which something began to be waited for since the guest stopped running last, as bits. Its
    /// stdin is read ahead by a task of its own, which may come to wait only after the guest does.
    begun: AtomicU32,
    /// Whom it asks; nothing of a call that asks nobody.
    outbound_waits: OnceLock<Box<OutboundWaits>>,
    /// What its guest says itself of where the time goes.
    spans: GuestSpans,
    /// When the guest was woken that had slept, in nanoseconds after the start; 0 where it was not.
    woken_after: AtomicU64,
    /// From when on only the client was waited for, in nanoseconds after the start; 0 before.
    left_after: AtomicU64,
}

/// When a guest stopped running that has more to do, and what it waits for.
#[derive(Clone, Copy, Debug)]
pub struct Paused {
    at: Instant,
    waits_for: Phase,
}

/// Whoever may have a guest wait for one thing. What it says is taken back when it is dropped.
#[derive(Debug)]
pub struct WaitedFor {
    time: Arc<CallTime>,
    phase: Phase,
    is_waiting: bool,
}

impl CallTime {
    /// That of a call that came in then.
    #[must_use]
    pub fn since(started_at: Instant) -> Self {
        Self {
            started_at,
            known: Default::default(),
            outbound: AtomicU32::new(0),
            store: AtomicU32::new(0),
            request_body: AtomicU32::new(0),
            client: AtomicU32::new(0),
            begun: AtomicU32::new(0),
            outbound_waits: OnceLock::new(),
            spans: GuestSpans::default(),
            woken_after: AtomicU64::new(0),
            left_after: AtomicU64::new(0),
        }
    }

    /// When the call came in.
    #[must_use]
    pub fn started_at(&self) -> Instant {
        self.started_at
    }

    /// The spans that its guest makes of parts of it.
    #[must_use]
    pub fn spans(&self) -> &GuestSpans {
        &self.spans
    }

    /// Adds what a phase took that is over.
    pub fn add(&self, phase: Phase, spent: Duration) {
        if !spent.is_zero()
            && let Some(known) = self.known.get(phase as usize)
        {
            known.fetch_add(nanoseconds(spent), Ordering::Relaxed);
        }
    }

    /// The guest runs for the first time, which could have run since then: it waited for a core.
    pub fn note_first_slice(&self, could_run_at: Instant, now: Instant) {
        self.note_interrupted(now.saturating_duration_since(could_run_at));
    }

    /// The thread that runs the guest was not run itself for so long: others had the core.
    pub fn note_interrupted(&self, waited: Duration) {
        if waited >= HANDED_OVER {
            self.add(Phase::Core, waited);
        }
    }

    /// The guest has stopped running, and has more to do.
    #[must_use]
    pub fn pause(&self, now: Instant) -> Paused {
        // Taken back before the counts are read, and written after them: whoever begins to wait meanwhile is seen
        // in one or the other.
        self.begun.swap(0, Ordering::SeqCst);
        let is_any = |count: &AtomicU32| count.load(Ordering::SeqCst) > 0;
        let waits = Waits {
            outbound: is_any(&self.outbound),
            store: is_any(&self.store),
            request_body: is_any(&self.request_body),
            client: is_any(&self.client),
        };
        Paused { at: now, waits_for: waits.phase() }
    }

    /// The guest runs again: until it was woken it waited for something, and then for a core. One that
    /// was not woken could have run all the time.
    pub fn resume(&self, paused: Paused, now: Instant) {
        let woken_after = self.woken_after.swap(0, Ordering::Relaxed);
        let woken_at = (woken_after > 0)
            .then(|| self.started_at + Duration::from_nanos(woken_after))
            .map_or(paused.at, |at| at.clamp(paused.at, now.max(paused.at)));
        self.add(self.waited_for(&paused), woken_at - paused.at);
        self.add(Phase::Core, now.saturating_duration_since(woken_at));
    }

    /// What the guest waited for: where nothing was waited for when it stopped, what came to be since.
    fn waited_for(&self, paused: &Paused) -> Phase {
        if paused.waits_for != Phase::Sleep {
            return paused.waits_for;
        }
        let begun = self.begun.load(Ordering::Relaxed);
        let is_begun = |phase: Phase| begun & bit(phase) != 0;
        let waits = Waits {
            outbound: is_begun(Phase::Outbound),
            store: is_begun(Phase::Store),
            request_body: is_begun(Phase::RequestBody),
            client: is_begun(Phase::Client),
        };
        waits.phase()
    }

    /// A guest that slept is woken, and waits for a core from now on.
    pub fn note_woken(&self, now: Instant) {
        self.woken_after.store(self.after(now), Ordering::Relaxed);
    }

    /// Either the guest has ended or its answer is on its way: after the later of the two only the client is
    /// waited for.
    pub fn note_left_to_client(&self, now: Instant) {
        self.left_after.fetch_max(self.after(now), Ordering::Relaxed);
    }

    /// What its requests to others wait for, to be written by these.
    pub fn outbound_waits(&self) -> &OutboundWaits {
        self.outbound_waits.get_or_init(Box::default)
    }

    /// Whom it waited for longest of those that it asked, and of those that gave it no good answer.
    #[must_use]
    pub fn longest_waits(&self, now: Instant) -> [Option<LongestWait>; 2] {
        self.outbound_waits.get().map_or([None, None], |waits| waits.longest(now))
    }

    /// Its requests to others that are over: of many those that took longest.
    #[must_use]
    pub fn outbound_requests(&self) -> Vec<OutboundRequest> {
        self.outbound_waits.get().map_or_else(Vec::new, |waits| waits.requests())
    }

    /// The time of a call that is over, whose guest took this.
    #[must_use]
    pub fn spent(&self, now: Instant, usage: &Usage) -> TimeSpent {
        let whole = now.saturating_duration_since(self.started_at);
        let reading = match self.left_after.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            after => whole.saturating_sub(Duration::from_nanos(after)),
        };
        // What takes less is the host's own writing, for which nobody waited.
        let reading = if reading < BRIEF { Duration::ZERO } else { reading };
        TimeSpent::of(whole, |phase| {
            let known = self.known.get(phase as usize);
            let known = known.map_or(0, |known| known.load(Ordering::Relaxed));
            let more = match phase {
                // What it took by the wall's clock may hold time in which its thread was not run: that was a
                // wait for a core.
                Phase::Instance => usage.instantiate.min(usage.cpu),
                Phase::Guest => usage.cpu.saturating_sub(usage.instantiate),
                Phase::Client => reading,
                _ => Duration::ZERO,
            };
            Duration::from_nanos(known) + more
        })
    }

    /// At least 1, since 0 is for what has not happened.
    fn after(&self, now: Instant) -> u64 {
        nanoseconds(now.saturating_duration_since(self.started_at)).max(1)
    }

    fn count(&self, phase: Phase) -> Option<&AtomicU32> {
        match phase {
            Phase::Outbound => Some(&self.outbound),
            Phase::Store => Some(&self.store),
            Phase::RequestBody => Some(&self.request_body),
            Phase::Client => Some(&self.client),
            _ => None,
        }
    }
}

impl WaitedFor {
    /// Has nobody wait yet.
    #[must_use]
    pub fn new(time: Arc<CallTime>, phase: Phase) -> Self {
        Self { time, phase, is_waiting: false }
    }

    /// Says whether somebody would wait from now on.
    pub fn set(&mut self, is_waiting: bool) {
        if is_waiting == self.is_waiting {
            return;
        }
        self.is_waiting = is_waiting;
        let Some(count) = self.time.count(self.phase) else { return };
        if is_waiting {
            count.fetch_add(1, Ordering::SeqCst);
            self.time.begun.fetch_or(bit(self.phase), Ordering::SeqCst);
        } else {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn bit(phase: Phase) -> u32 {
    1 << phase as u32
}

impl Drop for WaitedFor {
    fn drop(&mut self) {
        self.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn spent(time: &CallTime, whole: Duration, cpu: Duration) -> TimeSpent {
        let usage = Usage { cpu, ..Usage::default() };
        time.spent(time.started_at() + whole, &usage)
    }

    #[test]
    fn a_guest_that_is_woken_waits_for_a_core_from_then_on() {
        let start = Instant::now();
        let time = Arc::new(CallTime::since(start));
        let mut outbound = WaitedFor::new(time.clone(), Phase::Outbound);
        outbound.set(true);
        let paused = time.pause(start + MS);
        time.note_woken(start + 8 * MS);
        outbound.set(false);
        time.resume(paused, start + 10 * MS);
        time.note_left_to_client(start + 11 * MS);
        time.note_left_to_client(start + 10 * MS);
        let spent = spent(&time, 15 * MS, 2 * MS);
        let each: Vec<_> = spent.each().collect();
        assert_eq!(
            each,
            [
                (Phase::Core, 2 * MS),
                (Phase::Guest, 2 * MS),
                (Phase::Outbound, 7 * MS),
                (Phase::Client, 4 * MS)
            ]
        );
    }

    #[test]
    fn time_in_which_the_thread_was_not_run_counts_once() {
        let start = Instant::now();
        let time = CallTime::since(start);
        time.note_interrupted(20 * MS);
        let usage = Usage { cpu: 5 * MS, instantiate: 24 * MS, ..Usage::default() };
        let spent = time.spent(start + 25 * MS, &usage);
        let each: Vec<_> = spent.each().collect();
        assert_eq!(each, [(Phase::Core, 20 * MS), (Phase::Instance, 5 * MS)]);
    }

    #[test]
    fn a_guest_that_is_run_late_waited_for_a_core() {
        let start = Instant::now();
        let time = CallTime::since(start);
        time.note_first_slice(start, start + HANDED_OVER / 2);
        assert_eq!(spent(&time, MS, MS).get(Phase::Core), Duration::ZERO);
        time.note_first_slice(start, start + 3 * MS);
        assert_eq!(spent(&time, 4 * MS, MS).get(Phase::Core), 3 * MS);
    }

    #[test]
    fn a_guest_that_was_not_woken_could_have_run_all_the_time() {
        let start = Instant::now();
        let time = CallTime::since(start);
        let paused = time.pause(start);
        time.resume(paused, start + 3 * MS);
        // What was said of an earlier pause is not said of the next one.
        time.note_woken(start + MS);
        let paused = time.pause(start + 4 * MS);
        time.resume(paused, start + 6 * MS);
        let spent = spent(&time, 6 * MS, MS);
        assert_eq!(spent.get(Phase::Core), 5 * MS);
        assert_eq!((spent.get(Phase::Sleep), spent.get(Phase::Guest)), (Duration::ZERO, MS));
    }

    #[test]
    fn what_begins_to_be_waited_for_after_the_guest_has_stopped_is_what_it_waited_for() {
        let start = Instant::now();
        let time = Arc::new(CallTime::since(start));
        let mut body = WaitedFor::new(time.clone(), Phase::RequestBody);
        let paused = time.pause(start);
        // It waits, and has what it waited for before the guest runs again.
        body.set(true);
        body.set(false);
        time.note_woken(start + 5 * MS);
        time.resume(paused, start + 5 * MS);
        let paused = time.pause(start + 6 * MS);
        time.note_woken(start + 8 * MS);
        time.resume(paused, start + 8 * MS);
        let spent = spent(&time, 9 * MS, MS);
        assert_eq!((spent.get(Phase::RequestBody), spent.get(Phase::Sleep)), (5 * MS, 2 * MS));
    }

    #[test]
    fn whoever_has_somebody_wait_takes_that_back_when_it_goes() {
        let time = Arc::new(CallTime::since(Instant::now()));
        let waits_for = || time.pause(Instant::now()).waits_for;
        let mut body = WaitedFor::new(time.clone(), Phase::RequestBody);
        let mut outbound = WaitedFor::new(time.clone(), Phase::Outbound);
        for _ in 0..2 {
            body.set(true);
            outbound.set(true);
        }
        assert_eq!(waits_for(), Phase::Outbound);
        drop(outbound);
        assert_eq!(waits_for(), Phase::RequestBody);
        body.set(false);
        assert_eq!(waits_for(), Phase::Sleep);
    }
}
