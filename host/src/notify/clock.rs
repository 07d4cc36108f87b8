//! Time for what is told: a clock that only goes on, and what the machine's clock would have said then.
//! Does not wait.

use std::time::Duration;

use crate::clock::RunClock;
use crate::telemetry::destinations;

/// Milliseconds that only go on, whatever becomes of the machine's clock.
#[derive(Debug)]
pub(super) struct NotifyClock {
    run: RunClock,
    wall_at_start: u64,
}

/// One moment by both clocks, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotifyMoment {
    /// Since the clock began. It only goes on.
    pub(super) since_start: u64,
    /// Since the epoch. Somebody may set it back.
    pub(super) wall: u64,
    /// What the same clock said when this one began.
    pub(super) wall_at_start: u64,
}

impl NotifyClock {
    pub(super) fn start() -> Self {
        Self { run: RunClock::start(), wall_at_start: destinations::now() }
    }

    pub(super) fn moment(&self) -> NotifyMoment {
        let (since_start, wall_at_start) = (self.now(), self.wall_at_start);
        NotifyMoment { since_start, wall: destinations::now(), wall_at_start }
    }

    pub(super) fn now(&self) -> u64 {
        self.run.now()
    }

    pub(super) fn until(&self, at: u64) -> Duration {
        self.run.until(at)
    }
}

impl NotifyMoment {
    /// When something was, since the epoch by the machine's clock as it goes now. It is never later than now,
    /// also after that clock was set back.
    pub(super) fn wall_of(self, past: u64) -> u64 {
        self.wall.saturating_sub(self.since_start.saturating_sub(past))
    }

    /// A number for the same moment that is the same whenever it is asked for. It differs from that of each
    /// other run of this host, and it is no time to show.
    pub(super) fn number_of(self, past: u64) -> u64 {
        self.wall_at_start.saturating_add(past)
    }
}
