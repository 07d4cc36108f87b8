//! What is not seen in the store and is no less there for it: apps that nobody removed, and what
//! records held that cannot be read.
//! Does not say what follows: `reconcile` and `place` do.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::ordset::DiffItem;

use super::records::{AppFacts as _, FleetKey, Records, Revision};
use super::view::FleetView;
use crate::id::{AppName, HostName};

impl<R: Records> FleetView<R> {
    /// Whether there is a record here that cannot be read. What it is about is neither wanted nor
    /// unwanted.
    #[must_use]
    pub fn is_unreadable(&self, key: &FleetKey) -> bool {
        self.unreadable.contains(key)
    }

    /// Whether operators want nothing to be planned; also where they said so in words of a newer version.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.frozen.is_some() || self.is_unreadable(&FleetKey::Freeze)
    }

    /// Whether operators removed an app after it had this generation, or with it.
    #[must_use]
    pub fn is_removed(&self, app: &AppName, generation: u64) -> bool {
        self.removed.get(app).is_some_and(|removed| *removed >= generation)
    }

    /// Whether an app is assigned that was removed. One that is only not seen may be wanted all the same.
    #[must_use]
    pub fn is_orphan(&self, app: &AppName) -> bool {
        self.assigned(app).is_some()
            && self.removed.contains_key(app)
            && self.app(app).is_none()
            && !self.is_unreadable(&FleetKey::App(app.clone()))
    }

    /// Whether the store does not hold an app that a host serves in this generation, although nobody
    /// removed it.
    #[must_use]
    pub fn is_missing(&self, app: &AppName, generation: u64) -> bool {
        self.app(app).is_none()
            && !self.is_removed(app, generation)
            && !self.is_unreadable(&FleetKey::App(app.clone()))
    }

    /// Whether what is known of an app is only what the store said earlier: it holds it no more, or in
    /// words that cannot be read here. Hosts may remember different things then, so nobody places it by
    /// what it remembers: it has as many replicas as it has.
    #[must_use]
    pub fn is_remembered(&self, app: &AppName) -> bool {
        self.vanished.contains(app) || self.is_unreadable(&FleetKey::App(app.clone()))
    }

    /// The apps of which [`Self::is_remembered`] says something else than it did of `before`, and perhaps
    /// some more. What both views share is passed over.
    #[must_use]
    pub fn memory_changed(&self, before: &Self) -> BTreeSet<AppName> {
        fn item<'i, T>(change: &DiffItem<'i, 'i, T>) -> &'i T {
            match change {
                DiffItem::Add(item) | DiffItem::Remove(item) => item,
            }
        }
        let vanished = before.vanished.diff(&self.vanished).map(|change| item(&change).clone());
        let unreadable = before.unreadable.diff(&self.unreadable);
        let unreadable = unreadable.filter_map(|change| match item(&change) {
            FleetKey::App(app) => Some(app.clone()),
            _ => None,
        });
        vanished.chain(unreadable).collect()
    }

    /// Hosts whose records cannot be read and never could be, as far as they can be guessed at: they are
    /// there, and what is on them stays there.
    pub fn outlined(&self) -> impl Iterator<Item = (&HostName, &Arc<R::Host>)> {
        self.outlined.iter()
    }

    /// What tells the deployment of this number that is wanted from another of its number, where the
    /// store says.
    #[must_use]
    pub fn wanted_fingerprint(&self, app: &AppName, generation: u64) -> Option<&str> {
        let record = self.app(app)?;
        match record.canary() {
            Some((canary, fingerprint)) if canary == generation => fingerprint,
            _ if record.generation() == generation => record.fingerprint(),
            _ => None,
        }
    }

    /// Takes an app out that the store does not hold any more, if it was removed.
    pub(super) fn lose(&mut self, app: AppName) {
        let Some(record) = self.app(&app) else { return };
        if self.is_removed(&app, record.generation()) {
            self.vanished.remove(&app);
            self.put_app(&app, None, Revision::default());
        } else {
            self.vanished.insert(app);
        }
    }

    /// Keeps what only `before` knows of apps, and of records that cannot be read now.
    pub(super) fn keep_unseen(&mut self, before: &Self) {
        for (app, row) in before.rows.iter() {
            let Some((record, revision)) = &row.wanted else { continue };
            if self.app(app).is_some() || self.is_removed(app, record.generation()) {
                continue;
            }
            self.put_app(app, Some(record.clone()), *revision);
            if !self.is_unreadable(&FleetKey::App(app.clone())) {
                self.vanished.insert(app.clone());
            }
        }
        if self.is_unreadable(&FleetKey::Freeze) {
            self.frozen.clone_from(&before.frozen);
        }
        for key in self.unreadable.clone() {
            match &key {
                FleetKey::Assigned(app) => {
                    if let Some(on) = before.assigned(app) {
                        self.put_assigned(app, Some(on.clone()));
                    }
                }
                FleetKey::Host(host) => {
                    if let Some(record) = before.hosts.get(host) {
                        self.outlined.remove(host);
                        self.hosts.insert(host.clone(), record.clone());
                    }
                }
                FleetKey::HostWanted(host) => {
                    if let Some(wanted) = before.host_specs.get(host) {
                        self.host_specs.insert(host.clone(), wanted.clone());
                    }
                }
                FleetKey::App(_)
                | FleetKey::Removed(_)
                | FleetKey::Ready(..)
                | FleetKey::Freeze => {}
            }
        }
    }
}
