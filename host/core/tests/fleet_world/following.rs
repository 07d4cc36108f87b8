//! How a made-up host comes to follow the store, reads all of it and takes what has changed, and how it
//! loses it.
//! Decides nothing: `core::lineage` and `core::node` do.

use std::collections::BTreeSet;
use std::time::Duration;

use steerage_core::id::{AppName, HostName};
use steerage_core::lineage::{self, FleetId, Followed, Here, LineageDecision, Stored};
use steerage_core::liveness::Probe;
use steerage_core::node::{
    FleetKey, FleetView, FollowStep, Follower, Position, Revision, StoreNow,
};

use crate::host::{Registration, Stage};
use crate::operators::Wish;
use crate::ops::{Op, Request};
use crate::records::{Key, Value, item};
use crate::store::{Commit, Seen};
use crate::world::World;

impl World {
    pub(crate) fn lose_store(&mut self, at: usize) {
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

    pub(crate) fn judge(&mut self, at: usize, seen: &Seen) {
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

    pub(crate) fn follow(&mut self, at: usize, followed: Followed, mark: u64, imports: bool) {
        self.hosts[at].disk.followed = Some(followed);
        let Some(process) = self.hosts[at].up.as_mut() else { return };
        (process.is_refused, process.mark) = (false, Some(mark));
        let (mark, revision) = (Revision(mark), Revision(followed.revision));
        let now = StoreNow { cluster: followed.cluster, mark, revision };
        let position = process.position.as_ref().filter(|_| !imports);
        let evidence = position.and_then(|position| position.evidence(now));
        let looks = evidence.map(|evidence| {
            let (key, put_at) = evidence.put;
            let deleted = evidence.deleted.into_iter();
            let deleted =
                deleted.flat_map(|(key, at)| [(key.clone(), at.0 - 1), (key.clone(), at.0)]);
            std::iter::once((key.clone(), put_at.0)).chain(deleted).collect()
        });
        let looks = looks.or_else(|| (position.is_some() && !self.rules.past).then(Vec::new));
        match looks {
            Some(looks) => self.send(at, Op::GoOn, Request::Was(looks)),
            None => self.send(at, Op::ReadFirst(imports), Request::See),
        }
    }

    /// Goes on from where it was, if what was found shows that the store has the same past.
    pub(crate) fn go_on(&mut self, at: usize, found: Vec<Option<(Value, u64)>>) {
        let (now, watch) = (self.now, self.random.next());
        let Some(process) = self.hosts[at].up.as_mut() else { return };
        let put = found.first().and_then(Option::as_ref);
        let put = put.map(|(value, at)| (value, Revision(*at)));
        let deleted = match found.get(1..) {
            Some([before, then]) => Some((before.is_some(), then.is_some())),
            _ => None,
        };
        let position = process.position.as_mut();
        match position.filter(|position| !self.rules.past || position.is_proved_by(put, deleted)) {
            Some(position) => {
                process.stage = Stage::Watching { watch, since: position.rewind().0 };
                process.back_at.get_or_insert(now);
                process.see_to_all();
                self.n_resumed += 1;
                // All that came meanwhile is taken before anything is decided.
                self.take_changes(at);
                self.changes_by(at);
            }
            None => self.send(at, Op::ReadFirst(false), Request::See),
        }
    }

    /// Takes what was read in two parts, one after the other.
    pub(crate) fn take_all(&mut self, at: usize, first: &Seen, rest: &Seen, imports: bool) {
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
        let entries = first.entries.iter();
        let entries = entries.map(|(key, entry)| (key, &entry.value, Revision(entry.revision)));
        let mark = Revision(process.mark.unwrap_or_default());
        let (cluster, revision) = (first.cluster, Revision(first.revision));
        process.position = Some(Position::read(StoreNow { cluster, mark, revision }, entries));
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
        if let Some(position) = &mut process.position {
            position.took(
                changes
                    .iter()
                    .map(|change| (&change.key, change.value.as_ref(), Revision(change.revision))),
            );
        }
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
