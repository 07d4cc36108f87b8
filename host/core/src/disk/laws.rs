//! What holds of each plan of what goes from a disk.

use proptest::prelude::*;

use super::*;

const NOW: u64 = 10 * KEEP_MS;

fn stored() -> impl Strategy<Value = StoredComponent> {
    let sizes = (0_u64..50, 0_u64..50);
    let facts = (any::<bool>(), any::<bool>(), any::<bool>());
    let copies = prop::option::of(0_u32..4);
    (sizes, 0..NOW + 9, facts, copies).prop_map(|((component, code), used_at, facts, copies)| {
        let (component, code) = (Bytes::new(component), Bytes::new(code));
        let (is_mapped, is_named, is_pinned) = facts;
        StoredComponent { component, code, used_at, is_mapped, is_named, is_pinned, copies }
    })
}

fn world() -> impl Strategy<Value = (Vec<StoredComponent>, DiskUse)> {
    let facts = (0_u64..2000, 0_u64..100, 0_u64..50, any::<bool>());
    (prop::collection::vec(stored(), 0..40), facts).prop_map(|(all, facts)| {
        let (bound, wanted, leftover, is_alone) = facts;
        let used = all.iter().map(|it| it.component.get() + it.code.get()).sum::<u64>() + leftover;
        let [bound, used, leftover, wanted] = [bound, used, leftover, wanted].map(Bytes::new);
        (all, DiskUse { bound, used, leftover, wanted, is_alone, now: NOW })
    })
}

fn freed(all: &[StoredComponent], disk: &DiskUse, plan: &EvictionPlan) -> u64 {
    let of_each = plan.evicted.iter().map(|(place, what)| match what {
        Evicted::Code => all[*place].code.get(),
        Evicted::All => all[*place].code.get() + all[*place].component.get(),
    });
    of_each.sum::<u64>() + if plan.drops_leftover { disk.leftover.get() } else { 0 }
}

proptest! {
    #[test]
    fn the_last_known_copy_never_goes((all, disk) in world()) {
        for (place, what) in plan(&all, &disk).evicted {
            let it = all[place];
            prop_assert!(!it.is_mapped && it.component > Bytes::ZERO);
            if what == Evicted::All {
                let is_kept_elsewhere = it.copies.is_some_and(|copies| copies >= COPIES);
                let is_nobodys = disk.is_alone && !it.is_named;
                prop_assert!(is_nobodys || (!disk.is_alone && is_kept_elsewhere));
                prop_assert!(!it.is_pinned && it.used_at + KEEP_MS <= NOW);
            }
        }
    }

    #[test]
    fn it_stays_within_its_bound_or_says_what_is_missing((all, disk) in world()) {
        let plan = plan(&all, &disk);
        let left = disk.used.get() - freed(&all, &disk, &plan);
        prop_assert!(left + disk.wanted.get() <= disk.bound.get() + plan.missing.get());
        if plan.missing > Bytes::ZERO {
            prop_assert_eq!(left + disk.wanted.get(), disk.bound.get() + plan.missing.get());
            // Then all has gone that may.
            let asked: u64 = plan.asked.iter().map(|place| all[*place].component.get()).sum();
            prop_assert_eq!(left, must_stay(&all, &disk).get() + asked);
        }
    }

    #[test]
    fn nothing_goes_while_there_is_room((all, disk) in world()) {
        let disk = DiskUse { bound: disk.used.saturating_add(disk.wanted), ..disk };
        prop_assert_eq!(plan(&all, &disk), EvictionPlan::default());
    }

    #[test]
    fn the_longest_unused_goes_first((all, disk) in world()) {
        let plan = plan(&all, &disk);
        let order = |place: usize| (all[place].used_at, place);
        prop_assert!(plan.evicted.is_sorted_by_key(|(place, _)| order(*place)));
        prop_assert!(plan.asked.is_sorted_by_key(|place| order(*place)));
        let Some((last, _)) = plan.evicted.last() else { return Ok(()) };
        for (place, it) in all.iter().enumerate() {
            let has_code = it.code > Bytes::ZERO && it.may_lose_code();
            let goes = plan.evicted.iter().any(|(gone, _)| *gone == place);
            prop_assert!(goes || !has_code || order(place) > order(*last));
        }
    }

    #[test]
    fn no_more_goes_than_a_little_beyond_what_is_needed((all, disk) in world()) {
        let plan = plan(&all, &disk);
        let Some((last, what)) = plan.evicted.last() else { return Ok(()) };
        let component = if *what == Evicted::All { all[*last].component.get() } else { 0 };
        let of_last = all[*last].code.get() + component;
        let over = (disk.used.get() + disk.wanted.get()).saturating_sub(disk.bound.get());
        let aim = over + disk.bound.get() / MARGIN;
        prop_assert!(freed(&all, &disk, &plan) - of_last < aim);
    }
}

/// One that may go where others keep it.
fn old() -> StoredComponent {
    let (component, code) = (Bytes::new(30), Bytes::new(50));
    StoredComponent { component, code, is_named: true, ..StoredComponent::default() }
}

fn disk(used: u64, is_alone: bool) -> DiskUse {
    let (bound, used) = (Bytes::new(100), Bytes::new(used));
    DiskUse { bound, used, is_alone, now: NOW, ..DiskUse::default() }
}

#[test]
fn a_lone_host_loses_compiled_code_and_what_no_deployment_needs() {
    let all = [old(), StoredComponent { is_named: false, used_at: 1, ..old() }];
    let gone = plan(&all, &disk(160, true));
    assert_eq!(gone.evicted, [(0, Evicted::Code), (1, Evicted::Code)]);
    assert_eq!(plan(&all, &disk(220, true)).evicted, [(0, Evicted::Code), (1, Evicted::All)]);
    assert_eq!(plan(&all, &disk(300, true)).missing, Bytes::new(300 - 100 - 50 - 80));
    assert_eq!(gone.asked, [0_usize; 0]);
}

#[test]
fn other_hosts_are_asked_before_a_component_goes() {
    let all = [old(), StoredComponent { used_at: 1, ..old() }];
    let unknown = plan(&all, &disk(160, false));
    assert_eq!(unknown.evicted, [(0, Evicted::Code), (1, Evicted::Code)]);
    assert_eq!(unknown.asked, [0, 1]);
    let known = [StoredComponent { copies: Some(COPIES), ..old() }, all[1]];
    assert_eq!(plan(&known, &disk(160, false)).evicted, [(0, Evicted::All)]);
    let alone = [StoredComponent { copies: Some(COPIES - 1), ..old() }, all[1]];
    let gone = plan(&alone, &disk(160, false)).evicted;
    assert_eq!(gone, [(0, Evicted::Code), (1, Evicted::Code)]);
}

#[test]
fn a_part_of_a_file_system_that_does_not_say_its_size_is_no_bound() {
    assert_eq!(DiskBound::Percent(50).on(Some(Bytes::new(300))), Some(Bytes::new(150)));
    assert_eq!(DiskBound::Percent(50).on(None), None);
    assert_eq!(DiskBound::Size(Bytes::new(7)).on(None), Some(Bytes::new(7)));
}

#[test]
fn an_operator_is_told_once_until_there_is_room_again() {
    let near = |stays, was_near| is_near(Bytes::new(stays), Bytes::new(100), was_near);
    assert_eq!(
        [near(89, false), near(90, false), near(85, true), near(84, true)],
        [false, true, true, false]
    );
}
