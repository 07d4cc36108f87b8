//! What a table of very many routes costs in memory. Measures the process it runs in, so nothing
//! else is tested here.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use steerage_core::id::AppName;
use steerage_core::route::RouteTable;

const N_APPS: u64 = 100_000;

/// Bytes of anonymous memory this process holds.
fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// A table in which each app has one route, and its bytes per app.
fn footprint(route: impl Fn(&str) -> String) -> (RouteTable<Arc<str>>, u64) {
    let before = anonymous();
    let mut table: RouteTable<Arc<str>> = RouteTable::new();
    for n in 0..N_APPS {
        let name = format!("app-{:05}", n * 7919 % N_APPS);
        let owner = AppName::parse(&name).unwrap();
        table.insert(&route(&name).parse().unwrap(), &owner, Arc::from("")).unwrap();
    }
    let after = anonymous();
    assert_eq!(table.len() as u64, N_APPS);
    (table, (after - before) / N_APPS)
}

#[test]
fn a_hundred_thousand_routes_fit_into_little_memory() {
    // The first table is kept: the second must not be built from what it gave back.
    let (_kept, by_host) = footprint(|name| format!("{name}.example.com/..."));
    let (_, by_path) = footprint(|name| format!("/{name}/..."));
    println!("bytes per app: {by_host} with a host each, {by_path} with a path each");
    assert!(by_host < 600, "{by_host}");
    assert!(by_path < 600, "{by_path}");
}
