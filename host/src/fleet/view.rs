//! One immutable view of what the store holds, and how it follows from what changed there.
//! Does not read the store. A record that cannot be read is told and changes nothing: the rest of
//! the fleet goes on. Nor does an app go because it is not seen: only its removal takes it out.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde::de::DeserializeOwned;
use steerage_core::id::{AppName, HostName};

use super::keys;
use super::record::{
    self, AppRecord, AppUse, AssignedRecord, FreezeRecord, HostRecord, HostSpec, ReadyRecord,
    RemovedRecord, UseRecord,
};
use crate::store::{Change, Revision, Seen};

/// Everything the store holds that hosts act on, at one revision.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What operators want of each app, and since which revision.
    pub apps: OrdMap<AppName, (Arc<AppRecord>, Revision)>,
    /// What operators want of hosts.
    pub host_specs: OrdMap<HostName, HostSpec>,
    /// That nothing is to be planned; see [`View::is_frozen`].
    pub frozen: Option<Arc<FreezeRecord>>,
    /// Where each app shall run, and since which revision.
    pub assigned: OrdMap<AppName, (OrdSet<HostName>, Revision)>,
    /// The hosts that are registered.
    pub hosts: OrdMap<HostName, Arc<HostRecord>>,
    /// Hosts that the store has lost and that answer nevertheless.
    pub lingering: OrdMap<HostName, Arc<HostRecord>>,
    /// Who has whose code at hand.
    pub ready: OrdMap<AppName, OrdMap<HostName, ReadyRecord>>,
    /// What apps use on each host, in the parts in which it is told.
    pub usage: OrdMap<HostName, OrdMap<u32, Arc<UseRecord>>>,
    /// What apps used on hosts that are gone, so that it is not unknown again when they start elsewhere.
    pub remembered: OrdMap<AppName, AppUse>,
    /// Apps that operators removed, with the highest generation each had.
    pub removed: OrdMap<AppName, u64>,
    /// Those of `apps` that the store does not hold any more, although nobody removed them.
    pub vanished: OrdSet<AppName>,
    /// Keys whose records cannot be read. What they held before is kept.
    pub(super) unreadable: OrdSet<String>,
    /// Hosts whose records cannot be read and were never read, as far as they can be guessed at.
    pub(super) outlined: OrdMap<HostName, Arc<HostRecord>>,
    /// The apps that must not meet others; see [`View::may_run`].
    pub(super) shy: OrdSet<AppName>,
}

/// What came of a change.
#[derive(Debug, Default)]
pub struct ChangeSummary {
    /// Apps of which anything changed.
    pub apps: BTreeSet<AppName>,
    /// Whether hosts came, went or changed.
    pub hosts_changed: bool,
    /// Whether operators want something else of hosts.
    pub wishes_changed: bool,
    /// Records that could not be used, as texts.
    pub troubles: Vec<String>,
}

impl ChangeSummary {
    /// Whether anything came but what apps use, which is looked at now and then and not at once.
    #[must_use]
    pub fn is_news(&self) -> bool {
        self.hosts_changed || self.wishes_changed || !self.apps.is_empty()
    }
}

impl View {
    /// The view of all that the store holds.
    #[must_use]
    pub fn read(seen: &Seen) -> (Self, ChangeSummary) {
        let (mut view, mut told) = (Self::default(), ChangeSummary::default());
        for entry in &seen.entries {
            view.take(&entry.key, Some(&entry.value), entry.revision, &mut told);
        }
        told.hosts_changed = true;
        (view, told)
    }

    /// Takes changes; `answers` tells whether a host answers this one in that run of it.
    pub fn apply(
        &mut self,
        changes: &[Change],
        answers: impl Fn(&HostName, u64) -> bool,
    ) -> ChangeSummary {
        let mut told = ChangeSummary::default();
        // So that an app that goes with its removal has not vanished.
        for change in changes.iter().filter(|change| change.key.starts_with(keys::REMOVED)) {
            self.take(&change.key, change.value.as_deref(), change.revision, &mut told);
        }
        // A lease that ends takes all keys of its host at once. Where the host answers, it is the
        // store that lost it.
        let lost: Vec<HostName> = changes
            .iter()
            .filter(|change| change.value.is_none())
            .filter_map(|change| change.key.strip_prefix(keys::HOSTS)?.parse().ok())
            .filter(|host| self.hosts.get(host).is_some_and(|record| answers(host, record.run)))
            .collect();
        for host in &lost {
            if let Some(record) = self.hosts.get(host) {
                self.lingering.insert(host.clone(), record.clone());
            }
        }
        for change in changes {
            let is_of_lost = change.value.is_none()
                && change.key.strip_prefix(keys::READY).is_some_and(|rest| {
                    lost.iter().any(|host| {
                        rest.strip_prefix(host.as_str()).is_some_and(|rest| rest.starts_with('/'))
                    })
                });
            if !is_of_lost && !change.key.starts_with(keys::REMOVED) {
                self.take(&change.key, change.value.as_deref(), change.revision, &mut told);
            }
        }
        told
    }

    /// Keeps what only `before` knows: hosts that answer, what was used on the others, apps that nobody
    /// removed, and what it read of records that cannot be read now.
    pub fn keep_answering(&mut self, before: &Self, answers: impl Fn(&HostName, u64) -> bool) {
        self.keep_unseen(before);
        self.remember(before);
        for (host, record) in before.all_hosts() {
            if self.hosts.contains_key(host) || !answers(host, record.run) {
                continue;
            }
            self.lingering.insert(host.clone(), record.clone());
            for (app, hosts) in &before.ready {
                if let Some(ready) = hosts.get(host) {
                    self.ready.entry(app.clone()).or_default().insert(host.clone(), ready.clone());
                }
            }
        }
    }

    /// Forgets hosts that the store has lost and that do not answer any more; whether there were any.
    pub fn forget_silent(&mut self, answers: impl Fn(&HostName, u64) -> bool) -> bool {
        let silent: Vec<HostName> = self
            .lingering
            .iter()
            .filter(|(host, record)| !answers(host, record.run))
            .map(|(host, _)| host.clone())
            .collect();
        for host in &silent {
            self.lingering.remove(host);
            self.forget_ready(host);
        }
        !silent.is_empty()
    }

    /// All hosts that are there as far as this host knows.
    pub fn all_hosts(&self) -> impl Iterator<Item = (&HostName, &Arc<HostRecord>)> {
        self.hosts.iter().chain(self.lingering.iter())
    }

    /// One of them.
    #[must_use]
    pub fn host(&self, name: &HostName) -> Option<&Arc<HostRecord>> {
        self.hosts.get(name).or_else(|| self.lingering.get(name))
    }

    /// The hosts an app is assigned to, whether they are there or not.
    #[must_use]
    pub fn assigned_to(&self, app: &AppName) -> Option<&OrdSet<HostName>> {
        self.assigned.get(app).map(|(hosts, _)| hosts)
    }

    /// The hosts that should be asked for an app: those it is assigned to that have its code at
    /// hand; failing these, whoever has it, as the one it leaves; failing these, those it will run on.
    #[must_use]
    pub fn answering(&self, app: &AppName) -> Vec<&HostName> {
        let is_there = |host: &&HostName| self.host(host).is_some();
        let assigned = || self.assigned_to(app).into_iter().flatten().filter(is_there);
        let ready = self.ready.get(app);
        let has_code = |host: &&HostName| ready.is_some_and(|ready| ready.contains_key(*host));
        let best: Vec<_> = assigned().filter(has_code).collect();
        if !best.is_empty() {
            return self.up_to_date(app, best);
        }
        let leaving: Vec<_> = ready.into_iter().flat_map(OrdMap::keys).filter(is_there).collect();
        if leaving.is_empty() { assigned().collect() } else { leaving }
    }

    /// Those of the hosts that do not serve an older deployment because they no longer hear of the
    /// store; all where none is left.
    fn up_to_date<'v>(&self, app: &AppName, hosts: Vec<&'v HostName>) -> Vec<&'v HostName> {
        if self.lingering.is_empty() {
            return hosts;
        }
        let wanted = self.apps.get(app).map(|(record, _)| record.generation);
        let ready = self.ready.get(app);
        let is_old = |host: &HostName| {
            let has = ready.and_then(|ready| ready.get(host)).map(|ready| ready.generation);
            self.lingering.contains_key(host) && has != wanted
        };
        let current: Vec<_> = hosts.iter().copied().filter(|host| !is_old(host)).collect();
        if current.is_empty() { hosts } else { current }
    }

    /// Whether every host that an app is assigned to has this deployment's code at hand. Hosts that
    /// do not hear of the store are not waited for: they cannot know that there is something to do.
    #[must_use]
    pub fn is_ready_everywhere(&self, app: &AppName, generation: u64) -> bool {
        let Some(assigned) = self.assigned_to(app) else { return false };
        let ready = self.ready.get(app);
        let mut reached =
            assigned.iter().filter(|host| !self.lingering.contains_key(*host)).peekable();
        // Another deployment of the same number is another one.
        let wanted = self.apps.get(app).and_then(|(record, _)| record.fingerprint.as_ref());
        let is_same = |ready: &ReadyRecord| {
            ready.generation == generation
                && (wanted.is_none()
                    || ready.fingerprint.is_none()
                    || ready.fingerprint.as_ref() == wanted)
        };
        reached.peek().is_some()
            && reached.all(|host| ready.and_then(|ready| ready.get(host)).is_some_and(is_same))
    }

    /// Whether an app may run on a host at all, placed there or not: the host has its labels, and no app
    /// is there that it must not meet or that must not meet it.
    #[must_use]
    pub fn may_run(&self, app: &AppName, host: &HostName) -> bool {
        let Some((record, _)) = self.apps.get(app) else { return true };
        let is_on = |app: &AppName| {
            self.assigned_to(app).is_some_and(|hosts| hosts.contains(host))
                || self.ready.get(app).is_some_and(|ready| ready.contains_key(host))
        };
        let labels = self.host(host).map(|record| &record.labels);
        let has = |(name, value)| labels.is_some_and(|labels| labels.get(name) == Some(value));
        let others = record.apart_from.iter().filter_map(|other| other.parse().ok());
        let shuns = |other: &&AppName| {
            self.apps.get(*other).is_some_and(|(other, _)| other.apart_from.contains(app.as_str()))
        };
        record.labels.iter().all(has)
            && !others.filter(|other| other != app).any(|other: AppName| is_on(&other))
            && !self.shy.iter().filter(|other| *other != app).filter(shuns).any(is_on)
    }

    /// Takes what is wanted of an app.
    pub(super) fn put_app(&mut self, app: AppName, record: Option<AppRecord>, revision: Revision) {
        match &record {
            Some(record) if !record.apart_from.is_empty() => drop(self.shy.insert(app.clone())),
            _ => drop(self.shy.remove(&app)),
        }
        put(&mut self.apps, app, record.map(|record| (Arc::new(record), revision)));
    }

    fn take(
        &mut self,
        key: &str,
        value: Option<&[u8]>,
        revision: Revision,
        told: &mut ChangeSummary,
    ) {
        match self.try_take(key, value, revision, told) {
            Ok(()) => drop(self.unreadable.remove(key)),
            // What nobody could read is gone.
            Err(_) if value.is_none() => drop(self.unreadable.remove(key)),
            Err(trouble) => {
                told.troubles.push(trouble);
                self.note_unreadable(key, value, told);
            }
        }
    }

    fn try_take(
        &mut self,
        key: &str,
        value: Option<&[u8]>,
        revision: Revision,
        told: &mut ChangeSummary,
    ) -> Result<(), String> {
        if let Some(name) = key.strip_prefix(keys::APPS) {
            let (app, record) = named::<AppName, AppRecord>(key, name, value)?;
            told.apps.insert(app.clone());
            match record {
                Some(record) => {
                    self.vanished.remove(&app);
                    self.put_app(app, Some(record), revision);
                }
                None => self.lose(app),
            }
        } else if let Some(name) = key.strip_prefix(keys::REMOVED) {
            let (app, record) = named::<AppName, RemovedRecord>(key, name, value)?;
            told.apps.insert(app.clone());
            put(&mut self.removed, app.clone(), record.map(|record| record.generation));
            if self.vanished.contains(&app) {
                self.lose(app);
            }
        } else if let Some(name) = key.strip_prefix(keys::ASSIGNED) {
            let (app, record) = named::<AppName, AssignedRecord>(key, name, value)?;
            told.apps.insert(app.clone());
            let hosts = record.map(|record| {
                record.hosts.iter().filter_map(|host| host.parse().ok()).collect::<OrdSet<_>>()
            });
            put(&mut self.assigned, app, hosts.map(|hosts| (hosts, revision)));
        } else if let Some(rest) = key.strip_prefix(keys::READY) {
            let (host, name) = rest.split_once('/').ok_or("a ready key without an app")?;
            let host: HostName = host.parse().map_err(|error| format!("{key}: {error}"))?;
            let (app, record) = named(key, name, value)?;
            told.apps.insert(AppName::clone(&app));
            self.take_ready(app, host, record);
        } else if let Some(name) = key.strip_prefix(keys::HOSTS_WANTED) {
            let (host, record) = named(key, name, value)?;
            told.wishes_changed = true;
            put(&mut self.host_specs, host, record);
        } else if key == keys::FREEZE {
            let record = value.map(|value| record::decode(key, value)).transpose();
            self.frozen = record.map_err(|error| error.to_string())?.map(Arc::new);
            told.wishes_changed = true;
        } else if let Some(name) = key.strip_prefix(keys::HOSTS) {
            let (host, record) = named::<HostName, HostRecord>(key, name, value)?;
            told.hosts_changed = true;
            if record.is_some() {
                self.lingering.remove(&host);
            }
            self.outlined.remove(&host);
            put(&mut self.hosts, host, record.map(Arc::new));
        } else if let Some(rest) = key.strip_prefix(keys::USE) {
            let (name, part) = rest.split_once('/').unwrap_or((rest, "0"));
            let part = part.parse().map_err(|error| format!("{key}: {error}"))?;
            let (host, record) = named(key, name, value)?;
            self.take_use(host, part, record);
        }
        // Other keys are read where they are needed.
        Ok(())
    }

    fn take_ready(&mut self, app: AppName, host: HostName, record: Option<ReadyRecord>) {
        let mut ready = self.ready.get(&app).cloned().unwrap_or_default();
        put(&mut ready, host, record);
        put(&mut self.ready, app, (!ready.is_empty()).then_some(ready));
    }

    fn forget_ready(&mut self, host: &HostName) {
        let with: Vec<AppName> = self
            .ready
            .iter()
            .filter(|(_, hosts)| hosts.contains_key(host))
            .map(|(app, _)| app.clone())
            .collect();
        for app in with {
            self.take_ready(app, host.clone(), None);
        }
    }
}

pub(super) fn put<K: Ord + Clone, V: Clone>(map: &mut OrdMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

/// The name at the end of a key, and the record under it.
fn named<N, R>(key: &str, name: &str, value: Option<&[u8]>) -> Result<(N, Option<R>), String>
where
    N: std::str::FromStr<Err: std::fmt::Display>,
    R: DeserializeOwned,
{
    let name = name.parse().map_err(|error| format!("{key}: {error}"))?;
    let record = value.map(|value| record::decode(key, value)).transpose();
    Ok((name, record.map_err(|error| error.to_string())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Entry;

    fn entry(key: &str, value: &str) -> Entry {
        let value = format!("{{\"v\": 1, {value}}}").into_bytes();
        Entry { key: key.to_owned(), value, revision: Revision(1) }
    }

    fn put_host(name: &str) -> Entry {
        let value = format!(
            "\"id\": \"{name}\", \"run\": 7, \"address\": \"127.0.0.1:1\", \"listen\": \"127.0.0.1:2\", \
             \"admin\": \"127.0.0.1:3\", \"zone\": \"z\", \"cpu_m\": 1000, \"memory\": 9, \"version\": \"1\""
        );
        entry(&format!("observed/hosts/{name}"), &value)
    }

    fn ready(host: &str, generation: u64) -> Entry {
        entry(&format!("observed/ready/{host}/shop"), &format!("\"generation\": {generation}"))
    }

    fn deleted(key: &str) -> Change {
        Change { key: key.to_owned(), value: None, revision: Revision(2) }
    }

    fn shop() -> AppName {
        "shop".parse().unwrap()
    }

    fn names(hosts: &[&HostName]) -> Vec<String> {
        hosts.iter().map(ToString::to_string).collect()
    }

    /// `shop` in generation 2 on a and b, of which only a is ready; c still has it.
    fn view() -> View {
        let entries = vec![
            entry("assigned/shop", "\"hosts\": [\"a\", \"b\"]"),
            entry("desired/apps/shop", "\"generation\": 2, \"min\": 2, \"max\": 2"),
            put_host("a"),
            put_host("b"),
            put_host("c"),
            ready("a", 2),
            ready("c", 1),
        ];
        let (view, told) = View::read(&Seen { entries, ..Seen::default() });
        assert_eq!(told.troubles, Vec::<String>::new());
        view
    }

    #[test]
    fn those_answer_that_are_placed_and_ready_or_else_who_leaves_or_else_who_comes() {
        let mut view = view();
        assert_eq!(names(&view.answering(&shop())), ["a"]);
        assert!(!view.is_ready_everywhere(&shop(), 2));
        view.apply(&[deleted("observed/ready/a/shop")], |_, _| true);
        assert_eq!(names(&view.answering(&shop())), ["c"]);
        view.apply(&[deleted("observed/ready/c/shop")], |_, _| true);
        assert_eq!(names(&view.answering(&shop())), ["a", "b"]);
    }

    #[test]
    fn a_host_that_the_store_has_lost_stays_while_it_answers() {
        let lost = [deleted("observed/hosts/a"), deleted("observed/ready/a/shop")];
        let (mut kept, mut gone) = (view(), view());
        kept.apply(&lost, |host, run| host.as_str() == "a" && run == 7);
        assert_eq!(names(&kept.answering(&shop())), ["a"]);
        assert!(!kept.hosts.keys().any(|host| host.as_str() == "a"));
        gone.apply(&lost, |_, _| false);
        assert_eq!(names(&gone.answering(&shop())), ["c"]);
        assert!(kept.forget_silent(|_, _| false));
        assert_eq!(names(&kept.answering(&shop())), ["c"]);
    }

    #[test]
    fn nobody_waits_for_a_host_that_cannot_hear_of_what_is_new() {
        let mut view = view();
        view.apply(&[deleted("observed/hosts/b")], |_, _| true);
        assert!(view.is_ready_everywhere(&shop(), 2));
        // And it is not asked while it serves what is old.
        let old = Change { value: Some(ready("b", 1).value), ..deleted("observed/ready/b/shop") };
        view.apply(&[old], |_, _| true);
        assert_eq!(names(&view.answering(&shop())), ["a"]);
    }

    #[test]
    fn an_app_runs_only_where_its_labels_and_its_neighbours_let_it() {
        let host = |name: &str, labels: &str| {
            let mut host = put_host(name);
            let text = String::from_utf8(host.value).unwrap();
            host.value =
                text.replace("\"zone\"", &format!("\"labels\": {labels}, \"zone\"")).into();
            host
        };
        let app = |name: &str, more: &str| {
            let value = format!("\"generation\": 1, \"min\": 1, \"max\": 1{more}");
            entry(&format!("desired/apps/{name}"), &value)
        };
        let entries = vec![
            app("any", ""),
            app("eu", ", \"labels\": {\"region\": \"eu\"}"),
            app("shy", ", \"apart_from\": [\"loud\", \"shy\"]"),
            app("loud", ""),
            entry("assigned/loud", "\"hosts\": [\"a\"]"),
            entry("assigned/shy", "\"hosts\": [\"b\"]"),
            host("a", "{\"region\": \"us\"}"),
            host("b", "{\"region\": \"eu\", \"disk\": \"ssd\"}"),
        ];
        let (mut view, told) =
            View::read(&Seen { entries, revision: Revision(1), ..Seen::default() });
        assert_eq!(told.troubles, Vec::<String>::new());
        let may = |view: &View, app: &str| {
            let app = app.parse().unwrap();
            let hosts = ["a", "b", "unknown"].iter();
            hosts.map(|host| view.may_run(&app, &host.parse().unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(may(&view, "any"), [true, true, true]);
        assert_eq!(may(&view, "not-known-yet"), [true, true, true]);
        assert_eq!(may(&view, "eu"), [false, true, false]);
        assert_eq!(may(&view, "shy"), [false, true, true]);
        assert_eq!(may(&view, "loud"), [true, false, true], "though it is the other that says so");
        view.apply(&[deleted("assigned/shy"), deleted("assigned/loud")], |_, _| true);
        assert_eq!((may(&view, "shy")[0], may(&view, "loud")[1]), (true, true));
        // What leaves is still there.
        let leaves =
            Change { value: Some(ready("a", 1).value), ..deleted("observed/ready/a/loud") };
        view.apply(&[leaves], |_, _| true);
        assert!(!may(&view, "shy")[0]);
    }

    #[test]
    fn what_cannot_be_read_is_told_and_changes_nothing_else() {
        let mut view = view();
        let newer = Change { value: Some(b"{\"v\": 9}".to_vec()), ..deleted("assigned/shop") };
        let told = view.apply(&[newer, deleted("observed/ready/c/shop")], |_, _| true);
        assert!(told.troubles.concat().contains("written by a newer steerage"), "{told:?}");
        assert_eq!(names(&view.answering(&shop())), ["a"]);
    }
}
