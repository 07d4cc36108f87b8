//! Whether the view is of now. The store is heard of at least each few seconds, if only by a sign of life;
//! a host that has heard nothing for longer stood still, as its machine did or its process: others may
//! have taken its place meanwhile, and what it has yet to read says so. Until everything was read again it
//! decides nothing for others.
//! Does not read it.

use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Fleet;

/// A view is of now that was heard of so long ago at most. A watch asks for a sign of life after a second,
/// and has ended two seconds later without one, so only who does not look can hear nothing for longer.
const FRESH: Duration = Duration::from_secs(4);

/// When the store was heard of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// The last time, if there was one since everything was read.
    at: Option<Instant>,
    /// Whether what was heard then may be overtaken. When it was is kept: it says for how long this host stood
    /// still, whoever notices first.
    is_doubted: bool,
    /// How often this host has begun to hear of it.
    began: Beginnings,
}

/// How often a host has begun to take what the store tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beginnings {
    /// Behind all that it held, which was read.
    pub whole: u64,
    /// From where this host was.
    pub resumed: u64,
}

/// That the store has said that this host is registered.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaseKept {
    at: Instant,
    /// How long it took to say so.
    took: Duration,
}

impl Heard {
    /// Everything was read, and taken by now.
    pub(super) fn all(&mut self, now: Instant) {
        (self.at, self.is_doubted) = (Some(now), false);
    }

    /// Something was heard; for how long nothing was, where that is too long for what is heard next to be
    /// all that there is.
    pub(super) fn something(&mut self, now: Instant) -> Result<(), Option<Duration>> {
        if self.is_fresh(now) {
            self.at = Some(now);
            return Ok(());
        }
        let silent = self.at.take().map(|at| now.saturating_duration_since(at));
        Err(silent.filter(|silent| *silent > FRESH))
    }

    /// What was heard last may be overtaken, however short a time ago it was.
    pub(super) fn doubt(&mut self) {
        self.is_doubted = true;
    }

    /// Whether the view is of now.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        !self.is_doubted && self.at.is_some_and(|at| now.saturating_duration_since(at) <= FRESH)
    }
}

impl Fleet {
    /// Whether the view is of now: the store answers, and was heard of a moment ago. Who decides for others
    /// looks here first, since a host that stood still knows of nothing that came meanwhile.
    #[must_use]
    pub fn is_current(&self) -> bool {
        !self.is_cut_off() && self.heard().is_fresh(Instant::now())
    }

    /// Notes that the store was heard of.
    ///
    /// # Errors
    /// It was not for too long, or what was heard is in doubt: all is to be read again. For how long, if
    /// that was not said before.
    pub fn note_heard(&self) -> Result<(), Option<Duration>> {
        self.heard().something(Instant::now())
    }

    /// Notes that what was heard of the store may be overtaken.
    pub fn doubt(&self) {
        self.heard().doubt();
    }

    /// Notes that everything was read, and taken by now; what came since will be heard of.
    pub fn note_all_read(&self) {
        self.heard().all(Instant::now());
    }

    /// Counts a beginning.
    pub fn count_beginning(&self, is_whole: bool) {
        let began = &mut self.heard().began;
        let counter = if is_whole { &mut began.whole } else { &mut began.resumed };
        *counter += 1;
    }

    /// How often this host has begun to take what the store tells.
    #[must_use]
    pub fn beginnings(&self) -> Beginnings {
        self.heard().began
    }

    /// How long ago the store was heard of, if it was since everything was read.
    #[must_use]
    pub fn heard_ago(&self) -> Option<Duration> {
        let heard = *self.heard();
        heard.at.filter(|_| !heard.is_doubted).map(|at| at.elapsed())
    }

    /// Notes how long the store took to say that this host is registered; nothing where it is not any more.
    pub fn note_lease_kept(&self, took: Option<Duration>) {
        let kept = took.map(|took| LeaseKept { at: Instant::now(), took });
        *self.inner.lease.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// How long ago the store said that this host is registered, and how long it took to say so; nothing
    /// while it is not.
    #[must_use]
    pub fn lease_kept(&self) -> Option<(Duration, Duration)> {
        let kept = *self.inner.lease.lock().unwrap_or_else(PoisonError::into_inner);
        kept.map(|kept| (kept.at.elapsed(), kept.took))
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.inner.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stood_still_knows_nothing_of_now_until_all_is_read_again() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heard = Heard::default();
        assert!(!heard.is_fresh(at(0)), "nothing was read yet");
        assert_eq!(heard.something(at(0)), Err(None));
        heard.all(at(1));
        assert_eq!(heard.something(at(4)), Ok(()));
        assert!(heard.is_fresh(at(8)) && !heard.is_fresh(at(9)));
        // It wakes: what waits to be read is old, and does not make the view new.
        assert_eq!(heard.something(at(24)), Err(Some(Duration::from_secs(20))));
        assert!(!heard.is_fresh(at(24)));
        assert_eq!(heard.something(at(24)), Err(None));
        heard.all(at(25));
        assert!(heard.is_fresh(at(25)));
        // The store has ended its lease, whatever its clock says.
        heard.doubt();
        assert!(!heard.is_fresh(at(25)));
        assert_eq!(heard.something(at(26)), Err(None));
        heard.all(at(27));
        assert!(heard.is_fresh(at(27)));
    }

    #[test]
    fn for_how_long_it_stood_still_is_told_whoever_notices_first() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heard = Heard::default();
        heard.all(at(1));
        // The lease was kept alive by another thread, which wakes first and finds that it has ended.
        heard.doubt();
        assert_eq!(heard.something(at(21)), Err(Some(Duration::from_secs(20))));
        assert_eq!(heard.something(at(21)), Err(None));
    }
}
