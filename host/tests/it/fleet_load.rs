//! A fleet follows what its apps use: replicas come and go with load, and hosts are emptied that are
//! not needed.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use serde_json::Value;

use crate::fleet::Fleet;
use crate::harness::{Host, manifest, says, works};

/// Calls a path on these hosts, one after the other, until told to stop; all calls must be answered.
async fn keep_calling(hosts: &[Host], path: &str, answer: &str, stop: &AtomicBool) -> usize {
    let mut n_calls = 0;
    while !stop.load(Ordering::Relaxed) {
        for host in hosts {
            let reply = host.get(path).await;
            assert_eq!((reply.status.as_u16(), &*reply.text()), (200, answer));
            n_calls += 1;
        }
    }
    n_calls
}

#[tokio::test]
async fn replicas_follow_load_between_min_and_max() {
    let Some(fleet) = Fleet::start_with(3, &["--scale-down", "20s"]).await else { return };
    let more = "[replicas]\nmin = 1\nmax = 3\n[resources]\ncpu = \"100m\"";
    fleet.first().deploy(&works(20_000_000, "done"), &manifest("busy", "/busy/...", more)).await;
    fleet.ready_on("busy", 1).await;
    fleet.all_answer("/busy/", "done").await;
    let stop = AtomicBool::new(false);
    let callers = (0..2).map(|_| keep_calling(&fleet.hosts, "/busy/", "done", &stop));
    let watcher = async {
        let on = fleet.ready_on("busy", 3).await;
        stop.store(true, Ordering::Relaxed);
        on
    };
    let (on, n_calls) = tokio::join!(watcher, join_all(callers));
    assert_eq!(on, ["h1", "h2", "h3"]);
    println!("three replicas after {} calls", n_calls.iter().sum::<usize>());
    let shown = fleet.first().run(&["show", "busy"]).done().stdout;
    assert!(shown.contains("3 of 3 ready (1 to 3 by load): h1, h2, h3"), "{shown}");
    // Nobody calls any more.
    fleet.ready_on("busy", 1).await;
}

#[tokio::test]
async fn hosts_are_emptied_that_others_can_take_the_replicas_of() {
    let Some(fleet) = Fleet::start_with(3, &["--consolidate", "1s"]).await else { return };
    // One app on each of two hosts, which took it while nobody else did.
    for (app, open) in [("one", "h1"), ("two", "h3")] {
        for host in ["h1", "h2", "h3"] {
            fleet.stand(host, if host == open { "open" } else { "cordoned" }).await;
        }
        fleet.first().deploy(&says(app), &manifest(app, &format!("/{app}/..."), "")).await;
        assert_eq!(fleet.ready_on(app, 1).await, [open]);
        fleet.all_answer(&format!("/{app}/"), app).await;
    }
    let stop = AtomicBool::new(false);
    let callers = [
        keep_calling(&fleet.hosts, "/one/", "one", &stop),
        keep_calling(&fleet.hosts, "/two/", "two", &stop),
    ];
    let emptied = async {
        for host in ["h1", "h2"] {
            fleet.stand(host, "open").await;
        }
        let emptied = fleet.event(fleet.first(), "host_emptied").await;
        // A plan is told when it is written; the same host hears of it by its watch a little later.
        let both = || async {
            let (one, two) = (fleet.ready_on("one", 1).await, fleet.ready_on("two", 1).await);
            (one == two).then_some(())
        };
        fleet.first().until("both apps on one host", both).await;
        stop.store(true, Ordering::Relaxed);
        emptied
    };
    let (emptied, _) = tokio::join!(emptied, join_all(callers));
    let told = emptied["message"].as_str().unwrap();
    assert!(
        told.starts_with("h1 was emptied: h3") || told.starts_with("h3 was emptied: h1"),
        "{told}"
    );
    assert!(emptied["advice"].as_str().unwrap().contains("steerage drain"), "{emptied}");
    // The host that was emptied says itself, in its next report, that nothing is ready on it.
    let idle = || async {
        let said = fleet.first().run(&["hosts"]).done();
        said.stdout.contains("2 hosts have nothing to do: ").then_some(())
    };
    fleet.first().until("two hosts with nothing to do", idle).await;
    // It is at rest now: planning what was planned moves nothing.
    let plan = fleet.first().admin("GET", "/v1/plan?consolidate=true", "").await.json();
    assert_eq!(plan["moves"], Value::Array(Vec::new()), "{plan}");
}

#[tokio::test]
async fn replicas_go_to_the_least_used_host_where_they_are_spread() {
    let Some(fleet) = Fleet::start_with(3, &["--placement", "spread"]).await else { return };
    let mut used = std::collections::BTreeSet::new();
    for app in ["one", "two", "three"] {
        let more = "[resources]\ncpu = \"100m\"\nmemory = \"64MiB\"";
        fleet.first().deploy(&says(app), &manifest(app, &format!("/{app}/..."), more)).await;
        used.extend(fleet.ready_on(app, 1).await);
    }
    assert_eq!(used.len(), 3, "{used:?}");
    // What `plan` says is what the planner does.
    let plan = fleet.hosts[2].run(&["plan"]).done();
    assert_eq!(plan.stdout.trim(), "nothing would move", "{plan:?}");
}
