//! The law of the kept planner: whatever happened before, it plans as the plain function does. And which
//! changes it follows without making everything anew.

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::laws::{
    any_app, any_host, any_view, app, app_name, fleet, host, host_name, room,
};
use super::super::{Spread, Standing, plan};
use super::*;

/// Names of hosts and of apps that steps pick from: some more than a fleet has at first.
const N_HOSTS: usize = 9;
const N_APPS: usize = 17;

/// What happens to a fleet. What is picked that is not there stays so.
#[derive(Clone, Debug)]
enum Step {
    Host(Index, Host),
    HostGone(Index),
    HostBack(Index),
    Standing(Index, Standing),
    Capacity(Index, u64),
    Zone(Index, u8),
    Labels(Index, Index),
    App(Index, App),
    AppGone(Index),
    Replicas(Index, u32),
    Demand(Index, u64, u64),
    Priority(Index, i32),
    On(Index, Vec<usize>),
    Spread(Index),
    Needs(Index, Index),
    Decide(u64),
    Plan { consolidate: bool, is_carried_out: bool },
}

fn any_step() -> impl Strategy<Value = Step> {
    let standing =
        prop_oneof![Just(Standing::Open), Just(Standing::Cordoned), Just(Standing::Draining)];
    let n = any::<Index>;
    prop_oneof![
        1 => (n(), any_host()).prop_map(|(n, host)| Step::Host(n, host)),
        4 => n().prop_map(Step::HostGone),
        3 => n().prop_map(Step::HostBack),
        3 => (n(), standing).prop_map(|(n, standing)| Step::Standing(n, standing)),
        2 => (n(), 500u64..4000).prop_map(|(n, cpu)| Step::Capacity(n, cpu)),
        1 => (n(), 0u8..5).prop_map(|(n, zone)| Step::Zone(n, zone)),
        1 => (n(), n()).prop_map(|(n, like)| Step::Labels(n, like)),
        1 => (n(), any_app(N_HOSTS, N_APPS)).prop_map(|(n, app)| Step::App(n, app)),
        1 => n().prop_map(Step::AppGone),
        3 => (n(), 0u32..5).prop_map(|(n, replicas)| Step::Replicas(n, replicas)),
        3 => (n(), 1u64..1500, 1u64..200).prop_map(|(n, c, m)| Step::Demand(n, c, m)),
        1 => (n(), -2i32..3).prop_map(|(n, priority)| Step::Priority(n, priority)),
        3 => (n(), proptest::collection::vec(0..N_HOSTS, 0..4)).prop_map(|(n, on)| Step::On(n, on)),
        1 => n().prop_map(Step::Spread),
        1 => (n(), n()).prop_map(|(n, like)| Step::Needs(n, like)),
        1 => (1u64..1500).prop_map(Step::Decide),
        6 => any::<(bool, bool)>()
            .prop_map(|(consolidate, is_carried_out)| Step::Plan { consolidate, is_carried_out }),
    ]
}

/// A fleet, and what is planned for it both ways.
struct Both {
    view: View,
    planner: Planner,
    /// The last of each name, for those that come back.
    gone: std::collections::BTreeMap<HostName, Host>,
}

impl Both {
    fn set_host(&mut self, name: &HostName, host: Option<Host>) {
        match host.clone() {
            Some(host) => self.view.hosts.insert(name.clone(), host),
            None => self.view.hosts.remove(name),
        };
        self.planner.set_host(name, host);
    }

    fn set_app(&mut self, name: &AppName, app: Option<App>) {
        match app.clone() {
            Some(app) => self.view.apps.insert(name.clone(), app),
            None => self.view.apps.remove(name),
        };
        self.planner.set_app(name, app);
    }

    fn change_host(&mut self, number: Index, change: impl FnOnce(&mut Host)) {
        let name = host_name(number.index(N_HOSTS));
        if let Some(mut host) = self.view.hosts.get(&name).cloned() {
            change(&mut host);
            self.set_host(&name, Some(host));
        }
    }

    fn change_app(&mut self, number: Index, change: impl FnOnce(&mut App)) {
        let name = app_name(number.index(N_APPS));
        if let Some(mut app) = self.view.apps.get(&name).cloned() {
            change(&mut app);
            self.set_app(&name, Some(app));
        }
    }

    fn take(&mut self, step: Step) {
        let named = |number: Index| host_name(number.index(N_HOSTS));
        match step {
            Step::Host(n, host) => self.set_host(&named(n), Some(host)),
            Step::HostGone(n) => {
                let name = named(n);
                if let Some(host) = self.view.hosts.get(&name) {
                    self.gone.insert(name.clone(), host.clone());
                }
                self.set_host(&name, None);
            }
            Step::HostBack(n) => {
                let back = self.gone.iter().nth(n.index(self.gone.len().max(1)));
                if let Some((name, host)) = back.map(|(name, host)| (name.clone(), host.clone())) {
                    self.set_host(&name, Some(host));
                }
            }
            Step::Standing(n, standing) => self.change_host(n, |host| host.standing = standing),
            Step::Capacity(n, cpu) => self.change_host(n, |host| host.capacity = room(cpu, 256)),
            Step::Zone(n, zone) => self.change_host(n, |at| at.zone = host(zone, 1, 1).zone),
            Step::Labels(n, like) => {
                let like = self.view.hosts.get(&named(like)).map(|host| host.labels.clone());
                self.change_host(n, |host| host.labels = like.unwrap_or_default());
            }
            Step::Decide(cpu) => drop(self.planner.decide(&room(cpu, 32)).cloned()),
            other => self.take_app(other),
        }
    }

    fn take_app(&mut self, step: Step) {
        let named = |number: Index| app_name(number.index(N_APPS));
        match step {
            Step::App(n, app) => self.set_app(&named(n), Some(app)),
            Step::AppGone(n) => self.set_app(&named(n), None),
            Step::Replicas(n, replicas) => self.change_app(n, |app| app.replicas = replicas),
            Step::Demand(n, cpu, memory) => {
                self.change_app(n, |app| app.demand = room(cpu, memory));
            }
            Step::Priority(n, priority) => self.change_app(n, |app| app.priority = priority),
            Step::On(n, on) => {
                self.change_app(n, |app| app.on = on.into_iter().map(host_name).collect());
            }
            Step::Spread(n) => self.change_app(n, |app| {
                app.spread = match app.spread {
                    Spread::Zones => Spread::BestEffort,
                    Spread::BestEffort => Spread::Zones,
                }
            }),
            Step::Needs(n, like) => {
                let like = self.view.apps.get(&named(like)).map(|app| app.needs.clone());
                self.change_app(n, |app| app.needs = like.unwrap_or_default());
            }
            Step::Plan { consolidate, is_carried_out: true } => {
                let made = self.planner.plan(&Aims { consolidate, ..Aims::default() });
                let mut after = self.view.clone();
                after.apply(&made);
                for step in made.moves {
                    let app = after.apps.get(&step.app).cloned();
                    self.set_app(&step.app, app);
                }
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_kept_planner_plans_as_the_plain_function(
        view in any_view(), steps in proptest::collection::vec(any_step(), 1..24),
    ) {
        let planner = Planner::new(view.clone());
        let mut both = Both { view, planner, gone: Default::default() };
        for step in steps {
            if let Step::Plan { consolidate, .. } = step {
                let aims = Aims { consolidate, ..Aims::default() };
                prop_assert_eq!(both.planner.plan(&aims), plan(&both.view, &aims));
            }
            both.take(step);
        }
        prop_assert_eq!(both.planner.view(), &both.view);
        for consolidate in [false, true] {
            let aims = Aims { consolidate, ..Aims::default() };
            prop_assert_eq!(both.planner.plan(&aims), plan(&both.view, &aims));
        }
    }
}

/// Three hosts with two apps on two of them.
fn small() -> View {
    let mut view = fleet(vec![host(0, 1000, 256); 3], vec![app(2, 100, 16); 2]);
    for app in view.apps.values_mut() {
        app.on = [0, 1].map(host_name).into();
    }
    view
}

#[test]
fn what_a_fleet_goes_through_every_day_is_followed() {
    let view = small();
    let mut planner = Planner::new(view.clone());
    let (h0, a0) = (host_name(0), app_name(0));
    let (host, mut app) = (view.hosts[&h0].clone(), view.apps[&a0].clone());
    planner.set_host(&h0, None);
    planner.set_host(&h0, Some(host.clone()));
    planner.set_host(&h0, Some(Host { standing: Standing::Draining, ..host }));
    planner.set_host(&host_name(7), None);
    app.on = [1, 2].map(host_name).into();
    app.replicas = 3;
    app.demand = room(200, 16);
    planner.set_app(&a0, Some(app));
    planner.set_app(&app_name(1), None);
    assert!(!planner.is_stale);
    planner.set_host(&host_name(7), Some(view.hosts[&h0].clone()));
    assert!(planner.is_stale);
}

#[test]
fn a_plan_leaves_the_fleet_as_it_is() {
    let mut planner = Planner::new(small());
    planner.set_host(&host_name(1), None);
    let first = planner.plan(&Aims::default());
    assert_eq!(first.moves.len(), 2);
    assert_eq!(planner.plan(&Aims::default()), first);
}

#[test]
fn decisions_take_room_until_the_fleet_is_planned() {
    let mut planner = Planner::new(small());
    let decide = |planner: &mut Planner| planner.decide(&room(600, 16)).map(ToString::to_string);
    let told: Vec<_> = (0..4).map(|_| decide(&mut planner)).collect();
    assert_eq!(told.iter().flatten().collect::<Vec<_>>(), ["h0", "h1", "h2"]);
    assert_eq!(planner.plan(&Aims::default()).spare, [host_name(2)]);
    assert_eq!(decide(&mut planner).as_deref(), Some("h0"));
}
