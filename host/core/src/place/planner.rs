//! A fleet kept ready between plans: making flat arrays of a view takes longer than the plan where
//! little has changed. What it plans is what `plan` plans for the same view, whatever happened before;
//! it is only sooner done. Does not carry out its own plans.

#[cfg(test)]
mod tests;

use super::dense::Dense;
use super::keep;
use super::spend::{Budget, Spend};
use super::view::{App, Host, Room, View};
use super::{Aims, Plan, draw};
use crate::id::{AppName, HostName};

/// A fleet kept ready for planning; plans only for what has changed.
///
/// Quick are changes of the hosts and apps that it knows, and their loss. With a new host or app, with
/// labels that no app asked for before, and with other `apart_from`, the next plan takes as long as
/// [`plan`](super::plan).
#[derive(Debug)]
pub struct Planner {
    view: View,
    /// The view as it was made or followed; worthless while `is_stale`.
    dense: Dense,
    is_stale: bool,
    /// Whether single decisions are drafted on it.
    is_deciding: bool,
}

impl Planner {
    /// A planner for a fleet as it is.
    #[must_use]
    pub fn new(view: View) -> Self {
        Self { dense: Dense::new(&view), view, is_stale: false, is_deciding: false }
    }

    /// The fleet as it is by now.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Notes a host that is new or has changed, or with `None` is gone.
    pub fn set_host(&mut self, name: &HostName, host: Option<Host>) {
        self.forget_decisions();
        self.is_stale = self.is_stale || !self.dense.set_host(name, host.as_ref());
        match host {
            Some(host) => self.view.hosts.insert(name.clone(), host),
            None => self.view.hosts.remove(name),
        };
    }

    /// Notes an app that is new or has changed (as where it is, once a plan is carried out), or with
    /// `None` is gone.
    pub fn set_app(&mut self, name: &AppName, app: Option<App>) {
        self.forget_decisions();
        let before = self.view.apps.get(name);
        let follows = self.is_stale
            || match (before, &app) {
                (None, None) => true,
                (None, Some(_)) => false,
                (Some(_), None) => self.dense.drop_app(name),
                (Some(before), Some(app)) => self.dense.set_app(name, before, app),
            };
        self.is_stale = self.is_stale || !follows;
        match app {
            Some(app) => self.view.apps.insert(name.clone(), app),
            None => self.view.apps.remove(name),
        };
    }

    /// Plans the fleet as it is, and leaves it so: a plan takes effect when what it moved comes back
    /// through `set_app`.
    pub fn plan(&mut self, aims: &Aims) -> Plan {
        self.draw(aims, None)
    }

    /// The same, moving no more of what can wait than the budget allows. Planned and applied again and
    /// again, it comes to where nothing would be moved without a budget either.
    pub fn plan_within(&mut self, aims: &Aims, budget: Budget<'_>) -> Plan {
        self.draw(aims, Some(budget))
    }

    fn draw(&mut self, aims: &Aims, budget: Option<Budget<'_>>) -> Plan {
        self.forget_decisions();
        self.refresh();
        let plan = draw(&mut self.dense, aims, budget);
        self.dense.go_back(0);
        plan
    }

    /// The best host for one more replica with this need and no wishes, for those who cannot wait for a
    /// plan; `None` where it fits nowhere. Its room counts as taken for further decisions, until the
    /// fleet changes or is planned.
    pub fn decide(&mut self, demand: &Room) -> Option<&HostName> {
        if !self.is_deciding {
            self.refresh();
            keep::settle(&mut self.dense, &mut Spend::of(None));
            self.is_deciding = true;
        }
        let host = self.dense.best_for(demand)?;
        self.dense.occupy(host, demand);
        self.dense.hosts.get(host).map(|host| &host.name)
    }

    fn refresh(&mut self) {
        if self.is_stale {
            self.dense = Dense::new(&self.view);
            self.is_stale = false;
        }
    }

    fn forget_decisions(&mut self) {
        if self.is_deciding {
            self.dense.go_back(0);
            self.is_deciding = false;
        }
    }
}
