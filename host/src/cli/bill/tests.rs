//! What a bill looks like.

use expect_test::expect;

use super::*;
use crate::api::wire::BilledApp;

#[test]
fn a_table_has_a_line_for_each_app_and_its_columns_sum_to_what_the_hosts_cost() {
    let app = |tenant: Option<&str>, app: &str, parts: [u64; 3]| BilledApp {
        tenant: tenant.map(str::to_owned),
        app: app.to_owned(),
        use_millionths: parts[0],
        reserved_millionths: parts[1],
        idle_millionths: parts[2],
        sum_millionths: parts.iter().sum(),
    };
    let host = |host: &str, known_seconds: u64| BilledHost {
        host: host.to_owned(),
        seconds: 10 * 3600,
        known_seconds,
        ..BilledHost::default()
    };
    let mut bill = wire::Bill {
        decimals: 4,
        total_millionths: 6_666_700,
        idle_millionths: 2_591_200,
        unknown_millionths: 3_666_700,
        apps: vec![
            app(None, "gone", [68_800, 0, 0]),
            app(Some("shop"), "web", [123_000, 217_000, 0]),
        ],
        hosts: vec![host("h1", 9 * 3600), host("h2", 0), host("h3", 10 * 3600)],
        ..wire::Bill::default()
    };
    expect![[r#"
        of h1 it is known for 9.0 of 10.0 hours what apps used; what it cost in the others is not split
        of h2 it is known for 0.0 of 10.0 hours what apps used; what it cost in the others is not split"#]]
    .assert_eq(&not_known(&bill.hosts).join("\n"));
    expect![[r#"
        TENANT  APP             USE  RESERVED    IDLE     SUM
        -       gone         0.0688    0.0000  0.0000  0.0688
        shop    web          0.1230    0.2170  0.0000  0.3400
        -       (idle)                         2.5912  2.5912
        -       (not known)                            3.6667
        total                0.1918    0.2170  2.5912  6.6667"#]]
    .assert_eq(&shown(&bill));
    bill.apps = vec![
        app(None, "gone", [68_800, 0, 1_295_600]),
        app(Some("shop"), "web", [123_000, 217_000, 1_295_600]),
    ];
    bill.idle_millionths = 0;
    expect![[r#"
        TENANT  APP             USE  RESERVED    IDLE     SUM
        -       gone         0.0688    0.0000  1.2956  1.3644
        shop    web          0.1230    0.2170  1.2956  1.6356
        -       (not known)                            3.6667
        total                0.1918    0.2170  2.5912  6.6667"#]]
    .assert_eq(&shown(&bill));
}

#[test]
fn what_could_be_given_back_is_said_where_it_is_known() {
    let of = |hosts: Option<&[&str]>, hourly_millionths| SpareHosts {
        hosts: hosts.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
        hourly_millionths,
        hourly_of_all_millionths: 666_666,
    };
    expect!["could be given back now: h2, which cost 0.333333 of 0.666666 an hour; `steerage plan --consolidate` says what moves"].assert_eq(&spare(&of(Some(&["h2"]), 333_333)));
    assert_eq!(spare(&of(Some(&[]), 0)), "no host could be given back now");
    assert!(spare(&of(None, 0)).contains("is not known"));
}

#[test]
fn amounts_have_as_many_decimals_as_the_bill() {
    assert_eq!(amount(96_000, 6), "0.096000");
    assert_eq!(amount(2_304_000, 4), "2.3040");
    assert_eq!(amount(123_450_000, 2), "123.45");
    assert_eq!(amount(5_000_000, 0), "5");
}
