//! What a call takes of what all cores share: locks, and lines of memory that every core writes. Counted
//! by the host itself in builds with debug assertions, by the place in its source; see `shared.rs` there.

use std::collections::BTreeMap;

use steerage_guests as guests;

use crate::harness::Host;

/// Calls that are counted.
const N_CALLS: u32 = 200;

/// The run queue. How often a call passes it depends on how long its slices take here.
const QUEUE: [&str; 3] = ["cpu.rs", "cpu/", "flow.rs"];
/// Where else the host keeps what all apps share. The rest of what calls write belongs to their app, so that
/// other apps do not wait for it.
const OF_ALL: [&str; 5] = [
    "admission/host_room.rs",
    "admission/tenants.rs",
    "listener/",
    "shared/sum.rs",
    "sandbox/outbound/egress.rs",
];

/// How often each place was passed, by kind and place.
type Uses = BTreeMap<(String, String), f64>;

async fn uses(host: &Host) -> Uses {
    let metrics = host.admin("GET", "/metrics", "").await.text();
    let line = |line: &str| {
        let (labels, count) = line.strip_prefix("shared_uses_total{")?.split_once("} ")?;
        let (kind, at) = labels.split_once(',')?;
        let value = |label: &str| label.split('"').nth(1).map(str::to_owned);
        Some(((value(kind)?, value(at)?), count.trim().parse().ok()?))
    };
    metrics.lines().filter_map(line).collect()
}

/// What each call of these apps in turn takes, once they are warm.
async fn per_call(host: &Host, apps: &[&str]) -> Uses {
    let call = async |n_calls: u32| {
        for app in apps.iter().cycle().take(n_calls as usize) {
            assert_eq!(host.get(&format!("/{app}/")).await.status, 200);
        }
    };
    call(100).await;
    let before = uses(host).await;
    call(N_CALLS).await;
    let mut uses = uses(host).await;
    for (place, count) in &mut uses {
        *count = (*count - before.get(place).copied().unwrap_or(0.0)) / f64::from(N_CALLS);
    }
    uses.retain(|_, count| *count >= 0.05);
    uses
}

/// The most that a call may take.
struct Most {
    /// Locks, the run queue's left out, and lines written.
    locks: f64,
    writes: f64,
    /// Of these, what all apps share.
    of_all: f64,
    /// The same of the run queue, whose slices may end anywhere.
    of_queue: f64,
}

/// Some calls more or less may have been recorded than were counted.
fn check(uses: &Uses, most: &Most) {
    let is_in = |at: &str, parts: &[&str]| parts.iter().any(|part| at.starts_with(part));
    let sum = |is_meant: &dyn Fn(&str, &str) -> bool| -> f64 {
        let meant = uses.iter().filter(|((kind, at), _)| is_meant(kind, at));
        meant.map(|(_, count)| count).sum()
    };
    let is_outside = |kind: &str, wanted, at: &str| kind == wanted && !is_in(at, &QUEUE);
    for (what, found, most) in [
        ("locks", sum(&|kind, at| is_outside(kind, "lock", at)), most.locks),
        ("writes", sum(&|kind, at| is_outside(kind, "write", at)), most.writes),
        ("uses of what all apps share", sum(&|_, at| is_in(at, &OF_ALL)), most.of_all),
        ("uses of the run queue", sum(&|_, at| is_in(at, &QUEUE)), most.of_queue),
    ] {
        assert!(found <= most + 0.3, "{found} {what} for {most}: {uses:#?}");
    }
    assert!(!uses.is_empty(), "nothing is counted");
}

#[tokio::test]
async fn a_call_takes_few_locks_and_writes_few_lines_that_all_cores_share() {
    let host = Host::start();
    let hello = std::fs::read(guests::HELLO).unwrap();
    host.serve("new", &hello, "[instance]\nfresh = \"new\"").await;
    host.serve("reused", &hello, "[instance]\nreuse = 1000000").await;
    // Its place in the app and the host, its memories and tables, its counters; the ring of last calls.
    let most = Most { locks: 1.0, writes: 25.0, of_all: 7.0, of_queue: 9.0 };
    check(&per_call(&host, &["new"]).await, &most);
    // Nothing is reserved but for what a call holds now and then, and the instance is taken from a list and
    // put back. Beside other work on the machine each call may wait for a core, which is one more counter.
    let most = Most { locks: 3.0, writes: 21.0, of_all: 7.0, of_queue: 9.0 };
    check(&per_call(&host, &["reused"]).await, &most);
}

#[tokio::test]
async fn a_call_beside_other_apps_takes_the_lock_of_the_run_queue_a_few_times() {
    let host = Host::start();
    let hello = std::fs::read(guests::HELLO).unwrap();
    for app in ["one", "other"] {
        host.serve(app, &hello, "[instance]\nfresh = \"new\"").await;
    }
    let most = Most { locks: 1.0, writes: 25.0, of_all: 7.0, of_queue: 22.0 };
    check(&per_call(&host, &["one", "other"]).await, &most);
}
