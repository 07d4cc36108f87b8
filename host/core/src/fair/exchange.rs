//! When a core looks at the queue of another one before the one it serves, and at whose.
//! Decides by the time and by who has something waiting; does not see the queues.
//!
//! A core serves its own queue, and when that is empty the queue of another. Once in an [`EXCHANGE`] it
//! looks at one of the others, in a circle, and goes on to look at that one for as long as it found somebody
//! there within an [`EXCHANGE`] who was given less than whom it would serve. So after one [`EXCHANGE`] for each core it has seen everybody
//! who is behind, and cores do not wait for each other in between.
//!
//! Order of calls, of which none holds the lock of a queue longer than for one step:
//! [`Exchange::serves`] when the own queue is empty; [`Exchange::partner`], and where it names one,
//! [`Exchange::found`] when that one's queue was asked with [`super::Fair::rival`]; [`Exchange::took`] when
//! something was taken from another queue for nothing being in the own one.

use std::time::Duration;

use super::common::EXCHANGE;
use super::rival::RivalStanding;

/// What one core remembers of its looks at others.
#[derive(Debug, Default)]
pub struct Exchange {
    /// When the next core in the circle was looked at last, and which that was.
    looked_at: Duration,
    last: usize,
    /// The core that was looked at last of all, and when.
    asked: (Duration, usize),
    /// When and where somebody was found to be behind, and where that one stood: of several the one who was
    /// furthest behind.
    found: Option<(Duration, usize, RivalStanding)>,
    /// From where something was taken last that was another queue's, and where it stood, until the next is
    /// taken.
    rival: Option<(usize, RivalStanding)>,
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

    /// Who waited in another queue and was served before all that is here, if anybody was: while more waits
    /// there, whoever starts past the line here is to have had no more. `waits` says whether it does.
    #[must_use]
    pub fn rival(&self, waits: impl Fn(usize) -> bool) -> Option<&RivalStanding> {
        self.rival.as_ref().filter(|(from, _)| waits(*from)).map(|(_, standing)| standing)
    }

    /// Whose queue to look at before that of `served` is, whether that is the own one or another's: the next
    /// one in the circle, or else the one where somebody was found to be behind lately. What is next here
    /// may be of a tenant who has its turn, and what is next after that be ahead again.
    pub fn partner(
        &mut self,
        now: Duration,
        served: usize,
        first_from: impl Fn(usize) -> Option<usize>,
    ) -> Option<usize> {
        self.rival = None;
        let is_recent = |at: Duration| now < at.saturating_add(EXCHANGE);
        let partner = if is_recent(self.looked_at) {
            let (_, found, _) = self.found.filter(|(at, ..)| is_recent(*at))?;
            first_from(found).filter(|first| *first == found && found != served)?
        } else {
            self.looked_at = now;
            let first = first_from(self.last.saturating_add(1))?;
            let is_served = first == served;
            self.last = if is_served { first_from(first.saturating_add(1))? } else { first };
            Some(self.last).filter(|last| *last != served)?
        };
        self.asked = (now, partner);
        Some(partner)
    }

    /// This was taken from the queue that was looked at, since it was behind. A core that serves the
    /// queue of another one stays there, unless it knows of somebody who is further behind elsewhere.
    pub fn found(&mut self, rival: RivalStanding) {
        let (now, asked) = self.asked;
        self.rival = Some((asked, rival));
        let is_nearer = self.found.is_some_and(|(at, core, standing)| {
            core != asked && now < at.saturating_add(EXCHANGE) && standing.is_behind(&rival)
        });
        if !is_nearer {
            (self.found, self.served) = (Some((now, asked, rival)), asked);
        }
    }

    /// This was taken from the queue of another core, since nothing waits in the own one.
    pub fn took(&mut self, rival: RivalStanding) {
        self.rival = Some((self.served, rival));
    }
}
