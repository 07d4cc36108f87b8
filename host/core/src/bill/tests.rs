//! The laws of a bill: it sums to the price, and an app pays for what it had and nothing else.

use proptest::prelude::*;

use super::*;
use crate::pack::MachineRoom;
use crate::units::{Bytes, Cpu};

fn room(milli: u64, mebi: u64) -> MachineRoom {
    MachineRoom { cpu: Cpu::milli(milli), memory: Bytes::mebi(mebi) }
}

fn had(used: MachineRoom, unused: MachineRoom, seconds: u64) -> BilledUse {
    BilledUse { used: Consumed::of(used, seconds), unused: Consumed::of(unused, seconds) }
}

fn some_room() -> impl Strategy<Value = MachineRoom> {
    prop_oneof![
        Just(MachineRoom::default()),
        (0..20_000_u64, 0..50_000_u64).prop_map(|(milli, mebi)| room(milli, mebi)),
    ]
}

fn some_host() -> impl Strategy<Value = BilledHost<u8>> {
    let apps = proptest::collection::btree_map(0..12_u8, (some_room(), some_room()), 0..8);
    let price = prop_oneof![0..2_000_000_u64, 0..u64::MAX / 16];
    (price, (1..256_u64, 1..1_000_000_u64), (0..2_592_000_u64, 0..2_592_000_u64), apps).prop_map(
        |(price, (cores, mebi), (seconds, known), apps)| {
            let known_seconds = known.min(seconds);
            BilledHost {
                price: Price::new(price),
                seconds,
                known_seconds,
                has: Consumed::of(room(cores * 1000, mebi), known_seconds),
                apps: apps
                    .into_iter()
                    .map(|(app, (used, unused))| (app, had(used, unused, known_seconds)))
                    .collect(),
            }
        },
    )
}

fn some_idle() -> impl Strategy<Value = IdleCost> {
    prop_oneof![Just(IdleCost::Apart), Just(IdleCost::ByUse), Just(IdleCost::Evenly)]
}

fn some_unit() -> impl Strategy<Value = u64> {
    prop_oneof![Just(1_u64), Just(100), Just(10_000)]
}

proptest! {
    #[test]
    fn a_bill_sums_to_the_price_in_whole_units(
        hosts in proptest::collection::vec(some_host(), 0..6),
        idle in some_idle(),
        unit in some_unit(),
    ) {
        let bill = bill(&hosts, idle, Price::new(unit));
        let price: u64 = hosts.iter().map(|host| host.price.get()).sum();
        prop_assert_eq!(bill.total().get(), (price + unit / 2) / unit * unit);
        let of_apps = bill.apps.values().flat_map(|app| [app.used, app.unused, app.idle]);
        for part in of_apps.chain([bill.idle, bill.unknown]) {
            prop_assert_eq!(part.get() % unit, 0);
        }
        prop_assert!(bill.hosts.iter().all(|host| host.get() % unit == 0));
        prop_assert_eq!(bill.hosts.len(), hosts.len());
        let of_hosts = bill.hosts.iter().copied().fold(Price::default(), Price::plus);
        prop_assert_eq!(of_hosts, bill.total());
    }

    #[test]
    fn an_app_that_had_nothing_pays_nothing(
        mut hosts in proptest::collection::vec(some_host(), 1..6),
        idle in some_idle(),
    ) {
        hosts[0].apps.insert(99, BilledUse::default());
        let with = bill(&hosts, idle, Price::new(1));
        let none = with.apps[&99];
        prop_assert_eq!((none.used.get(), none.unused.get(), none.idle.get()), (0, 0, 0));
        // Nor does it change what others pay.
        hosts[0].apps.remove(&99);
        let mut with = with;
        with.apps.remove(&99);
        prop_assert_eq!(bill(&hosts, idle, Price::new(1)), with);
    }

    #[test]
    fn hosts_in_another_order_give_the_same_bill(
        hosts in proptest::collection::vec(some_host(), 0..6).prop_shuffle(),
        idle in some_idle(),
        unit in some_unit(),
    ) {
        let mut other = hosts.clone();
        other.reverse();
        let unit = Price::new(unit);
        let (one, other) = (bill(&hosts, idle, unit), bill(&other, idle, unit));
        // What is left of a unit at each host depends on who comes before.
        prop_assert_eq!(one, Bill { hosts: bill(&hosts, idle, unit).hosts, ..other });
    }

    #[test]
    fn who_has_more_pays_no_less_wherever_their_names_are_in_the_order(
        host in some_host(),
        idle in some_idle(),
        more in (some_room(), some_room()),
    ) {
        let mut host = host;
        let least = had(room(10, 10), room(10, 10), host.known_seconds);
        let more = had(more.0, more.1, host.known_seconds);
        let most = BilledUse {
            used: least.used.plus(more.used),
            unused: least.unused.plus(more.unused),
        };
        let mut pay = |small: u8, large: u8| {
            host.apps.insert(small, least);
            host.apps.insert(large, most);
            let bill = bill(&[host.clone()], idle, Price::new(1));
            (bill.apps[&small].sum().get(), bill.apps[&large].sum().get())
        };
        let (first, second) = (pay(0, 11), pay(11, 0));
        // Each of three parts is rounded.
        prop_assert!(first.0 <= first.1 + 3 && second.0 <= second.1 + 3);
        prop_assert!(first.0.abs_diff(second.0) <= 3 && first.1.abs_diff(second.1) <= 3);
    }
}

#[test]
fn an_app_pays_for_the_larger_of_what_it_reserves_and_uses() {
    let hour = |used, unused| had(used, unused, 3600);
    let host = |known_seconds| BilledHost {
        price: Price::new(2_292_000),
        seconds: 7200,
        known_seconds,
        has: Consumed::of(room(2_000, 8_192), known_seconds),
        apps: BTreeMap::from([
            ("half", hour(room(500, 1_024), room(500, 0))),
            ("uses", hour(room(500, 2_048), room(0, 0))),
        ]),
    };
    let shown = |bill: &Bill<&str>| {
        let app = |name| {
            let BilledApp { used, unused, idle } = bill.apps[name];
            [used.get(), unused.get(), idle.get()]
        };
        (app("half"), app("uses"), bill.idle.get(), bill.unknown.get())
    };
    // Of 1,146,000 for the known hour 1492 of 2292 parts are for the CPU: 746,000; 400,000 are for memory.
    let apart = bill(&[host(3600)], IdleCost::Apart, Price::new(1));
    assert_eq!(shown(&apart), ([236_500, 186_500, 0], [286_500, 0, 0], 436_500, 1_146_000));
    let even = bill(&[host(3600)], IdleCost::Evenly, Price::new(1));
    assert_eq!(shown(&even), ([236_500, 186_500, 218_250], [286_500, 0, 218_250], 0, 1_146_000));
    let by_use = bill(&[host(3600)], IdleCost::ByUse, Price::new(1));
    assert_eq!(by_use.apps["half"].idle.get() + by_use.apps["uses"].idle.get(), 436_500);
    // 423,000 of 709,500.
    assert_eq!(by_use.apps["half"].idle.get(), 260_239);
    // Of nothing known all is unknown, and nobody can pay for what was idle.
    let unknown =
        bill(&[BilledHost { apps: BTreeMap::new(), ..host(0) }], IdleCost::Evenly, Price::new(1));
    assert_eq!((unknown.idle.get(), unknown.unknown.get()), (0, 2_292_000));
}

#[test]
fn where_apps_take_more_than_there_is_they_pay_for_all_of_it_in_proportion() {
    let host = BilledHost {
        price: Price::new(1_000_000),
        seconds: 3600,
        known_seconds: 3600,
        has: Consumed::of(room(1_000, 1_024), 3600),
        apps: BTreeMap::from([
            ("one", had(room(1_000, 1_024), room(0, 0), 3600)),
            ("three", had(room(1_000, 1_024), room(2_000, 2_048), 3600)),
        ]),
    };
    let bill = bill(&[host], IdleCost::Apart, Price::new(10_000));
    assert_eq!(bill.apps["one"].sum().get(), 250_000);
    assert_eq!(bill.apps["three"].sum().get(), 750_000);
    assert_eq!((bill.idle.get(), bill.unknown.get()), (0, 0));
}
