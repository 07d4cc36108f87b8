//! One immutable view of what the store holds, and how it follows from what changed there.
//! A record that cannot be read changes nothing: the rest of the fleet goes on. Nor does an app go
//! because it is not seen: only its removal takes it out. Does not read the store.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::records::{FleetItem, FleetKey, FleetValue, HostFacts as _, Records, Revision};
use super::rows::AppRows;
use crate::id::{AppName, HostName};
use crate::liveness::LeaseState;

/// Everything the store holds that hosts act on, but what apps use, at one revision.
#[derive(Clone, Debug)]
pub struct FleetView<R: Records> {
    /// What is wanted of each app, where it shall run, and who has its code at hand.
    pub rows: AppRows<R>,
    /// What operators want of hosts.
    pub host_specs: OrdMap<HostName, R::HostSpec>,
    /// That nothing is to be planned; see [`FleetView::is_frozen`].
    pub frozen: Option<Arc<R::Freeze>>,
    /// The hosts that are registered.
    pub hosts: OrdMap<HostName, Arc<R::Host>>,
    /// Hosts that the store has lost and that answer nevertheless; before it was read, those that are
    /// known from an earlier run.
    pub detached: OrdMap<HostName, Arc<R::Host>>,
    /// Whether this is what an earlier run knew, and the store was not read since.
    is_of_copy: bool,
    /// Apps that operators removed, with the highest generation each had.
    pub removed: OrdMap<AppName, u64>,
    /// Those that are wanted and that the store does not hold any more, although nobody removed them.
    pub vanished: OrdSet<AppName>,
    /// Where there are records that cannot be read. What they held before is kept.
    pub(super) unreadable: OrdSet<FleetKey>,
    /// Hosts whose records cannot be read and were never read, as far as they can be guessed at.
    pub(super) outlined: OrdMap<HostName, Arc<R::Host>>,
    /// The apps that must not meet others; see [`FleetView::may_run`].
    pub(super) shy: OrdSet<AppName>,
}

/// What came of a change.
#[derive(Debug, Default)]
pub struct ViewChange {
    /// Apps of which anything changed.
    pub apps: BTreeSet<AppName>,
    /// Hosts that came, went or changed.
    pub hosts: BTreeSet<HostName>,
    /// Whether operators changed the spec of a host, or froze or thawed the fleet.
    pub specs_changed: bool,
}

impl ViewChange {
    /// Whether anything came at all.
    #[must_use]
    pub fn is_news(&self) -> bool {
        !self.hosts.is_empty() || self.specs_changed || !self.apps.is_empty()
    }

    fn note_host(&mut self, host: &HostName) {
        self.hosts.insert(host.clone());
    }
}

// Written out: records need have no default.
impl<R: Records> Default for FleetView<R> {
    fn default() -> Self {
        Self {
            rows: AppRows::default(),
            host_specs: OrdMap::new(),
            frozen: None,
            hosts: OrdMap::new(),
            detached: OrdMap::new(),
            is_of_copy: false,
            removed: OrdMap::new(),
            vanished: OrdSet::new(),
            unreadable: OrdSet::new(),
            outlined: OrdMap::new(),
            shy: OrdSet::new(),
        }
    }
}

impl<R: Records> FleetView<R> {
    /// The view of all that the store holds.
    #[must_use]
    pub fn read(items: impl IntoIterator<Item = (FleetItem<R>, Revision)>) -> (Self, ViewChange) {
        let (mut view, mut change) = (Self::default(), ViewChange::default());
        let mut items: Vec<_> = items.into_iter().collect();
        // Hosts first, so that whatever else names them shares their names. All others in no order: a tree
        // that is filled from one end to the other is left with half-empty nodes.
        items.sort_by_cached_key(|(item, _)| {
            let is_named = matches!(item, FleetItem::Host(..));
            let mut scattered = DefaultHasher::new();
            item.key().hash(&mut scattered);
            (!is_named, scattered.finish())
        });
        for (item, revision) in items {
            view.take(item, revision, &mut change);
        }
        (view, change)
    }

    /// Nothing yet of what an earlier run knew.
    #[must_use]
    pub fn of_copy() -> Self {
        Self { is_of_copy: true, ..Self::default() }
    }

    /// Takes changes; `stays` tells whether a host in that run of it is there though its lease ended.
    pub fn apply(
        &mut self,
        items: Vec<(FleetItem<R>, Revision)>,
        stays: impl Fn(&HostName, u64) -> bool,
    ) -> ViewChange {
        let mut change = ViewChange::default();
        // Removals first, so that an app that goes with its removal has not vanished.
        let is_removal = |(item, _): &(FleetItem<R>, _)| matches!(item, FleetItem::Removed(..));
        let (removals, others): (Vec<_>, Vec<_>) = items.into_iter().partition(is_removal);
        for (item, revision) in removals {
            self.take(item, revision, &mut change);
        }
        // A lease that ends takes all keys of its host at once, as one change. Where the host answers, it is
        // the store that lost it. What the host itself takes back later, once it is registered again, may
        // come along with that.
        let mut lost = BTreeSet::new();
        for (item, revision) in &others {
            if let FleetItem::Host(host, FleetValue::Gone) = item
                && let Some(record) = self.hosts.get(host)
                && stays(host, record.run())
            {
                self.detached.insert(host.clone(), record.clone());
                lost.insert((host.clone(), *revision));
            }
        }
        for (item, revision) in others {
            let is_of_lost = matches!(
                &item,
                FleetItem::Ready(host, _, FleetValue::Gone) if lost.contains(&(host.clone(), revision))
            );
            if !is_of_lost {
                self.take(item, revision, &mut change);
            }
        }
        change
    }

    /// Keeps what only `before` knows: hosts that are there though the store has lost them, apps that
    /// nobody removed, and what it read of records that cannot be read now.
    pub fn keep_detached(&mut self, before: &Self, stays: impl Fn(&HostName, u64) -> bool) {
        self.keep_unseen(before);
        for (host, record) in before.all_hosts() {
            if self.hosts.contains_key(host) || !stays(host, record.run()) {
                continue;
            }
            self.detached.insert(host.clone(), record.clone());
            for (app, hosts) in before.all_ready() {
                if let Some(ready) = hosts.get(host) {
                    self.take_ready(app, host.clone(), Some(ready.clone()));
                }
            }
        }
    }

    /// Forgets hosts that the store has lost and that are gone by now; whether there were any.
    pub fn forget_gone(&mut self, is_gone: impl Fn(&HostName) -> bool) -> bool {
        let gone: Vec<HostName> =
            self.detached.keys().filter(|host| is_gone(host)).cloned().collect();
        for host in &gone {
            self.detached.remove(host);
            self.forget_ready(host);
        }
        !gone.is_empty()
    }

    /// Takes out hosts that shall not count, whatever the store says of them, with what they have said.
    pub fn expel(
        &mut self,
        is_expelled: impl Fn(&HostName, &R::Host) -> bool,
        change: &mut ViewChange,
    ) {
        let all = self.all_hosts().filter(|(host, record)| is_expelled(host, record));
        let all: Vec<HostName> = all.map(|(host, _)| host.clone()).collect();
        for host in all {
            change.note_host(&host);
            let with = self.all_ready().filter(|(_, hosts)| hosts.contains_key(&host));
            change.apps.extend(with.map(|(app, _)| app.clone()));
            self.hosts.remove(&host);
            self.detached.remove(&host);
            self.forget_ready(&host);
        }
    }

    /// What the store says of a host's registration.
    #[must_use]
    pub fn lease_of(&self, host: &HostName) -> LeaseState {
        if self.hosts.contains_key(host) || self.outlined.contains_key(host) {
            LeaseState::Held
        } else if self.is_of_copy {
            LeaseState::Unknown
        } else {
            LeaseState::Ended
        }
    }

    /// All hosts that are there as far as this host knows.
    pub fn all_hosts(&self) -> impl Iterator<Item = (&HostName, &Arc<R::Host>)> {
        self.hosts.iter().chain(self.detached.iter())
    }

    /// One of them.
    #[must_use]
    pub fn host(&self, name: &HostName) -> Option<&Arc<R::Host>> {
        self.hosts.get(name).or_else(|| self.detached.get(name))
    }

    fn take(&mut self, item: FleetItem<R>, revision: Revision, change: &mut ViewChange) {
        let key = item.key();
        if item.is_unreadable() {
            self.unreadable.insert(key);
            if let FleetItem::Host(host, FleetValue::Unreadable(Some(guess))) = item
                && !self.hosts.contains_key(&host)
            {
                change.note_host(&host);
                self.outlined.insert(host, Arc::new(guess));
            }
            return;
        }
        self.unreadable.remove(&key);
        match item {
            FleetItem::App(app, value) => {
                change.apps.insert(app.clone());
                match value.read() {
                    Some(record) => {
                        self.vanished.remove(&app);
                        self.put_app(&app, Some(record), revision);
                    }
                    None => self.lose(app),
                }
            }
            FleetItem::Removed(app, value) => {
                change.apps.insert(app.clone());
                put(&mut self.removed, app.clone(), value.read());
                if self.vanished.contains(&app) {
                    self.lose(app);
                }
            }
            FleetItem::Assigned(app, value) => {
                change.apps.insert(app.clone());
                self.put_assigned(&app, value.read().map(|assigned| (assigned, revision)));
            }
            FleetItem::Ready(host, app, value) => {
                let host = self.shared_host(host);
                self.take_ready(&app, host, value.read());
                change.apps.insert(app);
            }
            FleetItem::Host(host, value) => {
                change.note_host(&host);
                let record = value.read();
                if record.is_some() {
                    self.detached.remove(&host);
                }
                self.outlined.remove(&host);
                put(&mut self.hosts, host, record.map(Arc::new));
            }
            FleetItem::HostWanted(host, value) => {
                change.specs_changed = true;
                put(&mut self.host_specs, host, value.read());
            }
            FleetItem::Freeze(value) => {
                change.specs_changed = true;
                self.frozen = value.read().map(Arc::new);
            }
        }
    }

    /// The same name, sharing its text with that of the host, where it is known.
    pub(super) fn shared_host(&self, name: HostName) -> HostName {
        let known = |hosts: &OrdMap<HostName, Arc<R::Host>>| {
            hosts.get_key_value(&name).map(|(known, _)| known.clone())
        };
        known(&self.hosts).or_else(|| known(&self.detached)).unwrap_or(name)
    }

    fn take_ready(&mut self, app: &AppName, host: HostName, record: Option<R::Ready>) {
        self.rows.change(app, |row| row.ready = row.ready.with(host, record));
    }

    fn forget_ready(&mut self, host: &HostName) {
        let with = self.all_ready().filter(|(_, hosts)| hosts.contains_key(host));
        let with: Vec<AppName> = with.map(|(app, _)| app.clone()).collect();
        for app in &with {
            self.take_ready(app, host.clone(), None);
        }
    }
}

fn put<K: Ord + Clone, V: Clone>(map: &mut OrdMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}
