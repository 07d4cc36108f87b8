//! Hosts that were lost: remembered for a day.
//! Does not decide that a host is lost.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use steerage_core::id::HostName;

use super::Fleet;
use super::record::HostRecord;

/// A host that was lost.
#[derive(Clone, Debug)]
pub struct Lost {
    /// What it was.
    pub record: Arc<HostRecord>,
    since: Instant,
}

impl Lost {
    /// One that was lost just now.
    #[must_use]
    pub fn now(record: Arc<HostRecord>) -> Self {
        Self { record, since: Instant::now() }
    }

    /// How long ago that was.
    #[must_use]
    pub fn for_how_long(&self) -> Duration {
        self.since.elapsed()
    }
}

/// A lost host is remembered for so long: a day, so that who comes in the morning sees it.
const LOST_FOR: Duration = Duration::from_secs(86_400);

impl Fleet {
    /// Notes that a host was lost, or with `None` that it is not; returns what was noted before.
    pub fn note_lost(&self, host: HostName, lost: Option<Lost>) -> Option<Lost> {
        let mut all = self.inner.lost.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, lost| lost.for_how_long() < LOST_FOR);
        match lost {
            Some(lost) => all.insert(host, lost),
            None => all.remove(&host),
        }
    }

    /// The hosts that were lost and have not come back, in the order of their names.
    #[must_use]
    pub fn lost(&self) -> Vec<(HostName, Lost)> {
        let all = self.inner.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = all.iter().filter(|(_, lost)| lost.for_how_long() < LOST_FOR);
        recent.map(|(host, lost)| (host.clone(), lost.clone())).collect()
    }
}
