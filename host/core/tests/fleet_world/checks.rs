//! What must be so after every event, and what at last when nothing goes wrong any more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use steerage_core::id::{AppName, HostName};
use steerage_core::node::{Assigned, FleetKey};

use crate::host::{SimHost, Stage};
use crate::records::{AppRecord, Deployment, Key, Value};
use crate::store::Commit;
use crate::world::World;

/// As often an app may be placed anew within [`WINDOW`]: nobody's quarrel, however much goes wrong.
const MOVES: usize = 20;
const WINDOW: Duration = Duration::from_secs(8);

/// What was promised.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// The highest number of each app that an operator has removed.
    removed: BTreeMap<AppName, u64>,
    /// Deployments that were acknowledged and on how many disks each must stay, by app.
    acknowledged: BTreeMap<AppName, Acknowledged>,
    /// What hosts have forgotten since the last look.
    pub(crate) forgotten: Vec<(HostName, AppName, u64)>,
    /// When apps were placed where they had not been just before.
    placed: BTreeMap<AppName, VecDeque<Duration>>,
    has_lost_store: bool,
}

#[derive(Clone, Debug)]
struct Acknowledged {
    generation: u64,
    component: u64,
    n_disks: usize,
}

impl Truth {
    pub(crate) fn see_commit(&mut self, now: Duration, commit: &Commit) {
        for (key, value) in &commit.writes {
            match (key, value) {
                (Key::Fleet(FleetKey::Removed(app)), Some(Value::Removed(generation))) => {
                    let removed = self.removed.entry(app.clone()).or_default();
                    *removed = (*removed).max(*generation);
                }
                (Key::Fleet(FleetKey::Assigned(app)), Some(_)) => {
                    let placed = self.placed.entry(app.clone()).or_default();
                    placed.push_back(now);
                    while placed.front().is_some_and(|at| now.saturating_sub(*at) > WINDOW) {
                        placed.pop_front();
                    }
                }
                (Key::Fleet(FleetKey::App(app)), Some(Value::App(record))) => {
                    // What an operator has gone back from is not needed on all disks any more.
                    if let Some(known) = self.acknowledged.get_mut(app)
                        && known.component != record.deployed.component
                    {
                        known.n_disks = known.n_disks.min(1);
                    }
                }
                _ => {}
            }
        }
    }

    pub(crate) fn acknowledge(
        &mut self,
        app: &AppName,
        generation: u64,
        component: u64,
        n_disks: usize,
    ) {
        let known = self.acknowledged.get(app);
        if known.is_some_and(|known| known.generation >= generation) {
            return;
        }
        let acknowledged = Acknowledged { generation, component, n_disks };
        self.acknowledged.insert(app.clone(), acknowledged);
    }

    pub(crate) fn lost_a_disk(&mut self) {
        self.acknowledged.values_mut().for_each(|it| it.n_disks = it.n_disks.saturating_sub(1));
    }

    pub(crate) fn lost_the_store(&mut self) {
        self.has_lost_store = true;
    }

    fn is_removed(&self, app: &AppName, generation: u64) -> bool {
        self.removed.get(app).is_some_and(|removed| *removed >= generation)
    }
}

impl World {
    /// What must be so after every event.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        for (host, app, generation) in std::mem::take(&mut self.truth.forgotten) {
            if !self.truth.is_removed(&app, generation) {
                return Err(format!("{host} forgot {app} {generation}, which nobody removed"));
            }
        }
        let mut owners: BTreeMap<u8, &AppName> = BTreeMap::new();
        for (app, record) in self.wanted() {
            for route in &record.deployed.routes {
                if let Some(other) = owners.insert(*route, app) {
                    return Err(format!("route {route} is {app}'s and {other}'s"));
                }
            }
        }
        for (app, acknowledged) in &self.truth.acknowledged {
            let Acknowledged { generation, component, n_disks } = acknowledged;
            let has = |host: &&SimHost| host.disk.blobs.contains(component);
            let n_found = self.hosts.iter().filter(has).count();
            if n_found < *n_disks && !self.truth.is_removed(app, *generation) {
                return Err(format!(
                    "{app} {generation} was acknowledged and is on {n_found} of {n_disks} disks"
                ));
            }
        }
        for (app, placed) in &self.truth.placed {
            if placed.len() > MOVES {
                let n = placed.len();
                return Err(format!("{app} was placed {n} times within {WINDOW:?}"));
            }
        }
        Ok(())
    }

    /// What the store holds of apps.
    fn wanted(&self) -> impl Iterator<Item = (&AppName, &AppRecord)> {
        self.store.entries().iter().filter_map(|(key, entry)| match (key, &entry.value) {
            (Key::Fleet(FleetKey::App(app)), Value::App(record)) => Some((app, record)),
            _ => None,
        })
    }

    /// What is not yet as it must be at last.
    pub(crate) fn unsettled(&self) -> Result<(), String> {
        for host in &self.hosts {
            let process = host.up.as_ref().ok_or("not up")?;
            if !matches!(process.stage, Stage::Watching { .. }) {
                return Err(format!("{} does not follow the store", host.name));
            }
            let key = Key::host(&host.name);
            if !self.store.entries().contains_key(&key) {
                return Err(format!("{} is not registered", host.name));
            }
        }
        if self.store.entries().contains_key(&Key::Fleet(FleetKey::Freeze)) {
            return Err("the planner is frozen".to_owned());
        }
        for (app, acknowledged) in &self.truth.acknowledged {
            let is_wanted = self.store.entries().contains_key(&Key::app(app));
            let is_removed = self.truth.is_removed(app, acknowledged.generation);
            if !is_wanted && !is_removed && !self.has_no_route(app) {
                return Err(format!("{app} was acknowledged and is not wanted"));
            }
        }
        for (app, record) in self.wanted() {
            self.settled(app, record)?;
        }
        Ok(())
    }

    /// Whether another app has taken a route of one that an empty store did not know: operators decide
    /// whose it is.
    fn has_no_route(&self, app: &AppName) -> bool {
        let is_taken = |route: &u8| {
            let mut others = self.wanted().filter(|(other, _)| *other != app);
            others.any(|(_, record)| record.deployed.routes.contains(route))
        };
        self.hosts.iter().all(|host| {
            let current = host.disk.current.get(app);
            let kept = current.and_then(|current| host.disk.ledger.get(app)?.get(current));
            kept.is_none_or(|kept| kept.routes.iter().any(is_taken))
        })
    }

    /// Whether an app runs where and how it is wanted.
    fn settled(&self, app: &AppName, record: &AppRecord) -> Result<(), String> {
        // A store that was restored may want again what was removed or replaced since, and is on no disk
        // any more: nobody can bring it back but whoever deploys it again.
        let component = record.deployed.component;
        let is_gone = !self.hosts.iter().any(|host| host.disk.blobs.contains(&component));
        let acknowledged = self.truth.acknowledged.get(app);
        let was_on_lost_disk = acknowledged.is_some_and(|known| known.n_disks == 0);
        if is_gone && (self.truth.has_lost_store || was_on_lost_disk) {
            return Ok(());
        }
        if let Some(known) = acknowledged
            && !self.truth.has_lost_store
            && !self.truth.is_removed(app, known.generation)
        {
            let last = match self.store.entries().get(&Key::Last(app.clone())).map(|it| &it.value) {
                Some(Value::Last(last)) => *last,
                _ => 0,
            };
            if last < known.generation {
                return Err(format!("{app} has number {last}, and had {}", known.generation));
            }
        }
        let is_open = |host: &&SimHost| {
            !self.store.entries().contains_key(&Key::Fleet(FleetKey::HostWanted(host.name.clone())))
        };
        let n_open = self.hosts.iter().filter(is_open).count();
        let assigned = match self.store.entries().get(&Key::assigned(app)).map(|it| &it.value) {
            Some(Value::Assigned(hosts)) => hosts.clone(),
            _ => Assigned::default(),
        };
        let n_wanted = usize::try_from(record.replicas).unwrap();
        // Cordoned hosts keep what they have.
        if assigned.len() > n_wanted || assigned.len() < n_wanted.min(n_open) {
            return Err(format!("{app} wants {n_wanted} replicas and is on {assigned:?}"));
        }
        for host in &self.hosts {
            let process = host.up.as_ref().ok_or("not up")?;
            let served = process.served.get(app);
            if served.map(Deployment::fingerprint) != Some(record.fingerprint.clone()) {
                let wanted = (record.deployed.generation, &record.fingerprint);
                return Err(format!("{} serves {served:?} of {app}, not {wanted:?}", host.name));
            }
            let key = Key::Fleet(FleetKey::Ready(host.name.clone(), app.clone()));
            let ready = self.store.entries().get(&key).map(|entry| &entry.value);
            let is_ready = match ready {
                Some(Value::Ready(ready)) => ready.generation == record.deployed.generation,
                _ => false,
            };
            let is_placed = assigned.contains_key(&host.name);
            let needs = !assigned.is_empty();
            if needs && is_placed != is_ready {
                let name = &host.name;
                return Err(format!("{app} is placed on {name}: {is_placed}, ready: {ready:?}"));
            }
        }
        Ok(())
    }

    /// Apps that are placed somewhere though nobody wants them.
    pub(crate) fn leftovers(&self) -> BTreeSet<AppName> {
        let placed = self.store.entries().keys().filter_map(|key| match key {
            Key::Fleet(FleetKey::Assigned(app)) => Some(app.clone()),
            _ => None,
        });
        let is_left = |app: &AppName| {
            let mut up = self.hosts.iter().filter_map(|host| host.up.as_ref());
            // One that vanished, and whose routes another app has by now, is an operator's to decide on.
            !self.store.entries().contains_key(&Key::app(app))
                && !up.any(|process| process.view.vanished.contains(app))
        };
        placed.filter(is_left).collect()
    }
}
