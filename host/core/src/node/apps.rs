//! What a view says of apps, part by part: what is wanted of each, where it shall run, who has its code at
//! hand. Does not say what follows from it.

use super::few_hosts::HostMap;
use super::origin::Assigned;
use super::records::{AppFacts as _, Records, Revision};
use super::view::FleetView;
use crate::id::AppName;

impl<R: Records> FleetView<R> {
    /// What operators want of an app.
    #[must_use]
    pub fn app(&self, app: &AppName) -> Option<&R::App> {
        self.rows.get(app)?.wanted.as_ref().map(|(record, _)| record)
    }

    /// The apps of which operators want anything, in the order of the names.
    pub fn apps(&self) -> impl Iterator<Item = (&AppName, &R::App)> {
        self.rows.iter().filter_map(|(app, row)| Some((app, &row.wanted.as_ref()?.0)))
    }

    /// The hosts an app is assigned to, whether they are there or not.
    #[must_use]
    pub fn assigned_to(&self, app: &AppName) -> Option<&Assigned> {
        self.assigned(app).map(|(assigned, _)| assigned)
    }

    /// The same, with the revision since which it is.
    #[must_use]
    pub fn assigned(&self, app: &AppName) -> Option<&(Assigned, Revision)> {
        self.rows.get(app)?.assigned.as_ref()
    }

    /// The apps that are assigned, in the order of the names.
    pub fn all_assigned(&self) -> impl Iterator<Item = (&AppName, &Assigned)> {
        self.rows.iter().filter_map(|(app, row)| Some((app, &row.assigned.as_ref()?.0)))
    }

    /// Who has an app's code at hand; `None` where nobody has.
    #[must_use]
    pub fn ready(&self, app: &AppName) -> Option<&HostMap<R::Ready>> {
        self.rows.get(app).map(|row| &row.ready).filter(|ready| !ready.is_empty())
    }

    /// The apps whose code any host has at hand, in the order of the names.
    pub fn all_ready(&self) -> impl Iterator<Item = (&AppName, &HostMap<R::Ready>)> {
        let all = self.rows.iter().map(|(app, row)| (app, &row.ready));
        all.filter(|(_, ready)| !ready.is_empty())
    }

    /// Takes what is wanted of an app.
    pub fn put_app(&mut self, app: &AppName, record: Option<R::App>, revision: Revision) {
        match &record {
            Some(record) if !record.apart_from().is_empty() => {
                drop(self.shy.insert(app.clone()));
            }
            _ => drop(self.shy.remove(app)),
        }
        self.rows.change(app, |row| row.wanted = record.map(|record| (record, revision)));
    }

    /// Takes where an app shall run.
    pub fn put_assigned(&mut self, app: &AppName, assigned: Option<(Assigned, Revision)>) {
        let assigned = assigned.map(|(on, revision)| (self.with_shared_hosts(&on), revision));
        self.rows.change(app, |row| row.assigned = assigned);
    }

    /// Takes who has an app's code at hand.
    pub fn put_ready(&mut self, app: &AppName, ready: HostMap<R::Ready>) {
        let ready = self.with_shared_hosts(&ready);
        self.rows.change(app, |row| row.ready = ready);
    }

    /// The same, with the names as the hosts have them.
    fn with_shared_hosts<V: Clone>(&self, on: &HostMap<V>) -> HostMap<V> {
        let on = on.iter();
        on.map(|(host, value)| (self.shared_host(host.clone()), value.clone())).collect()
    }
}
