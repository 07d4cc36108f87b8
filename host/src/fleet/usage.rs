//! What apps use, as hosts tell it: by host and by app, and remembered of hosts that are gone.
//! Does not say what an app needs: placement does.

use std::sync::Arc;

use steerage_core::id::{AppName, HostName};
use steerage_core::node::{Assigned, HostMap};

use super::View;
use super::asking::ToldUse;
use super::record::{AppUse, UseRecord};
use super::view::put;

/// What one host tells, in parts.
type Parts = imbl::OrdMap<u32, Arc<UseRecord>>;

/// How far it is known what a host tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeardOf {
    /// In which of its runs.
    pub(super) run: u64,
    /// Up to which of its own revisions.
    pub(super) at: u64,
}

/// Nothing, of an app that was looked at for long enough.
const NOTHING: AppUse =
    AppUse { cpu_u: 0, cpu_high_u: 0, memory: 0, memory_high: 0, looks: AppUse::BELIEVED };

impl View {
    /// What apps use on a host, those that it lists.
    pub fn used_on(&self, host: &HostName) -> impl Iterator<Item = (&str, &AppUse)> {
        let parts = self.usage.get(host).into_iter().flat_map(imbl::OrdMap::values);
        parts.flat_map(|part| part.apps.iter().map(|(app, used)| (app.as_str(), used)))
    }

    /// What an app uses: the most that one host tells, but all hosts' recent use together; `None` where
    /// no host that has it at hand or shall have lists it.
    #[must_use]
    pub fn used_by(&self, app: &AppName) -> Option<AppUse> {
        let ready = self.ready(app).into_iter().flat_map(HostMap::keys);
        let assigned = self.assigned_to(app).into_iter().flat_map(Assigned::keys);
        let only_assigned =
            assigned.filter(|host| self.ready(app).is_none_or(|ready| !ready.contains_key(host)));
        let told = ready.chain(only_assigned).filter_map(|host| listed(self.usage.get(host)?, app));
        told.fold(None, |all: Option<AppUse>, used| {
            let all = all.unwrap_or_default();
            Some(AppUse {
                cpu_u: all.cpu_u.saturating_add(used.cpu_u),
                cpu_high_u: all.cpu_high_u.max(used.cpu_high_u),
                memory: all.memory.saturating_add(used.memory),
                memory_high: all.memory_high.max(used.memory_high),
                looks: all.looks.max(used.looks),
            })
        })
    }

    /// Whether a host has an app at hand, and has looked at it for long enough to say that it uses
    /// nothing there.
    #[must_use]
    pub fn is_idle_on(&self, app: &AppName, host: &HostName) -> bool {
        let Some(parts) = self.usage.get(host) else { return false };
        says_rest_is_idle(parts)
            && self.ready(app).is_some_and(|ready| ready.contains_key(host))
            && listed(parts, app).is_none()
    }

    /// The last that is known of what apps use or used, by app: what hosts tell, and what is remembered.
    pub(super) fn last_known_use(&self) -> imbl::OrdMap<AppName, AppUse> {
        let mut known = self.clone();
        self.usage
            .values()
            .flat_map(imbl::OrdMap::values)
            .for_each(|part| known.remember_part(part));
        let is_idle = |app: &AppName, host: &HostName| {
            let parts = self.usage.get(host);
            parts.is_some_and(|parts| says_rest_is_idle(parts) && listed(parts, app).is_none())
        };
        for (app, hosts) in self.all_assigned() {
            if !known.remembered.contains_key(app) && hosts.keys().any(|host| is_idle(app, host)) {
                known.remembered.insert(app.clone(), NOTHING);
            }
        }
        known.remembered
    }

    /// Takes what a host that was asked tells. Of another run of it the earlier one is remembered.
    pub(super) fn hear_use(&mut self, host: &HostName, told: ToldUse) {
        let before = self.heard.get(host).copied();
        if before.is_none_or(|before| before.run != told.run) {
            self.forget_use_of(host);
        }
        let mut parts = self.usage.get(host).cloned().unwrap_or_default();
        for (part, record) in told.parts {
            parts.insert(part, Arc::new(record));
        }
        let over: Vec<u32> = parts.keys().filter(|part| **part >= told.n_parts).copied().collect();
        over.iter().for_each(|part| drop(parts.remove(part)));
        put(&mut self.usage, host.clone(), (!parts.is_empty()).then_some(parts));
        self.heard.insert(host.clone(), HeardOf { run: told.run, at: told.at });
        for (app, used) in told.last_known {
            if let Ok(app) = app.parse::<AppName>()
                && self.app(&app).is_some()
            {
                self.remembered.insert(app, used);
            }
        }
    }

    /// Keeps what hosts told that were asked and are there: it does not stand in the store.
    pub(super) fn keep_heard(&mut self, before: &Self) {
        let kept: Vec<_> = before.heard.iter().filter(|(host, _)| self.is_asked(host)).collect();
        for (host, heard) in kept {
            if let Some(parts) = before.usage.get(host) {
                self.heard.insert(host.clone(), *heard);
                self.usage.insert(host.clone(), parts.clone());
            }
        }
    }

    /// Remembers what hosts told that were asked and are not there any more, or have become hosts of an
    /// earlier version, which tell it through the store.
    pub(super) fn forget_unheard(&mut self) {
        let gone: Vec<HostName> =
            self.heard.keys().filter(|host| !self.is_asked(host)).cloned().collect();
        for host in gone {
            self.heard.remove(&host);
            self.forget_use_of(&host);
        }
    }

    /// Whether a host is there and is asked what apps use on it.
    fn is_asked(&self, host: &HostName) -> bool {
        self.host(host).is_some_and(|record| record.tells_use)
    }

    /// Remembers what a host told and tells no more.
    fn forget_use_of(&mut self, host: &HostName) {
        let Some(parts) = self.usage.remove(host) else { return };
        parts.values().for_each(|part| self.remember_part(part));
        if says_rest_is_idle(&parts) {
            self.remember_idle(host, &parts);
        }
    }

    /// Takes one part of what a host tells through the store; remembers what it told before where that is
    /// gone.
    pub(super) fn take_use(&mut self, host: HostName, part: u32, record: Option<UseRecord>) {
        if self.heard.contains_key(&host) {
            // It has told it itself, and tells it there for hosts of earlier versions only.
            return;
        }
        let mut parts = self.usage.get(&host).cloned().unwrap_or_default();
        if record.is_none()
            && let Some(gone) = parts.get(&part)
        {
            self.remember_part(gone);
            if gone.rest_is_idle {
                self.remember_idle(&host, &parts);
            }
        }
        put(&mut parts, part, record.map(Arc::new));
        put(&mut self.usage, host, (!parts.is_empty()).then_some(parts));
    }

    /// Takes over what another view remembers, and what was told there by hosts that this one does not
    /// hear of.
    pub(super) fn remember(&mut self, before: &Self) {
        for (app, used) in &before.remembered {
            if self.app(app).is_some() {
                self.remembered.insert(app.clone(), *used);
            }
        }
        for (host, parts) in &before.usage {
            if !self.usage.contains_key(host) {
                parts.values().for_each(|part| self.remember_part(part));
                if says_rest_is_idle(parts) {
                    self.remember_idle(host, parts);
                }
            }
        }
    }

    /// Remembers that apps used nothing that were placed on a host and are listed in none of its parts.
    fn remember_idle(&mut self, host: &HostName, parts: &Parts) {
        let idle: Vec<AppName> = self
            .all_assigned()
            .filter(|(app, on)| on.contains_key(host) && listed(parts, app).is_none())
            .map(|(app, _)| app.clone())
            .collect();
        for app in idle {
            self.remembered.entry(app).or_insert(NOTHING);
        }
    }

    fn remember_part(&mut self, part: &UseRecord) {
        for (app, used) in part.apps.iter().filter(|(_, used)| used.is_believed()) {
            if let Ok(app) = app.parse::<AppName>()
                && self.app(&app).is_some()
            {
                self.remembered.insert(app, *used);
            }
        }
    }
}

/// Whether a host says that what it does not list uses nothing.
fn says_rest_is_idle(parts: &Parts) -> bool {
    parts.get(&0).is_some_and(|first| first.rest_is_idle)
}

/// What a host tells of an app, if it lists it.
fn listed<'p>(parts: &'p Parts, app: &AppName) -> Option<&'p AppUse> {
    let n_parts = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    parts.get(&part_of(app.as_str(), n_parts))?.apps.get(app.as_str())
}

/// In which of so many parts an app is told. By FNV-1a (Fowler, Noll, Vo): the same for all hosts and
/// in every run.
#[must_use]
pub fn part_of(app: &str, n_parts: u32) -> u32 {
    let hash = app
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash % n_parts.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::record::{AppRecord, ReadyRecord, decode};
    use crate::store::Revision;

    fn used(cpu_high_u: u64, looks: u32) -> AppUse {
        AppUse { cpu_high_u, looks, ..AppUse::default() }
    }

    fn part(rest_is_idle: bool, apps: &[(&str, AppUse)]) -> UseRecord {
        let apps = apps.iter().map(|(app, used)| ((*app).to_owned(), *used)).collect();
        UseRecord { rest_is_idle, apps, ..UseRecord::default() }
    }

    fn view(apps: &[&str]) -> View {
        let record = br#"{"v": 1, "generation": 1, "min": 1, "max": 1}"#;
        let record: AppRecord = decode("desired/apps/a", record).unwrap();
        let mut view = View::default();
        for app in apps {
            let app: AppName = app.parse().unwrap();
            view.put_app(&app, Some(record.clone()), Revision(1));
        }
        view
    }

    #[test]
    fn what_a_host_told_is_remembered_when_it_is_gone() {
        let (mut view, h1) = (view(&["a", "b", "idle"]), "h1".parse::<HostName>().unwrap());
        for app in ["b", "idle"] {
            let hosts = [h1.clone()].into_iter().collect();
            view.put_assigned(&app.parse().unwrap(), Some((hosts, Revision(1))));
        }
        let told = [("a", used(300, 60)), ("b", used(900, 3)), ("removed", used(5, 60))];
        for number in [0, 1] {
            let here = told.iter().filter(|(app, _)| part_of(app, 2) == number);
            let here: Vec<_> = here.copied().collect();
            view.take_use(h1.clone(), number, Some(part(number == 0, &here)));
        }
        assert_eq!(view.used_on(&h1).count(), 3);
        for part in [0, 1] {
            view.take_use(h1.clone(), part, None);
        }
        assert_eq!(view.used_on(&h1).count(), 0);
        assert!(view.usage.is_empty());
        let a: AppName = "a".parse().unwrap();
        assert_eq!(view.remembered.get(&a).unwrap().cpu_high_u, 300);
        // Neither what was hardly looked at nor what nobody wants.
        let remembered: Vec<_> = view.remembered.iter().map(|(app, _)| app.as_str()).collect();
        assert_eq!(remembered, ["a", "idle"]);
    }

    #[test]
    fn a_view_that_is_read_anew_remembers_the_one_before() {
        let (mut before, h1) = (view(&["a", "b"]), "h1".parse::<HostName>().unwrap());
        before.take_use(h1.clone(), 0, Some(part(true, &[("a", used(300, 60))])));
        before.remembered.insert("b".parse().unwrap(), used(7, 60));
        let mut after = view(&["a"]);
        after.remember(&before);
        assert_eq!(after.remembered.len(), 1);
        assert_eq!(after.remembered.get(&"a".parse::<AppName>().unwrap()).unwrap().cpu_high_u, 300);
        let mut heard = view(&["a"]);
        heard.take_use(h1, 0, Some(part(true, &[])));
        heard.remember(&before);
        assert!(heard.remembered.is_empty(), "it is heard what it uses");
    }

    #[test]
    fn what_a_host_does_not_list_is_idle_where_it_is_at_hand() {
        let (mut view, h1) = (view(&["a", "b"]), "h1".parse::<HostName>().unwrap());
        let (a, b): (AppName, AppName) = ("a".parse().unwrap(), "b".parse().unwrap());
        view.take_use(h1.clone(), 0, Some(part(false, &[("b", used(0, 2))])));
        let ready = ReadyRecord { generation: 1, canary: None, fingerprint: None };
        for app in [&a, &b] {
            view.put_ready(app, [(h1.clone(), ready.clone())].into_iter().collect());
        }
        assert!(!view.is_idle_on(&a, &h1), "the host has looked for a short time only");
        view.take_use(h1.clone(), 0, Some(part(true, &[("b", used(0, 2))])));
        assert!(view.is_idle_on(&a, &h1) && !view.is_idle_on(&b, &h1));
        view.put_ready(&a, HostMap::default());
        assert!(!view.is_idle_on(&a, &h1), "it is not at hand there");
    }
}
