//! For how long nothing has moved while this host planned. A host that has just come to plan knows of
//! no quiet: what made it the planner is most likely that another one was lost.
//! Does not look at the clock.

use std::time::{Duration, Instant};

/// Since when nothing has moved.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    since: Option<Instant>,
}

impl Quiet {
    /// Whether nothing has moved for as long as `wanted`, which may be never; quiet begins now if this
    /// host did not plan before.
    pub(super) fn lasts(&mut self, now: Instant, wanted: Option<Duration>) -> bool {
        let since = *self.since.get_or_insert(now);
        wanted.is_some_and(|wanted| now.saturating_duration_since(since) >= wanted)
    }

    /// Something has moved, or quiet was made use of.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// This host does not plan now, or cannot.
    pub(super) fn forget(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_begins_when_a_host_comes_to_plan_and_after_each_move() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let wanted = Some(Duration::from_secs(300));
        let mut quiet = Quiet::default();
        assert!(!quiet.lasts(at(0), wanted) && !quiet.lasts(at(299), wanted));
        assert!(quiet.lasts(at(300), wanted) && !quiet.lasts(at(9999), None));
        quiet.begin(at(301));
        assert!(!quiet.lasts(at(600), wanted) && quiet.lasts(at(601), wanted));
        // For an hour another host plans, or the store is away.
        quiet.forget();
        assert!(!quiet.lasts(at(5000), wanted) && quiet.lasts(at(5300), wanted));
    }
}
