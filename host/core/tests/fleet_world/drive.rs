//! How a made-up host is driven by `core::node` and `core::lineage`: what the host's `member` and
//! `placement` do with sockets and disks is done here with messages and maps.

use std::collections::BTreeSet;

use steerage_core::id::{AppName, HostName};
use steerage_core::liveness::{Liveness, Probe};
use steerage_core::node::{Assigned, Follower, PlanEnd, PlanSituation, PlanStamp, assignments};
use steerage_core::place::Plan;

use crate::host::{Registration, Stage};
use crate::ops::{Op, Reply, Request};
use crate::records::{HostRecord, Key, Value};
use crate::store::{Commit, StoreError};
use crate::world::World;

impl World {
    /// A host's timers.
    pub(crate) fn tick(&mut self, at: usize) {
        self.probe(at);
        let now = self.now;
        let Some(process) = self.hosts[at].up.as_mut() else { return };
        if matches!(process.stage, Stage::Idle(begins_at) if begins_at <= now) {
            process.stage = Stage::Busy;
            process.follower = Follower::default();
            self.send(at, Op::Judge, Request::See);
        }
        self.keep_registered(at);
        self.see_to_apps(at);
        self.plan(at);
        let Some(process) = self.hosts[at].up.as_ref() else { return };
        if process.has_read {
            let copy = process.view.clone();
            self.hosts[at].disk.copy = Some(copy);
        }
        let next = self.random.millis(300, 700);
        self.tick_by(at, self.now + next);
    }

    fn keep_registered(&mut self, at: usize) {
        let Some(process) = self.hosts[at].up.as_mut() else { return };
        let is_following = matches!(process.stage, Stage::Watching { .. });
        match process.registration {
            Registration::None if is_following => {
                process.registration = Registration::Busy;
                self.send(at, Op::OwnRecord, Request::See);
            }
            Registration::Held(lease) if process.is_refused => {
                // It has no place in the store any more.
                process.registration = Registration::None;
                self.store.expire(self.now, Some(lease));
            }
            Registration::Held(lease) => self.send(at, Op::KeepAlive, Request::KeepAlive(lease)),
            Registration::None | Registration::Busy => {}
        }
    }

    /// Asks all other hosts whether they are there.
    fn probe(&mut self, at: usize) {
        let found: Vec<(HostName, (u64, Probe))> = (0..self.hosts.len())
            .filter(|other| *other != at)
            .map(|other| (self.hosts[other].name.clone(), self.probed(at, other)))
            .collect();
        let Some(process) = self.hosts[at].up.as_mut() else { return };
        process.gone.retain(|host, _| {
            found.iter().any(|(name, (_, probe))| name == host && *probe == Probe::Refused)
        });
        process.probes = found.into_iter().collect();
        let view = process.view.clone();
        let mut after = process.view.clone();
        if after.forget_gone(|host| process.liveness_in(&view, host) == Liveness::Gone) {
            process.view = after;
            process.see_to_all();
        }
    }

    pub(crate) fn probed(&self, from: usize, to: usize) -> (u64, Probe) {
        let other = &self.hosts[to];
        match (&other.up, self.links.get(&(from, to))) {
            (_, Some(probe)) => (0, *probe),
            (None, None) if other.refuses => (0, Probe::Refused),
            (None, None) => (0, Probe::Silent),
            (Some(process), None) if process.paused_until > self.now => (0, Probe::Silent),
            (Some(process), None) => (process.run, Probe::Answers),
        }
    }

    fn plan(&mut self, at: usize) {
        let (now, majority) = (self.now, self.rules.majority);
        let name = self.hosts[at].name.clone();
        let Some(process) = self.hosts[at].up.as_ref() else { return };
        if process.is_planning {
            return;
        }
        let is_well =
            |host: &HostName| *host == name || process.liveness(host).counts_for_planner();
        let situation = PlanSituation {
            is_planner: process.view.is_planner(&name, is_well),
            connected_for: process.back_at.map(|since| now.saturating_sub(since)),
            misses_hosts: process
                .view
                .misses_hosts(|host| !process.liveness(host).keeps_replicas()),
            is_frozen: process.view.is_frozen(),
            all_are_well: process.view.hosts.keys().all(is_well),
        };
        // Others are asked about those that refuse this one.
        let may_plan = situation.is_planner && situation.connected_for.is_some();
        let is_refused = |host: &&HostName| {
            matches!(process.probes.get(*host), Some((_, Probe::Refused))) && may_plan
        };
        let refused: Vec<HostName> =
            process.view.hosts.keys().filter(is_refused).cloned().collect();
        for host in refused {
            let n_refused = if majority { self.refused_by(at, &host) } else { usize::MAX };
            if let Some(process) = self.hosts[at].up.as_mut() {
                process.gone.insert(host, n_refused);
            }
        }
        let Some(process) = self.hosts[at].up.as_mut() else { return };
        let since = now.saturating_sub(process.began_at);
        let Some(turn) = process.turns.begin(since, &situation) else { return };
        let plan = process.plan(&name, turn);
        let view = &process.view;
        let orphans: BTreeSet<AppName> = view
            .all_assigned()
            .map(|(app, _)| app)
            .filter(|app| view.is_orphan(app))
            .cloned()
            .collect();
        let assignments = assignments(view, &plan, &orphans, PlanStamp::default());
        let mut commit = Commit::default();
        for assignment in &assignments {
            let key = Key::assigned(&assignment.app);
            commit.guards.push((key.clone(), assignment.since.map(|revision| revision.0)));
            let hosts = assignment.hosts.as_ref();
            let hosts = hosts.map(|hosts| hosts.keys().cloned().collect::<Assigned>());
            commit.writes.push((key, hosts.map(Value::Assigned)));
        }
        if commit.writes.is_empty() {
            process.turns.end(since, turn, plan_end(&plan, Some(0)));
            return;
        }
        process.is_planning = true;
        let known: Vec<String> = process
            .view
            .all_hosts()
            .map(|(host, _)| format!("{host} {:?}", process.liveness(host)))
            .collect();
        self.story.add(format!("{now:?} {name}: knows {}", known.join(", ")));
        for assignment in &assignments {
            let hosts = assignment.hosts.as_ref();
            let hosts = hosts.map(|hosts| hosts.keys().map(HostName::as_str).collect::<Vec<_>>());
            self.story.add(format!("{now:?} {name}: places {} on {hosts:?}", assignment.app));
        }
        self.commit(at, Op::Plan(turn, plan_end(&plan, Some(assignments.len()))), commit);
    }

    fn refused_by(&self, at: usize, host: &HostName) -> usize {
        let about = (0..self.hosts.len()).find(|other| self.hosts[*other].name == *host);
        let process = self.hosts[at].up.as_ref();
        let is_registered = |other: usize| {
            process.is_some_and(|it| it.view.hosts.contains_key(&self.hosts[other].name))
        };
        // Who is not registered is no witness: most is reckoned of those who are.
        let others = (0..self.hosts.len()).filter(|other| {
            *other != at
                && is_registered(*other)
                && self.probed(at, *other).1 == Probe::Answers
                && about.is_some_and(|about| self.probed(*other, about).1 == Probe::Refused)
        });
        1 + others.count()
    }

    /// Has something committed, if the store still is the one that the host follows.
    pub(crate) fn commit(&mut self, at: usize, op: Op, mut commit: Commit) {
        let mark = self.hosts[at].up.as_ref().and_then(|process| process.mark);
        if let Some(mark) = mark {
            commit.guards.push((Key::Mark, Some(mark)));
        }
        if !self.rules.guards {
            commit.guards.retain(|(key, _)| *key == Key::Mark);
        }
        self.send(at, op, Request::Commit(commit));
    }

    /// Goes on with what the store has answered.
    pub(crate) fn answered(&mut self, at: usize, op: Op, reply: Reply) {
        let now = self.now;
        match (op, reply) {
            (Op::Judge, Reply::Seen(seen)) => self.judge(at, &seen),
            (Op::WroteMark, Reply::Done(_)) => self.send(at, Op::Judge, Request::See),
            (Op::Raised(followed, mark, imports), Reply::Done(Ok(_))) => {
                self.follow(at, followed, mark, imports);
            }
            (Op::GoOn, Reply::Was(found)) => self.go_on(at, found.unwrap_or_default()),
            (Op::ReadFirst(imports), Reply::Seen(first)) => {
                self.send(at, Op::ReadRest(first, imports), Request::See);
            }
            (Op::ReadRest(first, imports), Reply::Seen(rest)) => {
                self.take_all(at, &first, &rest, imports);
            }
            (
                Op::Judge
                | Op::WroteMark
                | Op::Raised(..)
                | Op::GoOn
                | Op::ReadFirst(_)
                | Op::ReadRest(..),
                _,
            ) => self.lose_store(at),
            (Op::OwnRecord, Reply::Seen(seen)) => {
                let own = seen.entries.get(&Key::host(&self.hosts[at].name));
                let guard = own.map(|entry| entry.revision);
                self.send(at, Op::Grant(guard), Request::Grant);
            }
            (Op::Grant(guard), Reply::Lease(lease)) => {
                let key = Key::host(&self.hosts[at].name);
                let Some(process) = self.hosts[at].up.as_ref() else { return };
                let labels = Default::default();
                let record = HostRecord { version: process.reads, run: process.run, labels };
                let writes = vec![(key.clone(), Some(Value::Host(record)))];
                let commit = Commit { guards: vec![(key, guard)], writes, lease: Some(lease) };
                self.commit(at, Op::Register(lease), commit);
            }
            (Op::Register(lease), Reply::Done(Ok(_))) => {
                let Some(process) = self.hosts[at].up.as_mut() else { return };
                process.registration = Registration::Held(lease);
                process.see_to_all();
                self.see_to_apps(at);
            }
            (Op::OwnRecord | Op::Grant(_) | Op::Register(_), _) => {
                let Some(process) = self.hosts[at].up.as_mut() else { return };
                process.registration = Registration::None;
            }
            (Op::KeepAlive, Reply::Done(Err(StoreError::LeaseLost))) => {
                let Some(process) = self.hosts[at].up.as_mut() else { return };
                process.registration = Registration::None;
            }
            (Op::KeepAlive, _) => {}
            (Op::Announce(batch), reply) => {
                let Some(process) = self.hosts[at].up.as_mut() else { return };
                process.is_announcing = false;
                match reply {
                    Reply::Done(Ok(_)) => process.announcer.written(&batch),
                    _ => process.announcer.failed(now.saturating_sub(process.began_at)),
                }
                self.announce(at);
            }
            (Op::Plan(turn, written), reply) => {
                let Some(process) = self.hosts[at].up.as_mut() else { return };
                process.is_planning = false;
                let is_written = matches!(reply, Reply::Done(Ok(_)));
                let end = if is_written { written } else { PlanEnd::default() };
                process.turns.end(now.saturating_sub(process.began_at), turn, end);
            }
            (Op::Wish(wish, n_tries), Reply::Seen(seen)) => self.wish(at, wish, n_tries, &seen),
            (Op::Wished(wish, n_tries, given), reply) => {
                self.wished(at, wish, n_tries, given, &reply);
            }
            (Op::Wish(..), _) => {}
        }
    }
}

/// What came of a plan that is written.
fn plan_end(plan: &Plan, n_moved: Option<usize>) -> PlanEnd {
    PlanEnd { n_moved, n_could_wait: plan.n_could_wait(), is_cut: plan.is_cut }
}
