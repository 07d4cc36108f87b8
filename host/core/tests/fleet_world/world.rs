//! A fleet made up from a seed: hosts, a store, messages between them that are lost, late or doubled, and
//! everything that goes wrong. The same seed always gives the same history.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use steerage_core::id::{AppName, HostName};
use steerage_core::liveness::Probe;
use steerage_core::reconcile::Step;

use crate::checks::Truth;
use crate::host::{Disk, Process, SimHost, Stage, Story};
use crate::operators::Wish;
use crate::ops::{Op, Reply, Request};
use crate::random::Random;
use crate::store::Store;

/// What hosts go by, each of which may be left out to see that it is missed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// A commit holds only where all is as it was seen.
    pub(crate) guards: bool,
    /// An app goes by its removal only.
    pub(crate) tombstones: bool,
    /// What cannot be read is neither wanted nor unwanted.
    pub(crate) unreadable: bool,
    /// A store is followed only where it is this fleet's.
    pub(crate) lineage: bool,
    /// Of two deployments of one number, the one is served that is wanted.
    pub(crate) fingerprints: bool,
    /// A component is on other hosts before its deployment is acknowledged.
    pub(crate) copies: bool,
    /// One host's eyes make nobody gone.
    pub(crate) majority: bool,
    /// A host goes on only in a store that has the same past.
    pub(crate) past: bool,
}

impl Rules {
    pub(crate) const ALL: Self = Self {
        guards: true,
        tombstones: true,
        unreadable: true,
        lineage: true,
        fingerprints: true,
        copies: true,
        majority: true,
        past: true,
    };
}

#[derive(Debug)]
pub(crate) enum Event {
    Tick { at: usize, run: u64 },
    AtStore { at: usize, run: u64, op: u64, request: Request, copies: usize },
    Reply { at: usize, run: u64, op: u64, reply: Reply },
    Changes { at: usize, watch: u64 },
    StepDone { at: usize, run: u64, app: AppName, step: Step },
    Trouble,
    Wish,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) random: Random,
    pub(crate) rules: Rules,
    pub(crate) store: Store,
    pub(crate) hosts: Vec<SimHost>,
    /// What a host finds when it asks another one, where that is not what is so.
    pub(crate) links: BTreeMap<(usize, usize), Probe>,
    pub(crate) truth: Truth,
    pub(crate) story: Story,
    pub(crate) apps: Vec<AppName>,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    events: BTreeMap<u64, Event>,
    n_events: u64,
    snapshot: Option<Store>,
    n_clusters: u64,
    /// How often a host went on from where it was.
    pub(crate) n_resumed: u64,
    next_run: u64,
    /// Whether things go wrong.
    pub(crate) is_troubled: bool,
    /// Of a disk and the store, what has been lost: never both, since nobody promises that.
    has_lost_disk: bool,
    has_lost_store: bool,
}

impl World {
    pub(crate) fn new(seed: u64, rules: Rules) -> Self {
        let mut random = Random::new(seed);
        // Most fleets are small, since there more happens to each host.
        let n_hosts = if random.below(200) == 0 { 50 } else { 3 + random.below(5) };
        let n_apps = 2 + random.below(4);
        let hosts = (0..n_hosts).map(|number| SimHost {
            name: format!("h{number:02}").parse().unwrap(),
            disk: Disk::default(),
            up: None,
            refuses: true,
            version: 1,
            is_cut_off: false,
        });
        let mut world = Self {
            now: Duration::ZERO,
            random: Random::new(seed ^ 0x5eed),
            rules,
            store: Store::new(1),
            hosts: hosts.collect(),
            links: BTreeMap::new(),
            truth: Truth::default(),
            story: Story::default(),
            apps: (0..n_apps).map(|app| format!("app-{app}").parse().unwrap()).collect(),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            n_events: 0,
            snapshot: None,
            n_clusters: 1,
            n_resumed: 0,
            next_run: 1,
            is_troubled: true,
            has_lost_disk: false,
            has_lost_store: false,
        };
        for at in 0..world.hosts.len() {
            world.start(at);
        }
        let first = world.now + Duration::from_secs(1);
        world.at(first, Event::Wish);
        world.at(first + Duration::from_secs(1), Event::Trouble);
        world
    }

    pub(crate) fn at(&mut self, time: Duration, event: Event) {
        self.n_events += 1;
        self.events.insert(self.n_events, event);
        self.queue.push(Reverse((time, self.n_events)));
    }

    /// Has a host's timers looked at by this time.
    pub(crate) fn tick_by(&mut self, at: usize, time: Duration) {
        let Some(process) = self.hosts[at].up.as_mut() else { return };
        if process.tick_at <= self.now || time < process.tick_at {
            process.tick_at = time;
            let run = process.run;
            self.at(time, Event::Tick { at, run });
        }
    }

    /// Has the changes brought to a host that it has not heard of.
    pub(crate) fn changes_by(&mut self, at: usize) {
        let Some(process) = self.hosts[at].up.as_ref() else { return };
        let Stage::Watching { watch, .. } = process.stage else { return };
        let late = if self.is_troubled && self.random.chance(3) { 1500 } else { 60 };
        let delay = self.random.millis(1, late);
        self.at(self.now + delay, Event::Changes { at, watch });
    }

    /// Asks the store.
    pub(crate) fn send(&mut self, at: usize, op: Op, request: Request) {
        let is_lost = self.hosts[at].is_cut_off || (self.is_troubled && self.random.chance(1));
        let Some(process) = self.hosts[at].up.as_mut() else { return };
        process.next_op += 1;
        let (op_id, run) = (process.next_op, process.run);
        process.ops.insert(op_id, op);
        if is_lost {
            let reply = Reply::Away;
            let late = self.now + Duration::from_secs(2);
            return self.at(late, Event::Reply { at, run, op: op_id, reply });
        }
        let copies = if self.is_troubled && self.random.chance(2) { 2 } else { 1 };
        let late = if self.is_troubled && self.random.chance(3) { 1200 } else { 30 };
        let arrives_at = self.now + self.random.millis(1, late);
        self.at(arrives_at, Event::AtStore { at, run, op: op_id, request, copies });
    }

    /// One event; whether there was any before this time.
    pub(crate) fn step(&mut self, until: Duration) -> bool {
        let Some(Reverse((time, number))) = self.queue.peek().copied() else { return false };
        if time > until {
            return false;
        }
        self.queue.pop();
        self.now = time;
        let revision = self.store.see().revision;
        self.store.expire(time, None);
        if let Some(event) = self.events.remove(&number) {
            self.happen(event);
        }
        if self.store.see().revision != revision {
            for at in 0..self.hosts.len() {
                self.changes_by(at);
            }
        }
        true
    }

    fn happen(&mut self, event: Event) {
        // A host that is paused does nothing, and then all at once.
        let (at, run) = match &event {
            Event::Tick { at, run } | Event::Reply { at, run, .. } => (*at, Some(*run)),
            Event::StepDone { at, run, .. } => (*at, Some(*run)),
            Event::Changes { at, .. } => (*at, None),
            Event::AtStore { .. } | Event::Trouble | Event::Wish => (usize::MAX, None),
        };
        if let Some(host) = self.hosts.get(at) {
            let Some(process) = host.up.as_ref() else { return };
            if run.is_some_and(|run| run != process.run) {
                return;
            }
            if process.paused_until > self.now {
                let wakes_at = process.paused_until;
                return self.at(wakes_at, event);
            }
        }
        match event {
            Event::Tick { at, .. } => {
                let is_due = self.hosts[at].up.as_ref().is_some_and(|it| it.tick_at <= self.now);
                if is_due {
                    self.tick(at);
                }
            }
            Event::AtStore { at, run, op, request, copies } => {
                self.at_store(at, run, op, request, copies);
            }
            Event::Reply { at, op, reply, .. } => {
                let op = self.hosts[at].up.as_mut().and_then(|process| process.ops.remove(&op));
                if let Some(op) = op {
                    self.answered(at, op, reply);
                }
            }
            Event::Changes { at, watch } => {
                let stage = self.hosts[at].up.as_ref().map(|process| process.stage);
                if matches!(stage, Some(Stage::Watching { watch: now, .. }) if now == watch) {
                    self.take_changes(at);
                }
            }
            Event::StepDone { at, app, step, .. } => self.step_done(at, &app, step),
            Event::Trouble if self.is_troubled => {
                self.trouble();
                let next = self.random.millis(100, 2500);
                self.at(self.now + next, Event::Trouble);
            }
            Event::Wish if self.is_troubled => {
                self.wish_for_something();
                let next = self.random.millis(50, 1500);
                self.at(self.now + next, Event::Wish);
            }
            Event::Trouble | Event::Wish => {}
        }
    }

    fn at_store(&mut self, at: usize, run: u64, op: u64, request: Request, copies: usize) {
        let now = self.now;
        let mut reply = None;
        for _ in 0..copies {
            let answer = match request.clone() {
                Request::See => Reply::Seen(self.store.see()),
                Request::Was(looks) => {
                    let found = looks.iter().map(|(key, at)| self.store.was(key, *at));
                    Reply::Was(found.collect())
                }
                Request::Grant => Reply::Lease(self.store.grant(now)),
                Request::KeepAlive(lease) => {
                    Reply::Done(self.store.keep_alive(lease, now).map(|()| 0))
                }
                Request::Commit(commit) => {
                    let done = self.store.commit(&commit);
                    if done.is_ok() {
                        self.truth.see_commit(now, &commit);
                    }
                    Reply::Done(done)
                }
            };
            // One that came twice was made the first time.
            reply.get_or_insert(answer);
        }
        let is_lost = self.hosts[at].is_cut_off || (self.is_troubled && self.random.chance(1));
        let late = if is_lost { 2000 } else { 30 };
        let delay =
            if is_lost { self.random.millis(1999, late + 1) } else { self.random.millis(1, late) };
        let reply = if is_lost { Reply::Away } else { reply.unwrap_or(Reply::Away) };
        self.at(now + delay, Event::Reply { at, run, op, reply });
    }

    pub(crate) fn start(&mut self, at: usize) {
        self.next_run += 1;
        let (now, run) = (self.now, self.next_run);
        let host = &mut self.hosts[at];
        host.up = Some(Process::start(&host.disk, run, host.version, now));
        let soon = now + self.random.millis(1, 50);
        if let Some(process) = self.hosts[at].up.as_mut() {
            process.tick_at = soon;
        }
        self.at(soon, Event::Tick { at, run });
    }

    fn some_host(&mut self) -> usize {
        self.random.below(self.hosts.len())
    }

    fn trouble(&mut self) {
        let (at, kind) = (self.some_host(), self.random.below(100));
        let name = self.hosts[at].name.clone();
        let told = match kind {
            0..15 => {
                self.hosts[at].up = None;
                self.hosts[at].refuses = self.random.chance(70);
                format!("{name} ends, refuses: {}", self.hosts[at].refuses)
            }
            15..45 => {
                let down: Vec<usize> =
                    (0..self.hosts.len()).filter(|at| self.hosts[*at].up.is_none()).collect();
                for at in down {
                    self.start(at);
                }
                "all hosts run".to_owned()
            }
            45..55 => {
                let pause = self.random.millis(200, 8000);
                let until = self.now + pause;
                if let Some(process) = self.hosts[at].up.as_mut() {
                    process.paused_until = until;
                }
                format!("{name} pauses for {pause:?}")
            }
            55..62 => {
                self.hosts[at].is_cut_off = !self.hosts[at].is_cut_off;
                format!("{name} is cut off: {}", self.hosts[at].is_cut_off)
            }
            62..70 => {
                self.hosts.iter_mut().for_each(|host| host.is_cut_off = false);
                self.links.clear();
                "the network is whole".to_owned()
            }
            70..78 => {
                let n = self.random.below(self.hosts.len());
                let probe = if self.random.chance(60) { Probe::Refused } else { Probe::Silent };
                for (one, other) in
                    (0..n).flat_map(|one| (n..self.hosts.len()).map(move |other| (one, other)))
                {
                    self.links.insert((one, other), probe);
                    self.links.insert((other, one), probe);
                }
                format!("the first {n} hosts and the others are parted: {probe:?}")
            }
            78..84 => {
                self.hosts[at].version = 2;
                self.hosts[at].up = None;
                self.start(at);
                format!("{name} is upgraded")
            }
            84..88 => {
                self.store.compact();
                "the store is compacted".to_owned()
            }
            88..93 => {
                self.snapshot = Some(self.store.clone());
                "a snapshot is taken".to_owned()
            }
            93..97 if !self.has_lost_disk => self.lose_the_store(),
            97..99 if !self.has_lost_store && !self.has_lost_disk => {
                self.has_lost_disk = true;
                self.hosts[at].disk = Disk::default();
                self.hosts[at].up = None;
                self.truth.lost_a_disk();
                format!("{name} loses its disk")
            }
            _ => return self.recover(),
        };
        self.story.add(format!("{:?} {told}", self.now));
    }

    fn lose_the_store(&mut self) -> String {
        self.n_clusters += 1;
        self.has_lost_store = true;
        let told = match self.snapshot.take() {
            Some(snapshot) => {
                self.store = snapshot.restored(self.n_clusters, self.now);
                "the store is restored as it was earlier"
            }
            None => {
                self.store = Store::new(self.n_clusters);
                "the store is empty"
            }
        };
        self.truth.lost_the_store();
        // Its members begin anew, so that every connection breaks.
        for host in &mut self.hosts {
            if let Some(process) = host.up.as_mut() {
                process.back_at = None;
                if let Stage::Watching { .. } = process.stage {
                    process.stage = Stage::Idle(self.now);
                }
            }
        }
        told.to_owned()
    }

    /// Operators see that hosts refuse the store, and do what they are told to.
    pub(crate) fn recover(&mut self) {
        for at in 0..self.hosts.len() {
            let Some(process) = self.hosts[at].up.as_ref() else { continue };
            if process.is_refused {
                self.ask(at, Wish::Adopt);
                // One after the other.
                return;
            }
        }
        if self.has_lost_store {
            let at = self.some_host();
            self.import(at);
        }
    }

    fn wish_for_something(&mut self) {
        let at = self.some_host();
        let number = self.random.below(self.apps.len());
        let app = self.apps[number].clone();
        let routes: BTreeSet<u8> = (0..1 + self.random.below(2))
            .map(|_| u8::try_from(self.random.below(6)).unwrap())
            .collect();
        let replicas = 1 + u32::try_from(self.random.below(3)).unwrap();
        let host: HostName = self.hosts[at].name.clone();
        let wish = match self.random.below(100) {
            0..50 => {
                // Some components are deployed again and again, but no two apps have one: a pin is of the
                // component alone in the host, so the removal of one app may take what the other needs.
                let one_of = if self.random.chance(25) { 3 } else { 1_000_000 };
                let component = self.random.below(one_of) * self.apps.len() + number;
                let component = u64::try_from(component).unwrap();
                Wish::Deploy { app, component, routes, replicas }
            }
            50..60 => Wish::RollBack(app),
            60..70 => Wish::Scale(app, replicas),
            70..82 => Wish::Remove(app),
            82..90 => Wish::Host(host, Some(self.random.chance(50))),
            90..96 => Wish::Host(host, None),
            96..98 => Wish::Freeze(true),
            _ => Wish::Freeze(false),
        };
        let through = self.some_host();
        self.ask(through, wish);
    }

    /// Nothing goes wrong any more, and everybody is there.
    pub(crate) fn heal(&mut self) {
        self.is_troubled = false;
        self.links.clear();
        for at in 0..self.hosts.len() {
            self.hosts[at].is_cut_off = false;
            if self.hosts[at].version == 1 || self.hosts[at].up.is_none() {
                self.hosts[at].version = 2;
                self.start(at);
            }
            if let Some(process) = self.hosts[at].up.as_mut() {
                process.paused_until = process.paused_until.min(self.now);
            }
        }
        self.story.add(format!("{:?} all is well from here on", self.now));
    }
}
