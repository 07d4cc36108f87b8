//! What is not seen in the store and is no less there for it: apps that nobody removed, and what
//! records held that cannot be read.
//! Does not say what follows: `core::reconcile` and placement do.

use std::sync::Arc;

use steerage_core::id::{AppName, HostName};

use super::keys;
use super::record::{self, AppRecord, HostRecord};
use super::view::{ChangeSummary, View};
use crate::ledger::record::Fingerprint;
use crate::store::Revision;

impl View {
    /// Whether there is a record under this key that cannot be read. What it is about is neither wanted
    /// nor unwanted.
    #[must_use]
    pub fn is_unreadable(&self, key: &str) -> bool {
        self.unreadable.contains(key)
    }

    /// Whether operators want nothing to be planned; also where they said so in words of a newer version.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.frozen.is_some() || self.is_unreadable(keys::FREEZE)
    }

    /// Whether operators removed an app after it had this generation, or with it.
    #[must_use]
    pub fn is_removed(&self, app: &AppName, generation: u64) -> bool {
        self.removed.get(app).is_some_and(|removed| *removed >= generation)
    }

    /// Hosts whose records cannot be read and never could be, as far as they can be guessed at: they are
    /// there, and what is on them stays there.
    pub fn outlined(&self) -> impl Iterator<Item = (&HostName, &Arc<HostRecord>)> {
        self.outlined.iter()
    }

    /// What tells the deployment of this number that is wanted from another of its number, where the
    /// store says.
    #[must_use]
    pub fn fingerprint(&self, app: &AppName, generation: u64) -> Option<Fingerprint> {
        let (record, _) = self.apps.get(app)?;
        let canary = record.canary.as_ref().filter(|canary| canary.generation == generation);
        let text = match canary {
            Some(canary) => canary.fingerprint.as_deref(),
            None if record.generation == generation => record.fingerprint.as_deref(),
            None => None,
        };
        text?.parse().ok()
    }

    /// Takes an app out that the store does not hold any more, if it was removed.
    pub(super) fn lose(&mut self, app: AppName) {
        let Some((record, _)) = self.apps.get(&app) else { return };
        if self.is_removed(&app, record.generation) {
            self.remembered.remove(&app);
            self.vanished.remove(&app);
            self.put_app(app, None, Revision::default());
        } else {
            self.vanished.insert(app);
        }
    }

    /// Notes that there is a record that cannot be read.
    pub(super) fn note_unreadable(
        &mut self,
        key: &str,
        value: Option<&[u8]>,
        told: &mut ChangeSummary,
    ) {
        self.unreadable.insert(key.to_owned());
        let host = key.strip_prefix(keys::HOSTS).and_then(|name| name.parse::<HostName>().ok());
        if let (Some(host), Some(value)) = (host, value)
            && !self.hosts.contains_key(&host)
        {
            self.outlined.insert(host, Arc::new(record::outline(value)));
            told.hosts_changed = true;
        }
    }

    /// Keeps what only `before` knows of apps, and of records that cannot be read now.
    pub(super) fn keep_unseen(&mut self, before: &Self) {
        for (app, (record, revision)) in &before.apps {
            if self.apps.contains_key(app) || self.is_removed(app, record.generation) {
                continue;
            }
            self.put_app(app.clone(), Some(AppRecord::clone(record)), *revision);
            if !self.is_unreadable(&keys::app(app)) {
                self.vanished.insert(app.clone());
            }
        }
        if self.is_unreadable(keys::FREEZE) {
            self.frozen.clone_from(&before.frozen);
        }
        let is_unreadable = |key: &str| self.unreadable.contains(key);
        let assigned =
            before.assigned.iter().filter(|(app, _)| is_unreadable(&keys::assigned(app)));
        let assigned: Vec<_> = assigned.map(|(app, on)| (app.clone(), on.clone())).collect();
        let hosts = before.hosts.iter().filter(|(host, _)| is_unreadable(&keys::host(host)));
        let hosts: Vec<_> = hosts.map(|(host, at)| (host.clone(), at.clone())).collect();
        let specs =
            before.host_specs.iter().filter(|(host, _)| is_unreadable(&keys::host_wanted(host)));
        let specs: Vec<_> = specs.map(|(host, spec)| (host.clone(), spec.clone())).collect();
        for host in hosts.iter().map(|(host, _)| host) {
            self.outlined.remove(host);
        }
        self.assigned.extend(assigned);
        self.hosts.extend(hosts);
        self.host_specs.extend(specs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Change, Entry, Seen};

    fn entry(key: &str, value: &str) -> Entry {
        let value = value.as_bytes().to_vec();
        Entry { key: key.to_owned(), value, revision: Revision(1) }
    }

    fn change(key: &str, value: Option<&str>) -> Change {
        let value = value.map(|value| value.as_bytes().to_vec());
        Change { key: key.to_owned(), value, revision: Revision(2) }
    }

    const SHOP: &str = r#"{"v": 1, "generation": 2, "min": 1, "max": 1}"#;
    const H1: &str = r#"{"v": 1, "id": "h1", "run": 7, "address": "127.0.0.1:1", "listen": "127.0.0.1:2",
        "admin": "127.0.0.1:3", "zone": "z", "cpu_m": 1000, "memory": 9, "version": "1"}"#;
    const NEWER: &str =
        r#"{"v": 9, "zone": "attic", "labels": {"disk": "ssd"}, "generation": "new"}"#;

    fn read(entries: &[Entry]) -> View {
        View::read(&Seen { entries: entries.to_vec(), ..Seen::default() }).0
    }

    fn shop() -> AppName {
        "shop".parse().unwrap()
    }

    fn view() -> View {
        read(&[
            entry("assigned/shop", r#"{"v": 1, "hosts": ["h1"]}"#),
            entry("desired/apps/shop", SHOP),
            entry("observed/hosts/h1", H1),
        ])
    }

    #[test]
    fn an_app_goes_by_its_removal_only() {
        let removed = |generation: u64| format!("{{\"v\": 1, \"generation\": {generation}}}");
        let gone = || change("desired/apps/shop", None);
        let tomb = |generation| change("desired/removed/shop", Some(&removed(generation)));
        for (changes, is_there) in [
            (vec![gone()], true),
            (vec![gone(), tomb(2)], false),
            (vec![tomb(2), gone()], false),
            // An earlier app of this name was removed.
            (vec![gone(), tomb(1)], true),
            (vec![tomb(7)], true),
        ] {
            let mut view = view();
            view.apply(&changes, |_, _| true);
            assert_eq!(view.apps.contains_key(&shop()), is_there, "{changes:?}");
            // One after the other is the same.
            let mut view = self::view();
            for change in &changes {
                view.apply(std::slice::from_ref(change), |_, _| true);
            }
            assert_eq!(view.apps.contains_key(&shop()), is_there, "{changes:?}");
            let has_vanished = is_there && changes.contains(&gone());
            assert_eq!(view.vanished.contains(&shop()), has_vanished, "{changes:?}");
        }
        // The same where everything is read anew.
        for (entries, is_there) in [
            (vec![], true),
            (vec![entry("desired/removed/shop", &removed(2))], false),
            (vec![entry("desired/removed/shop", &removed(1))], true),
        ] {
            let mut now = read(&entries);
            now.keep_answering(&view(), |_, _| false);
            assert_eq!(now.apps.contains_key(&shop()), is_there, "{entries:?}");
            assert_eq!(now.vanished.contains(&shop()), is_there, "{entries:?}");
        }
        // It is there again.
        let mut view = view();
        view.apply(&[gone()], |_, _| true);
        view.apply(&[change("desired/apps/shop", Some(SHOP))], |_, _| true);
        assert!(view.vanished.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_what_it_was() {
        for bad in [NEWER, "{", "", "[]", r#"{"v": 1}"#] {
            let entries = [
                entry("assigned/shop", bad),
                entry("desired/apps/shop", bad),
                entry("observed/hosts/h1", bad),
            ];
            let mut now = read(&entries);
            assert!(now.apps.is_empty() && now.hosts.is_empty(), "{bad}");
            assert_eq!(now.outlined().count(), 1, "{bad}");
            for entry in &entries {
                assert!(now.is_unreadable(&entry.key), "{bad}");
            }
            let before = view();
            now.keep_answering(&before, |_, _| false);
            assert_eq!(now.apps, before.apps, "{bad}");
            assert_eq!(now.assigned, before.assigned, "{bad}");
            assert_eq!(now.hosts, before.hosts, "{bad}");
            assert!(now.vanished.is_empty(), "{bad}");
            // It can be read again.
            now.apply(&[change("observed/hosts/h1", Some(H1))], |_, _| true);
            assert!(
                !now.is_unreadable("observed/hosts/h1") && now.outlined().count() == 0,
                "{bad}"
            );
        }
        let now = read(&[entry("observed/hosts/h1", NEWER)]);
        let (_, outlined) = now.outlined().next().unwrap();
        assert_eq!((&*outlined.zone, outlined.labels.len()), ("attic", 1));
    }
}
