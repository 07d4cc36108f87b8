//! How much CPU time the piece of work at hand has taken on this thread, and what the time is, as it was
//! read for that. Does not keep sums and does not know whom the time is charged to.
//!
//! Asking the kernel costs 0.52 us on a virtual machine where reading the clock costs 0.02. So a short
//! piece is taken to have cost the time that passed, and only when more has passed, which may mean
//! that the thread was interrupted, is the kernel asked how much of it was ours.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Up to this, time that passed is taken for time that was used.
const SHORT: Duration = Duration::from_micros(40);
/// How old the last answer of the kernel may be when a piece begins. What the thread did in between
/// is charged to a piece that turns out long, so this bounds the mistake.
const FRESH: Duration = Duration::from_micros(250);
/// How old a comparison of the two clocks may be: a wall clock that is set is followed within this.
const COMPARED: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
struct Reading {
    began_at: Instant,
    /// When the kernel was last asked, and what it said.
    asked_at: Instant,
    said: Duration,
    /// What was taken to be used since then.
    accounted: Duration,
    /// When the clock was last read.
    read_at: Instant,
    /// Whether a piece is at hand.
    is_at_work: bool,
    /// Whether the piece at hand is taken to end where the clock was last read.
    is_done: bool,
}

/// What both clocks said at one moment.
#[derive(Clone, Copy)]
struct Compared {
    at: Instant,
    since_epoch: Duration,
}

thread_local! {
    static COMPARISON: Cell<Option<Compared>> = const { Cell::new(None) };
    static READING: Cell<Option<Reading>> = const { Cell::new(None) };
    /// What other threads did for the piece at hand.
    static ADDED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Begins a piece of work on this thread.
pub fn begin() {
    begin_at(Instant::now());
}

fn begin_at(now: Instant) {
    ADDED.set(Duration::ZERO);
    let reading = match READING.get() {
        Some(last) if now.saturating_duration_since(last.asked_at) < FRESH => {
            Reading { began_at: now, read_at: now, is_at_work: true, is_done: false, ..last }
        }
        _ => ask(now),
    };
    READING.set(Some(reading));
}

/// Counts to the piece at hand what another thread did for it, while this one waited. What is added where none is at
/// hand is lost.
pub fn add(used: Duration) {
    ADDED.set(ADDED.get().saturating_add(used));
}

/// CPU time that the piece at hand has taken so far; zero when none was begun.
#[must_use]
pub fn so_far() -> Duration {
    let Some((reading, passed)) = look_up() else { return Duration::ZERO };
    if passed <= SHORT {
        return passed + ADDED.get();
    }
    used(&reading, thread_cpu_time(), passed) + ADDED.get()
}

/// The same by what the clock said when it was last read.
#[must_use]
pub fn so_far_as_read() -> Duration {
    let Some(reading) = READING.get() else { return Duration::ZERO };
    let passed = reading.read_at.saturating_duration_since(reading.began_at);
    if passed <= SHORT {
        return passed + ADDED.get();
    }
    used(&reading, thread_cpu_time(), passed) + ADDED.get()
}

/// Says that what remains of the piece at hand is too little to read the clock for: it counts to the next
/// piece, or to none.
pub fn note_nearly_done() {
    if let Some(reading) = READING.get() {
        READING.set(Some(Reading { is_done: true, ..reading }));
    }
}

/// How long ago the piece at hand began by the clock; zero when none was begun.
#[must_use]
pub fn passed() -> Duration {
    look_up().map_or(Duration::ZERO, |(_, passed)| passed)
}

/// The same by what the clock said when it was last read.
#[must_use]
pub fn passed_as_read() -> Duration {
    let passed = |reading: Reading| reading.read_at.saturating_duration_since(reading.began_at);
    READING.get().map_or(Duration::ZERO, passed)
}

fn look_up() -> Option<(Reading, Duration)> {
    let mut reading = READING.get()?;
    reading.read_at = Instant::now();
    READING.set(Some(reading));
    Some((reading, reading.read_at.saturating_duration_since(reading.began_at)))
}

/// The time, as it was last read within the piece at hand, which may be as long ago as that has taken so
/// far; read now where none is at hand. For what is told to the millisecond, or less often than it is noted.
#[must_use]
pub fn now() -> Instant {
    read_last().unwrap_or_else(Instant::now)
}

/// When the clock was last read within the piece at hand; `None` where none is.
#[must_use]
pub fn read_last() -> Option<Instant> {
    READING.get().filter(|reading| reading.is_at_work).map(|reading| reading.read_at)
}

/// How long ago a moment was, by [`now`]: nothing where the piece at hand is the same as then.
#[must_use]
pub fn since(moment: Instant) -> Duration {
    now().saturating_duration_since(moment)
}

/// The time, read now.
#[must_use]
pub fn read() -> Instant {
    look_up().map_or_else(Instant::now, |(reading, _)| reading.read_at)
}

/// A moment that is not long ago, as time since 1970.
#[must_use]
pub fn since_epoch(moment: Instant) -> Duration {
    let known = COMPARISON.get();
    let known = known.filter(|known| moment.saturating_duration_since(known.at) < COMPARED);
    let Compared { at, since_epoch } = known.unwrap_or_else(|| {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let compared = Compared { at: Instant::now(), since_epoch };
        COMPARISON.set(Some(compared));
        compared
    });
    let later = moment.saturating_duration_since(at);
    (since_epoch + later).saturating_sub(at.saturating_duration_since(moment))
}

/// The same in whole milliseconds.
#[must_use]
pub fn milliseconds_since_epoch(moment: Instant) -> u64 {
    u64::try_from(since_epoch(moment).as_millis()).unwrap_or(u64::MAX)
}

/// Ends the piece at hand and begins another; says what the former took.
#[must_use]
pub fn next() -> Duration {
    let now = end_of_piece();
    let used = end_at(now);
    begin_at(now);
    used
}

/// Ends the piece at hand; says what it took.
#[must_use]
pub fn end() -> Duration {
    end_at(end_of_piece())
}

fn end_of_piece() -> Instant {
    // Of a long piece the processor's time is asked for, which is of now.
    let is_short =
        |reading: &Reading| reading.read_at.saturating_duration_since(reading.began_at) <= SHORT;
    let reading = READING.get().filter(|reading| reading.is_at_work && reading.is_done);
    reading.filter(is_short).map_or_else(Instant::now, |reading| reading.read_at)
}

fn end_at(now: Instant) -> Duration {
    let added = ADDED.take();
    let Some(mut reading) = READING.get() else { return Duration::ZERO };
    let passed = now.saturating_duration_since(reading.began_at);
    if passed <= SHORT {
        reading.accounted += passed;
        READING.set(Some(Reading { read_at: now, is_at_work: false, ..reading }));
        return passed + added;
    }
    let fresh = ask(now);
    READING.set(Some(Reading { is_at_work: false, ..fresh }));
    used(&reading, fresh.said, passed) + added
}

fn used(reading: &Reading, said: Duration, passed: Duration) -> Duration {
    said.saturating_sub(reading.said).saturating_sub(reading.accounted).min(passed)
}

fn ask(now: Instant) -> Reading {
    Reading {
        began_at: now,
        asked_at: now,
        said: thread_cpu_time(),
        accounted: Duration::ZERO,
        read_at: now,
        is_at_work: true,
        is_done: false,
    }
}

/// CPU time this thread has used so far.
fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    fn work(for_at_least: Duration) {
        let from = thread_cpu_time();
        while thread_cpu_time() - from < for_at_least {
            black_box(0);
        }
    }

    #[test]
    fn time_asleep_is_not_charged() {
        begin();
        work(Duration::from_millis(2));
        std::thread::park_timeout(Duration::from_millis(200));
        let used = end();
        assert!(used >= Duration::from_millis(2), "{used:?}");
        assert!(used < Duration::from_millis(100), "{used:?}");
    }

    #[test]
    fn what_another_thread_did_counts_to_the_piece_at_hand_and_to_no_other() {
        let ms = Duration::from_millis(5);
        add(ms);
        begin();
        add(ms);
        add(ms);
        assert!(so_far() >= 2 * ms && passed() < 2 * ms);
        let used = next();
        assert!(used >= 2 * ms && used < 3 * ms, "{used:?}");
        assert!(end() < ms);
    }

    #[test]
    fn within_a_piece_the_time_is_what_was_read_last() {
        let before = Instant::now();
        assert!(now() >= before, "no piece is at hand");
        begin();
        let began_at = now();
        work(Duration::from_millis(1));
        assert_eq!(now(), began_at);
        let later = read();
        assert!(later >= began_at + Duration::from_millis(1));
        assert_eq!(now(), later);
        let used = end();
        assert!(used >= Duration::from_millis(1), "{used:?}");
        assert!(now() > later, "no piece is at hand any more");
    }

    #[test]
    fn a_piece_that_is_nearly_done_ends_where_the_clock_was_last_read() {
        // One that is short: a test that loses its core meanwhile begins another.
        let is_short = || {
            let reading = READING.get().unwrap();
            reading.read_at.saturating_duration_since(reading.began_at) <= SHORT
        };
        let so_far = loop {
            begin();
            let so_far = so_far();
            if is_short() {
                break so_far;
            }
        };
        note_nearly_done();
        work(Duration::from_millis(1));
        assert_eq!(so_far_as_read(), so_far);
        assert!(next() < Duration::from_millis(1), "the rest counts to the next piece");
        // The short one was measured by the clock, which goes on where the thread has no core.
        let rest = next() + SHORT;
        assert!(rest >= Duration::from_millis(1), "which is measured as any other");
        let from = read();
        work(Duration::from_millis(1));
        assert!(end() >= Duration::from_millis(1) && read() > from);
    }

    #[test]
    fn a_moment_is_told_by_the_wall_clock() {
        let now = Instant::now();
        let expected = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let second = Duration::from_secs(1);
        // The first comparison, and then one that is known.
        for moment in [now, now + second / 2, now - second, now + second * 60] {
            let told = since_epoch(moment) + now.saturating_duration_since(moment);
            let told = told - moment.saturating_duration_since(now);
            assert!(told.abs_diff(expected) < second, "{told:?} is not {expected:?}");
        }
    }

    #[test]
    fn pieces_that_follow_each_other_are_not_charged_twice() {
        let from = thread_cpu_time();
        let mut sum = Duration::ZERO;
        for _ in 0..20 {
            begin();
            work(Duration::from_micros(300));
            sum += end();
        }
        let all = thread_cpu_time() - from;
        assert!(sum <= all + Duration::from_millis(1), "{sum:?} of {all:?}");
        assert!(sum >= Duration::from_millis(6), "{sum:?}");
    }
}
