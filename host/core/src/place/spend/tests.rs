//! The laws of plans that may not move all they would.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::laws::{any_view, app, app_name, fleet, host, host_name};
use super::super::{Aims, Plan, Planner, View, Why, check};
use super::*;

fn within(view: &View, consolidate: bool, moves: u32, unsettled: &BTreeSet<AppName>) -> Plan {
    let is_settled = |app: &AppName| !unsettled.contains(app);
    let budget = Budget { moves, is_settled: &is_settled };
    Planner::new(view.clone()).plan_within(&Aims { consolidate, ..Aims::default() }, budget)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_can_wait_keeps_the_budget_and_each_app_moves_one_settled_replica(
        view in any_view(), consolidate in any::<bool>(), moves in 0u32..4,
        unsettled in proptest::collection::btree_set(0usize..16, 0..4),
    ) {
        let unsettled: BTreeSet<AppName> = unsettled.into_iter().map(app_name).collect();
        let made = within(&view, consolidate, moves, &unsettled);
        prop_assert!(made.n_could_wait() <= moves);
        let mut of_app = BTreeMap::<&AppName, u32>::new();
        for step in made.moves.iter().filter(|step| step.why.can_wait()) {
            prop_assert!(!unsettled.contains(&step.app), "{}", step);
            *of_app.entry(&step.app).or_default() += 1;
        }
        prop_assert!(of_app.values().all(|n_moves| *n_moves == 1), "{:?}", of_app);
        // All rules hold but that hosts may stay too full for now.
        let broken = check(&view, &made);
        let is_of_room = |broken: &&String| made.overload_waits && broken.contains(" and bears ");
        prop_assert!(broken.iter().all(|broken| is_of_room(&broken)), "{:?}", broken);
    }

    #[test]
    fn steps_within_a_budget_end_where_nothing_would_move_without_one(
        view in any_view(), moves in 1u32..4,
    ) {
        let mut view = view;
        let nobody = BTreeSet::new();
        for n_steps in 0.. {
            prop_assert!(n_steps < 200, "it does not end");
            // As the host does: hosts are emptied only where nothing else is to be moved.
            let mut made = within(&view, false, moves, &nobody);
            if made.moves.is_empty() {
                made = within(&view, true, moves, &nobody);
            }
            if made.moves.is_empty() {
                break;
            }
            view.apply(&made);
        }
        let whole = super::super::plan(&view, &Aims { consolidate: true, ..Aims::default() });
        prop_assert_eq!(whole.moves, Vec::new());
    }
}

#[test]
fn a_host_is_emptied_in_steps_and_what_is_lost_meanwhile_does_not_wait() {
    let on = |numbers: &[usize]| {
        let mut app = app(u32::try_from(numbers.len()).unwrap(), 100, 16);
        app.on = numbers.iter().map(|number| host_name(*number)).collect();
        app
    };
    let hosts = vec![host(0, 4000, 512), host(1, 4000, 512), host(2, 4000, 512)];
    // Five apps on h0, more on h1.
    let apps: Vec<_> = (0..12).map(|number| on(&[usize::from(number >= 5)])).collect();
    let mut view = fleet(hosts, apps);
    let nobody = BTreeSet::new();
    for left in [3, 1, 0] {
        let made = within(&view, true, 2, &nobody);
        assert!(made.moves.iter().all(|step| step.why == Why::Consolidated), "{made:?}");
        view.apply(&made);
        let there = view.apps.values().filter(|app| app.on.contains(&host_name(0))).count();
        assert_eq!((there, made.is_cut), (left, left > 0));
    }
    // An app of which a replica just starts keeps its host from being emptied.
    view.apps.insert(app_name(20), on(&[0]));
    let starts = BTreeSet::from([app_name(20)]);
    assert_eq!(within(&view, true, 2, &starts).moves, []);
    assert_eq!(within(&view, true, 2, &nobody).moves.len(), 1);
    // Without any budget left, what a lost host had is placed none the less.
    view.hosts.remove(&host_name(1));
    let made = within(&view, true, 0, &nobody);
    assert_eq!((made.moves.len(), made.n_could_wait(), made.unplaced.len()), (12, 0, 0));
}

#[test]
fn a_host_that_stays_too_full_keeps_no_other_from_being_emptied() {
    let on = |number: usize, cpu_m| {
        let mut app = app(1, cpu_m, 16);
        app.on = BTreeSet::from([host_name(number)]);
        app
    };
    let hosts = vec![host(0, 1000, 512), host(1, 4000, 512), host(2, 4000, 512)];
    // h0 bears more than it has, by an app that may not move yet; h1 could be emptied into h2.
    let mut view = fleet(hosts, vec![on(0, 2000), on(1, 100), on(2, 1000), on(2, 1000)]);
    let full = app_name(0);
    let made = within(&view, true, 10, &BTreeSet::from([full.clone()]));
    assert!(made.overload_waits && !made.is_cut, "{made:?}");
    assert!(made.moves.iter().any(|step| step.from == Some(host_name(1))), "{made:?}");
    view.apply(&made);
    assert!(view.apps[&full].on.contains(&host_name(0)));
}
