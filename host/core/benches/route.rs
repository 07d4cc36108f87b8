//! What a lookup and a change cost at 10, 1,000 and 100,000 routes.
//! Does not measure requests: those go through the whole-host benchmark.

#![expect(clippy::unwrap_used, reason = "without its table a benchmark has nothing to measure")]

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main,
};
use steerage_core::id::AppName;
use steerage_core::route::{Route, RouteTable};

const SIZES: [usize; 3] = [10, 1_000, 100_000];

/// How many different requests a benchmark cycles through, so that not one path stays in the
/// cache.
const REQUESTS: usize = 1_024;

/// What an app answers on: one of four kinds, in turn.
fn route(number: usize) -> Route {
    let text = match number % 4 {
        0 => format!("/svc-{number}/api/v1/status"),
        1 => format!("/svc-{number}/users/:user/orders/:order"),
        2 => format!("/svc-{number}/files/..."),
        _ => format!("svc-{number}.example.com/..."),
    };
    text.parse().unwrap()
}

fn table(routes: usize) -> RouteTable<usize> {
    let owner = AppName::parse("owner").unwrap();
    let mut table = RouteTable::new();
    for number in 0..routes {
        table.insert(&route(number), &owner, number).unwrap();
    }
    table
}

/// Requests for routes of one kind, spread over the table.
fn requests(
    routes: usize,
    kind: usize,
    request: fn(usize) -> (String, String),
) -> Vec<(String, String)> {
    let places = routes / 4;
    (0..REQUESTS).map(|turn| request(turn * 7919 % places.max(1) * 4 + kind)).collect()
}

fn find(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    table: &RouteTable<usize>,
    requests: &[(String, String)],
    found: bool,
) {
    let mut turns = requests.iter().cycle();
    group.bench_function(BenchmarkId::new(name, table.len()), |bencher| {
        bencher.iter(|| {
            let (host, path) = turns.next().unwrap();
            let hit = black_box(table).find(black_box(host), black_box(path));
            assert_eq!(hit.is_some(), found, "{host}{path}");
        });
    });
}

fn lookups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("find");
    let host = || "www.example.org".to_owned();
    for size in SIZES {
        let table = table(size);
        let literal = requests(size, 0, |n| {
            ("www.example.org".to_owned(), format!("/svc-{n}/api/v1/status"))
        });
        find(&mut group, "literal", &table, &literal, true);
        let param = requests(size, 1, |n| {
            ("www.example.org".to_owned(), format!("/svc-{n}/users/ann/orders/77"))
        });
        find(&mut group, "param", &table, &param, true);
        let rest = requests(size, 2, |n| {
            ("www.example.org".to_owned(), format!("/svc-{n}/files/css/site.css"))
        });
        find(&mut group, "rest", &table, &rest, true);
        let by_host =
            requests(size, 3, |n| (format!("svc-{n}.example.com"), "/index.html".to_owned()));
        find(&mut group, "host", &table, &by_host, true);
        let miss: Vec<_> =
            (0..REQUESTS).map(|n| (host(), format!("/other-{n}/api/v1/status"))).collect();
        find(&mut group, "miss", &table, &miss, false);
    }
    group.finish();
}

fn changes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("change");
    let owner = AppName::parse("owner").unwrap();
    for size in SIZES {
        let table = table(size);
        let mut numbers = (size..).cycle();
        group.bench_function(BenchmarkId::new("clone and insert", size), |bencher| {
            bencher.iter_batched(
                || route(numbers.next().unwrap()),
                |route| {
                    let mut changed = table.clone();
                    changed.insert(&route, &owner, 0).unwrap();
                    changed
                },
                BatchSize::SmallInput,
            );
        });
        let mut numbers = (0..size).cycle();
        group.bench_function(BenchmarkId::new("clone and remove", size), |bencher| {
            bencher.iter_batched(
                || route(numbers.next().unwrap()),
                |route| {
                    let mut changed = table.clone();
                    changed.remove(&route).unwrap();
                    changed
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, lookups, changes);
criterion_main!(benches);
