//! The laws of placement, each as a property over fleets made up at random, and some as plain tables.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

pub(super) fn room(cpu: u64, memory: u64) -> Room {
    Room { cpu: Cpu::milli(cpu), memory: Bytes::mebi(memory) }
}

pub(super) fn host(zone: u8, cpu: u64, memory: u64) -> Host {
    Host {
        zone: format!("z{zone}").into(),
        labels: BTreeMap::new(),
        capacity: room(cpu, memory),
        standing: Standing::Open,
    }
}

pub(super) fn app(replicas: u32, cpu: u64, memory: u64) -> App {
    App {
        replicas,
        demand: room(cpu, memory),
        priority: 0,
        needs: BTreeMap::new(),
        apart_from: BTreeSet::new(),
        on: BTreeSet::new(),
        spread: Spread::BestEffort,
    }
}

pub(super) fn host_name(number: usize) -> HostName {
    format!("h{number}").parse().unwrap()
}

pub(super) fn app_name(number: usize) -> AppName {
    format!("a{number}").parse().unwrap()
}

pub(super) fn ssd() -> BTreeMap<String, String> {
    BTreeMap::from([("disk".to_owned(), "ssd".to_owned())])
}

pub(super) fn any_host() -> impl Strategy<Value = Host> {
    let standing = prop_oneof![
        8 => Just(Standing::Open), 1 => Just(Standing::Cordoned), 1 => Just(Standing::Draining)
    ];
    (0u8..3, 500u64..4000, 64u64..512, standing, any::<bool>()).prop_map(
        |(zone, cpu, memory, standing, has_ssd)| Host {
            standing,
            labels: if has_ssd { ssd() } else { BTreeMap::new() },
            ..host(zone, cpu, memory)
        },
    )
}

pub(super) fn any_app(n_hosts: usize, n_apps: usize) -> impl Strategy<Value = App> {
    let on = proptest::collection::btree_set(0..n_hosts + 2, 0..4);
    let apart = proptest::collection::btree_set(0..n_apps, 0..2);
    let apart = prop_oneof![4 => Just(BTreeSet::new()), 1 => apart];
    let spread = prop_oneof![4 => Just(Spread::BestEffort), 1 => Just(Spread::Zones)];
    let needs_ssd = prop_oneof![4 => Just(false), 1 => Just(true)];
    (0u32..4, 1u64..1500, 1u64..200, -1i32..2, on, apart, spread, needs_ssd).prop_map(
        |(replicas, cpu, memory, priority, on, apart, spread, needs_ssd)| App {
            priority,
            spread,
            needs: if needs_ssd { ssd() } else { BTreeMap::new() },
            apart_from: apart.into_iter().map(app_name).collect(),
            on: on.into_iter().map(host_name).collect(),
            ..app(replicas, cpu, memory)
        },
    )
}

pub(super) fn any_view() -> impl Strategy<Value = View> {
    (0usize..8, 0usize..16).prop_flat_map(|(n_hosts, n_apps)| {
        let hosts = proptest::collection::vec(any_host(), n_hosts);
        let apps = proptest::collection::vec(any_app(n_hosts, n_apps), n_apps);
        (hosts, apps).prop_map(|(hosts, apps)| View {
            hosts: hosts.into_iter().enumerate().map(|(n, host)| (host_name(n), host)).collect(),
            apps: apps.into_iter().enumerate().map(|(n, app)| (app_name(n), app)).collect(),
        })
    })
}

fn any_aims() -> impl Strategy<Value = Aims> {
    let policy = prop_oneof![Just(Policy::Pack), Just(Policy::Spread)];
    (any::<bool>(), policy).prop_map(|(consolidate, policy)| Aims { consolidate, policy })
}

fn settled(mut view: View, aims: &Aims) -> View {
    let made = plan(&view, aims);
    view.apply(&made);
    view
}

/// What is free on a host once only replicas of at least this priority are left.
fn free_above(view: &View, on: &HostName, priority: i32) -> Room {
    let used = view.apps.values().filter(|app| app.on.contains(on) && app.priority >= priority);
    let used = used.fold(Room::default(), |used, app| used.plus(&app.demand));
    view.hosts[on].capacity.minus(&used)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_plan_breaks_no_rule(view in any_view(), aims in any_aims()) {
        let made = plan(&view, &aims);
        prop_assert_eq!(check(&view, &made), Vec::<String>::new());
    }

    #[test]
    fn planning_an_applied_plan_changes_nothing(view in any_view(), aims in any_aims()) {
        let first = plan(&view, &aims);
        let mut after = view;
        after.apply(&first);
        let second = plan(&after, &aims);
        prop_assert_eq!(&second.moves, &Vec::new());
        prop_assert_eq!(&second.spare, &first.spare);
        let count = |plan: &Plan| plan.unplaced.iter().map(|u| (u.app.clone(), u.replicas)).collect::<Vec<_>>();
        prop_assert_eq!(count(&second), count(&first));
    }

    #[test]
    fn losing_a_host_moves_its_replicas_and_others_only_to_make_room(
        view in any_view(), lost in 0usize..8,
    ) {
        let mut view = settled(view, &Aims::default());
        let lost = host_name(lost % view.hosts.len().max(1));
        view.hosts.remove(&lost);
        for step in plan(&view, &Aims::default()).moves {
            let is_lost = step.from.as_ref() == Some(&lost);
            let makes_room = matches!(step.why, Why::MakesRoom(_) | Why::Evicted(_));
            // What had no room before may find some that an eviction leaves, or a lost neighbour.
            let had_no_room = matches!(step.why, Why::New | Why::Wanted | Why::Draining);
            prop_assert!(is_lost || makes_room || had_no_room, "{}", step);
        }
    }

    #[test]
    fn what_is_not_placed_fits_nowhere_and_says_why(view in any_view()) {
        let made = plan(&view, &Aims::default());
        let mut after = view;
        after.apply(&made);
        for unplaced in &made.unplaced {
            let app = &after.apps[&unplaced.app];
            let lacks = &unplaced.lacks;
            let told = lacks.closed + lacks.unlabelled + lacks.taken + lacks.apart + lacks.zone
                + lacks.short_of_cpu + lacks.short_of_memory;
            prop_assert_eq!(told, lacks.hosts, "{}", unplaced);
            let on_drained = app.on.iter().filter(|on| after.hosts[*on].standing == Standing::Draining);
            prop_assert!(unplaced.stays_on.iter().eq(on_drained), "{}", unplaced);
            if app.needs.is_empty() && app.spread == Spread::BestEffort && app.apart_from.is_empty() {
                for (name, host) in &after.hosts {
                    let is_shunned = after.apps.values().any(|other| {
                        other.on.contains(name) && other.apart_from.contains(&unplaced.app)
                    });
                    if host.standing == Standing::Open && !app.on.contains(name) && !is_shunned {
                        let free = free_above(&after, name, app.priority);
                        prop_assert!(!free.holds(&app.demand), "{} would fit on {}", unplaced, name);
                    }
                }
            }
        }
    }

    #[test]
    fn spread_replicas_lie_evenly_and_stay_so(
        n_hosts in 1usize..8, n_apps in 0usize..40, zones in 1u8..4, gone in 0usize..40,
    ) {
        let aims = Aims { policy: Policy::Spread, ..Aims::default() };
        let hosts = (0..n_hosts).map(|number| host(u8::try_from(number).unwrap() % zones, 9000, 4096));
        let apps = (0..n_apps).map(|_| app(1, 100, 16));
        let mut view = settled(fleet(hosts.collect(), apps.collect()), &aims);
        let on_each = |view: &View| {
            let on = |host| view.apps.values().filter(|app| app.on.contains(host)).count();
            view.hosts.keys().map(on).collect::<Vec<_>>()
        };
        let counts = on_each(&view);
        prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{:?}", counts);
        // What comes later goes where there is least.
        view.apps.remove(&app_name(gone));
        view.apps.insert(app_name(90), app(1, 100, 16));
        let before = on_each(&view);
        let view = settled(view, &aims);
        let to = view.apps[&app_name(90)].on.first().unwrap();
        let place = view.hosts.keys().position(|host| host == to).unwrap();
        prop_assert_eq!(Some(&before[place]), before.iter().min());
    }

    #[test]
    fn an_emptied_fleet_still_holds_all_it_held(view in any_view()) {
        let before = settled(view, &Aims::default());
        let after = settled(before.clone(), &Aims { consolidate: true, ..Aims::default() });
        for (name, app) in &before.apps {
            prop_assert!(after.apps[name].on.len() >= app.on.len());
        }
        let used = |view: &View| view.apps.values().flat_map(|app| &app.on).collect::<BTreeSet<_>>().len();
        prop_assert!(used(&after) <= used(&before));
    }
}

pub(super) fn fleet(hosts: Vec<Host>, apps: Vec<App>) -> View {
    View {
        hosts: hosts.into_iter().enumerate().map(|(n, host)| (host_name(n), host)).collect(),
        apps: apps.into_iter().enumerate().map(|(n, app)| (app_name(n), app)).collect(),
    }
}

fn shows(view: &View, expect: &Expect) {
    let made = plan(view, &Aims::default());
    assert_eq!(check(view, &made), Vec::<String>::new());
    let moves = made.moves.iter().map(ToString::to_string);
    let unplaced = made.unplaced.iter().map(ToString::to_string);
    let spare = made.spare.iter().map(|host| format!("spare: {host}"));
    expect.assert_eq(&moves.chain(unplaced).chain(spare).collect::<Vec<_>>().join("\n"));
}

#[test]
fn replicas_spread_over_zones_and_then_over_few_hosts() {
    let hosts =
        vec![host(0, 4000, 512), host(0, 4000, 512), host(1, 4000, 512), host(1, 4000, 512)];
    shows(
        &fleet(hosts, vec![app(2, 500, 32), app(2, 500, 32)]),
        &expect![[r#"
            a0: starts on h0, since it runs nowhere yet
            a0: starts on h2, since it runs nowhere yet
            a1: starts on h0, since it runs nowhere yet
            a1: starts on h2, since it runs nowhere yet
            spare: h1
            spare: h3"#]],
    );
}

#[test]
fn a_drained_host_gives_up_what_has_room_elsewhere_and_keeps_the_rest() {
    let mut hosts = vec![host(0, 2000, 256), host(1, 1000, 256)];
    hosts[0].standing = Standing::Draining;
    let on = |mut app: App| {
        app.on = BTreeSet::from([host_name(0)]);
        app
    };
    shows(
        &fleet(hosts, vec![on(app(1, 800, 32)), on(app(1, 800, 32))]),
        &expect![[r#"
        a0: h0 -> h1, since the host is drained
        a1: no room for 1 of its replicas, stays on h0 meanwhile: needs 800m cpu and 32MiB; of 2 hosts: 1 cordoned or drained, 1 short of cpu (at most 200m free)"#]],
    );
}

#[test]
fn the_higher_priority_goes_first_and_the_lower_says_what_it_lacks() {
    let mut high = app(1, 900, 32);
    high.priority = 10;
    let mut low = app(1, 900, 32);
    low.on = BTreeSet::from([host_name(0)]);
    shows(
        &fleet(vec![host(0, 1000, 256)], vec![low, high]),
        &expect![[r#"
            a0: stops on h0, since a1 has a higher priority and needs the room
            a1: starts on h0, since it runs nowhere yet
            a0: no room for 1 of its replicas: needs 900m cpu and 32MiB; the only host is short of cpu (100m free)"#]],
    );
}

#[test]
fn one_move_makes_room_for_what_fits_nowhere_else() {
    let hosts = vec![host(0, 1000, 256), host(0, 1000, 256)];
    let on = |mut app: App, host: usize| {
        app.on = BTreeSet::from([host_name(host)]);
        app
    };
    let apps = vec![on(app(1, 500, 32), 0), on(app(1, 300, 32), 1), app(1, 800, 32)];
    shows(
        &fleet(hosts, apps),
        &expect![[r#"
            a1: h1 -> h0, since it makes room for a2, which fits nowhere else
            a2: starts on h1, since it runs nowhere yet"#]],
    );
}

#[test]
fn labels_neighbours_and_zones_are_musts() {
    let mut hosts = vec![host(0, 4000, 512), host(1, 4000, 512), host(1, 4000, 512)];
    hosts[0].labels = ssd();
    let mut picky = app(2, 100, 16);
    picky.needs = ssd();
    let mut shy = app(3, 100, 16);
    shy.apart_from = BTreeSet::from([app_name(0)]);
    let mut wide = app(3, 100, 16);
    wide.spread = Spread::Zones;
    shows(
        &fleet(hosts, vec![picky, shy, wide]),
        &expect![[r#"
            a0: starts on h0, since it runs nowhere yet
            a1: starts on h1, since it runs nowhere yet
            a1: starts on h2, since it runs nowhere yet
            a2: starts on h0, since it runs nowhere yet
            a2: starts on h1, since it runs nowhere yet
            a0: no room for 1 of its replicas: needs 100m cpu and 16MiB; of 3 hosts: 2 without its labels, 1 with a replica already
            a1: no room for 1 of its replicas: needs 100m cpu and 16MiB; of 3 hosts: 2 with a replica already, 1 with an app it must not meet
            a2: no room for 1 of its replicas: needs 100m cpu and 16MiB; of 3 hosts: 2 with a replica already, 1 in a zone with a replica"#]],
    );
}

#[test]
fn demand_is_what_was_seen_with_headroom_and_what_was_said_before_that() {
    let (said, seen) = (room(500, 64), room(100, 10));
    assert_eq!(demand(Some(said), Some(seen), 20), room(120, 12));
    assert_eq!(demand(Some(said), None, 20), said);
    assert_eq!(demand(None, None, 20), room(1, 1));
}
