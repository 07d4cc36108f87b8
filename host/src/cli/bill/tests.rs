//! Which price is whose, and what a bill looks like.

use expect_test::expect;
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

fn prices(texts: &[&str]) -> Vec<KindPrice> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn a_host_has_the_price_of_its_kind_and_else_that_of_every_host() {
    let hosts = [host("h1", "large"), host("h2", "small"), host("h3", "small")];
    let of = |texts: &[&str]| {
        let priced = priced(&hosts, &prices(texts)).map_err(|error| error.to_string())?;
        Ok(priced.values().map(|price| price.get()).collect::<Vec<_>>())
    };
    assert_eq!(of(&["large=0.2/h", "0.1/h"]), Ok(vec![200_000, 100_000, 100_000]));
    assert_eq!(of(&["large=2/h", "small=1/h"]), Ok(vec![2_000_000, 1_000_000, 1_000_000]));
    assert_eq!(of(&["h1=2/h", "small=1/h"]), Ok(vec![2_000_000, 1_000_000, 1_000_000]));
    let refused: Result<Vec<u64>, String> = of(&["large=2/h"]);
    assert!(refused.unwrap_err().starts_with("host h2 has no price"));
    let refused = of(&["large=2/h", "h1=3/h", "1/h"]).unwrap_err();
    assert_eq!(refused, "host h1 has 2 prices, for large and for h1: it needs one");
    let refused = of(&["1/h", "2/h"]).unwrap_err();
    assert_eq!(refused, "host h1 has 2 prices, for every host and for every host: it needs one");
    let refused = of(&["1/h", "huge=2/h"]).unwrap_err();
    assert_eq!(refused, "no host is of the kind \"huge\" that --price names");
}

#[test]
fn a_table_has_a_line_for_each_app_and_its_columns_sum_to_what_the_hosts_cost() {
    let there = [host("h1", "large"), host("h2", "large")];
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
            since: 0,
            seconds: 10 * 3600,
            known_seconds: 9 * 3600,
            apps: vec![app("web", 3600, 7200), app("gone", 1800, 0)],
        }],
        tenants: [("web".to_owned(), "shop".to_owned())].into(),
        sources: None,
    };
    let prices = priced(&there, &prices(&["0.333333/h"])).unwrap();
    let billed = billed(&there, &prices, &told);
    expect![[r#"
        of h1 it is known for 9.0 of 10.0 hours what apps used; what it cost in the others is not split
        of h2 it is known for 0.0 of 10.0 hours what apps used; what it cost in the others is not split"#]]
    .assert_eq(&not_known(&billed).join("\n"));
    let hosts: Vec<_> = billed.into_values().collect();
    let bill = |idle| bill::bill(&hosts, idle, Price::new(100));
    expect![[r#"
        TENANT  APP             USE  RESERVED    IDLE     SUM
        -       gone         0.0688    0.0000  0.0000  0.0688
        shop    web          0.1230    0.2170  0.0000  0.3400
        -       (idle)                         2.5912  2.5912
        -       (not known)                            3.6667
        total                0.1918    0.2170  2.5912  6.6667"#]]
    .assert_eq(&shown(&bill(IdleCost::Apart), 4));
    expect![[r#"
        TENANT  APP             USE  RESERVED    IDLE     SUM
        -       gone         0.0688    0.0000  1.2956  1.3644
        shop    web          0.1230    0.2170  1.2956  1.6356
        -       (not known)                            3.6667
        total                0.1918    0.2170  2.5912  6.6667"#]]
    .assert_eq(&shown(&bill(IdleCost::Evenly), 4));
    let plan = |spare: &[&str]| wire::Plan {
        spare: spare.iter().map(|host| (*host).to_owned()).collect(),
        store_answers: true,
        ..wire::Plan::default()
    };
    let spare = |plan: &wire::Plan| Spare::of(&there, &prices, plan);
    expect!["could be given back now: h2, which cost 0.333333 of 0.666666 an hour; `steerage plan --consolidate` says what moves"].assert_eq(&spare(&plan(&["h2"])).shown());
    assert_eq!(spare(&plan(&[])).shown(), "no host could be given back now");
    let silent = wire::Plan { store_answers: false, ..plan(&["h2"]) };
    assert!(spare(&silent).shown().contains("is not known"));
    assert_eq!((spare(&silent).hosts, spare(&silent).hourly_millionths), (None, 0));
    assert_eq!(spare(&plan(&["h2"])).hourly_millionths, 333_333);
    let spare = spare(&plan(&["h2"]));
    let whole = bill::bill(&hosts, IdleCost::ByUse, Price::new(1));
    let report = serde_json::to_value(report(&hosts, &whole, &told, &spare)).unwrap();
    assert_eq!(report["total_millionths"], 6_666_660);
    assert_eq!(report["known_seconds"], 9 * 3600);
    assert_eq!(report["apps"][0]["tenant"], serde_json::Value::Null);
    assert_eq!(
        (&report["apps"][1]["tenant"], &report["apps"][1]["app"]),
        (&"shop".into(), &"web".into())
    );
}

#[test]
fn small_amounts_have_more_decimals() {
    let shown = |millionths| amount(Price::new(millionths), decimals(Price::new(millionths)));
    assert_eq!(
        [0, 96_000, 2_304_000, 70_080_000, 123_456_789].map(shown),
        ["0.000000", "0.096000", "2.3040", "70.0800", "123.45"]
    );
}
