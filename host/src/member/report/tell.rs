//! What is told of what apps use: to other hosts when they ask, and in the store for hosts of earlier
//! versions, as long as one of those is registered. Does not look at apps.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::fleet::record::{self, AppUse, UseRecord};
use crate::fleet::{Fleet, View, keys};
use crate::store::{Commit, LeaseId, Write};
use crate::telemetry::chain;

/// What differs by less than one part of so many, and by less than the least, is no news that is told
/// at once.
const NEWS_FROM: u64 = 10;
const LEAST_CPU: u64 = 5_000;
const LEAST_MEMORY: u64 = 1 << 20;
/// What is no such news is told so long after.
const LATER: Duration = Duration::from_secs(20);

/// What was told last, to whomever.
#[derive(Debug, Default)]
pub(super) struct Told {
    parts: BTreeMap<u32, (Instant, UseRecord)>,
}

/// What stands in the store.
#[derive(Debug, Default)]
pub(super) struct InStore {
    lease: Option<LeaseId>,
    told: Told,
}

impl Told {
    pub(super) fn n_parts(&self) -> u32 {
        u32::try_from(self.parts.len()).unwrap_or(u32::MAX)
    }

    /// Keeps what is news for other hosts that ask.
    pub(super) fn publish(&mut self, fleet: &Fleet, now: &BTreeMap<u32, UseRecord>) {
        let mut changed = BTreeMap::new();
        for (part, record) in self.news(now) {
            changed.extend(record.clone().map(|record| (part, record)));
            self.note(part, record);
        }
        if !changed.is_empty() {
            fleet.publish_use(changed, self.n_parts());
        }
    }

    /// What is to be told: each part that is news, nothing where it is gone.
    fn news(&self, now: &BTreeMap<u32, UseRecord>) -> Vec<(u32, Option<UseRecord>)> {
        let gone = self.parts.keys().filter(|part| !now.contains_key(*part));
        let due = now.iter().filter(|(part, record)| self.is_news(**part, record));
        gone.map(|part| (*part, None))
            .chain(due.map(|(part, record)| (*part, Some(record.clone()))))
            .collect()
    }

    fn note(&mut self, part: u32, record: Option<UseRecord>) {
        match record {
            Some(record) => drop(self.parts.insert(part, (Instant::now(), record))),
            None => drop(self.parts.remove(&part)),
        }
    }

    fn is_news(&self, part: u32, now: &UseRecord) -> bool {
        let Some((told_at, told)) = self.parts.get(&part) else { return true };
        (told_at.elapsed() >= LATER && told != now)
            || told.rest_is_idle != now.rest_is_idle
            || told.canaries != now.canaries
            || told.apps.len() != now.apps.len()
            || now
                .apps
                .iter()
                .any(|(app, now)| told.apps.get(app).is_none_or(|told| differs(told, now)))
    }
}

impl InStore {
    /// Writes what is news, each part on its own, while there is a host that reads it there; takes it out
    /// when there is none any more.
    pub(super) async fn tell(
        &mut self,
        fleet: &Fleet,
        lease: LeaseId,
        now: &BTreeMap<u32, UseRecord>,
    ) {
        if self.lease != Some(lease) {
            // What was told under another lease is gone with it.
            *self = Self { lease: Some(lease), told: Told::default() };
        }
        let nothing = BTreeMap::new();
        let now = if is_read_in_store(&fleet.view()) { now } else { &nothing };
        for (part, record) in self.told.news(now) {
            let key = keys::usage(fleet.me(), part);
            let write = match &record {
                Some(record) => {
                    Write::Put { key, value: record::encode(record), lease: Some(lease) }
                }
                None => Write::Delete(key),
            };
            let commit = Commit { guards: Vec::new(), writes: vec![write] };
            if let Err(error) = fleet.commit(commit).await {
                tracing::debug!(error = chain(&error), "cannot report what apps use");
                return;
            }
            self.told.note(part, record);
        }
    }
}

/// Whether a host is registered that looks for what apps use in the store, since it is of an earlier version.
/// It may be the one that plans, or have to at any time.
fn is_read_in_store(view: &View) -> bool {
    view.hosts.values().any(|host| !host.tells_use)
}

/// Whether an app uses much more or less than was told.
fn differs(told: &AppUse, now: &AppUse) -> bool {
    let is_far = |told: u64, now: u64, least: u64| {
        told.abs_diff(now) > (told.max(now) / NEWS_FROM).max(least)
    };
    told.is_believed() != now.is_believed()
        || is_far(told.cpu_u, now.cpu_u, LEAST_CPU)
        || is_far(told.cpu_high_u, now.cpu_high_u, LEAST_CPU)
        || is_far(told.memory, now.memory, LEAST_MEMORY)
        || is_far(told.memory_high, now.memory_high, LEAST_MEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(n_apps: usize, cpu_m: u64) -> UseRecord {
        let used = AppUse { cpu_u: cpu_m * 1000, looks: 40, ..AppUse::default() };
        let apps = (0..n_apps).map(|n| (format!("app-{n}"), used)).collect();
        UseRecord { rest_is_idle: true, apps, ..UseRecord::default() }
    }

    fn told(at: Instant, record: UseRecord) -> Told {
        Told { parts: [(0, (at, record))].into() }
    }

    #[test]
    fn what_has_hardly_changed_is_no_news() {
        let told = told(Instant::now(), uses(3, 100));
        let is_news = |now: &UseRecord| told.is_news(0, now);
        assert!(!is_news(&uses(3, 105)) && !is_news(&uses(3, 110)));
        assert!(is_news(&uses(3, 120)) && is_news(&uses(2, 100)) && is_news(&uses(4, 100)));
        let mut young = uses(3, 100);
        young.apps.values_mut().for_each(|used| used.looks = 2);
        assert!(is_news(&young));
        assert!(told.is_news(1, &UseRecord::default()));
    }

    #[test]
    fn what_goes_on_as_it_was_is_never_news_again() {
        let long_ago = Instant::now().checked_sub(LATER * 2).unwrap();
        let mut first = uses(3, 100);
        let told = told(long_ago, first.clone());
        assert!(!told.is_news(0, &first));
        first.apps.values_mut().for_each(|used| used.cpu_u += LEAST_CPU);
        assert!(told.is_news(0, &first), "a small change, a while later");
    }
}
