//! What a bill is made of, and which questions are refused.

use serde_json::json;

use super::*;

fn host(name: &str, kind: &str) -> HostSummary {
    let host = json!({
        "host": name, "zone": "a", "labels": { "kind": kind }, "listen": "", "address": "",
        "standing": "open", "state": "answers", "replicas": 1, "ready": 1, "cpu_millicores": 2000,
        "cpu_used_millicores": 0, "memory_bytes": 8_u64 << 30, "memory_used_bytes": 0, "version": "1"
    });
    serde_json::from_value(host).unwrap()
}

fn read(
    price: Option<&str>,
    idle: Option<&str>,
    decimals: Option<u32>,
) -> Result<BillTerms, String> {
    let query = BillQuery {
        price: price.map(str::to_owned),
        since: None,
        idle: idle.map(str::to_owned),
        decimals,
    };
    query.read().map_err(|refusal| refusal.detail)
}

#[test]
fn what_cannot_be_billed_is_refused_with_what_is_expected() {
    let many = vec!["1/h"; MOST_PRICES + 1].join(",");
    for (price, idle, decimals, part) in [
        (None, None, None, "what a host costs is not said"),
        (Some(""), None, None, "is no price: expected KIND=AMOUNT/h"),
        (Some("1/h,"), None, None, "is no price"),
        (Some("1/h, cheap"), None, None, "\"cheap\" is no price"),
        (Some("1/h"), Some("mine"), None, "expected apart, use or even"),
        (Some("1/h"), None, Some(7), "7 decimals, where 6 are kept"),
        (Some(&*many), None, None, "101 prices, where 100 may be said"),
    ] {
        let refused = read(price, idle, decimals).unwrap_err();
        assert!(refused.contains(part), "{part} is not in {refused}");
    }
    let terms = read(Some("m6i.large=0.096/h, 140/month"), Some("use"), Some(2)).unwrap();
    let kinds: Vec<_> = terms.prices.iter().map(|price| price.kind.as_deref()).collect();
    assert_eq!((kinds, terms.idle), (vec![Some("m6i.large"), None], IdleCost::ByUse));
}

#[test]
fn each_app_and_each_host_has_its_part_of_what_the_hosts_cost() {
    let there = [host("h1", "large"), host("h2", "small")];
    let app = |app: &str, cpu_s: u64, unused_s: u64| AppConsumption {
        app: app.to_owned(),
        cpu_us: cpu_s * 1_000_000,
        mebibyte_seconds: 1024 * 3600,
        unused_cpu_us: unused_s * 1_000_000,
        unused_mebibyte_seconds: 0,
    };
    let told = Consumption {
        hosts: vec![HostConsumption {
            host: "h1".to_owned(),
            since: 7,
            seconds: 10 * 3600,
            known_seconds: 9 * 3600,
            apps: vec![app("web", 3600, 7200), app("gone", 1800, 0)],
        }],
        tenants: [("web".to_owned(), "shop".to_owned())].into(),
        sources: None,
    };
    let bill = |price: &str, idle: &str, decimals: Option<u32>, spare_hosts: Option<&[&str]>| {
        let terms = read(Some(price), Some(idle), decimals).unwrap();
        let hourly = bill::host_prices(&kinds(&there), &terms.prices).unwrap();
        let names = spare_hosts.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let spare = spare(&hourly, names);
        write(&terms, &priced(&there, &hourly, &told), told.clone(), spare)
    };
    let of = |bill: &wire::Bill| {
        let apps = bill.apps.iter().map(|app| app.sum_millionths);
        let rest = bill.idle_millionths + bill.unknown_millionths;
        let hosts = bill.hosts.iter().map(|host| host.cost_millionths);
        (apps.sum::<u64>() + rest, hosts.sum::<u64>())
    };

    let whole = bill("0.333333/h", "apart", Some(6), Some(&["h2"]));
    assert_eq!((whole.total_millionths, of(&whole)), (6_666_660, (6_666_660, 6_666_660)));
    assert_eq!((whole.since, whole.seconds, whole.known_seconds), (7, 20 * 3600, 9 * 3600));
    // Who was removed is nobody's; and the host that told nothing is not known.
    let names: Vec<_> =
        whole.apps.iter().map(|app| (app.tenant.as_deref(), app.app.as_str())).collect();
    assert_eq!(names, [(None, "gone"), (Some("shop"), "web")]);
    assert_eq!(whole.unknown_millionths, 333_333 + 3_333_330);
    assert_eq!(
        (whole.spare.hourly_millionths, whole.spare.hourly_of_all_millionths),
        (333_333, 666_666)
    );

    let told_short = bill("0.333333/h", "apart", None, Some(&[]));
    assert_eq!((told_short.decimals, told_short.total_millionths), (4, 6_666_700));
    assert_eq!(of(&told_short), (6_666_700, 6_666_700));
    let parts =
        |app: &wire::BilledApp| (app.use_millionths, app.reserved_millionths, app.idle_millionths);
    let parts: Vec<_> = told_short.apps.iter().map(parts).collect();
    assert_eq!(parts, [(68_800, 0, 0), (123_000, 217_000, 0)]);
    assert_eq!((told_short.spare.hourly_millionths, told_short.spare.hosts), (0, Some(Vec::new())));

    let shared = bill("large=1/h,small=2/h", "even", None, None);
    let idle: Vec<_> = shared.apps.iter().map(|app| app.idle_millionths).collect();
    assert_eq!((shared.idle_millionths, idle[0].abs_diff(idle[1]) <= 100), (0, true));
    let costs: Vec<_> =
        shared.hosts.iter().map(|host| (host.hourly_millionths, host.cost_millionths)).collect();
    assert_eq!(costs, [(1_000_000, 10_000_000), (2_000_000, 20_000_000)]);
    assert_eq!((shared.spare.hourly_millionths, shared.spare.hosts), (0, None));
}
