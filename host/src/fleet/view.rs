//! One immutable view of what the store holds: what `core::node` makes of what it says, and what apps
//! use besides. Does not read the store, and does not say what follows from it.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use imbl::OrdMap;
use steerage_core::id::{AppName, HostName};
use steerage_core::node::{FleetItem, FleetView, Revision, ViewChange};

use super::items::{Read, StoreRecords, read};
use super::record::{AppUse, UseRecord};
use super::usage::HeardOf;
use crate::ledger::record::Fingerprint;
use crate::store::{Change, Seen};

/// Everything the store holds that hosts act on, at one revision.
#[derive(Clone, Debug, Default)]
pub struct View {
    known: FleetView<StoreRecords>,
    /// What apps use on each host, in the parts in which it is told.
    pub usage: OrdMap<HostName, OrdMap<u32, Arc<UseRecord>>>,
    /// The hosts that were asked for that, and how far it is known of each. What others tell stands in the
    /// store.
    pub(super) heard: OrdMap<HostName, HeardOf>,
    /// What apps used on hosts that are gone, so that it is not unknown again when they start elsewhere.
    pub remembered: OrdMap<AppName, AppUse>,
}

/// What came of a change.
#[derive(Debug, Default)]
pub struct ChangeSummary {
    /// What has changed but what apps use, which is looked at now and then and not at once.
    pub change: ViewChange,
    /// Records that could not be used, as texts.
    pub troubles: Vec<String>,
    /// Whether more certificates are revoked than before.
    pub revokes: bool,
}

impl Deref for View {
    type Target = FleetView<StoreRecords>;

    fn deref(&self) -> &Self::Target {
        &self.known
    }
}

impl DerefMut for View {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.known
    }
}

impl View {
    /// The view of all that the store holds.
    #[must_use]
    pub fn read(seen: &Seen) -> (Self, ChangeSummary) {
        let mut view = Self::default();
        let entries = seen.entries.iter();
        let entries = entries.map(|entry| (&*entry.key, Some(&*entry.value), entry.revision));
        let (items, troubles) = view.take_uses(entries);
        let (known, change) = FleetView::read(items);
        view.known = known;
        (view, ChangeSummary { change, troubles, revokes: false })
    }

    /// Nothing yet of what an earlier run knew.
    pub(super) fn of_copy() -> Self {
        Self { known: FleetView::of_copy(), ..Self::default() }
    }

    /// Takes changes; `stays` tells whether a host in that run of it is there though its lease ended.
    pub fn apply(
        &mut self,
        changes: &[Change],
        stays: impl Fn(&HostName, u64) -> bool,
    ) -> ChangeSummary {
        let changes = changes.iter();
        let changes =
            changes.map(|change| (&*change.key, change.value.as_deref(), change.revision));
        let (items, troubles) = self.take_uses(changes);
        let change = self.known.apply(items, stays);
        for app in &change.apps {
            if self.known.app(app).is_none() {
                self.remembered.remove(app);
            }
        }
        if !change.hosts.is_empty() {
            self.forget_unheard();
        }
        ChangeSummary { change, troubles, revokes: false }
    }

    /// Keeps what only `before` knows: hosts that are there though the store has lost them, what was used
    /// on the others, apps that nobody removed, and what it read of records that cannot be read now.
    pub fn keep_detached(&mut self, before: &Self, stays: impl Fn(&HostName, u64) -> bool) {
        self.known.keep_detached(&before.known, stays);
        self.keep_heard(before);
        self.remember(before);
    }

    /// What tells the deployment of this number that is wanted from another of its number, where the
    /// store says.
    #[must_use]
    pub fn fingerprint(&self, app: &AppName, generation: u64) -> Option<Fingerprint> {
        self.wanted_fingerprint(app, generation)?.parse().ok()
    }

    /// Takes what is told of what apps use; returns everything else, and what could not be read as texts.
    fn take_uses<'e>(
        &mut self,
        entries: impl Iterator<Item = (&'e str, Option<&'e [u8]>, Revision)>,
    ) -> (Vec<(FleetItem<StoreRecords>, Revision)>, Vec<String>) {
        let (mut items, mut troubles) = (Vec::new(), Vec::new());
        for (key, value, revision) in entries {
            let (found, trouble) = read(key, value);
            troubles.extend(trouble);
            match found {
                Some(Read::Item(item)) => items.push((item, revision)),
                Some(Read::Use(host, part, used)) => self.take_use(host, part, used),
                // Other keys are read where they are needed.
                None => {}
            }
        }
        (items, troubles)
    }
}

pub(super) fn put<K: Ord + Clone, V: Clone>(map: &mut OrdMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

#[cfg(test)]
mod tests;
