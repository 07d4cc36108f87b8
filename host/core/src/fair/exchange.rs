//! When a core looks at the queue of another one before the one it serves, and at whose.
//! Decides by the time and by who has something waiting; does not see the queues.
//!
//! A core serves its own queue, and when that is empty the queue of another. Once in an [`EXCHANGE`] it
//! looks at one of the others, in a circle, and stays with that one for as long as what waits there was
//! given less than what it would serve. So after one [`EXCHANGE`] for each core it has seen everybody
//! who is behind, and cores do not wait for each other in between.
//!
//! Order of calls, of which none holds the lock of a queue longer than for one step:
//! [`Exchange::serves`] when the own queue is empty; [`Exchange::partner`], and where it names one,
//! [`Exchange::found`] when that one's queue was asked with [`super::Fair::rival`].

use std::time::Duration;

use super::common::EXCHANGE;
use super::rival::Next;

/// What one core remembers of its looks at others.
#[derive(Debug, Default)]
pub struct Exchange {
    looked_at: Duration,
    /// The core that was looked at last.
    last: usize,
    /// What was taken from that one in the last look, since it was behind.
    rival: Option<Next>,
    /// Whose queue it serves while its own is empty.
    served: usize,
}

impl Exchange {
    /// Whose queue to serve, the own one being empty. `first_from` says the first core from the one
    /// that is given that has something waiting, in a circle that leaves out the asker.
    pub fn serves(&mut self, first_from: impl Fn(usize) -> Option<usize>) -> Option<usize> {
        self.served = first_from(self.served)?;
        Some(self.served)
    }

    /// Whether it is time for a look at another queue, whoever is behind.
    #[must_use]
    pub fn is_time(&self, now: Duration) -> bool {
        now >= self.looked_at.saturating_add(EXCHANGE)
    }

    /// Who was behind in the queue that was looked at, if anybody was.
    #[must_use]
    pub fn rival(&self) -> Option<&Next> {
        self.rival.as_ref()
    }

    /// Whose queue to look at before that of `served` is, whether that is the own one or another's.
    pub fn partner(
        &mut self,
        now: Duration,
        served: usize,
        first_from: impl Fn(usize) -> Option<usize>,
    ) -> Option<usize> {
        let was_behind = self.rival.take().is_some();
        if !was_behind && !self.is_time(now) {
            return None;
        }
        let from = if was_behind { self.last } else { self.last.saturating_add(1) };
        self.looked_at = now;
        let first = first_from(from)?;
        let partner = if first == served { first_from(first.saturating_add(1))? } else { first };
        self.last = partner;
        (partner != served).then_some(partner)
    }

    /// This was taken from the queue that was looked at, since it was behind. A core that serves the
    /// queue of another one stays there.
    pub fn found(&mut self, rival: Next) {
        self.rival = Some(rival);
        self.served = self.last;
    }
}
