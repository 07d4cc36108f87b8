//! Who can answer for an app, who is waited for before a host stops, and where an app may run at all,
//! as the view has it. Does not ask any host.

use std::collections::BTreeSet;

use super::few_hosts::HostMap;
use super::origin::Assigned;
use super::records::{AppFacts as _, HostFacts as _, ReadyFacts as _, Records};
use super::rows::AppRow;
use super::view::FleetView;
use crate::id::{AppName, HostName};

impl<R: Records> FleetView<R> {
    /// The hosts that should be asked for an app: those it is assigned to that have its code at
    /// hand; failing these, whoever has it, as the one it leaves; failing these, those it will run on.
    #[must_use]
    pub fn answering(&self, app: &AppName) -> Vec<&HostName> {
        let is_there = |host: &&HostName| self.host(host).is_some();
        let assigned =
            || self.assigned_to(app).into_iter().flat_map(Assigned::keys).filter(is_there);
        let ready = self.ready(app);
        let has_code = |host: &&HostName| ready.is_some_and(|ready| ready.contains_key(host));
        let best: Vec<_> = assigned().filter(has_code).collect();
        if !best.is_empty() {
            return self.up_to_date(app, best);
        }
        let leaving: Vec<_> = ready.into_iter().flat_map(HostMap::keys).filter(is_there).collect();
        if leaving.is_empty() { assigned().collect() } else { leaving }
    }

    /// The apps for which other hosts may answer when anything of these hosts has changed.
    pub fn apps_on<'v>(
        &'v self,
        hosts: &'v BTreeSet<HostName>,
    ) -> impl Iterator<Item = &'v AppName> {
        let is_one = |host: &HostName| hosts.contains(host);
        // Of no hosts nothing is looked at: there may be very many apps.
        let rows = (!hosts.is_empty()).then(|| self.rows.iter()).into_iter().flatten();
        let is_there = move |row: &AppRow<R>| {
            let mut assigned = row.assigned.iter().flat_map(|(assigned, _)| assigned.keys());
            assigned.any(is_one) || row.ready.keys().any(is_one)
        };
        rows.filter(move |(_, row)| is_there(row)).map(|(app, _)| app)
    }

    /// Those of the hosts that do not serve an older deployment because they no longer hear of the
    /// store; all where none is left.
    fn up_to_date<'v>(&self, app: &AppName, hosts: Vec<&'v HostName>) -> Vec<&'v HostName> {
        if self.detached.is_empty() {
            return hosts;
        }
        let wanted = self.app(app).map(R::App::generation);
        let ready = self.ready(app);
        let is_old = |host: &HostName| {
            let has = ready.and_then(|ready| ready.get(host)).map(R::Ready::generation);
            !self.lease_of(host).hears_of_changes() && has != wanted
        };
        let current: Vec<_> = hosts.iter().copied().filter(|host| !is_old(host)).collect();
        if current.is_empty() { hosts } else { current }
    }

    /// Whether every host that an app is assigned to has this deployment's code at hand. Hosts that
    /// do not hear of the store are not waited for: they cannot know that there is something to do.
    #[must_use]
    pub fn is_ready_everywhere(&self, app: &AppName, generation: u64) -> bool {
        let Some(assigned) = self.assigned_to(app) else { return false };
        let ready = self.ready(app);
        // One that is gone is waited for until it is placed elsewhere.
        let is_waited_for = |host: &&HostName| !self.detached.contains_key(*host);
        let mut reached = assigned.keys().filter(is_waited_for).peekable();
        // Another deployment of the same number is another one.
        let wanted = self.app(app).and_then(R::App::fingerprint);
        let is_same = |ready: &R::Ready| {
            ready.generation() == generation && wanted.is_none_or(|wanted| ready.may_be(wanted))
        };
        reached.peek().is_some()
            && reached.all(|host| ready.and_then(|ready| ready.get(host)).is_some_and(is_same))
    }

    /// Whether an app may run on a host at all, placed there or not: the host has its labels, and no app
    /// is there that it must not meet or that must not meet it.
    #[must_use]
    pub fn may_run(&self, app: &AppName, host: &HostName) -> bool {
        let Some(record) = self.app(app) else { return true };
        let is_on = |app: &AppName| {
            self.assigned_to(app).is_some_and(|hosts| hosts.contains_key(host))
                || self.ready(app).is_some_and(|ready| ready.contains_key(host))
        };
        let labels = self.host(host).map(|record| record.labels());
        let has = |(name, value)| labels.is_some_and(|labels| labels.get(name) == Some(value));
        let others = record.apart_from().iter().filter_map(|other| other.parse().ok());
        let shuns = |other: &&AppName| {
            let record = self.app(other);
            record.is_some_and(|record| record.apart_from().contains(app.as_str()))
        };
        record.labels().iter().all(has)
            && !others.filter(|other| other != app).any(|other: AppName| is_on(&other))
            && !self.shy.iter().filter(|other| *other != app).filter(shuns).any(is_on)
    }
}
