//! The fleet as this host knows it: an immutable view of the store, swapped whole, and for each app
//! the hosts that can answer for it. Kin of `catalog`, which holds what this host itself serves.
//! A host that is alone is a fleet of one (`fleet/alone.rs`).
//! Reads and writes no store: `member` does, and tells what came; decides no placement.

mod alone;
mod asking;
mod authorities;
mod canary;
mod heard;
mod items;
pub mod keys;
mod lineage;
mod lost;
pub mod record;
mod replicas;
mod revoked;
mod saved;
mod secrets;
mod usage;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use imbl::OrdMap;
use steerage_core::id::{AppName, HostName};
use steerage_core::liveness::{self, Evidence, Eyes, LeaseState, Liveness, Probe, Run};
use steerage_core::node::ViewChange;
use tokio::sync::watch;

use self::alone::Alone;
pub use self::alone::LoneTurn;
use self::asking::{Asked, OwnUse};
pub use self::asking::{TOLD_USE, ToldUse};
pub use self::heard::Beginnings;
use self::heard::{Heard, LeaseKept};
pub use self::items::StoreRecords;
pub use self::lineage::Lineage;
pub use self::lost::Lost;
use self::replicas::KnownReplicas;
pub use self::replicas::Replicas;
use self::revoked::KeptRevoked;
use self::secrets::KeptSecrets;
pub use self::usage::part_of;
pub use self::view::{ChangeSummary, View};
use crate::forward::Peers;
use crate::store::{Change, Seen, Store};

/// What a host knows of its fleet. Clones share it.
#[derive(Clone, Debug)]
pub struct Fleet {
    inner: Arc<Inner>,
    store: Store,
}

#[derive(Debug)]
struct Inner {
    me: HostName,
    /// Which run of it this is.
    run: u64,
    peers: Peers,
    view: ArcSwap<View>,
    table: ArcSwap<OrdMap<AppName, Arc<Replicas>>>,
    /// Held by whoever makes the next view.
    next: Mutex<()>,
    /// What apps in the table share.
    sets: Mutex<KnownReplicas>,
    changed: watch::Sender<u64>,
    is_cut_off: AtomicBool,
    /// When the store was heard of.
    heard: Mutex<Heard>,
    /// Whether this host knows the fleet's apps: of an earlier run, or since it has followed all that the
    /// store held.
    is_known: AtomicBool,
    /// When the store answered again after it had not.
    back_at: Mutex<Option<Instant>>,
    /// Since when it has not answered, while it does not.
    away_since: Mutex<Option<Instant>>,
    copy: PathBuf,
    /// Why this host is not one of the fleet, where it is not.
    trouble: ArcSwapOption<String>,
    /// Which fleet it follows, and whether the store is that fleet's.
    lineage: Lineage,
    /// What is kept of revoked certificates.
    revoked: KeptRevoked,
    /// Hosts that were lost while this one runs and have not come back.
    lost: Mutex<BTreeMap<HostName, Lost>>,
    /// What apps use here, as others are told it.
    own_use: Mutex<OwnUse>,
    /// Held while others are asked what apps use there.
    asking: tokio::sync::Mutex<()>,
    asked: Mutex<Asked>,
    /// When the store said the last time that this host is registered.
    lease: Mutex<Option<LeaseKept>>,
    /// What is kept of sealed secrets.
    secrets: KeptSecrets,
    /// What only a fleet of one host needs, where it is one.
    alone: Option<Alone>,
}

impl Fleet {
    /// What the host `me` knows of its fleet: what it knew when it ran last, which is kept in the
    /// file `copy`, until the store says more.
    #[must_use]
    pub fn new(me: HostName, store: Store, peers: Peers, copy: PathBuf) -> Self {
        let is_known = copy.exists();
        let (mut view, revision) = saved::read(&copy);
        let fleet = Self::build(me, store, peers, (copy, &view, revision), None);
        fleet.inner.is_known.store(is_known, Ordering::Relaxed);
        fleet.expel_revoked(&mut view, &mut ViewChange::default());
        fleet.swap(view, None);
        fleet
    }

    fn build(
        me: HostName,
        store: Store,
        peers: Peers,
        (copy, view, revision): (PathBuf, &View, u64),
        alone: Option<Alone>,
    ) -> Self {
        let lineage = Lineage::read(&copy, revision, !view.detached.is_empty());
        let (revoked, all) = KeptRevoked::read(&copy);
        if let Some(believed) = peers.believed() {
            believed.revoke(all);
        }
        let inner = Inner {
            me,
            // JSON's readers elsewhere keep 53 bits of a number, and 0 stands for none.
            run: (fastrand::u64(..) >> 11).max(1),
            peers,
            view: ArcSwap::default(),
            table: ArcSwap::default(),
            next: Mutex::default(),
            sets: Mutex::default(),
            changed: watch::channel(0).0,
            // The embedded store is there as long as this process is.
            is_cut_off: AtomicBool::new(alone.is_none()),
            heard: Mutex::default(),
            is_known: AtomicBool::new(alone.is_some()),
            back_at: Mutex::default(),
            away_since: Mutex::new(alone.is_none().then(Instant::now)),
            secrets: KeptSecrets::beside(&copy),
            copy,
            trouble: ArcSwapOption::empty(),
            lineage,
            revoked,
            lost: Mutex::default(),
            own_use: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            asked: Mutex::default(),
            lease: Mutex::default(),
            alone,
        };
        Self { inner: Arc::new(inner), store }
    }

    /// This host's name.
    #[must_use]
    pub fn me(&self) -> &HostName {
        &self.inner.me
    }

    /// Which of its runs this is, by a number that no other one has.
    #[must_use]
    pub fn run(&self) -> u64 {
        self.inner.run
    }

    /// What all hosts share.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The same fleet, asking the store over connections of its own, which are served by the threads that
    /// ask over it first: nothing that others ask keeps it waiting.
    #[must_use]
    pub fn with_own_connections(&self) -> Self {
        Self { inner: self.inner.clone(), store: self.store.with_own_connections() }
    }

    /// The other hosts.
    #[must_use]
    pub fn peers(&self) -> &Peers {
        &self.inner.peers
    }

    /// The view of this moment, to keep.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.inner.view.load_full()
    }

    /// Changes with every view but those in which only what apps use is new.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// Who can answer for an app; `None` where the fleet does not know the app.
    #[must_use]
    pub fn replicas(&self, app: &AppName) -> Option<Arc<Replicas>> {
        self.inner.table.load().get(app).cloned()
    }

    /// Whether an app may run on a host, also where it is not placed there; see `core::node::answering`.
    #[must_use]
    pub fn may_run(&self, app: &AppName, host: &HostName) -> bool {
        self.inner.view.load().may_run(app, host)
    }

    /// Whether the store did not answer the last time this host asked.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.inner.is_cut_off.load(Ordering::Relaxed)
    }

    /// Notes whether the store answers; returns whether that is news.
    pub fn note_cut_off(&self, is_cut_off: bool) -> bool {
        let is_news = self.inner.is_cut_off.swap(is_cut_off, Ordering::Relaxed) != is_cut_off;
        if is_news {
            let since = is_cut_off.then(Instant::now);
            *self.inner.away_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
        }
        if is_news && !is_cut_off {
            *self.inner.back_at.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Instant::now());
        }
        is_news
    }

    /// For how long this host has heard nothing of the store; not at all while it does.
    #[must_use]
    pub fn silent_for(&self) -> Option<Duration> {
        let since = *self.inner.away_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.map(|since| since.elapsed())
    }

    /// Whether this host knows which apps there are. Before, it would say of every one that there is none.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.inner.is_known.load(Ordering::Relaxed)
    }

    /// Notes that it does.
    pub fn note_known(&self) {
        self.inner.is_known.store(true, Ordering::Relaxed);
    }

    /// Notes why this host is not registered; nothing once it is.
    pub fn note_trouble(&self, trouble: Option<String>) {
        self.inner.trouble.store(trouble.map(Arc::new));
    }

    /// Why this host is not registered, and what to do about it.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<String>> {
        self.inner.trouble.load_full()
    }

    /// For how long the store has answered without a break.
    #[must_use]
    pub fn connected_for(&self) -> Duration {
        let back_at = *self.inner.back_at.lock().unwrap_or_else(PoisonError::into_inner);
        back_at.filter(|_| !self.is_cut_off()).map_or(Duration::ZERO, |at| at.elapsed())
    }

    /// Which fleet this host follows, and whether the store is that fleet's.
    #[must_use]
    pub fn lineage(&self) -> &Lineage {
        &self.inner.lineage
    }

    /// Forgets what was known of the fleet: it was another one.
    pub fn forget(&self) {
        let _turn = self.inner.next.lock().unwrap_or_else(PoisonError::into_inner);
        self.swap(View::default(), None);
    }

    /// Takes all that the store holds. Hosts that it does not know any more, but that still answer
    /// this one, stay known: more likely the store was away than they are.
    pub fn replace(&self, seen: &Seen) -> ChangeSummary {
        let _turn = self.inner.next.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.inner.view.load_full();
        let entries = seen.entries.iter().map(|entry| (&*entry.key, Some(&*entry.value)));
        let (revokes, troubles) = self.take_revoked(entries);
        let (mut view, mut told) = View::read(seen);
        view.keep_detached(&before, |host, run| self.outlives_lease(host, run));
        self.expel_revoked(&mut view, &mut told.change);
        told.revokes = revokes;
        told.troubles.extend(troubles);
        self.swap(view, None);
        self.note_all_read();
        told
    }

    /// Takes what has changed in the store.
    pub fn apply(&self, changes: &[Change]) -> ChangeSummary {
        let _turn = self.inner.next.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.inner.view.load_full();
        let mut view = View::clone(&before);
        let entries = changes.iter().map(|change| (&*change.key, change.value.as_deref()));
        let (revokes, troubles) = self.take_revoked(entries);
        let mut told = view.apply(changes, |host, run| self.outlives_lease(host, run));
        self.expel_revoked(&mut view, &mut told.change);
        told.revokes = revokes;
        told.troubles.extend(troubles);
        if told.change.is_news() {
            self.swap(view, Some(&told.change));
        } else {
            // What apps use is no reason to wake anybody: it changes all the time.
            self.inner.view.store(Arc::new(view));
        }
        told
    }

    /// Forgets hosts that the store does not know and that are gone by now.
    pub fn forget_gone(&self) {
        let _turn = self.inner.next.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.inner.view.load_full();
        let mut view = View::clone(&before);
        if view.forget_gone(|host| self.liveness(&before, host) == Liveness::Gone) {
            view.forget_unheard();
            self.swap(view, None);
        }
    }

    /// Keeps what is known on the disk, for a start without the store.
    pub fn save(&self) {
        self.save_revoked();
        saved::write(&self.inner.copy, &self.view(), self.inner.lineage.revision());
    }

    /// Whether a host is there, as this one knows by a view.
    #[must_use]
    pub fn liveness(&self, view: &View, host: &HostName) -> Liveness {
        let lease = view.lease_of(host);
        let evidence =
            Evidence { lease, probe: Probe::Impossible, run: Run::Same, eyes: Eyes::Own };
        if *host == self.inner.me {
            // That it runs needs no asking, and its registration may be another run's.
            let registered = view.hosts.get(host);
            let is_own = registered.is_none_or(|record| record.run == self.inner.run);
            let run = if is_own { Run::Same } else { Run::Other };
            return liveness::state(Evidence { probe: Probe::Answers, run, ..evidence });
        }
        let peer = self.inner.peers.named(host).filter(|_| view.host(host).is_some());
        peer.map_or_else(|| liveness::state(evidence), |peer| peer.liveness_under(lease))
    }

    /// Whether a host in that run of it is there though its lease has ended.
    fn outlives_lease(&self, host: &HostName, run: u64) -> bool {
        let peer = self.inner.peers.named(host).filter(|peer| peer.run == run);
        peer.is_some_and(|peer| peer.liveness_under(LeaseState::Ended).keeps_replicas())
    }

    /// Makes `view` the current one, with the table of those apps that changed or are on hosts that did, or of
    /// all.
    fn swap(&self, view: View, changed: Option<&ViewChange>) {
        let peers = &self.inner.peers;
        if changed.is_none_or(|changed| !changed.hosts.is_empty()) {
            for (name, host) in view.all_hosts().filter(|(name, _)| **name != self.inner.me) {
                peers.know(name, (host.address, host.run), view.lease_of(name));
            }
            peers.keep_only(|name| view.host(name).is_some());
        }
        let (mut table, apps): (_, BTreeSet<&AppName>) = match changed {
            None => (OrdMap::new(), view.apps().map(|(app, _)| app).collect()),
            // In a large fleet some host changes all the time, and few of all apps are on it.
            Some(changed) => {
                let on_hosts = view.apps_on(&changed.hosts);
                (OrdMap::clone(&self.inner.table.load()), on_hosts.chain(&changed.apps).collect())
            }
        };
        let mut shared = self.inner.sets.lock().unwrap_or_else(PoisonError::into_inner);
        shared.forget(changed.map(|changed| &changed.hosts));
        for app in apps {
            // The view's own name, whose text the table shares.
            if view.app(app).is_some() {
                let hosts = view.answering(app);
                let replicas = shared.of(&hosts, &self.inner.me, || self.replicas_on(&hosts));
                table.insert(view.rows.shared_name(app), replicas);
            } else {
                table.remove(app);
            }
        }
        self.inner.table.store(Arc::new(table));
        self.inner.view.store(Arc::new(view));
        self.inner.changed.send_modify(|n_views| *n_views += 1);
    }
}
