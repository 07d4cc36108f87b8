//! What all hosts together report of a canary, and how it is written.
//! Does not judge it.

use steerage_core::canary::{Durations, Side};
use steerage_core::id::{AppName, HostName};
use steerage_core::node::Assigned;

use super::View;
use super::record::{CanaryUse, SideUse};

impl View {
    /// What the current deployment and the canary did, on all hosts together.
    #[must_use]
    pub fn canary_sides(&self, app: &AppName, generation: u64) -> (Side, Side) {
        let (mut old, mut canary) = (Side::default(), Side::default());
        let parts = self.usage.values().flat_map(imbl::OrdMap::values);
        let reports = parts.filter_map(|part| part.canaries.get(app.as_str()));
        for report in reports.filter(|report| report.generation == generation) {
            report.old.add_to(&mut old);
            report.canary.add_to(&mut canary);
        }
        (old, canary)
    }

    /// The hosts an app is assigned to that try this deployment of it.
    pub fn trying(&self, app: &AppName, generation: u64) -> impl Iterator<Item = &HostName> {
        let ready = self.ready(app);
        let tries = move |host: &&HostName| {
            ready
                .and_then(|ready| ready.get(host)?.canary)
                .is_some_and(|tried| tried.get() == generation)
        };
        self.assigned_to(app).into_iter().flat_map(Assigned::keys).filter(tries)
    }

    /// Whether every host that an app is assigned to tries this deployment of it.
    #[must_use]
    pub fn is_canary_everywhere(&self, app: &AppName, generation: u64) -> bool {
        let n_assigned = self.assigned_to(app).map_or(0, Assigned::len);
        n_assigned > 0 && self.trying(app, generation).count() == n_assigned
    }
}

impl CanaryUse {
    /// A report of what was counted.
    #[must_use]
    pub fn of(generation: u64, old: &Side, canary: &Side) -> Self {
        Self { generation, old: SideUse::of(old), canary: SideUse::of(canary) }
    }
}

impl SideUse {
    fn of(side: &Side) -> Self {
        let (durations, abandoned) = (side.durations.counts(), side.abandoned.counts());
        Self {
            calls: side.calls,
            failed: side.failed,
            durations: durations.collect(),
            abandoned: abandoned.collect(),
        }
    }

    fn add_to(&self, side: &mut Side) {
        side.calls = side.calls.saturating_add(self.calls);
        side.failed = side.failed.saturating_add(self.failed);
        for (counts, durations) in
            [(&self.durations, &mut side.durations), (&self.abandoned, &mut side.abandoned)]
        {
            for (class, count) in counts {
                durations.add(usize::from((*class).min(LAST)), *count);
            }
        }
    }
}

/// The last class that this version knows; a newer host may know more.
#[expect(clippy::cast_possible_truncation, reason = "there are 112 classes")]
const LAST: u8 = (Durations::CLASSES - 1) as u8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::record::UseRecord;

    fn side(calls: u64, failed: u64, millis: u64) -> Side {
        let mut durations = Durations::default();
        durations.add(Durations::class(millis * 1000), calls);
        let mut abandoned = Durations::default();
        abandoned.add(Durations::class(90_000_000), failed);
        Side { calls, failed, durations, abandoned }
    }

    #[test]
    fn what_hosts_report_of_the_same_trial_is_added_up() {
        let mut view = View::default();
        let shop: AppName = "shop".parse().unwrap();
        for (host, generation, n_calls) in [("h1", 4, 100), ("h2", 4, 50), ("h3", 3, 1000)] {
            let report = CanaryUse::of(generation, &side(n_calls, 0, 5), &side(n_calls / 10, 2, 9));
            let canaries = [("shop".to_owned(), report)].into();
            let used = UseRecord { canaries, ..UseRecord::default() };
            view.take_use(host.parse().unwrap(), 0, Some(used));
        }
        assert_eq!(view.canary_sides(&shop, 4), (side(150, 0, 5), side(15, 4, 9)));
        assert_eq!(view.canary_sides(&shop, 5), (Side::default(), Side::default()));
    }
}
