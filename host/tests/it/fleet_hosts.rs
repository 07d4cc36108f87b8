//! What is told of the hosts of a fleet: who was lost, left and came back, and whose certificate keeps
//! others from reaching it.

use std::path::Path;

use serde_json::Value;

use crate::etcd::Etcd;
use crate::fleet::Fleet;
use crate::harness::{Host, manifest, run_in, says};

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// What a host says of another one, once it says so.
async fn state(host: &Host, of: &str, state: &str) -> Value {
    host.until("state of a host", || async {
        let hosts = host.admin("GET", "/v1/hosts", "").await.json();
        let all = hosts["hosts"].as_array()?.clone();
        all.into_iter().find(|host| host["host"] == of && host["state"] == state)
    })
    .await
}

fn says_so(event: &Value, words: &[&str]) {
    let text = event["message"].as_str().unwrap();
    for word in words {
        assert!(text.contains(word), "no {word:?} in {event}");
    }
}

#[tokio::test]
async fn a_lost_host_is_told_and_listed_until_it_is_back_and_one_that_left_is_not() {
    let Some(mut fleet) = Fleet::start(3).await else { return };
    let all = manifest("all", "/all/...", "[replicas]\nmin = 3\nmax = 3");
    fleet.first().deploy(&says("all"), &all).await;
    fleet.ready_on("all", 3).await;
    fleet.hosts[1].kill();
    for host in [0, 2] {
        let event = fleet.event(&fleet.hosts[host], "host_lost").await;
        says_so(&event, &["h2 in zone h2 is lost", "its lease has ended"]);
        assert!(event["advice"].as_str().unwrap().contains("steerage plan"), "{event}");
        let lost = state(&fleet.hosts[host], "h2", "lost").await;
        assert!(lost["lost_seconds"].is_u64(), "{lost}");
    }
    // What was wanted of it can be taken back though it is away.
    for standing in ["cordoned", "open"] {
        fleet.stand("h2", standing).await;
    }
    assert_eq!(fleet.first().metric("fleet_hosts ").await, 2.0);
    assert_eq!(fleet.first().metric("fleet_store_answers ").await, 1.0);
    let said = fleet.first().run(&["hosts"]).done().stdout;
    let line = said.lines().find(|line| line.contains("h2")).unwrap();
    assert!(line.contains("lost ") && line.contains("ago"), "{said}");
    let url = fleet.etcd.url();
    fleet.hosts[1] = Host::with(&Fleet::flags(&url, "h2", &[]));
    says_so(&fleet.event(fleet.first(), "host_back").await, &["h2 is back after"]);
    state(fleet.first(), "h2", "answers").await;
    let hosts = fleet.first().admin("GET", "/v1/hosts", "").await.json();
    assert_eq!(hosts["hosts"].as_array().unwrap().len(), 3, "{hosts}");

    fleet.hosts[2].signal("TERM");
    fleet.hosts[2].wait();
    says_so(&fleet.event(fleet.first(), "host_left").await, &["h3 has left the fleet"]);
    let hosts = fleet.first().admin("GET", "/v1/hosts", "").await.json();
    assert_eq!(hosts["hosts"].as_array().unwrap().len(), 2, "{hosts}");
}

/// Issues a certificate for so many days, beside those that were issued before.
fn issue(folder: &Path, name: &str, days: &str, out: &str) {
    let words = ["cert", "issue", name, "--address", "127.0.0.1", "--days", days, "--out", out];
    run_in(folder, &words).done();
}

fn start(store: &str, name: &str, identity: &Path, env: &[(&str, &str)]) -> Host {
    let flags = ["--store", store, "--name", name, "--zone", name, "--peer", "127.0.0.1:0"];
    Host::with_env(&[&flags[..], &["--identity", identity.to_str().unwrap()]].concat(), env)
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_told_and_a_renewed_one_is_used_at_once() {
    let Some(mut fleet) = Fleet::start(0).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    run_in(folder.path(), &["cert", "init"]).done();
    for (name, days, out) in [("h1", "5", "one"), ("h1", "300", "renewed"), ("h2", "300", "two")] {
        issue(folder.path(), name, days, out);
    }
    issue(folder.path(), "other", "300", "other");
    let url = fleet.etcd.url();
    for (name, identity) in [("h1", "one"), ("h2", "two")] {
        fleet.hosts.push(start(&url, name, &at(identity), &[]));
    }
    fleet.answers(fleet.first(), 2).await;
    let event = fleet.event(fleet.first(), "certificate_expires").await;
    says_so(&event, &["expires within 7 days", "it ends at"]);
    assert!(event["advice"].as_str().unwrap().contains("steerage cert issue"), "{event}");
    let put = |from: &str| {
        for file in ["host.key", "host.pem"] {
            let whole = at("one").join(format!("{file}.new"));
            std::fs::copy(at(from).join(file), &whole).unwrap();
            std::fs::rename(whole, at("one").join(file)).unwrap();
        }
    };
    // Somebody else's is not taken.
    put("other");
    let event = fleet.event(fleet.first(), "certificate_unusable").await;
    says_so(&event, &["is shown as before"]);
    put("renewed");
    let event = fleet.event(fleet.first(), "certificate_replaced").await;
    says_so(&event, &["valid until"]);
    // New connections are made with it, both ways.
    let after = start(
        &url,
        "h2-again",
        &{
            issue(folder.path(), "h2-again", "300", "again");
            at("again")
        },
        &[],
    );
    fleet.hosts.push(after);
    for host in &fleet.hosts {
        fleet.answers(host, 3).await;
    }
}

#[tokio::test]
async fn a_host_whose_certificate_has_expired_is_not_silent_without_a_reason() {
    if !Path::new(FAKETIME).exists() {
        eprintln!("SKIPPED: a later day is made with faketime: `apt-get install faketime`");
        return;
    }
    let Some(etcd) = Etcd::start(1) else { return };
    drop(etcd.store().await);
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), &["cert", "init"]).done();
    issue(folder.path(), "h1", "300", "one");
    issue(folder.path(), "h2", "2", "two");
    let later =
        [("LD_PRELOAD", FAKETIME), ("FAKETIME", "+3d"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    let url = etcd.url();
    let hosts = vec![
        start(&url, "h1", &folder.path().join("one"), &later),
        start(&url, "h2", &folder.path().join("two"), &[]),
    ];
    let fleet = Fleet { hosts, etcd };
    // To the one whose day it is the other's is over; the other one is told so when it is refused.
    let told = [(0, "h2", "the time of its certificate is over"), (1, "h1", "whose time is over")];
    for (host, of, why) in told {
        let host = &fleet.hosts[host];
        let event = fleet.event(host, "peer_untrusted").await;
        says_so(&event, &[of, "cannot be reached", why]);
        let silent = state(host, of, "silent").await;
        assert!(silent["why"].as_str().unwrap().contains(why), "{silent}");
        let said = host.run(&["hosts"]).done().stderr;
        assert!(said.contains(why), "{said}");
    }
}
