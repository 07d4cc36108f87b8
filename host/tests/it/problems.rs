//! `steerage problems`: what is wrong is told once it is sure, with its reason and a remedy that works, and
//! what only looks wrong is not.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::fleet::Fleet;
use crate::harness::{Host, manifest, prints, says};

/// A program that answers 500.
fn fails() -> Vec<u8> {
    prints("Status: 500\\n\\nno")
}

async fn call(host: &Host, path: &str, status: u16) {
    assert_eq!(host.get(path).await.status, status, "{path}");
}

/// Waits until there are so many problems.
async fn until_problems(host: &Host, n: usize) {
    host.until("problems", || async {
        let told = host.admin("GET", "/v1/problems", "").await.json();
        (told["problems"].as_array()?.len() == n).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deployment_that_answers_nobody_is_a_problem_and_its_remedy_cures_it() {
    let host = Host::with(&["--watch", "never"]);
    let well = host.run(&["problems"]);
    assert_eq!((well.code, well.stdout.trim()), (0, "no problems"), "{well:?}");
    host.deploy(&says("fine"), &manifest("web", "/web/...", "")).await;
    for _ in 0..10 {
        call(&host, "/web/", 200).await;
    }
    host.deploy(&fails(), &manifest("web", "/web/...", "")).await;
    call(&host, "/web/a", 500).await;
    call(&host, "/web/b", 500).await;
    until_problems(&host, 1).await;

    let said = host.run(&["problems"]);
    assert_eq!(said.code, 1, "{said:?}");
    for part in [
        "web fails: 2 of 2 calls, mostly: it answered 500",
        "open  for ",
        "because  generation 2 has hardly answered anybody since it is here",
        "of generation 1 none of the last 10 calls failed",
        "next  go back to generation 1",
        "$ steerage rollback web --to 1    (changes something; may be wrong)",
    ] {
        assert!(said.stdout.contains(part), "{part:?} is not in {}", said.stdout);
    }
    let told = host.run(&["problems", "-o", "json"]).json();
    let problem = &told["problems"][0];
    assert_eq!((&problem["kind"], &problem["state"]), (&"failing".into(), &"open".into()));
    assert_eq!((&problem["failed"], &problem["cause"]), (&2.into(), &"answered".into()));
    let events = host.admin("GET", "/v1/events?app=web", "").await.json();
    let opened: Vec<_> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["kind"] == "problem_opened")
        .collect();
    assert_eq!(opened.len(), 1, "{events}");
    assert_eq!(opened[0]["advice"], "`steerage why web` says why, and what to do");

    assert_eq!(host.metric("problems").await, 1.0);
    host.run(&["rollback", "web", "--to", "1"]).done();
    call(&host, "/web/", 200).await;
    host.run(&["remove", "web", "--yes"]).done();
    until_problems(&host, 0).await;
}

#[tokio::test]
async fn what_only_looks_wrong_is_no_problem() {
    let host = Host::with(&["--watch", "never"]);
    host.deploy(&fails(), &manifest("retried", "/retried/...", "")).await;
    host.deploy(&says("fine"), &manifest("well", "/well/...", "")).await;
    for n in 0..40 {
        // One caller who does not give up.
        call(&host, "/retried/", 500).await;
        // Somebody who looks for what is not there.
        call(&host, &format!("/{n}.php"), 404).await;
        call(&host, "/well/", 200).await;
    }
    host.run(&["calls", "retried"]).done();
    let said = host.run(&["problems"]);
    assert_eq!((said.code, said.stdout.trim()), (0, "no problems"), "{said:?}");
}

#[tokio::test]
async fn what_is_wrong_anywhere_in_a_fleet_is_told_by_each_of_its_hosts() {
    let Some(fleet) = Fleet::start_with(2, &["--watch", "never"]).await else { return };
    let manifest = manifest("web", "/web/...", "[replicas]\nmin = 2\nmax = 2");
    fleet.first().deploy(&fails(), &manifest).await;
    fleet.ready_on("web", 2).await;
    let n_calls = AtomicU32::new(0);
    for host in &fleet.hosts {
        host.until("the problem of both hosts", || async {
            let n = n_calls.fetch_add(1, Ordering::Relaxed);
            // Each serves what comes to it.
            for host in &fleet.hosts {
                call(host, &format!("/web/{n}"), 500).await;
            }
            let told = host.run(&["problems", "-o", "json"]).json();
            let [problem] = &told["problems"].as_array()?[..] else { return None };
            let hosts = problem["hosts"].as_array()?.len();
            (hosts == 2 && problem["failed"].as_u64()? >= 4).then_some(())
        })
        .await;
        let said = host.run(&["problems"]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.stdout.contains("web fails: ") && said.stdout.contains(", on "), "{said:?}");
    }
}
