//! How much of what happens is written to the disk: the file that is written has a bound in bytes and in
//! lines, one full file is kept beside it, and a flood is cut to a rate.
//! Does not write, and does not know what a line says.

use std::time::Duration;

/// Most bytes of one file. There are two, so the disk holds twice as many at most.
pub const FILE_BYTES: u64 = 2 << 20;
/// Most lines of one file.
pub const FILE_LINES: u64 = 5_000;
/// Bytes that may be written at once after a quiet time. The longest line is an eighth of that.
pub const BURST: u64 = 512 << 10;
/// Bytes a second that may be written for long.
pub const RATE: u64 = 32 << 10;

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is written at the end of the file.
    Append,
    /// The file is full: it takes the place of the one that was full before, and the line is the first of
    /// a new one.
    Rotate,
    /// Too much was written in a short time: it is counted only.
    LeaveOut,
}

/// How full the file is, and how much was written lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLog {
    n_bytes: u64,
    n_lines: u64,
    /// Bytes that may be written now.
    room: u64,
    /// Up to when `room` was counted.
    at: Duration,
    /// Whether a full file is still in the way of the next one.
    must_rotate: bool,
}

impl EventLog {
    /// A file that holds so much already, at this time on a clock that only moves forward.
    #[must_use]
    pub fn new(n_bytes: u64, n_lines: u64, now: Duration) -> Self {
        Self { n_bytes, n_lines, room: BURST, at: now, must_rotate: false }
    }

    /// What becomes of a line of so many bytes. What is not left out counts as written.
    pub fn take(&mut self, n_bytes: u64, now: Duration) -> Verdict {
        let passed = now.saturating_sub(self.at);
        let more = u128::from(RATE) * passed.as_millis() / 1000;
        if more > 0 {
            self.room =
                self.room.saturating_add(u64::try_from(more).unwrap_or(u64::MAX)).min(BURST);
            self.at = now;
        }
        let Some(room) = self.room.checked_sub(n_bytes) else { return Verdict::LeaveOut };
        self.room = room;
        let is_full = self.n_lines >= FILE_LINES || self.n_bytes + n_bytes > FILE_BYTES;
        if self.must_rotate || is_full && self.n_lines > 0 {
            (self.n_bytes, self.n_lines, self.must_rotate) = (n_bytes, 1, false);
            return Verdict::Rotate;
        }
        self.n_bytes += n_bytes;
        self.n_lines += 1;
        Verdict::Append
    }

    /// Notes that a line of so many bytes which was to be written is not: it counts neither for the file nor
    /// for the rate, so what comes once the disk takes something again is not left out for it.
    pub fn note_not_written(&mut self, n_bytes: u64) {
        self.n_bytes = self.n_bytes.saturating_sub(n_bytes);
        self.n_lines = self.n_lines.saturating_sub(1);
        self.room = self.room.saturating_add(n_bytes).min(BURST);
    }

    /// Notes that the file could not be put away: the next line tries again, and none is written before.
    pub fn note_not_rotated(&mut self) {
        self.must_rotate = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn neither_the_file_nor_the_rate_passes_its_bound(
            lines in proptest::collection::vec((1..BURST / 8, 0..2_000_u64), 1..500),
        ) {
            let mut log = EventLog::new(0, 0, Duration::ZERO);
            let (mut now, mut in_file, mut n_lines, mut written) = (0, 0, 0, 0);
            for (n_bytes, pause) in lines {
                now += pause;
                match log.take(n_bytes, Duration::from_millis(now)) {
                    Verdict::Append => (in_file, n_lines) = (in_file + n_bytes, n_lines + 1),
                    Verdict::Rotate => (in_file, n_lines) = (n_bytes, 1),
                    Verdict::LeaveOut => continue,
                }
                written += n_bytes;
                prop_assert!(in_file <= FILE_BYTES && n_lines <= FILE_LINES);
                prop_assert!(written <= BURST + RATE * now / 1000);
            }
        }
    }

    #[test]
    fn small_lines_are_bounded_by_their_number() {
        let mut log = EventLog::new(0, FILE_LINES - 1, Duration::ZERO);
        assert_eq!(log.take(10, Duration::ZERO), Verdict::Append);
        assert_eq!(log.take(10, Duration::ZERO), Verdict::Rotate);
        assert_eq!(log.take(10, Duration::ZERO), Verdict::Append);
        log.note_not_rotated();
        assert_eq!(log.take(10, Duration::ZERO), Verdict::Rotate);
    }

    #[test]
    fn what_the_disk_did_not_take_counts_for_nothing() {
        let mut log = EventLog::new(0, 0, Duration::ZERO);
        let before = log.clone();
        for _ in 0..10_000 {
            assert_eq!(log.take(BURST / 8, Duration::ZERO), Verdict::Append);
            log.note_not_written(BURST / 8);
        }
        assert_eq!(log, before);
    }

    #[test]
    fn what_comes_after_a_flood_is_written_again() {
        let mut log = EventLog::new(0, 0, Duration::ZERO);
        assert_eq!(log.take(BURST, Duration::ZERO), Verdict::Append);
        assert_eq!(log.take(1, Duration::ZERO), Verdict::LeaveOut);
        // Looks that come often add up as well as one that comes late.
        for millis in 1..1000 {
            log.take(BURST, Duration::from_millis(millis));
        }
        assert_eq!(log.take(RATE - 1_000, Duration::from_secs(1)), Verdict::Append);
    }
}
