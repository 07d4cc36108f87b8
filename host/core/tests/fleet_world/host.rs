//! A made-up host: what is on its disk, which survives it, and the process that runs on it, if one does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use steerage_core::id::{AppName, HostName};
use steerage_core::lineage::Followed;
use steerage_core::liveness::{self, Evidence, Eyes, Liveness, Probe, Run};
use steerage_core::node::{
    Announcer, AppFacts as _, AppHere, Assigned, FleetView, Follower, PlanTurn, PlanTurns,
    Position, Reconciler, Revision,
};
use steerage_core::place::{self, Aims, Budget, Plan, Planner, Room, Spread, Standing};
use steerage_core::reconcile::AppStatus;
use steerage_core::units::{Bytes, Cpu};

use crate::ops::Op;
use crate::records::{Deployment, Key, SimRecords, Value};

/// Hosts are given so long to come back after the store was away.
const PATIENCE: Duration = Duration::from_secs(3);
/// Hosts are emptied after so long without a move: soon, since a history lasts for less than half a minute.
const QUIET: Duration = Duration::from_millis(500);
/// Replicas that may move in a minute though they could stay: few, so that plans are cut.
const MOVE_RATE: u32 = 2;

pub(crate) type View = FleetView<SimRecords>;

/// What a host keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// Deployments by app and number, and which is current.
    pub(crate) ledger: BTreeMap<AppName, BTreeMap<u64, Deployment>>,
    pub(crate) current: BTreeMap<AppName, u64>,
    /// The highest number of each app that it ever had.
    pub(crate) last: BTreeMap<AppName, u64>,
    /// Components, and those that stay though nothing in the ledger needs them yet.
    pub(crate) blobs: BTreeSet<u64>,
    pub(crate) pins: BTreeSet<u64>,
    pub(crate) followed: Option<Followed>,
    /// The copy of the view.
    pub(crate) copy: Option<View>,
}

/// Where a host is on the way to following the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It begins at this time.
    Idle(Duration),
    /// It waits for the store.
    Busy,
    /// It takes changes as they come, since this revision.
    Watching { watch: u64, since: u64 },
}

/// Where a host is on the way to being registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registration {
    None,
    Busy,
    Held(i64),
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) run: u64,
    /// The latest version of records that it reads.
    pub(crate) reads: u32,
    pub(crate) view: View,
    pub(crate) follower: Follower,
    pub(crate) stage: Stage,
    /// Why it does not follow the store.
    pub(crate) is_refused: bool,
    /// When the mark was written that it follows.
    pub(crate) mark: Option<u64>,
    /// How far it has taken the store.
    pub(crate) position: Option<Position<Key, Value>>,
    pub(crate) registration: Registration,
    pub(crate) has_read: bool,
    /// Since when the store answers.
    pub(crate) back_at: Option<Duration>,
    pub(crate) reconciler: Reconciler,
    pub(crate) announcer: Announcer,
    pub(crate) is_announcing: bool,
    pub(crate) turns: PlanTurns,
    pub(crate) is_planning: bool,
    pub(crate) served: BTreeMap<AppName, Deployment>,
    pub(crate) probes: BTreeMap<HostName, (u64, Probe)>,
    /// Hosts that refuse this one, and how many they refuse.
    pub(crate) gone: BTreeMap<HostName, usize>,
    pub(crate) paused_until: Duration,
    pub(crate) began_at: Duration,
    pub(crate) ops: BTreeMap<u64, Op>,
    pub(crate) next_op: u64,
    /// When its timers are looked at next.
    pub(crate) tick_at: Duration,
}

#[derive(Debug)]
pub(crate) struct SimHost {
    pub(crate) name: HostName,
    pub(crate) disk: Disk,
    pub(crate) up: Option<Process>,
    /// Whether its machine says that nobody listens, where it is not up.
    pub(crate) refuses: bool,
    /// The version that it runs when it starts.
    pub(crate) version: u32,
    pub(crate) is_cut_off: bool,
}

impl Process {
    /// A process that has just begun, and serves what the ledger has.
    pub(crate) fn start(disk: &Disk, run: u64, version: u32, now: Duration) -> Self {
        let mut view = View::of_copy();
        if let Some(copy) = &disk.copy {
            let none = Revision::OF_COPY;
            for (app, record) in copy.apps() {
                view.put_app(app, Some(record.clone()), none);
            }
            for (app, hosts) in copy.all_assigned() {
                view.put_assigned(app, Some((hosts.clone(), none)));
            }
            for (app, hosts) in copy.all_ready() {
                view.put_ready(app, hosts.clone());
            }
            for (host, record) in copy.all_hosts() {
                view.detached.insert(host.clone(), record.clone());
            }
        }
        let served = disk.current.iter().filter_map(|(app, generation)| {
            Some((app.clone(), disk.ledger.get(app)?.get(generation)?.clone()))
        });
        let mut process = Self {
            run,
            reads: version,
            served: served.collect(),
            view,
            follower: Follower::default(),
            stage: Stage::Idle(now),
            is_refused: false,
            mark: None,
            position: None,
            registration: Registration::None,
            has_read: false,
            back_at: None,
            reconciler: Reconciler::default(),
            announcer: Announcer::default(),
            is_announcing: false,
            turns: PlanTurns::new(PATIENCE, Some(QUIET), MOVE_RATE),
            is_planning: false,
            probes: BTreeMap::new(),
            gone: BTreeMap::new(),
            paused_until: Duration::ZERO,
            began_at: now,
            ops: BTreeMap::new(),
            next_op: 0,
            tick_at: now,
        };
        process.see_to_all();
        process
    }

    pub(crate) fn see_to_all(&mut self) {
        let all = self.view.apps().map(|(app, _)| app).chain(self.served.keys()).cloned();
        self.reconciler.add(all.collect::<Vec<_>>());
    }

    pub(crate) fn liveness(&self, host: &HostName) -> Liveness {
        self.liveness_in(&self.view, host)
    }

    /// Whether a host is there, by what it came to when it was asked.
    pub(crate) fn liveness_in(&self, view: &View, host: &HostName) -> Liveness {
        let (run, probe) = self.probes.get(host).copied().unwrap_or((0, Probe::Answers));
        let is_same = view.host(host).is_none_or(|record| record.run == run || run == 0);
        let run = if is_same { Run::Same } else { Run::Other };
        // Most of those that are registered now, not of those that were when they were asked.
        let n_refused = self.gone.get(host).copied().unwrap_or(1);
        let eyes = Eyes::of(n_refused, view.n_registered().max(2));
        liveness::state(Evidence { lease: view.lease_of(host), probe, run, eyes })
    }

    /// How an app stands here.
    pub(crate) fn status(&self, me: &HostName, app: &AppName, fingerprints: bool) -> AppStatus {
        let served = self.served.get(app);
        let here = AppHere {
            served: served.and_then(|served| steerage_core::id::Generation::new(served.generation)),
            announced: self.announcer.announced(app),
            tried: None,
        };
        let is_same = |wanted: &str| {
            !fingerprints || served.is_some_and(|served| served.fingerprint() == wanted)
        };
        self.view.status(me, app, here, is_same)
    }

    /// The plan of this turn, as `placement` makes it.
    pub(crate) fn plan(&self, me: &HostName, turn: PlanTurn) -> Plan {
        let is_settled = |app: &AppName| {
            let record = self.view.app(app);
            record.is_some_and(|record| self.view.is_ready_everywhere(app, record.generation()))
        };
        let budget = || Budget { moves: turn.at_most, is_settled: &is_settled };
        let mut planner = Planner::new(self.place_view(me));
        let plan = planner.plan_within(&Aims::default(), budget());
        if turn.consolidates && plan.moves.is_empty() {
            let aims = Aims { consolidate: true, ..Aims::default() };
            return planner.plan_within(&aims, budget());
        }
        plan
    }

    /// What is placed on.
    pub(crate) fn place_view(&self, me: &HostName) -> place::View {
        let room = Room { cpu: Cpu::cores(4), memory: Bytes::mebi(4096) };
        let host = |standing| place::Host {
            zone: "z".into(),
            labels: BTreeMap::new(),
            capacity: room,
            standing,
        };
        let mut view = place::View::default();
        for (name, _) in self.view.all_hosts() {
            let liveness = if name == me { Liveness::Ready } else { self.liveness(name) };
            if !liveness.keeps_replicas() {
                continue;
            }
            let standing = match self.view.host_specs.get(name) {
                Some(true) => Standing::Draining,
                Some(false) => Standing::Cordoned,
                None if liveness.may_get_replicas() => Standing::Open,
                None => Standing::Cordoned,
            };
            view.hosts.insert(name.clone(), host(standing));
        }
        for (name, _) in self.view.outlined() {
            view.hosts.insert(name.clone(), host(Standing::Cordoned));
        }
        for (name, record) in self.view.apps() {
            let on = self.view.assigned_to(name).into_iter().flat_map(Assigned::keys).cloned();
            let n_now = u32::try_from(self.view.assigned_to(name).map_or(0, Assigned::len));
            let app = place::App {
                replicas: if self.view.is_remembered(name) {
                    n_now.unwrap_or(0)
                } else {
                    record.replicas
                },
                demand: Room { cpu: Cpu::milli(100), memory: Bytes::mebi(16) },
                priority: 0,
                needs: BTreeMap::new(),
                apart_from: BTreeSet::new(),
                on: on.collect(),
                spread: Spread::BestEffort,
            };
            view.apps.insert(name.clone(), app);
        }
        view
    }
}

impl Disk {
    /// Keeps a deployment as the current one of its app.
    pub(crate) fn keep(&mut self, app: &AppName, deployment: &Deployment) {
        let generation = deployment.generation;
        self.ledger.entry(app.clone()).or_default().insert(generation, deployment.clone());
        self.current.insert(app.clone(), generation);
        let last = self.last.entry(app.clone()).or_default();
        *last = generation.max(*last);
        self.pins.remove(&deployment.component);
    }

    /// Forgets an app, and the components that nothing else here needs.
    pub(crate) fn forget(&mut self, app: &AppName) {
        self.current.remove(app);
        let gone = self.ledger.remove(app).unwrap_or_default();
        for component in gone.values().map(|deployment| deployment.component) {
            let mut others = self.ledger.values().flat_map(BTreeMap::values);
            let is_needed = others.any(|other| other.component == component);
            if !is_needed && !self.pins.contains(&component) {
                self.blobs.remove(&component);
            }
        }
    }
}

/// The last events, for whoever looks for why.
#[derive(Debug, Default)]
pub(crate) struct Story(VecDeque<String>);

impl Story {
    pub(crate) fn add(&mut self, event: String) {
        if self.0.len() == 200 {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }

    pub(crate) fn text(&self) -> String {
        self.0.iter().cloned().collect::<Vec<_>>().join("\n")
    }
}
