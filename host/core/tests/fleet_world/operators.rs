//! What operators wish, as the host's `agent` does it: read, decide, and commit where it still is so.

use std::collections::BTreeSet;

use steerage_core::id::{AppName, HostName};
use steerage_core::lineage::{FleetId, Followed, LineageDecision, Reason};
use steerage_core::liveness::Probe;
use steerage_core::node::FleetKey;

use crate::host::{Stage, View};
use crate::ops::{Op, Reply, Request};
use crate::records::{AppRecord, Deployment, Key, Value};
use crate::store::{Commit, Entry, Seen, StoreError};
use crate::world::World;

/// How often a wish is tried that others overtake.
const TRIES: usize = 4;

#[derive(Clone, Debug)]
pub(crate) enum Wish {
    Deploy {
        app: AppName,
        component: u64,
        routes: BTreeSet<u8>,
        replicas: u32,
    },
    RollBack(AppName),
    Scale(AppName, u32),
    Remove(AppName),
    /// Whether everything on a host shall go elsewhere, nothing new come, or neither.
    Host(HostName, Option<bool>),
    Freeze(bool),
    /// Puts an app of the host's ledger into a store that does not know it.
    Import(AppName),
    /// Follows the store as it is.
    Adopt,
}

impl World {
    /// An operator wishes for something at a host.
    pub(crate) fn ask(&mut self, at: usize, wish: Wish) {
        self.story.add(format!("{:?} {}: asked for {wish:?}", self.now, self.hosts[at].name));
        self.send(at, Op::Wish(wish, 0), Request::See);
    }

    /// Does what is wished, from what the store holds.
    pub(crate) fn wish(&mut self, at: usize, wish: Wish, n_tries: usize, seen: &Seen) {
        let is_recovery = matches!(wish, Wish::Adopt | Wish::Import(_));
        let is_following =
            self.hosts[at].up.as_ref().is_some_and(|it| it.back_at.is_some() && !it.is_refused);
        if !is_following && !is_recovery {
            return;
        }
        let commit = match &wish {
            Wish::Adopt => return self.adopt(at, seen),
            Wish::Host(host, wanted) => {
                let key = Key::Fleet(FleetKey::HostWanted(host.clone()));
                put(key, wanted.map(Value::HostWanted))
            }
            Wish::Freeze(is_frozen) => {
                put(Key::Fleet(FleetKey::Freeze), is_frozen.then_some(Value::Freeze))
            }
            Wish::Deploy { .. } => self.deploy(at, &wish, seen),
            Wish::RollBack(app) => roll_back(app, seen),
            Wish::Scale(app, replicas) => self.scale(at, app, *replicas, seen),
            Wish::Remove(app) => self.remove(at, app, seen),
            Wish::Import(app) => self.put_back(at, app, seen),
        };
        let Some(commit) = commit else { return };
        let n_reached = self.reached_by(at).len();
        let given = commit.writes.iter().find_map(|(key, _)| match key {
            Key::Deployment(_, generation) => Some((*generation, n_reached)),
            _ => None,
        });
        if is_recovery && !is_following {
            // The next try of the follower comes first.
            return;
        }
        self.commit(at, Op::Wished(wish, n_tries, given), commit);
    }

    /// Takes what came of it.
    pub(crate) fn wished(
        &mut self,
        at: usize,
        wish: Wish,
        n_tries: usize,
        given: Option<(u64, usize)>,
        reply: &Reply,
    ) {
        match (wish, reply) {
            (Wish::Deploy { app, component, routes, .. }, Reply::Done(Ok(_))) => {
                let Some((generation, n_reached)) = given else { return };
                let deployed = Deployment { generation, component, routes };
                // It is kept here before it is acknowledged, unless a later one is here by now.
                let host = &mut self.hosts[at];
                if host.disk.current.get(&app).is_none_or(|current| *current < generation) {
                    host.disk.keep(&app, &deployed);
                    if let Some(process) = host.up.as_mut() {
                        process.served.insert(app.clone(), deployed);
                        process.reconciler.add([app.clone()]);
                    }
                }
                self.truth.acknowledge(&app, generation, component, 1 + n_reached.min(1));
                self.see_to_apps(at);
            }
            (wish, Reply::Done(Err(StoreError::Conflict(_)))) if n_tries < TRIES => {
                self.send(at, Op::Wish(wish, n_tries + 1), Request::See);
            }
            _ => {}
        }
    }

    fn deploy(&mut self, at: usize, wish: &Wish, seen: &Seen) -> Option<Commit> {
        let Wish::Deploy { app, component, routes, replicas } = wish else { return None };
        let last = number(seen, app);
        let known = self.hosts[at].disk.last.get(app).copied().unwrap_or(0);
        let generation = last.max(known) + 1;
        let deployed = Deployment { generation, component: *component, routes: routes.clone() };
        let mut commit = Commit::default();
        self.put_app(at, app, (&deployed, *replicas), seen, &mut commit)?;
        guard(&mut commit, Key::Last(app.clone()), seen);
        commit.writes.push((Key::Last(app.clone()), Some(Value::Last(generation))));
        commit.writes.push((Key::removed(app), None));
        let key = Key::Deployment(app.clone(), generation);
        commit.writes.push((key, Some(Value::Deployment(deployed))));
        self.bring_copies(at, *component);
        Some(commit)
    }

    /// The component is on other hosts before a deployment is acknowledged.
    fn bring_copies(&mut self, at: usize, component: u64) {
        let n_copies = if self.rules.copies { 2 } else { 0 };
        for host in self.reached_by(at).into_iter().take(n_copies).chain([at]) {
            self.hosts[host].disk.blobs.insert(component);
            self.hosts[host].disk.pins.insert(component);
        }
    }

    /// The other hosts that a host can reach.
    fn reached_by(&self, at: usize) -> Vec<usize> {
        let others = (0..self.hosts.len()).filter(|other| *other != at);
        others.filter(|other| self.probed(at, *other).1 == Probe::Answers).collect()
    }

    /// That an app is served like this, and its routes are its own; nothing where another one has them.
    fn put_app(
        &self,
        at: usize,
        app: &AppName,
        (deployed, replicas): (&Deployment, u32),
        seen: &Seen,
        commit: &mut Commit,
    ) -> Option<()> {
        let version = self.hosts[at].up.as_ref()?.reads;
        guard(commit, Key::app(app), seen);
        let record = AppRecord {
            version,
            fingerprint: deployed.fingerprint(),
            deployed: deployed.clone(),
            replicas,
            labels: Default::default(),
            apart_from: BTreeSet::new(),
        };
        if let Some(before) = record_of(seen, app)
            && before.version > version
        {
            return None;
        }
        commit.writes.push((Key::app(app), Some(Value::App(record))));
        for route in &deployed.routes {
            let key = Key::Route(*route);
            guard(commit, key.clone(), seen);
            let owner = match seen.entries.get(&key) {
                Some(Entry { value: Value::Route(owner), .. }) => Some(owner),
                _ => None,
            };
            if let Some(owner) = owner.filter(|owner| *owner != app) {
                let uses = record_of(seen, owner);
                if uses.is_some_and(|record| record.deployed.routes.contains(route)) {
                    return None;
                }
                guard(commit, Key::app(owner), seen);
            }
            commit.writes.push((key, Some(Value::Route(app.clone()))));
        }
        Some(())
    }

    fn scale(&self, at: usize, app: &AppName, replicas: u32, seen: &Seen) -> Option<Commit> {
        let record = record_of(seen, app)?;
        if record.version > self.hosts[at].up.as_ref()?.reads {
            return None;
        }
        let mut commit = Commit::default();
        guard(&mut commit, Key::app(app), seen);
        let record = AppRecord { replicas, ..record.clone() };
        commit.writes.push((Key::app(app), Some(Value::App(record))));
        Some(commit)
    }

    fn remove(&self, at: usize, app: &AppName, seen: &Seen) -> Option<Commit> {
        let served = self.hosts[at].up.as_ref()?.served.get(app);
        let served = served.map(|served| served.generation);
        let before = record_of(seen, app);
        if before.is_none() && served.is_none() {
            return None;
        }
        let last = number(seen, app).max(served.unwrap_or(0));
        let mut commit = Commit::default();
        guard(&mut commit, Key::app(app), seen);
        commit.writes.push((Key::app(app), None));
        commit.writes.push((Key::removed(app), Some(Value::Removed(last))));
        for key in seen.entries.keys() {
            if matches!(key, Key::Deployment(of, _) if of == app) {
                commit.writes.push((key.clone(), None));
            }
        }
        Some(commit)
    }

    fn put_back(&self, at: usize, app: &AppName, seen: &Seen) -> Option<Commit> {
        let disk = &self.hosts[at].disk;
        let current = disk.ledger.get(app)?.get(disk.current.get(app)?)?;
        let removed = seen.entries.get(&Key::removed(app)).map(|entry| &entry.value);
        let is_removed =
            matches!(removed, Some(Value::Removed(last)) if *last >= current.generation);
        if is_removed || seen.entries.contains_key(&Key::app(app)) {
            return None;
        }
        let mut commit = Commit::default();
        let replicas = self.hosts[at].up.as_ref()?.view.app(app);
        let replicas = replicas.map_or(1, |record| record.replicas);
        self.put_app(at, app, (current, replicas), seen, &mut commit)?;
        guard(&mut commit, Key::Last(app.clone()), seen);
        let last = number(seen, app).max(disk.last.get(app).copied().unwrap_or(0));
        commit.writes.push((Key::Last(app.clone()), Some(Value::Last(last))));
        commit.writes.push((Key::removed(app), None));
        for (generation, deployment) in disk.ledger.get(app)? {
            let key = Key::Deployment(app.clone(), *generation);
            commit.writes.push((key, Some(Value::Deployment(deployment.clone()))));
        }
        Some(commit)
    }

    fn adopt(&mut self, at: usize, seen: &Seen) {
        let (decision, mark, stored) = self.judged(at, seen);
        let LineageDecision::Refuse(reason) = decision else { return };
        let known = self.hosts[at].disk.followed;
        let epoch = known.map_or(0, |known| known.epoch);
        let epoch = epoch.max(stored.fleet.map_or(0, |(_, epoch)| epoch)) + 1;
        let new = FleetId::new(u128::from(self.random.next()));
        match (reason, stored.fleet) {
            (Reason::OtherFleet { .. } | Reason::Clash(_), Some((id, epoch))) => {
                // What was known is of another fleet, and must not be wanted in this one.
                let (cluster, revision) = (stored.cluster, stored.revision);
                let host = &mut self.hosts[at];
                host.disk.followed = Some(Followed { id, epoch, cluster, revision });
                host.disk.copy = None;
                if let Some(process) = host.up.as_mut() {
                    process.view = View::default();
                    process.stage = Stage::Idle(self.now);
                }
            }
            (Reason::WentBack { .. }, Some((id, _))) => {
                let mut commit = Commit::default();
                commit.guards.push((Key::Mark, mark));
                commit.writes.push((Key::Mark, Some(Value::Mark(id, epoch))));
                self.send(at, Op::Wished(Wish::Adopt, TRIES, None), Request::Commit(commit));
            }
            _ => {
                let id = known.map_or(new, |known| known.id);
                let mut commit = Commit::default();
                commit.guards.push((Key::Mark, None));
                commit.writes.push((Key::Mark, Some(Value::Mark(id, epoch))));
                self.send(at, Op::Wished(Wish::Adopt, TRIES, None), Request::Commit(commit));
            }
        }
    }
}

fn roll_back(app: &AppName, seen: &Seen) -> Option<Commit> {
    let record = record_of(seen, app)?;
    let kept = seen.entries.iter().rev().find_map(|(key, entry)| match (key, &entry.value) {
        (Key::Deployment(of, generation), Value::Deployment(kept))
            if of == app
                && *generation < record.deployed.generation
                && kept.routes.is_subset(&record.deployed.routes) =>
        {
            Some(kept.clone())
        }
        _ => None,
    })?;
    let mut commit = Commit::default();
    guard(&mut commit, Key::app(app), seen);
    let fingerprint = kept.fingerprint();
    let record = AppRecord { deployed: kept, fingerprint, ..record.clone() };
    commit.writes.push((Key::app(app), Some(Value::App(record))));
    Some(commit)
}

fn put(key: Key, value: Option<Value>) -> Option<Commit> {
    Some(Commit { writes: vec![(key, value)], ..Commit::default() })
}

/// That something is as it was seen.
fn guard(commit: &mut Commit, key: Key, seen: &Seen) {
    let at = seen.entries.get(&key).map(|entry| entry.revision);
    if !commit.guards.iter().any(|(guarded, _)| *guarded == key) {
        commit.guards.push((key, at));
    }
}

pub(crate) fn record_of<'s>(seen: &'s Seen, app: &AppName) -> Option<&'s AppRecord> {
    match &seen.entries.get(&Key::app(app))?.value {
        Value::App(record) => Some(record),
        _ => None,
    }
}

fn number(seen: &Seen, app: &AppName) -> u64 {
    match seen.entries.get(&Key::Last(app.clone())).map(|entry| &entry.value) {
        Some(Value::Last(last)) => *last,
        _ => 0,
    }
}
