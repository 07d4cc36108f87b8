//! How a made-up host is driven by `core::node` and `core::lineage`: what the host's `member` and
//! `placement` do with sockets and disks is done here with messages and maps.

use std::collections::BTreeSet;
use std::time::Duration;

use steerage_core::id::{AppName, Generation, HostName};
use steerage_core::lineage::{self, FleetId, Followed, Here, LineageDecision, Stored};
use steerage_core::liveness::{Liveness, Probe};
use steerage_core::node::{
    Assigned, FleetKey, FleetView, FollowStep, Follower, LeaseId, PlanEnd, PlanSituation,
    PlanStamp, Revision, assignments,
};
use steerage_core::place::{self, Aims};
use steerage_core::reconcile::{Step, Wish as Wanted};

use crate::host::{Registration, Stage};
use crate::operators::Wish;
use crate::ops::{Op, Reply, Request};
use crate::records::{Deployment, HostRecord, Key, ReadyRecord, Value, item};
use crate::store::{Commit, Seen, StoreError};
use crate::world::{Event, World};

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

    /// Looks at apps, begins what is to be done, and announces.
    pub(crate) fn see_to_apps(&mut self, at: usize) {
        let (now, rules) = (self.now, self.rules);
        let mut begun = Vec::new();
        {
            let SimPart { name, process } = self.part(at);
            let Some(process) = process else { return };
            let since = now.saturating_sub(process.began_at);
            process.reconciler.wake(since);
            while let Some(app) = process.reconciler.next_app() {
                let mut status = process.status(&name, &app, rules.fingerprints);
                let is_seen =
                    process.view.apps.contains_key(&app) && !process.view.vanished.contains(&app);
                let is_unreadable = process.view.is_unreadable(&FleetKey::App(app.clone()));
                let is_absent = if is_unreadable { !rules.unreadable } else { !rules.tombstones };
                if is_absent && process.has_read && (!is_seen || is_unreadable) {
                    status.wish = Wanted::Removed;
                }
                begun.extend(process.reconciler.begin(&app, &status).map(|step| (app, step)));
            }
            let batch = process.reconciler.batch();
            begun
                .extend(batch.into_iter().map(|(app, generation)| (app, Step::Follow(generation))));
        }
        for (app, step) in begun {
            let takes = match step {
                Step::Prepare(_) => self.random.millis(5, 900),
                _ => self.random.millis(1, 50),
            };
            let run = self.hosts[at].up.as_ref().map_or(0, |process| process.run);
            self.at(now + takes, Event::StepDone { at, run, app, step });
        }
        self.announce(at);
    }

    pub(crate) fn step_done(&mut self, at: usize, app: &AppName, step: Step) {
        let done = match step {
            Step::Prepare(generation) | Step::Follow(generation) => {
                self.bring(at, app, generation, matches!(step, Step::Prepare(_)))
            }
            Step::Forget(latest) => {
                self.forget(at, app, latest);
                Ok(())
            }
            Step::Rest | Step::Retire | Step::Try(_) | Step::EndCanary => Ok(()),
        };
        self.story.add(format!(
            "{:?} {}: {step:?} of {app} {}",
            self.now,
            self.hosts[at].name,
            done.as_ref().err().map_or("is done", |why| why)
        ));
        let now = self.now;
        let Some(process) = self.hosts[at].up.as_mut() else { return };
        let since = now.saturating_sub(process.began_at);
        process.reconciler.done(app, done.is_ok(), since);
        if done.is_ok() {
            process.announcer.note(app, step, since);
        }
        self.see_to_apps(at);
    }

    fn forget(&mut self, at: usize, app: &AppName, latest: Generation) {
        let current = self.hosts[at].disk.current.get(app);
        if current.is_some_and(|current| *current > latest.get()) {
            return;
        }
        let had = self.hosts[at].disk.last.get(app).copied().unwrap_or(0);
        let served = self.hosts[at].up.as_ref().and_then(|process| process.served.get(app));
        let had = served.map_or(had, |served| served.generation);
        self.truth.forgotten.push((self.hosts[at].name.clone(), app.clone(), had));
        self.hosts[at].disk.forget(app);
        if let Some(process) = self.hosts[at].up.as_mut() {
            process.served.remove(app);
        }
    }

    /// Has a deployment here, with its component where that is needed.
    fn bring(
        &mut self,
        at: usize,
        app: &AppName,
        generation: Generation,
        with_code: bool,
    ) -> Result<(), &'static str> {
        let number = generation.get();
        let Some(process) = self.hosts[at].up.as_ref() else { return Err("is over") };
        let wanted = process.view.wanted_fingerprint(app, number).map(str::to_owned);
        let is_wanted = |found: &&Deployment| {
            !self.rules.fingerprints
                || wanted.as_ref().is_none_or(|wanted| found.fingerprint() == *wanted)
        };
        let kept = self.hosts[at].disk.ledger.get(app).and_then(|kept| kept.get(&number));
        let kept = kept.filter(is_wanted).cloned();
        let is_away = self.hosts[at].is_cut_off || process.back_at.is_none();
        let found = match (kept, self.store.entries().get(&Key::Deployment(app.clone(), number))) {
            (Some(kept), _) => kept,
            (None, Some(entry)) if !is_away => match &entry.value {
                Value::Deployment(found) if is_wanted(&found) => found.clone(),
                _ => return Err("is another one"),
            },
            (None, _) => return Err("is missing"),
        };
        if self.random.chance(3) {
            return Err("failed");
        }
        if with_code && !self.hosts[at].disk.blobs.contains(&found.component) {
            let has = |other: &usize| {
                self.hosts[*other].disk.blobs.contains(&found.component)
                    && self.probed(at, *other).1 == Probe::Answers
            };
            if !(0..self.hosts.len()).filter(|other| *other != at).any(|other| has(&other)) {
                return Err("has no component anywhere");
            }
            self.hosts[at].disk.blobs.insert(found.component);
        }
        self.hosts[at].disk.keep(app, &found);
        if let Some(process) = self.hosts[at].up.as_mut() {
            process.served.insert(app.clone(), found);
        }
        Ok(())
    }

    fn announce(&mut self, at: usize) {
        let now = self.now;
        let SimPart { name, process } = self.part(at);
        let Some(process) = process else { return };
        let since = now.saturating_sub(process.began_at);
        let Registration::Held(lease) = process.registration else { return };
        process.announcer.note_lease(Some(LeaseId(lease)), since);
        if process.is_announcing || process.back_at.is_none() {
            return;
        }
        let batch = process.announcer.batch(process.reconciler.is_idle(), since);
        if batch.is_empty() {
            return;
        }
        process.is_announcing = true;
        let writes = batch.iter().map(|(app, code)| {
            let served = process.served.get(app);
            let value = code.map(|code| {
                let served = served.filter(|served| served.generation == code.generation.get());
                Value::Ready(ReadyRecord {
                    generation: code.generation.get(),
                    fingerprint: served.map(Deployment::fingerprint),
                })
            });
            (Key::Fleet(FleetKey::Ready(name.clone(), app.clone())), value)
        });
        let commit = Commit { writes: writes.collect(), lease: Some(lease), guards: Vec::new() };
        self.commit(at, Op::Announce(batch), commit);
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
        let plan = place::plan(&process.place_view(&name), &Aims::default());
        let view = &process.view;
        let orphans: BTreeSet<AppName> =
            view.assigned.keys().filter(|app| view.is_orphan(app)).cloned().collect();
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
            process.turns.end(since, turn, PlanEnd { n_moved: Some(0), ..PlanEnd::default() });
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
        self.commit(at, Op::Plan(turn, assignments.len()), commit);
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
            (Op::ReadFirst(imports), Reply::Seen(first)) => {
                self.send(at, Op::ReadRest(first, imports), Request::See);
            }
            (Op::ReadRest(first, imports), Reply::Seen(rest)) => {
                self.take_all(at, &first, &rest, imports);
            }
            (
                Op::Judge | Op::WroteMark | Op::Raised(..) | Op::ReadFirst(_) | Op::ReadRest(..),
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
            (Op::Plan(turn, n_apps), reply) => {
                let Some(process) = self.hosts[at].up.as_mut() else { return };
                process.is_planning = false;
                let n_moved = matches!(reply, Reply::Done(Ok(_))).then_some(n_apps);
                let end = PlanEnd { n_moved, ..PlanEnd::default() };
                process.turns.end(now.saturating_sub(process.began_at), turn, end);
            }
            (Op::Wish(wish, n_tries), Reply::Seen(seen)) => self.wish(at, wish, n_tries, &seen),
            (Op::Wished(wish, n_tries, given), reply) => {
                self.wished(at, wish, n_tries, given, &reply);
            }
            (Op::Wish(..), _) => {}
        }
    }

    fn lose_store(&mut self, at: usize) {
        let again_at = self.now + self.random.millis(100, 600);
        let Some(process) = self.hosts[at].up.as_mut() else { return };
        process.back_at = None;
        process.stage = Stage::Idle(again_at);
    }

    /// What the store is to this host.
    pub(crate) fn judged(&self, at: usize, seen: &Seen) -> (LineageDecision, Option<u64>, Stored) {
        let host = &self.hosts[at];
        let mark = seen.entries.get(&Key::Mark);
        let fleet = mark.and_then(|entry| match entry.value {
            Value::Mark(id, epoch) => Some((id, epoch)),
            _ => None,
        });
        let served = host.up.as_ref().map(|process| &process.served);
        let served = || served.into_iter().flatten();
        let has_apps = seen.entries.values().any(|entry| matches!(entry.value, Value::App(_)));
        let clash = served().find(|(app, served)| {
            let found = seen.entries.get(&Key::app(app));
            let found = found.or_else(|| seen.entries.get(&Key::removed(app)));
            match found.map(|entry| &entry.value) {
                Some(Value::App(record)) => record.fingerprint != served.fingerprint(),
                found => found.is_some(),
            }
        });
        let here = Here {
            followed: host.disk.followed,
            was_in_fleet: false,
            has_apps: served().next().is_some(),
            clash: clash.map(|(app, _)| app.clone()).filter(|_| host.disk.followed.is_none()),
            authorities: BTreeSet::new(),
        };
        let (cluster, revision) = (seen.cluster, seen.revision);
        let authorities = BTreeSet::new();
        let stored = Stored { fleet, authorities, cluster, revision, has_apps };
        let decision = match lineage::judge(&here, &stored) {
            LineageDecision::Refuse(_) if !self.rules.lineage => match fleet {
                Some(_) => LineageDecision::Join,
                None => LineageDecision::Found,
            },
            decision => decision,
        };
        (decision, mark.map(|entry| entry.revision), stored)
    }

    fn judge(&mut self, at: usize, seen: &Seen) {
        let (decision, mark, stored) = self.judged(at, seen);
        let id = FleetId::new(u128::from(self.random.next()));
        let Some(process) = self.hosts[at].up.as_mut() else { return };
        match process.follower.judged(decision, mark.is_some()) {
            FollowStep::Refuse(reason) => {
                self.story.add(format!("{:?} {}: refuses: {reason}", self.now, at));
                process.is_refused = true;
                process.back_at = None;
                process.stage = Stage::Idle(self.now + Duration::from_secs(1));
            }
            FollowStep::Again => self.lose_store(at),
            FollowStep::WriteMark => {
                let writes = vec![(Key::Mark, Some(Value::Mark(id, 1)))];
                let guards = vec![(Key::Mark, None)];
                let commit = Commit { guards, writes, lease: None };
                self.send(at, Op::WroteMark, Request::Commit(commit));
            }
            FollowStep::Take { raises, imports } => {
                let (Some((id, epoch)), Some(mark)) = (stored.fleet, mark) else { return };
                let (cluster, revision) = (stored.cluster, stored.revision);
                let followed = Followed { id, epoch, cluster, revision };
                if raises {
                    let commit = self.raised(at, seen, mark);
                    self.send(at, Op::Raised(followed, mark, imports), Request::Commit(commit));
                } else {
                    self.follow(at, followed, mark, imports);
                }
            }
        }
    }

    /// That the store gives no number that this host knows.
    fn raised(&self, at: usize, seen: &Seen, mark: u64) -> Commit {
        let mut commit = Commit { guards: vec![(Key::Mark, Some(mark))], ..Commit::default() };
        for (app, last) in &self.hosts[at].disk.last {
            let key = Key::Last(app.clone());
            let entry = seen.entries.get(&key);
            let known = entry.map_or(0, |entry| match entry.value {
                Value::Last(last) => last,
                _ => 0,
            });
            if known < *last {
                commit.guards.push((key.clone(), entry.map(|entry| entry.revision)));
                commit.writes.push((key, Some(Value::Last(*last))));
            }
        }
        commit
    }

    fn follow(&mut self, at: usize, followed: Followed, mark: u64, imports: bool) {
        self.hosts[at].disk.followed = Some(followed);
        let Some(process) = self.hosts[at].up.as_mut() else { return };
        (process.is_refused, process.mark) = (false, Some(mark));
        self.send(at, Op::ReadFirst(imports), Request::See);
    }

    /// Takes what was read in two parts, one after the other.
    fn take_all(&mut self, at: usize, first: &Seen, rest: &Seen, imports: bool) {
        let (decision, ..) = self.judged(at, first);
        if self.rules.lineage && Follower::confirmed(decision).is_some() {
            self.lose_store(at);
            return;
        }
        let is_first = |key: &Key| {
            matches!(
                key,
                Key::Fleet(FleetKey::App(_) | FleetKey::Removed(_) | FleetKey::Freeze) | Key::Mark
            )
        };
        let (now, watch) = (self.now, self.random.next());
        let Some(process) = self.hosts[at].up.as_mut() else { return };
        let first_items = first.entries.iter().filter(|(key, _)| is_first(key));
        let rest_items = rest.entries.iter().filter(|(key, _)| !is_first(key));
        let items = first_items.chain(rest_items).filter_map(|(key, entry)| {
            let found = item(key, Some(&entry.value), process.reads)?;
            Some((found, Revision(entry.revision)))
        });
        let (mut view, _) = FleetView::read(items);
        let probes = process.probes.clone();
        let answers = |host: &HostName, run| probes.get(host) == Some(&(run, Probe::Answers));
        view.keep_detached(&process.view, answers);
        process.view = view;
        process.has_read = true;
        process.back_at.get_or_insert(now);
        process.stage = Stage::Watching { watch, since: first.revision };
        process.see_to_all();
        if imports {
            self.import(at);
        }
        let soon = self.now + self.random.millis(1, 20);
        self.tick_by(at, soon);
        self.changes_by(at);
    }

    /// Takes what has changed.
    pub(crate) fn take_changes(&mut self, at: usize) {
        let name = self.hosts[at].name.clone();
        if self.hosts[at].is_cut_off {
            self.lose_store(at);
            return;
        }
        let host = &mut self.hosts[at];
        let Some(process) = host.up.as_mut() else { return };
        let Stage::Watching { watch, since } = process.stage else { return };
        let Ok(changes) = self.store.since(since) else {
            process.stage = Stage::Idle(self.now);
            return;
        };
        let Some(last) = changes.last().map(|change| change.revision) else { return };
        if changes.iter().any(|change| change.key == Key::Mark) {
            process.stage = Stage::Idle(self.now);
            let soon = self.now;
            self.tick_by(at, soon);
            return;
        }
        process.stage = Stage::Watching { watch, since: last };
        if let Some(followed) = &mut host.disk.followed {
            followed.revision = followed.revision.max(last);
        }
        let reads = process.reads;
        let items = changes.iter().filter_map(|change| {
            let found = item(&change.key, change.value.as_ref(), reads)?;
            Some((found, Revision(change.revision)))
        });
        let probes = process.probes.clone();
        let answers = |host: &HostName, run| probes.get(host) == Some(&(run, Probe::Answers));
        let change = process.view.apply(items.collect(), answers);
        process.reconciler.add(change.apps);
        // Somebody else has written this host's own record, or taken it away.
        let own = process.view.hosts.get(&name);
        let is_own = own.is_some_and(|record| record.run == process.run);
        let is_about_own = changes.iter().any(|change| change.key == Key::host(&name));
        if is_about_own && !is_own && matches!(process.registration, Registration::Held(_)) {
            process.registration = Registration::None;
        }
        self.see_to_apps(at);
        let soon = self.now + Duration::from_millis(20);
        self.tick_by(at, soon);
    }

    /// Puts apps of this host into a store that does not know them.
    pub(crate) fn import(&mut self, at: usize) {
        let apps: Vec<AppName> = self.hosts[at].disk.current.keys().cloned().collect();
        for app in apps {
            self.send(at, Op::Wish(Wish::Import(app), 0), Request::See);
        }
    }
}

/// A host's name with its process.
pub(crate) struct SimPart<'w> {
    pub(crate) name: HostName,
    pub(crate) process: Option<&'w mut crate::host::Process>,
}

impl World {
    fn part(&mut self, at: usize) -> SimPart<'_> {
        let host = &mut self.hosts[at];
        SimPart { name: host.name.clone(), process: host.up.as_mut() }
    }
}
