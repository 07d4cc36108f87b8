//! Time for drivers of the core: milliseconds that only go on, whatever becomes of the machine's clock.
//! Does not wait and does not know what the time of day is.

use std::time::Duration;

use tokio::time::Instant;

/// Milliseconds since it began.
#[derive(Clone, Copy, Debug)]
pub struct RunClock(Instant);

impl RunClock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long ago it began.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How long it is until then; no time where that is past.
    #[must_use]
    pub fn until(&self, at: u64) -> Duration {
        Duration::from_millis(at.saturating_sub(self.now()))
    }
}
